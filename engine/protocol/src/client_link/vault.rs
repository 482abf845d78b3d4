//! One vault on a link: from the proof of membership to a live feed.

mod asking;
mod birth;
mod claims;
mod delivery;
mod heads;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use self::asking::Asking;
use self::claims::Claims;
use super::chain::Chain;
use super::count::Count;
use super::feed::Feeds;
use super::uplink::Uplink;
use super::{
    ANSWER_WAIT, Event, FAULT_WAIT, FAULT_WAIT_MAX, Output, Prepared, Progress, Purpose, VaultFault, rest,
};
use crate::error::{ErrorCode, Refusal};
use crate::frame::{ClientFrame, Role, ShortHead};
use crate::ids::{Digest, Incarnation, LogId, Rseq, Seq, VaultId};

/// Fresh subscriptions on one link because the relay's digest differed.
const MISMATCHES_MAX: u8 = 1;
/// Fresh subscriptions on one link because a push met another chain, or a gap.
const COMPARISONS_MAX: u8 = 4;
/// Ranges asked for on one feed: what one author's false `seen` can make us ask.
const WANTS_MAX: usize = 1024;
/// Doublings of [`FAULT_WAIT`] that are computed: beyond [`FAULT_WAIT_MAX`] by far.
const FAULT_DOUBLINGS_MAX: u32 = 16;

#[derive(Debug)]
pub(super) struct VaultLink {
    id: VaultId,
    purpose: Purpose,
    down: Down,
    pub(super) up: Uplink,
    pub(super) chain: Chain,
    prepared: Option<Prepared>,
    /// The tail of our chain went to this relay, which did not list our key: once a link.
    tail_brought: bool,
    /// VAULT was seen.
    known: bool,
    /// CREATE was sent and its GRANT is still to come.
    grant_due: bool,
    mismatches: u8,
    comparisons: u8,
    /// Faults since it was last synced.
    faults: u32,
    /// Whether the relay's digest was ours, as far as it was said.
    agrees: Option<bool>,
    /// Ranges asked for on this feed: log and first segment, last segment.
    wanted: BTreeMap<(LogId, Seq), Seq>,
    claims: Claims,
    /// Heads are to be compared when it begins anew.
    afresh: bool,
    /// A CAUGHT_UP that came while pushes were in flight: whether it covers them cannot be told yet.
    late: Option<(Rseq, Digest)>,
    /// The rseq of the last CAUGHT_UP of this feed whose digest was compared, if there was one to compare.
    compared: Option<Rseq>,
    asking: Asking,
    synced: bool,
    count: Count,
}

#[derive(Debug)]
enum Down {
    Preparing,
    /// AUTH and SUBSCRIBE are sent.
    Joining {
        since: Instant,
    },
    LoadingBirth {
        goal: Goal,
    },
    /// STATEMENTS is sent by a key that the relay does not list.
    Proving {
        since: Instant,
    },
    /// CREATE is sent; the chain is kept in case the grant is refused and an invite is at hand.
    Creating {
        since: Instant,
        statements: Vec<Vec<u8>>,
        with_grant: bool,
    },
    /// The relay's HEADS have begun; more parts follow.
    Gathering {
        since: Instant,
        theirs: Vec<ShortHead>,
    },
    StoringHeads {
        theirs: Vec<ShortHead>,
    },
    /// HEADS is sent.
    Comparing {
        since: Instant,
    },
    Feeding {
        stream: u64,
        caught_up: bool,
    },
    /// Known, and that was all that was wanted.
    Member,
    /// Refused, or found faulty: until then.
    Resting {
        until: Instant,
    },
}

/// What the chain is loaded for.
#[derive(Debug)]
enum Goal {
    Create,
    BringTail,
}

impl VaultLink {
    pub(super) fn new(id: VaultId, purpose: Purpose) -> Self {
        Self {
            id,
            purpose,
            down: Down::Preparing,
            up: Uplink::default(),
            chain: Chain::default(),
            prepared: None,
            tail_brought: false,
            known: false,
            grant_due: false,
            mismatches: 0,
            comparisons: 0,
            faults: 0,
            agrees: None,
            wanted: BTreeMap::new(),
            claims: Claims::default(),
            afresh: false,
            late: None,
            compared: None,
            asking: Asking::default(),
            synced: false,
            count: Count::default(),
        }
    }

    pub(super) const fn is_known(&self) -> bool {
        self.known
    }

    pub(super) const fn is_synced(&self) -> bool {
        self.synced
    }

    pub(super) const fn rests(&self) -> bool {
        matches!(self.down, Down::Resting { .. })
    }

    pub(super) fn is_settled(&self) -> bool {
        self.synced
            || match self.down {
                Down::Resting { .. } => true,
                Down::Feeding { caught_up: true, .. } => self.up.is_stuck(),
                _ => false,
            }
    }

    /// Whether the relay owes an answer.
    pub(super) fn is_waiting(&self) -> bool {
        let due = self.up.answer_due().or(self.chain.answer_due());
        self.is_asking() || self.answer_since().is_some() || due.is_some()
    }

    pub(super) fn add_progress(&self, mut sum: Progress) -> Progress {
        self.count.add_to(&mut sum, matches!(self.down, Down::Feeding { caught_up: true, .. }));
        self.up.add_progress(sum)
    }

    /// Since when the relay owes an answer about where the vault stands.
    const fn answer_since(&self) -> Option<Instant> {
        match self.down {
            Down::Joining { since }
            | Down::Proving { since }
            | Down::Creating { since, .. }
            | Down::Gathering { since, .. }
            | Down::Comparing { since } => Some(since),
            _ => None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let down = match self.down {
            Down::Resting { until } => Some(until),
            Down::Feeding { caught_up: true, .. } if self.chain.is_whole() => self.up.next_action(),
            _ => self.answer_since().map(|since| since + ANSWER_WAIT),
        };
        down.into_iter().chain(self.up.answer_due()).chain(self.chain.answer_due()).min()
    }

    pub(super) fn timeout(&mut self, now: Instant, out: &mut VecDeque<Output>) -> Result<(), VaultFault> {
        let due = self.answer_since().map(|since| since + ANSWER_WAIT);
        if [due, self.up.answer_due(), self.chain.answer_due()].into_iter().flatten().any(|due| now >= due) {
            return Err(VaultFault::Silent);
        }
        if let Down::Resting { until } = self.down
            && now >= until
        {
            self.down = Down::Preparing;
            self.known = false;
            out.push_back(Output::Prepare { vault: self.id });
        }
        Ok(())
    }

    /// Sends the proof and, without waiting for what comes of it, the subscription and the question for the chain.
    pub(super) fn prepared(&mut self, now: Instant, prepared: Prepared, out: &mut VecDeque<Output>) {
        if !matches!(self.down, Down::Preparing) {
            return;
        }
        let Prepared { role, public, signature, .. } = prepared;
        out.push_back(Output::Send(ClientFrame::Auth { vault: self.id, role, public, signature }.encode()));
        self.up.set_writer(role == Role::Writer);
        self.chain.begin(prepared.chain);
        self.prepared = Some(prepared);
        self.forget_claims();
        if std::mem::take(&mut self.afresh) {
            self.subscribe_afresh(now, out);
        } else {
            self.down = Down::Joining { since: now };
            self.subscribe(out);
        }
        if self.purpose == Purpose::Sync {
            self.chain.ask(now, self.id, out);
        }
    }

    /// This device cannot prove membership now.
    pub(super) fn unable(&mut self, now: Instant, feeds: &mut Feeds, out: &mut VecDeque<Output>) {
        if matches!(self.down, Down::Preparing | Down::LoadingBirth { .. }) {
            self.fault(now, VaultFault::Unable, feeds, out);
        }
    }

    /// Something is wrong with this vault: it rests, longer each time, and then begins anew. What still comes of the
    /// attempt that is over says nothing new.
    pub(super) fn fault(
        &mut self,
        now: Instant,
        fault: VaultFault,
        feeds: &mut Feeds,
        out: &mut VecDeque<Output>,
    ) {
        if self.rests() {
            return;
        }
        let retry = FAULT_WAIT.saturating_mul(1 << self.faults.min(FAULT_DOUBLINGS_MAX)).min(FAULT_WAIT_MAX);
        self.faults = self.faults.saturating_add(1);
        self.leave_feed(feeds, out);
        self.grant_due = false;
        self.chain.abandon();
        self.up.abandon();
        self.down = Down::Resting { until: now + retry };
        out.push_back(Output::Event(Event::Rests { vault: self.id, fault, retry }));
    }

    /// Forgets the feed, and what came of it and is not with the store.
    fn leave_feed(&mut self, feeds: &mut Feeds, out: &mut VecDeque<Output>) {
        let (segments, bytes) = feeds.retire(&self.id, out);
        self.count.forget_fed(segments, bytes);
        self.late = None;
        self.wanted.clear();
        self.forget_question();
    }

    /// SUBSCRIBE is on its way, or was answered.
    fn is_subscribed(&self) -> bool {
        let on_its_way = matches!(
            self.down,
            Down::Joining { .. }
                | Down::Gathering { .. }
                | Down::StoringHeads { .. }
                | Down::Comparing { .. }
                | Down::Feeding { .. }
        );
        on_its_way && self.purpose == Purpose::Sync
    }

    /// In state [`Down::Joining`].
    fn subscribe(&mut self, out: &mut VecDeque<Output>) {
        if let (Purpose::Sync, Some(prepared)) = (self.purpose, &self.prepared) {
            let Prepared { incarnation, cursor, digest, .. } = *prepared;
            out.push_back(Output::Send(
                ClientFrame::Subscribe { vault: self.id, incarnation, cursor, digest }.encode(),
            ));
            self.forget_question();
            self.send_question(out);
        }
    }

    /// Asks for a fresh feed that starts with a comparison of all heads.
    fn resubscribe(&mut self, now: Instant, feeds: &mut Feeds, out: &mut VecDeque<Output>) {
        self.leave_feed(feeds, out);
        self.subscribe_afresh(now, out);
    }

    /// Subscribes in a way that makes the relay show its heads.
    fn subscribe_afresh(&mut self, now: Instant, out: &mut VecDeque<Output>) {
        if let Some(prepared) = &mut self.prepared {
            prepared.incarnation = Incarnation::ZERO;
            prepared.cursor = Rseq(0);
            prepared.digest = Digest::ZERO;
        }
        self.down = Down::Joining { since: now };
        self.subscribe(out);
    }

    /// VAULT. It may arrive after the feed, which has a stream of its own. Says whether it is news.
    pub(super) fn known(
        &mut self,
        now: Instant,
        used_bytes: u64,
        out: &mut VecDeque<Output>,
    ) -> Result<bool, VaultFault> {
        let out_of_place = Err(VaultFault::OutOfPlace { frame: "VAULT" });
        if self.known {
            return if self.chain.answered() { Ok(false) } else { out_of_place };
        }
        match self.down {
            // It holds nothing now, whatever it held in an earlier life.
            Down::Creating { .. } => self.subscribe_afresh(now, out),
            // It has dropped the SUBSCRIBE that came with the proof.
            Down::Proving { .. } => {
                self.down = Down::Joining { since: now };
                self.subscribe(out);
            }
            Down::Joining { .. }
            | Down::Gathering { .. }
            | Down::StoringHeads { .. }
            | Down::Comparing { .. }
            | Down::Feeding { .. } => {}
            Down::Preparing | Down::LoadingBirth { .. } | Down::Member | Down::Resting { .. } => {
                return out_of_place;
            }
        }
        self.known = true;
        match self.purpose {
            Purpose::Member => self.down = Down::Member,
            Purpose::Sync => self.chain.ask_unless_asked(now, self.id, out),
        }
        // Only a vault read from the start has its size for a goal.
        if self.prepared.as_ref().is_some_and(|prepared| prepared.cursor == Rseq(0)) {
            self.count.expect_bytes(used_bytes);
        }
        Ok(true)
    }

    pub(super) fn feed_started(&mut self, stream: u64) -> Result<(), VaultFault> {
        if self.purpose == Purpose::Member {
            return Err(VaultFault::OutOfPlace { frame: "FEED START" });
        }
        match self.down {
            Down::Joining { .. } | Down::Comparing { .. } => {
                self.down = Down::Feeding { stream, caught_up: false };
                Ok(())
            }
            _ => Err(VaultFault::OutOfPlace { frame: "FEED START" }),
        }
    }

    pub(super) const fn fed(&mut self, bytes: usize) {
        self.count.fed(bytes as u64);
    }

    /// The scan went on: a CAUGHT_UP that waits is outdated, and another one follows.
    pub(super) const fn feed_moved(&mut self) {
        self.late = None;
    }

    /// CAUGHT_UP; gives it back when it can be judged now. It counts our own pushes of this link, so while
    /// some are in flight, or were acknowledged past it, its digest compares with nothing.
    pub(super) fn feed_caught_up(&mut self, rseq: Rseq, digest: Digest) -> Option<(Rseq, Digest)> {
        self.late = None;
        if !self.up.is_quiet() {
            self.late = Some((rseq, digest));
            return None;
        }
        (rseq >= self.up.acked_rseq()).then_some((rseq, digest))
    }

    /// New logs are open. What the relay has of the other future was not stored before: heads are compared afresh, and the
    /// feed brings it. A comparison that is under way began behind the question for new logs, and does the same.
    pub(super) fn rotated(&mut self, now: Instant, feeds: &mut Feeds, out: &mut VecDeque<Output>) {
        let was_asked = self.up.rotated();
        match self.down {
            Down::Feeding { .. } if was_asked => self.resubscribe(now, feeds, out),
            Down::Preparing | Down::Resting { .. } => self.afresh = true,
            _ => {}
        }
    }

    /// An ERROR that concerns the vault as a whole.
    pub(super) fn refused(
        &mut self,
        now: Instant,
        refusal: Refusal,
        invite: Option<&Vec<u8>>,
        out: &mut VecDeque<Output>,
    ) {
        let retry = rest(&refusal);
        let goal = match refusal.code {
            ErrorCode::UnknownVault => Some(Goal::Create),
            // It may be older than our key: a copy of its database that was put back.
            ErrorCode::AuthFailed if !self.tail_brought => Some(Goal::BringTail),
            _ => None,
        };
        match &mut self.down {
            Down::Joining { .. } if !self.known && goal.is_some() => {
                let goal = goal.expect("looked at above");
                self.tail_brought |= matches!(goal, Goal::BringTail);
                self.chain.abandon(); // the relay has dropped the question
                self.down = Down::LoadingBirth { goal };
                out.push_back(Output::LoadBirth { vault: self.id });
                return;
            }
            // The answer to the SUBSCRIBE that went out with AUTH: it may come once CREATE is on its way.
            Down::Creating { .. } if refusal.code == ErrorCode::UnknownVault => return,
            Down::Creating { with_grant: true, statements, .. }
                if invite.is_some()
                    && matches!(refusal.code, ErrorCode::GrantRefused | ErrorCode::NeedsInvite) =>
            {
                let statements = std::mem::take(statements);
                self.create(now, statements, None, invite, out);
                return;
            }
            // What it has is preferred to ours, or is no chain of the vault's, or it takes no more today: nothing else
            // depends on it, and the next link brings what is left.
            _ if matches!(refusal.code, ErrorCode::StatementRefused | ErrorCode::RateLimited)
                && self.chain.answered() => {}
            Down::Joining { .. }
            | Down::Proving { .. }
            | Down::Creating { .. }
            | Down::Gathering { .. }
            | Down::StoringHeads { .. }
            | Down::Comparing { .. } => {
                self.grant_due = false;
                if !self.known {
                    self.chain.abandon();
                }
                self.down = Down::Resting { until: now + retry };
            }
            Down::Feeding { .. } => self.up.rest_all(now + retry, refusal.code),
            Down::Member => {}
            // Says again what is known, or what an earlier attempt was told.
            Down::Preparing | Down::LoadingBirth { .. } | Down::Resting { .. } => return,
        }
        out.push_back(Output::Event(Event::Refused { refusal, retry }));
    }

    /// An ERROR that concerns one segment, pushed or wanted.
    pub(super) fn segment_refused(
        &mut self,
        now: Instant,
        refusal: Refusal,
        feeds: &mut Feeds,
        out: &mut VecDeque<Output>,
    ) -> Result<(), VaultFault> {
        let wanted = self.wanted.keys().any(|(log, _)| *log == refusal.log);
        if wanted && !self.up.was_sent(refusal.log, refusal.seq) {
            return Ok(()); // a WANT that found no feed; the next feed brings what it asked for
        }
        let retry = match refusal.code {
            // LOG goes out again with the next attempt.
            ErrorCode::UnknownLog => Duration::from_secs(1),
            _ => rest(&refusal),
        };
        if !self.up.segment_refused(now + retry, &refusal)? {
            return Ok(());
        }
        let compares = matches!(refusal.code, ErrorCode::Conflict | ErrorCode::Gap | ErrorCode::Closed);
        if compares && !matches!(self.down, Down::Feeding { .. }) {
            // A comparison is under way and settles this one too.
            return Ok(());
        }
        if matches!(refusal.code, ErrorCode::Conflict | ErrorCode::Closed) {
            self.claim_by_refusal(refusal.log);
        }
        if compares && self.comparisons < COMPARISONS_MAX {
            // The relay does not hold what we believed: compare all heads, which also tells whether another
            // copy of this store has written to our own log.
            self.comparisons += 1;
            self.resubscribe(now, feeds, out);
            return Ok(());
        }
        out.push_back(Output::Event(Event::Refused { refusal, retry }));
        Ok(())
    }

    pub(super) fn pump(
        &mut self,
        now: Instant,
        window: usize,
        feeds: &mut Feeds,
        out: &mut VecDeque<Output>,
    ) {
        self.take_answer(out);
        if let Down::Feeding { caught_up: true, .. } = self.down
            && self.known
        {
            self.chain.ask_again(now, self.id, out);
        }
        if self.up.is_quiet()
            && let Some((rseq, digest)) = self.late.take()
            && let Some(caught_up) = self.feed_caught_up(rseq, digest)
        {
            feeds.caught_up(self.id, caught_up);
        }
        if let Down::Feeding { caught_up: true, .. } = self.down
            && self.chain.is_whole()
        {
            self.up.pump(now, self.id, window, out);
        }
    }

    pub(super) fn report_synced(&mut self, feeds: &Feeds, out: &mut VecDeque<Output>) {
        self.settle_answer();
        let synced = match self.down {
            Down::Member => true,
            Down::Feeding { caught_up: true, .. } => {
                let up = self.chain.is_done() && self.up.is_done();
                self.known && self.late.is_none() && up && feeds.is_idle(&self.id)
            }
            _ => false,
        };
        if synced && !self.synced {
            self.faults = 0;
            out.push_back(Output::Event(Event::Synced { vault: self.id }));
        }
        self.synced = synced;
    }
}
