//! What is done to machines: processes, disks and clocks of devices, and relays with theirs.

use super::disk::SimDisk;
use super::failure::Failure;
use super::model::OpSet;
use super::plan::{Action, Back, SITES_MAX};
use super::sights::Sight;
use super::world::{Backup, RelayBackup, World};

impl World {
    /// What is done to processes, disks and clocks.
    pub(super) fn act_on_machines(&mut self, action: Action) -> Result<(), Failure> {
        match action {
            Action::Reopen(site) => {
                let site = self.site(site);
                self.sights.note(Sight::Reopen);
                self.close(site);
                self.open(site)
            }
            Action::Backup(site) => {
                let backup = self.copied(self.site(site));
                self.backups.push(backup);
                Ok(())
            }
            Action::Restore(back, how) => self.restore(back, how),
            Action::Copy(site) => {
                let copy = self.copied(self.site(site));
                self.put_elsewhere(&copy, Sight::Copy)
            }
            Action::Move(site) => {
                let site = self.site(site);
                self.sights.note(Sight::Move);
                self.close(site);
                let of = &mut self.sites[site];
                of.disk = SimDisk::holding(of.disk.image());
                self.open(site)
            }
            Action::Clock(site, seconds) => {
                let site = self.site(site);
                self.may_fork = true;
                self.sites[site].clock.set_ahead(i64::from(seconds) * 1000);
                self.tick()
            }
            Action::ClockRight(site) => {
                let site = self.site(site);
                self.sites[site].clock.set_ahead(0);
                self.tick()
            }
            action => self.act_on_disks(action),
        }
    }

    fn act_on_disks(&mut self, action: Action) -> Result<(), Failure> {
        match action {
            Action::Stop(site, changes, loss) => {
                let site = self.site(site);
                self.sites[site].loss = loss;
                self.sites[site].disk.stop_after(Some(changes.into()));
            }
            Action::Ail(site, after, ail) => {
                self.sites[self.site(site)].disk.ail_after(Some((after.into(), ail)));
            }
            Action::Fill(site) => self.sites[self.site(site)].disk.fill(),
            Action::Room(site) => {
                let site = self.site(site);
                self.sites[site].disk.make_room();
                return self.open(site);
            }
            Action::RelayStop(relay, changes, loss) => {
                let relay = self.relay(relay);
                self.relays[relay].loss = loss;
                self.relays[relay].disk.stop_after(Some(changes.into()));
            }
            Action::RelayAil(relay, after, ail) => {
                self.relays[self.relay(relay)].disk.ail_after(Some((after.into(), ail)));
            }
            Action::RelayFill(relay) => self.relays[self.relay(relay)].disk.fill(),
            Action::RelayRoom(relay) => {
                let relay = self.relay(relay);
                self.relays[relay].disk.make_room();
                return self.open_relay(relay);
            }
            action => return self.act_on_relays(action),
        }
        Ok(())
    }

    fn act_on_relays(&mut self, action: Action) -> Result<(), Failure> {
        match action {
            Action::Wipe(relay) => {
                let relay = self.relay(relay);
                self.put_disk_into(relay, RelayBackup::default(), Sight::Wipe)
            }
            Action::RelayBackup(relay) => {
                let relay = self.relay(relay);
                let of = &mut self.relays[relay];
                of.backup = Some(RelayBackup { image: of.disk.image(), held: of.held, shown: of.shown });
                Ok(())
            }
            Action::RelayRestore(relay) => {
                let relay = self.relay(relay);
                let Some(backup) = self.relays[relay].backup.clone() else { return Ok(()) };
                self.put_disk_into(relay, backup, Sight::RelayBack)
            }
            Action::Quota(relay, more_kib) => {
                let relay = self.relay(relay);
                let (vault, of) = (self.vault, &mut self.relays[relay]);
                let (Some(open), Some(vault)) = (&of.relay, vault) else { return Ok(()) };
                let Ok(used_bytes) = open.used_bytes(&vault) else { return Ok(()) };
                of.quota_bytes = Some(used_bytes + 1024 * u64::from(more_kib));
                self.close_relay(relay);
                self.open_relay(relay)
            }
            Action::QuotaOff(relay) => self.lift_quota(self.relay(relay)),
            Action::Latency(relay, ms) => {
                let relay = self.relay(relay);
                self.relays[relay].latency_ms = ms.into();
                Ok(())
            }
            Action::RelayClock(relay, seconds) => {
                let relay = self.relay(relay);
                self.relays[relay].ahead_ms = i64::from(seconds) * 1000;
                self.tick()
            }
            action => self.act_on_liars(action),
        }
    }

    /// A relay whose vaults have a quota is started again without.
    pub(super) fn lift_quota(&mut self, relay: usize) -> Result<(), Failure> {
        if self.relays[relay].quota_bytes.take().is_some() {
            self.close_relay(relay);
        }
        self.open_relay(relay)
    }

    /// A relay has another disk from now on, an older one or none.
    fn put_disk_into(&mut self, relay: usize, backup: RelayBackup, sight: Sight) -> Result<(), Failure> {
        self.close_relay(relay);
        let of = &mut self.relays[relay];
        of.disk = SimDisk::holding(backup.image);
        of.heads.clear();
        of.shown = backup.shown;
        let lost = std::mem::replace(&mut of.held, backup.held);
        if !lost.minus(backup.held).is_empty() {
            self.sights.note(sight);
        }
        self.excuse(lost, (None, None))?;
        self.open_relay(relay)
    }

    fn copied(&self, site: usize) -> Backup {
        Backup { site, image: self.sites[site].disk.image() }
    }

    fn put_elsewhere(&mut self, copy: &Backup, sight: Sight) -> Result<(), Failure> {
        if self.sites.len() >= usize::from(SITES_MAX) {
            return Ok(());
        }
        self.may_fork = true;
        self.sights.note(sight);
        let owner = self.sites[copy.site].owner;
        let site = self.new_site(owner, copy.image.clone());
        self.open(site)
    }

    fn restore(&mut self, back: u8, how: Back) -> Result<(), Failure> {
        let Some(last) = self.backups.len().checked_sub(1) else { return Ok(()) };
        let Backup { site, image } = &self.backups[last - usize::from(back) % (last + 1)];
        let copy = Backup { site: *site, image: image.clone() };
        if how == Back::Elsewhere {
            return self.put_elsewhere(&copy, Sight::Elsewhere);
        }
        let site = copy.site;
        self.may_fork = true;
        self.open(site)?;
        let lost = self.seen_or_known(site)?;
        self.excuse(lost, (Some(site), None))?;
        self.close(site);
        let of = &mut self.sites[site];
        (of.disk, of.known) = (SimDisk::holding(copy.image), OpSet::default());
        self.open(site)?;
        if !lost.minus(self.sites[site].known).is_empty() {
            self.sights.note(Sight::Back);
        }
        Ok(())
    }
}
