//! Every domain-separation label of Subrosa, in one place: one label per purpose, none a prefix of another
//! that is used with the same primitive and key.

use sha2::{Digest as _, Sha256};

/// Hash: log id from its public key.
pub const LOG_ID: &[u8] = b"subrosa/1 log";
/// Hash: vault id.
pub const VAULT_ID: &[u8] = b"subrosa/1 vault";
/// Hash: header of a segment, with vault and previous chain.
pub const SEGMENT: &[u8] = b"subrosa/1 segment";
/// HKDF-Expand info: key and commitment of a segment.
pub const SEGMENT_KEY: &[u8] = b"subrosa/1 segment key";
/// Hash and signature: chain of a segment; the signed preimage hashes to the chain.
pub const CHAIN: &[u8] = b"subrosa/1 chain";
/// Hash: one term of the digest of a vault's heads.
pub const DIGEST: &[u8] = b"subrosa/1 digest";
/// Signature: statement for the relay, by an admin key, the recovery key, or both.
pub const STATEMENT: &[u8] = b"subrosa/1 statement";
/// Hash: a statement, as cited by its successor.
pub const STATEMENT_HASH: &[u8] = b"subrosa/1 statement hash";
/// Signature: an admin's vouch for a log, by its admin key.
pub const VOUCH: &[u8] = b"subrosa/1 vouch";
/// Signature: proof of a reader or writer to a relay, by the read or write key.
pub const AUTH: &[u8] = b"subrosa/1 auth";
/// TLS exporter label (RFC 8446 section 7.5) of the value that AUTH signs.
pub const EXPORTER: &[u8] = b"subrosa/1 exporter";
/// Signature: invite, by a relay key.
pub const INVITE: &[u8] = b"subrosa/1 invite";
/// Signature: grant, by a relay key.
pub const GRANT: &[u8] = b"subrosa/1 grant";
/// Hash: key of a relay's stateless resets.
pub const RELAY_RESET: &[u8] = b"subrosa/1 relay reset";
/// Signature: control entry, by a device key.
pub const CONTROL_ENTRY: &[u8] = b"subrosa/1 control entry";
/// Signature: genesis entry, by the founder's device key.
pub const GENESIS: &[u8] = b"subrosa/1 genesis";
/// Hash: recovery commitment.
pub const RECOVERY_COMMITMENT: &[u8] = b"subrosa/1 recovery commitment";
/// HKDF info: recovery key from its entropy.
pub const RECOVERY_KEY: &[u8] = b"subrosa/1 recovery key";
/// HKDF-Expand info: control key of an epoch.
pub const CONTROL_KEY: &[u8] = b"subrosa/1 control";
/// HKDF info: read key of an epoch.
pub const READ_KEY: &[u8] = b"subrosa/1 read";
/// HKDF-Expand info: page key of a store.
pub const PAGE_KEY: &[u8] = b"subrosa/1 page key";
/// HKDF info: session of the `subrosa/1` profile.
pub const SESSION: &[u8] = b"subrosa/1 session";
/// Context of the self session that wraps a store's root key.
pub const STORE_KEK: &[u8] = b"subrosa/1 store kek";
/// Signature: prekey, by a device key.
pub const PREKEY: &[u8] = b"subrosa/1 prekey";
/// Signature: by a data log's key, that the device in its certificate owns it.
pub const LOG_PROOF: &[u8] = b"subrosa/1 proof of log";
/// Signature: by an admin key, that the device in its certificate owns it.
pub const ADMIN_PROOF: &[u8] = b"subrosa/1 proof of admin key";
/// Hash: what a pairing link says.
pub const PAIR_LINK: &[u8] = b"subrosa/1 pair link";
/// Hash: the old device's ephemeral key, as a pairing link names it.
pub const PAIR_KEY: &[u8] = b"subrosa/1 pair key";
/// Hash: commitment of the joining device.
pub const PAIR_COMMIT: &[u8] = b"subrosa/1 pair commit";
/// MAC key: messages of a pairing under the link's secret.
pub const PAIR_MAC: &[u8] = b"subrosa/1 pair mac";
/// Signature: proof of possession of the joining device's key.
pub const PAIR_PROOF: &[u8] = b"subrosa/1 pair proof";
/// Hash: six-digit code of a pairing.
pub const PAIR_CODE: &[u8] = b"subrosa/1 pair code";
/// Hash: transcript of a pairing, as HPKE is bound to it.
pub const PAIR_TRANSCRIPT: &[u8] = b"subrosa/1 pair transcript";
/// Id of the pre-shared key of a pairing's HPKE message.
pub const PAIR_PSK: &[u8] = b"subrosa/1 pair psk";
/// Hash: record id from a name.
pub const RECORD_NAME: &[u8] = b"subrosa/1 record name";

/// All labels, for the test that no two collide.
pub const ALL: &[&[u8]] = &[
    LOG_ID,
    VAULT_ID,
    SEGMENT,
    SEGMENT_KEY,
    CHAIN,
    DIGEST,
    STATEMENT,
    STATEMENT_HASH,
    VOUCH,
    AUTH,
    EXPORTER,
    INVITE,
    GRANT,
    RELAY_RESET,
    CONTROL_ENTRY,
    GENESIS,
    RECOVERY_COMMITMENT,
    RECOVERY_KEY,
    CONTROL_KEY,
    READ_KEY,
    PAGE_KEY,
    SESSION,
    STORE_KEK,
    PREKEY,
    LOG_PROOF,
    ADMIN_PROOF,
    PAIR_LINK,
    PAIR_KEY,
    PAIR_COMMIT,
    PAIR_MAC,
    PAIR_PROOF,
    PAIR_CODE,
    PAIR_TRANSCRIPT,
    PAIR_PSK,
    RECORD_NAME,
];

/// `SHA-256(label | parts...)`. The parts are concatenated as they are: callers keep them of fixed length,
/// or prefix lengths.
#[must_use]
pub fn hash(label: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(label);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_distinct_and_namespaced() {
        for (i, label) in ALL.iter().enumerate() {
            assert!(label.starts_with(b"subrosa/1 "));
            assert!(!ALL[..i].contains(label), "{}", String::from_utf8_lossy(label));
        }
    }
}
