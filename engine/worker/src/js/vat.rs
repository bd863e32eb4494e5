//! The vat: a realm on its heap, and its turns.
//!
//! A turn is one message and every job it leads to. It begins at the top of JavaScript's stack and
//! ends with that stack empty, so the heap is all there is of the vat.

use rquickjs::qjs;

pub use super::genesis::GenesisError;
pub use super::header::HeaderError;
pub use super::output::{
    Output, discard as discard_output, is_answered, next_timer, take as take_output, waiting_bytes,
};

use super::fault::{describe, summary};
use super::header::Header;
use super::output::Unhandled;
use super::realm::Realm;
use super::{call, check, collector, deploy, genesis, memory, modules, output, timers};
use crate::abort;
use crate::c_symbols;
use crate::chance;
use crate::heap::region::Region;
use crate::heap::stack;
use kenvat_wire::protocol::{Delivery, Message};

/// The one vat of this process.
pub struct Vat {
    realm: Realm,
}

impl Vat {
    /// Makes a genesis heap; the region must be zeros.
    pub fn genesis(region: &Region) -> Result<Vat, GenesisError> {
        c_symbols::set_time(c_symbols::GENESIS_TIME_MS);
        abort::begin_turn(u64::MAX);
        let realm = stack::enter(genesis::create)?;
        Header {
            cx: realm.cx,
            registry: realm.registry,
        }
        .write(region);
        Ok(Vat { realm })
    }

    /// Resumes a heap that is mapped as far as it is used.
    pub fn resume(region: &Region, page_limit: u32) -> Result<Vat, HeaderError> {
        let Header { cx, registry } = Header::read(region, page_limit)?;
        Ok(Vat {
            realm: Realm { cx, registry }.enter(),
        })
    }

    /// Runs one turn; what it says is in `take_output`.
    pub fn run(&self, delivery: &Delivery, gas: u64) {
        c_symbols::set_time(delivery.time_ms);
        abort::begin_turn(gas);
        output::begin_turn(delivery.turn);
        chance::begin_turn(&delivery.seed);
        on_stack(&self.realm, &mut || {
            collector::around_turn(&self.realm, || self.turn(&delivery.message));
        });
        modules::forget();
        chance::end_turn();
    }

    /// Collects garbage if that is due, as it must be before a turn; tells whether it did.
    pub fn collect_if_due(&self) -> bool {
        let mut collected = false;
        on_stack(&self.realm, &mut || {
            collected = collector::collect_if_due(&self.realm);
        });
        collected
    }

    fn turn(&self, message: &Message) {
        let realm = &self.realm;
        match message {
            Message::Deploy { request, program } => deploy::deploy(realm, *request, program),
            Message::Call {
                request,
                method,
                args,
            } => call::call(realm, *request, method, args),
            Message::Timer { timer } => timers::fire(realm, *timer),
            Message::Check { request, program } => check::check(realm, *request, program),
        }
        self.drain_jobs();
        self.report_unhandled();
        // Describing a rejection may have run a getter that queued a job.
        self.drain_jobs();
        let late = output::take_unhandled();
        if abort::is_wanted() {
            // The turn is undone; values of a heap that will be older than they are stay as they
            // are.
            std::mem::forget(late);
        }
    }

    fn drain_jobs(&self) {
        let cx = self.realm.cx;
        let runtime = cx.runtime();
        loop {
            let mut of = std::ptr::null_mut();
            // SAFETY: a live runtime; `of` is written with the job's context.
            let status = unsafe { qjs::JS_ExecutePendingJob(runtime, &mut of) };
            if status == 0 || abort::is_wanted() {
                return;
            }
            if status < 0 {
                let thrown = describe(&self.realm, &cx.take_exception());
                output::log("error", &format!("uncaught in a job: {}", summary(&thrown)));
            }
        }
    }

    fn report_unhandled(&self) {
        if abort::is_wanted() {
            return;
        }
        for Unhandled { reason, place, .. } in output::take_unhandled() {
            let mut thrown = describe(&self.realm, &reason);
            if let (true, Some(place)) = (thrown.stack.is_empty(), place) {
                thrown.stack = format!("    {place}");
            }
            let line = format!("unhandled rejection: {}", summary(&thrown));
            output::log("error", &line);
        }
    }
}

/// Pages of the heap in use.
pub fn used_pages() -> u32 {
    memory::used_pages()
}

/// Every turn enters through this one function, so that it begins at one depth and QuickJS notes
/// one address as the top of its stack (H7).
#[inline(never)]
fn on_stack(realm: &Realm, work: &mut dyn FnMut()) {
    let runtime = realm.cx.runtime();
    stack::enter(|| {
        // SAFETY: a live runtime, and this is the stack it runs on.
        unsafe { qjs::JS_UpdateStackTop(runtime) };
        work();
    });
}
