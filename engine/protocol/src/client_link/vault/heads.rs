//! Comparing heads with the relay, part by part.

use std::collections::VecDeque;
use std::time::Instant;

use super::super::{Output, Purpose, VaultFault};
use super::{Down, VaultLink};
use crate::frame::{ClientFrame, ShortHead};
use crate::ids::LogId;
use crate::limits;

impl VaultLink {
    /// HEADS of the relay, part by part: incarnation or digest differ. Gives all of them behind the last part.
    pub(in crate::client_link) fn relay_heads(
        &mut self,
        now: Instant,
        last: bool,
        heads: Vec<ShortHead>,
    ) -> Result<Option<Vec<ShortHead>>, VaultFault> {
        let mut theirs = match &mut self.down {
            Down::Joining { .. } if self.purpose == Purpose::Sync => Vec::new(),
            Down::Gathering { theirs, .. } => std::mem::take(theirs),
            _ => return Err(VaultFault::OutOfPlace { frame: "HEADS" }),
        };
        let before = theirs.last().map(|head| head.log);
        let ascend = heads.is_sorted_by(|one, next| one.log < next.log)
            && heads.first().is_none_or(|first| before < Some(first.log));
        if !ascend || (heads.is_empty() && !last) {
            return Err(VaultFault::HeadsOrder);
        }
        if theirs.len() + heads.len() > limits::LOGS_PER_VAULT_MAX {
            return Err(VaultFault::TooManyLogs);
        }
        for head in &heads {
            self.up.introduced(head.log)?;
        }
        theirs.extend(heads);
        if !last {
            self.down = Down::Gathering { since: now, theirs };
            return Ok(None);
        }
        self.up.forget_sent();
        self.down = Down::StoringHeads { theirs: theirs.clone() };
        Ok(Some(theirs))
    }

    pub(in crate::client_link) fn heads_stored(
        &mut self,
        now: Instant,
        (diverged, own): (bool, &[LogId]),
        mut heads: Vec<ShortHead>,
        out: &mut VecDeque<Output>,
    ) {
        let Down::StoringHeads { theirs } = &self.down else { return };
        heads.sort_unstable_by_key(|head| head.log);
        heads.dedup_by_key(|head| head.log);
        self.count.expect(theirs, &heads);
        // Past the limit, the rest is merely sent to us again.
        heads.truncate(limits::LOGS_PER_VAULT_MAX);
        self.claim_by_heads(diverged, own);
        let parts = heads.len().div_ceil(limits::HEADS_PART_MAX).max(1);
        for part in 1..=parts {
            let rest = heads.split_off(heads.len().min(limits::HEADS_PART_MAX));
            let heads = std::mem::replace(&mut heads, rest);
            let frame = ClientFrame::Heads { vault: self.id, last: part == parts, heads };
            out.push_back(Output::Send(frame.encode()));
        }
        self.down = Down::Comparing { since: now };
    }
}
