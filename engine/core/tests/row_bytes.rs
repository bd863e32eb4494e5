//! The core's rows of the catalog, byte by byte: they stand in stores everywhere.
//!
//! What a row holds is said beside its type, how it is coded in `store/FORMAT.md` ("Coding"); the
//! bytes below were worked out from there, not by the library that does the coding. A change of
//! them makes stores that exist unreadable. Whatever bytes a row has, it is read or refused.

use kenvat_core::api::{KilledBy, VatLimits};
use kenvat_core::rows::{
    ANSWER_ORDER, ANSWERS, AnswerRow, CLIENTS, COUNTERS, ClientRow, CountersRow, LIMITS, OPEN,
    OpenRow, OrderRow, POISON, PoisonRow, SOURCES, Settled, SourcesRow, TIMERS, TimerRow, VATS,
    VatRow, put, read,
};
use kenvat_wire::protocol::Thrown;

fn settled(settled: Settled) -> AnswerRow {
    AnswerRow::Settled {
        content: [6; 32],
        settled,
    }
}

/// Bytes as a person compares them.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn rows_have_the_bytes_they_had() {
    let rows = [
        (
            put(
                VATS,
                vec![],
                &VatRow {
                    name: "bank".into(),
                    engine: [9; 32],
                    page_limit: 65_536,
                    source_sha256: "ab".into(),
                    created_ms: 1_700_000_000_000,
                },
            ),
            concat!(
                "0462616e6b090909090909090909090909090909090909090909090909090909",
                "0909090909fc00000100026162fd00d0ca9f17030000"
            ),
        ),
        (
            put(
                COUNTERS,
                vec![],
                &CountersRow {
                    turns: 251,
                    used_pages: 140,
                },
            ),
            "fbfb008c",
        ),
        (
            put(
                SOURCES,
                vec![],
                &SourcesRow {
                    entry: "main.js".into(),
                    files: vec![("main.js".into(), "1".into())],
                    give: vec![("k".into(), "2".into())],
                    deny: vec!["timer".into()],
                },
            ),
            "076d61696e2e6a7301076d61696e2e6a73013101016b0132010574696d6572",
        ),
        (
            put(
                OPEN,
                vec![],
                &OpenRow {
                    key: Some(("http:".into(), "17".into())),
                    content: [4; 32],
                },
            ),
            concat!(
                "0105687474703a02313704040404040404040404040404040404040404040404",
                "04040404040404040404"
            ),
        ),
        (
            put(
                OPEN,
                vec![],
                &OpenRow {
                    key: None,
                    content: [4; 32],
                },
            ),
            "000404040404040404040404040404040404040404040404040404040404040404",
        ),
        (
            put(
                ANSWERS,
                vec![],
                &AnswerRow::Open {
                    vat: 7,
                    request: 1 << 40,
                    content: [5; 32],
                },
            ),
            concat!(
                "0007fd0000000000010000050505050505050505050505050505050505050505",
                "0505050505050505050505"
            ),
        ),
        (
            put(ANSWERS, vec![], &settled(Settled::Value("1".into()))),
            "010606060606060606060606060606060606060606060606060606060606060606000131",
        ),
        (
            put(
                ANSWERS,
                vec![],
                &settled(Settled::Thrown(Thrown {
                    name: "TypeError".into(),
                    message: "no".into(),
                    stack: String::new(),
                    nearest: vec!["a".into()],
                })),
            ),
            concat!(
                "0106060606060606060606060606060606060606060606060606060606060606",
                "060109547970654572726f72026e6f00010161"
            ),
        ),
        (
            put(
                ANSWERS,
                vec![],
                &settled(Settled::Killed {
                    by: KilledBy::Stack,
                    why: "deep".into(),
                }),
            ),
            concat!(
                "0106060606060606060606060606060606060606060606060606060606060606",
                "0602060464656570"
            ),
        ),
        (
            put(
                ANSWERS,
                vec![],
                &settled(Settled::Unavailable {
                    name: "bank".into(),
                    why: "gone".into(),
                }),
            ),
            concat!(
                "0106060606060606060606060606060606060606060606060606060606060606",
                "06030462616e6b04676f6e65"
            ),
        ),
        (put(ANSWERS, vec![], &AnswerRow::Gone), "02"),
        (
            put(
                ANSWER_ORDER,
                vec![],
                &OrderRow {
                    id: "17".into(),
                    bytes: 300,
                },
            ),
            "023137fb2c01",
        ),
        (
            put(
                CLIENTS,
                vec![],
                &ClientRow {
                    first: 1,
                    kept: 2,
                    next: 3,
                    bytes: 70_000,
                },
            ),
            "010203fc70110100",
        ),
        (
            put(
                POISON,
                vec![],
                &PoisonRow {
                    turn: 9,
                    content: [8; 32],
                    deaths: 2,
                },
            ),
            "09080808080808080808080808080808080808080808080808080808080808080802",
        ),
        (
            put(
                LIMITS,
                vec![],
                &VatLimits {
                    heap: Some(1 << 30),
                    gas: None,
                    turn_ms: Some(250),
                },
            ),
            "01fc000000400001fa",
        ),
        (put(TIMERS, vec![], &TimerRow { due_ms: -1 }), "01"),
    ];
    for (row, bytes) in &rows {
        let found = row.value.as_deref().expect("a value");
        assert_eq!(hex(found), *bytes, "table {}", row.table);
    }
}

/// Reads them as rows of each table.
fn read_all(bytes: &[u8]) {
    let _ = read::<VatRow>(VATS, bytes);
    let _ = read::<CountersRow>(COUNTERS, bytes);
    let _ = read::<SourcesRow>(SOURCES, bytes);
    let _ = read::<OpenRow>(OPEN, bytes);
    let _ = read::<AnswerRow>(ANSWERS, bytes);
    let _ = read::<OrderRow>(ANSWER_ORDER, bytes);
    let _ = read::<ClientRow>(CLIENTS, bytes);
    let _ = read::<PoisonRow>(POISON, bytes);
    let _ = read::<VatLimits>(LIMITS, bytes);
    let _ = read::<TimerRow>(TIMERS, bytes);
}

#[test]
fn whatever_the_bytes_a_row_is_read_or_refused() {
    let answer = settled(Settled::Unavailable {
        name: "bank".into(),
        why: "gone".into(),
    });
    let sources = SourcesRow {
        entry: "main.js".into(),
        files: vec![("main.js".into(), "1".into())],
        give: vec![],
        deny: vec!["timer".into()],
    };
    for row in [
        put(ANSWERS, vec![], &answer),
        put(SOURCES, vec![], &sources),
    ] {
        let mut bytes = row.value.expect("a value");
        for at in 0..bytes.len() {
            read_all(&bytes[..at]);
            let was = bytes[at];
            for value in 0..=255 {
                bytes[at] = value;
                read_all(&bytes);
            }
            bytes[at] = was;
        }
        read_all(&bytes);
    }
}
