//! Finding out ahead whether signatures hold and what segments say ([`Ahead`](crate::memory::ahead::Ahead)), and using it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use subrosa_model::seal::{OpenedBody, open};
use subrosa_protocol::ids::{Chain, LogId, PublicKeyBytes, Seq, VaultId};
use subrosa_protocol::segment::{SealedSegment, VerifiedSegment};
use subrosa_protocol::verify::BadSignature;

use crate::error::Error;
use crate::life::Core;
use crate::life::commit::Tx;
use crate::memory::ahead::{Finding, Task};

impl Core {
    /// Finds out what can be found ahead, until `stop` is set.
    pub(crate) fn check_ahead(&self, stop: &AtomicBool) {
        while let Some(task) = self.ahead.next(stop) {
            self.find_out(task);
        }
    }

    fn find_out(&self, task: Task) {
        match task {
            Task::Verify { vault, public, segment } => {
                let checked = VerifiedSegment::check(&vault, public, segment.clone());
                let found = checked.map_or(Finding::Nothing, |proof| Finding::Verified(Box::new(proof)));
                self.ahead.found(&vault, &segment, found);
            }
            Task::Open { vault, segment, key } => {
                let opened = open(&vault, &segment, &*key);
                drop(key); // so that nobody but the keyring holds it when it is to be wiped
                self.ahead.found(&vault, &segment, opened.map_or(Finding::Nothing, Finding::Opened));
            }
        }
    }

    /// Finds out all that can be found now.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn check_what_arrived(&self) {
        while let Some(task) = self.ahead.try_next() {
            self.find_out(task);
        }
    }

    /// Lets segments of a vault be opened ahead.
    pub(crate) fn open_ahead(&self, vault: &VaultId) -> Result<(), Error> {
        let keys = self.with_vault(vault, |state| {
            let epochs = state.keyring.epochs.iter();
            Ok(epochs.filter_map(|epoch| Some((epoch.epoch, Arc::downgrade(epoch.key.as_ref()?)))).collect())
        })?;
        self.ahead.use_keys(vault, keys);
        Ok(())
    }
}

impl Tx<'_> {
    /// Checks that `public` signed a segment that came in.
    pub(crate) fn check_signature(
        &self,
        vault: &VaultId,
        public: PublicKeyBytes,
        segment: &SealedSegment,
    ) -> Result<VerifiedSegment, BadSignature> {
        match self.core.ahead.take_proof(vault, &public, segment) {
            Some(proof) => Ok(proof),
            None => VerifiedSegment::check(vault, public, segment.clone()),
        }
    }

    /// What a stored data segment says, if that was found ahead.
    pub(crate) fn opened_ahead(
        &self,
        vault: &VaultId,
        log: &LogId,
        seq: Seq,
        chain: &Chain,
    ) -> Option<OpenedBody> {
        self.core.ahead.take_body(vault, log, seq, chain)
    }
}
