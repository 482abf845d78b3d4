//! Faults that were mended, or never made, and can be had back: each is a switch of the compiler, `--cfg fault="name"`, by which the
//! simulator shows that it would find it (`docs/ARCHITECTURE.md`, "The simulator"). Without one the compiler removes all of it.
//!
//! `Cargo.toml` declares the names, `tests/simulator/known/` has the plans that show them.

/// Before new logs are opened, what waits is not sealed as the end of the old log: it goes into the new one, where its ops have another
/// name than the one by which deletes cover them. In `logs/rotate.rs`.
pub(crate) const PENDING_IN_NEW_LOGS: bool = cfg!(fault = "pending-in-new-logs");

/// Each opening opens new logs, as if a store that was moved were a copy, and repeats in them, under another name, what was
/// sealed last and may not have been acknowledged; what waits goes there, too. In `logs/settling.rs` and `logs/rotate.rs`.
pub(crate) const NEW_LOGS_AT_OPENING: bool = cfg!(fault = "new-logs-at-opening");

/// A segment of an own log that this device never made is passed over: it goes on with a log that has two futures. In
/// `logs/receive.rs`.
pub(crate) const OWN_FUTURE_UNSEEN: bool = cfg!(fault = "own-future-unseen");

/// Caps that certificates set do not count. In `logs/caps.rs`.
pub(crate) const CAPS_NOT_APPLIED: bool = cfg!(fault = "caps-not-applied");

/// Of logs that are capped at once, a stamp that was made while the clock was further ahead wins over one of a later log. In
/// `logs/put_right.rs`.
pub(crate) const CAPS_ALIKE: bool = cfg!(fault = "caps-alike");

/// A cap is the moment at which the clock was put right, however late what stays merged and was written over. In `logs/put_right.rs`.
pub(crate) const CAPS_AT_NOW: bool = cfg!(fault = "caps-at-now");

/// A clock that is put right caps the log that is written and others', and none that the device wrote before. In `logs/put_right.rs`.
pub(crate) const EARLIER_NOT_CAPPED: bool = cfg!(fault = "earlier-not-capped");

/// A clock that is put right caps the log that is written, and nothing of what the device has merged of any other. In
/// `logs/put_right.rs`.
pub(crate) const PREFIXES_NOT_CAPPED: bool = cfg!(fault = "prefixes-not-capped");

/// A clock that is put right caps nothing that is not here and was seen by whom it caps. In `logs/put_right.rs`.
pub(crate) const SEEN_NOT_CAPPED: bool = cfg!(fault = "seen-not-capped");

/// What a device wrote ahead and lost, as an older copy of its store was put back, is held until its time has come. In
/// `logs/put_right.rs`.
pub(crate) const OWN_STAYS_HELD: bool = cfg!(fault = "own-stays-held");

/// A vault in which the device may not seal when its clock is put right is not put right when it may. In `logs/put_right.rs`.
pub(crate) const NEVER_PUT_RIGHT_LATE: bool = cfg!(fault = "never-put-right-late");

/// A device that is let in does not keep the word of it. In `people/vaults.rs`.
pub(crate) const LISTING_NOT_KEPT: bool = cfg!(fault = "listing-not-kept");

/// A log has one future: the one that came first. Segments of others are passed over. In `logs/placing.rs`.
pub(crate) const ONE_FUTURE: bool = cfg!(fault = "one-future");

/// What a relay refuses of a branch is not carried, by nobody. In `logs/carrying.rs`.
pub(crate) const NOT_CARRIED: bool = cfg!(fault = "not-carried");

/// A device carries what it wrote itself, and nothing for an author who does not come. In `logs/carrying.rs`.
pub(crate) const NOT_CARRIED_FOR_OTHERS: bool = cfg!(fault = "not-carried-for-others");

/// What an acknowledgement shows to be refused is carried with the next write or link, and nobody who waits for a sync waits for it. In
/// `logs/outbox.rs`.
pub(crate) const CARRIED_TOO_LATE: bool = cfg!(fault = "carried-too-late");

/// What is carried and follows something that is not here yet gets no place when that has come. In `logs/placing.rs`.
pub(crate) const LOOSE_FORGOTTEN: bool = cfg!(fault = "loose-forgotten");

/// Control entries in a branch that a relay refuses are not repeated in the control log of now. In `logs/carrying.rs`.
pub(crate) const ENTRIES_NOT_REPEATED: bool = cfg!(fault = "entries-not-repeated");

/// HEADS names the tip of the first branch where the relay has a future that is not here: the relay takes it for what it has fed.
/// In `logs/outbox.rs`.
pub(crate) const HEADS_NAME_THE_TIP: bool = cfg!(fault = "heads-name-the-tip");

/// After heads were compared, only logs that moved since are looked at for what the relay lacks: what it lost is not sent
/// again. In `logs/outbox.rs`.
pub(crate) const LOST_NOT_SENT_AGAIN: bool = cfg!(fault = "lost-not-sent-again");

/// What a relay made up waits for a certificate for ever. In `logs/outbox.rs`.
pub(crate) const MADE_UP_STAYS: bool = cfg!(fault = "made-up-stays");

/// A member's segment that stands inside a group which never began is taken for damage of the store. In `logs/groups.rs`.
pub(crate) const MISPLACED_IS_DAMAGE: bool = cfg!(fault = "misplaced-is-damage");

/// What a delete hides that did not know it is not shown again. In `logs/sealing.rs`.
pub(crate) const NOTHING_SHOWN_AGAIN: bool = cfg!(fault = "nothing-shown-again");

/// What is shown again counts as written now, and wins over what was written since. In `records/write.rs`.
pub(crate) const SHOWN_AGAIN_AS_NEW: bool = cfg!(fault = "shown-again-as-new");

/// A group says that its author has seen a closing segment, and whoever does not hold that takes it for nothing. In `logs/batches.rs` and
/// `logs/repair/knowledge.rs`.
pub(crate) const CLOSINGS_SEEN: bool = cfg!(fault = "closings-seen");

/// What waits for sealing when something of another future of a log is merged goes on in one batch, and says that it has seen that
/// future. In `logs/pass.rs` and `logs/placing.rs`.
pub(crate) const BATCHES_SPAN_FORKS: bool = cfg!(fault = "batches-span-forks");

/// A local write returns before it is durable. In `logs/local.rs`.
pub(crate) const WRITES_NOT_DURABLE: bool = cfg!(fault = "writes-not-durable");
