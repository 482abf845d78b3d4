//! Chains that come in parts, tails of chains that bring a relay up to date, and chains that are asked for.
//!
//! What has come of a chain is held for one vault of a link at a time, for as long as a stranger may take to prove itself;
//! the driver counts it over all links ([`RelayLink::gathered_bytes`]).

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
#[derive(Clone, Copy)]
pub(super) struct Showing {
    vault: VaultId,
    /// The next statement.
    from: Generation,
    /// The hash of the one before it, once a part is sent: what follows must be of the same chain.
    after: Option<[u8; 32]>,
}

impl Showing {
    pub(super) const fn vault(&self) -> VaultId {
        self.vault
    }
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
            Err(code) => self.tail_refused(Refusal::vault(code, vault)),
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
    pub(super) fn on_tail(&mut self, now: Now, vault: VaultId, result: Result<KnownVault, ErrorCode>) {
        match (self.vaults.get(&vault), result) {
            (Some(Vault::Unlisted { role, public }), Ok(state)) => {
                let (role, public) = (*role, *public);
                match Access::of(&state.statements, role, &public) {
                    Some(access) => {
                        self.join(vault, Member::new(role, public, access));
                        self.send_vault(vault, &state);
                    }
                    None => self.tail_refused(Refusal::vault(ErrorCode::AuthFailed, vault)),
                }
            }
            (Some(Vault::Member(_)), Ok(state)) => {
                self.on_statements_changed(&vault, &state);
                self.send_vault(vault, &state);
            }
            (_, Err(code)) => self.tail_refused(statement_refusal(now, code, vault)),
            (Some(Vault::Pending { .. }) | None, Ok(_)) => {}
        }
    }

    /// Who is not listed hears the same whatever was wrong.
    fn tail_refused(&mut self, refusal: Refusal) {
        if matches!(self.vaults.get(&refusal.vault), Some(Vault::Member(_))) {
            return self.refuse(refusal);
        }
        self.tails += 1;
        self.auth_failed(refusal.vault);
    }

    /// One that was pipelined behind an AUTH that found no vault, or a key that is not listed, is dropped, as a SUBSCRIBE is.
    pub(super) fn on_statements_want(&mut self, vault: VaultId, from: Generation) {
        if matches!(self.vaults.get(&vault), Some(Vault::Pending { .. } | Vault::Unlisted { .. })) {
            return;
        }
        if self.member(vault).is_some() {
            self.showing = Some(Showing { vault, from, after: None });
        }
    }

    /// The next part of a chain that is shown is read when the one before is sent.
    pub(super) fn next_shown(&mut self) -> Option<Output> {
        if self.waiting.is_some() {
            return None;
        }
        let showing = self.showing.take()?;
        let Showing { vault, from, .. } = showing;
        self.waiting = Some(Waiting::Statements(showing));
        Some(Output::LoadStatements { vault, from })
    }

    /// A chain that was replaced between two parts ends there: what was shown of the other one is not its beginning.
    pub(super) fn on_shown(&mut self, showing: Showing, mut statements: Vec<Vec<u8>>) {
        let Showing { vault, from, after } = showing;
        if !matches!(self.vaults.get(&vault), Some(Vault::Member(_))) {
            return;
        }
        let next = statements.first().and_then(|bytes| Statement::decode(bytes).ok());
        if after.is_some() && next.map(|next| next.previous) != after {
            statements.clear();
        }
        let read = statements.len();
        let Some(mut part) = StatementsPart::cut(vault, statements).into_iter().next() else { return };
        part.last = part.statements.len() == read;
        if !part.last {
            let last = part.statements.last().and_then(|bytes| Statement::decode(bytes).ok());
            let from = Generation(from.0.saturating_add(part.statements.len() as u64));
            self.showing = Some(Showing { vault, from, after: last.map(|last| last.hash()) });
        }
        self.send(RelayFrame::Statements(part));
    }
}
