//! What others leave for a feed, and one step of it against the store.

use std::sync::{Mutex, MutexGuard, PoisonError};

use subrosa_protocol::ids::Rseq;
use subrosa_protocol::limits;
use subrosa_protocol::relay_link::{Feed, FeedStep, Want};

use crate::store::{LogStore, Scan, StoreError};

/// What others leave for a feed. Its lock is held for moments.
#[derive(Default)]
pub(crate) struct Mail(Mutex<Letters>);

#[derive(Default)]
struct Letters {
    grown: bool,
    wants: Vec<Want>,
    own: Vec<(Rseq, Rseq)>,
    asked: Option<u64>,
}

impl Mail {
    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The vault has new segments.
    pub(crate) fn grown(&self) {
        self.letters().grown = true;
    }

    /// These rseq are the link's own.
    pub(crate) fn pushed_here(&self, first: Rseq, last: Rseq) {
        let own = &mut self.letters().own;
        if let Some((_, end)) = own.last_mut()
            && end.next() == first
        {
            *end = last;
        } else if own.len() < limits::OWN_RANGES_MAX {
            own.push((first, last)); // one too many is fed back, which costs the client a comparison
        }
    }

    /// The client asks for segments again; too many such questions are dropped.
    pub(crate) fn want(&self, want: Want) {
        let mut letters = self.letters();
        if letters.wants.len() < limits::WANTS_MAX {
            letters.wants.push(want);
        }
    }

    /// The client asks whether it has everything; the last question stands for those before it.
    pub(crate) fn ask(&self, number: u64) {
        self.letters().asked = Some(number);
    }

    /// Hands all of it to the feed.
    pub(crate) fn collect(&self, feed: &mut Feed) {
        let letters = std::mem::take(&mut *self.letters());
        for (first, last) in letters.own {
            feed.pushed_here(first, last);
        }
        for want in letters.wants {
            if !feed.want(want) {
                tracing::debug!(vault = %feed.vault(), "want dropped");
            }
        }
        if let Some(number) = letters.asked {
            feed.ask(number);
        }
        if letters.grown {
            feed.wake();
        }
    }
}

/// Reads what a step asks for. After an error the feed stands behind what was read before it.
///
/// # Errors
/// [`StoreError`].
pub(crate) fn read(store: &dyn LogStore, feed: &mut Feed, step: FeedStep) -> Result<(), StoreError> {
    let vault = *feed.vault();
    match step {
        FeedStep::Scan { after, class } => {
            let end = store.scan(&vault, Scan { after, class }, &mut |stored| feed.offer(stored))?;
            if let Some((rseq, digest)) = end {
                feed.scanned(rseq, digest);
            }
        }
        FeedStep::Range(want) => {
            if store.range(&vault, want, &mut |stored| feed.offer(stored))? {
                feed.ranged();
            }
        }
        FeedStep::Wait => {}
    }
    Ok(())
}
