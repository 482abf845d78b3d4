//! Filling bodies by the length that they are sealed with (`docs/adr/0006-segment-rows.md`).
//!
//! How long a body is once compressed is known only by compressing it. So a body is filled to where the one before it
//! suggests, packed, and measured: it goes on when it is too thin for its page, and is cut again when it is too long.
//! As bodies of one log are alike, most are packed once.

use subrosa_model::merge::{BodyPlace, BodyWriter, CheckedBody, GroupHead, Op, Stamp};
use subrosa_model::seal::Packed;
use subrosa_model::wiped::Wiped;
use subrosa_protocol::ids::Chain;
use subrosa_protocol::limits::{
    COLLECTION_NAME_BYTES_MAX, FIELD_NAME_BYTES_MAX, FIELDS_MAX, HEADS_PART_MAX, LOGS_PER_VAULT_MAX,
    RUNS_MAX, SEGMENT_OWN_BYTES_MAX, VALUE_BYTES_MAX,
};
use subrosa_protocol::segment::data_within;

/// What stands beside a segment in a page of the store that holds its row alone: the chain in the row; header, key and
/// the end of the value in the page.
const ROW_AROUND: usize = Chain::LEN + 4 + 12 + 4;

/// The most data, as it is sealed, whose row fits a page of the store.
const fn fit(page: usize) -> usize {
    data_within(page - ROW_AROUND)
}

/// What bodies are filled to, by the pages that their rows then fill. The smaller ones are for data of which not even
/// [`BODY_PLAIN_MAX`] fills the first.
const FITS: [usize; 4] = [fit(64 << 10), fit(32 << 10), fit(16 << 10), fit(8 << 10)];

/// Data that does not compress is filled up to this many bytes: with flags and length 62 KiB, which padding leaves as
/// they are.
pub(crate) const BODY_FILL_BYTES: usize = FITS[0];

/// No more plaintext than this goes into a body of several ops, however well it compresses: what its readers hold to
/// merge it, four times a full body that does not compress.
pub(crate) const BODY_PLAIN_MAX: usize = 256 << 10;

/// The longest body there can be: the head of a group, and one op, which is never split: a put that names every log of a
/// vault and whose cells are as many and as long as one op may have.
const LONGEST_BODY: usize = HEAD_MAX + TABLES_MAX + OP_MAX;
/// Latest stamp, runs, and heads with what counts them.
const HEAD_MAX: usize = 8 + 3 + RUNS_MAX * 16 + 4 + HEADS_PART_MAX * (16 + 10 + 32);
/// Base, a collection, and the logs that the tombstone names; fields are counted with their cells.
const TABLES_MAX: usize = 8 + 2 * 3 + 2 + COLLECTION_NAME_BYTES_MAX + LOGS_PER_VAULT_MAX * 16;
/// Tag, length, header, tombstone, and cells: their names and values together are no more than one value and one name, but
/// for what says how long each is.
const OP_MAX: usize = 64
    + LOGS_PER_VAULT_MAX * (3 + 10)
    + (VALUE_BYTES_MAX + FIELD_NAME_BYTES_MAX)
    + FIELDS_MAX * (2 + 3 + 1 + 4);
const _: () =
    assert!(LONGEST_BODY <= data_within(SEGMENT_OWN_BYTES_MAX), "it can be carried as deep as anybody reads");

/// A body of at least so many hundredths of the room is full; to fill it better would cost another packing.
const FULL_PERCENT: usize = 87;

/// What is aimed at, so that the next body, a little less compressible, still fits.
const AIM_PERCENT: usize = 95;

/// How far the body at hand is filled.
#[derive(Clone, Copy, Debug)]
struct Goal {
    /// Room for its data as it is sealed.
    packed: usize,
    /// Plaintext that should come to that.
    plain: usize,
}

impl Goal {
    /// For data of which nothing is known.
    const FIRST: Self = Self { packed: BODY_FILL_BYTES, plain: BODY_FILL_BYTES };

    /// For data of which `plain` bytes were packed into `packed`.
    fn after(plain: usize, packed: usize) -> Self {
        let goal = |room: usize| {
            // Where a usize has 32 bits, the product of two lengths does not fit.
            let plain = (room * AIM_PERCENT / 100) as u64 * plain as u64 / packed.max(1) as u64;
            let plain = usize::try_from(plain).unwrap_or(usize::MAX);
            // What has no more bytes than there is room needs no packing to fit.
            Self { packed: room, plain: plain.max(room) }
        };
        let first = FITS.into_iter().map(goal).find(|goal| goal.plain <= BODY_PLAIN_MAX);
        let [.., least] = FITS;
        first.unwrap_or(Self { packed: least, plain: BODY_PLAIN_MAX })
    }
}

/// Packs the ops of one group, in their order, into bodies.
pub(crate) struct Filler {
    writer: Option<BodyWriter>,
    /// What the first body says about the group.
    head: GroupHead,
    place: BodyPlace,
    goal: Goal,
    full: Vec<Packed>,
    /// How many bodies are done, and their plaintext.
    segments: usize,
    plain_bytes: u64,
}

impl Filler {
    /// `head` goes into the first body.
    pub(crate) fn new(head: GroupHead) -> Self {
        let (place, goal, full) = (BodyPlace::First, Goal::FIRST, Vec::new());
        Self { writer: None, head, place, goal, full, segments: 0, plain_bytes: 0 }
    }

    /// Adds an op.
    pub(crate) fn push(&mut self, op: &Op<'_>) {
        loop {
            let (place, head) = (self.place, &self.head);
            let writer = self.writer.get_or_insert_with(|| writer_at(place, head, op.stamp));
            if writer.push(op, self.goal.plain).is_ok() {
                return;
            }
            self.measure();
        }
    }

    /// The bodies that are full by now.
    pub(crate) fn take_full(&mut self) -> Vec<Packed> {
        std::mem::take(&mut self.full)
    }

    /// How many bodies are done.
    pub(crate) const fn segments(&self) -> usize {
        self.segments
    }

    /// Their plaintext, before it was compressed.
    pub(crate) const fn plain_bytes(&self) -> u64 {
        self.plain_bytes
    }

    /// The bodies that are left, the last one as full as it is; and the plaintext of all.
    pub(crate) fn finish(mut self) -> (Vec<Packed>, u64) {
        while let Some(writer) = &self.writer {
            let (plain, packed) = (writer.len(), Packed::new(Wiped::new(writer.encode())));
            if writer.ops() > 1 && packed.len() > BODY_FILL_BYTES {
                self.cut(Goal::after(plain, packed.len()));
            } else {
                self.keep(plain, packed);
            }
        }
        (self.full, self.plain_bytes)
    }

    /// The body at hand has come to its goal: it is full, or it is cut again, or its goal is raised.
    fn measure(&mut self) {
        let Some(writer) = &self.writer else { return };
        let (plain, packed) = (writer.len(), Packed::new(Wiped::new(writer.encode())));
        let next = Goal::after(plain, packed.len());
        if writer.ops() > 1 && packed.len() > next.packed {
            return self.cut(next);
        }
        let thin = packed.len() * 100 < next.packed * FULL_PERCENT;
        // Raised at most to the cap, and never twice for the same bytes.
        if !(thin && next.plain > self.goal.plain) {
            self.keep(plain, packed);
        }
        self.goal = next;
    }

    /// The body at hand is done; the next one is a later one.
    fn keep(&mut self, plain: usize, packed: Packed) {
        self.segments += 1;
        self.plain_bytes += plain as u64;
        self.full.push(packed);
        self.writer = None;
        self.place = BodyPlace::Behind { latest: self.head.latest };
    }

    /// Makes a body of the first ops of the one at hand, which is too long, and packs the others anew.
    fn cut(&mut self, mut goal: Goal) {
        let Some(writer) = self.writer.take() else { return };
        let bytes = Wiped::new(writer.encode());
        let body =
            CheckedBody::decode(&bytes, self.place).expect("a body that was packed a moment ago decodes");
        let taken = loop {
            let mut writer = writer_at(self.place, &self.head, body.base());
            let taken = body.ops().iter().take_while(|op| writer.push(op, goal.plain).is_ok()).count();
            let (plain, packed) = (writer.len(), Packed::new(Wiped::new(writer.encode())));
            if packed.len() <= goal.packed || taken <= 1 {
                self.goal = Goal::after(plain, packed.len());
                self.keep(plain, packed);
                break taken;
            }
            // Its front is less compressible than the whole. That much fits, whatever it is.
            goal.plain = goal.packed;
        };
        for op in &body.ops()[taken..] {
            self.push(op);
        }
    }
}

/// A body at its place in a group.
fn writer_at(place: BodyPlace, head: &GroupHead, base: Stamp) -> BodyWriter {
    match place {
        BodyPlace::First => BodyWriter::first(base, head),
        BodyPlace::Behind { .. } => BodyWriter::behind(base),
    }
}

#[cfg(test)]
mod tests;
