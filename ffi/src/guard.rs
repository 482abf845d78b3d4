//! What stands around every call: no panic passes it, none is printed, and a failure becomes a status and an error.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};

use crate::failure::{ErrorObject, Failure};
use crate::handles;
use crate::status::{SUBROSA_OK, SUBROSA_PANIC};

/// Whose code runs on a thread, as far as it is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Nothing of ours has begun here; our own threads are known by their names.
    Unknown,
    Ours,
    /// A callback of the host's.
    Hosts,
}

thread_local! {
    static WHOSE: Cell<Whose> = const { Cell::new(Whose::Unknown) };
}

/// Runs one call. `handle` is the one that a panic poisons, 0 for none. The error, if there is one, is handed to
/// `report`.
pub(crate) fn run(
    handle: usize,
    report: impl FnOnce(usize),
    call: impl FnOnce() -> Result<(), Failure>,
) -> i32 {
    let failure = match caught(call) {
        Ok(Ok(())) => return SUBROSA_OK,
        Ok(Err(failure)) => failure,
        Err(()) => {
            if handle != 0 {
                handles::poison(handle);
            }
            Failure::new(SUBROSA_PANIC, "a bug in the library; this handle is not to be used any more")
        }
    };
    let code = failure.code;
    // Without a slot for it the caller still has the status.
    if let Ok(Ok(error)) = caught(|| handles::open(Arc::new(ErrorObject::from(failure)))) {
        report(error);
    }
    code
}

/// Runs a call that cannot fail; `R::default()` if it panics.
pub(crate) fn run_or_default<R: Default>(call: impl FnOnce() -> R) -> R {
    caught(call).unwrap_or_default()
}

/// Runs `call`; `Err` if it panicked.
pub(crate) fn caught<R>(call: impl FnOnce() -> R) -> Result<R, ()> {
    quiet_hook();
    let result = catch_unwind(AssertUnwindSafe(|| while_it_is(Whose::Ours, call)));
    result.map_err(|payload| {
        // The payload's own destructor may panic, too.
        let _ = catch_unwind(AssertUnwindSafe(move || drop(payload)));
    })
}

/// Runs a callback of the host's: a panic there is not ours to hush up.
pub(crate) fn in_host<R>(callback: impl FnOnce() -> R) -> R {
    while_it_is(Whose::Hosts, callback)
}

fn while_it_is<R>(whose: Whose, f: impl FnOnce() -> R) -> R {
    /// Also when it unwinds.
    struct Outer(Whose);
    impl Drop for Outer {
        fn drop(&mut self) {
            // A thread that ends has none of its variables left.
            let _ = WHOSE.try_with(|whose| whose.set(self.0));
        }
    }
    let _outer = Outer(WHOSE.try_with(|held| held.replace(whose)).unwrap_or(Whose::Unknown));
    f()
}

/// Nothing is printed by a library: a panic of ours goes to the log, any other where it went before.
fn quiet_hook() {
    static HOOK: Once = Once::new();
    // A Rust host that calls while it unwinds cannot have its hook changed; the next call does it.
    if std::thread::panicking() {
        return;
    }
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let ours = match WHOSE.try_with(Cell::get).unwrap_or(Whose::Unknown) {
                Whose::Ours => true,
                Whose::Hosts => false,
                Whose::Unknown => {
                    std::thread::current().name().is_some_and(|name| name.starts_with("subrosa-"))
                }
            };
            if !ours {
                return before(info);
            }
            // The message of a panic may quote data; the place cannot.
            let (file, line) = info.location().map_or(("?", 0), |place| (place.file(), place.line()));
            tracing::error!(file, line, "panicked");
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_status() {
        let mut reported = 0;
        let status = run(0, |error| reported = error, || panic!("not for anybody's eyes"));
        assert_eq!(status, SUBROSA_PANIC);
        let error = handles::close::<ErrorObject>(reported).unwrap();
        assert!(!error.message.to_str().unwrap().contains("eyes"));
        assert_eq!(run_or_default(|| -> u32 { panic!() }), 0);
    }
}
