//! One state of a relay, and of which links it is.

use std::collections::BTreeMap;

use bytes::Bytes;
use subrosa_protocol::ids::{Head, LogId, Seq, VaultId};
use subrosa_protocol::segment::SealedSegment;
use subrosa_relay::testing::{Now, SimRelay};

use super::memory::Memory;

/// See the module.
pub(super) struct World {
    pub(super) relay: SimRelay,
    disk: Memory,
}

impl World {
    /// Of the relay with that key, with what is on that disk.
    pub(super) fn open(pkcs8: &[u8], disk: Memory) -> Self {
        let opened = disk.clone();
        let relay = SimRelay::open(pkcs8, Box::new(move || opened.clone()), [7; 16], None)
            .expect("a disk in memory holds what was written to it");
        Self { relay, disk }
    }

    /// What its disk holds now.
    pub(super) fn copied(&self) -> Memory {
        self.disk.copied()
    }

    /// Lets all that has come be verified, and committed.
    pub(super) fn append(&mut self, now: Now) -> bool {
        let (to_verify, to_commit) = self.relay.waits();
        if to_verify {
            self.relay.verify(now);
        } else if to_commit {
            self.relay.commit(now);
        }
        to_verify || to_commit
    }

    /// The heads of what it holds of a vault, as if a log had ended.
    pub(super) fn heads_without(&self, vault: &VaultId, hidden: Hidden) -> BTreeMap<LogId, Head> {
        let mut heads: BTreeMap<LogId, Head> = BTreeMap::new();
        let read = self.relay.segments(vault, &mut |bytes| {
            let Ok(segment) = SealedSegment::parse(Bytes::copy_from_slice(bytes)) else { return };
            let (log, seq) = (segment.header().log, segment.header().seq);
            if !hidden.hides(&segment) {
                heads.insert(log, Head { log, seq, chain: segment.preimage(vault).chain() });
            }
        });
        read.expect("the disk is in memory");
        heads
    }
}

/// The end of a log that others than its author are not to see.
#[derive(Clone, Copy)]
pub(super) struct Hidden {
    pub(super) log: LogId,
    pub(super) from: Seq,
}

impl Hidden {
    pub(super) fn hides(&self, segment: &SealedSegment) -> bool {
        segment.header().log == self.log && segment.header().seq >= self.from
    }
}
