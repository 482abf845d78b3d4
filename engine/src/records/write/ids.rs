//! Ids of new records.

use std::sync::{Arc, Mutex, PoisonError};

use subrosa_model::entropy::Entropy;
use subrosa_model::merge::{NewIds, RecordId};

/// Gives a write the ids of its new records. Randomness is drawn ahead: asking the operating system for each costs
/// more than encoding a record.
pub(super) struct IdPool {
    given: Arc<Mutex<NewIds>>,
    drawn: Vec<[u8; 10]>,
    next_draw: usize,
}

impl IdPool {
    /// Ids drawn at once at most.
    const DRAW_MAX: usize = 64;

    /// `given` is the device's, so that the ids of a later write sort behind those of this one.
    pub(super) fn new(given: Arc<Mutex<NewIds>>) -> Self {
        Self { given, drawn: Vec::new(), next_draw: 0 }
    }

    pub(super) fn next(&mut self, now_ms: u64, entropy: &dyn Entropy) -> RecordId {
        if self.drawn.is_empty() {
            // One for a single write, more and more for a long one.
            self.next_draw = (self.next_draw * 2).clamp(1, Self::DRAW_MAX);
            let mut drawn = vec![[0; 10]; self.next_draw];
            entropy.fill(drawn.as_flattened_mut());
            self.drawn = drawn;
        }
        let random = self.drawn.pop().unwrap_or_else(|| entropy.array());
        self.given.lock().unwrap_or_else(PoisonError::into_inner).next(now_ms, random)
    }
}
