//! The ballast: a file that keeps room in hand, for what must go on when the disk is full (I2).
//!
//! Promises: room is taken when the disk has some to spare, and given back, a piece at a time, to
//! whatever was refused for want of it and may be asked for again. A sync is never among that (J6).
//! Whether there is room besides is tried and not asked.
//! Holds nothing; a ballast that is missing or short is no damage.
//!
//! What may draw on it: applying frames, the catalog, and the journal's second segment. Not what a
//! turn asks for anew: that is refused while it can be (J8).

use crate::backend::{Backend, File, is_full};
use std::fmt;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The file's name.
pub(crate) const BALLAST_FILE: &str = "ballast";
/// Bytes given back at once, at least: each time costs a cut of the file.
const CHUNK_BYTES: u64 = 1 << 20;

/// Room in hand.
pub(crate) struct Ballast<F> {
    held: Mutex<Held<F>>,
    make: Box<dyn Fn() -> io::Result<F> + Send + Sync>,
    /// Bytes it should have.
    wanted: u64,
}

struct Held<F> {
    /// There is none as long as the disk has no room for an empty file.
    file: Option<F>,
    bytes: u64,
}

impl<F> Ballast<F> {
    /// Has nothing to give.
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

    /// Whether it has what it should have.
    pub(crate) fn is_whole(&self) -> bool {
        self.lock().bytes >= self.wanted
    }

    fn lock(&self) -> MutexGuard<'_, Held<F>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: File> Ballast<F> {
    /// Takes up what an earlier life of the store left; takes no room yet.
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

    /// Takes room up to what it should have, or gives back what is over. Whether it is full now.
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

    /// Sees to it that so many bytes are in hand. False when the disk has no room for them.
    pub(crate) fn reserve(&self, needed: u64) -> io::Result<bool> {
        self.take(&mut self.lock(), needed)
    }

    fn take(&self, held: &mut Held<F>, wanted: u64) -> io::Result<bool> {
        // A store that is to have none goes without.
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

    /// Whether the disk has so many bytes besides: takes them for a moment, as a disk does not tell
    /// of quotas, nor of all it keeps back. A store that is to have no ballast does not ask.
    pub(crate) fn has_besides(&self, bytes: u64) -> io::Result<bool> {
        let held = self.lock();
        if self.wanted == 0 {
            return Ok(true);
        }
        let Some(file) = &held.file else {
            return Ok(false);
        };
        let taken = file.allocate(held.bytes, bytes);
        // What was taken in part, too.
        let given = file.set_len(held.bytes);
        match taken.and(given) {
            Err(error) if is_full(&error) => Ok(false),
            result => result.map(|()| true),
        }
    }

    /// Does something that needs room, again as long as there is something to give for it. It must
    /// be such that doing it in part and then whole is doing it, and no sync.
    pub(crate) fn draw<T>(&self, mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            match act() {
                Err(error) if is_full(&error) && self.give()? => {}
                result => return result,
            }
        }
    }

    /// Gives back a piece. False when there is nothing left.
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
    fn it_is_given_back_chunks_by_chunks_and_taken_again_when_there_is_space() {
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
