//! Relays and members that lie: what the plan has them do, and what honest devices must still be when it is over.

use std::collections::BTreeMap;

use subrosa::SeededEntropy;
use subrosa::testing::forging::{FORGED, Forgery, forge};
use subrosa::testing::simulated::standing;
use subrosa_relay::testing::SimRelay;

use super::disk::SimDisk;
use super::failure::{Failure, Kind};
use super::lies::{Liar, Lie};
use super::model::{Cell, Effect, FieldNo, OPS_MAX, OpNo};
use super::plan::Action;
use super::sights::Sight;
use super::world::{Lying, World};

impl World {
    pub(super) fn act_on_liars(&mut self, action: Action) -> Result<(), Failure> {
        match action {
            Action::Lie(relay, lie, to) => {
                let (relay, to) = (self.relay(relay), to.map(|site| self.site(site)));
                self.lie(relay, lie, to)
            }
            Action::Honest(relay) => {
                self.be_honest(self.relay(relay));
                Ok(())
            }
            Action::Forge(site, forgery) => self.forge(self.site(site), forgery),
            _ => Ok(()),
        }
    }

    fn lie(&mut self, relay: usize, lie: Lie, to: Option<usize>) -> Result<(), Failure> {
        let Some(vault) = self.vault else { return Ok(()) };
        // Who is shown another world comes to it by a new link.
        if lie == Lie::Worlds || self.relays[relay].lying.as_ref().is_some_and(|lying| lying.other.is_some())
        {
            self.be_honest(relay);
        }
        let other = match lie {
            Lie::Worlds => Some(self.other_database(relay)?),
            _ => None,
        };
        self.hostile = true;
        let liar = Liar::new(lie, vault, &mut self.dice);
        self.relays[relay].lying = Some(Lying { liar, to, other });
        Ok(())
    }

    fn other_database(&mut self, relay: usize) -> Result<SimRelay, Failure> {
        let fresh = self.fresh();
        let of = &self.relays[relay];
        let disk = SimDisk::holding(of.disk.image());
        let opened = SimRelay::open(&of.key, Box::new(move || disk.clone()), fresh, None);
        opened.map_err(|error| Failure::new(Kind::OpenFails, format!("relay {relay}: {error}")))
    }

    /// A relay lies no more. What it does then is on new links.
    pub(super) fn be_honest(&mut self, relay: usize) {
        self.hang_up(|wire| wire.relay == relay);
        if let Some(lying) = self.relays[relay].lying.take() {
            self.sights.add(Sight::of_lie(lying.liar.lie), lying.liar.told);
        }
    }

    pub(super) fn is_honest(&self, site: usize) -> bool {
        !self.liars.contains(&self.sites[site].owner)
    }

    pub(super) fn honest_sites(&self) -> Vec<usize> {
        (0..self.sites.len()).filter(|site| self.is_honest(*site)).collect()
    }

    fn forge(&mut self, site: usize, forgery: Forgery) -> Result<(), Failure> {
        self.open(site)?;
        if self.sites[site].device.is_none() || self.liars.is_empty() && self.honest_sites().len() < 2 {
            return Ok(());
        }
        if self.is_honest(site) {
            // What it had written and nobody else has, it may keep back.
            let owner = self.sites[site].owner;
            self.liars.insert(owner);
            let sites: Vec<usize> = (0..self.sites.len()).filter(|at| !self.is_honest(*at)).collect();
            for at in sites {
                self.open(at)?;
                let lost = self.seen_or_known(at)?;
                self.excuse(lost, (Some(at), None))?;
            }
            self.hostile = true;
        }
        let entropy = SeededEntropy::dangerous_from_seed(u64::from_be_bytes(self.fresh()));
        let vault = self.vault_at(site)?;
        let forged = forge(&vault, forgery, &entropy);
        drop(vault);
        match forged {
            Ok(()) => self.sights.note(Sight::Forged),
            // Its own store has it for its own; some of that cannot go on.
            Err(_) => self.sights.note(Sight::NotForged),
        }
        self.tick()
    }

    /// Whether a record shows something that a member which lies has written: it may write that once more.
    pub(super) fn is_of_liars(&self, shown: Option<&BTreeMap<FieldNo, OpNo>>) -> bool {
        let is_liars =
            |op: &OpNo| self.authors.get(usize::from(*op)).is_some_and(|of| self.liars.contains(of));
        !self.liars.is_empty() && shown.is_some_and(|shown| shown.values().any(is_liars))
    }

    /// A relay's word alone opens no new logs, and leaves nothing behind.
    pub(super) fn check_left_behind(&self) -> Result<(), Failure> {
        if !self.liars.is_empty() || !self.hostile {
            return Ok(());
        }
        if let Some(wire) = self.wires.iter().find(|wire| !wire.rests.is_empty()) {
            let text = format!("site {} with relay {}: {:?}", wire.site, wire.relay, wire.rests);
            return Err(Failure::new(Kind::LeftBehind, text));
        }
        for site in self.honest_sites() {
            let Some(device) = &self.sites[site].device else { continue };
            let now = standing(device);
            if !self.may_fork && now.new_logs > 0 {
                let text = format!("site {site} has opened logs {} times", now.new_logs);
                return Err(Failure::new(Kind::LogsForNothing, text));
            }
            if now.quarantined > 0 || now.waits > 0 {
                let text = format!("site {site}: {} in quarantine, {} wait", now.quarantined, now.waits);
                return Err(Failure::new(Kind::LeftBehind, text));
            }
        }
        Ok(())
    }

    /// What honest devices show of what members made up is the same everywhere.
    pub(super) fn check_forged(&self, sites: &[usize]) -> Result<(), Failure> {
        if self.liars.is_empty() {
            return Ok(());
        }
        let mut shown = Vec::new();
        for site in sites {
            let vault = self.vault_at(*site)?;
            let fails = |error| self.call_fails(*site, &error);
            let mut all = Vec::new();
            for record in vault.records(FORGED).scan() {
                all.push(record.map_err(fails)?);
            }
            shown.push((vault.collections().map_err(fails)?, all));
        }
        let differs = shown.windows(2).position(|two| two[0] != two[1]);
        differs.map_or(Ok(()), |at| {
            let text = format!("what was forged, at sites {} and {}", sites[at], sites[at + 1]);
            Err(Failure::new(Kind::Differ, text))
        })
    }

    /// Every honest device still writes, and the others show it.
    pub(super) fn write_on(&mut self) -> Result<bool, Failure> {
        let sites = self.honest_sites();
        if !self.hostile || self.model.len() + sites.len() > OPS_MAX {
            return Ok(false);
        }
        for site in sites {
            self.write(site, vec![(0, Effect::Put([(0, Cell::Set)].into()))])?;
        }
        Ok(true)
    }
}
