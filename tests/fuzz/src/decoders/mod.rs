//! A target for every decoder of bytes or text that somebody else wrote: peers, disks, callers.
//!
//! Each takes any bytes. It must answer without a panic, and what it accepts it must be able to write again: where a value
//! has one encoding, the same bytes. What it may allocate for it is bounded by the target's [`Memory`].

mod client;
mod feeds;
#[allow(dead_code, reason = "the command makes one of its errors itself")]
#[path = "../../../../cli/src/line.rs"]
mod line;
mod members;
mod merge;
mod pairing;
mod relay;
mod script;
mod secrets;
mod store;
mod text;
mod wire;

use subrosa_protocol::limits::SEGMENT_PLAIN_MAX;

/// One decoder and what it may use.
pub(crate) struct Target {
    /// Its name, and that of its corpus.
    pub(crate) name: &'static str,
    /// Decodes, and checks what came of it.
    pub(crate) run: fn(&[u8]),
    /// What it may have allocated at one time.
    pub(crate) memory: Memory,
}

/// A bound of allocated bytes: some for each byte of the input, and some in any case.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) per_byte: usize,
    pub(crate) fixed: usize,
}

impl Memory {
    /// The bound for an input of `len` bytes.
    pub(crate) const fn for_input(self, len: usize) -> usize {
        self.per_byte * len + self.fixed
    }
}

// Each bound is what the decoder and its target have alive at one time when an input is made for that, as `../../seeds` makes
// some (`of_what_takes_most`), and a little more. A list that grows takes three times as much as it needs just then: half of it is
// empty, and what it grew out of is still there. `tests/fuzz/run --measure` says what is met.

/// Values of one length, lists of at most 16 items, and segments, which share their input's memory: the input's copy, and what
/// is written again.
const SMALL: Memory = Memory { per_byte: 4, fixed: 2 << 10 };
/// What copies bytes: frames, statements, texts. Alive are the input's copy (1 for each byte), what was decoded (at most 2.2: a
/// head of 40 bytes takes 88, once; segments of 199 and statements of 440 take 160 and 540, but three times while their list
/// grows) and what is written again (3 while it grows). Of what announces itself in 3 or 4 bytes and takes 24 or 32, there are at
/// most 64: that, and buffers of 512, is what any input may take.
const COPIES: Memory = Memory { per_byte: 8, fixed: 8 << 10 };
/// An epoch is 296 bytes in memory and 36 to 38 where it stands: 8.2 for each byte, in a list of the right length. An entry of a
/// control log is 370 and at least 142: 7.8 while the list grows. A statement without bytes is 24 and 4. And once what is written
/// again.
const KEYS: Memory = Memory { per_byte: 12, fixed: 8 << 10 };
/// A map of one item has a node of 632 bytes with room for 11, and is announced by 3 bytes in a value: 211 for each byte. The
/// target has two of them alive, and text of them: 8 for each byte while that grows.
const VALUES: Memory = Memory { per_byte: 440, fixed: 8 << 10 };
/// The same map is 5 bytes of JSON, `{"":}`, and 7 in packed rows: 126 for each byte, twice; and text, twice.
pub(crate) const JSON: Memory = Memory { per_byte: 264, fixed: 8 << 10 };
/// An op of 20 bytes is 96, in a list of twice as many; a cell of at least 3 bytes is 40, in another: 27 for each byte. The state
/// that they come to keeps an entry of 56 for a cell of at least 4 bytes, and is read again from its row, in a list that grows: 14
/// and 42. Bodies and rows that are written take 3 for each byte, twice.
const BODIES: Memory = Memory { per_byte: 96, fixed: 8 << 10 };
/// An entry of 56 bytes for a field of at least 4 (with a name of one letter 3, but there are few such names), in a list that
/// grows: 42. A put of one cell that waits is 13 bytes, 96 in a list that grows, and has a list of 4 cells, 160: 34. And what is
/// written again, 3 while it grows.
const ROWS: Memory = Memory { per_byte: 48, fixed: 4 << 10 };
/// A plaintext names its inflated size, which is refused above this before anything is inflated. The target packs it again: it, a
/// copy of it, and room for that to be packed (a 256th more than it) are alive at one time.
const INFLATES: Memory =
    Memory { per_byte: 4, fixed: 3 * (SEGMENT_PLAIN_MAX + SEGMENT_PLAIN_MAX / 256) + (4 << 10) };

// What follows is not argued by sizes: each is about twice what fuzzing has met.

/// An image is read, written, and read again: up to 23 for each byte were met.
const IMAGES: Memory = Memory { per_byte: 64, fixed: 16 << 10 };
/// The file, the copy that is changed, and the database's cache, whatever the input: 430 KiB were met.
const FILES: Memory = Memory { per_byte: 16, fixed: 1 << 20 };
/// A table of TOML takes its parser 760 for each byte; a program reads one, once, at its start.
const SETTINGS: Memory = Memory { per_byte: 2000, fixed: 128 << 10 };
/// Three bytes of a script make something happen: a frame, what the machine keeps of it, and what the target keeps to compare
/// with. A segment of six is up to 2,000.
const MACHINES: Memory = Memory { per_byte: 1200, fixed: 256 << 10 };
/// The same, and a chunk of 256 KiB that has just grown, and is taken apart.
const CHUNKS: Memory = Memory { per_byte: 1200, fixed: 1 << 20 };

/// All of them.
pub(crate) const TARGETS: &[Target] = &[
    Target { name: "client_frame", run: wire::client_frame, memory: COPIES },
    Target { name: "relay_frame", run: wire::relay_frame, memory: COPIES },
    Target { name: "feed_frame", run: wire::feed_frame, memory: COPIES },
    Target { name: "segment", run: wire::segment, memory: SMALL },
    Target { name: "statement", run: wire::statement, memory: COPIES },
    Target { name: "chain", run: wire::chain, memory: COPIES },
    Target { name: "token", run: wire::token, memory: SMALL },
    Target { name: "extensions", run: wire::extensions, memory: SMALL },
    Target { name: "address", run: text::address, memory: COPIES },
    Target { name: "pair_link", run: text::pair_link, memory: COPIES },
    Target { name: "record_id", run: text::record_id, memory: SMALL },
    Target { name: "json", run: text::json, memory: JSON },
    Target { name: "value", run: merge::value, memory: VALUES },
    Target { name: "first_body", run: merge::first_body, memory: BODIES },
    Target { name: "later_body", run: merge::later_body, memory: BODIES },
    Target { name: "row", run: merge::row, memory: ROWS },
    Target { name: "pending_row", run: merge::pending_row, memory: ROWS },
    Target { name: "plaintext", run: merge::plaintext, memory: INFLATES },
    Target { name: "carried", run: merge::carried, memory: SMALL },
    Target { name: "closing", run: merge::closing, memory: SMALL },
    Target { name: "control_entries", run: secrets::control_entries, memory: KEYS },
    Target { name: "keyring", run: secrets::keyring, memory: KEYS },
    Target { name: "bundle", run: secrets::bundle, memory: KEYS },
    Target { name: "pair_message", run: secrets::pair_message, memory: COPIES },
    Target { name: "public_key", run: secrets::public_key, memory: SMALL },
    Target { name: "private_key", run: secrets::private_key, memory: SMALL },
    Target { name: "image", run: members::image, memory: IMAGES },
    Target { name: "sealed", run: members::sealed, memory: SMALL },
    Target { name: "store_row", run: store::store_row, memory: COPIES },
    Target { name: "relay_row", run: store::relay_row, memory: COPIES },
    Target { name: "store_file", run: store::store_file, memory: FILES },
    Target { name: "line", run: text::line, memory: JSON },
    Target { name: "relay_text", run: text::relay_text, memory: SETTINGS },
    Target { name: "client_link", run: client::client_link, memory: MACHINES },
    Target { name: "relay_link", run: relay::relay_link, memory: MACHINES },
    Target { name: "relay_feed", run: feeds::relay_feed, memory: CHUNKS },
    Target { name: "meetings", run: relay::meetings, memory: MACHINES },
    Target { name: "pairing", run: pairing::pairing, memory: MACHINES },
];
