use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use subrosa::Cancel;

use super::super::device::DeviceOptions;
use super::super::keys::KeyObject;
use super::*;

struct Here {
    _dir: tempfile::TempDir,
    device: Arc<DeviceObject>,
    notes: Arc<CollectionObject>,
}

fn here() -> Here {
    let dir = tempfile::tempdir().unwrap();
    let options = DeviceOptions { cache_bytes: 0, name: "", write_wait_ms: 0 };
    let device =
        DeviceObject::create(dir.path().to_str().unwrap(), &KeyObject::generate(), &options).unwrap();
    let vault = VaultObject::create(device.clone(), "personal").unwrap();
    Here { _dir: dir, device, notes: vault.collection("notes").unwrap() }
}

fn write(here: &Here) {
    here.notes.collection.insert(&subrosa::Record::default()).unwrap();
}

fn kind(event: Result<Event, Failure>) -> Result<(i32, u64), i32> {
    event.map(|event| (event.kind, event.tag)).map_err(|failure| failure.code)
}

#[test]
fn sources_take_turns_and_end_once() {
    let here = here();
    let queue = EventsObject::new();
    queue.add_collection(&here.notes, 1).unwrap();
    queue.add_vault(&here.notes.vault, 2).unwrap();
    write(&here);
    write(&here);
    let tags: Vec<_> = (0..4).map(|_| kind(queue.wait(0, None)).unwrap()).collect();
    assert_eq!(tags, [1, 2, 1, 2].map(|tag| (SUBROSA_EVENT_RECORD, tag)));
    assert_eq!(kind(queue.wait(0, None)), Ok((SUBROSA_EVENT_NONE, 0)));
    here.device.close().unwrap();
    let mut over = [kind(queue.wait(-1, None)).unwrap(), kind(queue.wait(-1, None)).unwrap()];
    over.sort_unstable();
    assert_eq!(over, [(SUBROSA_EVENT_OVER, 1), (SUBROSA_EVENT_OVER, 2)]);
    assert_eq!(kind(queue.wait(0, None)), Ok((SUBROSA_EVENT_NONE, 0)));
}

#[test]
fn what_is_removed_is_not_heard_of_again() {
    let here = here();
    let queue = EventsObject::new();
    queue.add_collection(&here.notes, 1).unwrap();
    queue.add_collection(&here.notes, 2).unwrap();
    write(&here);
    queue.remove(1);
    assert_eq!(kind(queue.wait(0, None)), Ok((SUBROSA_EVENT_RECORD, 2)));
    assert_eq!(kind(queue.wait(0, None)), Ok((SUBROSA_EVENT_NONE, 0)));
}

#[test]
fn a_wait_ends_by_an_event_by_its_token_and_by_closing() {
    let here = here();
    let queue = EventsObject::new();
    queue.add_collection(&here.notes, 1).unwrap();
    let cancel = CancelObject(Cancel::new());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| kind(queue.wait(-1, Some(&cancel))));
        write(&here);
        assert_eq!(waiting.join().unwrap(), Ok((SUBROSA_EVENT_RECORD, 1)));
        let waiting = scope.spawn(|| kind(queue.wait(-1, Some(&cancel))));
        cancel.0.cancel();
        assert_eq!(waiting.join().unwrap(), Err(SUBROSA_CANCELLED));
        let waiting = scope.spawn(|| kind(queue.wait(-1, None)));
        queue.close();
        assert_eq!(waiting.join().unwrap(), Err(SUBROSA_CLOSED));
    });
    assert_eq!(queue.add_vault(&here.notes.vault, 1).unwrap_err().code, SUBROSA_CLOSED);
}

struct Tell {
    queue: Arc<EventsObject>,
    device: Arc<DeviceObject>,
    heard: Sender<(i32, i32, bool)>,
}

impl Listener for Tell {
    fn deliver(&self, event: Event) {
        let close = self.queue.check_close().map_or_else(|failure| failure.code, |()| 0);
        let _ = self.heard.send((event.kind, close, task::is_in_callback_of(&self.device)));
    }
}

#[test]
fn a_listener_hears_what_nobody_may_wait_for_and_cannot_close_its_own_queue() {
    let here = here();
    let queue = EventsObject::new();
    queue.add_collection(&here.notes, 1).unwrap();
    let (heard, hearing) = channel();
    queue.listen(Box::new(Tell { queue: queue.clone(), device: here.device.clone(), heard })).unwrap();
    assert_eq!(kind(queue.wait(0, None)), Err(SUBROSA_BUSY));
    write(&here);
    assert_eq!(hearing.recv().unwrap(), (SUBROSA_EVENT_RECORD, SUBROSA_WOULD_DEADLOCK, true));
    queue.unlisten();
    // The listener is gone, and with it the sender.
    assert!(hearing.recv().is_err());
    write(&here);
    assert_eq!(kind(queue.wait(0, None)), Ok((SUBROSA_EVENT_RECORD, 1)));
}

struct LeaveAtOnce(Arc<EventsObject>, Sender<()>);

impl Listener for LeaveAtOnce {
    fn deliver(&self, _: Event) {
        self.0.unlisten();
        let _ = self.1.send(());
    }
}

#[test]
fn a_listener_may_leave_from_within_its_callback() {
    let here = here();
    let queue = EventsObject::new();
    queue.add_collection(&here.notes, 1).unwrap();
    let (left, leaving) = channel();
    queue.listen(Box::new(LeaveAtOnce(queue.clone(), left))).unwrap();
    write(&here);
    leaving.recv().unwrap();
    assert!(leaving.recv().is_err(), "it is dropped once its callback has returned");
    write(&here);
    assert_eq!(kind(queue.wait(-1, None)), Ok((SUBROSA_EVENT_RECORD, 1)));
}

/// Reports each event, and waits for leave.
struct Slow {
    entered: Sender<u64>,
    leave: Mutex<Receiver<()>>,
}

impl Listener for Slow {
    fn deliver(&self, event: Event) {
        let _ = self.entered.send(event.tag);
        let _ = self.leave.lock().unwrap().recv();
    }
}

#[test]
fn what_a_listener_did_not_hear_can_be_pulled() {
    for _ in 0..20 {
        let here = here();
        let queue = EventsObject::new();
        queue.add_collection(&here.notes, 1).unwrap();
        let ((entered, entering), (leave, leaving)) = (channel(), channel());
        queue.listen(Box::new(Slow { entered, leave: Mutex::new(leaving) })).unwrap();
        for _ in 0..3 {
            write(&here);
        }
        entering.recv().unwrap();
        std::thread::scope(|scope| {
            let ending = scope.spawn(|| queue.unlisten());
            // From now on no callback waits.
            drop(leave);
            ending.join().unwrap();
        });
        let heard = 1 + entering.iter().count();
        let mut pulled = 0;
        while kind(queue.wait(0, None)) == Ok((SUBROSA_EVENT_RECORD, 1)) {
            pulled += 1;
        }
        assert_eq!(heard + pulled, 3);
    }
}

#[test]
fn who_leaves_from_within_is_waited_for_by_others_and_nobody_listens_meanwhile() {
    struct Leave {
        queue: Arc<EventsObject>,
        left: Sender<()>,
        go: Mutex<Receiver<()>>,
    }

    impl Listener for Leave {
        fn deliver(&self, _: Event) {
            self.queue.unlisten();
            self.left.send(()).unwrap();
            let _ = self.go.lock().unwrap().recv();
        }
    }

    let here = here();
    let queue = EventsObject::new();
    queue.add_collection(&here.notes, 1).unwrap();
    let ((left, leaving), (go, going)) = (channel(), channel());
    queue.listen(Box::new(Leave { queue: queue.clone(), left, go: Mutex::new(going) })).unwrap();
    write(&here);
    leaving.recv().unwrap();
    let (entered, _entering) = channel();
    let other = Box::new(Slow { entered, leave: Mutex::new(channel().1) });
    assert_eq!(queue.listen(other).unwrap_err().code, SUBROSA_BUSY);
    std::thread::scope(|scope| {
        let queue = &queue;
        let ending = scope.spawn(move || {
            queue.unlisten();
            // The listener is dropped by now.
            assert!(leaving.try_recv().is_err_and(|error| error == TryRecvError::Disconnected));
        });
        go.send(()).unwrap();
        ending.join().unwrap();
    });
    queue.close();
}

#[test]
fn a_panic_of_a_listener_ends_one_delivery() {
    struct Panic(Sender<i32>, std::sync::atomic::AtomicBool);

    impl Listener for Panic {
        fn deliver(&self, event: Event) {
            assert!(self.1.swap(true, std::sync::atomic::Ordering::SeqCst), "the first time");
            self.0.send(event.kind).unwrap();
        }
    }

    let here = here();
    let queue = EventsObject::new();
    queue.add_collection(&here.notes, 1).unwrap();
    let (heard, hearing) = channel();
    queue.listen(Box::new(Panic(heard, false.into()))).unwrap();
    write(&here);
    write(&here);
    assert_eq!(hearing.recv().unwrap(), SUBROSA_EVENT_RECORD);
    here.device.close().unwrap();
    assert_eq!(hearing.recv().unwrap(), SUBROSA_EVENT_OVER);
    queue.close();
}

#[test]
fn each_thing_that_sync_says_of_a_vault_has_a_kind_of_its_own() {
    let vault = subrosa::VaultId::from_bytes([7; 32]);
    let kinds = [
        SyncEvent::CaughtUp(vault),
        SyncEvent::Synced(vault),
        SyncEvent::Disagrees(vault),
        SyncEvent::UpdateNeeded(vault),
        SyncEvent::Disputed(vault),
    ]
    .map(|event| {
        let told = of_sync(&event);
        assert_eq!(told.vault, [7; 32], "{event:?}");
        told.kind
    });
    let wanted = [
        SUBROSA_EVENT_CAUGHT_UP,
        SUBROSA_EVENT_SYNCED,
        SUBROSA_EVENT_DISAGREES,
        SUBROSA_EVENT_UPDATE_NEEDED,
        SUBROSA_EVENT_DISPUTED,
    ];
    assert_eq!(kinds, wanted);
}

#[test]
fn what_sync_says_of_clocks_has_a_number_and_is_over_with_none() {
    let told = |event| {
        let event = of_sync(&event);
        (event.kind, event.number)
    };
    let clock = |ahead_ms| told(SyncEvent::Clock { ahead_ms });
    assert_eq!([clock(Some(-400_000)), clock(None)], [-400_000, 0].map(|ms| (SUBROSA_EVENT_CLOCK, ms)));
    let held = |until_ms| told(SyncEvent::Held { until_ms });
    assert_eq!([held(Some(7)), held(None)], [7, 0].map(|ms| (SUBROSA_EVENT_HELD, ms)));
    let vault = subrosa::VaultId::from_bytes([4; 32]);
    let forked = of_sync(&SyncEvent::Forked(vault));
    assert_eq!((forked.kind, forked.vault), (SUBROSA_EVENT_FORKED, *vault.as_bytes()));
}
