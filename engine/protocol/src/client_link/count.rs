//! What a vault's feed brought, and what it is known to have: the numbers of a progress bar.

use std::collections::BTreeMap;

use super::Progress;
use crate::frame::ShortHead;
use crate::ids::LogId;

#[derive(Debug, Default)]
pub(super) struct Count {
    fed_segments: u64,
    fed_bytes: u64,
    stored_segments: u64,
    stored_bytes: u64,
    expected_segments: u64,
    expected_bytes: u64,
}

impl Count {
    /// A segment has arrived.
    pub(super) const fn fed(&mut self, bytes: u64) {
        self.fed_segments = self.fed_segments.saturating_add(1);
        self.fed_bytes = self.fed_bytes.saturating_add(bytes);
    }

    /// Some that have arrived are dropped.
    pub(super) const fn forget_fed(&mut self, segments: u64, bytes: u64) {
        self.fed_segments = self.fed_segments.saturating_sub(segments);
        self.fed_bytes = self.fed_bytes.saturating_sub(bytes);
    }

    pub(super) const fn stored(&mut self, segments: u64, bytes: u64) {
        self.stored_segments = self.stored_segments.saturating_add(segments);
        self.stored_bytes = self.stored_bytes.saturating_add(bytes);
    }

    /// The relay has shown its heads: what they count beyond ours is to come.
    pub(super) fn expect(&mut self, theirs: &[ShortHead], ours: &[ShortHead]) {
        self.expected_segments = self.fed_segments.saturating_add(missing(theirs, ours));
    }

    /// The relay has said how much it has of a vault that is read from the start.
    pub(super) const fn expect_bytes(&mut self, bytes: u64) {
        self.expected_bytes = bytes;
    }

    /// What was expected counts until everything is there.
    pub(super) fn add_to(&self, sum: &mut Progress, caught_up: bool) {
        let (segments, bytes) = if caught_up {
            (self.fed_segments, self.fed_bytes)
        } else {
            (self.fed_segments.max(self.expected_segments), self.fed_bytes.max(self.expected_bytes))
        };
        sum.segments_done = sum.segments_done.saturating_add(self.stored_segments);
        sum.bytes_done = sum.bytes_done.saturating_add(self.stored_bytes);
        sum.segments_known = sum.segments_known.saturating_add(segments);
        sum.bytes_known = sum.bytes_known.saturating_add(bytes);
    }
}

/// Segments that `theirs` counts beyond `ours`.
fn missing(theirs: &[ShortHead], ours: &[ShortHead]) -> u64 {
    let ours: BTreeMap<LogId, u64> =
        ours.iter().map(|head| (head.log, head.seq.0.saturating_add(1))).collect();
    theirs.iter().fold(0, |sum: u64, head| {
        let held = ours.get(&head.log).copied().unwrap_or(0).max(head.base.seq.0);
        sum.saturating_add(head.seq.0.saturating_add(1).saturating_sub(held))
    })
}
