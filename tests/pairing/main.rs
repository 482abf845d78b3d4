//! Pairing end to end: real stores, a real relay on loopback, real links.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use subrosa::{
    AbortReason, Confirmation, Device, Error, Options, OsEntropy, PairError, PairJoin, PairLink, PairOffer,
    PairRequest, Record, RendezvousError, SoftwareKey, Value,
};
use subrosa_relay::{Config, Relay, RunningRelay};

const WAIT: Duration = Duration::from_secs(30);

struct World {
    root: tempfile::TempDir,
    relay: RunningRelay,
    laptop: Device,
}

fn options(name: &str) -> Options {
    Options::default().device_name(name)
}

fn key() -> Arc<SoftwareKey> {
    Arc::new(SoftwareKey::generate(&OsEntropy))
}

fn note(title: &str) -> Record {
    Record([("title".to_owned(), Value::from(title))].into())
}

impl World {
    /// A closed relay, and a laptop with an invite that has never been online.
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let config = Config { listen: "127.0.0.1:0".parse().unwrap(), ..Config::default() };
        let data = root.path().join("relay");
        subrosa_relay::init(&data, &config).unwrap();
        let relay = Relay::start(config, &data).unwrap();
        let laptop = Device::create(root.path().join("laptop"), key(), options("laptop")).unwrap();
        laptop.create_vault("personal").unwrap().records("notes").insert(&note("first")).unwrap();
        laptop.set_relay(Some(&relay.invite_url(1).unwrap())).unwrap();
        Self { root, relay, laptop }
    }

    fn offer(&self) -> PairOffer {
        self.laptop.pair_offer(&self.laptop.relay().unwrap().unwrap()).unwrap()
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn answer(&self, name: &str, link: &str) -> PairJoin {
        PairJoin::start(self.dir(name), key(), options(name), PairLink::parse(link).unwrap()).unwrap()
    }

    /// The code is known on both sides.
    fn shown(&self) -> (PairOffer, PairRequest, PairJoin) {
        let mut offer = self.offer();
        let mut join = self.answer("phone", &offer.link().to_text());
        let waiting = std::thread::spawn(move || {
            assert!(join.wait(WAIT).unwrap().is_none());
            join
        });
        let request = offer.wait_for_code(WAIT).unwrap().expect("the phone answers");
        let join = waiting.join().unwrap();
        assert_eq!(join.code(), Some(request.code));
        (offer, request, join)
    }

    fn assert_nothing_changed(&self) {
        assert_eq!(self.laptop.vault("personal").unwrap().devices().unwrap().len(), 1);
        assert!(!self.dir("phone").exists());
    }
}

#[test]
fn a_second_device_is_let_in_and_has_everything() {
    let world = World::new();
    let (offer, request, mut join) = world.shown();
    assert_eq!(request.name, "phone");
    let joining = std::thread::spawn(move || join.wait(WAIT).unwrap().expect("the laptop confirms"));
    let typed = request.code.to_string();
    let info = offer.confirm(Confirmation::Typed(&typed)).unwrap();
    let phone = joining.join().unwrap();
    assert_eq!((info.public, info.name.as_str()), (phone.public(), "phone"));
    let relay = phone.relay().unwrap().expect("the relay came along");
    assert!(relay.invite().is_none(), "an invite is not passed on");
    assert_eq!(relay.pin(), world.relay.url().unwrap().pin());

    phone.vault("personal").unwrap().records("notes").insert(&note("second")).unwrap();
    let live = world.laptop.sync(&world.laptop.relay().unwrap().unwrap()).unwrap();
    live.wait_caught_up(WAIT).unwrap();
    let other = phone.sync(&relay).unwrap();
    other.wait_caught_up(WAIT).unwrap();
    let mut changes = world.laptop.vault("personal").unwrap().watch();
    while world.laptop.vault("personal").unwrap().records("notes").len().unwrap() < 2 {
        assert!(changes.next(WAIT).is_some(), "the phone's note arrives");
    }
    assert_eq!(phone.vault("personal").unwrap().records("notes").len().unwrap(), 2);
    let names = |device: &Device| {
        let devices = device.vault("personal").unwrap().devices().unwrap();
        devices.into_iter().map(|device| device.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&world.laptop), ["laptop", "phone"]);
    assert_eq!(names(&phone), ["laptop", "phone"]);
}

#[test]
fn a_link_is_good_for_one_device() {
    let world = World::new();
    let (offer, _, _join) = world.shown();
    let mut second = world.answer("tablet", &offer.link().to_text());
    let refused = second.wait(WAIT);
    assert!(matches!(refused, Err(Error::Rendezvous(RendezvousError::Over))), "{refused:?}");
    assert!(!world.dir("tablet").exists());
    drop(offer);
    world.assert_nothing_changed();
}

#[test]
fn a_withdrawn_link_is_refused() {
    let world = World::new();
    let offer = world.offer();
    let link = offer.link().to_text();
    drop(offer);
    let refused = world.answer("phone", &link).wait(WAIT);
    assert!(matches!(refused, Err(Error::Rendezvous(RendezvousError::Over))), "{refused:?}");
    world.assert_nothing_changed();
}

#[test]
fn a_wrong_code_changes_nothing_on_either_side() {
    let world = World::new();
    let (offer, request, mut join) = world.shown();
    let code: u32 = request.code.to_string().parse().unwrap();
    let wrong = format!("{:06}", (code + 1) % 1_000_000);
    let refused = offer.confirm(Confirmation::Typed(&wrong));
    assert!(matches!(refused, Err(Error::Pair(PairError::WrongCode))), "{refused:?}");
    let told = join.wait(WAIT);
    assert!(matches!(told, Err(Error::Pair(PairError::Aborted(AbortReason::WrongCode)))), "{told:?}");
    world.assert_nothing_changed();
}
