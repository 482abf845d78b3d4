//! The pairing link: `subrosa://host:port[,host:port]/pair#<base32>`, as text or QR code.
//!
//! The fragment is `relay pin[32] | rendezvous[16] | hash of the old device's ephemeral key[32] | secret[32] |
//! expiry u64`, in base32 (RFC 4648, lower case, no padding; either case is read). It never carries an invite.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use subrosa_protocol::addr::{RelayAddr, split_hosts};
use subrosa_protocol::codec::{DecodeError, Reader};
use subrosa_protocol::ids::{Pin, RendezvousId};
use subrosa_protocol::labels;
use subrosa_protocol::limits::RENDEZVOUS_SECONDS;
use zeroize::Zeroizing;

use crate::entropy::Entropy;
use crate::keys::PublicKey;

/// What the old device shows to the new one: where to meet it, and the secret that proves who was shown it.
///
/// Whoever has the link can answer it, once, within five minutes; the six-digit code tells the user whether it was
/// the right device. Wiped on drop; `Debug` prints no secret.
pub struct PairLink {
    relay: RelayAddr,
    rendezvous: RendezvousId,
    old_key_hash: [u8; 32],
    secret: Zeroizing<[u8; 32]>,
    expires_secs: u64,
}

/// Text that is not a pairing link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PairLinkError {
    /// It does not look like one. A relay's address, for instance, has `/#` where a link has `/pair#`.
    #[error("a pairing link looks like subrosa://host:port/pair#...")]
    NotALink,
    /// A host without a port, or none or too many hosts.
    #[error("each host of a pairing link needs a port")]
    BadHost,
    /// Something is missing or changed after `#`. Copy the whole link again.
    #[error("the pairing link is damaged")]
    Damaged,
}

impl PairLink {
    /// A new link for the given ephemeral key. `now_secs` is Unix time.
    #[doc(hidden)]
    pub fn new(relay: &RelayAddr, old_ephemeral: &PublicKey, now_secs: u64, entropy: &dyn Entropy) -> Self {
        Self {
            relay: relay.without_invite(),
            rendezvous: RendezvousId::from_bytes(entropy.array()),
            old_key_hash: key_hash(old_ephemeral),
            secret: entropy.secret(),
            expires_secs: now_secs.saturating_add(RENDEZVOUS_SECONDS),
        }
    }

    /// Reads the text form; surrounding white space is ignored.
    ///
    /// # Errors
    /// [`PairLinkError`].
    pub fn parse(text: &str) -> Result<Self, PairLinkError> {
        let text = text.trim();
        if text.len() > LINK_BYTES_MAX {
            return Err(PairLinkError::NotALink);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(PairLinkError::NotALink)?;
        let (hosts, fragment) = rest.split_once(MARK).ok_or(PairLinkError::NotALink)?;
        let upper = Zeroizing::new(fragment.to_ascii_uppercase());
        let bytes =
            Zeroizing::new(BASE32_NOPAD.decode(upper.as_bytes()).map_err(|_| PairLinkError::Damaged)?);
        let (pin, link) = Self::read(&bytes).map_err(|_| PairLinkError::Damaged)?;
        let relay = RelayAddr::new(split_hosts(hosts), pin, None).map_err(|_| PairLinkError::BadHost)?;
        Ok(link(relay))
    }

    /// Reads the fragment; what is missing is the relay's hosts.
    fn read(bytes: &[u8]) -> Result<(Pin, impl FnOnce(RelayAddr) -> Self), DecodeError> {
        let mut r = Reader::new(bytes);
        let pin = Pin::from_bytes(r.array()?);
        let rendezvous = RendezvousId::from_bytes(r.array()?);
        let old_key_hash = r.array()?;
        let mut secret = Zeroizing::new([0; 32]);
        secret.copy_from_slice(r.bytes(32)?);
        let expires_secs = r.u64()?;
        r.finish()?;
        Ok((pin, move |relay| Self { relay, rendezvous, old_key_hash, secret, expires_secs }))
    }

    /// The text form. It is a secret: show it to the user, and to nobody else.
    pub fn to_text(&self) -> Zeroizing<String> {
        let fragment = self.fragment();
        let mut encoded = Zeroizing::new(vec![0; BASE32_NOPAD.encode_len(fragment.len())]);
        BASE32_NOPAD.encode_mut(&fragment[..], &mut encoded);
        encoded.make_ascii_lowercase();
        let hosts = self.relay.hosts().join(",");
        // Sized beforehand: a string that grows leaves the secret behind where it was.
        let mut text =
            Zeroizing::new(String::with_capacity(SCHEME.len() + hosts.len() + MARK.len() + encoded.len()));
        text.push_str(SCHEME);
        text.push_str(&hosts);
        text.push_str(MARK);
        text.extend(encoded.iter().map(|byte| char::from(*byte)));
        text
    }

    fn fragment(&self) -> Zeroizing<[u8; FRAGMENT_BYTES]> {
        let mut bytes = Zeroizing::new([0; FRAGMENT_BYTES]);
        bytes[..32].copy_from_slice(self.relay.pin().as_bytes());
        bytes[32..48].copy_from_slice(self.rendezvous.as_bytes());
        bytes[48..80].copy_from_slice(&self.old_key_hash);
        bytes[80..112].copy_from_slice(&*self.secret);
        bytes[112..].copy_from_slice(&self.expires_secs.to_be_bytes());
        bytes
    }

    /// The relay to meet at.
    pub fn relay(&self) -> &RelayAddr {
        &self.relay
    }

    /// Where to meet there.
    pub fn rendezvous(&self) -> &RendezvousId {
        &self.rendezvous
    }

    /// Unix seconds after which the old device no longer answers.
    pub fn expires_secs(&self) -> u64 {
        self.expires_secs
    }

    /// Hash of all that the link says but the hosts, which the pin stands for.
    pub(super) fn hash(&self) -> [u8; 32] {
        labels::hash(labels::PAIR_LINK, &[&*self.fragment()])
    }

    pub(super) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// Whether `key` is the one that the link names.
    pub(super) fn names(&self, key: &PublicKey) -> bool {
        key_hash(key) == self.old_key_hash
    }
}

impl fmt::Debug for PairLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PairLink").field("rendezvous", &self.rendezvous).finish_non_exhaustive()
    }
}

impl std::str::FromStr for PairLink {
    type Err = PairLinkError;

    fn from_str(text: &str) -> Result<Self, PairLinkError> {
        Self::parse(text)
    }
}

fn key_hash(key: &PublicKey) -> [u8; 32] {
    labels::hash(labels::PAIR_KEY, &[key.as_bytes()])
}

const SCHEME: &str = "subrosa://";
const MARK: &str = "/pair#";
const FRAGMENT_BYTES: usize = 32 + 16 + 32 + 32 + 8;
/// Longest text read: eight hosts of the longest name, and the fragment.
const LINK_BYTES_MAX: usize = 2560;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;
    use crate::keys::KeyPair;

    fn link() -> PairLink {
        let entropy = SeededEntropy::dangerous_from_seed(1);
        let hosts = vec!["relay.example:4433".to_owned(), "[::1]:5".to_owned()];
        let relay = RelayAddr::new(hosts, Pin::from_bytes([7; 32]), None).unwrap();
        PairLink::new(&relay, &KeyPair::generate(&entropy).public(), 1_700_000_000, &entropy)
    }

    #[test]
    fn text_form_comes_back_in_either_case() {
        let link = link();
        let text = link.to_text();
        let again = PairLink::parse(&format!(" {}\n", *text)).unwrap();
        assert_eq!(again.to_text(), text);
        assert_eq!(again.hash(), link.hash());
        assert_eq!(again.relay(), link.relay());
        assert_eq!(again.rendezvous(), link.rendezvous());
        assert_eq!(again.expires_secs(), 1_700_000_300);
        let (front, fragment) = text.split_once('#').unwrap();
        let shouted = format!("{front}#{}", fragment.to_ascii_uppercase());
        assert_eq!(PairLink::parse(&shouted).unwrap().hash(), link.hash());
    }

    #[test]
    fn every_field_is_in_the_hash() {
        let text = link().to_text();
        let start = text.find('#').unwrap() + 1;
        for at in start..text.len() {
            let mut altered = text.as_bytes().to_vec();
            altered[at] = if altered[at] == b'a' { b'b' } else { b'a' };
            let altered = PairLink::parse(std::str::from_utf8(&altered).unwrap());
            assert_ne!(altered.unwrap().hash(), link().hash(), "character {at}");
        }
    }

    #[test]
    fn junk_is_refused() {
        let text = link().to_text();
        let fragment = text.split_once('#').unwrap().1;
        for (name, text, error) in [
            ("empty", String::new(), PairLinkError::NotALink),
            ("other scheme", format!("https://a:1/pair#{fragment}"), PairLinkError::NotALink),
            ("a relay's address", format!("subrosa://a:1/#{fragment}"), PairLinkError::NotALink),
            ("no port", format!("subrosa://a/pair#{fragment}"), PairLinkError::BadHost),
            ("no host", format!("subrosa:///pair#{fragment}"), PairLinkError::BadHost),
            ("empty fragment", "subrosa://a:1/pair#".to_owned(), PairLinkError::Damaged),
            ("not base32", format!("subrosa://a:1/pair#{}1", &fragment[1..]), PairLinkError::Damaged),
            ("short", text[..text.len() - 1].to_owned(), PairLinkError::Damaged),
            ("shorter", text[..text.len() - 8].to_owned(), PairLinkError::Damaged),
            ("long", format!("{}aaaaaaaa", *text), PairLinkError::Damaged),
            (
                "inner space",
                format!("subrosa://a:1/pair#{} {}", &fragment[..9], &fragment[9..]),
                PairLinkError::Damaged,
            ),
            ("huge", format!("subrosa://a:1/pair#{}", "a".repeat(3000)), PairLinkError::NotALink),
        ] {
            assert_eq!(PairLink::parse(&text).err(), Some(error), "{name}");
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        let link = link();
        let printed = format!("{link:?}");
        assert_eq!(printed, format!("PairLink {{ rendezvous: {:?}, .. }}", link.rendezvous()));
    }
}
