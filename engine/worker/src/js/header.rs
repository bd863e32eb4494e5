//! Page 0 of a heap: where its runtime, context and registry are (H8).
//!
//! Written at genesis only. It is a claim: an image with another magic or format is refused; beyond
//! that the host vouches for the image (its catalog knows the engine, its checksums the pages), and
//! a worker that maps a forged one can harm only itself.
//!
//! ```text
//! 0   magic "KENVATHP"   8 bytes, first so that a file that is no heap is told at once
//! 8   format             u64, 1
//! 16  runtime            address of the JSRuntime
//! 24  context            address of the JSContext
//! 32  registry           address of the registry object
//! ```

use std::ptr::NonNull;

use rquickjs::qjs;

use super::registry::Registry;
use super::value::Cx;
use crate::heap::layout::{HEADER_PAGE, HEAP_ADDRESS, PAGE_BYTES, Page};
use crate::heap::region::Region;

const MAGIC: u64 = u64::from_le_bytes(*b"KENVATHP");
const FORMAT: u64 = 1;

/// Why a heap cannot be resumed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    #[error("the image is not a heap")]
    Magic,
    #[error("the heap has format {found}; this worker knows {FORMAT}")]
    Format { found: u64 },
    #[error("the heap's header names an address outside its {pages} pages")]
    Outside { pages: u32 },
}

/// Where a heap's runtime is.
pub struct Header {
    pub cx: Cx,
    pub registry: Registry,
}

impl Header {
    /// Reads the header of the image's applied content, so that nothing has to be mapped writable
    /// yet.
    pub fn read(region: &Region, page_limit: u32) -> Result<Header, HeaderError> {
        let mut page = Page::ZERO;
        region.read_base(HEADER_PAGE, &mut page);
        let [magic, format, runtime, context, registry] = first_words(&page);
        if magic != MAGIC {
            return Err(HeaderError::Magic);
        }
        if format != FORMAT {
            return Err(HeaderError::Format { found: format });
        }
        let outside = HeaderError::Outside { pages: page_limit };
        if !inside(runtime, page_limit) || !inside(registry, page_limit) {
            return Err(outside);
        }
        let Some(context) = NonNull::new(address(context)).filter(|_| inside(context, page_limit))
        else {
            return Err(outside);
        };
        let cx = Cx::new(context.cast());
        Ok(Header {
            cx,
            registry: Registry::at(cx, address(registry).cast()),
        })
    }

    /// Writes the header of a new heap.
    pub fn write(&self, region: &Region) {
        let mut page = Page::ZERO;
        let words = [
            MAGIC,
            FORMAT,
            self.cx.runtime().addr() as u64,
            self.cx.raw().addr() as u64,
            self.registry.address() as u64,
        ];
        page.0[..words.len()].copy_from_slice(&words);
        region.write_heap(HEADER_PAGE, &page);
    }
}

fn first_words(page: &Page) -> [u64; 5] {
    std::array::from_fn(|at| page.0[at])
}

fn inside(word: u64, pages: u32) -> bool {
    let start = HEAP_ADDRESS as u64 + PAGE_BYTES as u64;
    let end = HEAP_ADDRESS as u64 + u64::from(pages) * PAGE_BYTES as u64;
    (start..end).contains(&word) && word.is_multiple_of(8)
}

fn address(word: u64) -> *mut qjs::JSContext {
    std::ptr::with_exposed_provenance_mut(word as usize)
}
