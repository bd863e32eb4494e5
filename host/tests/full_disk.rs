//! A disk that runs full under a host, on real small file systems where they can be mounted: ext4
//! in a file, with a user's quota too, and one in memory; else it is said that nothing was tested.
//! And a folder that cannot be written, and files that may not be longer (`ulimit -f`).

mod common;

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Said, World};
use tempfile::TempDir;

/// Holds what it is given, and logs.
const HOARD: &str = "\
export default () => {
  const kept = [];
  let n = 0;
  return {
    keep: (mib) => kept.push(new Uint8Array(mib * 1048576).fill(kept.length + 1)),
    count: () => kept.length,
    sound: () => kept.every((bytes, at) => bytes.every((byte) => byte === at + 1)),
    incr: () => (n += 1),
    read: () => n,
    say: (text) => { console.log(text); },
  };
};
";

/// A store's segment, ballast, engine and catalog, and some room to fill.
const DISK_MIB: u64 = 176;
/// What is left free when the disk is filled.
const LEFT_MIB: u64 = 5;
/// Two of a host's looks for room, and more.
const LOOKS: Duration = Duration::from_millis(2500);

/// A file system of its own, unmounted at the end.
struct Mount {
    folder: TempDir,
    what: &'static str,
    /// What starts those who are to find it full.
    starter: &'static [&'static str],
}

impl Mount {
    fn ext4() -> Option<Mount> {
        Mount::in_a_file("ext4", DISK_MIB, &[], "loop")
    }

    /// A large disk, of which this user may have as much as a small one. Root may pass its limits,
    /// but for one right that is left out.
    fn quota() -> Option<Mount> {
        let features = ["-O", "quota", "-E", "quotatype=usrquota"];
        let mut mount = Mount::in_a_file("quota", 2 * DISK_MIB, &features, "loop,usrquota")?;
        mount.starter = &["setpriv", "--bounding-set", "-sys_resource"];
        let blocks = (DISK_MIB << 10).to_string();
        let limit = ["-u", "0", "0", &blocks, "0", "0"];
        run("setquota", &limit, &[&mount.path()]).then_some(mount)
    }

    fn in_a_file(what: &'static str, mib: u64, features: &[&str], options: &str) -> Option<Mount> {
        let folder = tempfile::tempdir().expect("a folder");
        let image = folder.path().join("image");
        let file = File::create(&image).expect("makes it");
        file.set_len(mib << 20).expect("grows it");
        let make = [&["-q", "-F", "-m", "0"], features].concat();
        let made = run("mkfs.ext4", &make, &[&image]);
        let mount = Mount::at(folder, what);
        (made && run("mount", &["-o", options], &[&image, &mount.path()])).then_some(mount)
    }

    fn memory() -> Option<Mount> {
        let folder = tempfile::tempdir().expect("a folder");
        let mount = Mount::at(folder, "tmpfs");
        let size = format!("size={DISK_MIB}m");
        let options = ["-t", "tmpfs", "-o", size.as_str(), "none"];
        run("mount", &options, &[&mount.path()]).then_some(mount)
    }

    fn at(folder: TempDir, what: &'static str) -> Mount {
        std::fs::create_dir(folder.path().join("mnt")).expect("makes it");
        Mount {
            folder,
            what,
            starter: &[],
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("mnt")
    }

    /// Fills it up but for so many MiB.
    fn fill(&self, left_mib: u64) {
        let path = self.path().join("filler");
        let into = format!("of={}", path.display());
        let fill = [self.starter, &["dd", "if=/dev/zero", &into, "bs=1M"]].concat();
        assert!(!run(fill[0], &fill[1..], &[]), "it has no end");
        let file = OpenOptions::new().write(true).open(&path);
        let file = file.expect("opens it");
        let len = file.metadata().expect("measures it").len();
        file.set_len(len.saturating_sub(left_mib << 20))
            .expect("cuts it");
        file.sync_all().expect("syncs it");
    }

    fn empty(&self) {
        std::fs::remove_file(self.path().join("filler")).expect("removes it");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run("umount", &["-l"], &[&self.path()]);
    }
}

/// Whether a program could be run and succeeded.
fn run(program: &str, options: &[&str], paths: &[&Path]) -> bool {
    let mut command = Command::new(program);
    command.args(options).args(paths).stdin(Stdio::null());
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn is_full(said: &Said) -> bool {
    said.status == 3 && said.err.contains("full") && said.err.contains("nothing was done")
}

#[test]
fn i2_on_ext4_calls_that_need_room_are_refused_and_it_goes_on_when_there_is_some() {
    match Mount::ext4() {
        Some(mount) => fills_and_goes_on(&mount),
        None => println!("not tested: no ext4 could be mounted here"),
    }
}

#[test]
fn i2_within_a_quota_calls_that_need_room_are_refused_and_it_goes_on_when_there_is_some() {
    match Mount::quota() {
        Some(mount) => fills_and_goes_on(&mount),
        None => println!("not tested: no ext4 with a quota could be mounted here"),
    }
}

#[test]
fn i2_on_tmpfs_calls_that_need_room_are_refused_and_it_goes_on_when_there_is_some() {
    match Mount::memory() {
        Some(mount) => fills_and_goes_on(&mount),
        None => println!("not tested: no tmpfs could be mounted here"),
    }
}

fn fills_and_goes_on(mount: &Mount) {
    let world = World::new()
        .with("hoard.js", HOARD)
        .with_data_at(mount.path().join("data"));
    for name in ["counter", "hoard"] {
        world.ok(&["deploy", &format!("{name}.js"), "--name", name]);
    }
    let serve = || world.serve_by(mount.starter, &["host"]);
    let host = serve();
    world.ok(&["call", "hoard", "keep", "1"]);
    world.ok(&["call", "hoard", "incr"]);
    world.ok(&["call", "counter", "incr"]);
    mount.fill(LEFT_MIB);
    let what = mount.what;
    let mut kept = 1;
    let refused = loop {
        let said = world.run(&["call", "hoard", "keep", "1"]);
        if said.status != 0 {
            break said;
        }
        kept += 1;
        assert!(
            kept <= LEFT_MIB + 4,
            "{what}: {kept} MiB found room on a full disk"
        );
    };
    assert!(is_full(&refused), "{what}: {refused:?}");
    // Nothing of it is there, and what needs no room is done, here and elsewhere.
    let count = |kept: u64| assert_eq!(world.ok(&["call", "hoard", "count"]), kept.to_string());
    count(kept);
    assert_eq!(world.ok(&["call", "hoard", "incr"]), "2", "{what}");
    assert_eq!(world.ok(&["call", "counter", "incr"]), "2", "{what}");
    // More than a piece of ballast may have left over.
    let again = world.run(&["call", "hoard", "keep", "3", "--id", "later"]);
    assert!(is_full(&again), "{what}: {again:?}");
    // It is said for as long as it is so, although the host looks for room meanwhile.
    let told = Instant::now();
    while told.elapsed() < LOOKS {
        assert!(world.ok(&["ls"]).contains("disk full"), "{what}");
        let (_, health) = host.get("/healthz");
        assert!(health.contains("the disk is full"), "{what}: {health}");
    }
    let deployed = world.run(&["deploy", "hoard.js", "--name", "other"]);
    assert!(
        is_full(&deployed) || deployed.status == 0,
        "{what}: {deployed:?}"
    );
    // The host is killed on the full disk, and comes back there.
    host.kill();
    let host = serve();
    count(kept);
    assert_eq!(world.ok(&["call", "hoard", "read"]), "2", "{what}");
    // Room, and the next call finds it, under the id that was refused.
    mount.empty();
    let found = world.ok(&["call", "hoard", "keep", "3", "--id", "later"]);
    kept += 1;
    assert_eq!(found, kept.to_string(), "{what}");
    assert_eq!(world.ok(&["call", "hoard", "incr"]), "3", "{what}");
    host.kill();
    let host = serve();
    count(kept);
    assert_eq!(world.ok(&["call", "hoard", "sound"]), "true", "{what}");
    assert_eq!(world.ok(&["call", "hoard", "read"]), "3", "{what}");
    assert_eq!(world.ok(&["call", "counter", "read"]), "2", "{what}");
    let (_, health) = host.get("/healthz");
    assert_eq!(health, "ok\n", "{what}");
    host.stop();
    world.ok(&["verify"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_said_plainly() {
    let Some(mount) = Mount::memory() else {
        println!("not tested: no tmpfs could be mounted here");
        return;
    };
    let world = World::new().with_data_at(mount.path().join("data"));
    world.ok(&["deploy", "counter.js", "--name", "counter"]);
    assert!(run("mount", &["-o", "remount,ro"], &[&mount.path()]));
    let said = world.run(&["call", "counter", "incr"]);
    assert_eq!(said.status, 3, "{said:?}");
    assert!(said.err.contains("may only be read"), "{said:?}");
    // What only reads works all the same.
    world.ok(&["verify"]);
    assert!(run("mount", &["-o", "remount,rw"], &[&mount.path()]));
    assert_eq!(world.ok(&["call", "counter", "incr"]), "1");
    world.ok(&["verify"]);
}

/// Blocks a file may have, of 512 bytes or 1,024 as the shell likes: more than a journal segment,
/// less than an image.
const FILE_BLOCKS: u32 = 40_000;

#[test]
fn a_file_that_may_not_be_longer_refuses_what_needs_it_and_ends_nothing() {
    let world = World::new().with("hoard.js", HOARD);
    for name in ["counter", "hoard"] {
        world.ok(&["deploy", &format!("{name}.js"), "--name", name]);
    }
    let limited = format!("ulimit -f {FILE_BLOCKS}; exec \"$0\" \"$@\"");
    let host = world.serve_by(&["sh", "-c", limited.as_str()], &["host"]);
    world.ok(&["call", "hoard", "incr"]);
    let refused = world.run(&["call", "hoard", "keep", "60", "--id", "large"]);
    assert!(
        refused.status == 3 && refused.err.contains("File too large"),
        "{refused:?}"
    );
    assert!(refused.err.contains("nothing was done"), "{refused:?}");
    assert_eq!(
        world.run(&["deploy", "counter.js", "--name", "c"]).status,
        3
    );
    assert_eq!(world.ok(&["call", "hoard", "count"]), "0");
    assert_eq!(world.ok(&["call", "hoard", "incr"]), "2");
    host.stop();
    let _host = world.host();
    assert_eq!(
        world.ok(&["call", "hoard", "keep", "60", "--id", "large"]),
        "1"
    );
    assert_eq!(world.ok(&["call", "hoard", "count"]), "1");
    assert_eq!(world.ok(&["call", "hoard", "incr"]), "3");
    world.ok(&["verify"]);
}
