//! Control segments that do not count yet: of logs without a certificate that counts, within a bound.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use subrosa_protocol::ids::{LogId, Seq};
use subrosa_protocol::limits::CONTROL_WAITING_MAX;

use super::super::entry::EntryRank;
use super::segment::{Certificate, HeldEntry, Segment};
use crate::keys::PublicKey;

/// Segments that wait, log by log.
#[derive(Debug, Default)]
pub(super) struct HeldSegments {
    logs: BTreeMap<LogId, BTreeMap<Place, Segment>>,
    /// Which logs each device claims in certificates that wait.
    claims: BTreeMap<PublicKey, BTreeMap<EntryRank, LogId>>,
    /// Which logs hold, beside a certificate that waits, a word of this author by which its device was let in.
    listings: BTreeMap<PublicKey, BTreeSet<LogId>>,
    /// Logs that begin with something critical, which is not understood and may be a certificate.
    strange: BTreeSet<LogId>,
    weight: usize,
    /// Certificates among them.
    certificates: usize,
}

/// A log may have two futures: segments are told apart by what they say, too.
type Place = (Seq, [u8; 32]);

impl HeldSegments {
    /// How much waits.
    #[cfg(test)]
    pub(super) const fn weight(&self) -> usize {
        self.weight
    }

    /// Whether more waits than there is room for: certificates have their own, or what others say would keep out new devices.
    pub(super) const fn overflows(&self) -> bool {
        self.certificates > CONTROL_WAITING_MAX || self.weight - self.certificates > CONTROL_WAITING_MAX
    }

    pub(super) fn holds(&self, log: &LogId, place: &Place) -> bool {
        self.logs.get(log).is_some_and(|segments| segments.contains_key(place))
    }

    /// What waits of one log.
    pub(super) fn of(&self, log: &LogId) -> impl Iterator<Item = &Segment> {
        self.logs.get(log).into_iter().flat_map(BTreeMap::values)
    }

    /// Whether a certificate is among what waits of a log.
    pub(super) fn has_certificate(&self, log: &LogId) -> bool {
        self.of(log).any(|segment| segment.certificate.is_some())
    }

    pub(super) fn put(&mut self, log: LogId, seq: Seq, segment: Segment) {
        self.weight += segment.weight();
        self.certificates += usize::from(segment.certificate.is_some());
        for entry in segment.listings() {
            self.listings.entry(entry.author).or_default().insert(log);
        }
        if let Some(Certificate { device, rank, .. }) = segment.certificate.as_deref() {
            self.claims.entry(*device).or_default().insert(*rank, log);
        } else if is_strange(seq, &segment) {
            self.strange.insert(log);
        }
        self.logs.entry(log).or_default().insert((seq, segment.hash), segment);
    }

    /// The certificates of a device that wait, by rank.
    pub(super) fn certificates_of(&self, device: &PublicKey) -> Vec<Arc<Certificate>> {
        let claims = self.claims.get(device).into_iter().flatten();
        let of_claim = |(rank, log): (&EntryRank, &LogId)| {
            let mut certificates = self.of(log).filter_map(|segment| segment.certificate.as_ref());
            certificates.find(|certificate| certificate.rank == *rank).cloned()
        };
        claims.filter_map(of_claim).collect()
    }

    /// The words of an author by which devices were let in whose certificates wait.
    pub(super) fn listings_by(&self, author: &PublicKey) -> Vec<Arc<HeldEntry>> {
        let logs = self.listings.get(author).into_iter().flatten();
        let listings = logs.flat_map(|log| self.of(log)).flat_map(Segment::listings);
        listings.filter(|entry| entry.author == *author).cloned().collect()
    }

    /// The certificate of a rank counts: takes it out, and all entries of its log. Other certificates of that log stay.
    pub(super) fn release(&mut self, log: &LogId, rank: &EntryRank) -> Vec<Arc<HeldEntry>> {
        let segments = self.take(log, |_| true);
        let mut entries = Vec::new();
        for ((seq, _), mut segment) in segments {
            entries.append(&mut segment.entries);
            if segment.certificate.as_ref().is_some_and(|certificate| certificate.rank != *rank) {
                self.put(*log, seq, segment);
            }
        }
        entries
    }

    /// Takes one segment out.
    pub(super) fn forget(&mut self, log: &LogId, place: &Place) -> Vec<Segment> {
        self.take(log, |of| of == place).into_values().collect()
    }

    /// Takes out what waits of a log from a segment on.
    pub(super) fn forget_from(&mut self, log: &LogId, from: Seq) -> Vec<Segment> {
        self.take(log, |(seq, _)| *seq >= from).into_values().collect()
    }

    fn take(&mut self, log: &LogId, goes: impl Fn(&Place) -> bool) -> BTreeMap<Place, Segment> {
        let Some(segments) = self.logs.remove(log) else { return BTreeMap::new() };
        let (gone, left): (BTreeMap<_, _>, BTreeMap<_, _>) =
            segments.into_iter().partition(|(place, _)| goes(place));
        for entry in gone.values().flat_map(Segment::listings) {
            let is_left = left.values().flat_map(Segment::listings).any(|other| other.author == entry.author);
            if let Some(logs) = self.listings.get_mut(&entry.author).filter(|_| !is_left) {
                logs.remove(log);
                if logs.is_empty() {
                    self.listings.remove(&entry.author);
                }
            }
        }
        for segment in gone.values() {
            self.weight -= segment.weight();
            let Some(certificate) = segment.certificate.as_deref() else { continue };
            self.certificates -= 1;
            if let Some(claims) = self.claims.get_mut(&certificate.device) {
                claims.remove(&certificate.rank);
                if claims.is_empty() {
                    self.claims.remove(&certificate.device);
                }
            }
        }
        if !left.iter().any(|((seq, _), segment)| is_strange(*seq, segment)) {
            self.strange.remove(log);
        }
        if !left.is_empty() {
            self.logs.insert(*log, left);
        }
        gone
    }

    /// Who has written something critical where a certificate should be.
    pub(super) fn critical_at_beginnings(&self) -> impl Iterator<Item = &PublicKey> {
        let segments = self.strange.iter().filter_map(|log| self.logs.get(log)).flatten();
        let strange = segments.filter(|((seq, _), segment)| is_strange(*seq, segment));
        let entries = strange.flat_map(|(_, segment)| &segment.entries);
        entries.filter(|entry| entry.is_critical()).map(|entry| &entry.author)
    }

    /// The last number that an author has used in what waits.
    pub(super) fn last_number(&self, author: &PublicKey) -> Option<u64> {
        let segments = self.logs.values().flat_map(BTreeMap::values);
        segments.flat_map(|segment| segment.numbers_of(author)).max()
    }
}

fn is_strange(seq: Seq, segment: &Segment) -> bool {
    let mut entries = segment.entries.iter();
    seq == Seq(0) && segment.certificate.is_none() && entries.any(|entry| entry.is_critical())
}
