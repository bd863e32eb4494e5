//! The interface of a program that carries vats inside: open, deploy, call.
//!
//! Promises: every method blocks until its answer is there, and that is after the frame that makes
//! it true is durable; the engine ends with this value, cleanly. Does not know how answers are made
//! (`handle` asks for them, `event_loop` makes them).

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::error::{Fatal, OpenError, StopError};
use crate::handle::Handle;
use crate::open;
use crate::options::EngineOptions;
use kenvat_core::api::{Call, CallError, Deploy, DeployError, Deployed};

/// An engine, and the store it holds open. It may be shared by threads, whose calls of different
/// vats run at once.
///
/// Dropping it stops the engine as [`Engine::stop`] does.
#[derive(Debug)]
pub struct Engine {
    handle: Handle,
    /// Until somebody waits for its end.
    thread: Mutex<Option<JoinHandle<Result<(), Fatal>>>>,
}

impl Engine {
    pub(crate) fn new(handle: Handle, thread: JoinHandle<Result<(), Fatal>>) -> Engine {
        let thread = Mutex::new(Some(thread));
        Engine { handle, thread }
    }

    /// Opens the store in this folder, or makes one there, with the limits every host has unless
    /// told otherwise. One engine holds a store at a time.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Engine, OpenError> {
        Engine::open_with(EngineOptions::new(dir))
    }

    /// The same, with limits of one's own.
    pub fn open_with(options: EngineOptions) -> Result<Engine, OpenError> {
        open::start(options)
    }

    /// Makes a vat of a program in one file, an ES module. Returns when its start function and
    /// `init` have settled and the vat is durable; where that fails, no vat is left behind.
    ///
    /// A vat is made once, and is there again whenever its store is opened:
    /// [`DeployError::NameTaken`] says that it is. [`Handle::deploy`] takes programs of several
    /// files, gifts and withheld powers.
    pub fn deploy(&self, name: &str, source: &str) -> Result<Deployed, DeployError> {
        self.handle.deploy(Deploy::new(name, source)).wait()?
    }

    /// Calls a method of a vat's root object. `args` is one JSON array, and the answer is JSON.
    ///
    /// Both are text, because text is what the mapping between JSON and JavaScript is defined on:
    /// it passes through to the digit, costs a caller that already has it no second parsing, and
    /// ties no program to a JSON library of the engine's choice.
    ///
    /// The answer is durable when it is returned: whatever happens afterwards, the vat goes on from
    /// there. An error of [`Fault::Host`](crate::Fault::Host) leaves it open whether the call ran;
    /// a [`Call`] with a key ([`Handle::call`]) may be asked again and still runs once.
    ///
    /// # Panics
    ///
    /// Inside async code of tokio: use [`Engine::handle`] there.
    pub fn call(&self, vat: &str, method: &str, args: &str) -> Result<String, CallError> {
        let call = Call::new(vat, method, args);
        let mut answer = None;
        let out = |found| answer = Some(found);
        self.handle.call_inline(call, Duration::MAX, out);
        answer.ok_or(CallError::Stopped)?.wait()?
    }

    /// Everything else that can be asked, without blocking.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The handle alone. The engine then stops when it is told to, or when the last handle goes; no
    /// drop waits for that.
    pub fn into_handle(self) -> Handle {
        drop(self.take_thread());
        self.handle.clone()
    }

    /// Ends the workers, brings the store's files up to date and lets go of it. Turns under way are
    /// waited for, ten seconds at most. Returns when all that is done, and says what went wrong,
    /// also where the engine had ended by itself before.
    ///
    /// Whoever still waits for an answer is told that the engine stopped, as is every later caller.
    /// Stopping an engine that was stopped does nothing.
    pub fn stop(&self) -> Result<(), StopError> {
        let Some(thread) = self.take_thread() else {
            return Ok(());
        };
        drop(self.handle.stop());
        if thread.thread().id() == thread::current().id() {
            // A caller's code that the engine's own thread ran let go of the engine: it ends next.
            return Ok(());
        }
        Ok(thread.join().unwrap_or(Err(Fatal::Panicked))?)
    }

    fn take_thread(&self) -> Option<JoinHandle<Result<(), Fatal>>> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.take()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // The engine has said on stderr why it ended, if that was not cleanly.
        let _ = self.stop();
    }
}
