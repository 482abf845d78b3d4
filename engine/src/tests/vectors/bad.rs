//! Segments that must not be taken in, each with the step at which it fails.

use hkdf::Hkdf;
use serde_json::{Value, json};
use sha2::Sha256;
use subrosa_model::keys::KeyPair;
use subrosa_model::merge::{BodyPlace, CheckedBody, Tombstone};
use subrosa_protocol::ids::{Chain, Epoch, LogId, PublicKeyBytes, Seq, Signature, VaultId};
use subrosa_protocol::labels;
use subrosa_protocol::limits::{CARRIED_DEPTH_MAX, SEGMENT_PLAIN_MAX};
use subrosa_protocol::segment::{ChainPreimage, GroupPlace, Header, Kind, SealedSegment, TAG_LEN};

use super::describe::hex;
use super::{World, public_of, put};

/// Order of P-256.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// What a dishonest author may do: everything but the relay's part. Segment 0 of the founder's data log.
struct Author<'w> {
    pair: &'w KeyPair,
    kind: Kind,
    vault: VaultId,
    key: [u8; 32],
}

impl<'w> Author<'w> {
    fn data(world: &'w World) -> Self {
        let (kind, vault) = (Kind::DATA, world.vault());
        Self { pair: world.data_log(), kind, vault, key: *world.key_bytes(kind) }
    }

    fn header(&self, salt: u8, plaintext: &[u8]) -> Header {
        Header {
            kind: self.kind,
            place: GroupPlace::Whole,
            log: LogId::of(&public_of(self.pair)),
            seq: Seq(0),
            epoch: Epoch(0),
            prev: Chain::ZERO,
            salt: [salt; 16],
            commit: [0; 32],
            body_len: u32::try_from(plaintext.len() + TAG_LEN).unwrap(),
        }
    }

    /// Seals any plaintext, however wrong.
    fn seal(&self, salt: u8, plaintext: &[u8]) -> SealedSegment {
        let mut header = self.header(salt, plaintext);
        let hdr = header.hash(&self.vault);
        let mut okm = [0; 64];
        let info = [labels::SEGMENT_KEY, &hdr].concat();
        Hkdf::<Sha256>::from_prk(&self.key).unwrap().expand(&info, &mut okm).unwrap();
        header.commit.copy_from_slice(&okm[32..]);
        let mut body = plaintext.to_vec();
        subrosa_model::seal::aes256gcm_seal(&okm[..32].try_into().unwrap(), &[0; 12], &hdr, &mut body);
        self.sign(header, &body)
    }

    fn sign(&self, header: Header, body: &[u8]) -> SealedSegment {
        let preimage = ChainPreimage::new(&header.hash(&self.vault), &header.commit, body);
        let signature = self.pair.sign(labels::CHAIN, preimage.as_bytes());
        SealedSegment::assemble(header, body, &Signature::from_bytes(signature))
    }

    fn data_segment(&self, salt: u8, data: &[u8]) -> SealedSegment {
        self.seal(salt, &plaintext(0, data))
    }
}

/// `flags | length | data | zeros`, as it should be.
fn plaintext(flags: u8, data: &[u8]) -> Vec<u8> {
    let mut plaintext = vec![flags];
    plaintext.extend_from_slice(&u32::try_from(data.len()).unwrap().to_be_bytes());
    plaintext.extend_from_slice(data);
    plaintext.resize(subrosa_protocol::segment::padded_len(plaintext.len()), 0);
    plaintext
}

fn good_data() -> Vec<u8> {
    put(1, Tombstone::default(), &[("title", "Call Anna".into())])
}

fn edited(bytes: &[u8], edit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    edit(&mut bytes);
    bytes
}

/// The other signature of the same message: `s` becomes `order - s`.
fn mirror(signature: &mut [u8]) {
    let mut borrow = 0i16;
    for (byte, order) in signature.iter_mut().zip(ORDER).rev() {
        let difference = i16::from(order) - i16::from(*byte) - borrow;
        borrow = i16::from(difference < 0);
        *byte = difference.rem_euclid(256) as u8;
    }
}

/// All of them.
pub(super) fn segments(world: &World) -> Vec<Value> {
    let own = public_of(world.data_log());
    let entry = |name: &str, fails_at: &str, bytes: Vec<u8>| case(name, fails_at, &own, &bytes);
    let mut cases = shapes_and_signatures(world);
    cases.extend(plaintexts(world).into_iter().map(|(name, step, bytes)| entry(name, step, bytes)));
    cases.extend(contents(world).into_iter().map(|(name, bytes)| entry(name, "data", bytes)));
    cases.push(forged_entry(world));
    cases.extend(compressions(world));
    cases.extend(other_kinds(world));
    cases
}

fn case(name: &str, fails_at: &str, public: &PublicKeyBytes, bytes: &[u8]) -> Value {
    json!({
        "name": name, "fails_at": fails_at, "public": hex(public.as_bytes()),
        "bytes": hex(bytes), "compressed": false,
    })
}

fn shapes_and_signatures(world: &World) -> Vec<Value> {
    let author = Author::data(world);
    let good = author.data_segment(1, &good_data());
    let bytes = good.bytes();
    let own = public_of(world.data_log());
    let edit = |name, step, edit: &dyn Fn(&mut Vec<u8>)| case(name, step, &own, &edited(bytes, edit));
    let other_vault = Author { vault: VaultId::from_bytes([7; 32]), ..Author::data(world) };
    let signed_again = |change: &dyn Fn(&mut Header, &mut Vec<u8>)| {
        let (mut header, mut body) = (*good.header(), good.body().to_vec());
        change(&mut header, &mut body);
        author.sign(header, &body).bytes().to_vec()
    };
    let second_place = signed_again(&|header, _| {
        (header.seq, header.prev) = (Seq(1), Chain::from_bytes([1; 32]));
    });
    let second = public_of(&world.phone_logs.data);
    vec![
        edit("trailing byte", "shape", &|bytes| bytes.push(0)),
        edit("cut off", "shape", &|bytes| bytes.truncate(bytes.len() - 1)),
        edit("suite 1, which was never released", "shape", &|bytes| bytes[0] = 1),
        edit("unknown suite", "shape", &|bytes| bytes[0] = 3),
        edit("unknown class", "shape", &|bytes| bytes[1] = 0x81),
        edit("another unknown class", "shape", &|bytes| bytes[1] = 0xc1),
        edit("unknown bit of the place", "shape", &|bytes| bytes[2] = 7),
        edit("control segment that begins a group", "shape", &|bytes| (bytes[1], bytes[2]) = (0x41, 1)),
        edit("carried segment that ends a group", "shape", &|bytes| (bytes[1], bytes[2]) = (2, 2)),
        edit("closing segment within a group", "shape", &|bytes| (bytes[1], bytes[2]) = (3, 0)),
        edit("kind without ops within a group", "shape", &|bytes| (bytes[1], bytes[2]) = (0x21, 0)),
        edit("first segment with one before it", "shape", &|bytes| bytes[62] = 1),
        edit("body shorter than its tag", "shape", &|bytes| bytes[111..115].copy_from_slice(&[0, 0, 0, 15])),
        edit("altered kind", "signature", &|bytes| bytes[1] = 4),
        edit("altered place", "signature", &|bytes| bytes[2] = 1),
        edit("altered seq", "signature", &|bytes| bytes[26] = 1),
        edit("altered epoch", "signature", &|bytes| bytes[30] = 1),
        edit("altered salt", "signature", &|bytes| bytes[63] ^= 1),
        edit("altered commit", "signature", &|bytes| bytes[79] ^= 1),
        edit("altered body", "signature", &|bytes| bytes[120] ^= 1),
        edit("high s", "signature", &|bytes| {
            let at = bytes.len() - 32;
            mirror(&mut bytes[at..]);
        }),
        case("altered previous chain", "signature", &own, &edited(&second_place, |bytes| bytes[31] ^= 1)),
        case("key of another log", "signature", &second, bytes),
        case("another vault", "signature", &own, other_vault.data_segment(2, &good_data()).bytes()),
        case(
            "altered commit, signed again",
            "commitment",
            &own,
            &signed_again(&|header, _| header.commit[0] ^= 1),
        ),
        case("altered body, signed again", "tag", &own, &signed_again(&|_, body| body[18] ^= 1)),
    ]
}

fn plaintexts(world: &World) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let author = Author::data(world);
    let control_key = Author { key: *world.key_bytes(Kind::CONTROL), ..Author::data(world) };
    let good = plaintext(0, &good_data());
    let bad = |salt, edit: &dyn Fn(&mut Vec<u8>)| author.seal(salt, &edited(&good, edit)).bytes().to_vec();
    vec![
        ("under the control key", "commitment", control_key.seal(3, &good).bytes().to_vec()),
        ("non-zero padding", "plaintext", bad(4, &|body| body[255] = 1)),
        ("unknown flag", "plaintext", bad(5, &|body| body[0] |= 2)),
        ("too much padding", "plaintext", bad(6, &|body| body.resize(272, 0))),
        ("too little padding", "plaintext", bad(7, &|body| body.truncate(255))),
        ("length beyond the end", "plaintext", bad(8, &|body| body[3] = 0xff)),
        ("no plaintext at all", "plaintext", bad(9, &Vec::clear)),
        ("not what zstd writes", "compression", bad(10, &|body| body[0] |= 1)),
    ]
}

fn contents(world: &World) -> Vec<(&'static str, Vec<u8>)> {
    let author = Author::data(world);
    let stamp = super::stamp(1).0.to_be_bytes();
    // latest | runs | seen | base
    let head = [&stamp[..], &[0, 1, 0], &stamp].concat();
    let of = |salt, rest: &[u8]| author.data_segment(salt, &[&head[..], rest].concat()).bytes().to_vec();
    // strings | logs | op tag, length, difference, record[16], collection, cells
    let op = |content: &[u8]| [&[1, (18 + content.len()) as u8, 0][..], &[9; 16], &[0], content].concat();
    let with = |tables: &[u8], content: &[u8]| [tables, &op(content)].concat();
    let names = b"\x03\x01c\x01a\x01b\0";
    let good = [&head[..], &with(b"\x02\x01c\x01a\0", &[1, 1, 1, 0])].concat();
    assert!(
        CheckedBody::decode(&good, BodyPlace::First).is_ok(),
        "the pattern that is broken below is whole"
    );
    vec![
        ("cut off within the base", author.data_segment(20, &head[..18]).bytes().to_vec()),
        ("overlong integer", of(21, &[0x80, 0, 0])),
        ("name that no op uses", of(22, &with(names, &[1, 1, 1, 0]))),
        ("fields out of order", of(23, &with(b"\x03\x01c\x01b\x01a\0", &[1, 1, 1, 0, 2, 1, 1, 0]))),
        ("name that stands twice", of(24, &with(b"\x03\x01c\x01a\x01a\0", &[1, 1, 1, 0, 2, 1, 1, 0]))),
        ("index beyond the table", of(25, &with(b"\x01\x01c\0", &[1, 1, 1, 0]))),
        ("op of tag 0", of(26, &edited(&with(b"\x01\x01c\0", &[]), |bytes| bytes[4] = 0))),
        ("value of an unknown tag", of(27, &with(b"\x02\x01c\x01a\0", &[1, 1, 1, 9]))),
        ("two values in one cell", of(28, &with(b"\x02\x01c\x01a\0", &[1, 1, 2, 0, 0]))),
        ("collection without a name", of(29, &with(b"\x01\0\0", &[]))),
        ("text that is not UTF-8", of(30, &with(b"\x02\x01c\x01a\0", &[1, 1, 3, 5, 1, 0xff]))),
        ("op longer than the body", of(31, &edited(&with(b"\x01\x01c\0", &[]), |bytes| bytes[5] = 40))),
    ]
}

/// A control segment whose certificate is signed for another vault.
fn forged_entry(world: &World) -> Value {
    let pair = &world.phone_logs.control;
    let key = *world.key_bytes(Kind::CONTROL);
    let author = Author { pair, kind: Kind::CONTROL, vault: world.vault(), key };
    let data = world.phone_certificate(&VaultId::from_bytes([7; 32]));
    case("certificate for another vault", "entries", &public_of(pair), author.data_segment(40, &data).bytes())
}

/// What is compressed, but not as it should be.
fn compressions(world: &World) -> Vec<Value> {
    let own = public_of(world.data_log());
    let frame = |data: &[u8]| zstd::bulk::compress(data, 1).unwrap();
    let good = frame(&good_data());
    let bad = |name, salt, data: &[u8]| {
        let segment = Author::data(world).seal(salt, &plaintext(1, data));
        let mut case = case(name, "compression", &own, segment.bytes());
        case["compressed"] = true.into();
        case
    };
    vec![
        bad("decompression bomb", 50, &frame(&vec![0; SEGMENT_PLAIN_MAX + 1])),
        bad("two frames", 51, &[&good[..], &good[..]].concat()),
        bad("frame without its size", 52, &zstd::stream::encode_all(&good_data()[..], 1).unwrap()),
    ]
}

/// What carried and closing segments must not say.
fn other_kinds(world: &World) -> Vec<Value> {
    let own = public_of(world.data_log());
    let of = |kind| Author { kind, ..Author::data(world) };
    let good = Author::data(world).data_segment(60, &good_data());
    let inside = [&own.as_bytes()[..], good.bytes()].concat();
    let control = public_of(&world.phone_logs.control);
    let key = *world.key_bytes(Kind::CONTROL);
    let of_control =
        Author { pair: &world.phone_logs.control, key, ..of(Kind::CONTROL) }.data_segment(61, b"");
    let of_control = [&control.as_bytes()[..], of_control.bytes()].concat();
    let edit = |edit: &dyn Fn(&mut Vec<u8>)| edited(&inside, edit);
    let mut deep = inside.clone();
    for depth in 0..=CARRIED_DEPTH_MAX as u8 {
        deep = [&own.as_bytes()[..], of(Kind::CARRIED).data_segment(62 + depth, &deep).bytes()].concat();
    }
    let carried = [
        ("carried, of a control log", of_control),
        ("carried, under the key of another log", edit(&|bytes| bytes[64] ^= 1)),
        ("carried, altered", edit(&|bytes| *bytes.last_mut().unwrap() ^= 1)),
        ("carried, with a byte behind it", edit(&|bytes| bytes.push(0))),
        ("carried, cut off", edit(&|bytes| bytes.truncate(200))),
        ("carried, nothing", Vec::new()),
        ("carried too deep", deep),
    ];
    let closing = [
        ("closing, with extensions that do not ascend", b"\x02\0\0\x01\0\0".to_vec()),
        ("closing, with an extension twice", b"\x01\0\0\x01\0\0".to_vec()),
        ("closing, cut off", b"\x01\0\x02\0".to_vec()),
    ];
    let mut cases = Vec::new();
    for (salt, (name, data)) in (80..).zip(carried) {
        cases.push(case(name, "carried", &own, of(Kind::CARRIED).data_segment(salt, &data).bytes()));
    }
    for (salt, (name, data)) in (90..).zip(closing) {
        cases.push(case(name, "closing", &own, of(Kind::CLOSING).data_segment(salt, &data).bytes()));
    }
    cases
}
