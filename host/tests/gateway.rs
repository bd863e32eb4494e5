//! The gateway over raw sockets: permission, calls, errors, hostile bytes.

mod common;

use common::{Host, World};
use serde_json::{Value, json};

fn serving() -> (World, Host) {
    let world = World::new();
    let host = world.serve(&["run", "counter.js"]);
    (world, host)
}

fn request(id: u32, method: &str, params: Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

#[test]
fn a_method_is_called_and_answered() {
    let (_world, host) = serving();
    let answer = host.rpc("counter", &[], &request(7, "incr", json!([5])));
    assert_eq!(answer, json!({"jsonrpc": "2.0", "id": 7, "result": 5}));
    let link = host.report["link"].as_str().expect("has one").to_owned();
    let path = link
        .split_once("/vat/")
        .map(|(_, rest)| format!("/vat/{rest}"))
        .expect("a path");
    let (status, body) = host.post(&path, &[], &request(8, "read", json!([])));
    assert_eq!(
        (status, body.contains("\"result\":5")),
        (200, true),
        "{body}"
    );
}

#[test]
fn without_the_token_nothing_is_told() {
    let (world, host) = serving();
    let body = request(1, "incr", json!([]));
    let wrong = format!("Authorization: Bearer {}", "0".repeat(64));
    for vat in ["counter", "nobody"] {
        let path = format!("/vat/{vat}");
        assert_eq!(host.post(&path, &[], &body), (401, String::new()));
        assert_eq!(host.post(&path, &[&wrong], &body), (401, String::new()));
        assert_eq!(
            host.post(&format!("{path}?token=x"), &[], &body),
            (401, String::new())
        );
    }
    assert_eq!(world.ok(&["call", "counter", "read"]), "0");
    assert!(
        host.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .contains("ok")
    );
}

#[test]
fn errors_have_the_codes_of_the_contract() {
    let (_world, host) = serving();
    for (vat, body, code) in [
        ("counter", "{", -32700),
        ("counter", "[]", -32600),
        ("counter", r#"{"jsonrpc":"2.0","id":1}"#, -32600),
        ("counter", &request(1, "nope", json!([])), -32601),
        ("counter", &request(1, "read", json!({"a": 1})), -32602),
        ("counter", &request(1, "fail", json!(["x"])), -32000),
        ("nobody", &request(1, "read", json!([])), -32004),
    ] {
        let answer = host.rpc(vat, &[], body);
        assert_eq!(answer["error"]["code"], code, "{body}: {answer}");
    }
    let thrown = host.rpc("counter", &[], &request(1, "fail", json!(["ouch"])));
    assert_eq!(
        thrown["error"]["data"],
        json!({"name": "TypeError", "message": "ouch"})
    );
}

#[test]
fn a_key_answers_once_also_across_a_kill() {
    let (world, host) = serving();
    let key = &["Idempotency-Key: k-1"][..];
    let body = request(1, "incr", json!([]));
    assert_eq!(host.rpc("counter", key, &body)["result"], 1);
    assert_eq!(host.rpc("counter", key, &body)["result"], 1);
    host.kill();
    let host = world.host();
    assert_eq!(host.rpc("counter", key, &body)["result"], 1);
    assert_eq!(
        host.rpc("counter", &[], &request(2, "read", json!([])))["result"],
        1
    );
    let other = host.rpc("counter", key, &request(1, "incr", json!([2])));
    assert_eq!(other["error"]["code"], -32006, "{other}");
    let long = format!("Idempotency-Key: {}", "x".repeat(300));
    assert_eq!(
        host.rpc("counter", &[&long], &body)["error"]["code"],
        -32600
    );
}

#[test]
fn the_same_arguments_with_other_blanks_are_the_same_request() {
    let (_world, host) = serving();
    let key = &["Idempotency-Key: blanks"][..];
    let body =
        |params: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"echo","params":{params}}}"#);
    let first = host.rpc("counter", key, &body(r#"[1,{"a":"x y"}]"#));
    assert_eq!(first["result"], json!([1, {"a": "x y"}]));
    let again = host.rpc("counter", key, &body("[ 1, {\n\"a\" :\t\"x y\" } ]"));
    assert_eq!(again, first);
    let other = host.rpc("counter", key, &body(r#"[1,{"a":"x  y"}]"#));
    assert_eq!(other["error"]["code"], -32006, "{other}");
}

#[test]
fn a_batch_runs_in_order_and_keeps_its_ids() {
    let (_world, host) = serving();
    let body = r#"[{"jsonrpc":"2.0","id":"a","method":"incr"},
        {"jsonrpc":"2.0","method":"incr","params":[10]}, 5,
        {"jsonrpc":"2.0","id":"b","method":"read"}]"#;
    let answer = host.rpc("counter", &["Idempotency-Key: batch"], body);
    assert_eq!(
        (&answer[0]["id"], &answer[0]["result"]),
        (&json!("a"), &json!(1))
    );
    assert_eq!(answer[1]["error"]["code"], -32600);
    assert_eq!(
        (&answer[2]["id"], &answer[2]["result"]),
        (&json!("b"), &json!(11))
    );
    let again = host.rpc("counter", &["Idempotency-Key: batch"], body);
    assert_eq!(again, answer);
}

#[test]
fn a_request_without_an_id_is_run_and_not_answered() {
    let (world, host) = serving();
    let bearer = format!("Authorization: Bearer {}", host.token());
    let body = r#"{"jsonrpc":"2.0","method":"incr","params":[3]}"#;
    assert_eq!(
        host.post("/vat/counter", &[&bearer], body),
        (202, String::new())
    );
    world.until("counter", |sheet| sheet["turns"] == 2);
    assert_eq!(world.ok(&["call", "counter", "read"]), "3");
}

#[test]
fn numbers_and_mapped_values_pass_as_they_are() {
    let (_world, host) = serving();
    let params = json!([1.5, {"$bigint": "12345678901234567890"}, "é\u{0}", {"__proto__": 1}]);
    let answer = host.rpc("counter", &[], &request(1, "echo", params.clone()));
    assert_eq!(answer["result"], params);
}

#[test]
fn hostile_bytes_harm_nobody() {
    let (_world, host) = serving();
    let bearer = format!("Authorization: Bearer {}\r\n", host.token());
    let head = format!("POST /vat/counter HTTP/1.1\r\nHost: x\r\n{bearer}Connection: close\r\n");
    for (bytes, status) in [
        (format!("{head}Content-Length: 99999999999\r\n\r\n"), "413"),
        (format!("{head}Content-Length: 16777217\r\n\r\n"), "413"),
        (format!("{head}Content-Length: -1\r\n\r\n"), "400"),
        (format!("{head}{}\r\n", "X: y\r\n".repeat(100)), "431"),
        (format!("{head}X: {}\r\n\r\n", "y".repeat(300_000)), "431"),
        ("\u{0}\u{1}\u{2} nonsense\r\n\r\n".to_owned(), "400"),
        (
            "GET /vat/counter HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(),
            "405",
        ),
        (
            "GET /%ff%00/../x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(),
            "404",
        ),
    ] {
        let answer = host.raw(bytes.as_bytes());
        let said = answer.split(' ').nth(1);
        assert_eq!(said, Some(status), "{:.80}: {answer:.200}", bytes);
    }
    let chunk = format!("100000\r\n{}\r\n", "x".repeat(1 << 20));
    let endless = format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n{}",
        chunk.repeat(18)
    );
    let said = host.raw(endless.as_bytes());
    assert!(said.is_empty() || said.contains(" 413 "), "{said:.100}");
    // Half a request, left open while others are served.
    let _half = host.connect();
    assert_eq!(
        host.rpc("counter", &[], &request(1, "incr", json!([])))["result"],
        1
    );
}

#[test]
fn a_client_that_leaves_does_not_take_its_call_along() {
    use std::io::Write;
    let (world, host) = serving();
    let body = request(1, "wait", json!([]));
    let mut stream = host.connect();
    write!(
        stream,
        "POST /vat/counter?token={} HTTP/1.1\r\nHost: x\r\nIdempotency-Key: w\r\n\
         Content-Length: {}\r\n\r\n{body}",
        host.token(),
        body.len()
    )
    .expect("sends");
    world.until("counter", |sheet| sheet["open_requests"] == 1);
    drop(stream);
    world.ok(&["call", "counter", "go", "4"]);
    assert_eq!(
        host.rpc("counter", &["Idempotency-Key: w"], &body)["result"],
        4
    );
}
