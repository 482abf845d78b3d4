//! Creating a vault at a relay, and bringing our chain to one that does not list our key.

use std::collections::VecDeque;
use std::time::Instant;

use super::super::feed::Feeds;
use super::super::{Birth, HeldChain, Output, VaultFault, credential};
use super::{Down, Goal, VaultLink};
use crate::frame::{ClientFrame, StatementsPart};

impl VaultLink {
    /// GRANT.
    pub(in crate::client_link) fn granted(&mut self) -> Result<(), VaultFault> {
        if !std::mem::take(&mut self.grant_due) {
            return Err(VaultFault::OutOfPlace { frame: "GRANT" });
        }
        Ok(())
    }

    /// The chain as the store has it, and what permits the vault's creation.
    pub(in crate::client_link) fn birth(
        &mut self,
        now: Instant,
        birth: Birth,
        invite: Option<&Vec<u8>>,
        feeds: &mut Feeds,
        out: &mut VecDeque<Output>,
    ) {
        match self.down {
            Down::LoadingBirth { goal: Goal::Create } if birth.chain == HeldChain::Last => {
                self.fault(now, VaultFault::Unable, feeds, out);
            }
            Down::LoadingBirth { goal: Goal::Create } => {
                self.create(now, birth.statements, birth.grant, invite, out);
            }
            Down::LoadingBirth { goal: Goal::BringTail } => {
                self.bring(birth.statements, out);
                self.down = Down::Proving { since: now };
            }
            _ => {}
        }
    }

    pub(super) fn bring(&self, statements: Vec<Vec<u8>>, out: &mut VecDeque<Output>) {
        for part in StatementsPart::cut(self.id, statements) {
            out.push_back(Output::Send(ClientFrame::Statements(part).encode()));
        }
    }

    pub(super) fn create(
        &mut self,
        now: Instant,
        statements: Vec<Vec<u8>>,
        grant: Option<Vec<u8>>,
        invite: Option<&Vec<u8>>,
        out: &mut VecDeque<Output>,
    ) {
        let with_grant = grant.is_some();
        self.bring(statements.clone(), out);
        let frame = ClientFrame::Create { vault: self.id, credential: credential(grant, invite) };
        out.push_back(Output::Send(frame.encode()));
        self.grant_due = true;
        self.down = Down::Creating { since: now, statements, with_grant };
    }
}
