//! Drives both machines over a rendezvous: blocking calls, for the caller's thread.
//!
//! It carries messages, time and what is to be stored between a machine, a meeting and the core, and decides nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use subrosa_model::control::{DeviceAdded, DeviceRole, device_added};
use subrosa_model::keys::KeyProvider;
use subrosa_model::pair::{
    Bundle, BundleParts, JoinInput, JoinMachine, JoinOutput, Joined, Joining, OfferInput, OfferMachine,
    OfferOutput, Offering, PairCode, PairError, PairLink,
};
use subrosa_protocol::addr::RelayAddr;
use subrosa_protocol::client_link::LinkError;
use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::ids::{Head, Pin, VaultId};
use subrosa_protocol::limits::PAIR_VAULTS_MAX;
use subrosa_protocol::segment::Class;
use subrosa_store::process::Process;

use crate::cancel::Cancel;
use crate::error::{Error, RendezvousError, SyncFailure};
use crate::life::Core;
use crate::life::opening::MadeFor;
use crate::logs::entries::Queued;
use crate::logs::settling;
use crate::options::Options;
use crate::people::vaults::{DeviceInfo, NewVault};
use crate::sync::engine::Engine;
use crate::sync::push::Push;
use crate::sync::rendezvous::RendezvousLink;

/// Somewhere to meet: messages each way, in order.
pub(crate) trait Meeting: Send {
    /// Says something to the other side.
    fn send(&mut self, message: &[u8]) -> Result<(), RendezvousError>;
    /// The next message of the other side; [`RendezvousError::Silence`] after `timeout`, or once cancelled.
    fn recv(&mut self, timeout: Duration, cancel: &Cancel) -> Result<Vec<u8>, RendezvousError>;
}

impl Meeting for RendezvousLink {
    fn send(&mut self, message: &[u8]) -> Result<(), RendezvousError> {
        Self::send(self, message)
    }

    fn recv(&mut self, timeout: Duration, cancel: &Cancel) -> Result<Vec<u8>, RendezvousError> {
        Self::recv(self, timeout, cancel)
    }
}

/// A new device asks to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PairRequest {
    /// What the new device must show, too. Let the user type the new device's code, or compare.
    pub code: PairCode,
    /// What the new device calls itself.
    pub name: String,
}

/// How the user has checked that both devices show one code.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Confirmation<'a> {
    /// The user typed the code that the new device shows; spaces and hyphens do not count. A wrong one ends the
    /// pairing.
    Typed(&'a str),
    /// The user compared the codes and says that they are equal.
    CodesEqual,
}

/// The old device's side of a pairing, made by [`Device::pair_offer`](crate::Device::pair_offer). Dropping it withdraws the link.
pub struct PairOffer {
    core: Arc<Engine>,
    vault: VaultId,
    machine: OfferMachine,
    meeting: Box<dyn Meeting>,
    watch: Watch,
    request: Option<PairRequest>,
    added: Option<Box<DeviceAdded>>,
    finished: bool,
    /// Which relay has to hold the word of the new device before it gets its keys.
    push_to: Option<RelayAddr>,
    pub(crate) push_wait: Duration,
}

/// The new device's side of a pairing. Dropping it before it is through leaves nothing behind.
pub struct PairJoin {
    dir: PathBuf,
    key: Arc<dyn KeyProvider>,
    options: Options,
    machine: JoinMachine,
    meet: Meet,
    /// `None` between two tries.
    meeting: Option<Box<dyn Meeting>>,
    retries: Retries,
    watch: Watch,
    code: Option<PairCode>,
    joined: Option<Box<Joined>>,
}

/// Goes to the meeting place that a link names.
type Meet = Box<dyn FnMut(&PairLink) -> Result<Box<dyn Meeting>, RendezvousError> + Send>;

/// What a new device needs to come again when it came too early: the link may reach it before the old device has
/// reached the relay, and a relay says of a meeting that is to come what it says of one that is over.
struct Retries {
    /// The commitment.
    first: Vec<u8>,
    left: u32,
    /// Before the try after the next one.
    pause: Duration,
    /// When to try next.
    due: Duration,
}

impl PairOffer {
    /// Offers over a relay.
    pub(crate) fn over(core: Arc<Engine>, relay: &RelayAddr) -> Result<Self, Error> {
        let mut offer = Self::start(core, relay, |core, link, vault| {
            Ok(Box::new(RendezvousLink::open(core, relay, vault, *link.rendezvous())?))
        })?;
        offer.push_to = Some(relay.clone());
        Ok(offer)
    }

    fn start(
        core: Arc<Engine>,
        relay: &RelayAddr,
        meet: impl FnOnce(&Arc<Engine>, &PairLink, VaultId) -> Result<Box<dyn Meeting>, Error>,
    ) -> Result<Self, Error> {
        let mut vaults: Vec<_> = core.vaults()?.into_iter().map(|(id, _)| id).collect();
        vaults.truncate(PAIR_VAULTS_MAX);
        let vault = *vaults.first().ok_or(Error::NoVault)?;
        let (device, entropy) = (core.public(), core.options.entropy.clone());
        let role = core.with_vault(&vault, |state| Ok(state.members.device(&device).map(|own| own.role)))?;
        if role != Some(DeviceRole::Admin) {
            return Err(Error::NotPermitted);
        }
        if core.is_update_needed(&vault)? {
            return Err(Error::UpdateNeeded);
        }
        // What does not fit is found out before anything is promised.
        with_parts(&core, &vault, relay, &[], Bundle::check_room)?;
        let watch = Watch::start();
        let offering = Offering { relay, device, vaults, unix_secs: core.now_ms() / 1000 };
        let machine = OfferMachine::new(offering, watch.now(), &*entropy);
        let meeting = meet(&core, machine.link(), vault)?;
        let (request, added, push_to, push_wait) = (None, None, None, PUSH_WAIT);
        Ok(Self { core, vault, machine, meeting, watch, request, added, finished: false, push_to, push_wait })
    }

    /// What to show to the user, as text or as a QR code of [`PairLink::to_text`].
    #[must_use]
    pub fn link(&self) -> &PairLink {
        self.machine.link()
    }

    /// Waits for a device to answer the link; `None` when none has within `timeout`.
    ///
    /// # Errors
    /// [`Error::Pair`], [`Error::Rendezvous`]; the offer is over, and nothing has changed.
    pub fn wait_for_code(&mut self, timeout: Duration) -> Result<Option<PairRequest>, Error> {
        self.wait_for_code_or(timeout, &Cancel::new())
    }

    /// Waits as [`PairOffer::wait_for_code`] does, until `cancel` at the latest.
    ///
    /// # Errors
    /// [`Error::Cancelled`]: the offer stands, and may be waited for again. Those of [`PairOffer::wait_for_code`].
    pub fn wait_for_code_or(
        &mut self,
        timeout: Duration,
        cancel: &Cancel,
    ) -> Result<Option<PairRequest>, Error> {
        let until = self.watch.now().saturating_add(timeout);
        while self.request.is_none() && self.hear(until, cancel)? {}
        Ok(self.request.clone())
    }

    /// Lets the new device in, once the user has confirmed its code: adds it to the vault, durably, waits until the relay has
    /// acknowledged that, 30 seconds at most and once more as long where it can no more be taken back, and hands it its keys, which
    /// takes a minute at most.
    ///
    /// # Errors
    /// [`PairError::WrongCode`], [`PairError::Expired`], [`PairError::NotAtRelay`] and others: nothing has changed.
    /// [`PairError::Unconfirmed`]: the device is listed, and may lack its keys. Pair it once more.
    pub fn confirm(self, confirmation: Confirmation<'_>) -> Result<DeviceInfo, Error> {
        self.confirm_or(confirmation, &Cancel::new())
    }

    /// Confirms as [`PairOffer::confirm`] does, unless `cancel` comes before the new device is added; from there on it
    /// goes on to its end.
    ///
    /// # Errors
    /// [`Error::Cancelled`]: nothing has changed, and the offer is over. Those of [`PairOffer::confirm`].
    pub fn confirm_or(
        mut self,
        confirmation: Confirmation<'_>,
        cancel: &Cancel,
    ) -> Result<DeviceInfo, Error> {
        // A new device that has given up meanwhile has said so.
        while self.request.is_some() && self.hear(Duration::ZERO, cancel)? {}
        let typed = match confirmation {
            Confirmation::Typed(code) => Some(code),
            Confirmation::CodesEqual => None,
        };
        self.step(OfferInput::Confirmed(typed))?;
        let added = self.added.take().ok_or(PairError::OutOfTurn)?;
        let core = self.core.clone();
        let info = DeviceInfo {
            public: added.device,
            name: added.name.as_str().to_owned(),
            role: added.role,
            added_by: Some(core.public()),
            is_this: false,
        };
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        // A new device syncs at once, and shall find there what it was let in to.
        let push = self.push_to.as_ref().map(|relay| Push::start(&core, relay)).transpose()?;
        let queued = core.append_control(&self.vault, |number| {
            Ok(device_added(core.key(), &self.vault, number, *added)?)
        })?;
        if !self.is_at_relay(push.as_ref(), &queued) && core.withdraw_entry(&self.vault, queued.place)? {
            return self.step(OfferInput::NotAtRelay).map(|()| info);
        }
        // Whatever goes wrong from here, the device is listed.
        self.hand_over(push.as_ref(), &queued).map_err(|error| {
            tracing::debug!(%error, "the new device is listed, and may lack its keys");
            PairError::Unconfirmed
        })?;
        Ok(info)
    }

    /// Waits until the relay holds the word of the new device: nobody else would know it if this device were lost.
    fn is_at_relay(&self, push: Option<&Push>, queued: &Queued) -> bool {
        let (Some(push), Some(relay)) = (push, &self.push_to) else { return self.push_to.is_none() };
        push.wait_until(self.push_wait, || {
            let held = self.core.is_entry_acknowledged(&self.vault, relay.pin(), &queued.rank);
            held.unwrap_or_else(|error| {
                tracing::debug!(%error, "what the relay holds cannot be read");
                false
            })
        })
    }

    /// Hands the new device its keys, and waits until it has them.
    fn hand_over(&mut self, push: Option<&Push>, queued: &Queued) -> Result<(), Error> {
        if !self.is_at_relay(push, queued) {
            // It is on its way there, and cannot be taken back: it is listed, and gets no keys.
            return self.step(OfferInput::NotAtRelay);
        }
        let heads = frontier(&self.core, &self.vault, self.machine.link().relay().pin())?;
        let relay = self.machine.link().relay();
        let bundle =
            with_parts(&self.core, &self.vault, relay, &heads, |parts| Bundle::new(parts, &queued.entry))?;
        self.step(OfferInput::DeviceAdded(&bundle))?;
        let until = self.watch.now().saturating_add(DONE_WAIT);
        let to_its_end = Cancel::new();
        while !self.finished && self.hear(until, &to_its_end)? {}
        if self.finished { Ok(()) } else { self.step(OfferInput::Timeout) }
    }

    /// Tells the new device that it is not let in.
    ///
    /// # Errors
    /// [`Error::Rendezvous`] when it could not be told.
    pub fn decline(mut self) -> Result<(), Error> {
        match self.step(OfferInput::Declined) {
            Err(Error::Pair(PairError::Declined | PairError::OutOfTurn)) | Ok(()) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes in one message; `false` when there was none by `until`.
    fn hear(&mut self, until: Duration, cancel: &Cancel) -> Result<bool, Error> {
        let deadline = self.machine.deadline().ok_or(PairError::OutOfTurn)?;
        match self.watch.wait(until.min(deadline), &mut *self.meeting, cancel) {
            Ok(Some(message)) => self.step(OfferInput::Message(&message)).map(|()| true),
            Ok(None) if cancel.is_cancelled() => Err(Error::Cancelled),
            Ok(None) if self.watch.now() < deadline => Ok(false),
            Ok(None) => self.step(OfferInput::Timeout).map(|()| false),
            Err(_) if self.machine.is_delivering() => self.step(OfferInput::Timeout).map(|()| false),
            Err(error) => Err(error.into()),
        }
    }

    fn step(&mut self, input: OfferInput<'_>) -> Result<(), Error> {
        let entropy = self.core.options.entropy.clone();
        let result = self.machine.handle(self.watch.now(), input, &*entropy);
        let mut sent = Ok(());
        while let Some(output) = self.machine.poll() {
            match output {
                OfferOutput::Send(message) => sent = sent.and_then(|()| self.meeting.send(&message)),
                OfferOutput::ShowCode { code, name } => self.request = Some(PairRequest { code, name }),
                OfferOutput::AddDevice(added) => self.added = Some(added),
                OfferOutput::Finished => self.finished = true,
            }
        }
        // Why it is over says more than that the other side could not be told.
        result?;
        Ok(sent?)
    }
}

impl PairJoin {
    /// Answers a link. A store is made in `dir` once the old device has handed over the keys, and not before.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], [`StoreError::Locked`](crate::StoreError::Locked); [`PairError::Expired`], [`PairError::Name`], [`PairError::Key`];
    /// [`Error::Rendezvous`] when no thread can be started.
    pub fn start(
        dir: impl AsRef<Path>,
        key: Arc<dyn KeyProvider>,
        options: Options,
        link: PairLink,
    ) -> Result<Self, Error> {
        let process = Process::this(&options.fork_sign);
        let meet = move |link: &PairLink| -> Result<Box<dyn Meeting>, _> {
            Ok(Box::new(RendezvousLink::join(&process, link.relay(), *link.rendezvous())?))
        };
        Self::start_at(dir.as_ref(), key, options, link, Box::new(meet))
    }

    fn start_at(
        dir: &Path,
        key: Arc<dyn KeyProvider>,
        options: Options,
        link: PairLink,
        meet: Meet,
    ) -> Result<Self, Error> {
        Core::check_free(dir, &key, &options)?;
        let watch = Watch::start();
        let (name, unix_secs) = (options.device_name.as_str(), options.clock.now_ms() / 1000);
        let joining = Joining { link, device: key.clone(), name, unix_secs };
        let mut machine = JoinMachine::new(joining, watch.now(), &*options.entropy)?;
        let Some(JoinOutput::Send(first)) = machine.poll() else { return Err(PairError::OutOfTurn.into()) };
        let retries = Retries { first, left: RETRIES, pause: FIRST_PAUSE, due: watch.now() };
        let (dir, meeting, code, joined) = (dir.to_owned(), None, None, None);
        let mut join = Self { dir, key, options, machine, meet, meeting, retries, watch, code, joined };
        join.knock()?;
        Ok(join)
    }

    /// The code to show to the user, once it is known.
    #[must_use]
    pub fn code(&self) -> Option<PairCode> {
        self.code
    }

    /// Goes on for up to `timeout`, or until the code becomes known; the open store once it is there.
    pub(crate) fn go_on(&mut self, timeout: Duration, cancel: &Cancel) -> Result<Option<Core>, Error> {
        let until = self.watch.now().saturating_add(timeout);
        let code_before = self.code;
        loop {
            if let Some(joined) = self.joined.take() {
                let core = self.settle(*joined)?;
                if let Err(error) = self.step(JoinInput::Stored) {
                    // The other side may lack the word of it; the store does not.
                    tracing::debug!(%error, "the old device could not be told that this one is there");
                }
                return Ok(Some(core));
            }
            if self.code != code_before || !self.hear(until, cancel)? {
                return Ok(None);
            }
        }
    }

    /// Makes the store.
    fn settle(&self, joined: Joined) -> Result<Core, Error> {
        let core = Core::create(
            &self.dir,
            self.key.clone(),
            self.options.clone(),
            MadeFor::Joining,
            settling::settle,
        )?;
        let new = NewVault { id: joined.vault, name: joined.name, keyring: joined.keyring };
        let settled = core
            .set_relay(Some(&joined.relay))
            .and_then(|()| core.join_vault(new, joined.listing, &joined.frontier));
        // What was not finished stays, and is nobody's store: the next try with this key finishes it. Removing it could
        // take away what somebody else has made meanwhile.
        settled.map(|()| core)
    }

    /// Takes in one message, or comes again; `false` when there was nothing to do by `until`.
    fn hear(&mut self, until: Duration, cancel: &Cancel) -> Result<bool, Error> {
        let deadline = self.machine.deadline().ok_or(PairError::OutOfTurn)?;
        if self.watch.now() >= deadline {
            return self.step(JoinInput::Timeout).map(|()| false);
        }
        let until = until.min(deadline);
        let Some(meeting) = &mut self.meeting else {
            if cancel.wait(self.retries.due.min(until).saturating_sub(self.watch.now())) {
                return Err(Error::Cancelled);
            }
            return if self.retries.due > until { Ok(false) } else { self.knock().map(|()| true) };
        };
        match self.watch.wait(until, &mut **meeting, cancel) {
            Ok(Some(message)) => {
                self.retries.left = 0;
                self.step(JoinInput::Message(&message)).map(|()| true)
            }
            Ok(None) if cancel.is_cancelled() => Err(Error::Cancelled),
            Ok(None) if self.watch.now() < deadline => Ok(false),
            Ok(None) => self.step(JoinInput::Timeout).map(|()| false),
            Err(error) => self.come_again(error).map(|()| true),
        }
    }

    /// Goes to the meeting and says the first word.
    fn knock(&mut self) -> Result<(), Error> {
        let met = (self.meet)(self.machine.link()).and_then(|mut meeting| {
            meeting.send(&self.retries.first)?;
            Ok(meeting)
        });
        match met {
            Ok(meeting) => {
                self.meeting = Some(meeting);
                Ok(())
            }
            Err(error) => self.come_again(error),
        }
    }

    /// Plans another try after a failure, if it may be that nobody is there yet, or if the relay says when to come again: who
    /// shares an address with many has its turn later.
    fn come_again(&mut self, error: RendezvousError) -> Result<(), Error> {
        let retries = &mut self.retries;
        let pause = match &error {
            RendezvousError::Over => {
                retries.pause *= 2;
                retries.pause / 2
            }
            RendezvousError::Failed(SyncFailure::Link(LinkError::Refused(refusal)))
                if refusal.code == ErrorCode::RateLimited && refusal.retry_after_secs > 0 =>
            {
                Duration::from_secs(refusal.retry_after_secs.into())
            }
            _ => return Err(error.into()),
        };
        if retries.left == 0 {
            return Err(error.into());
        }
        self.meeting = None;
        retries.left -= 1;
        retries.due = self.watch.now() + pause;
        Ok(())
    }

    fn step(&mut self, input: JoinInput<'_>) -> Result<(), Error> {
        let result = self.machine.handle(self.watch.now(), input);
        let drained = self.drain();
        result?;
        drained
    }

    fn drain(&mut self) -> Result<(), Error> {
        let mut sent = Ok(());
        while let Some(output) = self.machine.poll() {
            match output {
                JoinOutput::Send(message) => sent = sent.and_then(|()| say(&mut self.meeting, &message)),
                JoinOutput::ShowCode(code) => self.code = Some(code),
                JoinOutput::Joined(joined) => self.joined = Some(joined),
            }
        }
        Ok(sent?)
    }
}

impl std::fmt::Debug for PairOffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PairOffer").field("vault", &self.vault).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for PairJoin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PairJoin").finish_non_exhaustive()
    }
}

/// Monotonic time since a pairing began.
struct Watch(Instant);

impl Watch {
    #[expect(clippy::disallowed_methods, reason = "this is the driver that reads the clock")]
    fn start() -> Self {
        Self(Instant::now())
    }

    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    /// The next message; `None` when there is none by `until`, or once cancelled.
    fn wait(
        &self,
        until: Duration,
        meeting: &mut dyn Meeting,
        cancel: &Cancel,
    ) -> Result<Option<Vec<u8>>, RendezvousError> {
        match meeting.recv(until.saturating_sub(self.now()), cancel) {
            Ok(message) => Ok(Some(message)),
            Err(RendezvousError::Silence) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn say(meeting: &mut Option<Box<dyn Meeting>>, message: &[u8]) -> Result<(), RendezvousError> {
    meeting.as_mut().map_or(Err(RendezvousError::Over), |meeting| meeting.send(message))
}

/// Does something with what a bundle is made of.
fn with_parts<R>(
    core: &Core,
    vault: &VaultId,
    relay: &RelayAddr,
    frontier: &[Head],
    f: impl FnOnce(&BundleParts<'_>) -> Result<R, PairError>,
) -> Result<R, Error> {
    core.with_vault(vault, |state| {
        let (name, keyring) = (state.name.as_str(), &state.keyring);
        Ok(f(&BundleParts { vault: *vault, name, keyring, relay, frontier })?)
    })
}

/// All heads that the relay is known to hold, and so must show; control logs first: they say who belongs to the vault.
pub(crate) fn frontier(core: &Core, vault: &VaultId, relay: &Pin) -> Result<Vec<Head>, Error> {
    let mut heads = core.relay_frontier(vault, relay)?;
    core.with_vault(vault, |state| {
        let class = |head: &Head| state.members.certified(&head.log).map(|log| log.class);
        heads.sort_by_key(|head| class(head) != Some(Class::Control));
        Ok(())
    })?;
    Ok(heads)
}

/// How long the relay may take to acknowledge that the new device is let in. It gets no keys before.
const PUSH_WAIT: Duration = Duration::from_secs(30);
/// How long the new device may take to make its store and say so.
const DONE_WAIT: Duration = Duration::from_secs(60);
/// How often a new device comes again, with pauses that double: six seconds and a bit in all, if the relay names none.
const RETRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// How long [`Device::pair_join`](crate::Device::pair_join) waits at a time.
pub(crate) const SLICE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
