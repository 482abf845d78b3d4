//! How far the groups of a log reach, and why a log waits in front of one.
//!
//! Places in the headers say where a group begins and ends (`docs/FORMAT.md`, "Merging"), so nothing is opened to find
//! out. A group is merged whole or waits whole, and everything behind it in its log waits too.

use subrosa_model::merge::VaultNo;
use subrosa_protocol::ids::Seq;
use subrosa_protocol::limits::{GROUP_PLAIN_BYTES_MAX, GROUP_SEGMENTS_MAX, SEGMENT_PLAIN_MAX};
use subrosa_protocol::segment::Kind;
use subrosa_store::error::StoreError;
use subrosa_store::logs::BranchNo;

use crate::error::Error;
use crate::faults;
use crate::life::commit::Tx;
use crate::logs::sealing::fill::BODY_PLAIN_MAX;
use crate::memory::cost::look_at_row;
use crate::memory::extents::{GroupExtent, Probe, WaitReason};

/// Opened bodies that are merged in one sorted pass; beyond that, several passes in the same transaction.
const PASS_BYTES: usize = 16 << 20;
/// What decoded bodies take in memory at a time: ops of a few bytes each take ten times as much when they are decoded.
const DECODED_BYTES: usize = 20 << 20;

/// What bounds a group, and how much of groups is in memory at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupLimits {
    /// Segments of a group.
    pub(crate) segments: u64,
    /// Plaintext of a group.
    pub(crate) plain_bytes: usize,
    /// Plaintext of all groups of a pass.
    pub(crate) pass_bytes: usize,
    /// Decoded ops of one group of a pass, and of those that are merged together.
    pub(crate) decoded_bytes: usize,
}

/// The limits; tests may have smaller ones.
#[cfg_attr(not(test), expect(clippy::missing_const_for_fn, reason = "tests look for theirs"))]
pub(crate) fn group_limits() -> GroupLimits {
    #[cfg(test)]
    if let Some(limits) = testing::LIMITS.get() {
        return limits;
    }
    GroupLimits {
        segments: GROUP_SEGMENTS_MAX as u64,
        plain_bytes: GROUP_PLAIN_BYTES_MAX,
        pass_bytes: PASS_BYTES,
        decoded_bytes: DECODED_BYTES,
    }
}

/// Smaller limits for the thread of a test.
#[cfg(test)]
pub(crate) mod testing {
    use std::cell::Cell;

    use super::GroupLimits;

    thread_local! {
        pub(crate) static LIMITS: Cell<Option<GroupLimits>> = const { Cell::new(None) };
    }
}

/// What a log goes on with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NextGroup {
    /// A group that is here as a whole.
    Complete(GroupExtent),
    /// One whose end has not arrived, or nothing.
    Incomplete,
    /// One that cannot be merged.
    Waits(WaitReason),
}

impl GroupExtent {
    /// One segment with ops by itself.
    pub(crate) const fn of_one(branch: BranchNo, seq: Seq) -> Self {
        Self { branch, segments: seq..=seq, has_ops: true, carries: false, sealed_bytes: 0 }
    }

    /// Whether it may be more than a pass has room for, so that it is merged in a transaction of its own. A group of this
    /// program's is not that large if this says no; one of another's is found out when it is opened.
    pub(crate) fn is_large(&self) -> bool {
        let room = group_limits().pass_bytes as u64;
        let count = self.segments.end().0 - self.segments.start().0 + 1;
        self.sealed_bytes > room || (count > 1 && count * BODY_PLAIN_MAX as u64 > room)
    }
}

impl Tx<'_> {
    /// Finds out how far the group reaches that begins with `first`, by headers alone. What was looked at of a group whose
    /// end is not here is not looked at again.
    pub(crate) fn next_group(
        &mut self,
        vault: VaultNo,
        branch: BranchNo,
        first: Seq,
    ) -> Result<NextGroup, Error> {
        let Some(tip) = self.logs.head(branch)? else { return Ok(NextGroup::Incomplete) };
        // It may be of a group further on, when one before it is held.
        let probed = self.vault(vault)?.probed.get(&branch).copied().filter(|probe| probe.first == first);
        let mut probe = probed.unwrap_or(Probe { first, ..Probe::default() });
        let mut seq = probed.map_or(first, |probe| probe.last.next());
        let extent = |last, has_ops, sealed_bytes| {
            NextGroup::Complete(GroupExtent {
                branch,
                segments: first..=last,
                has_ops,
                carries: false,
                sealed_bytes,
            })
        };
        while seq <= tip.seq {
            look_at_row();
            let header = self.logs.header(branch, seq)?.ok_or(StoreError::Inconsistent)?;
            if seq > first && header.kind.closes() {
                return Ok(extent(seq, false, 0));
            }
            if header.place.is_first() && seq > first && seq == tip.base.seq {
                // What it was in the middle of goes on in another branch.
                return Ok(extent(Seq(seq.0 - 1), false, 0));
            }
            if header.place.is_first() != (seq == first) {
                if faults::MISPLACED_IS_DAMAGE {
                    return Err(StoreError::Inconsistent.into());
                }
                return Ok(NextGroup::Waits(WaitReason::Misplaced));
            }
            if header.kind.is_group_of_its_own() && is_passed_over(header.kind) {
                return Ok(NextGroup::Complete(GroupExtent {
                    branch,
                    segments: first..=seq,
                    has_ops: false,
                    carries: header.kind == Kind::CARRIED,
                    sealed_bytes: 0,
                }));
            }
            probe.last = seq;
            probe.sealed_bytes += u64::from(header.body_len);
            probe.unknown_kind |= !header.kind.is_known();
            if seq.0 - first.0 >= group_limits().segments {
                return Ok(NextGroup::Waits(WaitReason::TooLarge));
            }
            if header.place.is_last() {
                return Ok(if probe.unknown_kind {
                    NextGroup::Waits(WaitReason::UnknownKind)
                } else {
                    extent(seq, true, probe.sealed_bytes)
                });
            }
            seq = seq.next();
        }
        if first <= tip.seq {
            self.vault_mut(vault)?.probed.insert(branch, probe);
        }
        Ok(NextGroup::Incomplete)
    }
}

impl Tx<'_> {
    /// Whether a merged segment is of a kind that carries no ops of its log.
    pub(crate) fn carries_no_ops(&self, branch: BranchNo, seq: Seq) -> Result<bool, Error> {
        Ok(self.logs.header(branch, seq)?.is_some_and(|header| is_passed_over(header.kind)))
    }

    /// Up to where the merged segments of a log count, exclusive: a group that had no end when its log was closed never does.
    pub(crate) fn end_of_ops(&self, branch: BranchNo) -> Result<Seq, Error> {
        let Some(tip) = self.logs.head(branch)? else { return Ok(Seq(0)) };
        if !tip.closed || tip.merged <= tip.seq {
            return Ok(tip.merged);
        }
        let mut end = tip.seq;
        while end > tip.base.seq {
            look_at_row();
            let before = Seq(end.0 - 1);
            if self.logs.header(branch, before)?.ok_or(StoreError::Inconsistent)?.place.is_last() {
                break;
            }
            end = before;
        }
        Ok(end)
    }
}

/// Whether a device goes on behind a segment without opening it: it carries no ops of its log.
fn is_passed_over(kind: Kind) -> bool {
    kind == Kind::CARRIED || kind.closes() || !kind.may_carry_ops()
}

const _: () = assert!(PASS_BYTES >= 2 * SEGMENT_PLAIN_MAX, "a pass has room for any single body");
