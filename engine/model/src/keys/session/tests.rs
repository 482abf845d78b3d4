use std::collections::BTreeMap;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::*;
use crate::entropy::OsEntropy;
use crate::keys::{Info, SoftwareKey};

fn pairs() -> (SoftwareKey, SoftwareKey) {
    (SoftwareKey::generate(&OsEntropy), SoftwareKey::generate(&OsEntropy))
}

/// Both ends of a session.
fn ends(profile: &Profile) -> (Session, Session) {
    let (a, b) = pairs();
    let end = |own: &SoftwareKey, peer: &SoftwareKey| Session::peer(own, &peer.public(), profile).unwrap();
    (end(&a, &b), end(&b, &a))
}

fn profiles() -> [Profile; 3] {
    let custom = Profile::subrosa_v1(b"")
        .salt(b"salt")
        .info(Info::Fixed(b"custom".to_vec()))
        .aad(AadRule::PerMessage)
        .values(ValueFormat::Json);
    [Profile::supabase_e2ee_v1(), Profile::subrosa_v1(b"tests"), custom]
}

#[test]
fn bytes_text_and_values_come_back() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Chat {
        from: String,
        sent_at: u64,
        tags: Vec<Option<bool>>,
    }
    let chat = || Chat { from: "älice".into(), sent_at: u64::MAX, tags: vec![None, Some(true)] };
    for profile in profiles() {
        let (a, b) = ends(&profile);
        for plaintext in [&b""[..], b"\0", &[7; 5000]] {
            let sealed = a.seal(&OsEntropy, Aad::NONE, plaintext).unwrap();
            assert_eq!(sealed.len(), plaintext.len() + 28);
            assert_eq!(**b.open(Aad::NONE, &sealed).unwrap(), *plaintext);
        }
        let text = a.seal_text(&OsEntropy, Aad::NONE, "grüße").unwrap();
        assert_eq!(*b.open_text(Aad::NONE, &text).unwrap(), "grüße");
        let value = a.seal_value(&OsEntropy, Aad::NONE, &chat()).unwrap();
        assert_eq!(b.open_value::<Chat>(Aad::NONE, &value), Ok(chat()));
    }
}

#[test]
fn values_have_the_format_of_their_profile() {
    let encoded = |profile| {
        let (a, b) = ends(&profile);
        let sealed = a.seal_value(&OsEntropy, Aad::NONE, &("hello", 300u16)).unwrap();
        b.open(Aad::NONE, &sealed).unwrap().to_vec()
    };
    assert_eq!(encoded(Profile::supabase_e2ee_v1()), br#"["hello",300]"#);
    assert_eq!(encoded(Profile::subrosa_v1(b"")), b"\x05hello\xac\x02");
}

#[test]
fn every_altered_bit_is_an_error() {
    for profile in profiles() {
        let (a, b) = ends(&profile);
        let sealed = a.seal(&OsEntropy, Aad::NONE, b"said in confidence").unwrap();
        let refused = Err(SessionError::NotAuthentic { bytes: sealed.len() });
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(b.open(Aad::NONE, &altered), refused, "bit {bit}");
        }
        for cut in 0..sealed.len() {
            let expected = match cut {
                ..28 => SessionError::TooShort { bytes: cut },
                _ => SessionError::NotAuthentic { bytes: cut },
            };
            assert_eq!(b.open(Aad::NONE, &sealed[..cut]), Err(expected));
        }
    }
}

#[test]
fn another_pair_profile_or_context_is_another_key() {
    let (a, b) = pairs();
    let sealed = Session::peer(&a, &b.public(), &Profile::subrosa_v1(b"one"))
        .map(|session| session.seal(&OsEntropy, Aad::NONE, b"text").unwrap())
        .unwrap();
    let refused = Err(SessionError::NotAuthentic { bytes: sealed.len() });
    let mallory = SoftwareKey::generate(&OsEntropy);
    let directed = |salt: &[u8], info| Profile::subrosa_v1(b"one").salt(salt).info(info);
    let with_keys = Info::WithKeys(b"subrosa/1 session".to_vec());
    let salt = Sha256::digest(b"one");
    let cases = [
        ("other context", &b, &a, Profile::subrosa_v1(b"two")),
        ("other profile", &b, &a, Profile::supabase_e2ee_v1()),
        ("keys not in info", &b, &a, directed(&salt, Info::Fixed(b"subrosa/1 session".to_vec()))),
        ("context itself as salt", &b, &a, directed(b"one", with_keys.clone())),
        ("other recipient", &mallory, &a, Profile::subrosa_v1(b"one")),
        ("other sender", &b, &mallory, Profile::subrosa_v1(b"one")),
    ];
    for (name, own, peer, profile) in cases {
        let session = Session::peer(own, &peer.public(), &profile).unwrap();
        assert_eq!(session.open(Aad::NONE, &sealed), refused, "{name}");
    }
    let session = Session::peer(&b, &a.public(), &directed(&salt, with_keys)).unwrap();
    assert_eq!(**session.open(Aad::NONE, &sealed).unwrap(), *b"text");
}

#[test]
fn a_message_cannot_be_reflected_in_subrosa_v1() {
    let (a, b) = ends(&Profile::subrosa_v1(b"tests"));
    let sealed = a.seal(&OsEntropy, Aad::new(b"7"), b"pay me").unwrap();
    let refused = Err(SessionError::NotAuthentic { bytes: sealed.len() });
    assert_eq!(a.open(Aad::new(b"7"), &sealed), refused, "sent back to its sender");
    assert_eq!(b.open(Aad::new(b"8"), &sealed), refused);
    assert_eq!(b.open(Aad::NONE, &sealed), refused);
    assert_eq!(**b.open(Aad::new(b"7"), &sealed).unwrap(), *b"pay me");

    let (a, _) = ends(&Profile::supabase_e2ee_v1());
    let sealed = a.seal(&OsEntropy, Aad::NONE, b"pay me").unwrap();
    assert!(a.open(Aad::NONE, &sealed).is_ok(), "the other profile cannot tell");
}

/// Nonces of zeros, so that a message can be computed by hand.
struct Zeros;

impl Entropy for Zeros {
    fn fill(&self, out: &mut [u8]) {
        out.fill(0);
    }
}

#[test]
fn subrosa_v1_is_what_its_specification_says() {
    let (a, b) = pairs();
    let session = Session::peer(&a, &b.public(), &Profile::subrosa_v1(b"context")).unwrap();
    let sealed = session.seal(&Zeros, Aad::new(b"place"), b"text").unwrap();

    let (from, to) = (a.public(), b.public());
    let (low, high) = if from < to { (from, to) } else { (to, from) };
    let info = [&b"subrosa/1 session"[..], low.as_bytes(), high.as_bytes()].concat();
    let shared = b.agree(&from).unwrap();
    let key = kdf::derive(shared.dangerous_bytes(), &Sha256::digest(b"context"), &[&info]);
    let key = ring::aead::UnboundKey::new(&ring::aead::AES_256_GCM, &*key).unwrap();
    let aad = [&from.as_bytes()[..], to.as_bytes(), b"place"].concat();
    let mut body = sealed[12..].to_vec();
    let nonce = ring::aead::Nonce::assume_unique_for_key([0; 12]);
    let opened =
        ring::aead::LessSafeKey::new(key).open_in_place(nonce, ring::aead::Aad::from(aad), &mut body);
    assert_eq!(opened.unwrap(), b"text");
}

#[test]
fn a_self_session_is_for_its_owner_alone() {
    let (a, b) = pairs();
    for profile in profiles() {
        let sealed =
            Session::self_session(&a, &profile).unwrap().seal(&OsEntropy, Aad::NONE, b"mine").unwrap();
        let again = Session::self_session(&a, &profile).unwrap();
        assert_eq!(**again.open(Aad::NONE, &sealed).unwrap(), *b"mine");
        let refused = Err(SessionError::NotAuthentic { bytes: sealed.len() });
        assert_eq!(Session::self_session(&b, &profile).unwrap().open(Aad::NONE, &sealed), refused);
        assert_eq!(Session::peer(&a, &b.public(), &profile).unwrap().open(Aad::NONE, &sealed), refused);
        let echoed = Session::peer(&a, &a.public(), &profile).map(|_| ());
        assert_eq!(echoed, Err(KeyError::PeerIsSelf));
    }
}

#[test]
fn associated_data_follows_the_rule() {
    let [none, _, per_message] = profiles();
    let (a, b) = ends(&none);
    assert_eq!(a.seal(&OsEntropy, Aad::new(b"x"), b""), Err(SessionError::NoAadHere));
    assert_eq!(b.open(Aad::new(b"x"), &[0; 28]), Err(SessionError::NoAadHere));
    let (a, b) = ends(&per_message);
    let sealed = a.seal(&OsEntropy, Aad::new(b"x"), b"").unwrap();
    assert_eq!(b.open(Aad::new(b"y"), &sealed), Err(SessionError::NotAuthentic { bytes: 28 }));
    assert_eq!(b.open(Aad::NONE, &sealed), Err(SessionError::NotAuthentic { bytes: 28 }));
    assert!(b.open(Aad::new(b"x"), &sealed).is_ok());
}

#[test]
fn what_does_not_fit_its_type_is_an_error_that_quotes_nothing() {
    for profile in profiles() {
        let (a, b) = ends(&profile);
        let bytes = a.seal(&OsEntropy, Aad::NONE, &[0xff, 0xfe]).unwrap();
        assert_eq!(b.open_text(Aad::NONE, &bytes), Err(SessionError::NotText));
        let longer = a.seal_value(&OsEntropy, Aad::NONE, &(1u8, "marker")).unwrap();
        let error = b.open_value::<u8>(Aad::NONE, &longer).unwrap_err();
        assert_eq!(error, SessionError::NotAValue, "bytes after the value");
        assert!(!format!("{error} {error:?}").contains("marker"));
    }
    let (a, _) = ends(&Profile::supabase_e2ee_v1());
    let map = BTreeMap::from([((1, 2), 3)]);
    assert_eq!(a.seal_value(&OsEntropy, Aad::NONE, &map), Err(SessionError::NotAValue));
}

#[test]
fn nonces_do_not_repeat_and_debug_shows_ids_only() {
    let (a, _) = ends(&Profile::subrosa_v1(b"tests"));
    let one = a.seal(&OsEntropy, Aad::NONE, b"x").unwrap();
    assert_ne!(one[..12], a.seal(&OsEntropy, Aad::NONE, b"x").unwrap()[..12]);
    assert_eq!(
        format!("{a:?}"),
        format!("Session {{ own: PublicKey({}), peer: PublicKey({}), .. }}", a.own, a.peer)
    );
}
