use proptest::collection::vec;
use proptest::prelude::*;
use subrosa_model::merge::{
    Cell, FieldCell, OpKind, Put, RecordId, Run, Seen, Stamp, Tombstone, Value, ValueBuf,
};
use subrosa_protocol::ids::{Head, LogId, Seq};
use subrosa_protocol::segment::{HEADER_LEN, SIGNATURE_LEN, TAG_LEN, padded_len};

use super::*;

/// Repeatable noise (xorshift).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// `len` bytes, of which so many hundredths are noise and the rest comes from few words.
    fn bytes(&mut self, len: usize, noisy: u64) -> Vec<u8> {
        const WORDS: [&[u8]; 8] =
            [b"the ", b"rose ", b"under ", b"which ", b"nothing ", b"is ", b"told ", b"apart "];
        let mut out = Vec::with_capacity(len + 8);
        while out.len() < len {
            if self.next() % 100 < noisy {
                out.extend_from_slice(&self.next().to_be_bytes());
            } else {
                out.extend_from_slice(WORDS[(self.next() % 8) as usize]);
            }
        }
        out.truncate(len);
        out
    }
}

fn buf(bytes: Vec<u8>) -> ValueBuf {
    ValueBuf::encode(&Value::from(bytes)).unwrap()
}

fn put(n: u64, value: &ValueBuf) -> Op<'_> {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&n.to_be_bytes());
    let cells = vec![FieldCell { name: "text", cell: Cell::Register(value.borrow()) }];
    let kind = OpKind::Put(Put::new(Tombstone::default(), cells).unwrap());
    Op { record: RecordId::from_bytes(id), collection: "notes", stamp: Stamp(n), kind }
}

fn head(latest: Stamp) -> GroupHead {
    let seen = Seen::new(vec![Head { log: LogId::from_bytes([1; 16]), seq: Seq(1), chain: Chain::ZERO }]);
    let mut head = GroupHead { seen, ..GroupHead::of(latest) };
    head.runs.raise(Run::from_bytes([5; 8]), latest);
    head
}

fn filled(values: &[ValueBuf]) -> Vec<Packed> {
    let mut filler = Filler::new(head(Stamp(values.len() as u64)));
    let mut bodies = Vec::new();
    for (n, value) in (0..).zip(values) {
        filler.push(&put(n, value));
        bodies.extend(filler.take_full());
    }
    let (rest, plain_bytes) = filler.finish();
    bodies.extend(rest);
    let unpacked = bodies.iter().map(|packed| Packed::from_row(&packed.to_row()).unwrap().unpack().unwrap());
    assert_eq!(unpacked.map(|data| data.len() as u64).sum::<u64>(), plain_bytes);
    bodies
}

fn values(count: usize, len: usize, noisy: u64) -> Vec<ValueBuf> {
    let mut noise = Noise(0x5eed + noisy);
    (0..count).map(|_| buf(noise.bytes(len, noisy))).collect()
}

/// What the row of a body takes in the store, the page's own bytes included, and what the database gives it.
fn row_and_page(packed: &Packed) -> (usize, usize) {
    let segment = HEADER_LEN + padded_len(5 + packed.len()) + TAG_LEN + SIGNATURE_LEN;
    let row = segment + ROW_AROUND;
    (row, row.next_power_of_two().max(4096))
}

/// How many ops each body has; all of them came back, in order.
fn check_ops(values: &[ValueBuf], bodies: Vec<Packed>) -> Vec<usize> {
    let mut next = 0;
    let mut counts = Vec::new();
    for (index, packed) in bodies.into_iter().enumerate() {
        let data = packed.unpack().unwrap();
        let latest = Stamp(values.len() as u64);
        let place = if index == 0 { BodyPlace::First } else { BodyPlace::Behind { latest } };
        let body = CheckedBody::decode(&data, place).unwrap();
        let expected = (index == 0).then(|| head(latest));
        assert_eq!(body.head(), expected.as_ref(), "the first body alone has a head");
        let ops = body.ops();
        assert!(ops.len() == 1 || data.len() <= BODY_PLAIN_MAX, "{} bytes of plaintext", data.len());
        for op in ops {
            assert_eq!(*op, put(next, &values[usize::try_from(next).unwrap()]));
            next += 1;
        }
        counts.push(ops.len());
    }
    assert_eq!(next, values.len() as u64);
    counts
}

#[test]
fn all_but_the_last_body_of_a_big_write_fill_their_pages_however_well_they_compress() {
    for noisy in [100, 90, 80, 60, 40, 20, 10, 5, 2, 0] {
        let values = values(12_000, 250, noisy);
        let bodies = filled(&values);
        assert!(bodies.len() > 4, "{noisy} %: {} bodies", bodies.len());
        for packed in &bodies[..bodies.len() - 1] {
            let (row, page) = row_and_page(packed);
            assert!(page <= 64 << 10, "{noisy} %: a row of {row}");
            assert!(row * 100 >= page * 80, "{noisy} %: a row of {row} in a page of {page}");
        }
        check_ops(&values, bodies);
    }
}

#[test]
fn data_that_does_not_compress_is_filled_to_the_byte() {
    let values = values(2_000, 250, 100);
    let bodies = filled(&values);
    let lens: Vec<usize> = bodies.iter().map(Packed::len).collect();
    let one = BODY_FILL_BYTES - lens[1];
    assert!(one < 300, "another op had fitted");
    assert!(lens[1..lens.len() - 1].iter().all(|len| *len == lens[1]), "{lens:?}");
    check_ops(&values, bodies);
}

#[test]
fn one_op_is_a_body_whatever_its_length() {
    let mut noise = Noise(7);
    let mut all = values(600, 250, 5);
    all.insert(300, buf(noise.bytes(900_000, 100)));
    all.insert(301, buf(noise.bytes(900_000, 0)));
    let counts = check_ops(&all, filled(&all));
    assert!(counts.contains(&1), "{counts:?}");
    let (nothing, one) = (filled(&[]), filled(&values(1, 250, 50)));
    assert_eq!((nothing.len(), one.len()), (0, 1));
}

#[test]
fn the_same_ops_are_cut_in_the_same_places() {
    let values = values(3_000, 250, 30);
    let cut = || check_ops(&values, filled(&values));
    assert_eq!(cut(), cut());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_mix_of_ops_makes_a_row_longer_than_its_page(
        stretches in vec((1usize..400, 1usize..3_000, 0u64..=100), 1..8),
    ) {
        let mut all = Vec::new();
        for (count, len, noisy) in stretches {
            all.extend(values(count, len, noisy));
        }
        let bodies = filled(&all);
        let rows: Vec<usize> = bodies.iter().map(|packed| row_and_page(packed).0).collect();
        let counts = check_ops(&all, bodies);
        for (row, ops) in rows.into_iter().zip(counts) {
            prop_assert!(ops == 1 || row <= 64 << 10, "{row} bytes of {ops} ops");
        }
    }
}
