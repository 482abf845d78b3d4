//! Asynchronous calls: one named thread each, for as long as it takes, and one completion.

use std::cell::RefCell;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::device::DeviceObject;
use crate::failure::Failure;
use crate::guard;
use crate::status::{SUBROSA_NO_RESOURCES, SUBROSA_PANIC};

/// Calls under way at once in a process; each is a thread that waits.
const TASKS_MAX: usize = 256;

/// What hears of the end.
pub(crate) trait Done: Send + 'static {
    fn done(self: Box<Self>, result: Result<(), Failure>);
}

/// The devices of the calls under way.
static TASKS: Mutex<Vec<usize>> = Mutex::new(Vec::new());
static ENDED: Condvar = Condvar::new();

thread_local! {
    /// Devices whose callback runs on this thread.
    static CALLBACK_OF: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// What names a device here.
pub(crate) fn number(device: &Arc<DeviceObject>) -> usize {
    Arc::as_ptr(device).addr()
}

/// Whether this thread runs a callback of the device: then nothing may wait for that callback here.
pub(crate) fn is_in_callback_of(device: &Arc<DeviceObject>) -> bool {
    CALLBACK_OF.with_borrow(|devices| devices.contains(&number(device)))
}

/// Runs a callback of some devices.
pub(crate) fn in_callback_of<R>(devices: &[usize], callback: impl FnOnce() -> R) -> R {
    CALLBACK_OF.with_borrow_mut(|of| of.extend_from_slice(devices));
    let result = callback();
    CALLBACK_OF.with_borrow_mut(|of| of.truncate(of.len() - devices.len()));
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
    let of = device.as_ref().map_or(0, number);
    {
        let mut tasks = TASKS.lock().unwrap_or_else(PoisonError::into_inner);
        if tasks.len() >= TASKS_MAX {
            return Err(Failure::new(SUBROSA_NO_RESOURCES, "too many calls are under way").retryable());
        }
        tasks.push(of);
    }
    let under_way = UnderWay(of);
    // Opened by this function's end, so that the completion cannot come before the caller knows of the start.
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

/// A call under way; its end is told when this is dropped.
struct UnderWay(usize);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut tasks = TASKS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = tasks.iter().position(|of| *of == self.0) {
            tasks.swap_remove(index);
        }
        drop(tasks);
        ENDED.notify_all();
    }
}

/// Waits until no call of the device is under way, its completion included.
pub(crate) fn wait_for_tasks_of(device: &Arc<DeviceObject>) {
    let of = number(device);
    let tasks = TASKS.lock().unwrap_or_else(PoisonError::into_inner);
    drop(ENDED.wait_while(tasks, |tasks| tasks.contains(&of)).unwrap_or_else(PoisonError::into_inner));
}
