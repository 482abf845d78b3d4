//! `e2ee-interop.json`: keys, sessions and messages that Python, OpenSSL, a JDK and WebCrypto agree on.
//!
//! Two of its sections belong to parts that are not built yet: safety numbers and whisper payloads.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ring::aead::{AES_256_GCM, LessSafeKey, Nonce, UnboundKey};
use serde::Deserialize;
use subrosa::{
    Aad, AadRule, Entropy, Info, KeyPair, KeyProvider, OsEntropy, Profile, PublicKey, Session, SessionError,
    SoftwareKey, ValueFormat,
};

use crate::hex;

#[derive(Deserialize)]
struct Vectors {
    construction: Construction,
    keys: Vec<Key>,
    sessions: Vec<Derived>,
    messages: Vec<Message>,
    sealed_with_random_nonce: Vec<Sealed>,
    messages_that_must_fail: Vec<Forged>,
    private_key_forms: Vec<PrivateForm>,
    public_key_forms: Vec<PublicForm>,
}

#[derive(Deserialize)]
struct Construction {
    profiles: BTreeMap<String, Parameters>,
}

#[derive(Deserialize)]
struct Parameters {
    hkdf_salt_hex: String,
    hkdf_info_hex: String,
    aad: String,
}

#[derive(Deserialize)]
struct Key {
    id: String,
    pkcs8_der_hex: String,
    spki_der_hex: String,
    public_raw_hex: String,
    public_base64: String,
    public_compressed_hex: String,
    scalar_hex: String,
}

#[derive(Deserialize)]
struct Derived {
    id: String,
    kind: String,
    private: String,
    public: String,
    ecdh_shared_secret_hex: String,
    aes_key_hex: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Message {
    id: String,
    session: String,
    profile: String,
    nonce_hex: String,
    aad_hex: String,
    plaintext_hex: String,
    message_hex: String,
    message_base64: Option<String>,
}

#[derive(Deserialize)]
struct Sealed {
    sealed_by: String,
    session: String,
    profile: String,
    plaintext_hex: String,
    message_hex: String,
}

#[derive(Deserialize)]
struct Forged {
    id: String,
    session: String,
    profile: String,
    message_hex: String,
}

#[derive(Deserialize)]
struct PrivateForm {
    what: String,
    pkcs8_der_hex: String,
    bytes: usize,
    recommended: String,
}

#[derive(Deserialize)]
struct PublicForm {
    what: String,
    public_hex: String,
    bytes: usize,
    recommended: String,
}

static VECTORS: LazyLock<Vectors> = LazyLock::new(|| {
    serde_json::from_str(include_str!("e2ee-interop.json")).expect("the file has this shape")
});

impl Vectors {
    fn key(&self, id: &str) -> &Key {
        self.keys.iter().find(|key| key.id == id).expect("sessions name keys of the file")
    }

    fn derived(&self, id: &str) -> &Derived {
        self.sessions.iter().find(|session| session.id == id).expect("messages name sessions of the file")
    }

    /// Both ends of a session; of a self session, two of the same.
    fn ends(&self, session: &str, profile: &str) -> [Session; 2] {
        let derived = self.derived(session);
        let profile = self.profile(profile);
        [(&derived.private, &derived.public), (&derived.public, &derived.private)].map(|(own, peer)| {
            let own = SoftwareKey::new(self.key(own).pair());
            match derived.kind.as_str() {
                "self" => Session::self_session(&own, &profile),
                "peer" => Session::peer(&own, &self.key(peer).public(), &profile),
                kind => panic!("unknown kind {kind}"),
            }
            .expect("software keys agree")
        })
    }

    /// The built-in profile where there is one, checked against the file; else what the file says.
    fn profile(&self, name: &str) -> Profile {
        let parameters = &self.construction.profiles[name];
        let aad = match parameters.aad.as_str() {
            "none" => AadRule::None,
            "per message" => AadRule::PerMessage,
            rule => panic!("unknown rule {rule}"),
        };
        // From another one on purpose: nothing of it is left.
        let written = Profile::subrosa_v1(b"vectors")
            .salt(hex(&parameters.hkdf_salt_hex))
            .info(Info::Fixed(hex(&parameters.hkdf_info_hex)))
            .aad(aad)
            .values(ValueFormat::Json);
        if name == "supabase-e2ee-v1" {
            assert_eq!(written, Profile::supabase_e2ee_v1());
        }
        written
    }
}

impl Key {
    fn pair(&self) -> KeyPair {
        KeyPair::from_pkcs8_der(&hex(&self.pkcs8_der_hex)).expect("keys of the file are good")
    }

    fn public(&self) -> PublicKey {
        PublicKey::from_sec1(&hex(&self.public_raw_hex)).expect("keys of the file are good")
    }
}

/// Gives out one nonce, so that sealing can be compared byte for byte.
struct Given(Vec<u8>);

impl Entropy for Given {
    fn fill(&self, out: &mut [u8]) {
        out.copy_from_slice(&self.0);
    }
}

#[test]
fn keys() {
    assert_eq!(VECTORS.keys.len(), 8);
    for key in &VECTORS.keys {
        let (pair, public) = (key.pair(), key.public());
        assert_eq!(pair.public(), public, "{}", key.id);
        assert_eq!(public.as_bytes()[..], hex(&key.public_raw_hex));
        assert_eq!(public.to_base64(), key.public_base64);
        assert_eq!(PublicKey::from_base64(&key.public_base64), Ok(public));
        assert_eq!(public.to_spki_der()[..], hex(&key.spki_der_hex));
        assert_eq!(PublicKey::from_spki_der(&hex(&key.spki_der_hex)), Ok(public));
        assert!(PublicKey::from_sec1(&hex(&key.public_compressed_hex)).is_err());
        let written = pair.dangerous_to_pkcs8_der();
        assert_eq!(written.len(), 138);
        assert_eq!(written[36..68], hex(&key.scalar_hex), "{}", key.id);
        let same_form = key.pkcs8_der_hex.len() == 2 * 138;
        assert_eq!(*written == hex(&key.pkcs8_der_hex), same_form, "{}", key.id);
    }
}

/// The session's key is not shown, so the file's key must open, by ring, what the session seals.
#[test]
fn sessions() {
    assert_eq!(VECTORS.sessions.len(), 15);
    for session in &VECTORS.sessions {
        for (own, peer) in [(&session.private, &session.public), (&session.public, &session.private)] {
            let shared = VECTORS.key(own).pair().agree(&VECTORS.key(peer).public());
            assert_eq!(shared.dangerous_bytes()[..], hex(&session.ecdh_shared_secret_hex), "{}", session.id);
        }
        assert_eq!(session.aes_key_hex.len(), 2);
        for (profile, key) in &session.aes_key_hex {
            for end in VECTORS.ends(&session.id, profile) {
                let sealed = end.seal(&OsEntropy, Aad::NONE, b"text").unwrap();
                let (nonce, body) = sealed.split_first_chunk().unwrap();
                let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &hex(key)).unwrap());
                let mut body = body.to_vec();
                let aad = ring::aead::Aad::empty();
                let nonce = Nonce::assume_unique_for_key(*nonce);
                let opened = key.open_in_place(nonce, aad, &mut body);
                assert_eq!(opened.unwrap(), b"text", "{} {profile}", session.id);
            }
        }
    }
}

#[test]
fn messages() {
    assert_eq!(VECTORS.messages.len(), 15);
    for message in &VECTORS.messages {
        let (sealed, plaintext) = (hex(&message.message_hex), hex(&message.plaintext_hex));
        if let Some(text) = &message.message_base64 {
            assert_eq!(data_encoding::BASE64.encode(&sealed), *text);
        }
        let aad = hex(&message.aad_hex);
        for end in VECTORS.ends(&message.session, &message.profile) {
            let again = end.seal(&Given(hex(&message.nonce_hex)), Aad::new(&aad), &plaintext);
            assert_eq!(again.as_ref(), Ok(&sealed), "{}", message.id);
            assert_eq!(**end.open(Aad::new(&aad), &sealed).unwrap(), *plaintext, "{}", message.id);
            if !aad.is_empty() {
                let refused = Err(SessionError::NotAuthentic { bytes: sealed.len() });
                assert_eq!(end.open(Aad::NONE, &sealed), refused, "{}", message.id);
            }
        }
    }
}

/// The messages that hold values are also what sealing the value gives.
#[test]
fn values() {
    #[derive(Debug, PartialEq, Deserialize, serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Chat {
        from: String,
        body: String,
        sent_at: u64,
    }
    let mut seen = 0;
    for message in &VECTORS.messages {
        let sealed = hex(&message.message_hex);
        let nonce = Given(hex(&message.nonce_hex));
        let [end, _] = VECTORS.ends(&message.session, &message.profile);
        let again = match message.id.rsplit('/').next() {
            Some("json-value") => {
                let chat: Chat = end.open_value(Aad::NONE, &sealed).unwrap();
                assert_eq!((chat.from.as_str(), chat.sent_at), ("alice", 1_700_000_000));
                end.seal_value(&nonce, Aad::NONE, &chat)
            }
            Some("json-string") => {
                assert_eq!(end.open_value::<String>(Aad::NONE, &sealed).unwrap(), "hello");
                end.seal_value(&nonce, Aad::NONE, "hello")
            }
            Some("text") => {
                let text = end.open_text(Aad::NONE, &sealed).unwrap();
                end.seal_text(&nonce, Aad::NONE, &text)
            }
            _ => continue,
        };
        assert_eq!(again, Ok(sealed), "{}", message.id);
        seen += 1;
    }
    assert_eq!(seen, 6);
}

#[test]
fn sealed_with_random_nonce() {
    assert_eq!(VECTORS.sealed_with_random_nonce.len(), 3);
    for case in &VECTORS.sealed_with_random_nonce {
        for end in VECTORS.ends(&case.session, &case.profile) {
            let opened = end.open(Aad::NONE, &hex(&case.message_hex)).unwrap();
            assert_eq!(**opened, *hex(&case.plaintext_hex), "{}", case.sealed_by);
        }
    }
}

#[test]
fn messages_that_must_fail() {
    assert_eq!(VECTORS.messages_that_must_fail.len(), 12);
    for case in &VECTORS.messages_that_must_fail {
        let sealed = hex(&case.message_hex);
        let bytes = sealed.len();
        let expected = match bytes {
            ..28 => SessionError::TooShort { bytes },
            _ => SessionError::NotAuthentic { bytes },
        };
        for end in VECTORS.ends(&case.session, &case.profile) {
            assert_eq!(end.open(Aad::NONE, &sealed), Err(expected), "{}", case.id);
        }
    }
}

/// What the file leaves open ("either") is refused here: one key has one form per length.
#[test]
fn private_key_forms() {
    let (mut accepted, mut refused) = (vec![], 0);
    let reference = KeyPair::from_pkcs8_der(&hex(&VECTORS.private_key_forms[0].pkcs8_der_hex)).unwrap();
    for form in &VECTORS.private_key_forms {
        let der = hex(&form.pkcs8_der_hex);
        assert_eq!(der.len(), form.bytes);
        match (verdict(&form.recommended), KeyPair::from_pkcs8_der(&der)) {
            ("accept", Ok(pair)) => {
                assert_eq!(pair.public(), reference.public(), "{}", form.what);
                assert_eq!(
                    pair.dangerous_to_pkcs8_der(),
                    reference.dangerous_to_pkcs8_der(),
                    "{}",
                    form.what
                );
                let provider = SoftwareKey::from_pkcs8_der(&der).unwrap();
                assert_eq!(provider.public(), reference.public(), "{}", form.what);
                accepted.push(form.bytes);
            }
            ("reject" | "either", Err(_)) => refused += 1,
            (wanted, got) => panic!("{}: should {wanted}, got {got:?}", form.what),
        }
    }
    accepted.sort_unstable();
    assert_eq!((&accepted[..], refused), (&[67, 79, 138, 150][..], 12));
}

#[test]
fn public_key_forms() {
    let (mut accepted, mut refused) = (0, 0);
    for form in &VECTORS.public_key_forms {
        let bytes = hex(&form.public_hex);
        assert_eq!(bytes.len(), form.bytes);
        match (verdict(&form.recommended), PublicKey::from_sec1(&bytes)) {
            ("accept", Ok(key)) => {
                assert_eq!(key.as_bytes()[..], bytes);
                accepted += 1;
            }
            ("reject" | "either", Err(_)) => refused += 1,
            (wanted, got) => panic!("{}: should {wanted}, got {got:?}", form.what),
        }
    }
    assert_eq!((accepted, refused), (1, 12));
}

/// The first word of a recommendation; the rest is a comment.
fn verdict(recommended: &str) -> &str {
    recommended.split([';', ' ']).next().unwrap_or_default()
}
