//! Both machines of pairing, a relay between them that does as a script says, and people who do as well.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use subrosa_model::control::{DeviceAdded, Founded, Founding, SignedEntry, device_added, found_vault};
use subrosa_model::entropy::SeededEntropy;
use subrosa_model::keys::{KeyProvider, SoftwareKey};
use subrosa_model::pair::{
    Bundle, BundleParts, JoinInput, JoinMachine, JoinOutput, Joining, OfferInput, OfferMachine, OfferOutput,
    Offering, PairCode, PairError, PairLink,
};
use subrosa_protocol::addr::RelayAddr;
use subrosa_protocol::ids::Pin;
use subrosa_protocol::limits::{RENDEZVOUS_MESSAGES_MAX, RENDEZVOUS_SECONDS};

use super::script::Script;

const UNIX: u64 = 1_700_000_000;

/// The old device, its vault, and the new device.
struct Cast {
    old: SoftwareKey,
    founded: Founded,
    relay: RelayAddr,
    new: Arc<SoftwareKey>,
}

fn entropy(seed: u64) -> SeededEntropy {
    SeededEntropy::dangerous_from_seed(seed)
}

fn cast() -> &'static Cast {
    static CAST: OnceLock<Cast> = OnceLock::new();
    CAST.get_or_init(|| {
        let old = SoftwareKey::generate(&entropy(1));
        let founded = found_vault(&old, "laptop", &Founding::Home, &entropy(2)).expect("a vault");
        let pin = Pin::from_bytes([7; 32]);
        let relay = RelayAddr::new(vec!["a:1".to_owned()], pin, None).expect("an address");
        Cast { old, founded, relay, new: Arc::new(SoftwareKey::generate(&entropy(3))) }
    })
}

/// One side's messages on their way, and what of it was ever sent.
#[derive(Default)]
struct Way {
    waiting: VecDeque<Vec<u8>>,
    ever: Vec<Vec<u8>>,
    /// Something else than what was sent has arrived.
    is_tampered: bool,
}

impl Way {
    fn send(&mut self, bytes: Vec<u8>) {
        self.ever.push(bytes.clone());
        assert!(self.ever.len() <= RENDEZVOUS_MESSAGES_MAX, "more than a rendezvous takes");
        self.waiting.push_back(bytes);
    }

    /// What arrives next: as it was sent mostly.
    fn next(&mut self, script: &mut Script<'_>) -> Option<Vec<u8>> {
        match script.below(8) {
            0..=3 => self.waiting.pop_front(),
            4 => {
                self.is_tampered = true;
                Some(script.bytes().to_vec())
            }
            5 => {
                self.is_tampered = true;
                let mut bytes = self.waiting.pop_front()?;
                let at = usize::from(script.u8()) << 8 | usize::from(script.u8());
                let at = at % bytes.len();
                bytes[at] ^= 1 << script.below(8);
                Some(bytes)
            }
            6 => {
                self.is_tampered = true;
                self.ever.get(usize::from(script.u8()) % self.ever.len().max(1)).cloned()
            }
            _ => {
                self.is_tampered = true;
                self.waiting.pop_front();
                None
            }
        }
    }
}

struct Pairing {
    now: Duration,
    offer: OfferMachine,
    join: JoinMachine,
    up: Way,
    down: Way,
    old_code: Option<PairCode>,
    new_code: Option<PairCode>,
    adding: Option<SignedEntry>,
    is_confirmed: bool,
    is_listed: bool,
    has_joined: bool,
    is_stored: bool,
    is_finished: bool,
    offer_over: bool,
    join_over: bool,
}

pub(super) fn pairing(data: &[u8]) {
    let mut script = Script::new(data);
    let Cast { old, founded, relay, new } = cast();
    let offering = Offering { relay, device: old.public(), vaults: vec![founded.vault], unix_secs: UNIX };
    let offer = OfferMachine::new(offering, Duration::ZERO, &entropy(4));
    let link = PairLink::parse(&offer.link().to_text()).expect("a link");
    let joining = Joining { link, device: new.clone(), name: "phone", unix_secs: UNIX };
    let join = JoinMachine::new(joining, Duration::ZERO, &entropy(5)).expect("a link that is new");
    let mut pairing = Pairing {
        now: Duration::ZERO,
        offer,
        join,
        up: Way::default(),
        down: Way::default(),
        old_code: None,
        new_code: None,
        adding: None,
        is_confirmed: false,
        is_listed: false,
        has_joined: false,
        is_stored: false,
        is_finished: false,
        offer_over: false,
        join_over: false,
    };
    pairing.drain();
    while !script.is_over() {
        pairing.step(&mut script);
    }
}

impl Pairing {
    fn step(&mut self, script: &mut Script<'_>) {
        match script.below(10) {
            0..=2 => {
                if let Some(bytes) = self.up.next(script) {
                    self.offered(OfferInput::Message(&bytes));
                }
            }
            3..=5 => {
                if let Some(bytes) = self.down.next(script) {
                    self.joined(JoinInput::Message(&bytes));
                }
            }
            6 => self.person(script),
            7 => self.entry(script),
            8 => {
                self.is_stored |= self.has_joined;
                self.joined(JoinInput::Stored);
            }
            _ => {
                self.now += Duration::from_secs(script.u8().into());
                match script.below(4) {
                    2 => self.offered(OfferInput::Timeout),
                    3 => self.joined(JoinInput::Timeout),
                    _ => {}
                }
            }
        }
    }

    fn person(&mut self, script: &mut Script<'_>) {
        match script.below(4) {
            0 => {
                self.is_confirmed |= self.old_code.is_some();
                self.offered(OfferInput::Confirmed(None));
            }
            1 => {
                let typed = self.new_code.map_or_else(String::new, |code| code.to_string());
                self.is_confirmed |= self.old_code.is_some() && self.new_code == self.old_code;
                self.offered(OfferInput::Confirmed(Some(&typed)));
            }
            2 => {
                let typed = String::from_utf8_lossy(script.bytes()).into_owned();
                self.is_confirmed |= self.old_code.is_some_and(|code| PairCode::parse(&typed) == Some(code));
                self.offered(OfferInput::Confirmed(Some(&typed)));
            }
            _ => self.offered(OfferInput::Declined),
        }
    }

    /// "Device added" is durable, or is not.
    fn entry(&mut self, script: &mut Script<'_>) {
        if script.below(4) == 3 {
            return self.offered(OfferInput::NotAtRelay);
        }
        let Cast { founded, relay, .. } = cast();
        let Some(listing) = &self.adding else { return };
        let (vault, keyring) = (founded.vault, &founded.keyring);
        let parts = BundleParts { vault, name: "personal", keyring, relay, frontier: &[] };
        let bundle = Bundle::new(&parts, listing).expect("a bundle");
        self.is_listed = true;
        self.offered(OfferInput::DeviceAdded(&bundle));
    }

    fn offered(&mut self, input: OfferInput<'_>) {
        let was_over = self.offer_over;
        let result = self.offer.handle(self.now, input, &entropy(6));
        self.offer_over |= result.is_err();
        if was_over {
            assert_eq!(result, Err(PairError::OutOfTurn));
            assert!(self.offer.poll().is_none(), "nothing follows the end");
        }
        self.drain();
        self.check();
    }

    fn joined(&mut self, input: JoinInput<'_>) {
        let was_over = self.join_over;
        let result = self.join.handle(self.now, input);
        self.join_over |= result.is_err();
        if was_over {
            assert_eq!(result, Err(PairError::OutOfTurn));
            assert!(self.join.poll().is_none(), "nothing follows the end");
        }
        self.drain();
        self.check();
    }

    fn drain(&mut self) {
        while let Some(output) = self.offer.poll() {
            match output {
                OfferOutput::Send(bytes) => self.down.send(bytes),
                OfferOutput::ShowCode { code, name } => {
                    assert_eq!(name, "phone");
                    assert!(self.old_code.replace(code).is_none(), "one code");
                }
                OfferOutput::AddDevice(added) => {
                    assert!(self.is_confirmed && self.adding.is_none(), "a person said so, once");
                    self.adding = Some(listing(*added));
                }
                OfferOutput::Finished => {
                    assert!(self.is_stored, "the new device has a store");
                    (self.is_finished, self.offer_over) = (true, true);
                }
            }
        }
        while let Some(output) = self.join.poll() {
            match output {
                JoinOutput::Send(bytes) => self.up.send(bytes),
                JoinOutput::ShowCode(code) => assert!(self.new_code.replace(code).is_none(), "one code"),
                JoinOutput::Joined(joined) => {
                    assert!(
                        self.is_listed && !std::mem::replace(&mut self.has_joined, true),
                        "it is let in, once"
                    );
                    assert_eq!(joined.vault, cast().founded.vault);
                }
            }
        }
        self.join_over |= self.is_stored && self.join.deadline().is_none();
    }

    fn check(&self) {
        let deadline = Some(Duration::from_secs(RENDEZVOUS_SECONDS));
        assert_eq!(self.offer.deadline(), deadline.filter(|_| !self.offer_over));
        assert_eq!(self.join.deadline(), deadline.filter(|_| !self.join_over));
        if let (Some(old), Some(new)) = (self.old_code, self.new_code) {
            assert!(old == new, "who does not know the link's secret makes no codes differ");
        }
    }
}

/// The word by which the new device is let in.
fn listing(added: DeviceAdded) -> SignedEntry {
    let Cast { old, founded, new, .. } = cast();
    assert_eq!(added.device, new.public());
    device_added(old, &founded.vault, 2, added).expect("a key that signs")
}
