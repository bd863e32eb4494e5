//! Methods that misbehave in every way a method can, through the real program: the caller's error
//! names the limit, the vat is as it was, the next call works, and a second vat notices nothing.

mod common;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use common::{Host, World};
use serde_json::{Value, json};

const HOSTILE: &str = "\
let n = 0;
const kept = [];
export default () => ({
  incr: () => ++n,
  loop: () => { n += 100; for (;;); },
  allocate: () => { n += 100; for (;;) kept.push(new Array(1000).fill(n)); },
  swallow: () => {
    n += 100;
    for (;;) { try { for (;;) kept.push(new Uint8Array(1 << 20)); } catch { } finally { n += 1; } }
  },
  recurse: () => { n += 100; const f = (x) => 1 + f(x + 1); return f(0); },
  promises: () => { n += 100; const f = () => Promise.resolve().then(f); return f(); },
  spawn: () => {
    n += 100;
    const f = () => { Promise.resolve().then(f); Promise.resolve().then(f); };
    f();
  },
  log: () => { n += 100; const line = 'x'.repeat(60000); for (;;) console.log(line); },
  big: () => { n += 100; return 'x'.repeat(100 << 20); },
  bigger: () => { n += 100; return Array.from({ length: 100 }, () => 'x'.repeat(1 << 20)); },
  getter: () => ({ get boom() { throw new Error('boom'); } }),
  proxy: () => new Proxy({}, {
    ownKeys() { throw new Error('boom'); },
    get() { throw new Error('boom'); },
  }),
  revoked: () => { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return proxy; },
  cycle: () => { const a = {}; a.a = a; return a; },
  deep: () => { let a = 1; for (let i = 0; i < 100000; i++) a = [a]; return a; },
  symbol: () => Symbol('s'),
  reject: () => Promise.reject({ get message() { throw new Error('boom'); } }),
  thrower: () => { throw { toString() { throw new Error('boom'); } }; },
  redefine: () => {
    for (const [where, what] of [
      [Array.prototype, 'push'], [Array.prototype, Symbol.iterator], [JSON, 'stringify'],
      [Object.prototype, 'toJSON'], [JSON, 'parse'], [Promise.prototype, 'then'],
      [Function.prototype, 'call'], [globalThis, 'Promise'], [globalThis, 'Array'],
      [Object, 'keys'], [Error, 'prepareStackTrace'],
    ]) {
      try { where[what] = () => { throw new Error('redefined'); }; } catch { }
    }
    return 'tried';
  },
});
";

/// The error of a call through the command line's socket.
fn error_of(world: &World, method: &str) -> Value {
    let said = world.run(&["--json", "call", "evil", method]);
    assert_ne!(said.status, 0, "{method}: {said:?}");
    let error: Value = serde_json::from_str(&said.err)
        .unwrap_or_else(|error| panic!("{method}: {error}: {said:?}"));
    error["error"].clone()
}

fn world_with_two() -> (World, Host) {
    let world = World::new().with("evil.js", HOSTILE);
    // What the walls of the sandbox give is tried elsewhere; here a turn may not last.
    let host = world.serve(&["host", "--limit", "turn=4s", "--limit", "gas=30_000_000"]);
    world.ok(&[
        "deploy",
        "evil.js",
        "--name",
        "evil",
        "--limit",
        "heap=64MiB",
    ]);
    world.ok(&["deploy", "counter.js", "--name", "good"]);
    (world, host)
}

#[test]
fn a_method_past_a_limit_is_undone_by_its_name_and_nobody_else_notices() {
    let (world, host) = world_with_two();
    let mut evil = 0;
    let mut good = 0;
    for (method, codes, words) in [
        ("loop", &[-32001][..], "gas"),
        ("allocate", &[-32002, -32001], "heap"),
        ("swallow", &[-32002], "heap"),
        ("recurse", &[-32002, -32003], "stack"),
        ("promises", &[-32001, -32002], ""),
        ("spawn", &[-32001, -32002], ""),
        ("log", &[-32001, -32003], ""),
        ("big", &[-32002, -32003], ""),
        ("bigger", &[-32002, -32003], ""),
    ] {
        let error = error_of(&world, method);
        let code = error["code"].as_i64().expect("has one");
        assert!(codes.contains(&code), "{method}: {error}");
        let message = error["message"].as_str().expect("has one");
        assert!(
            message.contains("undone") && message.contains(words),
            "{method}: {error}"
        );
        evil += 1;
        assert_eq!(
            world.ok(&["call", "evil", "incr"]),
            evil.to_string(),
            "{method}"
        );
        good += 1;
        assert_eq!(
            world.ok(&["call", "good", "incr"]),
            good.to_string(),
            "{method}"
        );
    }
    drop(host);
    assert_eq!(world.json(&["verify"])["damages"], json!([]));
}

#[test]
fn what_cannot_be_said_as_json_is_an_error_of_the_vat_and_changes_nothing_for_others() {
    let (world, _host) = world_with_two();
    let mut evil = 0;
    for method in [
        "getter", "proxy", "revoked", "cycle", "deep", "symbol", "reject", "thrower",
    ] {
        let error = error_of(&world, method);
        assert_eq!(error["code"], -32000, "{method}: {error}");
        evil += 1;
        assert_eq!(
            world.ok(&["call", "evil", "incr"]),
            evil.to_string(),
            "{method}"
        );
    }
    assert_eq!(world.ok(&["call", "evil", "redefine"]), "\"tried\"");
    assert_eq!(world.ok(&["call", "evil", "incr"]), (evil + 1).to_string());
    assert_eq!(world.ok(&["call", "good", "incr"]), "1");
}

/// One frame of the control protocol.
fn frame(message: &Value) -> Vec<u8> {
    let body = serde_json::to_vec(message).expect("is JSON");
    let mut frame = (body.len() as u32).to_le_bytes().to_vec();
    frame.extend(body);
    frame
}

fn answer(stream: &mut UnixStream) -> Value {
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("an answer comes");
    let mut body = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut body).expect("all of it");
    serde_json::from_slice(&body).expect("is JSON")
}

#[test]
fn calls_past_the_bound_of_those_that_wait_are_told_so_at_socket_and_gateway() {
    const CALLS: usize = 10_000;
    let world = World::new().with("evil.js", HOSTILE);
    let limits = [
        "--limit",
        "waiting=500",
        "--limit",
        "turn=60s",
        "--limit",
        "gas=2_000_000_000",
    ];
    let host = world.serve(&[&["host"], &limits[..]].concat());
    world.ok(&["deploy", "evil.js", "--name", "evil"]);
    world.ok(&["deploy", "counter.js", "--name", "good"]);
    // Busy for as long as this test floods it, whatever that takes.
    let looping = world.start(&["call", "evil", "loop"]);
    world.until("evil", |sheet| sheet["state"] == "awake");

    // Over the socket: forty connections of 250 calls each, all of them answered or waiting.
    let mut streams: Vec<UnixStream> = (0..CALLS / 250)
        .map(|_| UnixStream::connect(world.data().join("control.sock")).expect("connects"))
        .collect();
    for (at, stream) in streams.iter_mut().enumerate() {
        for call in 0..250 {
            let id = format!("{at}-{call}");
            let ask = json!({"call": {"vat": "evil", "method": "incr", "args": "[]", "id": id}});
            stream
                .write_all(&frame(&json!({"v": 2, "id": call, "ask": ask})))
                .expect("is read");
        }
    }
    // The gateway refuses as well, with the code and the words; the other vat does not notice.
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"incr","params":[]}"#;
    let refused = host.rpc("evil", &[], call);
    assert_eq!(refused["error"]["code"], -32005, "{refused}");
    let message = refused["error"]["message"].as_str().expect("has one");
    assert!(
        message.contains("overloaded") && message.contains("try again"),
        "{message}"
    );
    assert_eq!(host.rpc("good", &[], call)["result"], 1);

    // Every one of the ten thousand hears: those that waited ran once each, the others never.
    let loop_said = looping.finish();
    assert_eq!(loop_said.status, 1, "{loop_said:?}");
    let (mut values, mut refusals) = (Vec::new(), 0);
    for stream in &mut streams {
        for _ in 0..250 {
            let answer = answer(stream);
            match answer["ok"].as_u64() {
                Some(value) => values.push(value),
                None => {
                    assert_eq!(answer["error"]["code"], -32005, "{answer}");
                    refusals += 1;
                }
            }
        }
    }
    assert_eq!(values.len() + refusals, CALLS);
    assert!(refusals > 0 && values.len() >= 500, "{} ran", values.len());
    values.sort_unstable();
    let ran: Vec<u64> = (1..=values.len() as u64).collect();
    assert_eq!(values, ran, "each ran once");
}

#[test]
fn when_every_connection_is_taken_an_operator_still_gets_in() {
    let world = World::new();
    let _host = world.serve(&["run", "counter.js"]);
    // As many as the host takes, each with a call that waits for good.
    let mut held = Vec::new();
    for at in 0..1_024 {
        let mut stream = UnixStream::connect(world.data().join("control.sock")).expect("connects");
        let ask = json!({"call": {"vat": "counter", "method": "wait", "args": "[]",
            "id": format!("w{at}")}});
        stream
            .write_all(&frame(&json!({"v": 2, "id": 1, "ask": ask})))
            .expect("is read");
        held.push(stream);
    }
    world.until("counter", |sheet| sheet["turns"] == 1_025);
    let said = world.run(&["--json", "call", "counter", "incr"]);
    assert_eq!(said.status, 3, "{said:?}");
    assert!(said.err.contains("-32005"), "{said:?}");
    assert_eq!(world.json(&["ls"])[0]["name"], "counter");
    world.ok(&["terminate", "counter", "--yes"]);
    // Everybody who waited hears that there is nothing to wait for.
    for stream in &mut held {
        assert_eq!(answer(stream)["error"]["code"], -32004);
    }
}
