//! The store's limits, each with its reason, in one place.

/// Bytes the body of one frame may have. What one vat hands over is a few MiB in it at most, but
/// for the rows that say whose answers it holds, of which there may be a hundred thousand (J7).
pub const FRAME_BYTES_MAX: usize = 160 << 20;
/// Pages one heap may have: 64 GiB, what a worker reserves (H6).
pub const PAGE_LIMIT_MAX: u32 = 16 << 20;
/// Bytes of a row's key.
pub const ROW_KEY_BYTES_MAX: usize = 4096;
/// Bytes of a row's value: the largest message twice over.
pub const ROW_VALUE_BYTES_MAX: usize = 32 << 20;
/// Bytes of a worker executable.
pub const ENGINE_BYTES_MAX: usize = 256 << 20;
/// Bytes of a genesis image's pages.
pub const GENESIS_BYTES_MAX: usize = 256 << 20;
/// Bytes of journal at which commits wait for a fold.
pub const JOURNAL_BYTES_MAX: u64 = 64 << 20;
/// Bytes of one of a vat's two log files.
pub const LOG_FILE_BYTES: u64 = 8 << 20;
/// Table numbers from here on are the store's own.
pub const ENGINE_TABLES: u8 = 128;

/// What may be set when a store is opened. Nothing here changes what a file means.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of a journal segment; at least four sectors. A start reads the rest of the one the
    /// journal ends in, and a commit that finds none free makes one: both are why it is not larger.
    pub segment_bytes: u64,
    /// Bytes of journal from which a fold is due.
    pub fold_bytes: u64,
    /// Bytes of spill files from which a fold is due, since until then they take space besides what
    /// they were applied to; and from which no further one is to be finished before a fold.
    pub fold_spill_bytes: u64,
    pub spill_bytes_max: u64,
    /// Bytes of journal at which commits wait for the fold.
    pub journal_bytes_max: u64,
    /// Bytes of one frame's body; `FRAME_BYTES_MAX` at most.
    pub frame_bytes_max: usize,
    /// Pages whose content is cached, besides those of frames that are not applied yet.
    pub cached_pages_max: usize,
    /// Image files kept open, besides those written since the last fold (I4). The same number of
    /// written ones makes a fold due.
    pub open_images_max: usize,
    /// Bytes of disk held back for a full disk, so that folds go on there (I2).
    pub ballast_bytes: u64,
    /// Bytes of one of a vat's two log files, a multiple of 64 KiB. Counts when a store is made;
    /// afterwards the store's own figure does, since it says where a byte of a log lies.
    pub log_file_bytes: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            segment_bytes: 4 << 20,
            fold_bytes: 8 << 20,
            fold_spill_bytes: 64 << 20,
            spill_bytes_max: 256 << 20,
            journal_bytes_max: JOURNAL_BYTES_MAX,
            frame_bytes_max: FRAME_BYTES_MAX,
            cached_pages_max: 8192,
            open_images_max: 256,
            ballast_bytes: 64 << 20,
            log_file_bytes: LOG_FILE_BYTES,
        }
    }
}
