//! The ballast: a file that holds back disk space for what must go on when the disk is full (I2).
//!
//! Promises: space is taken while the disk has some to spare, and is released piecewise when
//! something fails for lack of it that may be repeated. A sync never is (J6). Whether there is
//! space besides the ballast is tried, not asked of the disk. The file has no content; a missing or
//! short ballast is no damage.
//!
//! Applying frames, the catalog and the second segment of the journal may draw on it. New requests
//! of a turn may not: they are refused while that is possible (J8).

use crate::backend::{Backend, File, is_full};
use std::fmt;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The file's name.
pub(crate) const BALLAST_FILE: &str = "ballast";
/// Bytes released at once at least, since each time the file is truncated.
const CHUNK_BYTES: u64 = 1 << 20;

/// The space held back.
pub(crate) struct Ballast<F> {
    held: Mutex<Held<F>>,
    make: Box<dyn Fn() -> io::Result<F> + Send + Sync>,
    /// Bytes it should hold.
    wanted: u64,
}

struct Held<F> {
    /// `None` while the disk has no space even for an empty file.
    file: Option<F>,
    bytes: u64,
}

impl<F> Ballast<F> {
    /// A ballast that holds nothing.
    pub(crate) fn none() -> Ballast<F> {
        let held = Held {
            file: None,
            bytes: 0,
        };
        Ballast {
            held: Mutex::new(held),
            make: Box::new(|| Err(io::ErrorKind::StorageFull.into())),
            wanted: 0,
        }
    }

    /// Whether it holds what it should.
    pub(crate) fn is_whole(&self) -> bool {
        self.lock().bytes >= self.wanted
    }

    fn lock(&self) -> MutexGuard<'_, Held<F>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: File> Ballast<F> {
    /// Takes over the file of an earlier run; reserves no space yet.
    pub(crate) fn open<B: Backend<File = F>>(backend: &B, wanted: u64) -> io::Result<Ballast<F>> {
        let file = match backend.open(BALLAST_FILE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            file => Some(file?),
        };
        let bytes = file.as_ref().map_or(Ok(0), File::len)?;
        let backend = backend.clone();
        Ok(Ballast {
            held: Mutex::new(Held { file, bytes }),
            make: Box::new(move || backend.create(BALLAST_FILE)),
            wanted,
        })
    }

    /// Grows or shrinks to the bytes it should hold. Returns whether it holds them now.
    pub(crate) fn fill(&self) -> io::Result<bool> {
        let mut held = self.lock();
        if held.bytes > self.wanted {
            if let Some(file) = &held.file {
                file.set_len(self.wanted)?;
            }
            held.bytes = self.wanted;
        }
        self.take(&mut held, self.wanted)
    }

    /// Makes sure this many bytes are held. False if the disk has no space for them.
    pub(crate) fn reserve(&self, needed: u64) -> io::Result<bool> {
        self.take(&mut self.lock(), needed)
    }

    fn take(&self, held: &mut Held<F>, wanted: u64) -> io::Result<bool> {
        // A store configured without ballast goes without.
        if self.wanted == 0 || held.bytes >= wanted {
            return Ok(true);
        }
        let mut make = || {
            let file = match held.file.take() {
                Some(file) => file,
                None => (self.make)()?,
            };
            let file = held.file.insert(file);
            file.allocate(held.bytes, wanted - held.bytes)?;
            file.set_len(wanted)
        };
        match make() {
            Err(error) if is_full(&error) => Ok(false),
            Ok(()) => {
                held.bytes = wanted;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the disk has this many bytes besides the ballast. It allocates them for a moment,
    /// because a disk reports neither quotas nor all it keeps back. A store without ballast does
    /// not ask.
    pub(crate) fn has_besides(&self, bytes: u64) -> io::Result<bool> {
        let held = self.lock();
        if self.wanted == 0 {
            return Ok(true);
        }
        let Some(file) = &held.file else {
            return Ok(false);
        };
        let taken = file.allocate(held.bytes, bytes);
        // Also releases what was allocated in part.
        let given = file.set_len(held.bytes);
        match taken.and(given) {
            Err(error) if is_full(&error) => Ok(false),
            result => result.map(|()| true),
        }
    }

    /// Runs `act`, and repeats it as long as it fails for lack of space and there is ballast to
    /// release. Doing it in part and then whole must equal doing it once, and it must not sync.
    pub(crate) fn draw<T>(&self, mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            match act() {
                Err(error) if is_full(&error) && self.give()? => {}
                result => return result,
            }
        }
    }

    /// Releases some space. False if nothing is left.
    fn give(&self) -> io::Result<bool> {
        let mut held = self.lock();
        let left = held.bytes - held.bytes.min(CHUNK_BYTES);
        let Some(file) = held.file.as_ref().filter(|_| held.bytes > 0) else {
            return Ok(false);
        };
        file.set_len(left)?;
        held.bytes = left;
        Ok(true)
    }
}

impl<F> fmt::Debug for Ballast<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ballast({} of {})", self.lock().bytes, self.wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::memory::MemoryBackend;

    #[test]
    fn it_is_released_step_by_step_and_taken_again_when_there_is_space() {
        let disk = MemoryBackend::new();
        disk.set_capacity(Some(4 << 20));
        let ballast = Ballast::open(&disk, 3 << 20).unwrap();
        assert!(ballast.fill().unwrap());
        assert_eq!(disk.taken(), 3 << 20);
        let file = disk.create("data").unwrap();
        let write = |at: u64| file.write_at(at << 20, &vec![1; 1 << 20]);
        write(0).unwrap();
        assert!(write(1).is_err(), "the disk is full");
        ballast.draw(|| write(1)).unwrap();
        ballast.draw(|| write(2)).unwrap();
        assert!(!ballast.fill().unwrap() && !ballast.reserve(2 << 20).unwrap());
        assert!(ballast.reserve(1 << 20).unwrap());
        ballast.draw(|| write(3)).unwrap();
        assert!(ballast.draw(|| write(4)).is_err(), "nothing is left");
        assert!(!ballast.reserve(1).unwrap());
        disk.set_capacity(Some(8 << 20));
        assert!(ballast.reserve(4 << 20).unwrap());
        assert!(ballast.fill().unwrap());
        assert_eq!(disk.taken(), 7 << 20, "what is over is given back");
    }

    #[test]
    fn what_an_earlier_life_held_is_still_in_hand_and_none_is_no_hindrance() {
        let disk = MemoryBackend::new();
        Ballast::open(&disk, 2 << 20).unwrap().fill().unwrap();
        disk.set_capacity(Some(2 << 20));
        let again = Ballast::open(&disk, 2 << 20).unwrap();
        let file = disk.create("data").unwrap();
        again.draw(|| file.write_at(0, &[1])).unwrap();
        assert!(
            Ballast::<crate::backend::memory::MemoryFile>::none()
                .draw(|| Ok(1))
                .is_ok()
        );
    }
}
