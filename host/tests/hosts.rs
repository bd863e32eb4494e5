//! A host that serves, is killed, and goes on.

mod common;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::time::Instant;

use common::{COUNTER, PATIENCE, World};
use rustix::process::Signal;
use serde_json::json;

#[test]
fn a_vat_goes_on_after_its_host_was_killed() {
    let world = World::new();
    let host = world.serve(&["run", "counter.js"]);
    assert_eq!(
        (&host.report["name"], &host.report["new"]),
        (&json!("counter"), &json!(true))
    );
    for expected in 1..=5 {
        assert_eq!(world.ok(&["call", "counter", "incr"]), expected.to_string());
    }
    assert_eq!(world.ok(&["call", "--id", "six", "counter", "incr"]), "6");
    host.kill();
    let host = world.serve(&["run", "counter.js"]);
    assert_eq!(host.report["new"], false);
    assert_eq!(world.ok(&["call", "--id", "six", "counter", "incr"]), "6");
    assert_eq!(world.ok(&["call", "counter", "read"]), "6");
    host.kill();
    assert_eq!(world.ok(&["call", "--id", "six", "counter", "incr"]), "6");
    assert_eq!(world.ok(&["call", "counter", "incr"]), "7");
}

#[test]
fn a_call_whose_host_dies_is_answered_once_by_the_next() {
    let world = World::new();
    let host = world.serve(&["run", "counter.js"]);
    let waiting = world.start(&["call", "counter", "wait"]);
    world.until("counter", |sheet| sheet["open_requests"] == 1);
    host.kill();
    // The next host or the call itself wins the lock; if the call does, it makes way.
    let next = world.host();
    world.until("counter", |sheet| sheet["open_requests"] == 1);
    world.ok(&["call", "counter", "go", "9"]);
    let said = waiting.finish();
    assert_eq!((said.status, said.out.as_str()), (0, "9\n"), "{said:?}");
    assert_eq!(world.json(&["show", "counter"])["open_requests"], 0);
    assert_eq!(next.stop().status, 0);
}

#[test]
fn a_call_that_holds_the_store_makes_way_for_a_host() {
    let world = World::new();
    world.ok(&["deploy", "counter.js", "--name", "counter"]);
    let mut waiting = world.start(&["-v", "call", "counter", "wait"]);
    let mut said = BufReader::new(waiting.child().stderr.take().expect("is piped")).lines();
    let opened = said.find(|line| line.as_ref().expect("is text").contains("no host runs"));
    opened.expect("is said").expect("is text");
    let host = world.host();
    world.until("counter", |sheet| sheet["open_requests"] == 1);
    world.ok(&["call", "counter", "go", "3"]);
    assert_eq!(waiting.finish().out, "3\n");
    assert_eq!(host.stop().status, 0);
}

#[test]
fn a_stopped_host_says_so_and_leaves_nothing_behind() {
    let world = World::new();
    let host = world.serve(&["run", "counter.js"]);
    let socket = world.data().join("control.sock");
    let mode = |name: &str| {
        let path = world.data().join(name);
        std::fs::metadata(path)
            .expect("is there")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!((mode("control.sock"), mode("token")), (0o600, 0o600));
    assert_eq!(world.ok(&["call", "counter", "incr"]), "1");
    let said = host.stop();
    assert_eq!((said.status, said.err.as_str()), (0, ""), "{said:?}");
    assert!(!socket.exists());
    assert_eq!(world.ok(&["call", "counter", "read"]), "1");
}

#[test]
fn what_a_killed_host_left_is_replaced() {
    let world = World::new();
    let host = world.serve(&["run", "counter.js"]);
    let token = host.token();
    host.kill();
    assert!(world.data().join("control.sock").exists());
    let host = world.host();
    assert_eq!(host.token(), token);
    assert_eq!(world.ok(&["call", "counter", "incr"]), "1");
}

#[test]
fn a_socket_that_outlives_its_host_for_a_moment_is_not_taken_for_one() {
    let world = World::new();
    world.serve(&["run", "counter.js"]).kill();
    let path = world.data().join("control.sock");
    std::fs::remove_file(&path).expect("a killed host leaves it");
    // What a worker that is being started inherits: connected to, never accepted, then closed.
    let inherited = UnixListener::bind(&path).expect("binds");
    let host = std::thread::scope(|scope| {
        scope.spawn(|| {
            let connected = inherited.accept().expect("the next host tries it");
            drop((connected, inherited));
        });
        world.host()
    });
    assert_eq!(world.ok(&["call", "counter", "incr"]), "1");
    host.kill();
}

#[test]
fn a_second_host_is_refused_with_the_pid_of_the_first() {
    let world = World::new();
    let host = world.serve(&["run", "counter.js"]);
    let pid = host.pid().to_string();
    for args in [
        &["host", "--listen", "127.0.0.1:0"][..],
        &["run", "counter.js"],
    ] {
        let said = world.run(args);
        assert_eq!(said.status, 3, "{said:?}");
        assert!(said.err.contains(&pid), "{said:?}");
    }
    let said = world.run(&["run", "counter.js"]);
    assert!(
        said.err.contains("kenvat deploy counter.js --name counter"),
        "{said:?}"
    );
    let made = world.json(&["deploy", "counter.js", "--name", "c2"]);
    let url = made["url"].as_str().expect("the host serves it");
    assert!(
        url.starts_with("http://127.0.0.1:") && url.ends_with("/vat/c2"),
        "{url}"
    );
    assert_eq!(world.ok(&["call", "c2", "incr"]), "1");
}

#[test]
fn a_port_that_is_taken_is_said_and_nothing_is_deployed() {
    let world = World::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = taken.local_addr().expect("has one").to_string();
    let said = world.run(&["run", "counter.js", "--listen", &address]);
    assert_eq!(said.status, 3, "{said:?}");
    for part in [
        address.as_str(),
        &std::process::id().to_string(),
        "--listen",
    ] {
        assert!(said.err.contains(part), "{part}: {said:?}");
    }
    assert_eq!(world.json(&["ls"]), json!([]));
}

#[test]
fn a_path_too_long_for_a_socket_works_all_the_same() {
    let world = World::new().with_data(&format!("{}/{}", "d".repeat(100), "e".repeat(100)));
    let host = world.serve(&["run", "counter.js"]);
    assert_eq!(world.ok(&["call", "counter", "incr"]), "1");
    let verbose = world.run(&["-v", "call", "counter", "incr"]);
    assert!(
        verbose.err.contains(&format!("process {}", host.pid())),
        "{verbose:?}"
    );
    assert_eq!(host.stop().status, 0);
    assert_eq!(world.ok(&["call", "counter", "incr"]), "3");
}

#[test]
fn a_curious_person_is_told_whether_workers_are_behind_landlock() {
    let world = World::new();
    for args in [&["-v", "host"][..], &["-v", "run", "counter.js"]] {
        let said = world.serve(args).stop();
        let told = said.err.matches("workers are behind Landlock ").count()
            + said.err.matches("workers are without Landlock: ").count();
        assert_eq!(told, 1, "{said:?}");
    }
}

#[test]
fn other_sources_are_said_and_fresh_begins_anew() {
    let world = World::new();
    world.serve(&["run", "counter.js"]).stop();
    world.ok(&["call", "counter", "incr"]);
    let unchanged = world.serve(&["run", "counter.js"]).stop();
    assert_eq!(unchanged.err, "");
    world.write("counter.js", format!("{COUNTER}// changed\n").as_bytes());
    let host = world.serve(&["run", "counter.js"]);
    assert_eq!(world.ok(&["call", "counter", "read"]), "1");
    let said = host.stop();
    assert!(said.err.contains("--fresh"), "{said:?}");
    let refused = world.run(&["run", "counter.js", "--listen", "127.0.0.1:0", "--fresh"]);
    assert_eq!(refused.status, 2, "{refused:?}");
    assert!(refused.err.contains("--yes"), "{refused:?}");
    assert_eq!(world.ok(&["call", "counter", "read"]), "1");
    // A program that does not start does not cost the vat it was to replace.
    world.write(
        "broken.js",
        b"export default () => { throw new Error('never'); };",
    );
    let fresh = ["run", "broken.js", "--name", "counter", "--fresh", "--yes"];
    let said = world.run(&[&fresh[..], &["--listen", "127.0.0.1:0"]].concat());
    assert_eq!(said.status, 1, "{said:?}");
    assert!(
        said.err.contains("never") && said.err.contains("as it was"),
        "{said:?}"
    );
    assert_eq!(world.json(&["ls"]).as_array().expect("a list").len(), 1);
    assert_eq!(world.ok(&["call", "counter", "read"]), "1");
    let host = world.serve(&["run", "counter.js", "--fresh", "--yes"]);
    assert_eq!(world.ok(&["call", "counter", "read"]), "0");
    assert_eq!(host.stop().err, "");
}

#[test]
fn a_program_that_does_not_start_ends_run_and_leaves_no_vat() {
    let world = World::new().with("bad.js", "export default () => {\n  missing();\n};\n");
    let said = world.run(&["run", "bad.js", "--listen", "127.0.0.1:0"]);
    assert_eq!(said.status, 1, "{said:?}");
    for part in ["ReferenceError", "bad.js:2:", "missing();"] {
        assert!(said.err.contains(part), "{part}: {said:?}");
    }
    assert_eq!(world.json(&["ls"]), json!([]));
}

#[test]
fn ctrl_c_leaves_a_call_with_its_id_and_the_call_goes_on() {
    let world = World::new();
    let _host = world.serve(&["run", "counter.js"]);
    let waiting = world.start(&["call", "counter", "wait"]);
    world.until("counter", |sheet| sheet["open_requests"] == 1);
    waiting.signal(Signal::INT);
    let said = waiting.finish();
    assert_eq!(said.status, 4, "{said:?}");
    let id = said
        .err
        .split("--id ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let id = id.expect("the id is said").to_owned();
    world.ok(&["call", "counter", "go", "\"late\""]);
    assert_eq!(
        world.ok(&["call", "--id", &id, "counter", "wait"]),
        "\"late\""
    );
}

#[test]
fn a_followed_log_shows_what_comes_across_hosts() {
    let world = World::new();
    let host = world.serve(&["run", "counter.js"]);
    world.ok(&["call", "counter", "say", "one"]);
    let mut follower = world.start(&["logs", "counter", "-f"]);
    let out = follower.child().stdout.take().expect("is piped");
    let mut lines = BufReader::new(out)
        .lines()
        .map(|line| line.expect("is text"));
    assert!(lines.next().expect("a line").ends_with(" log one"));
    world.ok(&["call", "counter", "say", "two"]);
    assert!(lines.next().expect("a line").ends_with(" log two"));
    host.kill();
    let _host = world.host();
    world.ok(&["call", "counter", "say", "three"]);
    assert!(lines.next().expect("a line").ends_with(" log three"));
    follower.kill();
}

#[test]
fn short_commands_wait_for_each_other() {
    let world = World::new();
    world.ok(&["deploy", "counter.js", "--name", "counter"]);
    let all: Vec<_> = (0..6)
        .map(|_| world.start(&["call", "counter", "incr"]))
        .collect();
    let mut said: Vec<String> = all
        .into_iter()
        .map(|one| {
            let said = one.finish();
            assert_eq!(said.status, 0, "{said:?}");
            said.out.trim().to_owned()
        })
        .collect();
    said.sort();
    assert_eq!(said, ["1", "2", "3", "4", "5", "6"]);
}

#[test]
fn a_host_whose_disk_fails_ends_and_the_next_one_recovers() {
    let world = World::new();
    let host = world.serve(&["run", "counter.js"]);
    assert_eq!(world.ok(&["call", "counter", "incr"]), "1");
    // The next line of a log has nowhere to go: an error of the disk, before the commit.
    let logs = world.data().join("logs");
    std::fs::remove_dir_all(&logs).expect("is there");
    std::fs::write(&logs, "").expect("writes");
    let call = world.start(&["call", "--timeout", "1", "counter", "say", "hello"]);
    let said = host.end();
    assert_eq!(said.status, 3, "{said:?}");
    assert!(said.err.contains("logs"), "{said:?}");
    call.finish();
    std::fs::remove_file(&logs).expect("is there");
    std::fs::create_dir(&logs).expect("makes it");
    assert_eq!(world.ok(&["call", "counter", "incr"]), "2");
    // What it said is not known to have happened, so it is not told (T4).
    assert!(!world.ok(&["logs", "counter"]).contains("hello"));
    world.ok(&["call", "counter", "say", "again"]);
    assert!(world.ok(&["logs", "counter"]).contains("again"));
}

/// Damages the engine's executable, and calls until the host has written it again, which it remarks
/// upon.
fn has_the_engine_repaired(world: &World) {
    let engines = std::fs::read_dir(world.data().join("engines")).expect("is there");
    let mut files = engines.map(|entry| entry.expect("is there").path());
    let file = files.find(|path| path.extension().is_none());
    let file = file.expect("the engine's executable");
    let whole = std::fs::read(&file).expect("is there");
    let mut damaged = whole.clone();
    *damaged.last_mut().expect("not empty") ^= 1;
    std::fs::write(&file, damaged).expect("writes");
    let began = Instant::now();
    while std::fs::read(&file).expect("is there") != whole {
        world.ok(&["call", "counter", "incr"]);
        assert!(began.elapsed() < PATIENCE, "the engine is still damaged");
    }
}

#[test]
fn a_host_goes_on_when_nobody_reads_what_it_remarks() {
    let world = World::new();
    world.ok(&["deploy", "counter.js", "--name", "counter"]);
    // Once with a reader: there is something to remark.
    let host = world.host();
    has_the_engine_repaired(&world);
    let said = host.stop();
    assert!(said.err.contains("wrote it again"), "{}", said.err);
    let mut host = world.host();
    host.close_stderr();
    has_the_engine_repaired(&world);
    let before = world.ok(&["call", "counter", "read"]);
    let before: u64 = before.parse().expect("a number");
    let after = world.ok(&["call", "counter", "incr"]);
    assert_eq!(after, (before + 1).to_string());
    assert_eq!(host.stop().status, 0);
}
