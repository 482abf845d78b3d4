//! What a thread keeps for its next call.

use std::cell::RefCell;
use std::thread::LocalKey;

/// Lends what this thread keeps under `kept`; a new one where that is lent already, or is gone: destructors of a
/// thread's variables, and handlers at a process's exit, call when the thread has none of its variables left.
pub fn with_kept<T: Default, R>(kept: &'static LocalKey<RefCell<T>>, work: impl FnOnce(&mut T) -> R) -> R {
    let mut work = Some(work);
    let mut lend = |kept: &mut T| work.take().map(|work| work(kept));
    let lent = kept.try_with(|kept| kept.try_borrow_mut().ok().and_then(|mut kept| lend(&mut kept)));
    let done = lent.ok().flatten().or_else(|| lend(&mut T::default()));
    done.expect("the work is done with what is kept, or else with something new")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    thread_local! {
        static KEPT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        static LAST: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
    }

    struct AtEnd(mpsc::Sender<(bool, usize)>);

    impl Drop for AtEnd {
        fn drop(&mut self) {
            let gone = KEPT.try_with(|_| ()).is_err();
            let found = with_kept(&KEPT, |kept| kept.len());
            self.0.send((gone, found)).unwrap();
        }
    }

    #[test]
    fn what_is_kept_is_lent_again_and_a_new_one_when_it_is_lent_or_gone() {
        let (done, is_done) = mpsc::channel();
        let work = move || {
            // Destroyed after what is first used after it.
            LAST.set(Some(AtEnd(done)));
            with_kept(&KEPT, |kept| kept.push(1));
            with_kept(&KEPT, |kept| {
                assert_eq!(kept.len(), 1);
                with_kept(&KEPT, |another| assert!(another.is_empty()));
            });
        };
        std::thread::spawn(work).join().unwrap();
        assert_eq!(is_done.recv(), Ok((true, 0)));
    }
}
