//! The thread on which a link's store work is done: one job at a time, in the order given.
//!
//! Every job is a blocking call into the core, most of them a durable transaction. When sync stops, a job under way is
//! finished, unless it waits for its turn; those that wait for the thread are not begun.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use subrosa_model::control::BirthError;
use subrosa_protocol::client_link::{Input, Output, Prepared, Received};
use subrosa_protocol::ids::{Pin, PublicKeyBytes, VaultId};
use tokio::sync::mpsc;

use super::thread::{EngineThread, Panicked};
use super::work::{Answer, Work};
use crate::error::{Error, SyncFault};
use crate::life::Core;
use crate::life::gate::end_waits_when;
use crate::logs::link_keys::LinkKeys;
use crate::sync::engine::Engine;

/// Jobs handed over and not begun. A full channel keeps the next ones with the link, whose machine has at most a
/// few under way for each vault.
const JOBS_MAX: usize = 4;
/// Answers not taken. A full channel makes the worker wait for the link.
pub(super) const ANSWERS_MAX: usize = 16;

/// The relay at the other end of a link, as its store work needs it.
#[derive(Clone, Copy)]
pub(super) struct Peer {
    /// Which of the links to it.
    pub(super) share: usize,
    /// Goes into proofs.
    pub(super) exporter: [u8; 32],
    /// The key whose pin is the relay's; `None` when the connection does not say.
    pub(super) key: Option<PublicKeyBytes>,
}

#[expect(clippy::large_enum_variant, reason = "a handful wait at most")]
pub(super) enum Job {
    Work {
        work: Work,
        peer: Peer,
        answers: mpsc::Sender<Answer>,
    },
    /// A link is over, and the relay perhaps not at hand any more.
    LinkOver {
        /// Which one.
        share: usize,
    },
    /// Say so when everything before it is done.
    Settle(std::sync::mpsc::SyncSender<()>),
}

pub(super) struct Worker {
    core: Arc<Engine>,
    jobs: mpsc::Sender<Job>,
    /// Jobs are dropped, and the one under way waits for no turn of the store any more.
    stopping: Arc<AtomicBool>,
    thread: EngineThread<()>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

impl Worker {
    pub(super) fn start(core: Arc<Engine>, relay: Pin) -> std::io::Result<Self> {
        let (jobs, mut waiting) = mpsc::channel(JOBS_MAX);
        let stopping = Arc::new(AtomicBool::new(false));
        let (stop, of) = (stopping.clone(), core.clone());
        let thread = EngineThread::spawn(of.process(), "subrosa-store", move || {
            end_waits_when(stop.clone());
            let mut keys: HashMap<usize, LinkKeys> = HashMap::new();
            while let Some(job) = waiting.blocking_recv() {
                match job {
                    Job::Work { .. } if stop.load(Ordering::SeqCst) => {}
                    // A link that is over takes no answers; its work is done all the same.
                    Job::Work { work, peer, answers } => {
                        let keys = keys.entry(peer.share).or_default();
                        drop(answers.blocking_send(perform(&core, (&relay, &peer), keys, work)));
                    }
                    Job::LinkOver { share } => {
                        keys.remove(&share);
                        core.ahead.forget();
                        core.stop_sealing();
                    }
                    // Nobody may be there any more to hear it.
                    Job::Settle(done) => drop(done.try_send(())),
                }
            }
        })?;
        Ok(Self { core: of, jobs, stopping, thread })
    }

    /// A host's transaction may be open for ever: the job under way does not wait for it any more.
    fn hurry(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.core.look_again();
    }

    pub(super) const fn jobs(&self) -> &mpsc::Sender<Job> {
        &self.jobs
    }

    /// Finishes the job under way, drops those that wait, and leaves the store alone; `false` if the thread panicked.
    /// Not to be called from within an executor.
    pub(super) fn settle(&self) -> bool {
        self.hurry();
        let (done, settled) = std::sync::mpsc::sync_channel(1);
        let is_well = self.jobs.blocking_send(Job::Settle(done)).is_ok() && settled.recv().is_ok();
        self.stopping.store(false, Ordering::SeqCst);
        self.core.ahead.forget();
        is_well
    }

    /// Finishes the job under way and ends the thread.
    pub(super) fn stop(mut self) {
        self.hurry();
        let (closed, _) = mpsc::channel(1);
        self.jobs = closed;
        if let Some(Err(Panicked)) = self.thread.join() {
            tracing::error!("the store thread panicked");
        }
    }
}

/// Does one thing that a link's machine asks of the store.
pub(super) fn perform(core: &Core, relay: (&Pin, &Peer), keys: &mut LinkKeys, work: Work) -> Answer {
    let done = match work {
        Work::List => core.sync_vaults().map(Answer::Vaults),
        Work::MergeHeld => core.merge_held().map(|()| Answer::Merged),
        Work::Link(output) => {
            let (vault, answered) = (vault_of(&output), answered(&output));
            match (perform_output(core, relay, keys, output), vault) {
                (Ok(answer), Some(vault)) => note_update_needed(core, vault, answer),
                (Err(error), Some(vault)) => match fault_of(&error) {
                    // One vault's matter: the others go on.
                    Some(fault) => Ok(Answer::Faulty { vault, fault, answered }),
                    None => Err(error),
                },
                (done, None) => done,
            }
        }
    };
    done.unwrap_or_else(Answer::Failed)
}

/// What is wrong with one vault, and not with the store.
const fn fault_of(error: &Error) -> Option<SyncFault> {
    match error {
        Error::Peer(fault) => Some(SyncFault::Peer(*fault)),
        Error::Birth(BirthError::LogsUsedUp) => Some(SyncFault::LogsUsedUp),
        Error::UpdateNeeded => Some(SyncFault::UpdateNeeded),
        _ => None,
    }
}

/// Looks at each vault when something of it has arrived or was to be sealed.
fn note_update_needed(core: &Core, vault: VaultId, answer: Answer) -> Result<Answer, Error> {
    Ok(match answer {
        Answer::Input(input @ (Input::Delivered { .. } | Input::Sealed { .. }))
            if core.is_update_needed(&vault)? =>
        {
            Answer::UpdateNeeded { vault, input }
        }
        answer => answer,
    })
}

const fn vault_of(output: &Output) -> Option<VaultId> {
    match output {
        Output::Prepare { vault }
        | Output::LoadBirth { vault }
        | Output::StoreStatements { vault, .. }
        | Output::StoreGrant { vault, .. }
        | Output::StoreHeads { vault, .. }
        | Output::Deliver { vault, .. }
        | Output::Rotate { vault }
        | Output::Seal { vault }
        | Output::LoadOutbox { vault, .. }
        | Output::StoreAck { vault, .. } => Some(*vault),
        Output::Send(_) | Output::RelayNow { .. } | Output::StopFeed { .. } | Output::Event(_) => None,
    }
}

/// What the link waits for whatever became of the work: a batch and an acknowledgement are counted as long as they are
/// with the store. Everything else that is under way for a vault ends when it rests.
fn answered(output: &Output) -> Option<Input> {
    match output {
        Output::Deliver { vault, .. } => {
            Some(Input::Delivered { vault: *vault, received: Received::default() })
        }
        Output::StoreAck { vault, .. } => Some(Input::AckStored { vault: *vault, more: false }),
        _ => None,
    }
}

fn perform_output(
    core: &Core,
    (relay, peer): (&Pin, &Peer),
    keys: &mut LinkKeys,
    output: Output,
) -> Result<Answer, Error> {
    let input = match output {
        Output::Prepare { vault } => match prepare(core, relay, &vault, &peer.exporter) {
            Ok(prepared) => Input::Prepared { vault, prepared },
            // The store is well, but this vault cannot be proved: the others go on.
            Err(Error::NotPermitted | Error::NoVault | Error::Key(_)) => Input::Unable { vault },
            Err(error) => return Err(error),
        },
        Output::LoadBirth { vault } => Input::Birth { vault, birth: core.birth(&vault, relay)? },
        Output::StoreStatements { vault, statements } => {
            Input::StatementsStored { vault, kept: core.take_statements(&vault, &statements)? }
        }
        Output::StoreGrant { vault, grant } => {
            core.store_grant(relay, peer.key.as_ref(), &vault, &grant)?;
            return Ok(Answer::Done);
        }
        Output::RelayNow { now_ms } => {
            core.relay_now(now_ms)?;
            return Ok(Answer::Clock { ahead_ms: core.clock_ahead_ms() });
        }
        Output::StoreHeads { vault, incarnation, heads } => {
            let diverged = core.relay_heads(&vault, relay, incarnation, &heads)?;
            let own = core.live_logs(&vault)?;
            Input::HeadsStored { vault, diverged, own, heads: core.local_heads(&vault, relay)? }
        }
        Output::Deliver { vault, batch } => {
            core.open_ahead(&vault)?;
            let taken = core.receive(&vault, relay, keys, batch)?;
            tracing::trace!(%vault, segments = taken.segments, "taken in");
            Input::Delivered { vault, received: taken.received }
        }
        Output::Rotate { vault } => {
            core.rotate_logs(&vault)?;
            Input::Rotated { vault }
        }
        Output::Seal { vault } => Input::Sealed { vault, more: core.seal_for(&vault, relay)?.more },
        Output::LoadOutbox { vault, sent, bytes_max } => {
            Input::Outbox { vault, batch: core.outbox(&vault, relay, &sent, bytes_max)? }
        }
        Output::StoreAck { vault, entries, .. } => {
            Input::AckStored { vault, more: core.acked(&vault, relay, &entries)? }
        }
        Output::Send(_) | Output::StopFeed { .. } | Output::Event(_) => return Ok(Answer::Done),
    };
    Ok(Answer::Input(input))
}

fn prepare(core: &Core, relay: &Pin, vault: &VaultId, exporter: &[u8; 32]) -> Result<Prepared, Error> {
    let plan = core.sync_plan(vault, relay)?;
    let (role, public, signature) = core.sign_auth(vault, exporter)?;
    Ok(Prepared {
        role,
        public,
        signature,
        incarnation: plan.incarnation,
        cursor: plan.cursor,
        digest: plan.digest,
        chain: core.held_chain(vault)?,
    })
}

#[cfg(test)]
mod tests {
    use subrosa_model::control::{Entry, SignedEntry, UnknownEntry};
    use subrosa_protocol::codec::Extensions;
    use subrosa_protocol::limits::INCARNATIONS_MAX;

    use super::*;
    use crate::tests::TestDevice;

    fn asked(device: &TestDevice, output: Output) -> Answer {
        let peer = Peer { share: 0, exporter: [0; 32], key: None };
        perform(
            device.core(),
            (&Pin::from_bytes([1; 32]), &peer),
            &mut LinkKeys::default(),
            Work::Link(output),
        )
    }

    fn with_a_vault() -> (TestDevice, VaultId) {
        let device = TestDevice::new();
        let vault = device.device.as_ref().unwrap().create_vault("personal").unwrap().id();
        (device, vault)
    }

    #[test]
    fn a_vault_that_needs_an_update_is_told_whenever_something_of_it_arrives_or_is_to_be_sealed() {
        let (device, vault) = with_a_vault();
        let seal = || asked(&device, Output::Seal { vault });
        assert!(matches!(seal(), Answer::Input(Input::Sealed { more: false, .. })));
        let append = |number| {
            let entry = Entry::Unknown(UnknownEntry::new(0x90, Vec::new()));
            Ok(SignedEntry::sign(device.core().key(), &vault, number, entry, Extensions::new())?)
        };
        device.core().append_control(&vault, append).unwrap();
        let told = seal();
        assert!(
            matches!(told, Answer::UpdateNeeded { vault: of, input: Input::Sealed { more: false, .. } } if of == vault),
            "{told:?}"
        );
        // It is this vault's matter, and no reason to end the link.
        let rests = asked(&device, Output::Rotate { vault });
        assert!(matches!(rests, Answer::Faulty { fault: SyncFault::UpdateNeeded, .. }), "{rests:?}");
        let again = device.core().append_control(&vault, append);
        assert!(matches!(again, Err(Error::UpdateNeeded)), "{again:?}");
    }

    #[test]
    fn a_device_without_further_logs_rests_the_vault_and_not_the_link() {
        let (device, vault) = with_a_vault();
        let last = |tx: &mut crate::life::commit::Tx<'_>| {
            let number = tx.state.vault_no(&vault)?;
            let vault = tx.vault_mut(number)?;
            vault.keyring.logs.incarnation = INCARNATIONS_MAX - 1;
            vault.own_log_shown = true;
            Ok(())
        };
        device.core().write(last).unwrap();
        let rests = asked(&device, Output::Rotate { vault });
        assert!(matches!(rests, Answer::Faulty { fault: SyncFault::LogsUsedUp, .. }), "{rests:?}");
    }
}
