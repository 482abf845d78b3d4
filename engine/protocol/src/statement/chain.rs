//! Which of two rival statements stays, and what of a tail joins a chain (`docs/PROTOCOL.md`, "Rivals"). Pure: the same
//! rule at relays and devices.

use std::cmp::Ordering;

use super::{Signer, Statement, StatementError};
use crate::limits;

/// What became of a statement that was offered to a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferedStatement {
    /// It is in the chain already.
    Held,
    /// It follows what is kept of the chain: all of it, or what is before the rival that it replaces.
    Taken {
        /// How many statements stay before it.
        kept: usize,
    },
}

/// A chain to which a tail was offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedChain {
    /// The chain now.
    pub chain: Vec<Statement>,
    /// How many statements at its front are those of before. All of before and no more: nothing changed.
    pub kept: usize,
    /// Why the tail was not taken to its end.
    pub refused: Option<StatementError>,
}

/// What becomes of `new` when it is offered to `chain`, which has been checked. At most two signatures are checked, and
/// none of a statement that is held.
///
/// Of rivals for one place that stays which stands earlier: signed by the recovery key and an admin, by the recovery key,
/// by an admin, of admins by their place in the statement before, of one signer by the lower hash. A replacement drops
/// what followed, but nothing that the recovery key signed, except what it signed alone, for one that it signed with an
/// admin.
///
/// # Errors
/// [`StatementError`] when `new` does not follow its predecessor in the chain, or does not replace what stands there.
pub fn offer(chain: &[Statement], new: &Statement) -> Result<OfferedStatement, StatementError> {
    let generation = new.generation;
    let place = usize::try_from(generation.0).map_err(|_| StatementError::Broken { generation })?;
    if chain.get(place) == Some(new) {
        return Ok(OfferedStatement::Held);
    }
    if place == 0 || place > chain.len() {
        return Err(StatementError::Broken { generation });
    }
    if place >= limits::STATEMENTS_MAX {
        return Err(StatementError::TooMany { generation });
    }
    let (kept, dropped) = chain.split_at(place);
    let before = kept.last().ok_or(StatementError::Broken { generation })?;
    // Cheap, and a relay is shown old statements again and again.
    if let Some(rival) = dropped.first()
        && (standing(new, rival, before) != Ordering::Less || !dropped.iter().all(|old| gives_way(old, new)))
    {
        return Err(StatementError::Rival { generation });
    }
    new.check_follows(before)?;
    Ok(OfferedStatement::Taken { kept: place })
}

/// Offers the statements of `tail`, in order, to `chain`, which has been checked, and takes those that join, up to the
/// first that does not.
#[must_use]
pub fn join(chain: &[Statement], tail: &[Statement]) -> JoinedChain {
    let mut joined = JoinedChain { chain: chain.to_vec(), kept: chain.len(), refused: None };
    for new in tail {
        match offer(&joined.chain, new) {
            Ok(OfferedStatement::Held) => {}
            Ok(OfferedStatement::Taken { kept }) => {
                joined.chain.truncate(kept);
                joined.chain.push(new.clone());
                joined.kept = joined.kept.min(kept);
            }
            Err(error) => {
                joined.refused = Some(error);
                break;
            }
        }
    }
    joined
}

/// Whether `a` stands earlier than `b`; both follow `before`.
fn standing(a: &Statement, b: &Statement, before: &Statement) -> Ordering {
    let signer = |statement: &Statement| match &statement.signer {
        Signer::RecoveryAndAdmin { .. } => (0, 0),
        Signer::Recovery { .. } => (1, 0),
        Signer::Admin(public) => {
            (2, before.admins.iter().position(|admin| admin == public).unwrap_or(usize::MAX))
        }
    };
    signer(a).cmp(&signer(b)).then_with(|| a.hash().cmp(&b.hash()))
}

/// Whether `old` may be dropped for `new`.
const fn gives_way(old: &Statement, new: &Statement) -> bool {
    match old.signer {
        Signer::Admin(_) => true,
        Signer::Recovery { .. } => matches!(new.signer, Signer::RecoveryAndAdmin { .. }),
        Signer::RecoveryAndAdmin { .. } => false,
    }
}
