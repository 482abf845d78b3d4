//! What a device's life says to a call: it is over, it rests, or it is busy.

/// Why an open device does not do something now. Nothing is wrong with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LifeError {
    /// The device was closed, or the transaction or snapshot has ended with it.
    #[error("the store is closed")]
    Closed,
    /// The device is suspended, or was since this transaction or snapshot was begun. Resume it first.
    #[error("the store is suspended")]
    Suspended,
    /// This is a forked child of the process that opened the store. Open it anew, once the parent has closed it.
    #[error("the store belongs to the process that this one was forked from")]
    Forked,
    /// A transaction or a snapshot is still alive, and what was asked for needs the store for itself. End it, then
    /// try again.
    #[error("a transaction of the store is still in progress")]
    Busy,
    /// This thread has a transaction open, and the call would wait for it to end. Make the call in the transaction, or
    /// end that first; trying again does not help.
    #[error("a transaction of this thread is in progress, which the call would wait for")]
    BusyHere,
}
