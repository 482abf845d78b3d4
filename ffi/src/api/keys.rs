//! Keys and sessions.

use std::sync::Arc;

use subrosa::{
    Aad, KeyError, KeyPair, KeyProvider, OsEntropy, Profile, PublicKey, Session, SharedSecret, SoftwareKey,
};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::handles::Object;
use crate::status::{SUBROSA_INVALID_ARGUMENT, SUBROSA_KEY_NOT_EXPORTABLE};

/// `subrosa/1`: `context` says what the session is for, another context is another key. Associated data is bound to
/// sender and recipient.
pub const SUBROSA_PROFILE_SUBROSA_1: i32 = 1;
/// `supabase-e2ee-v1`, byte compatible with the other implementations of that scheme: no context, no associated data.
pub const SUBROSA_PROFILE_SUPABASE_E2EE_V1: i32 = 2;

/// A device key: in memory, or elsewhere.
pub(crate) struct KeyObject {
    pub(crate) provider: Arc<dyn KeyProvider>,
    /// Set for a key in memory.
    software: Option<Arc<SoftwareKey>>,
}

impl Object for KeyObject {
    const KIND: u8 = 3;
}

impl KeyObject {
    pub(crate) fn generate() -> Self {
        Self::software(SoftwareKey::new(KeyPair::generate(&OsEntropy)))
    }

    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self, Failure> {
        Ok(Self::software(SoftwareKey::from_pkcs8_der(der)?))
    }

    fn software(key: SoftwareKey) -> Self {
        let key = Arc::new(key);
        Self { provider: key.clone(), software: Some(key) }
    }

    /// A key of the host's; `agree` and `sign` give 0 or a code of their own.
    pub(crate) fn hosted(host: impl HostKey) -> Self {
        Self { provider: Arc::new(Hosted(host)), software: None }
    }

    pub(crate) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let no = || Failure::new(SUBROSA_KEY_NOT_EXPORTABLE, "the key lives in its provider");
        Ok(self.software.as_ref().ok_or_else(no)?.dangerous_to_pkcs8_der())
    }

    pub(crate) fn sign(&self, label: &[u8], message: &[u8]) -> Result<[u8; 64], Failure> {
        Ok(subrosa::sign_with(&*self.provider, label, message)?)
    }
}

/// What a host's key does.
pub(crate) trait HostKey: Send + Sync + 'static {
    fn public(&self) -> PublicKey;
    fn agree(&self, peer: &[u8; 65], shared_x: &mut [u8; 32]) -> Result<(), i32>;
    fn sign(&self, message: &[u8], signature: &mut [u8; 64]) -> Result<(), i32>;
}

struct Hosted<K>(K);

impl<K: HostKey> KeyProvider for Hosted<K> {
    fn public(&self) -> PublicKey {
        self.0.public()
    }

    fn agree(&self, peer: &PublicKey) -> Result<SharedSecret, KeyError> {
        let mut shared = Zeroizing::new([0; 32]);
        let agreed = self.0.agree(peer.as_bytes(), &mut shared);
        agreed.map_err(|code| KeyError::Provider { code })?;
        if *shared == [0; 32] {
            // It said that it did, and wrote nothing: everything sealed under that could be opened by anybody.
            return Err(KeyError::ProviderAgreement);
        }
        Ok(SharedSecret::new(shared))
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], KeyError> {
        let mut signature = [0; 64];
        self.0.sign(message, &mut signature).map_err(|code| KeyError::Provider { code })?;
        Ok(signature)
    }
}

/// A session of two key pairs, or of one with itself.
pub(crate) struct SessionObject(Session);

impl Object for SessionObject {
    const KIND: u8 = 4;
}

impl SessionObject {
    /// With `peer`, or with the key itself.
    pub(crate) fn new(
        key: &KeyObject,
        peer: Option<&PublicKey>,
        profile: i32,
        context: &[u8],
    ) -> Result<Self, Failure> {
        let profile = match profile {
            SUBROSA_PROFILE_SUBROSA_1 => Profile::subrosa_v1(context),
            SUBROSA_PROFILE_SUPABASE_E2EE_V1 if context.is_empty() => Profile::supabase_e2ee_v1(),
            SUBROSA_PROFILE_SUPABASE_E2EE_V1 => {
                return Err(Failure::new(SUBROSA_INVALID_ARGUMENT, "this profile has no context"));
            }
            _ => return Err(Failure::new(SUBROSA_INVALID_ARGUMENT, "no such profile")),
        };
        let key = &*key.provider;
        Ok(Self(match peer {
            Some(peer) => Session::peer(key, peer, &profile)?,
            None => Session::self_session(key, &profile)?,
        }))
    }

    pub(crate) fn seal(&self, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, Failure> {
        Ok(self.0.seal(&OsEntropy, Aad::new(aad), plain)?)
    }

    pub(crate) fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
        Ok(self.0.open(Aad::new(aad), sealed)?)
    }
}
