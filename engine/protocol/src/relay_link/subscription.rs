//! From SUBSCRIBE to an open feed: by cursor when the digests agree, by heads when they do not.

use super::{
    Access, ClassedHead, Comparison, Feed, HeadMatch, LinkError, Output, RelayLink, Subscription, Vault,
    View, Waiting, digest_of_nothing,
};
use crate::error::{ErrorCode, Refusal};
use crate::frame::{RelayFrame, ShortHead};
use crate::ids::{Digest, Incarnation, Rseq, VaultId};
use crate::limits;
use crate::segment::Class;

impl RelayLink {
    /// A SUBSCRIBE that was pipelined behind the AUTH of an unknown vault, or by a key that is not listed, is dropped: the
    /// client sends it again once it has created the vault, or its tail has joined.
    pub(super) fn on_subscribe(
        &mut self,
        vault: VaultId,
        incarnation: Incarnation,
        cursor: Rseq,
        digest: Digest,
    ) {
        if matches!(self.vaults.get(&vault), Some(Vault::Pending { .. } | Vault::Unlisted { .. })) {
            return;
        }
        let ours = incarnation == self.config.incarnation || cursor == Rseq(0);
        let Some(member) = self.member(vault) else { return };
        let access = member.access;
        if std::mem::replace(&mut member.subscription, Subscription::None).is_live() {
            self.outputs.push_back(Output::CloseFeed(vault));
        }
        match access {
            Access::Current(_) if ours => {
                self.waiting = Some(Waiting::Digest { vault, cursor, digest });
                self.outputs.push_back(Output::LoadDigest(vault));
            }
            Access::Current(_) => self.ask_heads(vault),
            // It cannot know the digest, since it does not see every log.
            Access::Superseded { .. } => self.open_feed(vault, if ours { cursor } else { Rseq(0) }),
        }
    }

    /// `digest` is what the client said of the heads at `cursor`. Only at the vault's last rseq is there one of ours to
    /// compare it with; behind that the feed goes on, and its CAUGHT_UP decides.
    pub(super) fn on_digest(&mut self, vault: VaultId, cursor: Rseq, digest: Digest, ours: (Rseq, Digest)) {
        let (last, now) = ours;
        let goes_on = match cursor {
            Rseq(0) => digest == digest_of_nothing(),
            _ if cursor == last => digest == now,
            _ => cursor < last && digest != Digest::ZERO,
        };
        if goes_on { self.open_feed(vault, cursor) } else { self.ask_heads(vault) }
    }

    fn ask_heads(&mut self, vault: VaultId) {
        self.waiting = Some(Waiting::Heads { vault });
        self.outputs.push_back(Output::LoadHeads(vault));
    }

    pub(super) fn on_own_heads(&mut self, vault: VaultId, heads: &[ClassedHead]) {
        let Some(feed) = self.feed(vault, Rseq(0)) else { return };
        let Some(Vault::Member(member)) = self.vaults.get_mut(&vault) else { return };
        member.subscription =
            Subscription::AwaitingHeads(Box::new(Comparison { feed, after: None, named: 0 }));
        let control_only = matches!(member.access, Access::Superseded { .. });
        let visible = heads.iter().filter(|log| !control_only || log.class == Class::Control);
        let mut heads: Vec<_> = visible.map(|log| ShortHead::new(log.head, log.base)).collect();
        heads.sort_unstable_by_key(|head| head.log);
        let parts = heads.len().div_ceil(limits::HEADS_PART_MAX).max(1);
        for part in 1..=parts {
            let rest = heads.split_off(heads.len().min(limits::HEADS_PART_MAX));
            let heads = std::mem::replace(&mut heads, rest);
            self.send(RelayFrame::Heads { vault, last: part == parts, heads });
        }
    }

    /// One part of the client's heads. Each is compared by itself, so that nothing gathers with what a peer sends.
    pub(super) fn on_heads(
        &mut self,
        vault: VaultId,
        last: bool,
        heads: Vec<ShortHead>,
    ) -> Result<(), LinkError> {
        let Some(member) = self.member(vault) else { return Ok(()) };
        let Subscription::AwaitingHeads(comparison) = &mut member.subscription else {
            return Err(LinkError::OutOfPlace { what: "HEADS that were not asked for" });
        };
        comparison.named += heads.len();
        let ascend = heads.is_sorted_by(|one, next| one.log < next.log)
            && heads.first().is_none_or(|first| comparison.after < Some(first.log));
        let goes_on = last || !heads.is_empty();
        if !ascend || !goes_on || comparison.named > limits::LOGS_PER_VAULT_MAX {
            member.subscription = Subscription::None;
            self.refuse(Refusal::vault(ErrorCode::HeadsRefused, vault));
            return Ok(());
        }
        comparison.after = heads.last().map(|head| head.log).or(comparison.after);
        self.waiting = Some(Waiting::Match { vault, last });
        self.outputs.push_back(Output::MatchHeads { vault, heads });
        Ok(())
    }

    pub(super) fn on_matched(&mut self, vault: VaultId, last_part: bool, matches: &[HeadMatch]) {
        let Some(Vault::Member(member)) = self.vaults.get_mut(&vault) else { return };
        let Subscription::AwaitingHeads(comparison) = &mut member.subscription else { return };
        let feed = &mut comparison.feed;
        for HeadMatch { client, last, chain_there } in matches {
            match (last, chain_there) {
                (None, _) => {}
                (Some(last), None) if client.seq > *last && client.base.seq <= *last => {
                    feed.skip(client.log, *last);
                }
                // What the relay has of it lies before, or behind, what the client has.
                (Some(_), None) => {}
                (Some(_), Some(chain)) if *chain == client.chain => feed.skip(client.log, client.seq),
                (Some(last), Some(_)) => feed.show_evidence(client.log, *last),
            }
        }
        if !last_part {
            return;
        }
        if let Subscription::AwaitingHeads(comparison) =
            std::mem::replace(&mut member.subscription, Subscription::None)
        {
            self.start_feed(vault, comparison.feed);
        }
    }

    /// A question about a vault that this link has no feed of, or is to have none, is dropped: the client asks again behind
    /// its next SUBSCRIBE.
    pub(super) fn on_ask(&mut self, vault: VaultId, number: u64) {
        let Some(Vault::Member(member)) = self.vaults.get_mut(&vault) else { return };
        match &mut member.subscription {
            Subscription::None => {}
            Subscription::AwaitingHeads(comparison) => comparison.feed.ask(number),
            Subscription::Live => self.outputs.push_back(Output::Ask(vault, number)),
        }
    }

    fn open_feed(&mut self, vault: VaultId, cursor: Rseq) {
        if let Some(feed) = self.feed(vault, cursor) {
            self.start_feed(vault, feed);
        }
    }

    /// The client may subscribe again; its other vaults go on.
    pub(super) fn on_feed_failed(&mut self, vault: VaultId) {
        let Some(Vault::Member(member)) = self.vaults.get_mut(&vault) else { return };
        if std::mem::replace(&mut member.subscription, Subscription::None).is_live() {
            self.outputs.push_back(Output::CloseFeed(vault));
            self.refuse(Refusal::vault(ErrorCode::Internal, vault).retry_after(limits::RETRY_SECS));
        }
    }

    fn feed(&self, vault: VaultId, cursor: Rseq) -> Option<Feed> {
        let Some(Vault::Member(member)) = self.vaults.get(&vault) else { return None };
        let view = match member.access {
            Access::Current(_) => View::All,
            Access::Superseded { below } => View::ControlBelow(below),
        };
        Some(Feed::new(vault, self.config.incarnation, cursor, view))
    }

    fn start_feed(&mut self, vault: VaultId, feed: Feed) {
        let Some(Vault::Member(member)) = self.vaults.get_mut(&vault) else { return };
        member.subscription = Subscription::Live;
        self.outputs.push_back(Output::OpenFeed(Box::new(feed)));
    }
}
