//! Chains that come in parts, tails of chains that bring a relay up to date, and chains that are asked for.
//!
//! What has come of a chain is held for one vault of a link at a time, for as long as a stranger may take to prove itself;
//! the driver counts it over all links ([`RelayLink::gathered_bytes`]).

use std::sync::Arc;
use std::time::Duration;

use super::{Access, KnownVault, Member, Now, Output, RelayLink, Vault, Waiting};
use crate::error::{ErrorCode, Refusal};
use crate::frame::{RelayFrame, StatementsPart};
use crate::ids::{Generation, VaultId};
use crate::limits;
use crate::statement::Statement;

/// What has come of one vault's chain.
pub(super) struct Gathered {
    vault: VaultId,
    statements: Vec<Statement>,
    bytes: usize,
    /// The last part is here.
    whole: bool,
    /// Why it is of no use: the parts that still come are dropped.
    refused: Option<ErrorCode>,
    /// It is forgotten then.
    pub(super) until: Duration,
}

impl Gathered {
    fn take(&mut self, part: StatementsPart) {
        self.whole = part.last;
        if self.refused.is_some() {
            return;
        }
        if self.statements.len() + part.statements.len() > limits::STATEMENTS_MAX {
            return self.refuse(ErrorCode::StatementRefused);
        }
        for bytes in part.statements {
            match Statement::decode(&bytes) {
                Ok(statement) if statement.vault == self.vault => self.statements.push(statement),
                Ok(_) | Err(_) => return self.refuse(ErrorCode::StatementRefused),
            }
            self.bytes += bytes.len();
        }
    }

    fn refuse(&mut self, code: ErrorCode) {
        self.refused = Some(code);
        self.statements = Vec::new();
        self.bytes = 0;
    }
}

/// A chain that a peer asked for, as far as it is not sent.
pub(super) struct Showing {
    vault: VaultId,
    statements: Arc<[Statement]>,
    from: usize,
}

/// What is wrong with a chain that was brought.
pub(super) const fn chain_refusal(code: ErrorCode, vault: VaultId) -> Refusal {
    let refusal = Refusal::vault(code, vault);
    if matches!(code, ErrorCode::RateLimited) { refusal.retry_after(limits::RETRY_SECS) } else { refusal }
}

/// What is wrong with a statement: too many today are none until tomorrow.
pub(super) const fn statement_refusal(now: Now, code: ErrorCode, vault: VaultId) -> Refusal {
    let refusal = Refusal::vault(code, vault);
    let secs_today = (now.wall_ms / 1000) % SECS_PER_DAY;
    match code {
        ErrorCode::RateLimited => refusal.retry_after((SECS_PER_DAY - secs_today) as u32),
        _ => refusal,
    }
}

const SECS_PER_DAY: u64 = 24 * 60 * 60;

impl RelayLink {
    /// Bytes of chains that this link holds and that are not stored. The driver bounds them over all links, and feeds
    /// [`super::Input::NoRoom`] when there is no room.
    #[must_use]
    pub fn gathered_bytes(&self) -> usize {
        self.chain_bytes + self.gathered.as_ref().map_or(0, |gathered| gathered.bytes)
    }

    pub(super) fn on_no_room(&mut self) {
        if let Some(gathered) = &mut self.gathered {
            gathered.refuse(ErrorCode::RateLimited);
        }
    }

    /// A part of a chain. What comes of it shows at CREATE, or when the last part of a tail is here.
    pub(super) fn on_statements(&mut self, now: Now, part: StatementsPart) {
        let (vault, last) = (part.vault, part.last);
        let (creates, given_up) = match self.vaults.get(&vault) {
            Some(Vault::Pending { .. }) => (true, false),
            Some(Vault::Unlisted { .. }) => (false, self.tails >= limits::TAILS_MAX),
            Some(Vault::Member(_)) => (false, false),
            None => return self.refuse(Refusal::vault(ErrorCode::AuthFailed, vault)),
        };
        if given_up {
            if last {
                self.auth_failed(vault);
            }
            return;
        }
        let begun = self.gathered.take_if(|gathered| gathered.vault == vault && !gathered.whole);
        let gathered = self.gathered.insert(begun.unwrap_or_else(|| Gathered {
            vault,
            statements: Vec::new(),
            bytes: 0,
            whole: false,
            refused: None,
            until: now.mono + limits::AUTH_DEADLINE,
        }));
        gathered.take(part);
        if !last || creates {
            return;
        }
        match self.take_gathered(&vault) {
            Ok((tail, bytes)) => {
                self.chain_bytes = bytes;
                self.waiting = Some(Waiting::Tail { vault });
                self.outputs.push_back(Output::JoinStatements { vault, tail });
            }
            Err(ErrorCode::RateLimited) => self.refuse(chain_refusal(ErrorCode::RateLimited, vault)),
            Err(code) => self.tail_refused(vault, code),
        }
    }

    /// The whole chain that has come of a vault, and its bytes.
    pub(super) fn take_gathered(&mut self, vault: &VaultId) -> Result<(Vec<Statement>, usize), ErrorCode> {
        match self.gathered.take_if(|gathered| gathered.vault == *vault) {
            Some(Gathered { refused: Some(code), .. }) => Err(code),
            Some(Gathered { whole: true, statements, bytes, .. }) => Ok((statements, bytes)),
            Some(_) | None => Err(ErrorCode::StatementRefused),
        }
    }

    /// What joined the chain is stored: the key is looked at again.
    pub(super) fn on_tail(&mut self, vault: VaultId, result: Result<KnownVault, ErrorCode>) {
        match (self.vaults.get(&vault), result) {
            (Some(Vault::Unlisted { role, public }), Ok(state)) => {
                let (role, public) = (*role, *public);
                match Access::of(&state.statements, role, &public) {
                    Some(access) => {
                        self.join(vault, Member::new(role, public, access));
                        self.send_vault(vault, &state);
                    }
                    None => self.tail_refused(vault, ErrorCode::AuthFailed),
                }
            }
            (Some(Vault::Member(_)), Ok(state)) => {
                self.on_statements_changed(&vault, &state);
                self.send_vault(vault, &state);
            }
            (_, Err(code)) => self.tail_refused(vault, code),
            (Some(Vault::Pending { .. }) | None, Ok(_)) => {}
        }
    }

    /// Who is not listed hears the same whatever was wrong.
    fn tail_refused(&mut self, vault: VaultId, code: ErrorCode) {
        if matches!(self.vaults.get(&vault), Some(Vault::Member(_))) {
            return self.refuse(Refusal::vault(code, vault));
        }
        self.tails += 1;
        self.auth_failed(vault);
    }

    pub(super) fn on_statements_want(&mut self, vault: VaultId, from: Generation) {
        if self.member(vault).is_some() {
            self.waiting = Some(Waiting::Statements { vault, from });
            self.outputs.push_back(Output::LoadVault(vault));
        }
    }

    pub(super) fn send_statements(&mut self, vault: VaultId, from: Generation, state: &KnownVault) {
        let from = usize::try_from(from.0).unwrap_or(usize::MAX);
        self.showing = Some(Showing { vault, statements: Arc::clone(&state.statements), from });
    }

    /// The next part of a chain that is shown: made when the one before is sent, and not kept.
    pub(super) fn next_shown(&mut self) -> Option<Output> {
        let Showing { vault, statements, from } = self.showing.take()?;
        let wanted = statements.get(from..).unwrap_or_default();
        let some = wanted.iter().take(limits::STATEMENTS_PART_MAX + 1).map(Statement::encode);
        let mut part = StatementsPart::cut(vault, some).into_iter().next()?;
        part.last = part.statements.len() == wanted.len();
        if !part.last {
            let from = from + part.statements.len();
            self.showing = Some(Showing { vault, statements, from });
        }
        Some(Output::Send(RelayFrame::Statements(part)))
    }
}
