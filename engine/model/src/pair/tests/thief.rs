//! Somebody in the middle who has the link's secret, too.

use super::*;

/// A relay in the middle that has seen the link, secret included, and swaps keys.
struct Thief {
    link: PairLink,
    device: SoftwareKey,
    ephemeral: KeyPair,
}

impl Thief {
    fn new(old: &Old) -> Self {
        let link = PairLink::parse(&old.machine.link().to_text()).unwrap();
        Self { link, device: SoftwareKey::generate(&entropy(66)), ephemeral: KeyPair::generate(&entropy(67)) }
    }

    fn opening(&self) -> Opening {
        Opening {
            ephemeral: self.ephemeral.public(),
            nonce: [9; 32],
            device: self.device.public(),
            prekey: SignedPrekey::sign(&self.device, 0, KeyPair::generate(&entropy(68)).public()).unwrap(),
            name: DeviceName::new("phone").unwrap(),
        }
    }

    /// Takes the new device's place towards the old one.
    fn answer(&self, old: &mut Old) -> Reveal {
        let commitment = self.opening().commitment(&self.link);
        let mac = self.link.commit_mac(&commitment);
        old.message(&Message::Commit { commitment, mac }).unwrap();
        let Message::Reveal { reveal, .. } = Message::decode(&old.drain().remove(0)).unwrap() else {
            panic!("the old device reveals its half");
        };
        let transcript = Transcript::new(&self.link, &commitment, &reveal, &self.opening());
        let proof = crate::keys::sign_with(&self.device, labels::PAIR_PROOF, transcript.as_bytes()).unwrap();
        let mac = self.link.open_mac(&transcript, &proof);
        old.message(&Message::Open { opening: Box::new(self.opening()), proof, mac }).unwrap();
        assert!(old.drain().is_empty());
        reveal
    }

    /// Takes the old device's place towards the new one, with a half of its choice.
    fn offer(&self, new: &mut New, reveal: Reveal) -> Result<([u8; 32], Opening), PairError> {
        let Message::Commit { commitment, .. } = Message::decode(&new.drain().remove(0)).unwrap() else {
            panic!("the new device commits first");
        };
        let mac = self.link.reveal_mac(&commitment, &reveal);
        new.handle(&Message::Reveal { reveal: reveal.clone(), mac }.encode())?;
        let Message::Open { opening, .. } = Message::decode(&new.drain().remove(0)).unwrap() else {
            panic!("the new device opens");
        };
        let hash = Transcript::new(&self.link, &commitment, &reveal, &opening).hash();
        Ok((hash, *opening))
    }
}

#[test]
fn keys_swapped_in_the_middle_show_in_the_code() {
    let (mut old, mut new) = pair();
    let thief = Thief::new(&old);
    let reveal = thief.answer(&mut old);
    thief.offer(&mut new, reveal).unwrap();
    let (left, right) = (old.shown.unwrap(), new.shown.unwrap());
    assert_ne!(left, right, "the user sees two codes");
    let typed = right.to_string();
    assert_eq!(old.handle(OfferInput::Confirmed(Some(&typed))), Err(PairError::WrongCode));
    assert_nothing_changed(&old);
}

#[test]
fn not_even_the_secret_lets_a_thief_play_the_old_device() {
    let (old, mut new) = pair();
    let thief = Thief::new(&old);
    let mine = Reveal {
        ephemeral: thief.ephemeral.public(),
        nonce: [1; 32],
        device: thief.device.public(),
        vaults: vec![old.vault],
    };
    assert_eq!(thief.offer(&mut new, mine).unwrap_err(), PairError::NotAuthentic, "the link names the key");

    // With the old device's true key in the open, the thief gets as far as the code, but cannot seal a vault of its
    // own as that key.
    let (old, _) = pair();
    let mut new = self::new(&old.machine.link().to_text(), 2);
    let mut reveal = old_reveal();
    let own = found_vault(&thief.device, "x", &Founding::Home, &entropy(70)).unwrap();
    reveal.vaults = vec![own.vault];
    let (hash, opening) = thief.offer(&mut new, reveal).unwrap();
    let relay = thief.link.relay();
    let listing = &device_added(&thief.device, &own.vault, 1, added(&new.device)).unwrap();
    let parts = BundleParts { vault: own.vault, name: "trap", keyring: &own.keyring, relay, frontier: &[] };
    let binding = HpkeBinding { psk: thief.link.secret(), psk_id: labels::PAIR_PSK, info: &hash };
    let bundle = Bundle::new(&parts, listing).unwrap();
    let sealed = hpke_seal(&thief.ephemeral, &opening.ephemeral, &binding, bundle.as_bytes(), &entropy(71));
    let pieces = super::message::pieces(&sealed);
    let last = pieces.iter().map(|piece| new.handle(&piece.encode())).last();
    assert_eq!(last, Some(Err(PairError::NotAuthentic)));
    new.drain();
    assert!(new.joined.is_none());
}

/// What the old device of [`old`] reveals.
fn old_reveal() -> Reveal {
    let (mut old, mut new) = pair();
    old.handle(OfferInput::Message(&new.drain().remove(0))).unwrap();
    match Message::decode(&old.drain().remove(0)).unwrap() {
        Message::Reveal { reveal, .. } => reveal,
        _ => panic!("the old device reveals its half"),
    }
}

#[test]
fn an_opening_must_be_what_was_committed_to_and_proved() {
    type Change = fn(&Thief, Opening) -> (Opening, Option<SoftwareKey>);
    let changes: [(&str, Change); 4] = [
        ("other key", |_, opening| {
            (Opening { ephemeral: KeyPair::generate(&entropy(80)).public(), ..opening }, None)
        }),
        ("other name", |_, opening| (Opening { name: DeviceName::new("tv").unwrap(), ..opening }, None)),
        ("other prekey", |thief, opening| {
            let public = KeyPair::generate(&entropy(80)).public();
            (Opening { prekey: SignedPrekey::sign(&thief.device, 1, public).unwrap(), ..opening }, None)
        }),
        ("proof by another", |_, opening| (opening, Some(SoftwareKey::generate(&entropy(81))))),
    ];
    for (name, change) in changes {
        let (mut old, _) = pair();
        let thief = Thief::new(&old);
        let commitment = thief.opening().commitment(&thief.link);
        let mac = thief.link.commit_mac(&commitment);
        old.message(&Message::Commit { commitment, mac }).unwrap();
        old.drain();
        let (opening, signer) = change(&thief, thief.opening());
        let transcript = Transcript::new(&thief.link, &commitment, &old_reveal(), &opening);
        let signer = signer.as_ref().unwrap_or(&thief.device);
        let proof = crate::keys::sign_with(signer, labels::PAIR_PROOF, transcript.as_bytes()).unwrap();
        let mac = thief.link.open_mac(&transcript, &proof);
        let open = Message::Open { opening: Box::new(opening), proof, mac };
        assert_eq!(old.message(&open), Err(PairError::NotAuthentic), "{name}");
        assert_nothing_changed(&old);
    }
}
