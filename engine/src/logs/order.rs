//! The groups of a log come in the order of their stamps: none is earlier than the one before it.
//!
//! An honest author never makes one that is: its clock goes on from what it wrote, and begins new logs where it is put back. A cap on
//! what somebody had merged reaches up to the latest stamp of the last group of it, and so reaches all before
//! (`docs/FORMAT.md`, "Merging" and "Caps"). What goes back in time waits as what does not decode.

use subrosa_model::merge::{Stamp, VaultNo};
use subrosa_protocol::ids::Seq;
use subrosa_protocol::segment::Kind;
use subrosa_store::logs::BranchNo;

use crate::error::Error;
use crate::life::commit::Tx;
use crate::memory::cost::look_at_row;

/// Where it is kept what was found from there on back.
const MARK_EVERY: u64 = 1024;

impl Tx<'_> {
    /// Whether the next group of a branch, which begins with a segment, is no earlier than the one before it.
    pub(crate) fn is_in_order(
        &mut self,
        vault: VaultNo,
        branch: BranchNo,
        (first, latest): (Seq, Stamp),
    ) -> Result<bool, Error> {
        Ok(self.latest_before(vault, branch, first)? <= latest)
    }

    /// A group of a branch is merged: the next one must be no earlier.
    pub(crate) fn note_latest(
        &mut self,
        vault: VaultNo,
        branch: BranchNo,
        latest: Stamp,
    ) -> Result<(), Error> {
        self.vault_mut(vault)?.latests.insert(branch, latest);
        Ok(())
    }

    /// The latest stamp of the last group with ops before a segment, on the way to the tip of a branch. It is looked for once in an
    /// open, as far back as nothing has ops; where many branches leave one, up to what another one has passed.
    fn latest_before(&mut self, vault: VaultNo, branch: BranchNo, first: Seq) -> Result<Stamp, Error> {
        if let Some(latest) = self.vault(vault)?.latests.get(&branch) {
            return Ok(*latest);
        }
        let (mut latest, mut passed) = (Stamp::default(), Vec::new());
        // A group that has no end on this way, because a branch leaves it or its log was closed, has no ops.
        let mut has_end = false;
        for seq in (0..first.0).rev().map(Seq) {
            look_at_row();
            if !has_end && seq.0.is_multiple_of(MARK_EVERY) {
                let Some(holder) = self.logs.holder(branch, seq)? else { break };
                if let Some(known) = self.vault(vault)?.latest_at.get(&(holder, seq)) {
                    latest = *known;
                    break;
                }
                passed.push((holder, seq));
            }
            let Some(header) = self.logs.header(branch, seq)? else { break };
            if header.kind != Kind::DATA {
                continue;
            }
            has_end |= header.place.is_last();
            if !header.place.is_first() {
                continue;
            }
            if has_end && let Some(head) = self.head_of_group(vault, branch, seq)? {
                latest = head.latest;
                break;
            }
            has_end = false;
        }
        self.vault_mut(vault)?.latest_at.extend(passed.into_iter().map(|mark| (mark, latest)));
        self.note_latest(vault, branch, latest)?;
        Ok(latest)
    }
}
