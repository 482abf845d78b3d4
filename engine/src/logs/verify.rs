//! Checking a whole store: every page that the trees reach, every chain, every signature, every certificate.

use subrosa_model::control::Members;
use subrosa_protocol::segment::Kind;
use subrosa_store::error::StoreError;
use subrosa_store::logs::{BranchNo, LogsView};
use subrosa_store::sealed::Verified;

use crate::error::Error;
use crate::life::Core;
use crate::memory::state::{LogInfo, VaultState};

/// What [`crate::Device::verify`] checked and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Whether redb's account of its pages was wrong and has been rebuilt from the trees, which are whole.
    pub repaired: bool,
    /// Vaults checked.
    pub vaults: u64,
    /// Logs whose chain was walked from segment 0.
    pub logs: u64,
    /// Segments whose place, chain and signature hold.
    pub segments: u64,
    /// Segments that do not: damaged beneath the seal, which needs a bug or a stolen device key.
    pub bad_segments: u64,
    /// Logs that no control entry certifies here so far, as of a device that joined and has not synced since
    /// the device that let it in has. Not a fault.
    pub uncertified_logs: u64,
    /// Segments that are held and not merged: of logs that wait for a key, a certificate, the clock, the rest of a group or a
    /// newer version.
    pub quarantined: u64,
}

impl VerifyReport {
    /// Whether everything holds. What waits, in quarantine or for a certificate, is no fault of the store.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.bad_segments == 0
    }
}

impl Core {
    /// Reads and checks everything; other calls wait. About 60 microseconds a segment, and the disk's speed.
    pub(crate) fn verify(&self) -> Result<VerifyReport, Error> {
        let verified = self.with_open_alone(|open| Ok(open.verify_pages()?))?;
        let mut report = VerifyReport { repaired: verified == Verified::Repaired, ..VerifyReport::default() };
        let state = self.lock_state()?;
        self.with_open(|open| {
            let logs = open.doors()?.logs()?;
            for vault in state.vaults.values() {
                report.vaults += 1;
                verify_vault(&logs, vault, &mut report)?;
            }
            report.quarantined = logs.not_merged()?;
            Ok(())
        })?;
        Ok(report)
    }
}

fn verify_vault(logs: &LogsView, vault: &VaultState, report: &mut VerifyReport) -> Result<(), Error> {
    // Members are folded anew from what is stored, not taken from memory.
    let mut members = Members::new(vault.id);
    let mut used = Vec::new();
    for (number, log) in &vault.logs {
        for branch in vault.branches.of(*number) {
            if walk_branch(logs, vault, branch, log, &mut members, report)? {
                used.push(log.id);
            }
        }
    }
    report.uncertified_logs += vault.waiting.len() as u64;
    report.uncertified_logs += used.iter().filter(|log| members.certified(log).is_none()).count() as u64;
    Ok(())
}

/// Walks one branch of a log; says whether it has segments.
fn walk_branch(
    logs: &LogsView,
    vault: &VaultState,
    branch: BranchNo,
    log: &LogInfo,
    members: &mut Members,
    report: &mut VerifyReport,
) -> Result<bool, Error> {
    let Some(head) = logs.head(branch)? else { return Ok(false) };
    report.logs += u64::from(branch.is_first());
    let (mut prev, mut next) = (head.base.chain, head.base.seq);
    for segment in logs.segments(branch, head.base.seq..=head.seq)? {
        let (segment, chain) = segment?.into_parts();
        let holds = segment.header().seq == next
            && segment.header().prev == prev
            && segment.verify(&vault.id, &log.public).is_ok_and(|verified| verified == chain);
        if holds {
            report.segments += 1;
        } else {
            report.bad_segments += 1;
        }
        if segment.header().kind == Kind::CONTROL
            && let Some(key) = vault.keyring.control_key(segment.header().epoch)
            && let Ok(opened) = subrosa_model::seal::open(&vault.id, &segment, key)
        {
            // A refused entry counts for nothing; what it would have certified shows as uncertified.
            let _ = members.apply(log.id, segment.header().seq, &opened.data);
        }
        (prev, next) = (chain, next.next());
    }
    if prev != head.chain || next != head.seq.next() {
        return Err(Error::Store(StoreError::Inconsistent));
    }
    Ok(true)
}
