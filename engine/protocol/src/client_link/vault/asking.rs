//! Whether everything is here that the relay had acknowledged to anybody when it was asked.

use std::collections::VecDeque;

use super::super::{Output, VaultFault};
use super::VaultLink;
use crate::frame::ClientFrame;

/// Questions about one vault, numbered as the link's owner counts them; those from before the link have 0.
#[derive(Debug, Default)]
pub(super) struct Asking {
    /// The last one.
    asked: u64,
    /// The last one that went out on the present feed and has no answer.
    sent: Option<u64>,
    /// An answer before which nothing is left to store.
    here: Option<u64>,
    /// Up to here, a WANT went out behind the question: what it brings comes behind the answer.
    overtaken: u64,
    /// The last one whose answer, and everything before it, is with the store no more.
    stored: u64,
    /// The same, and the relay's digest was compared after it.
    answered: u64,
}

impl VaultLink {
    /// The last question after which everything is here that the relay had then.
    pub(in crate::client_link) const fn answered(&self) -> u64 {
        self.asking.answered
    }

    /// Whether a question has no answer yet.
    pub(super) fn is_asking(&self) -> bool {
        self.asking.sent.is_some() && self.is_subscribed()
    }

    /// Asks the relay, or does so when there is a feed to answer on.
    pub(in crate::client_link) fn ask(&mut self, number: u64, out: &mut VecDeque<Output>) {
        self.asking.asked = self.asking.asked.max(number);
        self.send_question(out);
    }

    /// Goes out behind every SUBSCRIBE, too: the answer to it comes on the feed.
    pub(super) fn send_question(&mut self, out: &mut VecDeque<Output>) {
        let number = self.asking.asked;
        let is_news = number > self.asking.answered && self.asking.sent != Some(number);
        if is_news && self.is_subscribed() {
            self.asking.sent = Some(number);
            out.push_back(Output::Send(ClientFrame::Ask { vault: self.id, number }.encode()));
        }
    }

    /// The feed is over: what was asked on it has no answer.
    pub(super) const fn forget_question(&mut self) {
        (self.asking.sent, self.asking.here) = (None, None);
        (self.asking.overtaken, self.asking.stored) = (0, self.asking.answered);
        self.compared = None;
    }

    /// WANTs went out.
    pub(super) fn overtake_question(&mut self, out: &mut VecDeque<Output>) {
        let asking = &mut self.asking;
        if let Some(sent) = asking.sent {
            asking.overtaken = sent;
        } else if asking.stored > asking.answered {
            (asking.overtaken, asking.stored) = (asking.asked - 1, asking.answered);
            self.send_question(out);
        }
    }

    /// FEED ANSWER is here, and everything before it is stored if `is_stored`. A number that was never asked is out of place.
    pub(in crate::client_link) const fn answer_is_here(
        &mut self,
        number: u64,
        is_stored: bool,
    ) -> Result<(), VaultFault> {
        if number > self.asking.asked {
            return Err(VaultFault::OutOfPlace { frame: "FEED ANSWER" });
        }
        if is_stored {
            self.asking.here = Some(number);
        }
        Ok(())
    }

    /// Looks at an answer before which nothing was left to store.
    pub(super) fn take_answer(&mut self, out: &mut VecDeque<Output>) {
        if let Some(number) = self.asking.here.take() {
            self.answer_stored(number, out);
        }
    }

    /// Everything before an answer is stored.
    pub(super) fn answer_stored(&mut self, number: u64, out: &mut VecDeque<Output>) {
        let is_last = self.asking.sent == Some(number);
        if is_last {
            self.asking.sent = None;
        }
        if number > self.asking.overtaken {
            self.asking.stored = self.asking.stored.max(number);
        } else if is_last {
            self.asking.overtaken = number - 1;
            self.send_question(out);
        }
    }

    /// Takes an answer for good once nothing is left to compare.
    pub(super) fn settle_answer(&mut self) {
        let compared = self.compared.is_some_and(|at| at >= self.up.acked_rseq());
        if compared && self.late.is_none() && !self.up.rotates() {
            self.asking.answered = self.asking.stored.max(self.asking.answered);
        }
    }
}
