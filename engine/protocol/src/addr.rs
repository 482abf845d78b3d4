//! The address of a relay: `subrosa://host:port[,host:port]/#<base32 pin>[.<base32 invite>]`.
//!
//! The fragment pins the relay's key: no certificate authority, no domain. Base32 is RFC 4648, lower case,
//! without padding.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, Encoding};

use crate::ids::Pin;
use crate::token::Invite;

/// Hosts that one address may name.
const HOSTS_MAX: usize = 8;
/// Longest address read.
const ADDR_BYTES_MAX: usize = 2048;
const SCHEME: &str = "subrosa://";

/// Where a relay is and which key it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayAddr {
    hosts: Vec<String>,
    pin: Pin,
    invite: Option<Invite>,
}

/// Text that is not a relay address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddrError {
    /// It does not start with `subrosa://`, or has no `/#`.
    #[error("a relay address looks like subrosa://host:port/#pin")]
    NotAnAddress,
    /// A host without a port, or none or too many hosts.
    #[error("each host of a relay address needs a port, as in relay.example:4433")]
    BadHost,
    /// The pin after `#` is not 52 characters of base32.
    #[error("the pin of the relay address is damaged")]
    BadPin,
    /// The invite after the pin is not one.
    #[error("the invite in the relay address is damaged")]
    BadInvite,
}

impl RelayAddr {
    /// Puts an address together.
    ///
    /// # Errors
    /// [`AddrError::BadHost`] unless each host is `host:port`.
    pub fn new(hosts: Vec<String>, pin: Pin, invite: Option<Invite>) -> Result<Self, AddrError> {
        if hosts.is_empty() || hosts.len() > HOSTS_MAX || !hosts.iter().all(|host| is_host_port(host)) {
            return Err(AddrError::BadHost);
        }
        Ok(Self { hosts, pin, invite })
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`AddrError`].
    pub fn parse(text: &str) -> Result<Self, AddrError> {
        let text = text.trim();
        if text.len() > ADDR_BYTES_MAX {
            return Err(AddrError::NotAnAddress);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(AddrError::NotAnAddress)?;
        let (hosts, fragment) = rest.split_once("/#").ok_or(AddrError::NotAnAddress)?;
        let (pin, invite) = match fragment.split_once('.') {
            Some((pin, invite)) => (pin, Some(invite)),
            None => (fragment, None),
        };
        let pin =
            base32_decode(pin).and_then(|pin| <[u8; 32]>::try_from(pin).ok()).ok_or(AddrError::BadPin)?;
        let invite = invite
            .map(|text| {
                let bytes = base32_decode(text).ok_or(AddrError::BadInvite)?;
                Invite::decode(&bytes).map_err(|_| AddrError::BadInvite)
            })
            .transpose()?;
        Self::new(split_hosts(hosts), Pin::from_bytes(pin), invite)
    }

    /// The hosts to try, each `host:port`.
    #[must_use]
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// The pinned key.
    #[must_use]
    pub const fn pin(&self) -> &Pin {
        &self.pin
    }

    /// The invite, if the address carries one.
    #[must_use]
    pub const fn invite(&self) -> Option<&Invite> {
        self.invite.as_ref()
    }

    /// The same address without its invite: what may be shown and passed on.
    #[must_use]
    pub fn without_invite(&self) -> Self {
        Self { invite: None, ..self.clone() }
    }
}

impl FromStr for RelayAddr {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        Self::parse(text)
    }
}

impl fmt::Display for RelayAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/#{}", self.hosts.join(","), base32_encode(self.pin.as_bytes()))?;
        if let Some(invite) = &self.invite {
            write!(f, ".{}", base32_encode(&invite.encode()))?;
        }
        Ok(())
    }
}

/// The hosts of an address, cut at commas: at most one more than [`RelayAddr::new`] takes, however many commas there are.
#[must_use]
pub fn split_hosts(hosts: &str) -> Vec<String> {
    hosts.splitn(HOSTS_MAX + 1, ',').map(str::to_owned).collect()
}

fn is_host_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b))
            && port.parse::<u16>().is_ok_and(|port| port != 0)
    })
}

const BASE32: Encoding = BASE32_NOPAD;

/// Lower-case base32 without padding.
#[must_use]
pub fn base32_encode(bytes: &[u8]) -> String {
    BASE32.encode(bytes).to_ascii_lowercase()
}

/// Reads base32 in either case; `None` if it is not.
#[must_use]
pub fn base32_decode(text: &str) -> Option<Vec<u8>> {
    BASE32.decode(text.to_ascii_uppercase().as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Signature;

    #[test]
    fn text_form_comes_back() {
        let invite = Invite {
            id: [7; 8],
            class: 1,
            uses_max: 3,
            expires_secs: 0,
            signature: Signature::from_bytes([9; 64]),
        };
        for invite in [None, Some(invite)] {
            let hosts = vec!["relay.example:4433".to_owned(), "[::1]:5".to_owned()];
            let addr = RelayAddr::new(hosts, Pin::from_bytes([0xab; 32]), invite).unwrap();
            assert_eq!(RelayAddr::parse(&addr.to_string()), Ok(addr));
        }
    }

    #[test]
    fn what_is_cut_from_an_address_is_bounded_before_it_is_counted() {
        for (hosts, parts) in
            [(1, 1), (HOSTS_MAX, HOSTS_MAX), (HOSTS_MAX + 1, HOSTS_MAX + 1), (2000, HOSTS_MAX + 1)]
        {
            let text = vec!["a:1"; hosts].join(",");
            assert_eq!(split_hosts(&text).len(), parts, "{hosts}");
            assert_eq!(split_hosts(&text).join(","), text, "{hosts}");
        }
    }

    #[test]
    fn refusals() {
        let pin = base32_encode(&[1; 32]);
        for (name, text, error) in [
            ("other scheme", format!("https://a:1/#{pin}"), AddrError::NotAnAddress),
            ("no fragment", "subrosa://a:1/".to_owned(), AddrError::NotAnAddress),
            ("no port", format!("subrosa://a/#{pin}"), AddrError::BadHost),
            ("port 0", format!("subrosa://a:0/#{pin}"), AddrError::BadHost),
            ("no host", format!("subrosa:///#{pin}"), AddrError::BadHost),
            (
                "too many hosts",
                format!("subrosa://{}/#{pin}", ["a:1"; HOSTS_MAX + 1].join(",")),
                AddrError::BadHost,
            ),
            ("short pin", "subrosa://a:1/#abc".to_owned(), AddrError::BadPin),
            ("bad invite", format!("subrosa://a:1/#{pin}.aaaa"), AddrError::BadInvite),
        ] {
            assert_eq!(RelayAddr::parse(&text), Err(error), "{name}");
        }
    }
}
