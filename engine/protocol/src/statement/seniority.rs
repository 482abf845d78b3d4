//! How senior the signers of a chain are (`docs/PROTOCOL.md`, "Seniority"). What a statement's signer is worth follows from
//! the statements before it alone: so chains that share them agree, and the order of chains has no circles.

use super::{Signer, Statement};
use crate::ids::PublicKeyBytes;

/// How senior a signer is; the least stands first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SignerRank {
    /// 0 is the recovery key of the vault's beginning, and whatever recovery key it put in its place, also when somebody
    /// took that away and put it back; an admin has a number of its own, and any other recovery key that it put there alone
    /// has that number too.
    pub(super) number: u32,
    pub(super) kind: SignerKind,
}

/// Of one number, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SignerKind {
    /// With the admin's number.
    RecoveryAndAdmin(u32),
    Recovery,
    Admin,
}

impl SignerRank {
    /// Signed by the recovery key that the vault began with, or one that it put in its place.
    pub(super) const fn is_first_recovery(self) -> bool {
        self.number == FIRST_RECOVERY
    }

    /// The same, without an admin.
    pub(super) const fn is_first_recovery_alone(self) -> bool {
        self.is_first_recovery() && matches!(self.kind, SignerKind::Recovery)
    }
}

const FIRST_RECOVERY: u32 = 0;

/// Who may sign what comes next, and how senior each is.
#[derive(Clone, Debug)]
pub(super) struct Seniority {
    /// In the order of the list, which is that of the numbers.
    admins: Vec<(PublicKeyBytes, u32)>,
    /// The number of the next key that comes.
    next: u32,
    /// The number of the recovery key.
    recovery: u32,
    commitment: [u8; 32],
    /// The last commitment that number 0 put there. Its key has that number whenever it opens what comes next: else a junior
    /// who changes the commitment, and then changes it back, would make the user's words as junior as he is.
    words: [u8; 32],
}

impl Seniority {
    /// Behind a chain that is not empty.
    pub(super) fn behind(chain: &[Statement]) -> Option<Self> {
        let (first, rest) = chain.split_first()?;
        let mut seniority = Self {
            admins: Vec::new(),
            next: FIRST_RECOVERY + 1,
            recovery: FIRST_RECOVERY,
            commitment: first.recovery_commitment,
            words: first.recovery_commitment,
        };
        seniority.list(&first.admins);
        for statement in rest {
            seniority.pass(statement);
        }
        Some(seniority)
    }

    /// Goes on behind `statement`, and says how senior its signer was.
    pub(super) fn pass(&mut self, statement: &Statement) -> SignerRank {
        let standing = self.of(&statement.signer);
        self.list(&statement.admins);
        let commitment = statement.recovery_commitment;
        if standing.is_first_recovery() {
            self.words = commitment;
        }
        if commitment == self.words {
            self.recovery = FIRST_RECOVERY;
        } else if commitment != self.commitment {
            self.recovery = standing.number;
        }
        self.commitment = commitment;
        standing
    }

    fn of(&self, signer: &Signer) -> SignerRank {
        let admin = |public: &PublicKeyBytes| {
            let found = self.admins.iter().find(|(admin, _)| admin == public);
            SignerRank { number: found.map_or(u32::MAX, |(_, number)| *number), kind: SignerKind::Admin }
        };
        let recovery = |kind| SignerRank { number: self.recovery, kind };
        match signer {
            Signer::Admin(public) => admin(public),
            Signer::Recovery { .. } => recovery(SignerKind::Recovery),
            Signer::RecoveryAndAdmin { admin: public, .. } => {
                let admin = admin(public);
                recovery(SignerKind::RecoveryAndAdmin(admin.number)).min(admin)
            }
        }
    }

    /// Who stays keeps its number; who comes, or comes again, is behind all who were there.
    fn list(&mut self, admins: &[PublicKeyBytes]) {
        let before = std::mem::take(&mut self.admins);
        for public in admins {
            let number = before.iter().find(|(admin, _)| admin == public).map(|(_, number)| *number);
            let number = number.unwrap_or_else(|| {
                self.next += 1;
                self.next - 1
            });
            self.admins.push((*public, number));
        }
    }
}
