//! Who belongs to a vault, as bytes, and what is sealed, before it is known whose it is.

use std::sync::OnceLock;

use bytes::Bytes;
use subrosa_model::control::Members;
use subrosa_model::entropy::SeededEntropy;
use subrosa_model::keys::secret::EpochKey;
use subrosa_model::keys::{Aad, KeyPair, Profile, Session, SoftwareKey};
use subrosa_model::seal::{self, HpkeBinding, hpke_open};
use subrosa_protocol::ids::VaultId;
use subrosa_protocol::segment::SealedSegment;

const VAULT: VaultId = VaultId::from_bytes([1; 32]);

/// What is read may have been written in another order, or with keys that nothing names: written once more, it stays as it is.
pub(super) fn image(data: &[u8]) {
    let Ok(members) = Members::decode(VAULT, data) else { return };
    let once = members.encode();
    let members = Members::decode(VAULT, &once).expect("what was written is an image");
    assert_eq!(members.encode(), once);
}

struct Keys {
    pair: KeyPair,
    session: Session,
    epoch: EpochKey,
}

fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let entropy = SeededEntropy::dangerous_from_seed(1);
        let device = SoftwareKey::generate(&entropy);
        Keys {
            pair: KeyPair::generate(&entropy),
            session: Session::self_session(&device, &Profile::subrosa_v1(b"fuzz")).expect("a session"),
            epoch: EpochKey::generate(&entropy),
        }
    })
}

/// Nobody who has no key makes anything that opens.
pub(super) fn sealed(data: &[u8]) {
    let Keys { pair, session, epoch } = keys();
    assert!(session.open(Aad::NONE, data).is_err());
    let binding = HpkeBinding { psk: &[1; 32], psk_id: b"fuzz", info: b"" };
    assert!(hpke_open(pair, &pair.public(), &binding, data).is_err());
    if let Ok(segment) = SealedSegment::parse(Bytes::copy_from_slice(data)) {
        assert!(seal::open(&VAULT, &segment, epoch).is_err());
    }
}
