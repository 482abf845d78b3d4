use std::sync::mpsc::{Sender, channel};

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
    let options = DeviceOptions { cache_bytes: 0, name: "" };
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
