//! Logs: receiving, waiting, merging, sealing, sending, new logs for copies, quarantine.

pub(crate) mod copies;
pub(crate) mod link_keys;
pub(crate) mod local;
pub(crate) mod merging;
pub(crate) mod notes;
pub(crate) mod outbox;
pub(crate) mod pass;
pub(crate) mod quarantine;
pub(crate) mod receive;
pub(crate) mod rotate;
pub(crate) mod sealing;
pub(crate) mod shown;
pub(crate) mod verify;
pub(crate) mod waiting;
