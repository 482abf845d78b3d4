//! Syncing until everything is here and there, and whether that is true: whoever asks a relay for all that it has, and is told that
//! this is it, must show what the relay had acknowledged to anybody before.

use subrosa::testing::simulated::standing;

use super::carry::Acks;
use super::failure::{Failure, Kind};
use super::model::OpSet;
use super::sights::Sight;
use super::world::World;

/// A question that a site has asked a relay.
#[derive(Clone, Copy)]
struct Asked {
    site: usize,
    relay: usize,
    number: u64,
    /// What the relay had by then, for sure.
    must_show: OpSet,
    /// What the site showed.
    shown: OpSet,
}

impl World {
    /// A site syncs with a relay for at most so long, asking for all that the relay has now. What the relay has of it then is noted.
    pub(super) fn sync(&mut self, site: usize, relay: usize, ms: u64) -> Result<(), Failure> {
        let was_connected = self.wire(site, relay).is_some();
        self.connect(site, relay, Acks::Heard)?;
        self.note_held()?;
        if let Some(asked) = self.ask(site, relay)? {
            self.carry(ms, |world| world.is_caught_up(&asked) || world.wire(site, relay).is_none())?;
            self.check_caught_up(&asked)?;
            // A new link sends all that is here; one that is up does not hear of what another relay brings.
            let counts = self.relays[relay].lying.is_none() && self.is_honest(site);
            if counts && !was_connected && self.is_caught_up(&asked) && self.has_no_forks(site) {
                self.relays[relay].shown = self.relays[relay].shown.plus(asked.shown);
            }
        }
        self.note_held()?;
        if !was_connected {
            self.hang_up(|wire| (wire.site, wire.relay) == (site, relay));
        }
        Ok(())
    }

    fn ask(&mut self, site: usize, relay: usize) -> Result<Option<Asked>, Failure> {
        let at = self.wires.iter().position(|wire| (wire.site, wire.relay) == (site, relay));
        let Some(at) = at else { return Ok(None) };
        let (shown, must_show) = (self.seen(site)?, self.relays[relay].shown);
        let now = self.instant();
        let asked = self.wires[at].link.ask(now);
        self.gather(at);
        Ok(asked.ok().map(|number| Asked { site, relay, number, must_show, shown }))
    }

    fn is_caught_up(&self, asked: &Asked) -> bool {
        self.wire(asked.site, asked.relay).is_some_and(|wire| wire.link.is_caught_up(asked.number))
    }

    fn check_caught_up(&mut self, asked: &Asked) -> Result<(), Failure> {
        let &Asked { site, relay, must_show, shown, .. } = asked;
        let counts = self.relays[relay].lying.is_none() && self.is_honest(site);
        if !counts || !self.is_caught_up(asked) {
            return Ok(());
        }
        let Some(device) = &self.sites[site].device else { return Ok(()) };
        self.sights.note(Sight::Asked);
        // What waits for a clock, a key or a certificate is merged as far as it can be.
        if !standing(device).has_merged_all() {
            self.sights.note(Sight::AskedWaits);
            return Ok(());
        }
        let seen = self.seen(site)?;
        self.sights.add(Sight::AskedMore, u64::from(!seen.minus(shown).is_empty()));
        let Some(op) = must_show.minus(seen).iter().next() else { return Ok(()) };
        Err(Failure::new(Kind::NotCaughtUp, format!("op {op} of relay {relay} is not shown at site {site}")))
    }

    /// Notes what relays have, of whoever is in sync with them.
    pub(super) fn note_held(&mut self) -> Result<(), Failure> {
        for at in 0..self.wires.len() {
            let (site, relay) = (self.wires[at].site, self.wires[at].relay);
            let counts = self.relays[relay].lying.is_none() && self.is_honest(site);
            if self.sites[site].device.is_none() || !self.wires[at].link.is_synced() || !counts {
                continue;
            }
            let is_all_there = self.relays.len() == 1 && self.has_no_forks(site);
            let seen = self.seen(site)?;
            let carries_all =
                self.sites[site].device.as_ref().is_some_and(|device| standing(device).carries_later == 0);
            let of = &mut self.relays[relay];
            if carries_all {
                of.held = of.held.plus(seen);
            }
            if is_all_there {
                of.shown = of.shown.plus(seen);
            }
        }
        Ok(())
    }

    /// Another branch of a log than the relay's is carried by its author, and by others later.
    fn has_no_forks(&self, site: usize) -> bool {
        self.sites[site].device.as_ref().is_some_and(|device| standing(device).forks == 0)
    }
}
