//! Durable turns a second with many calls in flight, one vat and sixteen, beside the raw disk.
//! `kenvat bench throughput` holds them against figures; this one compares with the run before.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kenvat_benches::engine::{Host, Until};
use kenvat_benches::raw::RawDisk;

fn throughput(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("throughput");
    group.throughput(Throughput::Elements(1));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder on the disk");
    let mut raw = RawDisk::new(folder.path(), 1024).expect("a file on the disk");
    group.bench_function("raw pwrite + fdatasync, 1 KiB", |bencher| {
        bencher.iter(|| raw.commit().expect("the disk writes"));
    });
    for vats in [1, 16] {
        let dir = folder.path().join(format!("store{vats}"));
        let mut host = Host::with_vats(&dir, vats).expect("a host");
        for in_flight in [1, 16, 64, 256, 1_024] {
            let id = BenchmarkId::new(format!("kv.update, {vats} vats"), in_flight);
            group.bench_with_input(id, &in_flight, |bencher, in_flight| {
                bencher.iter_custom(|turns| {
                    let until = Until::Turns(turns);
                    let drive = host.drive(vats, *in_flight, until, |_| {});
                    host.steps();
                    drive.expect("updates").elapsed
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, throughput);
criterion_main!(benches);
