//! Who may do what with a vault: proofs against statements, and what permits a vault's creation.

use super::statements::{chain_refusal, statement_refusal};
use super::{
    Created, Input, KnownVault, LinkError, Member, Now, Output, Phase, RelayLink, Subscription, Vault,
    Waiting,
};
use crate::error::{ErrorCode, Refusal};
use crate::frame::{Credential, RelayFrame, Role};
use crate::ids::{Epoch, PublicKeyBytes, VaultId};
use crate::limits;
use crate::statement::{Statement, check_chain};
use crate::token::{Grant, Invite};

/// Whether a relay takes vaults of strangers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Only with an invite or a grant.
    Closed,
    /// From anyone; such vaults are of quota class 0.
    Open,
}

/// What a proved key permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The last statement lists the key.
    Current(Role),
    /// An earlier statement did: reads what it needs to walk forward, nothing else.
    Superseded {
        /// It reads control segments of epochs below that of the statement after the last one that lists it.
        below: Epoch,
    },
}

impl Access {
    /// Looks `public` up in the statements, last first.
    #[must_use]
    pub fn of(statements: &[Statement], role: Role, public: &PublicKeyBytes) -> Option<Self> {
        let listed = |statement: &Statement| match role {
            Role::Reader => statement.read == *public,
            Role::Writer => statement.write == *public,
        };
        let at = statements.iter().rposition(listed)?;
        Some(match statements.get(at + 1) {
            None => Self::Current(role),
            Some(after) => Self::Superseded { below: after.epoch },
        })
    }
}

/// A CREATE whose credential holds; its statements are not checked yet (that costs a signature check each, so
/// the driver does it off its event loop).
#[derive(Clone, Debug)]
pub struct Creation {
    vault: VaultId,
    role: Role,
    public: PublicKeyBytes,
    statements: Vec<Statement>,
    class: u8,
    invite: Option<Invite>,
}

/// A CREATE that only needs storing: the chain holds, and its last statement lists the key that was proved.
#[derive(Clone, Debug)]
pub struct CheckedCreation(Creation);

impl Creation {
    /// Checks the whole statement chain.
    ///
    /// # Errors
    /// [`ErrorCode::StatementRefused`].
    pub fn check(self) -> Result<CheckedCreation, ErrorCode> {
        let last = check_chain(&self.vault, &self.statements).map_err(|_| ErrorCode::StatementRefused)?;
        let listed = match self.role {
            Role::Reader => last.read,
            Role::Writer => last.write,
        };
        if listed != self.public {
            return Err(ErrorCode::StatementRefused);
        }
        Ok(CheckedCreation(self))
    }
}

impl CheckedCreation {
    /// The vault to create.
    #[must_use]
    pub const fn vault(&self) -> &VaultId {
        &self.0.vault
    }

    /// Its statement chain, from generation 0.
    #[must_use]
    pub fn statements(&self) -> &[Statement] {
        &self.0.statements
    }

    /// The quota class that the credential gives.
    #[must_use]
    pub const fn class(&self) -> u8 {
        self.0.class
    }

    /// The invite to count, if that was the credential. Its signature and expiry are checked.
    #[must_use]
    pub const fn invite(&self) -> Option<&Invite> {
        self.0.invite.as_ref()
    }
}

impl RelayLink {
    /// An answer to the request that is waited for.
    pub(super) fn on_answer(&mut self, now: Now, answer: Input) -> Result<(), LinkError> {
        let waiting = self.waiting.take().ok_or(LinkError::Driver)?;
        self.chain_bytes = 0;
        match (waiting, answer) {
            (waiting, Input::Failed) => {
                self.refuse(
                    Refusal::vault(ErrorCode::Internal, waiting.vault()).retry_after(limits::RETRY_SECS),
                );
            }
            (Waiting::Vault { vault, role, public }, Input::Vault(state)) => {
                self.on_vault(vault, role, public, state.as_ref());
            }
            (Waiting::Create { vault }, Input::Created(result)) => self.on_created(vault, result),
            (Waiting::Statement { vault }, Input::StatementStored(result)) => match result {
                Ok(state) => {
                    self.on_statements_changed(&vault, &state);
                    self.send_vault(vault, &state);
                }
                Err(code) => self.refuse(statement_refusal(now, code, vault)),
            },
            (Waiting::Tail { vault }, Input::StatementStored(result)) => self.on_tail(now, vault, result),
            (Waiting::Statements(showing), Input::Statements(statements)) => {
                self.on_shown(showing, statements);
            }
            (Waiting::Digest { vault, cursor, digest: said }, Input::Digest { last, digest }) => {
                self.on_digest(vault, cursor, said, (last, digest));
            }
            (Waiting::Heads { vault }, Input::Heads(heads)) => self.on_own_heads(vault, &heads),
            (Waiting::Match { vault, last }, Input::Matched(matches)) => {
                self.on_matched(vault, last, &matches);
            }
            _ => return Err(LinkError::Driver),
        }
        if self.is_member() {
            self.deadline = None;
        } else if self.deadline.is_none() && !matches!(self.phase, Phase::Closed) {
            self.deadline = Some(now.mono + limits::AUTH_DEADLINE);
        }
        Ok(())
    }

    fn on_vault(&mut self, vault: VaultId, role: Role, public: PublicKeyBytes, state: Option<&KnownVault>) {
        self.leave(vault);
        let Some(state) = state else {
            self.vaults.insert(vault, Vault::Pending { role, public });
            return self.refuse(Refusal::vault(ErrorCode::UnknownVault, vault));
        };
        match Access::of(&state.statements, role, &public) {
            Some(access) => {
                self.join(vault, Member::new(role, public, access));
                self.send_vault(vault, state);
            }
            None => {
                self.vaults.insert(vault, Vault::Unlisted { role, public });
                self.auth_failed(vault);
            }
        }
    }

    pub(super) fn on_create(&mut self, now: Now, vault: VaultId, credential: &Credential) {
        let Some(Vault::Pending { role, public }) = self.vaults.get(&vault) else {
            return self.refuse(Refusal::vault(ErrorCode::AuthFailed, vault));
        };
        let (role, public) = (*role, *public);
        let gathered = self.take_gathered(&vault);
        let admitted = self.admit(now, &vault, credential).and_then(|(class, invite)| {
            let (statements, bytes) = gathered?;
            Ok((Creation { vault, role, public, statements, class, invite }, bytes))
        });
        match admitted {
            Ok((creation, bytes)) => {
                self.chain_bytes = bytes;
                self.waiting = Some(Waiting::Create { vault });
                self.outputs.push_back(Output::Create(Box::new(creation)));
            }
            Err(code) => self.refuse(chain_refusal(code, vault)),
        }
    }

    /// The quota class that a credential gives, and the invite to count.
    fn admit(
        &self,
        now: Now,
        vault: &VaultId,
        credential: &Credential,
    ) -> Result<(u8, Option<Invite>), ErrorCode> {
        match credential {
            Credential::None if self.config.admission == Admission::Open => Ok((0, None)),
            Credential::None => Err(ErrorCode::NeedsInvite),
            Credential::Invite(bytes) => {
                let invite = Invite::decode(bytes).map_err(|_| ErrorCode::InviteRefused)?;
                let expired = invite.expires_secs != 0 && now.wall_ms / 1000 > invite.expires_secs;
                if expired || invite.verify(&self.config.relay).is_err() {
                    return Err(ErrorCode::InviteRefused);
                }
                Ok((invite.class, Some(invite)))
            }
            Credential::Grant(bytes) => {
                let grant = Grant::decode(bytes).map_err(|_| ErrorCode::GrantRefused)?;
                if grant.vault != *vault || grant.verify(&self.config.relay).is_err() {
                    return Err(ErrorCode::GrantRefused);
                }
                Ok((grant.class, None))
            }
        }
    }

    fn on_created(&mut self, vault: VaultId, result: Result<Created, ErrorCode>) {
        let Some(Vault::Pending { role, public }) = self.vaults.get(&vault) else { return };
        let (role, public) = (*role, *public);
        match result {
            Ok(Created { state, grant }) => match Access::of(&state.statements, role, &public) {
                Some(access) => {
                    self.join(vault, Member::new(role, public, access));
                    self.send_vault(vault, &state);
                    self.send(RelayFrame::Grant { grant });
                }
                None => self.auth_failed(vault),
            },
            Err(code) => self.refuse(Refusal::vault(code, vault)),
        }
    }

    pub(super) fn on_statement(&mut self, vault: VaultId, bytes: &[u8]) {
        if self.member(vault).is_none() {
            return;
        }
        match Statement::decode(bytes) {
            Ok(statement) if statement.vault == vault => {
                self.waiting = Some(Waiting::Statement { vault });
                self.outputs.push_back(Output::JoinStatements { vault, tail: vec![statement] });
            }
            Ok(_) | Err(_) => self.refuse(Refusal::vault(ErrorCode::StatementRefused, vault)),
        }
    }

    /// A key that the new last statement does not list loses the link's vault at once; its holder may prove it
    /// again and read what a superseded key reads.
    pub(super) fn on_statements_changed(&mut self, vault: &VaultId, state: &KnownVault) {
        let Some(Vault::Member(member)) = self.vaults.get(vault) else { return };
        if Access::of(&state.statements, member.role, &member.public) != Some(member.access) {
            self.leave(*vault);
            self.refuse(Refusal::vault(ErrorCode::AuthFailed, *vault));
        }
    }

    pub(super) fn join(&mut self, vault: VaultId, member: Member) {
        self.vaults.insert(vault, Vault::Member(member));
        self.outputs.push_back(Output::Joined(vault));
    }

    fn leave(&mut self, vault: VaultId) {
        if let Some(Vault::Member(member)) = self.vaults.remove(&vault) {
            if member.subscription.is_live() {
                self.outputs.push_back(Output::CloseFeed(vault));
            }
            self.outputs.push_back(Output::Left(vault));
        }
    }

    pub(super) fn send_vault(&mut self, vault: VaultId, state: &KnownVault) {
        let KnownVault { quota_bytes, used_bytes, .. } = *state;
        let is_current = |member: &Member| matches!(member.access, Access::Current(_));
        let current = matches!(self.vaults.get(&vault), Some(Vault::Member(member)) if is_current(member));
        let used_bytes = if current { used_bytes } else { 0 }; // who was removed need not know how the vault grows
        self.send(RelayFrame::Vault { vault, quota_bytes, used_bytes });
    }
}

impl Member {
    pub(super) const fn new(role: Role, public: PublicKeyBytes, access: Access) -> Self {
        Self {
            role,
            public,
            access,
            subscription: Subscription::None,
            introduced: std::collections::BTreeMap::new(),
        }
    }
}
