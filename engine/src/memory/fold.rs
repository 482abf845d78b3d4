//! Folding control segments into the members of a vault, and the image that opening goes on from (`docs/FORMAT.md`, "Image of
//! the members").
//!
//! An image holds for this version of the program, the keys that were here, and the segments that it names: each of those must be in its
//! log with that chain. Otherwise all segments are read, as without one.

use std::collections::{BTreeMap, HashMap};

use subrosa_model::control::{MemberChanges, Members};
use subrosa_model::wiped::Wiped;
use subrosa_protocol::codec::{DecodeError, Reader, Writer};
use subrosa_protocol::ids::{Chain, LogId, Seq};
use subrosa_protocol::segment::{Class, Kind, SealedSegment};
use subrosa_store::error::StoreError;
use subrosa_store::keys::VaultNo;
use subrosa_store::logs::{BranchNo, LogTip, LogsView};
use subrosa_store::vaults::VaultsView;

use crate::error::Error;
use crate::memory::extents::READER_VERSION;
use crate::memory::state::VaultState;

/// So many segments are read at an opening before an image is written that has them.
pub(crate) const BEYOND_IMAGE_MAX: usize = 64;

/// What became of a control segment.
pub(crate) enum Folded {
    /// No key that is held here opens it, or it stands at or behind what only a newer version reads.
    Shut,
    /// It opens, and its entries do not hold, or not yet: it counts for nothing.
    Refused,
    /// Its entries are taken in.
    Taken(MemberChanges),
}

/// Whether the signatures of all entries of a segment were found to hold at an earlier opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    Before,
    Never,
}

/// What of the control logs an image has.
struct Covered {
    /// Of each branch, by number, the last segment.
    last: BTreeMap<u32, (Seq, Chain)>,
    /// Where logs go on with a kind of a newer version.
    unknown: HashMap<LogId, Seq>,
    members: Members,
}

impl VaultState {
    /// Applies every stored control segment to the members, but for those that are in the image.
    pub(crate) fn fold_control(
        &mut self,
        logs: &LogsView,
        vaults: &VaultsView,
        number: VaultNo,
    ) -> Result<(), Error> {
        let mut covered = BTreeMap::new();
        if let Some(image) = vaults.members(number)? {
            match self.read_image(logs, image.as_bytes())? {
                Some(image) => {
                    (self.members, self.unknown_control, covered) =
                        (image.members, image.unknown, image.last);
                }
                None => tracing::debug!(vault = %self.id, "the image of the members does not fit any more"),
            }
        }
        for (branch, _) in self.control_branches() {
            let Some(head) = logs.head(branch)? else { continue };
            let first = covered.get(&branch.number()).map_or(head.base.seq, |(last, _)| last.next());
            for segment in logs.segments(branch, first..=head.seq)? {
                let (segment, _) = segment?.into_parts();
                let looked = if segment.header().seq < head.merged { Looked::Before } else { Looked::Never };
                self.fold_segment(&segment, looked);
                self.beyond_image += 1;
            }
        }
        Ok(())
    }

    /// The branches of all control logs, with their logs.
    fn control_branches(&self) -> Vec<(BranchNo, LogId)> {
        let control = self.logs.iter().filter(|(_, log)| log.class == Class::Control);
        control.flat_map(|(number, log)| self.branches.of(*number).map(|branch| (branch, log.id))).collect()
    }

    /// Applies one control segment. One that is not taken in counts for nothing, and stays for later.
    pub(crate) fn fold_control_segment(&mut self, log: &LogId, segment: &SealedSegment) -> Folded {
        debug_assert_eq!(*log, segment.header().log);
        self.fold_segment(segment, Looked::Never)
    }

    /// As [`Self::fold_control_segment`], of one that may have been looked at before this open.
    pub(crate) fn fold_segment(&mut self, segment: &SealedSegment, looked: Looked) -> Folded {
        let (log, kind, seq) = (segment.header().log, segment.header().kind, segment.header().seq);
        if kind != Kind::CONTROL && (kind.closes() || !kind.may_carry_ops()) {
            return Folded::Taken(MemberChanges::default());
        }
        if !kind.is_known() {
            self.unknown_control.entry(log).or_insert(seq);
        }
        // What stands behind something that only a newer version reads must not count without it.
        if self.unknown_control.get(&log).is_some_and(|unknown| *unknown <= seq) {
            return Folded::Shut;
        }
        let Some(data) = self.open_control(segment) else { return Folded::Shut };
        let applied = match looked {
            Looked::Before => self.members.apply_checked(log, seq, &data),
            Looked::Never => self.members.apply(log, seq, &data),
        };
        match applied {
            Ok(changes) => {
                self.member_changes += u64::from(changes != MemberChanges::default());
                Folded::Taken(changes)
            }
            Err(error) => {
                if looked == Looked::Before {
                    tracing::warn!(%log, %error, "a control segment that was taken in counts no more");
                }
                Folded::Refused
            }
        }
    }

    /// Forgets what was folded of a control log without a certificate from a segment on: it is not kept, and may come again.
    pub(crate) fn forget_folded(&mut self, log: &LogId, from: Seq) {
        self.members.forget_from(log, from);
        if self.unknown_control.get(log).is_some_and(|unknown| *unknown >= from) {
            self.unknown_control.remove(log);
        }
    }

    pub(crate) fn open_control(&self, segment: &SealedSegment) -> Option<Wiped> {
        let key = self.keyring.control_key(segment.header().epoch)?;
        Some(subrosa_model::seal::open(&self.id, segment, key).ok()?.data)
    }

    /// An image of the members as they are now, and of what it has of the control logs: all of those that count whole.
    pub(crate) fn image(
        &self,
        head: impl Fn(BranchNo) -> Result<Option<LogTip>, StoreError>,
    ) -> Result<Vec<u8>, StoreError> {
        let mut covered = Vec::new();
        for (branch, log) in self.control_branches() {
            if let Some(head) = head(branch)?
                && self.members.counts_whole(&log)
            {
                covered.push((branch, head.seq, head.chain));
            }
        }
        let mut w = Writer::with_capacity(4096);
        w.prefixed(READER_VERSION.as_bytes());
        w.count(self.keyring.epochs.len());
        for secrets in &self.keyring.epochs {
            w.u32(secrets.epoch.0);
        }
        w.u32(u32::try_from(covered.len()).map_err(|_| StoreError::Inconsistent)?);
        for (branch, seq, chain) in covered {
            w.u32(branch.number()).u64(seq.0).bytes(chain.as_bytes());
        }
        let unknown: BTreeMap<_, _> = self.unknown_control.iter().collect();
        w.u32(u32::try_from(unknown.len()).map_err(|_| StoreError::Inconsistent)?);
        for (log, seq) in unknown {
            w.bytes(log.as_bytes()).u64(seq.0);
        }
        w.bytes(&self.members.encode());
        Ok(w.finish())
    }

    /// Reads an image; `None` if it does not fit.
    fn read_image(&self, logs: &LogsView, image: &[u8]) -> Result<Option<Covered>, StoreError> {
        let Ok(Some(covered)) = self.decode_image(image) else { return Ok(None) };
        let mut left = covered.last.len();
        for (branch, _) in self.control_branches() {
            let Some((seq, chain)) = covered.last.get(&branch.number()) else { continue };
            if logs.chain(branch, *seq)? != Some(*chain) {
                return Ok(None);
            }
            left -= 1;
        }
        Ok((left == 0).then_some(covered))
    }

    fn decode_image(&self, image: &[u8]) -> Result<Option<Covered>, DecodeError> {
        let mut r = Reader::new(image);
        if r.prefixed("version", READER_VERSION.len())? != READER_VERSION.as_bytes() {
            return Ok(None);
        }
        let count = r.count("epochs", usize::from(u16::MAX), 4)?;
        let epochs = (0..count).map(|_| r.u32()).collect::<Result<Vec<_>, _>>()?;
        if !epochs.into_iter().eq(self.keyring.epochs.iter().map(|secrets| secrets.epoch.0)) {
            return Ok(None);
        }
        let (mut last, mut unknown) = (BTreeMap::new(), HashMap::new());
        for _ in 0..r.u32()? {
            last.insert(r.u32()?, (Seq(r.u64()?), Chain::from_bytes(r.array()?)));
        }
        for _ in 0..r.u32()? {
            unknown.insert(LogId::from_bytes(r.array()?), Seq(r.u64()?));
        }
        let members = Members::decode(self.id, r.bytes(r.left())?)?;
        Ok(Some(Covered { last, unknown, members }))
    }
}
