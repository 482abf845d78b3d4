//! `relay.toml`: where the relay listens, whom it lets in, and what a vault may use.

use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use subrosa_protocol::limits;

use crate::error::Error;
use crate::files;

/// The relay's settings; every one has a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// UDP address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Names under which clients reach it, each `host:port`; they go into relay URLs.
    pub public: Vec<String>,
    /// Whether anyone may create vaults without an invite.
    pub open: bool,
    /// Connections at a time.
    pub connections_max: usize,
    /// Memory for pages of the database, in MiB.
    pub cache_mib: usize,
    /// What vaults may use.
    pub quotas: Quotas,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 4433)),
            public: Vec::new(),
            open: false,
            connections_max: 10_000,
            cache_mib: 32,
            quotas: Quotas::default(),
        }
    }
}

/// Limits on what is stored, by quota class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quotas {
    /// Bytes of segments that the relay holds over all vaults.
    pub relay_bytes_max: u64,
    /// Vaults that the relay holds.
    pub vaults_max: u64,
    /// Bytes beyond its quota that a vault may use for admins' control segments.
    pub reserve_bytes: u64,
    /// The classes; a vault of a class that is not listed here is held to the first one.
    pub class: Vec<Class>,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            relay_bytes_max: 1 << 40,
            vaults_max: 100_000,
            reserve_bytes: 1 << 20,
            class: vec![Class::default()],
        }
    }
}

impl Quotas {
    /// The limits of a class.
    #[must_use]
    pub fn of(&self, class: u8) -> Class {
        let found = self.class.iter().find(|c| c.id == class).or_else(|| self.class.first());
        found.copied().unwrap_or_default()
    }
}

/// What one vault may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Class {
    /// The number that invites name.
    pub id: u8,
    /// Bytes of segments.
    pub vault_bytes: u64,
    /// Bytes of one segment; at most 2 MiB.
    pub segment_bytes_max: u64,
    /// Bytes that may be pushed in a second, averaged over `burst_secs`.
    pub bytes_per_sec: u64,
    /// Segments that may be pushed in a second, averaged over `burst_secs`.
    pub segments_per_sec: u64,
    /// Seconds of the above that may come at once.
    pub burst_secs: u64,
}

impl Default for Class {
    fn default() -> Self {
        Self {
            id: 0,
            vault_bytes: 10 << 30,
            segment_bytes_max: limits::SEGMENT_BYTES_MAX as u64,
            bytes_per_sec: 64 << 20,
            segments_per_sec: 5_000,
            burst_secs: 30,
        }
    }
}

impl Config {
    /// Reads `relay.toml`.
    ///
    /// # Errors
    /// [`Error::Config`] names the line; [`Error::File`].
    pub fn load(data: &Path) -> Result<Self, Error> {
        let path = data.join(files::CONFIG);
        let text = std::fs::read_to_string(&path).map_err(|source| Error::file(&path, source))?;
        Self::from_toml(&text)
    }

    /// Reads the text of `relay.toml`.
    ///
    /// # Errors
    /// [`Error::Config`] names the line.
    pub(crate) fn from_toml(text: &str) -> Result<Self, Error> {
        let config: Self = toml::from_str(text)
            .map_err(|error| Error::Config { reason: error.to_string().trim_end().to_owned() })?;
        if config.quotas.class.is_empty() {
            return Err(Error::Config { reason: "quotas.class is empty".to_owned() });
        }
        Ok(config)
    }

    /// The text of `relay.toml`.
    ///
    /// # Errors
    /// [`Error::Config`] if a value has no place in TOML.
    pub fn to_toml(&self) -> Result<String, Error> {
        let body = toml::to_string(self).map_err(|error| Error::Config { reason: error.to_string() })?;
        Ok(format!(
            "# Subrosa relay; every setting is explained in docs/RELAY.md. Restart to apply.\n\n{body}"
        ))
    }

    /// The largest segment that any class takes: what HELLO announces.
    #[must_use]
    pub fn segment_bytes_max(&self) -> u32 {
        let largest = self.quotas.class.iter().map(|class| class.segment_bytes_max).max().unwrap_or(0);
        u32::try_from(largest.min(limits::SEGMENT_BYTES_MAX as u64)).expect("2 MiB fit")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_comes_back() {
        let config = Config { public: vec!["relay.example:4433".to_owned()], ..Config::default() };
        assert_eq!(toml::from_str::<Config>(&config.to_toml().unwrap()).unwrap(), config);
    }

    #[test]
    fn missing_settings_take_their_defaults_and_unknown_ones_are_refused() {
        let config: Config = toml::from_str("open = true\n[[quotas.class]]\nid = 3\n").unwrap();
        assert!(config.open);
        assert_eq!(config.quotas.of(9).id, 3, "an unlisted class falls back to the first");
        assert!(toml::from_str::<Config>("opne = true").is_err());
    }
}
