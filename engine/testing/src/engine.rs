//! Whole engines for tests: opened with changed options, asked without waiting, looked into.
//!
//! Promises: whatever a test does not expect ends it with a panic that says what came instead. The
//! rest is the engine's own interface, which tests use as any program does.

use std::path::Path;

use kenvat_engine::api::{LogChunk, RequestKey, VatInfo};
use kenvat_engine::{
    Answer, Call, CallError, Deploy, DeployError, Deployed, Engine, EngineOptions,
};

/// The engine of a store in this folder, its options changed.
pub fn open(dir: impl AsRef<Path>, change: impl FnOnce(&mut EngineOptions)) -> Engine {
    Engine::open_with(options(dir, change)).expect("an engine opens")
}

/// Options for a store in this folder, changed.
pub fn options(dir: impl AsRef<Path>, change: impl FnOnce(&mut EngineOptions)) -> EngineOptions {
    let mut options = EngineOptions::new(dir.as_ref());
    change(&mut options);
    options
}

/// A call's answer.
pub type Answered = Result<String, CallError>;

/// What tests ask of an engine besides what its own interface has.
pub trait Ask {
    /// Calls a method through the engine's thread, without waiting.
    fn send(&self, vat: &str, method: &str, args: &str) -> Answer<Answered>;

    /// The same under a key of one client.
    fn send_once(&self, vat: &str, method: &str, args: &str, id: &str) -> Answer<Answered>;

    /// The same, waiting.
    fn call_once(&self, vat: &str, method: &str, args: &str, id: &str) -> Answered {
        let answer = self.send_once(vat, method, args, id);
        answer.wait().expect("answered")
    }

    /// Deploys a program in one file, without waiting.
    fn send_deploy(&self, vat: &str, source: &str) -> Answer<Result<Deployed, DeployError>>;

    /// A vat that must exist.
    fn info(&self, vat: &str) -> VatInfo;

    /// Ends the process of a vat; returns when its image is up to date.
    fn put_to_sleep(&self, vat: &str);

    /// The log of a vat from its beginning.
    fn log(&self, vat: &str) -> LogChunk;

    /// Every byte of the store is what was written.
    fn assert_no_damage(&self);
}

impl Ask for Engine {
    fn send(&self, vat: &str, method: &str, args: &str) -> Answer<Answered> {
        self.handle().call(Call::new(vat, method, args))
    }

    fn send_once(&self, vat: &str, method: &str, args: &str, id: &str) -> Answer<Answered> {
        let key = RequestKey {
            client: "test".to_owned(),
            id: id.to_owned(),
        };
        let mut call = Call::new(vat, method, args);
        call.key = Some(key);
        self.handle().call(call)
    }

    fn send_deploy(&self, vat: &str, source: &str) -> Answer<Result<Deployed, DeployError>> {
        self.handle().deploy(Deploy::new(vat, source))
    }

    fn info(&self, vat: &str) -> VatInfo {
        let info = self.handle().show(vat).wait().expect("answered");
        info.expect("the vat exists")
    }

    fn put_to_sleep(&self, vat: &str) {
        let slept = self.handle().sleep(vat).wait().expect("answered");
        slept.expect("sleeps");
    }

    fn log(&self, vat: &str) -> LogChunk {
        let log = self.handle().logs(vat, 0, 1 << 30).wait();
        log.expect("answered").expect("there is a log")
    }

    fn assert_no_damage(&self) {
        let report = self.handle().verify().wait().expect("answered");
        assert_eq!(report.expect("verified").damages, []);
    }
}
