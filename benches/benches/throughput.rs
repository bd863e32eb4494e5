//! Durable turns a second with many calls in flight, one vat and sixteen, beside the raw disk.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kenvat_benches::{Host, RawDisk, Update, folder, update};

/// Makes `turns` calls with at most `in_flight` unanswered, round robin over the vats.
fn drive(host: &Host, vats: usize, in_flight: usize, turns: u64, from: u64) -> Duration {
    let begun = Instant::now();
    let mut waiting: VecDeque<Update> = VecDeque::with_capacity(in_flight);
    for turn in from..from + turns {
        if waiting.len() == in_flight {
            let answer = waiting.pop_front().expect("as many as in flight");
            answer.wait().expect("answered").expect("an update");
        }
        waiting.push_back(update(&host.engine, turn as usize % vats, turn));
    }
    for answer in waiting {
        answer.wait().expect("answered").expect("an update");
    }
    begun.elapsed()
}

fn throughput(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("throughput");
    group.throughput(Throughput::Elements(1));
    let folder = folder().expect("a folder under target");
    let mut raw = RawDisk::new(folder.path(), 2048).expect("a file on the disk");
    group.bench_function("raw pwrite + fdatasync, 2 KiB", |bencher| {
        bencher.iter(|| raw.commit().expect("the disk writes"));
    });
    for vats in [1, 16] {
        let host = Host::with_vats(vats);
        let mut turn = 0;
        for in_flight in [1, 16, 64, 256, 1_024] {
            let id = BenchmarkId::new(format!("kv.update, {vats} vats"), in_flight);
            group.bench_with_input(id, &in_flight, |bencher, in_flight| {
                bencher.iter_custom(|iterations| {
                    turn += iterations;
                    drive(&host, vats, *in_flight, iterations, turn)
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, throughput);
criterion_main!(benches);
