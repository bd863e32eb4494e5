//! The store compiled for the backends that are used, once, in this library.
//!
//! Generic code is compiled in the crate that names its types: each test binary, the engine's and
//! the host's would compile the whole store again. The compiler reuses what a library has compiled
//! already in builds up to `opt-level = 1`, those that tests run in; in others this file
//! is left out. So every large function of the public interface is named here for each backend; one
//! that is missing costs time to build and nothing else. Nothing calls these functions, and the
//! linker drops what a program does not use.

use crate::backend::Backend;
use crate::backend::file::FileBackend;
use crate::backend::memory::MemoryBackend;
use crate::fold::Fold;
use crate::journal::writer::Sealed;
use crate::reading::Reading;
use crate::spill::SpillJob;
use crate::spill::writer::SpillWriter;
use crate::store::Store;
use crate::verify::verify;
use std::hint::black_box;

/// A static is compiled whether it is read or not, and so is what it points to.
#[expect(dead_code, reason = "named so that it is compiled, and never called")]
static INSTANCES: [fn(); 2] = [instances::<FileBackend>, instances::<MemoryBackend>];

fn instances<B: Backend>() {
    black_box([
        Store::<B>::open as *const (),
        Store::<B>::get as *const (),
        Store::<B>::scan as *const (),
        Store::<B>::scan_from as *const (),
        Store::<B>::vats as *const (),
        Store::<B>::vat as *const (),
        Store::<B>::next_vat_id as *const (),
        Store::<B>::latched as *const (),
        Store::<B>::extend as *const (),
        Store::<B>::log_read as *const (),
        Store::<B>::stage as *const (),
        Store::<B>::staged_bytes as *const (),
        Store::<B>::staged_is_empty as *const (),
        Store::<B>::seal as *const (),
        Store::<B>::is_between_frames as *const (),
        Store::<B>::journal_full as *const (),
        Store::<B>::apply as *const (),
        Store::<B>::fold_due as *const (),
        Store::<B>::spill_is_full as *const (),
        Store::<B>::begin_fold as *const (),
        Store::<B>::finish_fold as *const (),
        Store::<B>::fold as *const (),
        Store::<B>::close as *const (),
        Store::<B>::reserve as *const (),
        Store::<B>::is_space_low as *const (),
        Store::<B>::is_space_exhausted as *const (),
        Store::<B>::is_disk_full as *const (),
        Store::<B>::has_backlog as *const (),
        Store::<B>::find_space as *const (),
        Store::<B>::begin_spill as *const (),
        Store::<B>::spill_base as *const (),
        Store::<B>::spill_base_of as *const (),
        Store::<B>::take_spill_jobs as *const (),
        Store::<B>::is_applying as *const (),
        Store::<B>::finish_spill as *const (),
        Store::<B>::put_engine as *const (),
        Store::<B>::engine as *const (),
        Store::<B>::engines as *const (),
        Store::<B>::genesis as *const (),
        Store::<B>::remove_unused_engines as *const (),
        Store::<B>::repair_executable as *const (),
        Store::<B>::repair_genesis as *const (),
        Store::<B>::read_image as *const (),
        Store::<B>::checked as *const (),
        Store::<B>::image as *const (),
        Store::<B>::heap_sha256 as *const (),
        Store::<B>::verify as *const (),
        Store::<B>::begin_verify as *const (),
        Store::<B>::verify_step as *const (),
        Sealed::<B>::write as *const (),
        Sealed::<B>::sequence as *const (),
        Sealed::<B>::journal_bytes as *const (),
        Fold::<B>::run as *const (),
        SpillJob::<B>::run as *const (),
        SpillWriter::<B>::push as *const (),
        SpillWriter::<B>::push_row as *const (),
        SpillWriter::<B>::push_log as *const (),
        SpillWriter::<B>::finish as *const (),
        Reading::<B::File>::check as *const (),
        Reading::<B::File>::sha256 as *const (),
        verify::<B> as *const (),
        std::ptr::drop_in_place::<Store<B>> as *const (),
        std::ptr::drop_in_place::<SpillWriter<B>> as *const (),
    ]);
}
