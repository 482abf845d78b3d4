//! A vault's statement chain as this device holds it: what it shows a relay, what it takes from one, and its vouches.

use subrosa_model::control::{HeldStatements, Keyring};
use subrosa_model::keys::KeyPair;
use subrosa_protocol::client_link::{Birth, HeldChain, StatementsKept};
use subrosa_protocol::ids::{Generation, LogId, Pin, PublicKeyBytes, Signature, VaultId};
use subrosa_protocol::labels;
use subrosa_protocol::statement::{Statement, join, prefers};
use subrosa_protocol::vouch::Vouch;

use crate::error::{Error, PeerFault};
use crate::life::Core;
use crate::life::commit::Tx;

impl Core {
    /// What this device holds of a vault's statements.
    pub(crate) fn held_chain(&self, vault: &VaultId) -> Result<HeldChain, Error> {
        self.with_vault(vault, |state| Ok(held(&state.keyring)))
    }

    /// What CREATE needs for a vault, and what brings a relay up to date.
    pub(crate) fn birth(&self, vault: &VaultId, relay: &Pin) -> Result<Birth, Error> {
        self.with_vault(vault, |state| {
            let keyring = &state.keyring;
            Ok(Birth {
                statements: keyring.statements.list().to_vec(),
                chain: held(keyring),
                grant: keyring.grant(relay).map(<[u8]>::to_vec),
            })
        })
    }

    /// Compares what a relay shows of a vault's statements with ours, and keeps what extends ours.
    ///
    /// # Errors
    /// [`PeerFault::BadStatements`] when this device holds the last statement only, and these neither lead to it nor have
    /// another one in its place.
    pub(crate) fn take_statements(
        &self,
        vault: &VaultId,
        shown: &[Vec<u8>],
    ) -> Result<StatementsKept, Error> {
        let shown: Vec<Statement> = shown
            .iter()
            .map(|bytes| Statement::decode(bytes))
            .collect::<Result<_, _>>()
            .map_err(|_| PeerFault::BadStatements)?;
        let (ours, whole) = self.with_vault(vault, |state| {
            Ok((chain_of(&state.keyring), state.keyring.statements.whole().is_some()))
        })?;
        // Signatures are checked before the turn of writers.
        let compared = match &ours[..] {
            [last] if !whole => whole_of(vault, last, &shown)?,
            _ => compare(&ours, &shown),
        };
        let Compared::Chain { mut chain, mut tail } = compared else { return Ok(StatementsKept::Ask) };
        if let Some(next) = self.extension(vault, &chain)? {
            chain.push(next.clone());
            tail.push(next);
        }
        if !whole || chain != ours {
            self.write(|tx| tx.keep_statements(vault, &ours, &chain))?;
        }
        let last = chain.last().map_or(Generation(0), |last| last.generation);
        Ok(StatementsKept::Compared { last, tail: tail.iter().map(Statement::encode).collect() })
    }

    /// This device's vouches for its own logs, if it is an admin.
    pub(crate) fn vouches(&self, vault: &VaultId) -> Result<Vec<(LogId, Vouch)>, Error> {
        let mut state = self.lock_state()?;
        let number = state.vault_no(vault)?;
        let own = state.vaults.get_mut(&number).ok_or(Error::NoVault)?;
        let logs = [&own.keyring.logs.control, &own.keyring.logs.data];
        let logs = logs.map(|pair| PublicKeyBytes::from(pair.public()));
        let made = own.vouches.iter().map(|(log, _)| *log).eq(logs.iter().map(LogId::of));
        if !made {
            own.vouches = admin_key(&own.keyring).map_or_else(Vec::new, |admin| {
                logs.iter().map(|log| (LogId::of(log), vouch(admin, vault, log))).collect()
            });
        }
        Ok(own.vouches.clone())
    }
}

impl Tx<'_> {
    /// Puts `chain` in the place of `before`, unless somebody else was faster.
    fn keep_statements(
        &mut self,
        vault: &VaultId,
        before: &[Statement],
        chain: &[Statement],
    ) -> Result<(), Error> {
        let number = self.state.vault_no(vault)?;
        let keyring = &mut self.vault_mut(number)?.keyring;
        if chain_of(keyring) == before {
            keyring.statements = HeldStatements::Whole(chain.iter().map(Statement::encode).collect());
            self.vault_mut(number)?.vouches = Vec::new();
            self.put_keyring(number)?;
        }
        Ok(())
    }
}

/// What comparing two chains shows.
#[derive(Debug, PartialEq, Eq)]
enum Compared {
    /// The other one has to be seen from its beginning.
    Ask,
    /// What stays of both here, and what the other side lacks of it.
    Chain { chain: Vec<Statement>, tail: Vec<Statement> },
}

/// Compares our whole chain with what a relay shows: its chain from our last statement on, or all of it.
fn compare(ours: &[Statement], shown: &[Statement]) -> Compared {
    let from_start = shown.first().is_some_and(|first| first.generation == Generation(0));
    if !from_start && shown.first() != ours.last() {
        return Compared::Ask;
    }
    let chain = join(ours, shown).chain;
    // What was taken of the relay's it has, and what ours goes on with behind its last statement it lacks. A relay whose
    // chain is preferred, or stays because nothing decides, would not take ours.
    let lacks = from_start && chain == ours && prefers(ours, shown);
    let same = ours.iter().zip(shown).take_while(|(a, b)| a == b).count();
    let tail = if lacks { ours[same..].to_vec() } else { Vec::new() };
    Compared::Chain { chain, tail }
}

/// The whole chain of a device that holds its last statement only: what a relay shows, checked from the vault's id on, if it
/// leads to that statement, or the one before. A relay may have taken a rival of it meanwhile: if ours follows what is before
/// the rival, that one stays which is preferred; if the two part further back, where we know nothing of ours, the relay's.
/// Whoever let this device in has the other whole, and brings it if it is preferred. A chain that ends before is no
/// rival that we could see.
fn whole_of(vault: &VaultId, last: &Statement, shown: &[Statement]) -> Result<Compared, PeerFault> {
    let first = shown.first().filter(|first| first.vault == *vault).ok_or(PeerFault::BadStatements)?;
    first.check_first().map_err(|_| PeerFault::BadStatements)?;
    let theirs = join(std::slice::from_ref(first), shown).chain;
    let place = usize::try_from(last.generation.0).map_err(|_| PeerFault::BadStatements)?;
    let before = theirs.get(..place).ok_or(PeerFault::BadStatements)?;
    let through = join(before, std::slice::from_ref(last)).chain;
    let leads = through.len() > place;
    if !leads && theirs.len() <= place {
        return Err(PeerFault::BadStatements);
    }
    let ours = if leads { &through } else { &theirs };
    let chain = join(ours, &theirs).chain;
    let tail = if prefers(&chain, &theirs) { vec![last.clone()] } else { Vec::new() };
    Ok(Compared::Chain { chain, tail })
}

fn held(keyring: &Keyring) -> HeldChain {
    match keyring.statements.whole() {
        Some(chain) => HeldChain::Whole { last: Generation(chain.len().saturating_sub(1) as u64) },
        None => HeldChain::Last,
    }
}

/// A keyring's statements. The store has authenticated them, and they were decoded before they were put there.
fn chain_of(keyring: &Keyring) -> Vec<Statement> {
    keyring.statements.list().iter().filter_map(|bytes| Statement::decode(bytes).ok()).collect()
}

/// The key with which this device signs as an admin, if the last statement lists it.
fn admin_key(keyring: &Keyring) -> Option<&KeyPair> {
    let last = Statement::decode(keyring.statements.list().last()?).ok()?;
    last.admins.contains(&keyring.admin.public().into()).then_some(&keyring.admin)
}

fn vouch(admin: &KeyPair, vault: &VaultId, log: &PublicKeyBytes) -> Vouch {
    let signature = admin.sign(labels::VOUCH, &Vouch::signed_bytes(vault, log));
    Vouch { admin: admin.public().into(), signature: Signature::from_bytes(signature) }
}
