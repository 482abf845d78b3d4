//! Blocks on their way to the disk.
//!
//! redb writes page after page, in an order of its own, and then asks for a sync. Sealed blocks are held back until
//! then, or until there are many, and written in the order of the file, neighbours in one call. Nothing is promised
//! of a page before the sync, so nothing is lost by it.

use std::collections::BTreeMap;
use std::io;

use super::disk::Disk;
use super::layout::{BLOCK_BYTES, block_offset};
use super::pages::{BATCH_PAGES, with_blocks};
use crate::error::StoreFault;

/// How many blocks are held at most: 1 MiB of them.
pub(super) const HELD_PAGES: usize = 256;

/// Sealed blocks, by page.
#[derive(Default)]
pub(super) struct Held {
    slots: BTreeMap<u64, usize>,
    blocks: Vec<u8>,
}

impl Held {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The block of `page`, when it is held.
    pub(super) fn block(&self, page: u64) -> Option<&[u8]> {
        self.slots.get(&page).map(|slot| &self.blocks[slot * BLOCK_BYTES..][..BLOCK_BYTES])
    }

    /// Whether there is no room for the block of `page` before the next write.
    pub(super) fn is_full(&self, page: u64) -> bool {
        self.slots.len() >= HELD_PAGES && !self.slots.contains_key(&page)
    }

    /// Room for the block of `page`, where it replaces the one that was there.
    pub(super) fn room(&mut self, page: u64) -> Result<&mut [u8], StoreFault> {
        block_offset(page)?;
        let next = self.slots.len();
        let slot = *self.slots.entry(page).or_insert(next);
        if self.blocks.len() < (slot + 1) * BLOCK_BYTES {
            self.blocks.resize((slot + 1) * BLOCK_BYTES, 0);
        }
        Ok(&mut self.blocks[slot * BLOCK_BYTES..][..BLOCK_BYTES])
    }

    /// Writes everything. What is held stays held, and readable, if that fails.
    pub(super) fn write(&mut self, disk: &dyn Disk) -> io::Result<()> {
        let slots: Vec<(u64, usize)> = self.slots.iter().map(|(page, slot)| (*page, *slot)).collect();
        let neighbours = |a: &(u64, usize), b: &(u64, usize)| a.0 + 1 == b.0;
        for run in slots.chunk_by(neighbours).flat_map(|run| run.chunks(BATCH_PAGES)) {
            let offset = block_offset(run[0].0)?;
            let first = run[0].1;
            if run.iter().zip(first..).all(|((_, slot), expected)| *slot == expected) {
                // In the order of the file already, as single blocks and big values are.
                disk.write_at(offset, &self.blocks[first * BLOCK_BYTES..][..run.len() * BLOCK_BYTES])?;
                continue;
            }
            with_blocks(run.len(), |blocks| {
                for (block, (_, slot)) in blocks.chunks_mut(BLOCK_BYTES).zip(run) {
                    block.copy_from_slice(&self.blocks[slot * BLOCK_BYTES..][..BLOCK_BYTES]);
                }
                disk.write_at(offset, blocks)
            })?;
        }
        self.slots.clear();
        Ok(())
    }
}
