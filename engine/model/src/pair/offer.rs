//! The old device's side of a pairing.

use std::collections::VecDeque;
use std::time::Duration;

use subrosa_protocol::addr::RelayAddr;
use subrosa_protocol::ids::VaultId;
use subrosa_protocol::labels;
use subrosa_protocol::limits::RENDEZVOUS_SECONDS;

use super::message::{Message, Opening, PairCode, Reveal, Transcript, check_mac, pieces};
use super::{AbortReason, Bundle, PairError, PairLink};
use crate::control::{DeviceAdded, DeviceRole};
use crate::entropy::Entropy;
use crate::keys::{KeyPair, PublicKey};
use crate::seal::{HpkeBinding, hpke_seal};

/// What the old device brings along.
pub struct Offering<'a> {
    /// Where to meet.
    pub relay: &'a RelayAddr,
    /// The old device.
    pub device: PublicKey,
    /// The user's vaults, the home vault first; at least one, at most 64.
    pub vaults: Vec<VaultId>,
    /// Unix time, for the link's text. The machine itself goes by the monotonic `now` alone.
    pub unix_secs: u64,
}

/// One thing that happened.
pub enum OfferInput<'a> {
    /// A message came over the rendezvous.
    Message(&'a [u8]),
    /// The user typed the code that the new device shows, or (`None`) says that the two codes are equal.
    Confirmed(Option<&'a str>),
    /// The user declined.
    Declined,
    /// [`OfferOutput::AddDevice`] is durable, and the relay holds it: the others learn of the device even if this one is lost now.
    DeviceAdded(&'a Bundle),
    /// The relay does not hold [`OfferOutput::AddDevice`], and the new device gets no keys.
    NotAtRelay,
    /// [`OfferMachine::deadline`] has passed, or the rendezvous has closed.
    Timeout,
}

/// The next thing to do.
#[derive(Debug)]
pub enum OfferOutput {
    /// Send this over the rendezvous.
    Send(Vec<u8>),
    /// Show the code, or ask for the other one, and feed [`OfferInput::Confirmed`] or `Declined`.
    ShowCode {
        /// What this device shows.
        code: PairCode,
        /// What the new device calls itself; user text of the new device's user.
        name: String,
    },
    /// Commit this entry to the control log, durably, and bring it to the relay; then feed [`OfferInput::DeviceAdded`], or
    /// [`OfferInput::NotAtRelay`].
    AddDevice(Box<DeviceAdded>),
    /// The new device has its keys stored.
    Finished,
}

/// Offers one pairing, once. Any error ends it.
pub struct OfferMachine {
    link: PairLink,
    ephemeral: KeyPair,
    reveal: Reveal,
    deadline: Duration,
    state: State,
    outputs: VecDeque<OfferOutput>,
}

enum State {
    /// Nobody has answered.
    Waiting,
    /// Our half is sent; the new device's is to be opened.
    Revealed {
        commitment: [u8; 32],
    },
    /// The user decides.
    Confirming {
        transcript: Transcript,
        opening: Box<Opening>,
    },
    /// "Device added" is being committed.
    Adding {
        transcript_hash: [u8; 32],
        recipient: PublicKey,
    },
    /// The bundle is sent; the new device stores it.
    Delivering {
        transcript_hash: [u8; 32],
    },
    Over,
}

impl OfferMachine {
    /// Makes a link and waits for its answer. `now` is monotonic, from any origin.
    pub fn new(offering: Offering<'_>, now: Duration, entropy: &dyn Entropy) -> Self {
        let ephemeral = KeyPair::generate(entropy);
        let reveal = Reveal {
            ephemeral: ephemeral.public(),
            nonce: entropy.array(),
            device: offering.device,
            vaults: offering.vaults,
        };
        Self {
            link: PairLink::new(offering.relay, &ephemeral.public(), offering.unix_secs, entropy),
            ephemeral,
            reveal,
            deadline: now.saturating_add(Duration::from_secs(RENDEZVOUS_SECONDS)),
            state: State::Waiting,
            outputs: VecDeque::new(),
        }
    }

    /// What to show to the user.
    pub fn link(&self) -> &PairLink {
        &self.link
    }

    /// When to feed [`OfferInput::Timeout`].
    pub fn deadline(&self) -> Option<Duration> {
        (!matches!(self.state, State::Over)).then_some(self.deadline)
    }

    /// Whether the device is added and its keys are sent: what goes wrong now comes too late to undo it.
    pub fn is_delivering(&self) -> bool {
        matches!(self.state, State::Delivering { .. })
    }

    /// The next thing to do. Drain to `None` after each [`Self::handle`], also after one that failed: the other
    /// device is told.
    pub fn poll(&mut self) -> Option<OfferOutput> {
        self.outputs.pop_front()
    }

    /// Takes in exactly one thing that happened.
    ///
    /// # Errors
    /// [`PairError`]; the pairing is over. Before [`OfferOutput::AddDevice`], nothing has changed.
    pub fn handle(
        &mut self,
        now: Duration,
        input: OfferInput<'_>,
        entropy: &dyn Entropy,
    ) -> Result<(), PairError> {
        if matches!(self.state, State::Over) {
            return Err(PairError::OutOfTurn); // and nobody is told anything more
        }
        let state = std::mem::replace(&mut self.state, State::Over);
        match self.step(state, now, input, entropy) {
            Ok(next) => {
                self.state = next;
                Ok(())
            }
            Err(error) => {
                // Nothing that was about to happen happens.
                self.outputs.clear();
                if !matches!(error, PairError::Aborted(_) | PairError::Unconfirmed) {
                    self.send(&Message::Abort(AbortReason::of(&error)));
                }
                Err(error)
            }
        }
    }

    fn step(
        &mut self,
        state: State,
        now: Duration,
        input: OfferInput<'_>,
        entropy: &dyn Entropy,
    ) -> Result<State, PairError> {
        let late = now >= self.deadline;
        match (state, input) {
            (State::Over, _) => Err(PairError::OutOfTurn),
            (State::Delivering { transcript_hash }, OfferInput::Message(bytes)) => {
                self.delivered(transcript_hash, bytes)
            }
            (State::Delivering { .. }, OfferInput::Timeout) => Err(PairError::Unconfirmed),
            // The entry may be durable by now: time no longer undoes it.
            (State::Adding { transcript_hash, recipient }, OfferInput::DeviceAdded(bundle)) => {
                self.deliver(transcript_hash, &recipient, bundle, entropy);
                Ok(State::Delivering { transcript_hash })
            }
            (State::Adding { .. }, OfferInput::NotAtRelay) => Err(PairError::NotAtRelay),
            (_, OfferInput::Timeout) => Err(PairError::Expired),
            (_, _) if late => Err(PairError::Expired),
            (State::Confirming { transcript, opening }, OfferInput::Confirmed(typed)) => {
                self.confirmed(&transcript, *opening, typed)
            }
            (State::Confirming { .. }, OfferInput::Declined) => Err(PairError::Declined),
            (state, OfferInput::Message(bytes)) => self.message(state, Message::decode(bytes)?),
            (
                _,
                OfferInput::Confirmed(_)
                | OfferInput::Declined
                | OfferInput::DeviceAdded(_)
                | OfferInput::NotAtRelay,
            ) => Err(PairError::OutOfTurn),
        }
    }

    fn message(&mut self, state: State, message: Message) -> Result<State, PairError> {
        match (state, message) {
            (_, Message::Abort(reason)) => Err(PairError::Aborted(reason)),
            (State::Waiting, Message::Commit { commitment, mac }) => self.committed(commitment, &mac),
            (_, Message::Commit { .. }) => Err(PairError::SecondCommitment),
            (State::Revealed { commitment }, Message::Open { opening, proof, mac }) => {
                self.opened(&commitment, opening, &proof, &mac)
            }
            _ => Err(PairError::OutOfTurn),
        }
    }

    fn committed(&mut self, commitment: [u8; 32], mac: &[u8; 32]) -> Result<State, PairError> {
        check_mac(&self.link.commit_mac(&commitment), mac)?;
        let mac = self.link.reveal_mac(&commitment, &self.reveal);
        self.send(&Message::Reveal { reveal: self.reveal.clone(), mac });
        Ok(State::Revealed { commitment })
    }

    fn opened(
        &mut self,
        commitment: &[u8; 32],
        opening: Box<Opening>,
        proof: &[u8; 64],
        mac: &[u8; 32],
    ) -> Result<State, PairError> {
        let transcript = Transcript::new(&self.link, commitment, &self.reveal, &opening);
        check_mac(&self.link.open_mac(&transcript, proof), mac)?;
        let holds = opening.commitment(&self.link) == *commitment
            && opening.device.verify(labels::PAIR_PROOF, transcript.as_bytes(), proof).is_ok()
            && opening.prekey.verify(&opening.device).is_ok();
        if !holds {
            return Err(PairError::NotAuthentic);
        }
        if opening.device == self.reveal.device {
            return Err(PairError::OwnDevice);
        }
        let name = opening.name.as_str().to_owned();
        self.outputs.push_back(OfferOutput::ShowCode { code: transcript.code(), name });
        Ok(State::Confirming { transcript, opening })
    }

    fn confirmed(
        &mut self,
        transcript: &Transcript,
        opening: Opening,
        typed: Option<&str>,
    ) -> Result<State, PairError> {
        if typed.is_some_and(|typed| !transcript.code().matches(typed)) {
            return Err(PairError::WrongCode);
        }
        let Opening { device, prekey, name, ephemeral, .. } = opening;
        let added = DeviceAdded { device, prekey, name, role: DeviceRole::Admin };
        self.outputs.push_back(OfferOutput::AddDevice(Box::new(added)));
        Ok(State::Adding { transcript_hash: transcript.hash(), recipient: ephemeral })
    }

    fn deliver(
        &mut self,
        transcript_hash: [u8; 32],
        recipient: &PublicKey,
        bundle: &Bundle,
        entropy: &dyn Entropy,
    ) {
        let binding =
            HpkeBinding { psk: self.link.secret(), psk_id: labels::PAIR_PSK, info: &transcript_hash };
        let sealed = hpke_seal(&self.ephemeral, recipient, &binding, bundle.as_bytes(), entropy);
        for piece in pieces(&sealed) {
            self.send(&piece);
        }
    }

    fn delivered(&mut self, transcript_hash: [u8; 32], bytes: &[u8]) -> Result<State, PairError> {
        match Message::decode(bytes)? {
            Message::Done { mac } => {
                check_mac(&self.link.done_mac(&transcript_hash), &mac)?;
                self.outputs.push_back(OfferOutput::Finished);
                Ok(State::Over)
            }
            Message::Abort(_) => Err(PairError::Unconfirmed),
            _ => Err(PairError::OutOfTurn),
        }
    }

    fn send(&mut self, message: &Message) {
        self.outputs.push_back(OfferOutput::Send(message.encode()));
    }
}
