//! A relay's data directory, opened: what serving and offline admin commands share.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use subrosa_protocol::addr::RelayAddr;
use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::ids::{Incarnation, VaultId};
use subrosa_protocol::relay_link::{Created, Creation, KnownVault, Now};
use subrosa_protocol::statement::Statement;
use subrosa_protocol::token::Invite;

use crate::config::Config;
use crate::error::Error;
use crate::files::{self, DataLock, Placed};
use crate::invites::Revocations;
use crate::key::RelayKey;
use crate::store::{JoinedRow, LogStore, RedbStore, StoreError, VaultRow};

const MS_PER_DAY: u64 = 24 * 60 * 60 * 1000;

/// Key, settings, revocations and database, locked against other processes.
pub struct DataDir {
    pub(crate) path: PathBuf,
    pub(crate) config: Config,
    pub(crate) key: RelayKey,
    pub(crate) revocations: Revocations,
    pub(crate) store: Box<dyn LogStore>,
    _lock: DataLock,
}

/// What `init` made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Initialized {
    /// The first invite.
    pub invite: Invite,
    /// URL with that invite; `None` when no address is known that clients could use.
    pub url: Option<RelayAddr>,
}

/// Makes a relay's data directory with key, settings, database and a first invite, or completes one whose making was
/// cut short. The invite is made last: a directory whose database remembers one is a relay. Nothing that is there
/// is overwritten or removed.
///
/// # Errors
/// [`Error::Exists`] when a relay is there already, or something else, or settings that are not these;
/// [`Error::File`], [`Error::Store`].
pub fn init(data: &Path, config: &Config) -> Result<Initialized, Error> {
    make(data, config, &mut |_| Ok(()))
}

/// A moment between two steps of [`init`], at which a stop must leave what the next one completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Directory,
    Key,
    Settings,
    Database,
}

fn make(
    data: &Path,
    config: &Config,
    reached: &mut dyn FnMut(Cut) -> Result<(), Error>,
) -> Result<Initialized, Error> {
    let text = config.to_toml()?;
    let hosts = hosts(config, None);
    if let Some(hosts) = &hosts {
        RelayAddr::new(hosts.clone(), subrosa_protocol::ids::Pin::ZERO, None)?; // before anything is made
    }
    files::make_data_dir(data)?;
    reached(Cut::Directory)?;
    if !data.join(files::KEY).exists() {
        match RelayKey::create(data) {
            Ok(_) | Err(Error::Exists(_)) => {} // somebody else's is as good: the lock below tells us apart
            Err(error) => return Err(error),
        }
    }
    reached(Cut::Key)?;
    let lock = DataLock::take(data)?;
    let path = data.join(files::CONFIG);
    if files::write_new(&path, text.as_bytes())? == Placed::There {
        let there = std::fs::read(&path).map_err(|source| Error::file(&path, source))?;
        if there != text.as_bytes() {
            return Err(Error::Exists(data.to_owned()));
        }
    }
    reached(Cut::Settings)?;
    let dir = DataDir::open_locked(data, config.clone(), lock)?;
    reached(Cut::Database)?;
    if !dir.store.invites()?.is_empty() || dir.store.usage()?.vaults > 0 {
        return Err(Error::Exists(data.to_owned()));
    }
    let invite = dir.new_invite(1, 0, 0)?;
    let url = hosts.map(|hosts| RelayAddr::new(hosts, dir.key.pin(), Some(invite))).transpose()?;
    Ok(Initialized { invite, url })
}

impl DataDir {
    /// Opens a data directory with these settings.
    ///
    /// # Errors
    /// [`Error::NotARelay`], [`Error::Serving`], [`Error::Key`], [`Error::Store`] and others.
    pub fn open(data: &Path, config: Config) -> Result<Self, Error> {
        let lock = DataLock::take(data)?;
        Self::open_locked(data, config, lock)
    }

    fn open_locked(data: &Path, config: Config, lock: DataLock) -> Result<Self, Error> {
        let key = RelayKey::load(data)?;
        let revocations = Revocations::load(data)?;
        let fresh = Incarnation::from_bytes(random()?);
        let database = data.join(files::DATABASE);
        let store = RedbStore::open(&database, config.quotas.clone(), config.cache_mib << 20, fresh)?;
        Ok(Self { path: data.to_owned(), config, key, revocations, store: Box::new(store), _lock: lock })
    }

    /// Issues an invite and remembers it. `expires_secs` is Unix time, 0 for never.
    pub(crate) fn new_invite(&self, uses: u16, class: u8, expires_secs: u64) -> Result<Invite, Error> {
        if !self.config.quotas.class.iter().any(|known| known.id == class) {
            return Err(Error::Class(class));
        }
        let invite = self.key.invite(random()?, class, uses, expires_secs)?;
        self.store.record_invite(&invite)?;
        Ok(invite)
    }

    /// The relay's URL, with an invite if one is given.
    pub(crate) fn url(&self, bound: Option<SocketAddr>, invite: Option<Invite>) -> Result<RelayAddr, Error> {
        let hosts = hosts(&self.config, bound).ok_or(Error::NoPublicAddress)?;
        Ok(RelayAddr::new(hosts, self.key.pin(), invite)?)
    }

    /// Checks and creates a vault: signatures, revocation, use count, grant.
    pub(crate) fn create(&self, creation: Creation) -> Result<Result<Created, ErrorCode>, StoreError> {
        let checked = match creation.check() {
            Ok(checked) => checked,
            Err(code) => return Ok(Err(code)),
        };
        if checked.invite().is_some_and(|invite| self.revocations.contains(&invite.id)) {
            return Ok(Err(ErrorCode::InviteRefused));
        }
        Ok(self.store.create(&checked)?.and_then(|row| {
            let grant = self.key.grant(*checked.vault(), row.class).map_err(|_| ErrorCode::Internal)?;
            Ok(Created { state: self.state(row), grant: grant.encode() })
        }))
    }

    /// Takes what joins a statement chain; and whether that was news.
    pub(crate) fn join_statements(
        &self,
        vault: &VaultId,
        tail: &[Statement],
        now: Now,
    ) -> Result<Result<(KnownVault, bool), ErrorCode>, StoreError> {
        let day = u32::try_from(now.wall_ms / MS_PER_DAY).unwrap_or(u32::MAX);
        let joined = self.store.join_statements(vault, tail, day)?;
        Ok(joined.map(|JoinedRow { row, changed }| (self.state(row), changed)))
    }

    pub(crate) fn state(&self, row: VaultRow) -> KnownVault {
        let quota_bytes = self.config.quotas.of(row.class).vault_bytes;
        KnownVault { statements: row.statements.into(), quota_bytes, used_bytes: row.used_bytes }
    }
}

/// Where clients reach the relay: what the settings say, or the address itself if it is of use to others.
fn hosts(config: &Config, bound: Option<SocketAddr>) -> Option<Vec<String>> {
    if !config.public.is_empty() {
        return Some(config.public.clone());
    }
    let usable = |addr: &SocketAddr| !addr.ip().is_unspecified() && addr.port() != 0;
    bound.into_iter().chain([config.listen]).find(usable).map(|addr| vec![addr.to_string()])
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::System(error.into()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config { public: vec!["relay.example:4433".to_owned()], ..Config::default() }
    }

    /// Stops `init` at a moment, as a kill would.
    fn cut(data: &Path, at: Cut) {
        let stopped = make(data, &config(), &mut |cut| {
            if cut == at { Err(Error::System(std::io::Error::other("cut"))) } else { Ok(()) }
        });
        assert!(matches!(stopped, Err(Error::System(_))), "{at:?}");
    }

    #[test]
    fn an_init_that_was_cut_short_can_be_run_again_at_every_cut() {
        for at in [Cut::Directory, Cut::Key, Cut::Settings, Cut::Database] {
            let home = tempfile::tempdir().unwrap();
            let data = home.path().join("relay");
            cut(&data, at);
            let key = std::fs::read(data.join(files::KEY)).ok();
            let made = init(&data, &config()).unwrap_or_else(|error| panic!("{at:?}: {error}"));
            if let Some(key) = key {
                assert_eq!(std::fs::read(data.join(files::KEY)).unwrap(), key, "{at:?}: the key stays");
            }
            let dir = DataDir::open(&data, Config::load(&data).unwrap()).unwrap();
            assert_eq!(dir.store.invites().unwrap().len(), 1, "{at:?}");
            assert_eq!(*made.url.unwrap().pin(), dir.key.pin(), "{at:?}");
            drop(dir);
            assert!(
                matches!(init(&data, &config()), Err(Error::Exists(_))),
                "{at:?}: a whole relay is refused"
            );
        }
    }

    #[test]
    fn what_a_cut_leaves_under_other_names_is_in_nobodys_way() {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("relay");
        std::fs::create_dir(&data).unwrap();
        let half = |name: &str| {
            let path = files::fresh_name(&data.join(name)).unwrap();
            std::fs::write(&path, b"ha").unwrap();
            path
        };
        let halves = [half(files::KEY), half(files::CONFIG), half(files::DATABASE)];
        init(&data, &config()).unwrap();
        for path in halves {
            assert_eq!(std::fs::read(path).unwrap(), b"ha", "not ours to remove");
        }
    }

    #[test]
    fn init_never_touches_what_it_did_not_make() {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("relay");
        cut(&data, Cut::Settings);
        let other = Config { open: true, ..config() };
        assert!(matches!(init(&data, &other), Err(Error::Exists(_))), "other settings");
        assert_eq!(Config::load(&data).unwrap(), config());
        std::fs::write(data.join("letter.txt"), "mine").unwrap();
        assert!(matches!(init(&data, &config()), Err(Error::Exists(_))), "somebody's folder");
        assert_eq!(std::fs::read_to_string(data.join("letter.txt")).unwrap(), "mine");
        std::fs::remove_file(data.join("letter.txt")).unwrap();
        let held = DataLock::take(&data).unwrap();
        assert!(matches!(init(&data, &config()), Err(Error::Serving(_))), "somebody is at it");
        drop(held);
        init(&data, &config()).unwrap();
    }

    #[test]
    fn a_child_that_inherited_the_lock_does_not_keep_it() {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("relay");
        init(&data, &config()).unwrap();
        let held = DataLock::take(&data).unwrap();
        let inherited = held.duplicate();
        drop(held);
        DataLock::take(&data).unwrap();
        drop(inherited);
    }
}
