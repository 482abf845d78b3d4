//! Two stores and a meeting made of two mailboxes.

use std::sync::atomic::{AtomicBool, Ordering};

use subrosa_model::entropy::OsEntropy;
use subrosa_model::keys::SoftwareKey;
use subrosa_model::merge::id::RecordId;
use subrosa_model::pair::AbortReason;
use subrosa_protocol::error::Refusal;
use subrosa_protocol::ids::Pin;
use subrosa_store::error::StoreError;

use super::*;
use crate::collection::Record;
use crate::device::Device;
use crate::life::STORE_FILE;
use crate::sync::mailbox::{Nothing, Receiver, Sender, mailbox};

const WAIT: Duration = Duration::from_secs(20);

struct Chat {
    to: Sender<Vec<u8>>,
    from: Receiver<Vec<u8>>,
}

fn chat() -> (Chat, Chat) {
    let ((to_a, from_b), (to_b, from_a)) = (mailbox(), mailbox());
    (Chat { to: to_b, from: from_b }, Chat { to: to_a, from: from_a })
}

impl Meeting for Chat {
    fn send(&mut self, message: &[u8]) -> Result<(), RendezvousError> {
        self.to.send(message.to_vec());
        Ok(())
    }

    fn recv(&mut self, timeout: Duration, cancel: &Cancel) -> Result<Vec<u8>, RendezvousError> {
        self.from.recv(timeout, cancel).map_err(|nothing| match nothing {
            Nothing::InTime | Nothing::Cancelled => RendezvousError::Silence,
            Nothing::AnyMore => RendezvousError::Over,
        })
    }
}

/// A meeting that can be joined once.
fn once(chat: Chat) -> Meet {
    let mut chats = vec![chat];
    Box::new(move |_| chats.pop().map_or(Err(RendezvousError::Over), |chat| Ok(Box::new(chat))))
}

struct Fixture {
    root: tempfile::TempDir,
    old: Device,
}

fn named(name: &str) -> Options {
    Options::default().device_name(name)
}

fn relay() -> RelayAddr {
    RelayAddr::new(vec!["a:1".to_owned()], Pin::from_bytes([7; 32]), None).unwrap()
}

impl Fixture {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let key = Arc::new(SoftwareKey::generate(&OsEntropy));
        let old = Device::create(root.path().join("old"), key, named("laptop")).unwrap();
        old.create_vault("personal").unwrap();
        Self { root, old }
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("new")
    }

    /// Both sides, the code known to both.
    fn shown(&self) -> (PairOffer, PairJoin) {
        let (ours, theirs) = chat();
        let mut offer =
            PairOffer::start(self.old.core.clone(), &relay(), |_, _, _| Ok(Box::new(ours))).unwrap();
        let mut join = self.join(&offer.link().to_text(), theirs);
        // The commitment, the reveal, the opening.
        assert_eq!(offer.wait_for_code(Duration::from_millis(1)).unwrap(), None);
        assert!(join.wait(WAIT).unwrap().is_none());
        let request = offer.wait_for_code(WAIT).unwrap().unwrap();
        assert_eq!(Some(request.code), join.code());
        assert_eq!(request.name, "phone");
        (offer, join)
    }

    fn join(&self, link: &str, chat: Chat) -> PairJoin {
        let key = Arc::new(SoftwareKey::generate(&OsEntropy));
        let link = PairLink::parse(link).unwrap();
        PairJoin::start_at(&self.dir(), key, named("phone"), link, once(chat)).unwrap()
    }

    fn assert_nothing_changed(&self) {
        assert_eq!(self.old.vault("personal").unwrap().devices().unwrap().len(), 1);
        assert!(!self.dir().join(STORE_FILE).exists());
    }
}

fn pair_error<T: std::fmt::Debug>(result: Result<T, Error>) -> PairError {
    match result {
        Err(Error::Pair(error)) => error,
        other => panic!("not a pairing error: {other:?}"),
    }
}

#[test]
fn two_stores_pair() {
    let fixture = Fixture::new();
    let (offer, mut join) = fixture.shown();
    let typed = join.code().unwrap().to_string();
    let new = std::thread::spawn(move || join.wait(WAIT).unwrap().unwrap());
    let info = offer.confirm(Confirmation::Typed(&typed)).unwrap();
    let new = new.join().unwrap();
    assert_eq!((info.public, info.name.as_str(), info.is_this), (new.public(), "phone", false));
    assert_eq!(info.added_by, Some(fixture.old.public()));
    assert_eq!(new.vaults().unwrap(), fixture.old.vaults().unwrap());
    assert_eq!(new.relay().unwrap(), Some(relay()));
    assert_eq!(fixture.old.vault("personal").unwrap().devices().unwrap().len(), 2);

    // What the new device writes, it can read; a second store in its place is refused.
    let notes = new.vault("personal").unwrap().records("notes");
    assert_eq!(notes.len().unwrap(), 0);
    let (_, theirs) = chat();
    let link = PairLink::new(&relay(), &new.public(), u64::MAX / 2, &OsEntropy);
    let key = Arc::new(SoftwareKey::generate(&OsEntropy));
    let again = PairJoin::start_at(&fixture.dir(), key, named("phone"), link, once(theirs));
    assert!(matches!(again, Err(Error::AlreadyExists)));
    new.close().unwrap();
    let (_, theirs) = chat();
    let link = PairLink::new(&relay(), &new.public(), u64::MAX / 2, &OsEntropy);
    let key = Arc::new(SoftwareKey::generate(&OsEntropy));
    let again = PairJoin::start_at(&fixture.dir(), key, named("phone"), link, once(theirs));
    assert!(matches!(again, Err(Error::AlreadyExists)));
}

#[test]
fn a_store_that_somebody_makes_during_a_pairing_stays_whatever_becomes_of_the_pairing() {
    for open in [true, false] {
        let fixture = Fixture::new();
        let (offer, mut join) = fixture.shown();
        let key = Arc::new(SoftwareKey::generate(&OsEntropy));
        let theirs = Device::create(fixture.dir(), key.clone(), named("tablet")).unwrap();
        let vault = theirs.create_vault("theirs").unwrap();
        vault.records("notes").put(RecordId::from_bytes([1; 16]), &Record::default()).unwrap();
        if !open {
            // Closed, so that nothing but what is in the file stands in the way.
            theirs.close().unwrap();
        }
        let new = std::thread::spawn(move || join.wait(WAIT).map(drop));
        assert_eq!(pair_error(offer.confirm(Confirmation::CodesEqual)), PairError::Unconfirmed);
        let refused = new.join().unwrap();
        let told = matches!(refused, Err(Error::AlreadyExists | Error::Store(StoreError::Locked { .. })));
        assert!(told, "{refused:?}");
        theirs.close().unwrap();
        let again = Device::open(fixture.dir(), key, named("tablet")).unwrap();
        assert_eq!(again.vault("theirs").unwrap().records("notes").len().unwrap(), 1);
    }
}

#[test]
fn a_new_device_that_the_relay_does_not_hear_of_is_not_let_in() {
    let fixture = Fixture::new();
    let (mut offer, mut join) = fixture.shown();
    // Nobody is there.
    offer.push_to =
        Some(RelayAddr::new(vec!["127.0.0.1:9".to_owned()], Pin::from_bytes([8; 32]), None).unwrap());
    offer.push_wait = Duration::from_millis(50);
    let new = std::thread::spawn(move || join.wait(WAIT).map(drop));
    assert_eq!(pair_error(offer.confirm(Confirmation::CodesEqual)), PairError::NotAtRelay);
    assert_eq!(pair_error(new.join().unwrap()), PairError::Aborted(AbortReason::Failed));
    fixture.assert_nothing_changed();
    assert_eq!(fixture.old.vault("personal").unwrap().pending().unwrap(), 0, "the entry was taken back");
    // Whoever comes next is let in, over whatever way.
    let (offer, mut join) = fixture.shown();
    let new = std::thread::spawn(move || join.wait(WAIT).unwrap().unwrap());
    offer.confirm(Confirmation::CodesEqual).unwrap();
    new.join().unwrap();
    fixture.old.suspend(WAIT).unwrap();
    fixture.old.resume().unwrap();
    assert_eq!(fixture.old.vault("personal").unwrap().devices().unwrap().len(), 2);
}

#[test]
fn a_wrong_code_changes_nothing() {
    let fixture = Fixture::new();
    let (offer, mut join) = fixture.shown();
    let code: u32 = join.code().unwrap().to_string().parse().unwrap();
    let wrong = format!("{:06}", (code + 1) % 1_000_000);
    assert_eq!(pair_error(offer.confirm(Confirmation::Typed(&wrong))), PairError::WrongCode);
    assert_eq!(pair_error(join.wait(WAIT)), PairError::Aborted(AbortReason::WrongCode));
    fixture.assert_nothing_changed();
}

#[test]
fn declining_changes_nothing() {
    let fixture = Fixture::new();
    let (offer, mut join) = fixture.shown();
    offer.decline().unwrap();
    assert_eq!(pair_error(join.wait(WAIT)), PairError::Aborted(AbortReason::Declined));
    fixture.assert_nothing_changed();
}

#[test]
fn a_new_device_that_left_is_not_added() {
    let fixture = Fixture::new();
    let (offer, join) = fixture.shown();
    drop(join);
    let gone = offer.confirm(Confirmation::CodesEqual);
    assert!(matches!(gone, Err(Error::Rendezvous(RendezvousError::Over))), "{gone:?}");
    fixture.assert_nothing_changed();
}

#[test]
fn an_old_device_that_left_ends_it() {
    let fixture = Fixture::new();
    let (offer, mut join) = fixture.shown();
    drop(offer);
    let gone = join.wait(WAIT);
    assert!(matches!(gone, Err(Error::Rendezvous(RendezvousError::Over))), "{gone:?}");
    fixture.assert_nothing_changed();
}

#[test]
fn a_device_that_cannot_store_is_listed_and_the_user_hears_of_it() {
    let fixture = Fixture::new();
    let (offer, mut join) = fixture.shown();
    // A file stands where the directory should be.
    std::fs::write(fixture.dir(), b"in the way").unwrap();
    let new = std::thread::spawn(move || join.wait(WAIT).map(drop));
    assert_eq!(pair_error(offer.confirm(Confirmation::CodesEqual)), PairError::Unconfirmed);
    assert!(matches!(new.join().unwrap(), Err(Error::Store(StoreError::Io { .. }))));
    assert_eq!(fixture.old.vault("personal").unwrap().devices().unwrap().len(), 2);
}

/// A meeting that ends with the first message after the keys have come.
struct CutOff {
    chat: Chat,
    cut: Arc<AtomicBool>,
}

impl Meeting for CutOff {
    fn send(&mut self, message: &[u8]) -> Result<(), RendezvousError> {
        if self.cut.load(Ordering::SeqCst) { Err(RendezvousError::Over) } else { self.chat.send(message) }
    }

    fn recv(&mut self, timeout: Duration, cancel: &Cancel) -> Result<Vec<u8>, RendezvousError> {
        self.chat.recv(timeout, cancel)
    }
}

#[test]
fn a_store_that_is_made_is_there_although_the_old_device_cannot_be_told() {
    let fixture = Fixture::new();
    let (ours, theirs) = chat();
    let mut offer =
        PairOffer::start(fixture.old.core.clone(), &relay(), |_, _, _| Ok(Box::new(ours))).unwrap();
    let link = PairLink::parse(&offer.link().to_text()).unwrap();
    let cut = Arc::new(AtomicBool::new(false));
    let mut meeting = Some(CutOff { chat: theirs, cut: cut.clone() });
    let meet = move |_: &PairLink| -> Result<Box<dyn Meeting>, _> {
        Ok(Box::new(meeting.take().ok_or(RendezvousError::Over)?))
    };
    let key = Arc::new(SoftwareKey::generate(&OsEntropy));
    let joining = PairJoin::start_at(&fixture.dir(), key, named("phone"), link, Box::new(meet));
    let mut join = joining.unwrap();
    assert_eq!(offer.wait_for_code(Duration::from_millis(1)).unwrap(), None);
    assert!(join.wait(WAIT).unwrap().is_none());
    offer.wait_for_code(WAIT).unwrap().unwrap();
    cut.store(true, Ordering::SeqCst);
    let new = std::thread::spawn(move || join.wait(WAIT));
    // The meeting ends with the new device's side of it.
    assert_eq!(pair_error(offer.confirm(Confirmation::CodesEqual)), PairError::Unconfirmed);
    let new = new.join().unwrap().unwrap().unwrap();
    assert_eq!(new.vaults().unwrap(), fixture.old.vaults().unwrap());
    assert_eq!(fixture.old.vault("personal").unwrap().devices().unwrap().len(), 2);
}

#[test]
fn once_the_device_is_listed_every_failure_says_so() {
    let fixture = Fixture::new();
    let (ours, theirs) = chat();
    let (core, cut) = (fixture.old.core.clone(), Arc::new(AtomicBool::new(true)));
    let mut offer = PairOffer::start(core, &relay(), |_, _, _| Ok(Box::new(ours))).unwrap();
    let mut join = fixture.join(&offer.link().to_text(), theirs);
    assert_eq!(offer.wait_for_code(Duration::from_millis(1)).unwrap(), None);
    assert!(join.wait(WAIT).unwrap().is_none());
    offer.wait_for_code(WAIT).unwrap().unwrap();
    let (chat, _kept) = chat();
    offer.meeting = Box::new(CutOff { chat, cut });
    assert_eq!(pair_error(offer.confirm(Confirmation::CodesEqual)), PairError::Unconfirmed);
    assert_eq!(fixture.old.vault("personal").unwrap().devices().unwrap().len(), 2);
}

#[test]
fn a_store_whose_device_was_never_let_in_is_in_nobodys_way() {
    let fixture = Fixture::new();
    let key: Arc<dyn KeyProvider> = Arc::new(SoftwareKey::generate(&OsEntropy));
    // Killed between the making of the store and that of the vault in it.
    drop(
        Core::create(&fixture.dir(), key.clone(), named("phone"), MadeFor::Joining, settling::settle)
            .unwrap(),
    );
    let opened = Device::open(fixture.dir(), key.clone(), named("phone"));
    assert!(matches!(opened, Err(Error::Store(StoreError::Missing))), "{opened:?}");
    let (offer, mut join) = {
        let (ours, theirs) = chat();
        let mut offer =
            PairOffer::start(fixture.old.core.clone(), &relay(), |_, _, _| Ok(Box::new(ours))).unwrap();
        let link = PairLink::parse(&offer.link().to_text()).unwrap();
        let join = PairJoin::start_at(&fixture.dir(), key, named("phone"), link, once(theirs));
        let mut join = join.unwrap();
        assert_eq!(offer.wait_for_code(Duration::from_millis(1)).unwrap(), None);
        assert!(join.wait(WAIT).unwrap().is_none());
        offer.wait_for_code(WAIT).unwrap().unwrap();
        (offer, join)
    };
    let new = std::thread::spawn(move || join.wait(WAIT).unwrap().unwrap());
    offer.confirm(Confirmation::CodesEqual).unwrap();
    assert_eq!(new.join().unwrap().name().unwrap(), "phone");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the driver's own clock is moved")]
fn a_join_is_over_when_its_time_is_although_nobody_is_there() {
    let fixture = Fixture::new();
    let (ours, theirs) = chat();
    let offer = PairOffer::start(fixture.old.core.clone(), &relay(), |_, _, _| Ok(Box::new(ours))).unwrap();
    let mut join = fixture.join(&offer.link().to_text(), theirs);
    // Between two tries, the next of which would come too late.
    join.meeting = None;
    join.retries.due = Duration::from_secs(3600);
    let Some(earlier) = Instant::now().checked_sub(Duration::from_secs(600)) else { return };
    join.watch = Watch(earlier);
    assert_eq!(pair_error(join.wait(WAIT)), PairError::Expired);
    fixture.assert_nothing_changed();
}

#[test]
fn only_a_member_with_a_vault_can_offer() {
    let root = tempfile::tempdir().unwrap();
    let key = Arc::new(SoftwareKey::generate(&OsEntropy));
    let device = Device::create(root.path().join("s"), key, named("laptop")).unwrap();
    let offer = PairOffer::start(device.core, &relay(), |_, _, _| Ok(Box::new(chat().0)));
    assert!(matches!(offer, Err(Error::NoVault)));
}

#[test]
fn a_new_device_that_comes_too_early_comes_again() {
    let fixture = Fixture::new();
    let (ours, theirs) = chat();
    let mut offer =
        PairOffer::start(fixture.old.core.clone(), &relay(), |_, _, _| Ok(Box::new(ours))).unwrap();
    let link = PairLink::parse(&offer.link().to_text()).unwrap();
    // The first two times, nobody is there.
    let mut chats = vec![theirs, chat().1, chat().1];
    let meet = move |_: &PairLink| -> Result<Box<dyn Meeting>, _> {
        chats.pop().map_or(Err(RendezvousError::Over), |chat| Ok(Box::new(chat)))
    };
    let key = Arc::new(SoftwareKey::generate(&OsEntropy));
    let joining = PairJoin::start_at(&fixture.dir(), key, named("phone"), link, Box::new(meet));
    let mut join = joining.unwrap();
    let waiting = std::thread::spawn(move || join.wait(WAIT).map(|_| join.code()).unwrap());
    let request = offer.wait_for_code(WAIT).unwrap().unwrap();
    assert_eq!(waiting.join().unwrap(), Some(request.code));
}

#[test]
fn a_new_device_that_the_relay_asks_to_come_later_comes_later() {
    let fixture = Fixture::new();
    let (ours, theirs) = chat();
    let mut offer =
        PairOffer::start(fixture.old.core.clone(), &relay(), |_, _, _| Ok(Box::new(ours))).unwrap();
    let link = PairLink::parse(&offer.link().to_text()).unwrap();
    let later = |secs| {
        let refusal = Refusal::link(ErrorCode::RateLimited).retry_after(secs);
        RendezvousError::Failed(LinkError::Refused(refusal).into())
    };
    let mut answers = vec![Ok(theirs), Err(later(1))];
    let meet = move |_: &PairLink| -> Result<Box<dyn Meeting>, _> {
        Ok(Box::new(answers.pop().unwrap_or(Err(RendezvousError::Over))?))
    };
    let key = Arc::new(SoftwareKey::generate(&OsEntropy));
    let joining = PairJoin::start_at(&fixture.dir(), key.clone(), named("phone"), link, Box::new(meet));
    let mut join = joining.unwrap();
    let waiting = std::thread::spawn(move || join.wait(WAIT).map(|_| join.code()).unwrap());
    let request = offer.wait_for_code(WAIT).unwrap().unwrap();
    assert_eq!(waiting.join().unwrap(), Some(request.code));

    // One that says no more than that it will not is believed.
    let link = PairLink::parse(&offer.link().to_text()).unwrap();
    let meet = move |_: &PairLink| -> Result<Box<dyn Meeting>, _> { Err(later(0)) };
    let refused = PairJoin::start_at(&fixture.dir(), key, named("phone"), link, Box::new(meet));
    assert!(matches!(refused, Err(Error::Rendezvous(RendezvousError::Failed(_)))), "{refused:?}");
}

#[test]
fn every_wait_can_be_cancelled_and_gone_on_with() {
    let fixture = Fixture::new();
    let (ours, theirs) = chat();
    let mut offer =
        PairOffer::start(fixture.old.core.clone(), &relay(), |_, _, _| Ok(Box::new(ours))).unwrap();
    let cancel = Cancel::new();
    let waits = cancel.clone();
    let waiting = std::thread::spawn(move || (offer.wait_for_code_or(WAIT, &waits).map(drop), offer));
    cancel.cancel();
    let (woken, mut offer) = waiting.join().unwrap();
    assert!(matches!(woken, Err(Error::Cancelled)), "{woken:?}");

    let mut join = fixture.join(&offer.link().to_text(), theirs);
    assert_eq!(offer.wait_for_code(Duration::from_millis(1)).unwrap(), None);
    assert!(join.wait(WAIT).unwrap().is_none());
    let cancel = Cancel::new();
    let waits = cancel.clone();
    let waiting = std::thread::spawn(move || (join.wait_or(WAIT, &waits).map(drop), join));
    cancel.cancel();
    let (woken, join) = waiting.join().unwrap();
    assert!(matches!(woken, Err(Error::Cancelled)), "{woken:?}");
    let request = offer.wait_for_code(WAIT).unwrap().unwrap();
    assert_eq!(Some(request.code), join.code());
    let refused = offer.confirm_or(Confirmation::CodesEqual, &cancel);
    assert!(matches!(refused, Err(Error::Cancelled)), "{refused:?}");
    fixture.assert_nothing_changed();
}

#[test]
fn the_pause_between_two_tries_can_be_cancelled() {
    let fixture = Fixture::new();
    let (ours, _) = chat();
    let offer = PairOffer::start(fixture.old.core.clone(), &relay(), |_, _, _| Ok(Box::new(ours))).unwrap();
    let link = PairLink::parse(&offer.link().to_text()).unwrap();
    let meet = |_: &PairLink| -> Result<Box<dyn Meeting>, _> { Err(RendezvousError::Over) };
    let key = Arc::new(SoftwareKey::generate(&OsEntropy));
    let joining = PairJoin::start_at(&fixture.dir(), key, named("phone"), link, Box::new(meet));
    let mut join = joining.unwrap();
    join.retries.due = WAIT * 2;
    let cancel = Cancel::new();
    let waits = cancel.clone();
    let waiting = std::thread::spawn(move || join.wait_or(WAIT, &waits).map(drop));
    cancel.cancel();
    let woken = waiting.join().unwrap();
    assert!(matches!(woken, Err(Error::Cancelled)), "{woken:?}");
}
