//! Which of two chains stays, and what of a tail joins a chain (`docs/PROTOCOL.md`, "Rivals"). Pure: the same rule at relays
//! and devices.

use super::seniority::{Seniority, SignerKind, SignerRank};
use super::{Statement, StatementError};
use crate::limits;

/// A chain to which a tail was offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedChain {
    /// The chain now.
    pub chain: Vec<Statement>,
    /// How many statements at its front are those of before. All of before and no more: nothing changed.
    pub kept: usize,
    /// By how many statements it has grown, those not counted that recovery signed or that decided, and what leads to them.
    pub grown: usize,
    /// Why the tail was not taken to its end.
    pub refused: Option<StatementError>,
}

/// Whether chain `a` stays, and not `b`, for whoever has seen both; each has been checked.
///
/// A longer chain stays before its own beginning. Of two that part, that one stays which has the most senior signer behind
/// the last statement that they share; if it is the same one in both, the one whose next statement has the more senior
/// signer, and then the lower hash. If it is recovery of number 0, without an admin, in both, nothing decides, and what is held
/// stays: neither is preferred, or who has old words and no more could sign until a hash is low.
///
/// This is a strict order: never both ways, and if `a` stays before `b` and `b` before `c`, then `a` before `c`.
#[must_use]
pub fn prefers(a: &[Statement], b: &[Statement]) -> bool {
    let shared = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let Some(seniority) = Seniority::behind(&a[..shared]) else { return false };
    match (a[shared..].first(), b[shared..].first()) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(next_a), Some(next_b)) => {
            let [(first_a, most_a), (first_b, most_b)] =
                [&a[shared..], &b[shared..]].map(|rest| signers(seniority.clone(), rest));
            if most_a != most_b {
                return most_a < most_b;
            }
            !most_a.is_first_recovery_alone() && (first_a, next_a.hash()) < (first_b, next_b.hash())
        }
    }
}

/// The first signer of some statements, and the most senior one.
fn signers(mut seniority: Seniority, rest: &[Statement]) -> (Option<SignerRank>, SignerRank) {
    let ranks: Vec<_> = rest.iter().map(|statement| seniority.pass(statement)).collect();
    let most = ranks.iter().min().copied();
    (ranks.first().copied(), most.unwrap_or(SignerRank { number: u32::MAX, kind: SignerKind::Admin }))
}

/// Offers `tail` to `chain`, which has been checked. See [`join_within`].
#[must_use]
pub fn join(chain: &[Statement], tail: &[Statement]) -> JoinedChain {
    join_within(chain, tail, usize::MAX)
}

/// Offers a tail to `chain`, which has been checked: statements that follow each other and begin in or right behind it. As
/// far as they hold, they are taken if [`prefers`] says so, all at once: what a statement may drop depends on what follows
/// it. They grow the chain by at most `grown_max`, what recovery signed and what decides not counted.
///
/// Signatures are checked last, and none of a statement that is held, since old statements are shown again and again.
#[must_use]
pub fn join_within(chain: &[Statement], tail: &[Statement], grown_max: usize) -> JoinedChain {
    let unchanged = |refused| JoinedChain { chain: chain.to_vec(), kept: chain.len(), grown: 0, refused };
    let held = |new: &&Statement| place(new).and_then(|at| chain.get(at)) == Some(new);
    let news = &tail[tail.iter().take_while(held).count()..];
    let Some(first) = news.first() else { return unchanged(None) };
    let broken = StatementError::Broken { generation: first.generation };
    let Some(kept) = place(first).filter(|at| (1..=chain.len()).contains(at)) else {
        return unchanged(Some(broken));
    };
    let mut rival = chain[..kept].to_vec();
    let mut refused = None;
    for new in news {
        match follows(&rival, new) {
            Ok(()) => rival.push(new.clone()),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    let stays = Some(StatementError::Rival { generation: first.generation });
    if !prefers(&rival, chain) {
        return unchanged(if rival.len() == kept { refused } else { stays });
    }
    if let Some((at, error)) = first_unsigned(&rival, kept) {
        refused = Some(error);
        rival.truncate(at);
    }
    if !prefers(&rival, chain) {
        return unchanged(refused.or(stays));
    }
    let uncounted = chain.len().max(behind_recovery(&rival, kept)).max(behind_decision(&rival, chain, kept));
    let most = uncounted.saturating_add(grown_max);
    if rival.len() > most {
        refused = Some(StatementError::TooManyToday { generation: rival[most].generation });
        rival.truncate(most);
    }
    JoinedChain { grown: rival.len().saturating_sub(uncounted), chain: rival, kept, refused }
}

fn place(statement: &Statement) -> Option<usize> {
    usize::try_from(statement.generation.0).ok()
}

/// Whether `new` may be the next one, its signatures aside.
fn follows(chain: &[Statement], new: &Statement) -> Result<(), StatementError> {
    let generation = new.generation;
    if chain.len() >= limits::STATEMENTS_MAX {
        return Err(StatementError::TooMany { generation });
    }
    new.check_place(chain.last().ok_or(StatementError::Broken { generation })?)
}

/// The first statement from `kept` on that is not signed by whom it names.
fn first_unsigned(chain: &[Statement], kept: usize) -> Option<(usize, StatementError)> {
    let unsigned = |(at, statement): (usize, &Statement)| Some((at, statement.check_signatures().err()?));
    chain.iter().enumerate().skip(kept).find_map(unsigned)
}

/// How many statements there are up to the last one from `kept` on that recovery signed; 0 without one. A recovery key that
/// an admin made on its own is none, or an admin could fill a chain with it.
fn behind_recovery(chain: &[Statement], kept: usize) -> usize {
    let Some(mut seniority) = Seniority::behind(&chain[..kept]) else { return 0 };
    let signed = chain[kept..].iter().map(|statement| seniority.pass(statement).is_first_recovery());
    let signed: Vec<_> = signed.collect();
    signed.iter().rposition(|recovery| *recovery).map_or(0, |at| kept + at + 1)
}

/// How many statements of `rival` it takes until it stays in the place of others from `kept` on; 0 if it drops none.
///
/// Were they counted, a rival whose deciding signature stands further in than a day's share would be refused every day. They
/// are bounded nevertheless: by the length of a chain, and as each time something more senior decides in that place, or a
/// lower hash; so nobody does it twice with the same signatures, and what follows the decision counts.
fn behind_decision(rival: &[Statement], chain: &[Statement], kept: usize) -> usize {
    if kept == chain.len() {
        return 0;
    }
    // What stays, stays with more behind it too: so one can halve.
    let (mut not, mut stays) = (kept, rival.len());
    while stays - not > 1 {
        let middle = not.midpoint(stays);
        if prefers(&rival[..middle], chain) {
            stays = middle;
        } else {
            not = middle;
        }
    }
    stays
}
