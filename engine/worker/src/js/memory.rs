//! QuickJS's malloc, over the heap's allocator.
//!
//! The addresses of these functions stand in the runtime's own structure, in the heap.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::NonNull;

use rquickjs::qjs;

use crate::heap::allocator::Allocator;
use crate::heap::{Tables, mapping};

/// The functions, for a new runtime.
pub const FUNCTIONS: qjs::JSMallocFunctions = qjs::JSMallocFunctions {
    js_calloc: Some(calloc),
    js_malloc: Some(malloc),
    js_free: Some(free),
    js_realloc: Some(realloc),
    js_malloc_usable_size: Some(usable_size),
};

/// Lays out an empty heap.
pub fn format() -> bool {
    tables().format()
}

/// One past the highest page in use.
pub fn used_pages() -> u32 {
    tables().frontier()
}

/// Bytes of a seat: half a page, enough for either of QuickJS's two large structures.
const SEAT_BYTES: usize = 2048;

thread_local! {
    static OFFERED: Cell<Option<NonNull<u8>>> = const { Cell::new(None) };
}

/// A block that lies beside the next one of its size.
pub struct Seat(NonNull<u8>);

/// Takes a seat; `None` when the heap has no room.
pub fn take_seat() -> Option<Seat> {
    NonNull::new(allocator().allocate(SEAT_BYTES)?).map(Seat)
}

/// Gives the seat to the next request for zeros; if that is too large the seat stays empty.
pub fn offer(seat: Seat) {
    OFFERED.set(Some(seat.0));
}

fn tables() -> Tables {
    // SAFETY: the mapping lies at this address, `grow` makes pages of it usable, and only QuickJS,
    // through this file, uses them.
    unsafe { Tables::new(mapping::heap(), mapping::grow) }
}

fn allocator() -> Allocator {
    Allocator::new(tables())
}

fn or_null(block: Option<*mut u8>) -> *mut c_void {
    match block {
        Some(block) => block.cast(),
        None => {
            // A program can catch "out of memory" and go on in a half-built state: remembered, so
            // that the turn ends the worker whatever it does (T3).
            mapping::set_exhausted();
            std::ptr::null_mut()
        }
    }
}

extern "C" fn malloc(_: *mut c_void, size: qjs::size_t) -> *mut c_void {
    or_null(allocator().allocate(size as usize))
}

extern "C" fn calloc(_: *mut c_void, count: qjs::size_t, size: qjs::size_t) -> *mut c_void {
    let Some(bytes) = (count as usize).checked_mul(size as usize) else {
        return or_null(None);
    };
    let block = match OFFERED.take() {
        Some(seat) if bytes <= SEAT_BYTES => Some(seat.as_ptr()),
        _ => allocator().allocate(bytes),
    };
    if let Some(block) = block {
        // SAFETY: a fresh block of at least that many bytes.
        unsafe { block.write_bytes(0, bytes) };
    }
    or_null(block)
}

unsafe extern "C" fn free(_: *mut c_void, block: *mut c_void) {
    if !block.is_null() {
        // SAFETY: QuickJS frees what these functions gave it, once.
        unsafe { allocator().free(block.cast()) }
    }
}

unsafe extern "C" fn realloc(_: *mut c_void, block: *mut c_void, size: qjs::size_t) -> *mut c_void {
    if block.is_null() {
        return or_null(allocator().allocate(size as usize));
    }
    // SAFETY: QuickJS gives what these functions gave it, and forgets the old address.
    or_null(unsafe { allocator().reallocate(block.cast(), size as usize) })
}

extern "C" fn usable_size(block: *const c_void) -> qjs::size_t {
    allocator().usable(block.cast()) as qjs::size_t
}
