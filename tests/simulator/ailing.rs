//! What comes of disks that stop, fail or are full: the process is started again, and what was acknowledged is there. A call may
//! fail, with an error of the store; what is left in memory must not show less than before.

use subrosa::Error;
use subrosa::testing::simulated::standing;

use super::disk::{Ail, Loss, Refusal, SimDisk};
use super::failure::{Failure, Kind};
use super::model::OpSet;
use super::sights::Sight;
use super::world::World;

impl World {
    /// What a call says that failed: its disk's fault, if the disk has stopped or refused something and the error is one of the store.
    pub(super) fn call_fails(&self, site: usize, error: &Error) -> Failure {
        let disk = &self.sites[site].disk;
        let is_disk = (disk.has_refused() || disk.is_dead()) && matches!(error, Error::Store(_));
        let kind = if is_disk { Kind::DiskFails } else { Kind::CallFails };
        Failure::new(kind, format!("site {site}: {error}"))
    }

    /// What a device shows, or what it is known to have, if it cannot be asked.
    pub(super) fn seen_or_known(&self, site: usize) -> Result<OpSet, Failure> {
        if self.sites[site].device.is_none() {
            return Ok(self.sites[site].known);
        }
        match self.seen(site) {
            Err(failure) if failure.kind == Kind::DiskFails => Ok(self.sites[site].known),
            seen => seen,
        }
    }

    /// The disk goes on with what is left on it.
    pub(super) fn revive(&mut self, site: usize) {
        self.close(site);
        let of = &mut self.sites[site];
        let is_lost = of.disk.is_behind() && of.loss != Loss::Nothing;
        let (image, is_full) = (of.disk.after(of.loss, &mut self.dice), of.disk.is_full());
        of.disk = SimDisk::holding(image);
        if is_full {
            of.disk.fill();
        }
        self.sights.note(Sight::Stop);
        self.sights.add(Sight::StopLost, is_lost.into());
    }

    /// If the disk of a site has stopped, or refused something, the process is started again. Says whether that was so.
    pub(super) fn mind_stop(&mut self, site: usize) -> Result<bool, Failure> {
        if self.sites[site].disk.is_dead() {
            self.revive(site);
        } else if self.note_refusal(site) {
            self.check_left(site)?;
            self.close(site);
            self.note_refusal(site);
        } else {
            return Ok(false);
        }
        self.open(site)?;
        Ok(true)
    }

    /// Takes note of what a disk has refused; says whether it has.
    pub(super) fn note_refusal(&mut self, site: usize) -> bool {
        let refusal = self.sites[site].disk.take_refusal();
        if let Some(refusal) = refusal {
            self.sights.note(sight_of(refusal));
        }
        refusal.is_some()
    }

    /// What can still be read of a store whose disk has refused something is no less than before.
    fn check_left(&mut self, site: usize) -> Result<(), Failure> {
        if self.sites[site].device.is_none() {
            return Ok(());
        }
        match self.seen(site) {
            Ok(seen) => {
                self.sights.note(Sight::ReadOn);
                let gone = self.sites[site].known.minus(seen);
                gone.iter().next().map_or(Ok(()), |op| {
                    let text = format!("op {op} at site {site}, whose disk has failed");
                    Err(Failure::new(Kind::LostAtStop, text))
                })
            }
            Err(failure) => {
                self.sights.note(Sight::ReadNoMore);
                let device = self.sites[site].device.as_ref();
                let error = device.map(|device| {
                    device.vault(super::world::VAULT).and_then(|vault| vault.records("ops").len())
                });
                match error {
                    Some(Err(Error::Store(_))) => Ok(()),
                    _ => Err(failure),
                }
            }
        }
    }

    /// Ends what is over, and starts again what has stopped.
    pub(super) fn mind_all(&mut self) -> Result<(), Failure> {
        self.end_wires();
        for site in 0..self.sites.len() {
            self.mind_stop(site)?;
        }
        (0..self.relays.len()).try_for_each(|relay| self.mind_relay_stop(relay))
    }

    pub(super) fn revive_relay(&mut self, relay: usize) {
        self.close_relay(relay);
        let of = &mut self.relays[relay];
        let is_lost = of.disk.is_behind() && of.loss != Loss::Nothing;
        let (image, is_full) = (of.disk.after(of.loss, &mut self.dice), of.disk.is_full());
        of.disk = SimDisk::holding(image);
        if is_full {
            of.disk.fill();
        }
        self.sights.note(Sight::RelayStop);
        self.sights.add(Sight::RelayStopLost, is_lost.into());
    }

    /// If the disk of a relay has stopped, it is started again. What fails once is the relay's own business.
    pub(super) fn mind_relay_stop(&mut self, relay: usize) -> Result<(), Failure> {
        if let Some(refusal) = self.relays[relay].disk.take_refusal() {
            let is_full = refusal == Refusal::Full;
            self.sights.note(if is_full { Sight::RelayFull } else { Sight::RelayAils });
        }
        if self.relays[relay].disk.is_dead() {
            self.revive_relay(relay);
            self.open_relay(relay)?;
        }
        Ok(())
    }

    /// Counts the states that devices have come to.
    pub(super) fn look_around(&mut self) {
        for site in &mut self.sites {
            let Some(device) = &site.device else { continue };
            let now = standing(device);
            let before = std::mem::replace(&mut site.standing, now);
            let sights = &mut self.sights;
            sights.add(Sight::Forked, now.forks.saturating_sub(before.forks) as u64);
            sights.add(Sight::NewLogs, now.new_logs.saturating_sub(before.new_logs).into());
            sights.add(Sight::Held, u64::from(now.held > 0));
            sights.add(Sight::Capped, u64::from(now.capped > 0));
            sights.add(Sight::Waits, u64::from(now.waits > 0));
            sights.add(Sight::Quarantined, u64::from(now.quarantined > 0));
            sights.add(Sight::AtRisk, u64::from(now.at_risk > 0));
            sights.add(Sight::Covered, u64::from(now.covered > 0));
            sights.add(Sight::Notes, u64::from(now.notes > 0));
        }
    }
}

const fn sight_of(refusal: Refusal) -> Sight {
    match refusal {
        Refusal::Full => Sight::Full,
        Refusal::Ailing(Ail::Read) => Sight::ReadFails,
        Refusal::Ailing(Ail::Write) => Sight::WriteFails,
        Refusal::Ailing(Ail::Sync) => Sight::SyncFails,
        Refusal::Ailing(Ail::SyncForgets | Ail::SyncDrops) => Sight::SyncForgets,
    }
}
