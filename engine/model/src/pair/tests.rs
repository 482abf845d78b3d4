//! Both machines against each other, and against a relay in the middle.

mod thief;

use std::sync::Arc;
use std::time::Duration;

use subrosa_protocol::addr::RelayAddr;
use subrosa_protocol::ids::{LogId, Pin, PublicKeyBytes, Seq, VaultId};
use subrosa_protocol::labels;
use subrosa_protocol::limits::RENDEZVOUS_MESSAGES_MAX;

use super::message::{Message, Opening, Reveal, Transcript};
use super::*;
use crate::control::{
    DeviceAdded, DeviceName, DeviceRole, Founding, Keyring, LogBirth, Members, OwnLogs, PrekeySecret,
    SignedEntry, SignedPrekey, device_added, encode_entries, found_vault,
};
use crate::entropy::SeededEntropy;
use crate::keys::{KeyPair, KeyProvider, SoftwareKey};
use crate::seal::{HpkeBinding, hpke_seal};

const START: Duration = Duration::from_secs(1000);
const UNIX: u64 = 1_700_000_000;

fn entropy(seed: u64) -> SeededEntropy {
    SeededEntropy::dangerous_from_seed(seed)
}

/// The old device.
pub(super) struct Old {
    pub(super) machine: OfferMachine,
    device: SoftwareKey,
    vault: VaultId,
    keyring: Keyring,
    genesis: Vec<u8>,
    entropy: SeededEntropy,
    pub(super) shown: Option<PairCode>,
    added: Option<DeviceAdded>,
    pub(super) finished: bool,
    sent: usize,
}

/// The new device.
pub(super) struct New {
    pub(super) machine: JoinMachine,
    device: Arc<SoftwareKey>,
    pub(super) shown: Option<PairCode>,
    joined: Option<Box<Joined>>,
    sent: usize,
}

fn old() -> Old {
    let entropy = entropy(1);
    let device = SoftwareKey::generate(&entropy);
    let founded = found_vault(&device, "laptop", &Founding::Home, &entropy).unwrap();
    let relay = RelayAddr::new(vec!["a:1".to_owned()], Pin::from_bytes([7; 32]), None).unwrap();
    let machine = OfferMachine::new(
        Offering { relay: &relay, device: device.public(), vaults: vec![founded.vault], unix_secs: UNIX },
        START,
        &entropy,
    );
    Old {
        machine,
        device,
        vault: founded.vault,
        keyring: founded.keyring,
        genesis: founded.genesis_entries,
        entropy,
        shown: None,
        added: None,
        finished: false,
        sent: 0,
    }
}

fn new(link: &str, seed: u64) -> New {
    let entropy = entropy(seed);
    let device = Arc::new(SoftwareKey::generate(&entropy));
    let link = PairLink::parse(link).unwrap();
    let joining = Joining { link, device: device.clone(), name: "phone", unix_secs: UNIX + 9 };
    let machine = JoinMachine::new(joining, Duration::ZERO, &entropy).unwrap();
    New { machine, device, shown: None, joined: None, sent: 0 }
}

/// What lets a device in.
fn added(device: &SoftwareKey) -> DeviceAdded {
    let prekey = PrekeySecret::generate(&OwnLogs::generate(0, &entropy(5)), &entropy(6));
    let prekey = SignedPrekey::sign(device, 0, prekey.pair.public()).unwrap();
    let (name, role) = (DeviceName::new("phone").unwrap(), DeviceRole::Admin);
    DeviceAdded { device: device.public(), prekey, name, role }
}

pub(super) fn pair() -> (Old, New) {
    let old = old();
    let new = new(&old.machine.link().to_text(), 2);
    (old, new)
}

impl Old {
    pub(super) fn handle(&mut self, input: OfferInput<'_>) -> Result<(), PairError> {
        self.handle_at(START + Duration::from_secs(60), input)
    }

    fn handle_at(&mut self, now: Duration, input: OfferInput<'_>) -> Result<(), PairError> {
        self.machine.handle(now, input, &self.entropy)
    }

    fn message(&mut self, message: &Message) -> Result<(), PairError> {
        self.handle(OfferInput::Message(&message.encode()))
    }

    /// Carries out what the machine asks for; returns what it sends.
    pub(super) fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        while let Some(output) = self.machine.poll() {
            match output {
                OfferOutput::Send(bytes) => sent.push(bytes),
                OfferOutput::ShowCode { code, name } => {
                    assert_eq!(name, "phone");
                    self.shown = Some(code);
                }
                OfferOutput::AddDevice(added) => self.added = Some(*added),
                OfferOutput::Finished => self.finished = true,
            }
        }
        self.sent += sent.len();
        assert!(self.sent <= RENDEZVOUS_MESSAGES_MAX);
        sent
    }

    pub(super) fn bundle(&self) -> Bundle {
        let added = self.added.clone().unwrap_or_else(|| added(&SoftwareKey::generate(&entropy(2))));
        self.bundle_for(&device_added(&self.device, &self.vault, 2, added).unwrap())
    }

    pub(super) fn bundle_for(&self, listing: &SignedEntry) -> Bundle {
        let (relay, keyring) = (self.machine.link().relay(), &self.keyring);
        let parts = BundleParts { vault: self.vault, name: "personal", keyring, relay, frontier: &[] };
        Bundle::new(&parts, listing).unwrap()
    }
}

impl New {
    pub(super) fn handle(&mut self, bytes: &[u8]) -> Result<(), PairError> {
        self.machine.handle(Duration::from_secs(60), JoinInput::Message(bytes))
    }

    pub(super) fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        while let Some(output) = self.machine.poll() {
            match output {
                JoinOutput::Send(bytes) => sent.push(bytes),
                JoinOutput::ShowCode(code) => self.shown = Some(code),
                JoinOutput::Joined(joined) => self.joined = Some(joined),
            }
        }
        self.sent += sent.len();
        assert!(self.sent <= RENDEZVOUS_MESSAGES_MAX);
        sent
    }
}

/// Carries messages both ways until nobody sends.
fn exchange(old: &mut Old, new: &mut New) -> Result<(), PairError> {
    loop {
        let (up, down) = (new.drain(), old.drain());
        if up.is_empty() && down.is_empty() {
            return Ok(());
        }
        for bytes in up {
            old.handle(OfferInput::Message(&bytes))?;
        }
        for bytes in down {
            new.handle(&bytes)?;
        }
    }
}

/// Up to the point where the user compares codes.
fn shown() -> (Old, New) {
    let (mut old, mut new) = pair();
    exchange(&mut old, &mut new).unwrap();
    assert!(old.shown.is_some() && old.added.is_none() && new.joined.is_none());
    (old, new)
}

fn assert_nothing_changed(old: &Old) {
    assert!(old.added.is_none() && !old.finished);
    assert!(old.machine.deadline().is_none(), "it is over");
}

#[test]
fn two_devices_pair() {
    let (mut old, mut new) = shown();
    assert_eq!(old.shown, new.shown);
    let typed = new.shown.unwrap().to_string();
    old.handle(OfferInput::Confirmed(Some(&typed))).unwrap();
    exchange(&mut old, &mut new).unwrap();
    assert!(old.added.is_some() && new.joined.is_none(), "nothing is sent before it is durable");

    let added = old.added.clone().unwrap();
    let entry = encode_entries(&[device_added(&old.device, &old.vault, 2, added).unwrap()]);
    let bundle = old.bundle();
    old.handle(OfferInput::DeviceAdded(&bundle)).unwrap();
    exchange(&mut old, &mut new).unwrap();
    assert!(!old.finished, "the store is not made yet");
    new.machine.handle(Duration::from_secs(61), JoinInput::Stored).unwrap();
    exchange(&mut old, &mut new).unwrap();
    assert!(old.finished);

    let joined = new.joined.unwrap();
    assert_eq!(
        (joined.vault, joined.name.as_str(), joined.inviter),
        (old.vault, "personal", old.device.public())
    );
    let theirs = joined.keyring.data_key(subrosa_protocol::ids::Epoch(0)).unwrap();
    assert!(theirs.is(old.keyring.live_epoch().key.as_ref().unwrap()));
    assert!(joined.frontier.is_empty());
    assert_eq!(encode_entries(std::slice::from_ref(&joined.listing)), entry);
    assert_ne!(joined.keyring.logs.data.public(), old.keyring.logs.data.public());

    // What follows in the control logs lists the new device, and certifies its logs.
    let mut members = Members::new(old.vault);
    let id = |pair: &KeyPair| LogId::of(&PublicKeyBytes::from_bytes(*pair.public().as_bytes()));
    let Keyring { logs, admin, prekeys, .. } = &joined.keyring;
    let birth = LogBirth { vault: &joined.vault, number: 0, logs, admin, prekey: &prekeys[0] };
    let first = birth.entries(&*new.device).unwrap();
    members.apply(id(&old.keyring.logs.control), Seq(0), &old.genesis).unwrap();
    members.apply(id(&old.keyring.logs.control), Seq(1), &entry).unwrap();
    members.apply(id(&joined.keyring.logs.control), Seq(0), &first).unwrap();
    assert_eq!(members.device(&new.device.public()).unwrap().name.as_str(), "phone");
    assert!(members.certified(&id(&joined.keyring.logs.data)).is_some());
    let certificate = members.certificate(&id(&joined.keyring.logs.control)).unwrap();
    let listed = members.device(&new.device.public()).unwrap();
    assert_eq!(Some(certificate.prekey), listed.prekey, "its first prekey is that of its first logs");
    assert_ne!(joined.keyring.admin.public(), old.keyring.admin.public());
}

#[test]
fn who_is_over_tells_nobody_anything_more() {
    let (mut old, mut new) = shown();
    old.handle(OfferInput::Declined).unwrap_err();
    assert_eq!(old.drain().len(), 1, "the other device is told once");
    new.machine.handle(START, JoinInput::Timeout).unwrap_err();
    assert_eq!(new.drain().len(), 1);
    let abort = Message::Abort(AbortReason::Declined);
    for _ in 0..2 {
        assert_eq!(old.message(&abort), Err(PairError::OutOfTurn));
        assert_eq!(new.handle(&abort.encode()), Err(PairError::OutOfTurn));
        assert!(old.drain().is_empty() && new.drain().is_empty());
    }
}

#[test]
fn a_user_may_compare_instead_of_typing() {
    let (mut old, _) = shown();
    old.handle(OfferInput::Confirmed(None)).unwrap();
    old.drain();
    assert!(old.added.is_some());
}

#[test]
fn a_wrong_code_ends_it() {
    let (mut old, mut new) = shown();
    let code: u32 = new.shown.unwrap().to_string().parse().unwrap();
    let wrong = format!("{:06}", (code + 1) % 1_000_000);
    assert_eq!(old.handle(OfferInput::Confirmed(Some(&wrong))), Err(PairError::WrongCode));
    let told = exchange(&mut old, &mut new);
    assert_eq!(told, Err(PairError::Aborted(AbortReason::WrongCode)));
    assert_nothing_changed(&old);
    let right = new.shown.unwrap().to_string();
    assert_eq!(old.handle(OfferInput::Confirmed(Some(&right))), Err(PairError::OutOfTurn), "one try");
    assert_nothing_changed(&old);
}

#[test]
fn the_user_may_decline() {
    let (mut old, mut new) = shown();
    assert_eq!(old.handle(OfferInput::Declined), Err(PairError::Declined));
    assert_eq!(exchange(&mut old, &mut new), Err(PairError::Aborted(AbortReason::Declined)));
    assert_nothing_changed(&old);
}

#[test]
fn five_minutes_are_enforced_by_the_old_device() {
    let late = START + Duration::from_secs(300);
    let (mut old, mut new) = pair();
    assert_eq!(old.machine.deadline(), Some(late));
    let first = new.drain().remove(0);
    assert_eq!(old.handle_at(late, OfferInput::Message(&first)), Err(PairError::Expired));
    assert_nothing_changed(&old);

    let (mut old, new) = shown();
    let typed = new.shown.unwrap().to_string();
    assert_eq!(old.handle_at(late, OfferInput::Confirmed(Some(&typed))), Err(PairError::Expired));
    assert_nothing_changed(&old);

    let (mut old, _) = shown();
    assert_eq!(old.handle(OfferInput::Timeout), Err(PairError::Expired));
    assert_nothing_changed(&old);
}

#[test]
fn once_added_time_does_not_take_the_keys_back() {
    let (mut old, mut new) = shown();
    old.handle(OfferInput::Confirmed(None)).unwrap();
    old.drain();
    let bundle = old.bundle();
    old.handle_at(START + Duration::from_secs(400), OfferInput::DeviceAdded(&bundle)).unwrap();
    exchange(&mut old, &mut new).unwrap();
    assert!(new.joined.is_some());
    assert_eq!(old.handle(OfferInput::Timeout), Err(PairError::Unconfirmed));
}

#[test]
fn the_new_device_gives_up_too() {
    let old = old();
    let text = old.machine.link().to_text();
    let answer = |unix| {
        let link = PairLink::parse(&text).unwrap();
        let device = Arc::new(SoftwareKey::generate(&entropy(2)));
        JoinMachine::new(Joining { link, device, name: "a", unix_secs: unix }, START, &entropy(2)).err()
    };
    assert_eq!(answer(UNIX + 600), None, "a clock may be wrong by five minutes");
    assert_eq!(answer(UNIX + 601), Some(PairError::Expired));

    let mut new = new(&text, 2);
    assert_eq!(new.machine.deadline(), Some(Duration::from_secs(300)));
    let late = new.machine.handle(Duration::from_secs(300), JoinInput::Message(&[]));
    assert_eq!(late, Err(PairError::Expired));
    assert_eq!(new.machine.deadline(), None);
}

#[test]
fn a_link_answers_once() {
    let (mut old, mut first) = pair();
    let mut second = new(&old.machine.link().to_text(), 3);
    exchange(&mut old, &mut first).unwrap();
    let answer = second.drain().remove(0);
    assert_eq!(old.handle(OfferInput::Message(&answer)), Err(PairError::SecondCommitment));
    assert_nothing_changed(&old);
    let typed = first.shown.unwrap().to_string();
    assert_eq!(old.handle(OfferInput::Confirmed(Some(&typed))), Err(PairError::OutOfTurn));

    // And right after the first commitment, before its opening.
    let (mut old, mut first) = pair();
    for bytes in first.drain() {
        old.handle(OfferInput::Message(&bytes)).unwrap();
    }
    let mut second = new(&old.machine.link().to_text(), 3);
    let answer = second.drain().remove(0);
    assert_eq!(old.handle(OfferInput::Message(&answer)), Err(PairError::SecondCommitment));
    assert_nothing_changed(&old);
}

#[test]
fn without_the_links_secret_nothing_holds() {
    let old_text = old().machine.link().to_text();
    // A relay knows rendezvous, pin and key hash, and guesses the secret.
    let mut guessed = old_text.to_string();
    let end = guessed.len() - 20;
    guessed.replace_range(end..end + 1, if &guessed[end..end + 1] == "a" { "b" } else { "a" });
    let mut old = old();
    let mut thief = new(&guessed, 3);
    let first = thief.drain().remove(0);
    assert_eq!(old.handle(OfferInput::Message(&first)), Err(PairError::NotAuthentic));
    assert_nothing_changed(&old);
}

#[test]
fn a_relay_without_the_secret_can_alter_nothing() {
    // Each message that comes before the code, each of its bytes flipped.
    let (mut old, mut new) = pair();
    let commit = new.drain().remove(0);
    old.handle(OfferInput::Message(&commit)).unwrap();
    let reveal = old.drain().remove(0);
    new.handle(&reveal).unwrap();
    let open = new.drain().remove(0);
    for at in (0..commit.len()).step_by(7) {
        let mut old = self::old();
        let mut altered = commit.clone();
        altered[at] ^= 1;
        assert!(old.handle(OfferInput::Message(&altered)).is_err(), "commit, byte {at}");
        assert_nothing_changed(&old);
    }
    for at in (0..reveal.len()).step_by(7) {
        let mut new = self::new(&old.machine.link().to_text(), 2);
        let mut altered = reveal.clone();
        altered[at] ^= 1;
        assert!(new.handle(&altered).is_err(), "reveal, byte {at}");
        new.drain();
        assert!(new.shown.is_none() && new.joined.is_none());
    }
    for at in (0..open.len()).step_by(7) {
        let (mut old, mut new) = pair();
        old.handle(OfferInput::Message(&new.drain().remove(0))).unwrap();
        new.handle(&old.drain().remove(0)).unwrap();
        let mut altered = open.clone();
        altered[at] ^= 1;
        assert!(old.handle(OfferInput::Message(&altered)).is_err(), "open, byte {at}");
        old.drain();
        assert!(old.shown.is_none());
        assert_nothing_changed(&old);
    }
}

#[test]
fn a_device_does_not_pair_with_itself() {
    let mut old = old();
    let link = PairLink::parse(&old.machine.link().to_text()).unwrap();
    let twin: Arc<dyn KeyProvider> =
        Arc::new(SoftwareKey::from_pkcs8_der(&old.device.dangerous_to_pkcs8_der()).unwrap());
    let machine =
        JoinMachine::new(Joining { link, device: twin, name: "twin", unix_secs: UNIX }, START, &entropy(4))
            .unwrap();
    let mut new = New {
        machine,
        device: Arc::new(SoftwareKey::generate(&entropy(5))),
        shown: None,
        joined: None,
        sent: 0,
    };
    old.handle(OfferInput::Message(&new.drain().remove(0))).unwrap();
    assert_eq!(new.handle(&old.drain().remove(0)), Err(PairError::OwnDevice));
    assert_eq!(exchange(&mut old, &mut new), Err(PairError::Aborted(AbortReason::Failed)));
    assert_nothing_changed(&old);
}

#[test]
fn steps_out_of_turn_end_it() {
    let done = Message::Done { mac: [0; 32] };
    let (mut old, _) = pair();
    assert_eq!(old.message(&done), Err(PairError::OutOfTurn));
    let (mut old, _) = pair();
    assert_eq!(old.handle(OfferInput::Confirmed(None)), Err(PairError::OutOfTurn), "nothing to confirm yet");
    assert_nothing_changed(&old);
    let (mut old, _) = shown();
    let bundle = old.bundle();
    assert_eq!(old.handle(OfferInput::DeviceAdded(&bundle)), Err(PairError::OutOfTurn), "not confirmed");
    assert!(old.drain().iter().all(|bytes| bytes.len() < 10), "no bundle went out");
    assert_nothing_changed(&old);
    let (_, mut new) = shown();
    let piece = Message::Piece { index: 1, count: 2, bytes: vec![1] };
    assert_eq!(new.handle(&piece.encode()), Err(PairError::OutOfTurn));
    let (_, mut new) = shown();
    assert_eq!(new.machine.handle(START, JoinInput::Stored), Err(PairError::OutOfTurn));
    // A confirmation that the store is made counts only with its MAC.
    let (mut old, mut new) = shown();
    old.handle(OfferInput::Confirmed(None)).unwrap();
    old.drain();
    let bundle = old.bundle();
    old.handle(OfferInput::DeviceAdded(&bundle)).unwrap();
    exchange(&mut old, &mut new).unwrap();
    assert_eq!(old.message(&done), Err(PairError::NotAuthentic));
    assert!(!old.finished);
}

#[test]
fn a_bundle_with_the_word_of_another_device_or_of_somebody_else_is_refused() {
    for (author, device) in [(1, 9), (9, 2)] {
        let (mut old, mut new) = shown();
        old.handle(OfferInput::Confirmed(None)).unwrap();
        old.drain();
        let (author, device) =
            (SoftwareKey::generate(&entropy(author)), SoftwareKey::generate(&entropy(device)));
        let bundle = old.bundle_for(&device_added(&author, &old.vault, 2, added(&device)).unwrap());
        old.handle(OfferInput::DeviceAdded(&bundle)).unwrap();
        let results: Vec<_> = old.drain().iter().map(|bytes| new.handle(bytes)).collect();
        assert_eq!(results.last(), Some(&Err(PairError::BadBundle)));
        new.drain();
        assert!(new.joined.is_none());
    }
}

#[test]
fn a_bundle_altered_on_the_way_is_refused() {
    let (mut old, mut new) = shown();
    old.handle(OfferInput::Confirmed(None)).unwrap();
    old.drain();
    let bundle = old.bundle();
    old.handle(OfferInput::DeviceAdded(&bundle)).unwrap();
    let mut pieces = old.drain();
    let last = pieces.last_mut().unwrap();
    *last.last_mut().unwrap() ^= 1;
    let results: Vec<_> = pieces.iter().map(|bytes| new.handle(bytes)).collect();
    assert_eq!(results.last(), Some(&Err(PairError::NotAuthentic)));
    new.drain();
    assert!(new.joined.is_none());
}
