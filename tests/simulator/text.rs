//! Plans as text: a line says what there is, each other one is a step.

use std::fmt;
use std::str::FromStr;

use subrosa::testing::forging::FORGERIES;

use super::disk::{Ail, Loss};
use super::lies::LIES;
use super::plan::{Action, Back, Plan, SiteNo, Step};

/// Why a text is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAPlan {
    /// The line.
    pub line: String,
}

impl fmt::Display for NotAPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a step of a plan: {}", self.line)
    }
}

impl std::error::Error for NotAPlan {}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} devices {} relays {}", self.seed, self.devices, self.relays)?;
        self.steps.iter().try_for_each(|step| writeln!(f, "{} {}", step.no, step.action))
    }
}

const LOSSES: [(&str, Loss); 4] = [
    ("nothing", Loss::Nothing),
    ("everything", Loss::Everything),
    ("writes", Loss::Writes),
    ("sectors", Loss::Sectors),
];
const AILS: [(&str, Ail); 5] = [
    ("read", Ail::Read),
    ("write", Ail::Write),
    ("sync", Ail::Sync),
    ("sync-forgets", Ail::SyncForgets),
    ("sync-drops", Ail::SyncDrops),
];
const BACKS: [(&str, Back); 2] = [("in-place", Back::InPlace), ("elsewhere", Back::Elsewhere)];

fn name_of<T: PartialEq>(names: &[(&'static str, T)], value: &T) -> &'static str {
    names.iter().find(|(_, one)| one == value).map_or("?", |(name, _)| name)
}

fn by_name<T: Copy>(names: &[(&str, T)], name: &str) -> Option<T> {
    names.iter().find(|(one, _)| *one == name).map(|(_, value)| *value)
}

impl Action {
    /// What kind it is, without what it is done to.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Put(..) => "put",
            Self::Delete(..) => "delete",
            Self::Unset(..) => "unset",
            Self::Transaction(..) => "transaction",
            Self::Import(..) => "import",
            Self::Connect(..) => "connect",
            Self::Cut(..) => "cut",
            Self::Steps(..) => "steps",
            Self::Run(..) => "run",
            Self::Sync(..) => "sync",
            Self::SyncUnheard(..) => "sync-unheard",
            Self::Reopen(..) => "reopen",
            Self::Stop(..) => "stop",
            Self::Backup(..) => "backup",
            Self::Restore(..) => "restore",
            Self::Copy(..) => "copy",
            Self::Move(..) => "move",
            Self::Clock(..) => "clock",
            Self::ClockRight(..) => "clock-right",
            Self::Wait(..) => "wait",
            Self::Wipe(..) => "wipe",
            Self::RelayBackup(..) => "relay-backup",
            Self::RelayRestore(..) => "relay-restore",
            Self::RelayStop(..) => "relay-stop",
            Self::Join(..) => "join",
            Self::Ail(..) => "ail",
            Self::Fill(..) => "fill",
            Self::Room(..) => "room",
            Self::RelayAil(..) => "relay-ail",
            Self::RelayFill(..) => "relay-fill",
            Self::RelayRoom(..) => "relay-room",
            Self::Quota(..) => "quota",
            Self::QuotaOff(..) => "quota-off",
            Self::Latency(..) => "latency",
            Self::RelayClock(..) => "relay-clock",
            Self::Lie(..) => "lie",
            Self::Honest(..) => "honest",
            Self::Forge(..) => "forge",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match *self {
            Self::Put(site, record, field) | Self::Unset(site, record, field) => {
                write!(f, " {site} {record} {field}")
            }
            Self::Transaction(site, put, deleted) => write!(f, " {site} {put} {deleted}"),
            Self::Delete(a, b)
            | Self::Connect(a, b)
            | Self::Cut(a, b)
            | Self::Sync(a, b)
            | Self::SyncUnheard(a, b)
            | Self::Join(a, b)
            | Self::Quota(a, b) => write!(f, " {a} {b}"),
            Self::Import(a)
            | Self::Steps(a)
            | Self::Run(a)
            | Self::Reopen(a)
            | Self::Backup(a)
            | Self::Copy(a)
            | Self::Move(a)
            | Self::ClockRight(a)
            | Self::Wipe(a)
            | Self::RelayBackup(a)
            | Self::RelayRestore(a)
            | Self::Fill(a)
            | Self::Room(a)
            | Self::RelayFill(a)
            | Self::RelayRoom(a)
            | Self::QuotaOff(a)
            | Self::Honest(a) => write!(f, " {a}"),
            Self::Ail(a, after, ail) | Self::RelayAil(a, after, ail) => {
                write!(f, " {a} {after} {}", name_of(&AILS, &ail))
            }
            Self::Latency(relay, ms) => write!(f, " {relay} {ms}"),
            Self::Stop(a, changes, loss) | Self::RelayStop(a, changes, loss) => {
                write!(f, " {a} {changes} {}", name_of(&LOSSES, &loss))
            }
            Self::Restore(backup, back) => write!(f, " {backup} {}", name_of(&BACKS, &back)),
            Self::Clock(at, seconds) | Self::RelayClock(at, seconds) => write!(f, " {at} {seconds}"),
            Self::Wait(seconds) => write!(f, " {seconds}"),
            Self::Lie(relay, lie, to) => {
                write!(f, " {relay} {}", name_of(&LIES, &lie))?;
                match to {
                    Some(to) => write!(f, " {to}"),
                    None => f.write_str(" all"),
                }
            }
            Self::Forge(site, forgery) => write!(f, " {site} {}", name_of(&FORGERIES, &forgery)),
        }
    }
}

/// The next word as a number, or whatever is wanted.
fn next<T: FromStr>(words: &mut dyn Iterator<Item = &str>) -> Option<T> {
    words.next()?.parse().ok()
}

fn action(words: &mut dyn Iterator<Item = &str>) -> Option<Action> {
    let word = words.next()?;
    let action = match word {
        "put" => Action::Put(next(words)?, next(words)?, next(words)?),
        "delete" => Action::Delete(next(words)?, next(words)?),
        "unset" => Action::Unset(next(words)?, next(words)?, next(words)?),
        "transaction" => Action::Transaction(next(words)?, next(words)?, next(words)?),
        "import" => Action::Import(next(words)?),
        "connect" => Action::Connect(next(words)?, next(words)?),
        "cut" => Action::Cut(next(words)?, next(words)?),
        "steps" => Action::Steps(next(words)?),
        "run" => Action::Run(next(words)?),
        "sync" => Action::Sync(next(words)?, next(words)?),
        "sync-unheard" => Action::SyncUnheard(next(words)?, next(words)?),
        "reopen" => Action::Reopen(next(words)?),
        "stop" => Action::Stop(next(words)?, next(words)?, by_name(&LOSSES, words.next()?)?),
        "backup" => Action::Backup(next(words)?),
        "restore" => Action::Restore(next(words)?, by_name(&BACKS, words.next()?)?),
        "copy" => Action::Copy(next(words)?),
        "move" => Action::Move(next(words)?),
        "clock" => Action::Clock(next(words)?, next(words)?),
        "clock-right" => Action::ClockRight(next(words)?),
        "wait" => Action::Wait(next(words)?),
        "wipe" => Action::Wipe(next(words)?),
        "relay-backup" => Action::RelayBackup(next(words)?),
        "relay-restore" => Action::RelayRestore(next(words)?),
        "relay-stop" => Action::RelayStop(next(words)?, next(words)?, by_name(&LOSSES, words.next()?)?),
        "join" => Action::Join(next(words)?, next(words)?),
        word => trouble(word, words)?,
    };
    words.next().is_none().then_some(action)
}

/// Disks that ail or are full, and relays that are slow, wrong or at their quota.
fn trouble(word: &str, words: &mut dyn Iterator<Item = &str>) -> Option<Action> {
    Some(match word {
        "ail" => Action::Ail(next(words)?, next(words)?, by_name(&AILS, words.next()?)?),
        "fill" => Action::Fill(next(words)?),
        "room" => Action::Room(next(words)?),
        "relay-ail" => Action::RelayAil(next(words)?, next(words)?, by_name(&AILS, words.next()?)?),
        "relay-fill" => Action::RelayFill(next(words)?),
        "relay-room" => Action::RelayRoom(next(words)?),
        "quota" => Action::Quota(next(words)?, next(words)?),
        "quota-off" => Action::QuotaOff(next(words)?),
        "latency" => Action::Latency(next(words)?, next(words)?),
        "relay-clock" => Action::RelayClock(next(words)?, next(words)?),
        "lie" => Action::Lie(next(words)?, by_name(&LIES, words.next()?)?, to(words)?),
        "honest" => Action::Honest(next(words)?),
        "forge" => Action::Forge(next(words)?, by_name(&FORGERIES, words.next()?)?),
        _ => return None,
    })
}

/// A site, or all.
fn to(words: &mut dyn Iterator<Item = &str>) -> Option<Option<SiteNo>> {
    match words.next()? {
        "all" => Some(None),
        site => site.parse().ok().map(Some),
    }
}

fn header(line: &str) -> Option<Plan> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["seed", seed, "devices", devices, "relays", relays] = words[..] else { return None };
    let (seed, devices, relays) = (seed.parse().ok()?, devices.parse().ok()?, relays.parse().ok()?);
    ((1..=7).contains(&devices) && (1..=3).contains(&relays)).then_some(Plan {
        seed,
        devices,
        relays,
        steps: Vec::new(),
    })
}

fn step(line: &str) -> Option<Step> {
    let mut words = line.split_whitespace();
    Some(Step { no: next(&mut words)?, action: action(&mut words)? })
}

impl FromStr for Plan {
    type Err = NotAPlan;

    /// Empty lines, and what stands behind a `#`, say nothing.
    fn from_str(text: &str) -> Result<Self, NotAPlan> {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        let mut lines = lines.filter(|line| !line.is_empty());
        let not = |line: &str| NotAPlan { line: line.to_owned() };
        let first = lines.next().unwrap_or_default();
        let mut plan = header(first).ok_or_else(|| not(first))?;
        for line in lines {
            plan.steps.push(step(line).ok_or_else(|| not(line))?);
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_back_as_it_was_printed() {
        for seed in 0..2_000 {
            let plan = Plan::of_seed(seed);
            assert_eq!(plan.to_string().parse(), Ok(plan));
        }
    }

    #[test]
    fn what_is_no_plan_is_refused_by_its_line() {
        for text in [
            "",
            "seed 1 devices 9 relays 1",
            "seed 1 devices 2 relays 1\n0 put 1",
            "seed 1 devices 2 relays 1\n0 put 1 1 1 1",
        ] {
            let line = text.lines().last().unwrap_or_default().to_owned();
            assert_eq!(text.parse::<Plan>(), Err(NotAPlan { line }));
        }
    }
}
