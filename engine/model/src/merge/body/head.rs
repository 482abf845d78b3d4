//! What the first body of a group says about all of it, so that each body is opened and decoded once.
//!
//! The clock is asked by the latest stamp before anything is merged; runs and heads say what the author knew. A batch of
//! ops that waits keeps the same bytes in its row (`docs/FORMAT.md`, "Body of a data segment" and "Batches").

use subrosa_protocol::codec::{DecodeError, Reader};
use subrosa_protocol::ids::{Chain, Head, LogId, Seq};
use subrosa_protocol::limits::{HEADS_PART_MAX, RUNS_MAX};

use crate::entropy::Entropy;
use crate::merge::hlc::Stamp;
use crate::merge::varint;

/// One opening of a store, in one vault: random, drawn before its first write. Two copies of a store never share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run([u8; Self::LEN]);

impl Run {
    /// Its length.
    pub const LEN: usize = 8;

    /// A run of these bytes.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Draws one.
    pub fn draw(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; Self::LEN];
        entropy.fill(&mut bytes);
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

/// The runs that went into a group, each with the stamp of its last op there, also of one that was coalesced away; in
/// their order, each once.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Runs(Vec<(Run, Stamp)>);

impl Runs {
    /// Notes that a run wrote at `stamp`; the later stamp of a run stays.
    pub fn raise(&mut self, run: Run, stamp: Stamp) {
        match self.find(run) {
            Ok(at) => self.0[at].1 = self.0[at].1.max(stamp),
            Err(at) => self.0.insert(at, (run, stamp)),
        }
    }

    /// Whether a run may be noted: a group has a limited number of them.
    pub fn has_room_for(&self, run: Run) -> bool {
        self.0.len() < RUNS_MAX || self.find(run).is_ok()
    }

    /// The runs with their stamps.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Run, Stamp)> + '_ {
        self.0.iter().copied()
    }

    fn find(&self, run: Run) -> Result<usize, usize> {
        self.0.binary_search_by_key(&run, |entry| entry.0)
    }

    fn write(&self, out: &mut Vec<u8>) {
        varint::put_len(out, self.0.len());
        for (run, stamp) in self.iter() {
            out.extend_from_slice(run.as_bytes());
            out.extend_from_slice(&stamp.0.to_be_bytes());
        }
    }

    fn read(reader: &mut Reader<'_>, latest: Stamp) -> Result<Self, DecodeError> {
        let count = read_count(reader, Run::LEN + 8, ("runs", RUNS_MAX))?;
        let mut runs: Vec<(Run, Stamp)> = Vec::with_capacity(count);
        for _ in 0..count {
            let run = Run::from_bytes(reader.array()?);
            if runs.last().is_some_and(|last| last.0 >= run) {
                return Err(DecodeError::NotCanonical { what: "order of runs" });
            }
            let stamp = Stamp(reader.u64()?);
            if stamp > latest {
                return Err(DecodeError::Invalid { what: "stamp of a run" });
            }
            runs.push((run, stamp));
        }
        Ok(Self(runs))
    }
}

/// Heads of other logs, wholly merged up to there, that changed since the log last named them: ascending by log, seq and
/// chain, each once. A log that has branches may be named several times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    is_complete: bool,
    heads: Vec<Head>,
}

impl Seen {
    /// All that changed; the first of them if that is too much for one group.
    pub fn new(mut heads: Vec<Head>) -> Self {
        heads.sort_unstable_by_key(place);
        heads.dedup();
        let is_complete = heads.len() <= HEADS_PART_MAX;
        heads.truncate(HEADS_PART_MAX);
        Self { is_complete, heads }
    }

    /// Part of what changed: the rest is named by the next group.
    #[must_use]
    pub fn part(heads: Vec<Head>) -> Self {
        Self { is_complete: false, ..Self::new(heads) }
    }

    /// Whether nothing else had changed.
    pub const fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The heads.
    pub fn heads(&self) -> &[Head] {
        &self.heads
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.is_complete.into());
        varint::put_len(out, self.heads.len());
        for head in &self.heads {
            out.extend_from_slice(head.log.as_bytes());
            varint::put(out, head.seq.0);
            out.extend_from_slice(head.chain.as_bytes());
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let is_complete = match reader.u8()? {
            0 => false,
            1 => true,
            other => return Err(DecodeError::Unknown { what: "flag of seen heads", value: other.into() }),
        };
        let count = read_count(reader, LogId::LEN + 1 + Chain::LEN, ("seen heads", HEADS_PART_MAX))?;
        let mut heads: Vec<Head> = Vec::with_capacity(count);
        for _ in 0..count {
            let log = LogId::from_bytes(reader.array()?);
            let seq = Seq(varint::read(reader)?);
            let head = Head { log, seq, chain: Chain::from_bytes(reader.array()?) };
            if heads.last().is_some_and(|last| place(last) >= place(&head)) {
                return Err(DecodeError::NotCanonical { what: "order of seen heads" });
            }
            heads.push(head);
        }
        Ok(Self { is_complete, heads })
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self { is_complete: true, heads: Vec::new() }
    }
}

/// What the first body of a group begins with.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct GroupHead {
    /// The stamp of the latest op of the whole group: a later one anywhere in it makes the group undecodable.
    pub latest: Stamp,
    /// The runs that went into it; none is later than `latest`.
    pub runs: Runs,
    /// What its author had seen of others when the group was cut.
    pub seen: Seen,
}

impl GroupHead {
    /// Of a group that names nothing but its latest stamp.
    pub fn of(latest: Stamp) -> Self {
        Self { latest, ..Self::default() }
    }

    /// Appends `latest | runs | seen`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.latest.0.to_be_bytes());
        self.runs.write(out);
        self.seen.write(out);
    }

    /// Reads what [`Self::write`] appended.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let latest = Stamp(reader.u64()?);
        let runs = Runs::read(reader, latest)?;
        Ok(Self { latest, runs, seen: Seen::read(reader)? })
    }
}

fn place(head: &Head) -> (LogId, Seq, Chain) {
    (head.log, head.seq, head.chain)
}

/// A count of things of at least `each` bytes that is within its limit.
pub(super) fn read_count(
    reader: &mut Reader<'_>,
    each: usize,
    (what, limit): (&'static str, usize),
) -> Result<usize, DecodeError> {
    let count = varint::read_count(reader, each)?;
    if count > limit {
        let (announced, limit) = (count as u64, limit as u64);
        return Err(DecodeError::TooLarge { what, announced, limit });
    }
    Ok(count)
}
