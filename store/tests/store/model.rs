//! The store against its model, over random operations, folds, reopenings and crashes.

use crate::common::*;
use kenvat_store::backend::memory::{Crash, MemoryBackend};
use kenvat_store::{Options, Store};
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Choice>),
    Fold,
    FoldAround(Vec<Choice>, Vec<Choice>),
    Reopen,
    Crash(Crash),
    Close,
}

/// An operation on the vat whose turn it is, whichever exist then.
#[derive(Clone, Debug)]
enum Choice {
    Create,
    Heap(usize, Vec<RunOf>),
    Spill(usize, Vec<RunOf>),
    /// Rows by key and length, and bytes of log, with a delta or without one.
    Large(usize, Vec<RunOf>, Vec<(u8, usize)>, usize),
    Log(usize, usize),
    Row(u8, u8, Option<usize>),
    Terminate(usize),
}

fn runs() -> impl Strategy<Value = Vec<RunOf>> {
    let run = (
        0..PAGES,
        0..500usize,
        prop_oneof![
            4 => proptest::collection::vec(0..3u64, 1..12),
            1 => Just(Vec::new()),
        ],
    );
    proptest::collection::vec(run, 0..6).prop_map(|mut runs| {
        runs.sort();
        let (mut kept, mut after) = (Vec::new(), (0, 0));
        for mut run in runs {
            let (begin, end) = match &mut run {
                // Without words: pages of zeros, and how many.
                (page, pages, words) if words.is_empty() => {
                    *pages = (*pages % 12 + 1).min((PAGES - *page) as usize);
                    ((*page, 0), (*page + *pages as u32, 0))
                }
                (page, first, words) => ((*page, *first), (*page, *first + words.len())),
            };
            if begin >= after {
                kept.push(run);
                after = end;
            }
        }
        kept
    })
}

fn large() -> impl Strategy<Value = Choice> {
    let runs = prop_oneof![runs(), Just(Vec::new())];
    let rows = proptest::collection::vec((0..6u8, 0..9000usize), 0..4);
    // Up to more than a log's two files hold.
    let log = prop_oneof![Just(0), 1..9000usize, 1..400_000usize];
    (0..9usize, runs, rows, log)
        .prop_map(|(vat, runs, rows, log)| Choice::Large(vat, runs, rows, log))
}

fn choice() -> impl Strategy<Value = Choice> {
    prop_oneof![
        2 => Just(Choice::Create),
        8 => (0..9usize, runs()).prop_map(|(vat, runs)| Choice::Heap(vat, runs)),
        2 => (0..9usize, runs()).prop_map(|(vat, runs)| Choice::Spill(vat, runs)),
        2 => large(),
        3 => (0..9usize, 1..40_000usize).prop_map(|(vat, len)| Choice::Log(vat, len)),
        4 => (0..3u8, 0..6u8, proptest::option::of(0..900usize))
            .prop_map(|(table, key, len)| Choice::Row(table, key, len)),
        1 => (0..9usize).prop_map(Choice::Terminate),
    ]
}

fn choices() -> impl Strategy<Value = Vec<Choice>> {
    proptest::collection::vec(choice(), 1..5)
}

fn step() -> impl Strategy<Value = Step> {
    let crash = prop_oneof![
        Just(Crash::Lost),
        Just(Crash::Kept),
        any::<u64>().prop_map(|seed| Crash::Torn { seed }),
        any::<u64>().prop_map(|seed| Crash::Reordered { seed }),
    ];
    prop_oneof![
        12 => choices().prop_map(Step::Commit),
        2 => Just(Step::Fold),
        2 => (choices(), choices()).prop_map(|(before, after)| Step::FoldAround(before, after)),
        1 => Just(Step::Reopen),
        2 => crash.prop_map(Step::Crash),
        1 => Just(Step::Close),
    ]
}

fn changed(ops: &[Op], vat: u64) -> bool {
    ops.iter().any(|op| match op {
        Op::Heap(of, _) | Op::Spill(of, _) => *of == vat,
        Op::Large(of, large) => *of == vat && !large.chunks.is_empty(),
        _ => false,
    })
}

/// The choices as operations that make sense now.
fn ops(driver: &mut Driver, choices: &[Choice]) -> Vec<Op> {
    let mut model = driver.known.acknowledged.clone();
    let mut ops = vec![Op::Row(
        3,
        b"step".to_vec(),
        Some(vec![choices.len() as u8]),
    )];
    let mut spills = BTreeSet::new();
    for choice in choices {
        let pick = |n: usize| model.vats.keys().copied().nth(n % model.vats.len().max(1));
        let op = match choice {
            Choice::Create => Some(Op::Create(driver.store.next_vat_id().0)),
            Choice::Heap(n, runs) => pick(*n)
                .filter(|vat| !spills.contains(vat))
                .map(|vat| Op::Heap(vat, runs.clone())),
            // No other change of that heap is in the frame.
            Choice::Spill(n, runs) => pick(*n).filter(|vat| !changed(&ops, *vat)).map(|vat| {
                spills.insert(vat);
                Op::Spill(vat, runs.iter().map(|run| vec![run.clone()]).collect())
            }),
            Choice::Large(n, runs, rows, log) => {
                let vat = pick(*n).filter(|vat| runs.is_empty() || !changed(&ops, *vat));
                vat.map(|vat| {
                    if !runs.is_empty() {
                        spills.insert(vat);
                    }
                    let row = |(key, len): &(u8, usize)| (1, vec![*key], vec![!*key; *len]);
                    let large = Large {
                        chunks: runs.iter().map(|run| vec![run.clone()]).collect(),
                        rows: rows.iter().map(row).collect(),
                        log: (0..*log).map(|n| (n / 1000) as u8).collect(),
                    };
                    Op::Large(vat, large)
                })
            }
            Choice::Log(n, len) => pick(*n).map(|vat| Op::Log(vat, vec![*len as u8; *len])),
            Choice::Row(table, key, len) => {
                Some(Op::Row(*table, vec![*key], len.map(|len| vec![*key; len])))
            }
            Choice::Terminate(n) => pick(*n).map(Op::Terminate),
        };
        if let Some(op) = op {
            model.apply(&op);
            ops.push(op);
        }
    }
    ops
}

/// The model, but that a log keeps its last bytes only.
fn is_same(found: &Model, model: &Model) -> bool {
    let is_log_kept = |found: &[u8], all: &[u8]| {
        all.ends_with(found) && (found.len() == all.len() || found.len() > 64 << 10)
    };
    found.rows == model.rows
        && found.vats.keys().eq(model.vats.keys())
        && found
            .vats
            .values()
            .zip(model.vats.values())
            .all(|(found, model)| found.words == model.words && is_log_kept(&found.log, &model.log))
}

fn run(steps: &[Step]) -> Result<(), TestCaseError> {
    let mut disk = MemoryBackend::new();
    // Commits go on while a fold runs, however much they write.
    let options = Options {
        journal_bytes_max: 1 << 30,
        ..tiny()
    };
    let open = |disk: &MemoryBackend| Store::open(disk.clone(), options.clone()).unwrap().0;
    let mut store = open(&disk);
    let engine = put_engine(&mut store).unwrap();
    let mut driver = Driver {
        store,
        known: Known::default(),
        engine,
    };
    for step in steps {
        match step {
            Step::Commit(choices) => {
                let ops = ops(&mut driver, choices);
                driver.commit(&ops).map_err(TestCaseError::fail)?;
            }
            Step::Fold => driver.store.fold().unwrap(),
            Step::FoldAround(before, after) => {
                let before = ops(&mut driver, before);
                let fold = driver.store.begin_fold().unwrap();
                driver.commit(&before).map_err(TestCaseError::fail)?;
                let folded = fold.map(|fold| fold.run().unwrap());
                let after = ops(&mut driver, after);
                driver.commit(&after).map_err(TestCaseError::fail)?;
                if let Some(folded) = folded {
                    driver.store.finish_fold(folded).unwrap();
                }
            }
            Step::Reopen => {
                drop(driver.store);
                driver.store = open(&disk);
            }
            Step::Crash(crash) => {
                let crashed = disk.crash(*crash);
                drop(driver.store);
                disk = crashed;
                driver.store = open(&disk);
            }
            Step::Close => {
                driver.store.close().unwrap();
                driver.store = open(&disk);
            }
        }
        let found = contents(&mut driver.store).map_err(TestCaseError::fail)?;
        let model = &driver.known.acknowledged;
        prop_assert!(
            is_same(&found, model),
            "after {step:?}: {found:?}\n{model:?}"
        );
    }
    prop_assert_eq!(driver.store.verify().unwrap().damages, []);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_its_model(steps in proptest::collection::vec(step(), 1..40)) {
        run(&steps)?;
    }
}
