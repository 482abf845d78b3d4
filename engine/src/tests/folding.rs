//! What folding the members costs, at an opening and when something arrives.

use subrosa_model::control::{
    DeviceAdded, DeviceName, DeviceRole, Entry, LogBirth, OwnLogs, PrekeySecret, SignedEntry, SignedPrekey,
    encode_entries,
};
use subrosa_model::entropy::OsEntropy;
use subrosa_model::keys::{KeyPair, KeyProvider, SoftwareKey};
use subrosa_model::seal::{Packed, Place};
use subrosa_protocol::codec::Extensions;
use subrosa_protocol::ids::{Chain, Head, LogId, PublicKeyBytes, Seq, Signature, VaultId};
use subrosa_protocol::limits::STRANGERS_ASKED_MAX;
use subrosa_protocol::segment::{GroupPlace, Kind};

use super::exchange::pair;
use super::{ListRelay, TestDevice, join};
use crate::life::Core;

/// A device that writes no store: its key and its logs.
pub(super) struct Guest {
    key: SoftwareKey,
    logs: OwnLogs,
    admin: KeyPair,
}

impl Guest {
    pub(super) fn new() -> Self {
        let key = SoftwareKey::generate(&OsEntropy);
        Self { key, logs: OwnLogs::generate(0, &OsEntropy), admin: KeyPair::generate(&OsEntropy) }
    }

    pub(super) fn added(&self, name: &str, role: DeviceRole) -> DeviceAdded {
        let prekey = KeyPair::generate(&OsEntropy).public();
        DeviceAdded {
            device: self.key.public(),
            prekey: SignedPrekey::sign(&self.key, 0, prekey).unwrap(),
            name: DeviceName::new(name).unwrap(),
            role,
        }
    }

    /// Segment 0 of its control log at the relay.
    fn certifies(&self, by: &TestDevice, relay: &ListRelay, vault: &VaultId) {
        let prekey = PrekeySecret::generate(&self.logs, &OsEntropy);
        let birth = LogBirth { vault, number: 0, logs: &self.logs, admin: &self.admin, prekey: &prekey };
        let data = birth.entries(&self.key).unwrap();
        let public = PublicKeyBytes::from(self.logs.control.public());
        let segment = by.core().with_vault(vault, |state| {
            let live = state.keyring.live_epoch();
            let place = Place {
                group: GroupPlace::Whole,
                vault: *vault,
                prev: Chain::ZERO,
                kind: Kind::CONTROL,
                log: LogId::of(&public),
                seq: Seq(0),
                epoch: live.epoch,
            };
            let sign =
                |label: &[u8], payload: &[u8]| Signature::from_bytes(self.logs.control.sign(label, payload));
            Ok(subrosa_model::seal::seal(
                &place,
                &Packed::of(&data),
                (&live.control).into(),
                &OsEntropy,
                sign,
            )
            .0)
        });
        let mut state = relay.state.lock().unwrap();
        state.logs.push(public.into());
        super::append(&mut state, vault, segment.unwrap()).unwrap();
    }
}

pub(super) fn adds(by: &Core, vault: &VaultId, number: u64, added: DeviceAdded) -> SignedEntry {
    SignedEntry::sign(by.key(), vault, number, Entry::DeviceAdded(added), Extensions::new()).unwrap()
}

/// A device's control log goes on with each of the entries in a segment of its own.
pub(super) fn writes(by: &Core, vault: &VaultId, entries: &[SignedEntry]) {
    let append = |tx: &mut crate::life::commit::Tx<'_>| {
        let number = tx.state.vault_no(vault)?;
        for entry in entries {
            tx.append_control(number, &encode_entries(std::slice::from_ref(entry)))?;
        }
        Ok(())
    };
    by.write(append).unwrap();
}

fn beyond_image(device: &TestDevice, vault: &VaultId) -> usize {
    device.core().with_vault(vault, |state| Ok(state.beyond_image)).unwrap()
}

#[test]
fn opening_reads_what_has_changed_and_not_history() {
    let (a, mut b, relay, vault) = pair();
    let guests: Vec<_> = (0..40).map(|_| Guest::new()).collect();
    let entries = guests
        .iter()
        .zip(10..)
        .map(|(guest, number)| adds(a.core(), &vault, number, guest.added("guest", DeviceRole::Writer)));
    writes(a.core(), &vault, &entries.collect::<Vec<_>>());
    relay.sync(a.core(), &vault);
    guests.iter().for_each(|guest| guest.certifies(&a, &relay, &vault));
    relay.sync(b.core(), &vault);
    let devices = b.vault().devices().unwrap();
    assert_eq!(devices.len(), 42);
    b.reopen();
    assert_eq!(beyond_image(&b, &vault), 0, "an image was written");
    let logs = b.core().with_vault(&vault, |state| Ok(state.members.control_log_publics().len())).unwrap();
    assert_eq!(logs, 42);
    for n in 1..4 {
        let again = adds(a.core(), &vault, 100 + n, guests[0].added("renamed too late", DeviceRole::Writer));
        writes(a.core(), &vault, &[again]);
        relay.sync(a.core(), &vault);
        relay.feed(b.core(), &vault);
        b.reopen();
        assert_eq!(beyond_image(&b, &vault), n as usize, "what has come since");
        assert_eq!(b.vault().devices().unwrap(), devices);
    }
    assert!(b.device.as_ref().unwrap().verify().unwrap().is_good());
    // An image that does not fit is as none.
    let spoilt: [&[u8]; 3] = [b"", b"made up", &[0, 0, 0, 5, b'0', b'.', b'1', b'.', b'0']];
    for image in spoilt {
        b.core()
            .write(|tx| {
                let number = tx.state.vault_no(&vault)?;
                Ok(tx.vaults.put_members(number, image)?)
            })
            .unwrap();
        b.reopen();
        assert_eq!(b.vault().devices().unwrap(), devices);
        assert_eq!(beyond_image(&b, &vault), 0, "all was read, and an image was written");
    }
    // What an image covers must be there.
    let other = b.core().write(|tx| {
        let number = tx.state.vault_no(&vault)?;
        let image = tx.vault(number)?.image(|log| {
            Ok(tx.logs.head(log)?.map(|mut head| {
                head.chain = Chain::from_bytes([7; 32]);
                head
            }))
        })?;
        Ok(tx.vaults.put_members(number, &image)?)
    });
    other.unwrap();
    b.reopen();
    assert_eq!((b.vault().devices().unwrap(), beyond_image(&b, &vault)), (devices, 0));
}

#[test]
fn everything_that_was_only_noted_has_its_turn_after_a_change_of_members() {
    let (mut a, b, relay, vault) = pair();
    let noted: Vec<LogId> =
        (0..2 * STRANGERS_ASKED_MAX as u8 + 6).map(|n| LogId::from_bytes([n; 16])).collect();
    let note = |a: &TestDevice| {
        let note = |tx: &mut crate::life::commit::Tx<'_>| {
            let number = tx.state.vault_no(&vault)?;
            for log in &noted {
                let head = Head { log: *log, seq: Seq(3), chain: Chain::ZERO };
                tx.raise_relay_head(&relay.pin, number, head)?;
            }
            Ok(())
        };
        a.core().write(note).unwrap();
    };
    note(&a);
    let asked = |a: &TestDevice| {
        let mut asked = Vec::new();
        loop {
            let wants = relay.feed(a.core(), &vault).received.wants;
            assert!(
                wants.len() <= STRANGERS_ASKED_MAX
                    && wants.iter().all(|want| (want.1, want.2) == (Seq(0), Seq(0)))
            );
            if wants.is_empty() {
                asked.sort_unstable();
                return asked;
            }
            asked.extend(wants.into_iter().map(|want| want.0));
        }
    };
    assert_eq!(asked(&a), [], "nothing has changed");
    a.reopen();
    assert_eq!(asked(&a), noted);
    join(&b, &TestDevice::new());
    relay.sync(b.core(), &vault);
    assert_eq!(asked(&a), noted);
}

/// Nanoseconds that this thread has worked.
fn worked() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse().unwrap()
}

fn told(what: &str, mut times: Vec<u64>) {
    times.sort_unstable();
    let ms = |ns: u64| ns as f64 / 1e6;
    println!(
        "{what}: median {:.2} ms, {:.2} to {:.2}",
        ms(times[times.len() / 2]),
        ms(times[0]),
        ms(times[times.len() - 1])
    );
}

#[test]
#[ignore = "a measurement of a minute, which asserts nothing of time; see docs/ARCHITECTURE.md, long runs"]
fn measure_opening_and_receiving() {
    for (what, listed, entries) in [("1,000 devices", 980, 980), ("5,000 entries of 500 devices", 480, 5_000)]
    {
        let (a, mut b, relay, vault) = pair();
        let guests: Vec<_> = (0..listed).map(|_| Guest::new()).collect();
        let entry = |n: usize| {
            adds(a.core(), &vault, 10 + n as u64, guests[n % listed].added("guest", DeviceRole::Writer))
        };
        writes(a.core(), &vault, &(0..entries).map(entry).collect::<Vec<_>>());
        relay.sync(a.core(), &vault);
        guests.iter().for_each(|guest| guest.certifies(&a, &relay, &vault));
        let before = worked();
        relay.feed(b.core(), &vault);
        told(&format!("{what}: receiving all"), vec![worked() - before]);
        assert_eq!(b.vault().devices().unwrap().len(), listed + 2);
        b.reopen();
        let mut times = Vec::new();
        for _ in 0..9 {
            b.device = None;
            let before = worked();
            b.device = Some(b.open_at(&b.path()));
            times.push(worked() - before);
        }
        told(&format!("{what}: opening"), times);
        for (which, base) in [("that ranks last", 20_000), ("that ranks earlier", 0)] {
            let mut times = Vec::new();
            for (n, guest) in guests.iter().enumerate().take(9) {
                let added = if base == 0 {
                    guest.added("earlier", DeviceRole::Writer)
                } else {
                    Guest::new().added("one more", DeviceRole::Writer)
                };
                writes(a.core(), &vault, &[adds(a.core(), &vault, base + n as u64, added)]);
                relay.take(a.core(), &vault).unwrap();
                let before = worked();
                relay.feed(b.core(), &vault);
                times.push(worked() - before);
            }
            told(&format!("{what}: receiving an entry {which}"), times);
        }
    }
}
