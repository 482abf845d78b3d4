//! What the store found in a batch of a feed: what is missing, and whether the relay shows all that it has.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use super::super::feed::{BatchUnderway, Feeds};
use super::super::{Event, Output, Received};
use super::{Down, MISMATCHES_MAX, VaultLink, WANTS_MAX};
use crate::frame::ClientFrame;
use crate::ids::{LogId, Rseq, Seq};

impl VaultLink {
    pub(in crate::client_link) fn delivered(
        &mut self,
        now: Instant,
        batch: &BatchUnderway,
        received: Received,
        feeds: &mut Feeds,
        out: &mut VecDeque<Output>,
    ) {
        if self.rests() {
            // Whether it was stored or refused: the next attempt shows.
            return self.count.forget_fed(batch.segments, batch.bytes);
        }
        self.count.stored(batch.segments, batch.bytes);
        if received.own_log_foreign {
            self.shown();
        }
        if received.statements {
            self.chain.compare_again();
        }
        self.want(received.wants, out);
        let Down::Feeding { stream, .. } = self.down else { return };
        if batch.stream != stream {
            return;
        }
        if let Some(rseq) = batch.caught_up {
            self.caught_up(now, (batch, rseq), received.digest_ok, feeds, out);
        }
        if let (Down::Feeding { stream, .. }, Some(number)) = (&self.down, batch.answer)
            && *stream == batch.stream
        {
            self.answer_stored(number, out);
        }
    }

    /// A batch with CAUGHT_UP is stored.
    fn caught_up(
        &mut self,
        now: Instant,
        (batch, rseq): (&BatchUnderway, Rseq),
        digest_ok: Option<bool>,
        feeds: &mut Feeds,
        out: &mut VecDeque<Output>,
    ) {
        let Down::Feeding { stream, caught_up } = self.down else { return };
        if self.judge_claims(now, feeds, out) {
            return;
        }
        // With a rotation ahead the digests differ for a known reason.
        if digest_ok == Some(false) && batch.judged && !self.up.rotates() {
            if self.mismatches < MISMATCHES_MAX {
                self.mismatches += 1;
                self.resubscribe(now, feeds, out);
                return;
            }
            self.judge(false, out);
        } else if digest_ok == Some(true) && batch.judged {
            self.judge(true, out);
        }
        self.compared = Some(rseq);
        if !caught_up {
            self.down = Down::Feeding { stream, caught_up: true };
            self.up.opened();
            out.push_back(Output::Event(Event::CaughtUp { vault: self.id }));
        }
    }

    /// Says whether the relay's digest is ours, when that is news.
    fn judge(&mut self, agrees: bool, out: &mut VecDeque<Output>) {
        if self.agrees != Some(agrees) {
            self.agrees = Some(agrees);
            let vault = self.id;
            out.push_back(Output::Event(if agrees {
                Event::Agrees { vault }
            } else {
                Event::Disagrees { vault }
            }));
        }
    }

    /// Asks for ranges, each once. With a rotation ahead it is the comparison after it that brings them: until then the store
    /// takes what is in the own log for this device's.
    fn want(&mut self, wants: Vec<(LogId, Seq, Seq)>, out: &mut VecDeque<Output>) {
        if self.up.rotates() {
            return;
        }
        let mut merged: BTreeMap<(LogId, Seq), Seq> = BTreeMap::new();
        let before = out.len();
        for (log, from, to) in wants {
            let last = merged.entry((log, from)).or_insert(to);
            *last = to.max(*last);
        }
        for ((log, from), to) in merged {
            let asked = self.wanted.get(&(log, from)).copied();
            if asked.is_some_and(|asked| asked >= to) || (asked.is_none() && self.wanted.len() >= WANTS_MAX) {
                continue;
            }
            self.wanted.insert((log, from), to);
            let from = asked.map_or(from, Seq::next);
            out.push_back(Output::Send(ClientFrame::Want { vault: self.id, log, from, to }.encode()));
        }
        if out.len() > before {
            self.overtake_question(out);
        }
    }
}
