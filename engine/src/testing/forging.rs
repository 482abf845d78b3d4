//! What somebody who writes his own client makes: segments of logs that nobody certified, and whatever a member may seal into
//! its own logs.

use subrosa_model::control::{CertifiedCaps, PrefixCap};
use subrosa_model::entropy::Entropy;
use subrosa_model::keys::KeyPair;
use subrosa_model::keys::secret::{ControlKey, EpochKey, SegmentKey};
use subrosa_model::merge::{
    BodyWriter, Cell, FieldCell, GroupHead, Op, OpKind, Put, RecordId, Stamp, Tombstone, Value, ValueBuf,
};
use subrosa_model::seal::{Packed, Place, seal};
use subrosa_protocol::codec::Reader;
use subrosa_protocol::ids::{Chain, Epoch, LogId, PublicKeyBytes, Seq, Signature, VaultId};
use subrosa_protocol::limits::SEGMENT_PLAIN_MAX;
use subrosa_protocol::segment::{Class, GroupPlace, Kind, SealedSegment};
use subrosa_store::keys::VaultNo;

use super::write_unknown_entry;
use crate::error::Error;
use crate::vault::Vault;

/// A log that nobody certified, with a key of its own: its segments verify, and open for nobody.
pub struct Stranger {
    pair: KeyPair,
    vault: VaultId,
    head: Option<(Seq, Chain)>,
}

impl Stranger {
    /// One that says to be of a vault.
    pub fn new(vault: VaultId, entropy: &dyn Entropy) -> Self {
        Self { pair: KeyPair::generate(entropy), vault, head: None }
    }

    /// Its key.
    #[must_use]
    pub fn public(&self) -> PublicKeyBytes {
        self.pair.public().into()
    }

    /// Its next segment.
    ///
    /// # Panics
    /// Never: 32 bytes are a key.
    pub fn next(&mut self, kind: Kind, data: &[u8], entropy: &dyn Entropy) -> SealedSegment {
        let (seq, prev) = self.head.map_or((Seq(0), Chain::ZERO), |(seq, chain)| (seq.next(), chain));
        let log = LogId::of(&self.public());
        let group = GroupPlace::Whole;
        let place = Place { group, vault: self.vault, prev, kind, log, seq, epoch: Epoch(0) };
        let mut key = [0; 32];
        entropy.fill(&mut key);
        let epoch = EpochKey::read(&mut Reader::new(&key)).expect("32 bytes");
        let control = ControlKey::read(&mut Reader::new(&key)).expect("32 bytes");
        let key = match kind.class() {
            Class::Data => SegmentKey::Data(&epoch),
            Class::Control => SegmentKey::Control(&control),
        };
        let (segment, chain) = seal(&place, &Packed::of(data), key, entropy, |label, payload| {
            Signature::from_bytes(self.pair.sign(label, payload))
        });
        self.head = Some((seq, chain));
        segment
    }
}

/// What a member seals into its own logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Forgery {
    /// Bytes that are no ops.
    Junk,
    /// The first segment of a group that never ends.
    Unended,
    /// A segment from the middle of a group that never began.
    Middle,
    /// A group whose first body is right and whose second one is not.
    HalfGood,
    /// Ops later than their group says.
    LaterThanSaid,
    /// A data segment of a kind that nobody knows, which may hold ops.
    UnknownKind,
    /// One that says that it holds none.
    UnknownHarmless,
    /// A control segment of a kind that nobody knows.
    UnknownControl,
    /// A control entry of a tag that nobody knows.
    UnknownEntry,
    /// Ops of the far future.
    Future,
    /// Ops older than what stands before them.
    Past,
    /// Ops that name logs which it makes up, and ops of others that are yet to come.
    Names,
    /// A record with more fields than anybody may add.
    Fields,
    /// Values within values.
    Deep,
    /// Collections that nobody asked for.
    Collections,
    /// Garbage as a carried segment.
    CarriedJunk,
    /// A segment of a log that it makes up, carried.
    CarriedStranger,
    /// New logs with caps on segments that it makes up.
    Caps,
    /// New logs for nothing.
    Logs,
    /// A closing, with more behind it.
    Closing,
}

/// All of them, with their names.
pub const FORGERIES: [(&str, Forgery); 20] = [
    ("junk", Forgery::Junk),
    ("unended", Forgery::Unended),
    ("middle", Forgery::Middle),
    ("half-good", Forgery::HalfGood),
    ("later-than-said", Forgery::LaterThanSaid),
    ("unknown-kind", Forgery::UnknownKind),
    ("unknown-harmless", Forgery::UnknownHarmless),
    ("unknown-control", Forgery::UnknownControl),
    ("unknown-entry", Forgery::UnknownEntry),
    ("future", Forgery::Future),
    ("past", Forgery::Past),
    ("names", Forgery::Names),
    ("fields", Forgery::Fields),
    ("deep", Forgery::Deep),
    ("collections", Forgery::Collections),
    ("carried-junk", Forgery::CarriedJunk),
    ("carried-stranger", Forgery::CarriedStranger),
    ("caps", Forgery::Caps),
    ("logs", Forgery::Logs),
    ("closing", Forgery::Closing),
];

/// Collection that forged ops are about.
pub const FORGED: &str = "forged";
/// Kinds that no version has; the second one says that it holds no ops.
const UNKNOWN: [u8; 3] = [0x1f, 0x3f, 0x5f];
/// Fields that a segment gives a record; two of them more than a write may add.
const MANY_FIELDS: usize = 700;
const YEAR_MS: u64 = 365 * 86_400_000;

/// Has this device seal such a thing. What waits on it is sealed first. Its own memory takes all of it for its own and merged.
///
/// # Errors
/// Those of a write.
pub fn forge(vault: &Vault, forgery: Forgery, entropy: &dyn Entropy) -> Result<(), Error> {
    let (core, id) = (&vault.core, vault.id());
    let number = core.lock_state()?.vault_no(&id)?;
    core.write(|tx| {
        while tx.seal_batches(number)? {}
        Ok(())
    })?;
    let forger = Forger { vault, number, entropy, now_ms: core.now_ms() };
    match forgery {
        Forgery::UnknownEntry => write_unknown_entry(vault, 0x70),
        Forgery::Caps | Forgery::Logs => forger.new_logs(forgery == Forgery::Caps),
        other => forger.segments(other).into_iter().try_for_each(|one| forger.seal(&one)),
    }
}

/// One segment to be sealed.
struct Forged {
    kind: Kind,
    place: GroupPlace,
    data: Vec<u8>,
}

struct Forger<'a> {
    vault: &'a Vault,
    number: VaultNo,
    entropy: &'a dyn Entropy,
    now_ms: u64,
}

impl Forger<'_> {
    fn seal(&self, forged: &Forged) -> Result<(), Error> {
        self.vault.core.write(|tx| {
            let own = tx.vault(self.number)?.own;
            let log = if forged.kind.class() == Class::Control { own.control } else { own.data };
            tx.seal_next(self.number, log, forged.kind, forged.place, &Packed::of(&forged.data))
        })
    }

    fn new_logs(&self, with_caps: bool) -> Result<(), Error> {
        let core = &self.vault.core;
        let logs: Vec<LogId> =
            core.with_vault(&self.vault.id(), |state| Ok(state.logs.values().map(|log| log.id).collect()))?;
        let made_up = |log| {
            let (seq, cap) = (Seq(u64::from(self.random::<1>()[0])), Stamp(0));
            (log, PrefixCap { seq, chain: Chain::from_bytes(self.random()), cap })
        };
        let prefixes = if with_caps { logs.into_iter().map(made_up).collect() } else { Default::default() };
        let caps = CertifiedCaps { prefixes, ..CertifiedCaps::default() };
        let new = core.new_logs_with_caps(self.number, &caps)?;
        core.write(|tx| tx.rotate_logs(self.number, new))
    }

    fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes);
        bytes
    }

    fn stamp(&self, ahead_ms: i64) -> Stamp {
        Stamp::from_ms(self.now_ms.saturating_add_signed(ahead_ms))
    }

    /// A body with an op of that time, in a group that says how late it is.
    fn first(&self, ahead_ms: i64, says_ms: i64, fields: usize, value: &Value) -> Vec<u8> {
        let stamp = self.stamp(ahead_ms);
        let writer = BodyWriter::first(stamp.min(self.stamp(says_ms)), &GroupHead::of(self.stamp(says_ms)));
        self.filled(writer, stamp, FORGED, Tombstone::default(), fields, value)
    }

    fn filled(
        &self,
        mut writer: BodyWriter,
        stamp: Stamp,
        collection: &str,
        names: Tombstone,
        fields: usize,
        value: &Value,
    ) -> Vec<u8> {
        let prefix = if fields > 1 { self.random::<1>()[0] } else { 0 };
        let names_of_fields: Vec<String> = (0..fields).map(|n| format!("f{prefix}-{n}")).collect();
        let mut id = [9; 16];
        id[15] = self.random::<1>()[0] % 4;
        let made = ValueBuf::encode(value).ok().and_then(|value| {
            let cell = |name| FieldCell { name, cell: Cell::Register(value.borrow()) };
            let cells = names_of_fields.iter().map(|name| cell(name.as_str())).collect();
            let kind = OpKind::Put(Put::new(names, cells).ok()?);
            let op = Op { record: RecordId::from_bytes(id), collection, stamp, kind };
            writer.push(&op, SEGMENT_PLAIN_MAX).ok()
        });
        assert!(made.is_some(), "what is forged fits a segment");
        writer.encode()
    }

    fn segments(&self, forgery: Forgery) -> Vec<Forged> {
        use GroupPlace::{First, Last, Middle, Whole};
        let one = Value::from(1);
        let data = |place, data| Forged { kind: Kind::DATA, place, data };
        let of_kind = |kind, data| Forged { kind, place: Whole, data };
        let unknown = |at: usize| Kind::from_wire(UNKNOWN[at]).unwrap_or(Kind::DATA);
        let good = || self.first(0, 0, 1, &one);
        let year = i64::try_from(YEAR_MS).unwrap_or(i64::MAX);
        match forgery {
            Forgery::Unended => vec![data(First, good())],
            Forgery::Middle => vec![data(Middle, good())],
            Forgery::HalfGood => vec![data(First, good()), data(Last, self.random::<40>().to_vec())],
            Forgery::LaterThanSaid => vec![data(Whole, self.first(10_000, 0, 1, &one))],
            Forgery::UnknownKind => vec![of_kind(unknown(0), good()), data(Whole, good())],
            Forgery::UnknownHarmless => vec![of_kind(unknown(1), good()), data(Whole, good())],
            Forgery::UnknownControl => vec![of_kind(unknown(2), good())],
            Forgery::Future => vec![data(Whole, self.first(year / 2, year / 2, 1, &one))],
            Forgery::Past => vec![data(Whole, self.first(-year, -year, 1, &one))],
            Forgery::Names => vec![data(Whole, self.naming())],
            Forgery::Fields => (0..2).map(|_| data(Whole, self.first(0, 0, MANY_FIELDS, &one))).collect(),
            Forgery::Deep => {
                let deep = (0..24).fold(one, |value, _| Value::Map([("m".to_owned(), value)].into()));
                vec![data(Whole, self.first(0, 0, 1, &deep))]
            }
            Forgery::Collections => self.collections(&one).map(|body| data(Whole, body)).collect(),
            Forgery::CarriedJunk => vec![of_kind(Kind::CARRIED, self.random::<90>().to_vec())],
            Forgery::CarriedStranger => {
                let mut stranger = Stranger::new(self.vault.id(), self.entropy);
                let segment = stranger.next(Kind::DATA, b"nothing", self.entropy);
                let carried = [stranger.public().as_bytes().as_slice(), segment.bytes()].concat();
                vec![of_kind(Kind::CARRIED, carried)]
            }
            Forgery::Closing => vec![of_kind(Kind::CLOSING, Vec::new()), data(Whole, good())],
            _ => vec![data(Whole, self.random::<64>().to_vec())],
        }
    }

    fn collections<'a>(&'a self, value: &'a Value) -> impl Iterator<Item = Vec<u8>> + 'a {
        (0..4).map(move |_| {
            let name = format!("{FORGED}-{}", u32::from_be_bytes(self.random()));
            let stamp = self.stamp(0);
            let writer = BodyWriter::first(stamp, &GroupHead::of(stamp));
            self.filled(writer, stamp, &name, Tombstone::default(), 1, value)
        })
    }

    fn naming(&self) -> Vec<u8> {
        let mut names = Tombstone::default();
        for _ in 0..20 {
            names.raise(LogId::from_bytes(self.random()), self.stamp(0));
        }
        let logs = self.vault.core.with_vault(&self.vault.id(), |state| {
            Ok::<Vec<LogId>, Error>(state.logs.values().map(|log| log.id).collect())
        });
        for log in logs.unwrap_or_default() {
            names.raise(log, self.stamp(3_600_000));
        }
        let stamp = self.stamp(0);
        let writer = BodyWriter::first(stamp, &GroupHead::of(stamp));
        self.filled(writer, stamp, FORGED, names, 1, &Value::from(1))
    }
}
