//! One turn at a time on an idle host, message in to answer out, beside the raw disk in the same
//! run. `kenvat bench checkpoint` splits it into steps; this one compares with the run before.

use criterion::{Criterion, criterion_group, criterion_main};
use kenvat_benches::engine::Host;
use kenvat_benches::raw::RawDisk;

fn checkpoint(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checkpoint");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder on the disk");
    let mut raw = RawDisk::new(folder.path(), 1024).expect("a file on the disk");
    group.bench_function("raw pwrite + fdatasync, 1 KiB", |bencher| {
        bencher.iter(|| raw.commit().expect("the disk writes"));
    });
    let mut host = Host::with_vats(&folder.path().join("store"), 1).expect("a host");
    group.bench_function("kv.update, message in to answer out", |bencher| {
        bencher.iter(|| host.timed(0).expect("an update"));
        host.steps();
    });
    group.bench_function("raw pwrite + fdatasync, 1 KiB, after", |bencher| {
        bencher.iter(|| raw.commit().expect("the disk writes"));
    });
    group.finish();
}

criterion_group!(benches, checkpoint);
criterion_main!(benches);
