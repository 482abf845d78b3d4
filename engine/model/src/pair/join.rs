//! The new device's side of a pairing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use subrosa_protocol::addr::RelayAddr;
use subrosa_protocol::ids::{Head, VaultId};
use subrosa_protocol::labels;
use subrosa_protocol::limits::{CLOCK_AHEAD_MAX_MS, RENDEZVOUS_SECONDS};
use zeroize::Zeroizing;

use super::bundle::{OpenedBundle, OwnKeys};
use super::message::{Message, Opening, PairCode, Reveal, Transcript, check_mac};
use super::{AbortReason, PairError, PairLink};
use crate::control::{DeviceName, Keyring, OwnLogs, PrekeySecret, SignedEntry, SignedPrekey};
use crate::entropy::Entropy;
use crate::keys::{KeyPair, KeyProvider, PublicKey, sign_with};
use crate::seal::{HpkeBinding, hpke_open};

/// What the new device brings along.
pub struct Joining<'a> {
    /// What it was shown.
    pub link: PairLink,
    /// Its key.
    pub device: Arc<dyn KeyProvider>,
    /// What it calls itself.
    pub name: &'a str,
    /// Unix time, for links that expired long ago.
    pub unix_secs: u64,
}

/// One thing that happened.
pub enum JoinInput<'a> {
    /// A message came over the rendezvous.
    Message(&'a [u8]),
    /// What [`JoinOutput::Joined`] gave is durable.
    Stored,
    /// [`JoinMachine::deadline`] has passed, or the rendezvous has closed.
    Timeout,
}

/// The next thing to do.
#[derive(Debug)]
pub enum JoinOutput {
    /// Send this over the rendezvous.
    Send(Vec<u8>),
    /// Show this code; the user types it on the old device, or compares.
    ShowCode(PairCode),
    /// Make a store of this, durably, then feed [`JoinInput::Stored`].
    Joined(Box<Joined>),
}

/// What a new device has learned.
pub struct Joined {
    /// The home vault.
    pub vault: VaultId,
    /// Its name.
    pub name: String,
    /// Its secrets, with new logs, an admin key and a prekey of this device.
    pub keyring: Keyring,
    /// Where it lives.
    pub relay: RelayAddr,
    /// What the relay must show at least.
    pub frontier: Vec<Head>,
    /// The device that added this one.
    pub inviter: PublicKey,
    /// The word by which it did: whoever gets that from this device knows it, should nobody else have it.
    pub listing: SignedEntry,
}

/// Answers one link, once. Any error ends it.
pub struct JoinMachine {
    link: PairLink,
    device: Arc<dyn KeyProvider>,
    ephemeral: KeyPair,
    own: Option<OwnKeys>,
    opening: Opening,
    deadline: Duration,
    state: State,
    outputs: VecDeque<JoinOutput>,
}

enum State {
    /// The commitment is sent.
    Committed,
    /// Both halves are known; the pieces of the bundle are coming.
    Opened {
        transcript_hash: [u8; 32],
        reveal: Box<Reveal>,
        pieces: Pieces,
    },
    /// The driver makes the store.
    Storing {
        transcript_hash: [u8; 32],
    },
    Over,
}

/// The sealed bundle as it comes in, in order.
#[derive(Default)]
struct Pieces {
    next: u8,
    bytes: Vec<u8>,
}

impl JoinMachine {
    /// Answers a link. `now` is monotonic, from any origin.
    ///
    /// A link counts as expired here only five minutes late, for this device's clock may be wrong; until then the
    /// old device, which measures, decides.
    ///
    /// # Errors
    /// [`PairError::Expired`], [`PairError::Name`], [`PairError::Key`].
    pub fn new(joining: Joining<'_>, now: Duration, entropy: &dyn Entropy) -> Result<Self, PairError> {
        let Joining { link, device, name, unix_secs } = joining;
        if unix_secs > link.expires_secs().saturating_add(CLOCK_AHEAD_MAX_MS / 1000) {
            return Err(PairError::Expired);
        }
        let ephemeral = KeyPair::generate(entropy);
        let logs = OwnLogs::generate(0, entropy);
        let prekey = PrekeySecret::generate(&logs, entropy);
        let opening = Opening {
            ephemeral: ephemeral.public(),
            nonce: entropy.array(),
            device: device.public(),
            prekey: SignedPrekey::sign(&*device, prekey.number, prekey.pair.public())?,
            name: DeviceName::new(name)?,
        };
        let commitment = opening.commitment(&link);
        let mac = link.commit_mac(&commitment);
        let first = JoinOutput::Send(Message::Commit { commitment, mac }.encode());
        Ok(Self {
            link,
            device,
            ephemeral,
            own: Some(OwnKeys { logs, admin: KeyPair::generate(entropy), prekey }),
            opening,
            deadline: now.saturating_add(Duration::from_secs(RENDEZVOUS_SECONDS)),
            state: State::Committed,
            outputs: VecDeque::from([first]),
        })
    }

    /// The link that this answers.
    pub fn link(&self) -> &PairLink {
        &self.link
    }

    /// When to feed [`JoinInput::Timeout`].
    pub fn deadline(&self) -> Option<Duration> {
        (!matches!(self.state, State::Over)).then_some(self.deadline)
    }

    /// The next thing to do. Drain to `None` first, and after each [`Self::handle`], also after one that failed:
    /// the other device is told.
    pub fn poll(&mut self) -> Option<JoinOutput> {
        self.outputs.pop_front()
    }

    /// Takes in exactly one thing that happened.
    ///
    /// # Errors
    /// [`PairError`]; the pairing is over, and this device has nothing.
    pub fn handle(&mut self, now: Duration, input: JoinInput<'_>) -> Result<(), PairError> {
        if matches!(self.state, State::Over) {
            return Err(PairError::OutOfTurn); // and nobody is told anything more
        }
        let state = std::mem::replace(&mut self.state, State::Over);
        match self.step(state, now, input) {
            Ok(next) => {
                self.state = next;
                Ok(())
            }
            Err(error) => {
                self.outputs.clear();
                if !matches!(error, PairError::Aborted(_)) {
                    self.send(&Message::Abort(AbortReason::of(&error)));
                }
                Err(error)
            }
        }
    }

    fn step(&mut self, state: State, now: Duration, input: JoinInput<'_>) -> Result<State, PairError> {
        match (state, input) {
            (State::Over, _) => Err(PairError::OutOfTurn),
            // The store is there, whatever the time.
            (State::Storing { transcript_hash }, JoinInput::Stored) => {
                let mac = self.link.done_mac(&transcript_hash);
                self.send(&Message::Done { mac });
                Ok(State::Over)
            }
            (_, JoinInput::Timeout) => Err(PairError::Expired),
            (_, JoinInput::Message(_)) if now >= self.deadline => Err(PairError::Expired),
            (state, JoinInput::Message(bytes)) => self.message(state, Message::decode(bytes)?),
            (_, JoinInput::Stored) => Err(PairError::OutOfTurn),
        }
    }

    fn message(&mut self, state: State, message: Message) -> Result<State, PairError> {
        match (state, message) {
            (_, Message::Abort(reason)) => Err(PairError::Aborted(reason)),
            (State::Committed, Message::Reveal { reveal, mac }) => self.revealed(reveal, &mac),
            (
                State::Opened { transcript_hash, reveal, mut pieces },
                Message::Piece { index, count, bytes },
            ) => {
                if index != pieces.next {
                    return Err(PairError::OutOfTurn);
                }
                pieces.next += 1;
                pieces.bytes.extend_from_slice(&bytes);
                if pieces.next < count {
                    return Ok(State::Opened { transcript_hash, reveal, pieces });
                }
                self.received(transcript_hash, &reveal, &pieces.bytes)
            }
            _ => Err(PairError::OutOfTurn),
        }
    }

    fn revealed(&mut self, reveal: Reveal, mac: &[u8; 32]) -> Result<State, PairError> {
        let commitment = self.opening.commitment(&self.link);
        check_mac(&self.link.reveal_mac(&commitment, &reveal), mac)?;
        if !self.link.names(&reveal.ephemeral) {
            return Err(PairError::NotAuthentic);
        }
        if reveal.device == self.opening.device {
            return Err(PairError::OwnDevice);
        }
        let transcript = Transcript::new(&self.link, &commitment, &reveal, &self.opening);
        let proof = sign_with(&*self.device, labels::PAIR_PROOF, transcript.as_bytes())?;
        let mac = self.link.open_mac(&transcript, &proof);
        self.send(&Message::Open { opening: Box::new(self.opening.clone()), proof, mac });
        self.outputs.push_back(JoinOutput::ShowCode(transcript.code()));
        let reveal = Box::new(reveal);
        Ok(State::Opened { transcript_hash: transcript.hash(), reveal, pieces: Pieces::default() })
    }

    fn received(
        &mut self,
        transcript_hash: [u8; 32],
        reveal: &Reveal,
        sealed: &[u8],
    ) -> Result<State, PairError> {
        let binding =
            HpkeBinding { psk: self.link.secret(), psk_id: labels::PAIR_PSK, info: &transcript_hash };
        let plain: Zeroizing<Vec<u8>> = hpke_open(&self.ephemeral, &reveal.ephemeral, &binding, sealed)
            .map_err(|_| PairError::NotAuthentic)?;
        let bundle = OpenedBundle::read(&plain)?;
        if reveal.vaults.first() != Some(&bundle.vault) {
            return Err(PairError::BadBundle);
        }
        let listed = bundle.listing.entry.added().map(|added| added.device);
        if listed != Some(self.device.public()) || bundle.listing.author != reveal.device {
            return Err(PairError::BadBundle);
        }
        let own = self.own.take().ok_or(PairError::OutOfTurn)?;
        self.outputs.push_back(JoinOutput::Joined(Box::new(Joined {
            vault: bundle.vault,
            name: bundle.name.clone(),
            relay: bundle.relay.clone(),
            frontier: bundle.frontier.clone(),
            inviter: reveal.device,
            listing: bundle.listing.clone(),
            keyring: bundle.into_keyring(own),
        })));
        Ok(State::Storing { transcript_hash })
    }

    fn send(&mut self, message: &Message) {
        self.outputs.push_back(JoinOutput::Send(message.encode()));
    }
}

impl std::fmt::Debug for Joined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Joined")
            .field("vault", &self.vault)
            .field("inviter", &self.inviter)
            .finish_non_exhaustive()
    }
}
