//! Lets a world come to rest, with all links up, honest relays and right clocks, and looks at what is left.

use subrosa::testing::simulated::{held_ms, standing};
use subrosa_protocol::segment::{Header, Kind as SegmentKind};

use super::carry::Acks;
use super::disk::holds;
use super::failure::{Failure, Kind};
use super::model::{OPS_MAX, OpNo, OpSet, RECORDS, Wrong};
use super::run::IMPORTED;
use super::sights::Sight;
use super::world::{SECRET, World};

/// How often links are made anew.
const ROUNDS: usize = 4;
/// How long each round takes at most.
const ROUND_MS: u64 = 20 * 60_000;
/// Pause between rounds.
const PAUSE_MS: u64 = 30_000;
/// What a clock that was put right may still withhold is waited for, up to so long.
const HELD_MS_MAX: u64 = 400 * 86_400_000;

/// In how much time everything is carried, and how often that may bring up something new.
const CARRIED_MS: u64 = 2 * 86_400_000;
const CARRIED_ROUNDS: usize = 2;

impl World {
    /// See the module.
    pub(super) fn come_to_rest(&mut self) -> Result<(), Failure> {
        for site in 0..self.sites.len() {
            let of = &self.sites[site];
            of.clock.set_ahead(0);
            of.disk.be_well();
            self.open(site)?;
        }
        for relay in 0..self.relays.len() {
            self.be_honest(relay);
            let of = &mut self.relays[relay];
            of.disk.be_well();
            (of.latency_ms, of.ahead_ms) = (0, 0);
            self.lift_quota(relay)?;
        }
        self.wires.iter_mut().for_each(|wire| wire.rests.clear());
        self.sync_all()?;
        self.wait_for_carriers()?;
        let withheld = self.wait_for_held()?;
        self.check()?;
        if self.write_on()? {
            self.sync_all()?;
            self.check()?;
        }
        withheld.map_or(Ok(()), Err)
    }

    /// All sites sync with all relays until nobody has anything left to do.
    fn sync_all(&mut self) -> Result<(), Failure> {
        // Who is in sync first may have something to take from who is last.
        for round in 0..ROUNDS {
            self.hang_up(|_| round < 2);
            self.ended.clear();
            for site in 0..self.sites.len() {
                for relay in 0..self.relays.len() {
                    self.connect(site, relay, Acks::Heard)?;
                }
            }
            self.carry(ROUND_MS, World::is_all_synced)?;
            if round > 0 && self.is_all_synced() {
                return Ok(());
            }
            self.carry(PAUSE_MS, |_| false)?;
        }
        for site in self.honest_sites() {
            for relay in 0..self.relays.len() {
                if !self.is_synced(site, relay) {
                    let rests = self.wire(site, relay).map(|wire| wire.rests.clone());
                    let why = (rests, self.ended.get(&(site, relay)));
                    let text = format!("site {site} with relay {relay}: {why:?}");
                    return Err(Failure::new(Kind::SyncEnds, text));
                }
            }
        }
        Ok(())
    }

    fn is_all_synced(&self) -> bool {
        let sites = self.honest_sites();
        let mut pairs =
            sites.into_iter().flat_map(|site| (0..self.relays.len()).map(move |relay| (site, relay)));
        pairs.all(|(site, relay)| self.is_synced(site, relay))
    }

    /// What an author does not carry, for it does not know of it, others do after a day or two.
    fn wait_for_carriers(&mut self) -> Result<(), Failure> {
        for _ in 0..CARRIED_ROUNDS {
            if self
                .sites
                .iter()
                .all(|site| site.device.as_ref().is_none_or(|device| standing(device).forks == 0))
            {
                break;
            }
            self.sights.note(Sight::WaitedForCarriers);
            self.truth.set(self.truth.ms() + CARRIED_MS);
            self.sync_all()?;
        }
        Ok(())
    }

    /// What is held for clocks that were wrong comes free, in the end; that it had to be waited for is a failure.
    fn wait_for_held(&mut self) -> Result<Option<Failure>, Failure> {
        let mut failure = None;
        // Each time sets at least one group free; a plan makes fewer than that.
        for _ in 0..OPS_MAX {
            let Some((ms, site)) = self.held() else { break };
            let text = format!("site {site} withholds something for {} s more", ms / 1000);
            if ms > HELD_MS_MAX && self.liars.is_empty() {
                return Err(Failure::new(Kind::Withheld, text));
            }
            // A member may write of the future.
            if self.liars.is_empty() {
                failure.get_or_insert(Failure::new(Kind::Withheld, text));
            }
            self.truth.set(self.truth.ms() + ms + 1_000);
            self.sync_all()?;
        }
        Ok(failure)
    }

    /// For how long something is held, and where; the shortest time first.
    fn held(&self) -> Option<(u64, usize)> {
        let held_at = |site: usize| self.sites[site].device.as_ref().and_then(held_ms);
        let held = self.honest_sites().into_iter().filter_map(|site| Some((held_at(site)?, site)));
        held.min()
    }

    fn check(&mut self) -> Result<(), Failure> {
        let sites = self.honest_sites();
        let mut seen = Vec::new();
        for site in &sites {
            seen.push((*site, self.seen(*site)?));
        }
        self.check_ops(&seen)?;
        for (site, seen) in &seen {
            self.check_records(*site, *seen)?;
            self.check_imports(*site, *seen)?;
        }
        self.check_equal(&sites)?;
        self.check_forged(&sites)?;
        self.check_left_behind()?;
        self.check_secrets()
    }

    /// Every op is everywhere, or nowhere with an excuse.
    fn check_ops(&self, seen: &[(usize, OpSet)]) -> Result<(), Failure> {
        let anywhere = seen.iter().fold(OpSet::default(), |all, (_, seen)| all.plus(*seen));
        for op in 0..self.model.len() as OpNo {
            let joins = self.identities.iter().any(|identity| identity.joined == Some(op));
            let missing: Vec<usize> =
                seen.iter().filter(|(_, seen)| !seen.contains(op)).map(|(site, _)| *site).collect();
            let kind = match (missing.is_empty(), anywhere.contains(op)) {
                (true, _) => continue,
                (false, false) if self.excused.contains(op) => continue,
                (false, _) if joins => Kind::Members,
                (false, true) => Kind::Missing,
                (false, false) => Kind::Lost,
            };
            return Err(Failure::new(kind, format!("op {op} is not at sites {missing:?}")));
        }
        Ok(())
    }

    fn check_records(&self, site: usize, seen: OpSet) -> Result<(), Failure> {
        for record in 0..RECORDS {
            let shown = self.shown(site, record)?;
            let Err(wrong) = self.model.check(seen, record, &shown) else { continue };
            if matches!(wrong, Wrong::ComesBack | Wrong::FieldBack(_)) && self.is_of_liars(shown.as_ref()) {
                continue;
            }
            let kind = match wrong {
                Wrong::ComesBack => Kind::ComesBack,
                Wrong::Hidden(_) => Kind::Hidden,
                Wrong::Stale(..) => Kind::Stale,
                Wrong::FieldGone(..) | Wrong::FieldBack(_) => Kind::Field,
            };
            return Err(Failure::new(
                kind,
                format!("record {record} at site {site}: {wrong:?}, shown {shown:?}"),
            ));
        }
        Ok(())
    }

    fn check_imports(&self, site: usize, seen: OpSet) -> Result<(), Failure> {
        let imports = self.imports.iter().filter(|op| seen.contains(*op)).count();
        let vault = self.vault_at(site)?;
        let held = vault.records("bulk").len();
        let held = held.map_err(|error| self.call_fails(site, &error))?;
        if held == imports as u64 * u64::from(IMPORTED) {
            return Ok(());
        }
        Err(Failure::new(Kind::Lost, format!("{held} records of {imports} imports at site {site}")))
    }

    fn check_equal(&self, sites: &[usize]) -> Result<(), Failure> {
        let Some((first, others)) = sites.split_first() else { return Ok(()) };
        for other in others {
            for record in 0..RECORDS {
                let (here, there) = (self.shown(*first, record)?, self.shown(*other, record)?);
                if here != there {
                    let text =
                        format!("record {record}: {here:?} at site {first}, {there:?} at site {other}");
                    return Err(Failure::new(Kind::Differ, text));
                }
            }
            let (here, there) = (self.members(*first)?, self.members(*other)?);
            if here != there {
                let text = format!("{} members at site {first}, {} at site {other}", here.len(), there.len());
                return Err(Failure::new(Kind::Members, text));
            }
        }
        Ok(())
    }

    fn members(&self, site: usize) -> Result<std::collections::BTreeSet<Vec<u8>>, Failure> {
        let devices = self.vault_at(site)?.devices();
        let devices = devices.map_err(|error| self.call_fails(site, &error))?;
        Ok(devices.iter().map(|device| device.public.as_bytes().to_vec()).collect())
    }

    /// Nobody who looks at a relay's disk, or a device's, reads what was written.
    fn check_secrets(&mut self) -> Result<(), Failure> {
        let secret = SECRET.as_bytes();
        for (at, relay) in self.relays.iter().enumerate() {
            let mut found = relay.disk.image().contains(secret);
            if let (Some(open), Some(vault)) = (&relay.relay, &self.vault) {
                let read = open.segments(vault, &mut |segment| {
                    found |= holds(segment, secret);
                    let kind = Header::decode(segment).map(|header| header.kind);
                    let is = |wanted| u64::from(kind == Ok(wanted));
                    self.sights.add(Sight::Carried, is(SegmentKind::CARRIED));
                    self.sights.add(Sight::Closing, is(SegmentKind::CLOSING));
                });
                drop(read);
            }
            if found {
                return Err(Failure::new(Kind::Plaintext, format!("at relay {at}")));
            }
        }
        let found = self.sites.iter().position(|site| site.disk.image().contains(secret));
        found.map_or(Ok(()), |at| Err(Failure::new(Kind::Plaintext, format!("on the disk of site {at}"))))
    }
}
