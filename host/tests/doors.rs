//! What clients do to a host that serves others: half-closed connections, halves of requests,
//! connections without a token, more bytes than it may hold.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use common::{Host, World};
use serde_json::{Value, json};

/// Less than any time limit of the gateway: what takes longer waited for one.
const AT_ONCE: Duration = Duration::from_secs(8);

fn call(method: &str) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": []}).to_string()
}

/// The head of a request with the token, without the empty line that ends it.
fn head(host: &Host) -> String {
    let token = host.token();
    format!("POST /vat/counter HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n")
}

fn whole_request(host: &Host, method: &str) -> String {
    let body = call(method);
    let length = body.len();
    format!("{}Content-Length: {length}\r\n\r\n{body}", head(host))
}

/// Sends bytes, closes the sending side, and reads to the end.
fn half_closed(host: &Host, bytes: &str) -> String {
    let mut stream = host.connect();
    stream.write_all(bytes.as_bytes()).expect("sends");
    stream.shutdown(Shutdown::Write).expect("half-closes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("is answered");
    answer
}

/// Reads one response of a connection that stays open.
fn response(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    let is_whole = |text: &[u8]| {
        let text = String::from_utf8_lossy(text);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = head.to_lowercase();
        let length = length.split_once("content-length: ")?.1;
        let length: usize = length.lines().next()?.trim().parse().ok()?;
        (body.len() >= length).then_some(())
    };
    while is_whole(&text).is_none() {
        stream.read_exact(&mut byte).expect("an answer comes");
        text.push(byte[0]);
    }
    String::from_utf8(text).expect("is text")
}

/// One frame of the control protocol.
fn frame(message: &Value) -> Vec<u8> {
    let body = serde_json::to_vec(message).expect("is JSON");
    let mut frame = (body.len() as u32).to_le_bytes().to_vec();
    frame.extend(body);
    frame
}

fn wait_frame(id: &str) -> Vec<u8> {
    let ask = json!({"call": {"vat": "counter", "method": "wait", "args": "[]", "id": id}});
    frame(&json!({"v": 2, "id": 1, "ask": ask}))
}

#[test]
fn a_client_that_half_closes_gets_its_answer() {
    let world = World::new();
    let host = world.serve(&["run", "counter.js"]);
    let answer = half_closed(&host, &whole_request(&host, "incr"));
    assert!(answer.contains("\"result\":1"), "{answer}");
    // Also where the answer takes its time, at both doors.
    let answers = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| half_closed(&host, &whole_request(&host, "wait")));
        let mut socket = UnixStream::connect(world.data().join("control.sock")).expect("connects");
        socket.write_all(&wait_frame("half")).expect("sends");
        socket.shutdown(Shutdown::Write).expect("half-closes");
        world.until("counter", |sheet| sheet["open_requests"] == 2);
        world.ok(&["call", "counter", "go", "7"]);
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).expect("is answered");
        (waiting.join().expect("ends"), answer)
    });
    assert!(answers.0.contains("\"result\":7"), "{}", answers.0);
    let answer = String::from_utf8_lossy(&answers.1[4..]);
    assert!(answer.contains("\"ok\":7"), "{answer}");
}

#[test]
fn a_request_that_says_two_things_or_ends_before_its_end_is_refused_and_runs_nothing() {
    let world = World::new();
    let host = world.serve(&["run", "counter.js"]);
    let (head, body) = (head(&host), call("incr"));
    let length = body.len();
    let twice = "Idempotency-Key: a\r\nIdempotency-Key: a\r\n";
    for request in [
        format!("{head}{twice}Content-Length: {length}\r\n\r\n{body}"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n"),
        format!(
            "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n",
            length + 9
        ),
        format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n{body}\r\n0\r\n\r\n"),
        format!("{head}Content-Length: {}\r\n\r\n{body}", length + 1),
    ] {
        let answer = half_closed(&host, &request);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{request}: {answer}");
    }
    let chunked = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
    let answer = half_closed(
        &host,
        &format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunked}"),
    );
    assert!(answer.contains("\"result\":1"), "{answer}");
}

#[test]
fn connections_without_a_token_give_way_and_those_with_one_stay() {
    const CLIENTS: usize = 6;
    let world = World::new();
    world.ok(&["deploy", "counter.js", "--name", "counter"]);
    let host = world.serve(&["host", "--limit", &format!("gateway-clients={CLIENTS}")]);
    let mut strangers: Vec<TcpStream> = (0..CLIENTS).map(|_| host.connect()).collect();
    // One of them has begun a request and waits.
    strangers[0].write_all(b"POST /vat/coun").expect("sends");
    let began = Instant::now();
    let mut known: Vec<TcpStream> = (1..CLIENTS)
        .map(|expected| {
            let mut stream = host.connect();
            let request = whole_request(&host, "incr");
            stream.write_all(request.as_bytes()).expect("sends");
            let answer = response(&mut stream);
            assert!(
                answer.contains(&format!("\"result\":{expected}")),
                "{answer}"
            );
            stream
        })
        .collect();
    strangers.extend((0..CLIENTS * 5).map(|_| host.connect()));
    // More strangers than there is room for; a client with a token gets in, and none is cut off.
    assert_eq!(
        host.rpc("counter", &[], &call("read"))["result"],
        CLIENTS - 1
    );
    for stream in &mut known {
        let request = whole_request(&host, "read");
        stream.write_all(request.as_bytes()).expect("sends");
        let answer = response(stream);
        assert!(answer.contains("\"result\":5"), "{answer}");
    }
    assert!(began.elapsed() < AT_ONCE, "waited {:?}", began.elapsed());
}

#[test]
fn half_a_message_ends_its_connection_also_while_an_answer_is_waited_for() {
    let world = World::new();
    let _host = world.serve(&["run", "counter.js"]);
    let mut socket = UnixStream::connect(world.data().join("control.sock")).expect("connects");
    let patience = Some(Duration::from_secs(60));
    socket.set_read_timeout(patience).expect("sets it");
    socket.write_all(&wait_frame("half")).expect("sends");
    world.until("counter", |sheet| sheet["open_requests"] == 1);
    socket.write_all(&[9, 0, 0, 0, b'{']).expect("sends");
    // Its answer still comes, and then the end, not the timeout of this read.
    let read = std::thread::spawn(move || {
        let mut answer = Vec::new();
        let ended = socket.read_to_end(&mut answer);
        (ended.is_ok(), answer)
    });
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(33) {
        world.ok(&["ls"]);
    }
    world.ok(&["call", "counter", "go", "3"]);
    let (is_ended, answer) = read.join().expect("ends");
    assert!(is_ended, "the connection is still open");
    assert!(String::from_utf8_lossy(&answer).contains("\"ok\":3"));
}

/// Memory of a process that is in RAM, in bytes.
fn resident(host: &Host) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.pid()));
    let status = status.expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.expect("the kernel says it") << 10
}

#[test]
fn bytes_of_all_connections_have_one_bound_and_are_given_back() {
    const MIB: u64 = 1 << 20;
    let world = World::new();
    world.ok(&["deploy", "counter.js", "--name", "counter"]);
    let host = world.serve(&["host", "--limit", "connection-bytes=96MiB"]);
    let before = resident(&host);
    // Twenty messages of 31 MiB, each without its last byte, as far as the host takes them.
    let half = Duration::from_millis(500);
    let control = world.data().join("control.sock");
    let held: Vec<(UnixStream, TcpStream)> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(|| {
                    let mut socket = UnixStream::connect(&control).expect("connects");
                    socket.set_write_timeout(Some(half)).expect("sets it");
                    let bytes = vec![b' '; 31 << 20];
                    let length = bytes.len() as u32 + 1;
                    socket.write_all(&length.to_le_bytes()).expect("sends");
                    let _ = socket.write_all(&bytes);
                    let mut stream = host.connect();
                    stream.set_write_timeout(Some(half)).expect("sets it");
                    let head = head(&host) + "Content-Length: 16777216\r\n\r\n";
                    stream.write_all(head.as_bytes()).expect("sends");
                    let _ = stream.write_all(&bytes[..(16 << 20) - 1]);
                    (socket, stream)
                })
            })
            .collect();
        let ended = senders.into_iter().map(|sender| sender.join());
        ended.map(|sent| sent.expect("sent")).collect()
    });
    let during = resident(&host);
    assert!(during < before + 96 * MIB, "{before} and now {during}");
    assert!(
        during > before + 24 * MIB,
        "nothing was held: {before}, {during}"
    );
    // Small requests pass at both doors.
    let began = Instant::now();
    assert_eq!(host.rpc("counter", &[], &call("incr"))["result"], 1);
    assert_eq!(world.ok(&["call", "counter", "incr"]), "2");
    assert!(began.elapsed() < AT_ONCE, "waited {:?}", began.elapsed());
    drop(held);
    let began = Instant::now();
    while resident(&host) > before + 16 * MIB {
        world.ok(&["ls"]);
        let waited = began.elapsed() < Duration::from_secs(50);
        assert!(waited, "{before} and still {}", resident(&host));
    }
}
