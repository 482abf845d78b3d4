//! A vault's statement chain on a link: the relay is asked for what it has from our last statement on; what it lacks is
//! brought, and what it has more of goes to the store. A device that holds the last statement only asks for all of it, and
//! seals, pushes and creates nothing before it holds the whole chain.

use std::collections::VecDeque;
use std::time::Instant;

use super::{ANSWER_WAIT, HeldChain, Output, StatementsKept, VaultFault};
use crate::frame::{ClientFrame, StatementsPart};
use crate::ids::{Generation, VaultId};
use crate::limits;

#[derive(Debug, Default)]
pub(super) struct Chain {
    held: HeldChain,
    stage: Stage,
    /// To be compared once more.
    again: bool,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Idle,
    /// STATEMENTS WANT is sent, from a generation on; so much of the answer is here.
    Asked { since: Instant, from: Generation, statements: Vec<Vec<u8>> },
    /// The store compares.
    Storing { from: Generation },
    /// STATEMENTS is sent.
    Brought { since: Instant },
}

impl Chain {
    /// What the store holds when the vault begins anew.
    pub(super) fn begin(&mut self, held: HeldChain) {
        *self = Self { held, stage: Stage::Idle, again: false };
    }

    /// Nothing under way counts.
    pub(super) fn abandon(&mut self) {
        self.stage = Stage::Idle;
    }

    pub(super) fn is_whole(&self) -> bool {
        self.held != HeldChain::Last
    }

    /// Nothing is left to compare.
    pub(super) fn is_done(&self) -> bool {
        self.is_whole() && matches!(self.stage, Stage::Idle)
    }

    /// When the relay has been silent for too long.
    pub(super) fn answer_due(&self) -> Option<Instant> {
        match self.stage {
            Stage::Asked { since, .. } | Stage::Brought { since } => Some(since + ANSWER_WAIT),
            Stage::Idle | Stage::Storing { .. } => None,
        }
    }

    /// The store has something to add.
    pub(super) const fn compare_again(&mut self) {
        self.again = true;
    }

    /// Asks once more, when nothing is under way.
    pub(super) fn ask_again(&mut self, now: Instant, vault: VaultId, out: &mut VecDeque<Output>) {
        if matches!(self.stage, Stage::Idle) && std::mem::take(&mut self.again) {
            self.ask(now, vault, out);
        }
    }

    /// The relay knows the vault, and may have dropped the question that came with the proof.
    pub(super) fn ask_unless_asked(&mut self, now: Instant, vault: VaultId, out: &mut VecDeque<Output>) {
        if matches!(self.stage, Stage::Idle) {
            self.ask(now, vault, out);
        }
    }

    /// What else does the relay know?
    pub(super) fn ask(&mut self, now: Instant, vault: VaultId, out: &mut VecDeque<Output>) {
        let from = match self.held {
            HeldChain::Unasked => return,
            HeldChain::Whole { last } => last,
            HeldChain::Last => Generation(0),
        };
        self.want(now, vault, from, out);
    }

    fn want(&mut self, now: Instant, vault: VaultId, from: Generation, out: &mut VecDeque<Output>) {
        self.stage = Stage::Asked { since: now, from, statements: Vec::new() };
        out.push_back(Output::Send(ClientFrame::StatementsWant { vault, from }.encode()));
    }

    /// STATEMENTS of the relay.
    pub(super) fn part(
        &mut self,
        now: Instant,
        part: StatementsPart,
        out: &mut VecDeque<Output>,
    ) -> Result<(), VaultFault> {
        let out_of_place = Err(VaultFault::OutOfPlace { frame: "STATEMENTS" });
        let Stage::Asked { since, from, statements } = &mut self.stage else { return out_of_place };
        // A part with nothing in it, and more to come, would put off the answer for ever.
        let is_nothing = part.statements.is_empty() && !part.last;
        if is_nothing || statements.len() + part.statements.len() > limits::STATEMENTS_MAX {
            return out_of_place;
        }
        *since = now;
        statements.extend(part.statements);
        if part.last {
            let (from, statements) = (*from, std::mem::take(statements));
            self.stage = Stage::Storing { from };
            out.push_back(Output::StoreStatements { vault: part.vault, statements });
        }
        Ok(())
    }

    /// The store has compared. A fault when the relay showed its whole chain and that meets ours nowhere.
    pub(super) fn stored(
        &mut self,
        now: Instant,
        vault: VaultId,
        kept: StatementsKept,
        out: &mut VecDeque<Output>,
    ) -> Result<(), VaultFault> {
        let Stage::Storing { from } = self.stage else { return Ok(()) };
        self.stage = Stage::Idle;
        match kept {
            // It has the vault, and so its first statement.
            StatementsKept::Ask if from == Generation(0) => {
                return Err(VaultFault::OutOfPlace { frame: "STATEMENTS" });
            }
            StatementsKept::Ask => self.want(now, vault, Generation(0), out),
            StatementsKept::Compared { last, tail } => {
                self.held = HeldChain::Whole { last };
                if tail.is_empty() {
                    return Ok(());
                }
                self.stage = Stage::Brought { since: now };
                for part in StatementsPart::cut(vault, tail) {
                    out.push_back(Output::Send(ClientFrame::Statements(part).encode()));
                }
            }
        }
        Ok(())
    }

    /// The relay has answered a tail; says whether there was one.
    pub(super) fn answered(&mut self) -> bool {
        let brought = matches!(self.stage, Stage::Brought { .. });
        if brought {
            self.stage = Stage::Idle;
        }
        brought
    }
}
