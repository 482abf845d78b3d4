use subrosa_protocol::ids::{LogId, Seq};
use subrosa_protocol::statement::check_chain;

use super::*;
use crate::control::{ControlError, Members};
use crate::entropy::SeededEntropy;
use crate::keys::{PublicKey, SharedSecret, SoftwareKey};

fn entropy(seed: u64) -> SeededEntropy {
    SeededEntropy::dangerous_from_seed(seed)
}

#[test]
fn a_relay_accepts_the_first_statement() {
    let device = SoftwareKey::generate(&entropy(1));
    let founded = found_vault(&device, "laptop", &Founding::Home, &entropy(2)).unwrap();
    let chain = [Statement::decode(&founded.statement).unwrap()];
    let last = check_chain(&founded.vault, &chain).unwrap();
    assert_eq!(founded.keyring.statements.whole(), Some(&[founded.statement][..]));
    let live = founded.keyring.live_epoch();
    assert_eq!(last.read, live.read_key().unwrap().public().into());
    assert_eq!(last.write, live.write.as_ref().unwrap().public().into());
    assert_eq!(last.admins, [founded.keyring.admin.public().into()]);
    assert_eq!(last.recovery_commitment, founded.keyring.recovery.commitment());
}

#[test]
fn the_founder_is_a_member_by_the_first_segment() {
    let device = SoftwareKey::generate(&entropy(1));
    let founded = found_vault(&device, "laptop", &Founding::Home, &entropy(2)).unwrap();
    let mut members = Members::new(founded.vault);
    let log = LogId::of(&founded.keyring.logs.control.public().into());
    let changes = members.apply(log, Seq(0), &founded.genesis_entries).unwrap();
    assert_eq!(changes.devices_added, [device.public()]);
    assert_eq!(changes.logs_certified.len(), 2);
    assert_eq!(members.devices()[0].name.as_str(), "laptop");
    assert_eq!(members.devices()[0].prekey, None);
    let certificate = members.certificate(&log).unwrap();
    assert_eq!(certificate.prekey.public, founded.keyring.prekeys[0].pair.public());
    assert_eq!(founded.keyring.prekeys[0].log, log);
    assert_eq!(members.admin_key(&device.public()), Some(founded.keyring.admin.public().into()));
    assert_eq!(members.next_number(&device.public()), 2);
}

#[test]
fn no_two_vaults_are_alike() {
    let device = SoftwareKey::generate(&entropy(1));
    let home = found_vault(&device, "a", &Founding::Home, &entropy(2)).unwrap();
    let beside =
        found_vault(&device, "a", &Founding::Beside(home.keyring.recovery.public), &entropy(3)).unwrap();
    assert_ne!(home.vault, beside.vault);
    assert_eq!(beside.keyring.recovery.public, home.keyring.recovery.public);
    assert_ne!(beside.keyring.recovery.commitment(), home.keyring.recovery.commitment());
    assert!(home.keyring.recovery.entropy.is_some());
    assert!(beside.keyring.recovery.entropy.is_none());
    let mut members = Members::new(beside.vault);
    let log = LogId::of(&home.keyring.logs.control.public().into());
    let refused = members.apply(log, Seq(0), &home.genesis_entries);
    assert_eq!(refused, Err(ControlError::OtherVault { log, seq: Seq(0) }));
}

#[test]
fn what_fails_makes_nothing() {
    struct Locked(SoftwareKey);

    impl KeyProvider for Locked {
        fn public(&self) -> PublicKey {
            self.0.public()
        }

        fn agree(&self, _: &PublicKey) -> Result<SharedSecret, KeyError> {
            Err(KeyError::Provider { code: 5 })
        }

        fn sign(&self, _: &[u8]) -> Result<[u8; 64], KeyError> {
            Err(KeyError::Provider { code: 5 })
        }
    }

    let device = SoftwareKey::generate(&entropy(1));
    let error = found_vault(&device, "", &Founding::Home, &entropy(2)).err();
    assert_eq!(error, Some(BirthError::DeviceName { bytes: 0 }));
    let error = found_vault(&Locked(device), "a", &Founding::Home, &entropy(2)).err();
    assert_eq!(error, Some(BirthError::Key(KeyError::Provider { code: 5 })));
}
