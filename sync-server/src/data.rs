//! A relay's data directory, opened: what serving and offline admin commands share.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use subrosa_protocol::addr::RelayAddr;
use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::ids::Incarnation;
use subrosa_protocol::relay_link::{Created, Creation, VaultState};
use subrosa_protocol::statement::Statement;
use subrosa_protocol::token::Invite;

use crate::config::Config;
use crate::error::Error;
use crate::files::{self, DataLock};
use crate::invites::Revocations;
use crate::key::RelayKey;
use crate::store::{LogStore, RedbStore, StoreError, VaultRow};

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
pub struct Initialized {
    /// The first invite.
    pub invite: Invite,
    /// URL with that invite; `None` when no address is known that clients could use.
    pub url: Option<RelayAddr>,
}

/// Makes a relay's data directory with key, settings, database and a first invite.
///
/// # Errors
/// [`Error::Exists`] when something is there already; [`Error::File`], [`Error::Store`].
pub fn init(data: &Path, config: &Config) -> Result<Initialized, Error> {
    let text = config.to_toml()?;
    let hosts = hosts(config, None);
    if let Some(hosts) = &hosts {
        RelayAddr::new(hosts.clone(), subrosa_protocol::ids::Pin::ZERO, None)?; // before anything is made
    }
    files::make_data_dir(data)?;
    RelayKey::create(data)?;
    files::write_new(&data.join(files::CONFIG), text.as_bytes())?;
    let dir = DataDir::open(data, config.clone())?;
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

    /// Extends a statement chain.
    pub(crate) fn add_statement(
        &self,
        statement: &Statement,
    ) -> Result<Result<VaultState, ErrorCode>, StoreError> {
        Ok(self.store.add_statement(statement)?.map(|row| self.state(row)))
    }

    pub(crate) fn state(&self, row: VaultRow) -> VaultState {
        let quota_bytes = self.config.quotas.of(row.class).vault_bytes;
        VaultState { statements: row.statements, quota_bytes, used_bytes: row.used_bytes }
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
