//! The bytes of a medium: a base that all images of a run share, and the pages that differ from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::units::{BLOCK_BYTES, BLOCK_SIZE};

/// The bytes of one page.
pub type Page = [u8; BLOCK_BYTES];

static ZEROS: Page = [0; BLOCK_BYTES];

/// What a medium holds, in whole pages. Copies share their pages until one of them changes them.
#[derive(Clone, Debug)]
pub struct Image {
    base: Arc<Base>,
    changed: BTreeMap<u64, Arc<Page>>,
}

#[derive(Debug)]
struct Base {
    bytes: Vec<u8>,
    /// By page: whether it holds zeros only.
    zeros: Vec<bool>,
}

fn position(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

impl Image {
    /// A medium of these bytes, filled up to a whole page.
    #[must_use]
    pub fn new(mut bytes: Vec<u8>) -> Image {
        bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
        let zeros = bytes.chunks_exact(BLOCK_BYTES).map(|page| *page == ZEROS).collect();
        Image { base: Arc::new(Base { bytes, zeros }), changed: BTreeMap::new() }
    }

    /// Bytes up to the end of the last page that was ever written.
    #[must_use]
    pub fn len(&self) -> u64 {
        let grown = self.changed.last_key_value().map_or(0, |(page, _)| (page + 1) * BLOCK_SIZE);
        grown.max(self.base.bytes.len() as u64)
    }

    /// Whether there is no page at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Page number `page`; zeros beyond the end.
    #[must_use]
    pub fn page(&self, page: u64) -> &Page {
        match self.changed.get(&page) {
            Some(changed) => changed,
            None => self.base_page(page),
        }
    }

    fn base_page(&self, page: u64) -> &Page {
        let at = position(page * BLOCK_SIZE);
        self.base.bytes.get(at..).and_then(|rest| rest.first_chunk()).unwrap_or(&ZEROS)
    }

    /// Whether page number `page` holds zeros only.
    pub(super) fn is_zeros(&self, page: u64) -> bool {
        match self.changed.get(&page) {
            Some(changed) => **changed == ZEROS,
            None => self.base.zeros.get(position(page)).is_none_or(|&zeros| zeros),
        }
    }

    /// The pages that may differ from the base, in ascending order.
    pub fn changed(&self) -> impl Iterator<Item = (u64, &Page)> {
        self.changed.iter().map(|(&page, bytes)| (page, &**bytes))
    }

    /// Whether both have the same base, so that they differ at most in the pages that either has [changed](Image::changed).
    #[must_use]
    pub fn shares_base(&self, other: &Image) -> bool {
        Arc::ptr_eq(&self.base, &other.base)
    }

    /// All bytes.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        (0..self.len() / BLOCK_SIZE).flat_map(|page| *self.page(page)).collect()
    }

    /// The aligned word at `at`.
    pub(super) fn word(&self, at: u64) -> u64 {
        let within = position(at % BLOCK_SIZE);
        let bytes = &self.page(at / BLOCK_SIZE)[within..within + 8];
        u64::from_le_bytes(bytes.try_into().unwrap_or_default())
    }

    /// Whether `bytes`, which lie within one page, are what is at `at`.
    pub(super) fn holds(&self, at: u64, bytes: &[u8]) -> bool {
        let within = position(at % BLOCK_SIZE);
        self.page(at / BLOCK_SIZE)[within..within + bytes.len()] == *bytes
    }

    /// Stores the aligned word at `at`.
    pub(super) fn set_word(&mut self, at: u64, word: u64) {
        let (page, within) = (at / BLOCK_SIZE, position(at % BLOCK_SIZE));
        if !self.changed.contains_key(&page) {
            let copy = Arc::new(*self.base_page(page));
            self.changed.insert(page, copy);
        }
        if let Some(page) = self.changed.get_mut(&page) {
            Arc::make_mut(page)[within..within + 8].copy_from_slice(&word.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_part_where_one_is_changed_and_an_image_grows_by_pages() {
        let mut one = Image::new(vec![7; 5000]);
        let other = one.clone();
        one.set_word(4096, 1);
        one.set_word(3 * BLOCK_SIZE + 8, 2);
        assert_eq!((one.len(), other.len()), (4 * BLOCK_SIZE, 2 * BLOCK_SIZE));
        assert_eq!((one.word(4096), other.word(4096)), (1, 0x0707_0707_0707_0707));
        assert_eq!((one.word(3 * BLOCK_SIZE), one.word(3 * BLOCK_SIZE + 8)), (0, 2));
        assert!(one.shares_base(&other) && !one.shares_base(&Image::new(vec![7; 5000])));
        assert_eq!(one.changed().map(|(page, _)| page).collect::<Vec<_>>(), [1, 3]);
        let mut bytes = vec![7; 5000];
        bytes.resize(4 * BLOCK_BYTES, 0);
        bytes[4096..4104].copy_from_slice(&1_u64.to_le_bytes());
        bytes[3 * BLOCK_BYTES + 8] = 2;
        assert_eq!(one.to_vec(), bytes);
    }
}
