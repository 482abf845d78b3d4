//! A target for every decoder of bytes or text that somebody else wrote: peers, disks, callers.
//!
//! Each takes any bytes. It must answer without a panic, and what it accepts it must be able to write again: where a value
//! has one encoding, the same bytes. What it may allocate for it is bounded by the target's [`Memory`].

mod merge;
mod secrets;
mod text;
mod wire;

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

/// What copies bytes, and little more: frames, segments, tokens, texts.
const COPIES: Memory = Memory { per_byte: 64, fixed: 64 << 10 };
/// Points on a curve and secrets are larger in memory than where they stand, and are parsed by code that allocates.
const KEYS: Memory = Memory { per_byte: 128, fixed: 256 << 10 };
/// A value, a cell or an op is larger than the byte or two that announce it: a list of nulls takes 32 for each, twice while it
/// grows.
const VALUES: Memory = Memory { per_byte: 1024, fixed: 256 << 10 };
/// A plaintext names its inflated size, which is refused above this before anything is inflated.
const INFLATES: Memory =
    Memory { per_byte: 8, fixed: 2 * subrosa_protocol::limits::SEGMENT_PLAIN_MAX + (64 << 10) };

/// All of them.
pub(crate) const TARGETS: &[Target] = &[
    Target { name: "client_frame", run: wire::client_frame, memory: COPIES },
    Target { name: "relay_frame", run: wire::relay_frame, memory: COPIES },
    Target { name: "feed_frame", run: wire::feed_frame, memory: COPIES },
    Target { name: "segment", run: wire::segment, memory: COPIES },
    Target { name: "carried", run: wire::carried, memory: COPIES },
    Target { name: "statement", run: wire::statement, memory: COPIES },
    Target { name: "chain", run: wire::chain, memory: KEYS },
    Target { name: "token", run: wire::token, memory: COPIES },
    Target { name: "extensions", run: wire::extensions, memory: COPIES },
    Target { name: "address", run: text::address, memory: COPIES },
    Target { name: "pair_link", run: text::pair_link, memory: COPIES },
    Target { name: "record_id", run: text::record_id, memory: COPIES },
    Target { name: "json", run: text::json, memory: VALUES },
    Target { name: "value", run: merge::value, memory: VALUES },
    Target { name: "first_body", run: merge::first_body, memory: VALUES },
    Target { name: "later_body", run: merge::later_body, memory: VALUES },
    Target { name: "row", run: merge::row, memory: VALUES },
    Target { name: "pending_row", run: merge::pending_row, memory: VALUES },
    Target { name: "plaintext", run: merge::plaintext, memory: INFLATES },
    Target { name: "carried", run: merge::carried, memory: COPIES },
    Target { name: "closing", run: merge::closing, memory: COPIES },
    Target { name: "control_entries", run: secrets::control_entries, memory: KEYS },
    Target { name: "keyring", run: secrets::keyring, memory: KEYS },
    Target { name: "bundle", run: secrets::bundle, memory: KEYS },
    Target { name: "pair_message", run: secrets::pair_message, memory: KEYS },
    Target { name: "public_key", run: secrets::public_key, memory: KEYS },
    Target { name: "private_key", run: secrets::private_key, memory: KEYS },
];
