//! One turn at a time on an idle host, message in to answer out, beside the raw disk in the same
//! run.

use criterion::{Criterion, criterion_group, criterion_main};
use kenvat_benches::{Host, RawDisk, folder, update};

fn checkpoint(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checkpoint");
    let folder = folder().expect("a folder under target");
    let mut raw = RawDisk::new(folder.path(), 2048).expect("a file on the disk");
    group.bench_function("raw pwrite + fdatasync, 2 KiB", |bencher| {
        bencher.iter(|| raw.commit().expect("the disk writes"));
    });
    let host = Host::with_vats(1);
    let mut turn = 0;
    group.bench_function("kv.update, message in to answer out", |bencher| {
        bencher.iter(|| {
            turn += 1;
            update(&host.engine, 0, turn)
                .wait()
                .expect("answered")
                .expect("an update")
        });
    });
    group.bench_function("raw pwrite + fdatasync, 2 KiB, after", |bencher| {
        bencher.iter(|| raw.commit().expect("the disk writes"));
    });
    group.finish();
}

criterion_group!(benches, checkpoint);
criterion_main!(benches);
