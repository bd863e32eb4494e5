//! Reading a whole image on another thread: to check it before a worker starts, or to hash it.
//!
//! Promises: the owner of the store can go on meanwhile; the result counts only once the store has
//! taken it back. Nothing may be applied to that vat meanwhile: the caller must prevent it, or
//! notice and repeat.

use crate::backend::{Backend, File};
use crate::error::{Damage, ImageError, StoreError};
use crate::genesis::HeapHasher;
use crate::ids::VatId;
use crate::images;
use crate::latch::Latch;
use crate::store::{Image, Store};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An image about to be read.
#[derive(Debug)]
pub struct Reading<F> {
    vat: VatId,
    file: Arc<F>,
    latch: Arc<Latch>,
    /// The checksums its pages should have.
    expected: BTreeMap<u32, u32>,
}

/// An image that was read and checked.
#[derive(Debug)]
pub struct Checked {
    vat: VatId,
    outcome: Result<Option<Damage>, StoreError>,
}

impl<F: File> Reading<F> {
    /// Compares every page with its checksum (I3).
    pub fn check(self) -> Checked {
        let mut first = None;
        let (vat, expected) = (self.vat, self.expected);
        let checked = images::check(&*self.file, &self.latch, vat, expected, |damage| {
            first.get_or_insert(damage);
        });
        Checked {
            vat,
            outcome: checked.map(|_| first),
        }
    }

    /// SHA-256 over the pages in use, as `FORMAT.md` says ("Heap hash").
    pub fn sha256(self) -> Result<[u8; 32], StoreError> {
        let mut hasher = HeapHasher::default();
        let see = |page: u32, content: &_| hasher.page(page, content);
        images::walk(&*self.file, &self.latch, self.vat, see)?;
        Ok(hasher.finish())
    }
}

impl<B: Backend> Store<B> {
    /// Prepares checking the image: call `Reading::check` and then `checked`.
    pub fn read_image(&mut self, vat: VatId) -> Result<Reading<B::File>, ImageError> {
        let found = self.live(vat)?;
        if let Some(damage) = &found.damaged {
            return Err(ImageError::Damaged(damage.clone()));
        }
        let page_limit = found.page_limit;
        if self.has_backlog(vat) {
            return Err(ImageError::Backlog(vat));
        }
        let expected = self.expected_pages(vat).map_err(|error| match error {
            StoreError::Damaged(damage) => ImageError::Damaged(damage.of(vat)),
            error => ImageError::Store(error),
        })?;
        let file = match self.images.file(vat, page_limit) {
            Ok(file) => file,
            Err(StoreError::Damaged(damage)) => return Err(self.damaged(vat, damage)),
            Err(error) => return Err(error.into()),
        };
        Ok(Reading {
            vat,
            file,
            latch: self.shared.latch.clone(),
            expected,
        })
    }

    /// The image for a worker to start on, if the check found no damage. Damage marks the vat.
    pub fn checked(&mut self, checked: Checked) -> Result<Image<B::ReadOnly>, ImageError> {
        let vat = checked.vat;
        match checked.outcome {
            Ok(None) => {}
            Ok(Some(damage)) | Err(StoreError::Damaged(damage)) => {
                return Err(self.damaged(vat, damage));
            }
            Err(error) => return Err(error.into()),
        }
        let found = self.live(vat)?;
        let (page_limit, engine) = (found.pages(), found.engine);
        let path = images::path(vat);
        let file = self.shared.backend.open_read_only(&path);
        let file = file.map_err(|error| self.shared.latch.open(&path, error))?;
        Ok(Image {
            file,
            page_limit,
            engine,
        })
    }

    /// The image, every page of it checked (I3), at once.
    pub fn image(&mut self, vat: VatId) -> Result<Image<B::ReadOnly>, ImageError> {
        let checked = self.read_image(vat)?.check();
        self.checked(checked)
    }

    /// Prepares hashing the image of applied content with `Reading::sha256`.
    pub fn read_heap(&mut self, vat: VatId) -> Result<Reading<B::File>, ImageError> {
        let page_limit = self.live(vat)?.page_limit;
        if self.has_backlog(vat) {
            return Err(ImageError::Backlog(vat));
        }
        let file = self.images.file(vat, page_limit)?;
        self.trim_images();
        Ok(Reading {
            vat,
            file,
            latch: self.shared.latch.clone(),
            expected: BTreeMap::new(),
        })
    }

    /// SHA-256 over the pages in use, at once.
    pub fn heap_sha256(&mut self, vat: VatId) -> Result<[u8; 32], ImageError> {
        Ok(self.read_heap(vat)?.sha256()?)
    }

    fn damaged(&mut self, vat: VatId, damage: Damage) -> ImageError {
        self.mark_damaged(vat, &damage);
        ImageError::Damaged(damage)
    }
}
