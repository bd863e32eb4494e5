//! Where things lie: the fixed addresses (H6, H7), the size of a page, the numbers of special
//! pages.
//!
//! Every address here is part of what a heap image means: the heap holds absolute addresses of
//! itself and of JavaScript's stack, so a change here makes every older image unreadable to the new
//! executable. (Older images are run by the executable they were born with.)

/// Bytes of a page, whatever the kernel's own page size is a multiple of.
pub const PAGE_BYTES: usize = 4096;
/// 64-bit words of a page: the unit of a delta.
pub const PAGE_WORDS: usize = PAGE_BYTES / 8;

/// Where the heap begins. Far from where Linux puts anything by itself.
#[cfg(target_arch = "x86_64")]
pub const HEAP_ADDRESS: usize = 0x2000_0000_0000;
/// Where the heap begins; low enough for a kernel with 39 bits of address. Untried.
#[cfg(target_arch = "aarch64")]
pub const HEAP_ADDRESS: usize = 0x10_0000_0000;

/// Bytes reserved for the heap: it can never grow past this.
pub const HEAP_BYTES_MAX: usize = 64 << 30;
/// The same in pages; the largest `page_limit` a host may set.
pub const HEAP_PAGES_MAX: u32 = (HEAP_BYTES_MAX / PAGE_BYTES) as u32;

/// Where the read-only view of the image's last applied content begins.
pub const BASE_ADDRESS: usize = HEAP_ADDRESS + 2 * HEAP_BYTES_MAX;

/// JavaScript's stack: its lowest usable byte, and its size. The page below it is a guard.
pub const STACK_ADDRESS: usize = HEAP_ADDRESS - (16 << 20);
/// QuickJS stops a program at `STACK_LIMIT_BYTES`; the rest is for the C and Rust code called last.
pub const STACK_BYTES: usize = 2 << 20;
/// What QuickJS is told it may use.
pub const STACK_LIMIT_BYTES: usize = kenvat_wire::protocol::STACK_BYTES_MAX;

/// The stack secrets are computed on, below the guard of JavaScript's; a guard of its own is below.
pub const ASIDE_ADDRESS: usize = STACK_ADDRESS - PAGE_BYTES - ASIDE_BYTES;
/// Many times what the stream cipher uses; all of it is wiped each time.
pub const ASIDE_BYTES: usize = 4 * PAGE_BYTES;

/// Pages mapped writable beyond what the allocator asked for, so that it rarely has to ask.
pub const GROWTH_PAGES: u32 = 256;

/// The page with the header, written at genesis only (H8).
pub const HEADER_PAGE: u32 = 0;
/// The page with the allocator's state.
pub const STATE_PAGE: u32 = 1;
/// The first page the allocator hands out.
pub const FIRST_PAGE: u32 = 2;

/// The content of one page, copied out of the heap or the base.
#[derive(Clone, PartialEq, Eq)]
pub struct Page(pub [u64; PAGE_WORDS]);

impl Page {
    pub const ZERO: Page = Page([0; PAGE_WORDS]);

    pub fn is_zeros(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}
