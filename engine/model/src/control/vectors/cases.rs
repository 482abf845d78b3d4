//! Entries of each shape, and control segments with one thing wrong each.

use serde_json::{Value, json};
use subrosa_protocol::codec::{Extensions, Writer};
use subrosa_protocol::ids::{Chain, LogId, Seq, VaultId};
use subrosa_protocol::labels;
use subrosa_protocol::limits::CAPS_PER_CERTIFICATE_MAX;

use super::{World, hex, segment};
use crate::control::{
    DeviceRole, Entry, Members, PrefixCap, SignedEntry, UnknownEntry, decode_entries, encode_entries,
    with_caps, with_prefix_caps,
};
use crate::keys::{KeyProvider, SoftwareKey, sign_with};
use crate::merge::{CapStep, Stamp};

/// An entry made by hand: what stands between number and signature, signed by whoever.
struct Hand<'w> {
    world: &'w World,
    tag: u8,
    author: &'w SoftwareKey,
    number: u64,
    body: Vec<u8>,
}

impl<'w> Hand<'w> {
    /// The founder adds the phone.
    fn added(world: &'w World) -> Self {
        Self::of(world, &world.founder, &Entry::DeviceAdded(world.added("téléphone", DeviceRole::Admin)))
    }

    /// The phone's certificate.
    fn certificate(world: &'w World) -> Self {
        let entry = Entry::LogCertificate(Box::new(world.certificate(world.vault())));
        Self { number: 0, ..Self::of(world, &world.phone, &entry) }
    }

    fn genesis(world: &'w World) -> Self {
        let [genesis, _] = founding(world);
        Self { number: 0, ..Self::of(world, &world.founder, &genesis.entry) }
    }

    fn of(world: &'w World, author: &'w SoftwareKey, entry: &Entry) -> Self {
        let number = 2;
        let signed =
            SignedEntry::sign(author, world.vault(), number, entry.clone(), Extensions::new()).unwrap();
        let bytes = signed.encode();
        Self { world, tag: entry.tag(), author, number, body: bytes[73..bytes.len() - 64].to_vec() }
    }

    fn unknown(world: &'w World, tag: u8) -> Self {
        Self { world, tag, author: &world.founder, number: 2, body: b"of a later version".to_vec() }
    }

    /// With bytes of its payload written over, or behind it.
    fn with(mut self, at: usize, bytes: &[u8]) -> Self {
        self.body.resize(self.body.len().max(at + bytes.len()), 0);
        self.body[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn extended(mut self, bytes: &[u8]) -> Self {
        self.body.extend_from_slice(bytes);
        self
    }

    /// Without some bytes of its payload, with others in their place.
    fn spliced(mut self, at: std::ops::Range<usize>, bytes: &[u8]) -> Self {
        self.body.splice(at, bytes.iter().copied());
        self
    }

    /// The signed entry.
    fn signed(&self) -> Vec<u8> {
        let mut front = Writer::new();
        front.bytes(self.author.public().as_bytes()).u64(self.number).bytes(&self.body);
        let front = front.finish();
        let (label, vault) = match self.tag {
            1 => (labels::GENESIS, &[][..]),
            _ => (labels::CONTROL_ENTRY, &self.world.vault().as_bytes()[..]),
        };
        let signature = sign_with(self.author, label, &[vault, &[self.tag], &front].concat()).unwrap();
        [&front[..], &signature].concat()
    }

    /// A segment that has nothing else.
    fn alone(&self) -> Vec<u8> {
        entries(&[(self.tag, &self.signed())])
    }

    /// Behind the phone's certificate, as the first segment of its log.
    fn behind_the_certificate(&self) -> Vec<u8> {
        entries(&[(3, &Hand::certificate(self.world).signed()), (self.tag, &self.signed())])
    }
}

fn entries(list: &[(u8, &[u8])]) -> Vec<u8> {
    let mut w = Writer::new();
    w.count(list.len());
    for (tag, bytes) in list {
        w.u8(*tag).prefixed(bytes);
    }
    w.finish()
}

fn founding(world: &World) -> [SignedEntry; 2] {
    decode_entries(&world.founded.genesis_entries).unwrap().try_into().unwrap()
}

/// One extension.
fn extension(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut w = Writer::new();
    w.u8(tag).count(bytes.len()).bytes(bytes);
    w.finish()
}

/// Every shape of an entry, alone, and whether it counts.
pub(super) fn shapes(world: &World) -> Vec<Value> {
    let role_at = Hand::added(world).body.len() - 1;
    let caps = with_caps(
        Extensions::new(),
        &[
            (LogId::from_bytes([3; 16]), CapStep { cap: Stamp(7), to: Stamp(8) }),
            (LogId::from_bytes([4; 16]), CapStep::of_all(Stamp(9))),
        ],
    );
    let mut caps_written = Writer::new();
    caps.unwrap().write(&mut caps_written);
    let prefix = |log: u8, seq: u64, chain: u8, cap: u64| {
        let (chain, cap) = (Chain::from_bytes([chain; 32]), Stamp(cap));
        (LogId::from_bytes([log; 16]), PrefixCap { seq: Seq(seq), chain, cap })
    };
    let prefixes = [prefix(3, 7, 1, 9), prefix(3, 7, 2, 5), prefix(4, 0, 0, 11)];
    let mut prefixes_written = Writer::new();
    with_prefix_caps(Extensions::new(), &prefixes).unwrap().write(&mut prefixes_written);
    let all = [
        ("genesis", Hand::genesis(world)),
        ("device added", Hand::added(world)),
        ("certificate", Hand::certificate(world)),
        ("certificate of the last incarnation", last_incarnation(world)),
        ("certificate with caps", Hand::certificate(world).extended(&caps_written.finish())),
        ("certificate with prefix caps", Hand::certificate(world).extended(&prefixes_written.finish())),
        ("unknown extension", Hand::added(world).extended(&extension(0x7f, b"later"))),
        ("sixteen extensions", Hand::added(world).extended(&many(16))),
        ("critical extension", Hand::added(world).extended(&extension(0x80, b""))),
        ("critical extension of a certificate", Hand::certificate(world).extended(&extension(0xff, b"x"))),
        ("unknown role", Hand::added(world).with(role_at, &[3])),
        ("unknown suite", Hand::added(world).with(65, &[2])),
        ("unknown suite with longer keys", longer_prekey(world)),
        ("unknown suite in a certificate", Hand::certificate(world).with(32 + 65 + 4 + 3 * 65, &[2])),
        ("unknown tag", Hand::unknown(world, 4)),
        ("unknown critical tag", Hand::unknown(world, 0x84)),
        ("unknown tag without a payload", Hand { body: Vec::new(), ..Hand::unknown(world, 0x7f) }),
    ];
    let shape = |(name, hand): (&str, Hand<'_>)| {
        let [decoded] = <[_; 1]>::try_from(decode_entries(&hand.alone()).unwrap()).unwrap();
        assert_eq!(decoded.verify(world.vault()), Ok(()), "{name}");
        assert_eq!(encode_entries(std::slice::from_ref(&decoded)), hand.alone(), "{name}");
        let unknown = match &decoded.entry {
            Entry::Unknown(unknown) => Some(unknown.is_critical()),
            _ => None,
        };
        let rank = decoded.rank();
        json!({
            "name": name, "tag": hand.tag, "bytes": hex(hand.signed()), "counts": unknown.is_none(),
            "critical": unknown == Some(true), "number": rank.number, "hash": hex(rank.hash),
        })
    };
    all.into_iter().map(shape).collect()
}

fn longer_prekey(world: &World) -> Hand<'_> {
    Hand::added(world).with(65, &[2]).spliced(65 + 5..65 + 7, &[0, 70]).spliced(72..72, &[9; 5])
}

/// A certificate with another incarnation than its proofs were made for would be forged: these are made for the last one.
fn last_incarnation(world: &World) -> Hand<'_> {
    let mut logs = crate::control::OwnLogs::generate(1023, &super::entropy(5));
    logs.incarnation = 1023;
    let prekey = world.added("-", DeviceRole::Admin).prekey;
    let body = crate::control::LogCertificate::prove(
        *world.vault(),
        world.phone.public(),
        &logs,
        &world.phone_admin,
        prekey,
    );
    Hand::of(world, &world.phone, &Entry::LogCertificate(Box::new(body)))
}

fn many(count: u8) -> Vec<u8> {
    (10..10 + count).flat_map(|tag| extension(tag, &[tag])).collect()
}

type Bad = (&'static str, LogId, u64, Vec<u8>);

/// Control segments with one thing wrong each, in the log and at the seq where they are met.
pub(super) fn bad(world: &World) -> Vec<Value> {
    let cases = [frames(world), payloads(world), forgeries(world), places(world)].concat();
    let case = |(name, log, seq, data): Bad| {
        let refused = Members::new(*world.vault()).apply(log, Seq(seq), &data);
        assert!(refused.is_err(), "{name}: {refused:?}");
        let mut case = segment(log, seq, &data);
        case["name"] = name.into();
        case
    };
    cases.into_iter().map(case).collect()
}

/// In the founder's log, behind its beginning.
fn behind(world: &World, name: &'static str, data: Vec<u8>) -> Bad {
    (name, world.founder_control(), 1, data)
}

/// As the beginning of the phone's log.
fn first(world: &World, name: &'static str, data: Vec<u8>) -> Bad {
    (name, world.phone_control(), 0, data)
}

fn frames(world: &World) -> Vec<Bad> {
    let good = Hand::added(world).signed();
    let bad = |name, data| behind(world, name, data);
    vec![
        bad("empty", vec![]),
        bad("count beyond the entries", [&[0, 2][..], &Hand::added(world).alone()[2..]].concat()),
        bad("257 entries", entries(&vec![(2, &good[..]); 257])),
        bad("entry of 512 KiB and a byte", entries(&[(4, &vec![0; (512 << 10) + 1])])[..300].to_vec()),
        bad("bytes behind the entries", [&Hand::added(world).alone()[..], &[0]].concat()),
        bad("entry shorter than a signature", entries(&[(2, &[0; 63])])),
        bad("unknown tag without an envelope", entries(&[(4, &[0; 136])])),
        bad("half an extension", Hand::added(world).extended(&[7]).alone()),
        bad("extension beyond the entry", Hand::added(world).extended(&[7, 0, 2, 1]).alone()),
        bad("extension that stands twice", Hand::added(world).extended(&[7, 0, 0, 7, 0, 0]).alone()),
        bad("extensions that descend", Hand::added(world).extended(&[7, 0, 0, 6, 0, 0]).alone()),
        bad("seventeen extensions", Hand::added(world).extended(&many(17)).alone()),
        bad("author off the curve", {
            let mut off = good;
            off[64] ^= 1;
            entries(&[(2, &off)])
        }),
    ]
}

fn payloads(world: &World) -> Vec<Bad> {
    let name_at = 65 + 1 + 4 + 2 + 65 + 64;
    let named = |name: &[u8]| {
        let old = 4 + "téléphone".len();
        let mut w = Writer::new();
        w.prefixed(name);
        Hand::added(world).spliced(name_at..name_at + old, &w.finish()).alone()
    };
    let bad = |name, data| behind(world, name, data);
    let caps = |bytes: &[u8]| Hand::certificate(world).extended(&extension(1, bytes)).alone();
    let two = |a: u8, b: u8| [[a; 16].as_slice(), &[0; 16], &[b; 16], &[0; 16]].concat();
    let prefixes = |bytes: &[u8]| Hand::certificate(world).extended(&extension(3, bytes)).alone();
    let prefix = |seq: u8| [[1; 16].as_slice(), &[0; 7], &[seq], &[2; 32], &[0; 8]].concat();
    let many_prefixes: Vec<u8> = (0..=CAPS_PER_CERTIFICATE_MAX as u64)
        .flat_map(|seq| [[1; 16].as_slice(), &seq.to_be_bytes(), &[2; 32], &[0; 8]].concat())
        .collect();
    vec![
        bad("device off the curve", Hand::added(world).with(64, &[0xff]).alone()),
        bad("prekey of suite 1 with 64 bytes", Hand::added(world).spliced(70..73, &[0, 64]).alone()),
        bad("prekey of suite 1 off the curve", Hand::added(world).with(72 + 64, &[0xff]).alone()),
        bad("name of no bytes", named(b"")),
        bad("name of 129 bytes", named(&[b'x'; 129])),
        bad("name with a control character", named(b"a\nb")),
        bad("name that is not UTF-8", named(&[0xff, 0xfe])),
        first(world, "incarnation 1,024", Hand::certificate(world).with(97, &1024u32.to_be_bytes()).alone()),
        first(world, "caps of none", caps(&[])),
        first(world, "caps cut short", caps(&two(1, 2)[..63])),
        first(world, "caps that descend", caps(&two(2, 1))),
        first(world, "caps of one log twice", caps(&two(1, 1))),
        first(world, "prefix caps of none", prefixes(&[])),
        first(world, "prefix caps cut short", prefixes(&prefix(1)[..63])),
        first(world, "prefix caps that descend", prefixes(&[prefix(2), prefix(1)].concat())),
        first(world, "one prefix cap twice", prefixes(&[prefix(1), prefix(1)].concat())),
        first(world, "513 prefix caps", prefixes(&many_prefixes)),
        first(
            world,
            "certificate by another",
            Hand { author: &world.founder, ..Hand::certificate(world) }.alone(),
        ),
        (
            "genesis by another",
            world.founder_control(),
            0,
            with_founding(world, &Hand { author: &world.phone, ..Hand::genesis(world) }.signed()),
        ),
        (
            "genesis with a number",
            world.founder_control(),
            0,
            with_founding(world, &Hand { number: 1, ..Hand::genesis(world) }.signed()),
        ),
    ]
}

/// The founder's first segment with another genesis.
fn with_founding(world: &World, genesis: &[u8]) -> Vec<u8> {
    let [_, certificate] = founding(world);
    entries(&[(1, genesis), (3, &certificate.encode())])
}

fn forgeries(world: &World) -> Vec<Bad> {
    let broken = |hand: Hand<'_>| {
        let mut signed = hand.signed();
        let last = signed.len() - 1;
        signed[last] ^= 1;
        entries(&[(hand.tag, &signed)])
    };
    let proofs_at = Hand::certificate(world).body.len() - 128;
    let other = VaultId::from_bytes([7; 32]);
    let of_another_vault = world.certificate(&other);
    let signed_there = SignedEntry::sign(
        &world.phone,
        &other,
        0,
        Entry::LogCertificate(Box::new(of_another_vault)),
        Extensions::new(),
    );
    let prekey_of_another = {
        let mut added = world.added("téléphone", DeviceRole::Admin);
        added.prekey =
            crate::control::SignedPrekey::sign(&world.founder, 0, world.phone_prekey.public()).unwrap();
        Hand::of(world, &world.founder, &Entry::DeviceAdded(added))
    };
    let retagged = entries(&[(5, &Hand::unknown(world, 4).signed())]);
    vec![
        behind(world, "author's signature", broken(Hand::added(world))),
        behind(world, "author's signature of an unknown tag", broken(Hand::unknown(world, 4))),
        behind(world, "unknown tag under another tag", retagged),
        behind(world, "prekey signed by another device", prekey_of_another.alone()),
        first(world, "data proof", Hand::certificate(world).with(proofs_at, &[1; 64]).alone()),
        first(world, "admin proof", Hand::certificate(world).with(proofs_at + 64, &[1; 64]).alone()),
        first(world, "certificate of another vault", encode_entries(&[signed_there.unwrap()])),
    ]
}

fn places(world: &World) -> Vec<Bad> {
    let certificate = Hand::certificate(world);
    let again = Hand { number: 9, ..Hand::certificate(world) };
    let [genesis, _] = founding(world);
    let foreign_admin = {
        // The founder's genesis beside a certificate with another admin key.
        let prekey = crate::control::SignedPrekey::sign(&world.founder, 0, world.phone_prekey.public());
        let body = crate::control::LogCertificate::prove(
            *world.vault(),
            world.founder.public(),
            &world.founded.keyring.logs,
            &world.phone_admin,
            prekey.unwrap(),
        );
        let entry = Entry::LogCertificate(Box::new(body));
        let signed = SignedEntry::sign(&world.founder, world.vault(), 1, entry, Extensions::new()).unwrap();
        encode_entries(&[genesis.clone(), signed])
    };
    let control = world.founder_control();
    vec![
        ("certificate behind the beginning", world.phone_control(), 1, certificate.alone()),
        ("certificate of another log", control, 0, certificate.alone()),
        first(world, "beginning without a certificate", Hand::added(world).alone()),
        first(world, "two certificates", again.behind_the_certificate()),
        first(world, "genesis behind the certificate", Hand::genesis(world).behind_the_certificate()),
        ("genesis behind the beginning", control, 1, encode_entries(&[genesis])),
        ("genesis of another vault", control, 0, foreign_admin),
        (
            "genesis beside another's certificate",
            world.phone_control(),
            0,
            entries(&[(1, &Hand::genesis(world).signed()), (3, &certificate.signed())]),
        ),
    ]
}

#[test]
fn what_is_not_known_is_made_as_it_is_decoded() {
    let world = World::new();
    let made = SignedEntry::sign(
        &world.founder,
        world.vault(),
        2,
        Entry::Unknown(UnknownEntry::new(4, b"of a later version".to_vec())),
        Extensions::new(),
    );
    assert_eq!(Ok(vec![made.unwrap()]), decode_entries(&Hand::unknown(&world, 4).alone()));
}
