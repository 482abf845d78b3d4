//! Asynchronous calls: one named thread each, for as long as it takes, and one completion.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::device::DeviceObject;
use crate::failure::Failure;
use crate::guard;
use crate::process::PerProcess;
use crate::status::{SUBROSA_NO_RESOURCES, SUBROSA_PANIC};

/// Calls under way at once in a process; each is a thread that waits.
const TASKS_MAX: usize = 256;

/// What hears of the end.
pub(crate) trait Done: Send + 'static {
    fn done(self: Box<Self>, result: Result<(), Failure>);
}

/// How many are under way.
static UNDER_WAY: PerProcess<AtomicUsize> = PerProcess::new();

thread_local! {
    /// Numbers of the devices whose callback runs on this thread. Without a destructor, so that it is there to the thread's
    /// end, when handlers at a process's exit call; empty, it holds no memory.
    static CALLBACK_OF: ManuallyDrop<RefCell<Vec<u64>>> = const { ManuallyDrop::new(RefCell::new(Vec::new())) };
}

/// The calls of a device that are under way. No lock of the whole process, which a forked child might find held for ever.
#[derive(Default)]
pub(crate) struct Tasks {
    count: Mutex<usize>,
    ended: Condvar,
}

impl Tasks {
    fn lock(&self) -> MutexGuard<'_, usize> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a blocking call that closing the device has to wait for.
    pub(crate) fn enter(self: &Arc<Self>) -> Entered {
        *self.lock() += 1;
        Entered(self.clone())
    }

    /// Waits until none is under way, its completion included.
    pub(crate) fn wait(&self) {
        let ended = self.ended.wait_while(self.lock(), |count| *count > 0);
        drop(ended.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Whether this thread runs a callback of the device: then nothing may wait for that callback here.
pub(crate) fn is_in_callback_of(device: &DeviceObject) -> bool {
    CALLBACK_OF.try_with(|devices| devices.borrow().contains(&device.number)).unwrap_or(false)
}

/// Runs a callback of some devices.
pub(crate) fn in_callback_of<R>(devices: &[u64], callback: impl FnOnce() -> R) -> R {
    // Where a platform takes the variables away all the same, nobody is there to be told.
    let noted = CALLBACK_OF.try_with(|of| of.borrow_mut().extend_from_slice(devices)).is_ok();
    let result = callback();
    if noted {
        let _ = CALLBACK_OF.try_with(|of| {
            let mut of = of.borrow_mut();
            let before = of.len() - devices.len();
            of.truncate(before);
            if of.is_empty() {
                *of = Vec::new();
            }
        });
    }
    result
}

/// Runs `call` on a thread of its own and reports its end to `done`, exactly once. `device`, if there is one, waits for
/// it when it is closed.
pub(crate) fn start(
    device: Option<Arc<DeviceObject>>,
    handle: usize,
    done: Box<dyn Done>,
    call: impl FnOnce() -> Result<(), Failure> + Send + 'static,
) -> Result<(), Failure> {
    let of = device.as_ref().map_or(0, |device| device.number);
    let under_way = UnderWay::begin(device.as_ref().map(|device| &device.tasks))?;
    // Opened at this function's end: what fails until then is the start, and has no completion.
    let (begin, begun) = sync_channel::<()>(1);
    let thread = std::thread::Builder::new().name("subrosa-task".to_owned()).spawn(move || {
        let _under_way = under_way;
        if begun.recv().is_err() {
            return;
        }
        let result = guard::caught(call).unwrap_or_else(|()| {
            crate::handles::poison(handle);
            Err(Failure::new(SUBROSA_PANIC, "a bug in the library"))
        });
        in_callback_of(&[of], || done.done(result));
        drop(device);
    });
    thread.map_err(|_| Failure::new(SUBROSA_NO_RESOURCES, "cannot start a thread").retryable())?;
    // The thread waits for it.
    let _ = begin.send(());
    Ok(())
}

/// A call of a device under way; its end is told when this is dropped.
pub(crate) struct Entered(Arc<Tasks>);

impl Drop for Entered {
    fn drop(&mut self) {
        *self.0.lock() -= 1;
        self.0.ended.notify_all();
    }
}

/// An asynchronous call under way.
struct UnderWay {
    /// Of all of this process.
    count: &'static AtomicUsize,
    _of_device: Option<Entered>,
}

impl UnderWay {
    fn begin(tasks: Option<&Arc<Tasks>>) -> Result<Self, Failure> {
        let count = UNDER_WAY.get_or_new(|_| AtomicUsize::new(0));
        let more = |count: usize| (count < TASKS_MAX).then_some(count + 1);
        if count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_err() {
            return Err(Failure::new(SUBROSA_NO_RESOURCES, "too many calls are under way").retryable());
        }
        Ok(Self { count, _of_device: tasks.map(Tasks::enter) })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;
    use crate::api::cancel::CancelObject;
    use crate::handles;
    use crate::status::SUBROSA_POISONED;

    struct Tell(Sender<i32>);

    impl Done for Tell {
        fn done(self: Box<Self>, result: Result<(), Failure>) {
            self.0.send(result.map_or_else(|failure| failure.code, |()| 0)).unwrap();
        }
    }

    #[test]
    fn a_panic_in_an_asynchronous_call_is_its_end_and_spoils_its_handle() {
        let handle = handles::open(Arc::new(CancelObject(subrosa::Cancel::new()))).unwrap();
        let (tell, told) = channel();
        start(None, handle, Box::new(Tell(tell)), || panic!("in the middle")).unwrap();
        assert_eq!(told.recv(), Ok(SUBROSA_PANIC));
        assert!(told.recv().is_err(), "it is told once");
        let spoilt = handles::get::<CancelObject>(handle).err().map(|failure| failure.code);
        assert_eq!(spoilt, Some(SUBROSA_POISONED));
        handles::close::<CancelObject>(handle).unwrap();
    }
}
