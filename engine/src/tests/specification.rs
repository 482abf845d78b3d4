//! `docs/FORMAT.md` and the core say the same.

use subrosa_model::keys::SoftwareKey;
use subrosa_model::merge::Stamp;
use subrosa_store::doors::shapes;
use subrosa_store::error::StoreError;
use subrosa_store::keys::VaultNo;

use super::TestDevice;
use crate::device::Device;
use crate::error::Error;
use crate::logs::sealing::fill::{BODY_FILL_BYTES, BODY_PLAIN_MAX};
use crate::memory::extents::WaitReason;
use crate::options::Options;
use crate::spec::{FORMAT, section, table};

#[test]
fn the_tables_are_the_specified_ones() {
    let rows = table(section(FORMAT, "Tables"), "| table | key |");
    let mut rows: Vec<_> = rows.iter().map(|row| [row[0].clone(), row[2].clone(), row[4].clone()]).collect();
    rows.sort_unstable();
    assert_eq!(rows, shapes());
    let found = TestDevice::new().core().read(|doors| doors.table_names()).unwrap();
    let names: Vec<_> = rows.into_iter().map(|[name, ..]| name).collect();
    assert_eq!(names, found, "a store has these tables and no others");
}

#[test]
fn the_names_in_meta_are_the_specified_ones() {
    let device = TestDevice::new();
    device.device.as_ref().unwrap().create_vault("personal").unwrap();
    device.device.as_ref().unwrap().set_relay(None).unwrap();
    device.vault().records("notes").put(super::id(1), &super::record(&[("x", 1)])).unwrap();
    device.core().seal(&device.vault().id()).unwrap();
    let own_clock = device.core().write(|tx| tx.put_own_clock(VaultNo(0), Some(Stamp::from_ms(1))));
    own_clock.unwrap();
    let mut device = device;
    device.reopen();
    let mut found = device.core().read(|doors| doors.vaults()?.meta_names()).unwrap();
    let rows = table(section(FORMAT, "Tables"), "| meta | value |");
    let mut names: Vec<_> = rows.iter().map(|row| row[0].replace("*n*", "0")).collect();
    names.sort_unstable();
    found.sort_unstable();
    assert_eq!(names, found);
}

#[test]
fn the_reasons_for_which_a_log_waits_are_the_specified_ones() {
    use WaitReason::{Misplaced, StaysShut, TooLarge, Undecodable, UnknownKind};
    let rows = table(section(FORMAT, "Quarantine"), "| reason | a segment of the group |");
    let rows: Vec<_> = rows.iter().map(|row| [row[0].clone(), row[3].clone()]).collect();
    let code = [StaysShut, Undecodable, UnknownKind, Misplaced, TooLarge].map(|reason| {
        let name = match reason {
            StaysShut => "stays shut",
            Undecodable => "undecodable",
            UnknownKind => "unknown kind",
            Misplaced => "misplaced",
            TooLarge => "too large",
        };
        let code = reason.code();
        assert_eq!(code.and_then(WaitReason::of_code), code.map(|_| reason));
        [name.to_owned(), code.map_or("none".to_owned(), |code| code.to_string())]
    });
    assert_eq!(rows, code);
}

#[test]
fn a_full_body_fills_a_page_of_the_database_and_no_more() {
    let place = subrosa_model::seal::Place {
        group: subrosa_protocol::segment::GroupPlace::Whole,
        vault: subrosa_protocol::ids::VaultId::ZERO,
        prev: subrosa_protocol::ids::Chain::ZERO,
        kind: subrosa_protocol::segment::Kind::DATA,
        log: subrosa_protocol::ids::LogId::ZERO,
        seq: subrosa_protocol::ids::Seq(0),
        epoch: subrosa_protocol::ids::Epoch(0),
    };
    let mut noise = vec![0; BODY_FILL_BYTES];
    subrosa_model::entropy::Entropy::fill(&subrosa_model::entropy::OsEntropy, &mut noise);
    let key = subrosa_model::keys::secret::EpochKey::generate(&subrosa_model::entropy::OsEntropy);
    let row = |data: &[u8]| {
        let sign = |_: &[u8], _: &[u8]| subrosa_protocol::ids::Signature::ZERO;
        let data = subrosa_model::seal::Packed::of(data);
        let sealed =
            subrosa_model::seal::seal(&place, &data, (&key).into(), &subrosa_model::entropy::OsEntropy, sign);
        32 + sealed.0.bytes().len()
    };
    // A leaf page of one row: header, key and the end of the value.
    let around = 4 + 12 + 4;
    assert!(row(&noise) + around <= 64 << 10);
    noise.push(0);
    assert!(row(&noise) + around > 64 << 10, "not one byte is given away");
    assert_eq!(BODY_FILL_BYTES, subrosa_protocol::limits::SEGMENT_FILL_BYTES - 5);
    let bytes = BODY_FILL_BYTES.to_string();
    for specified in [
        format!("more than {},{} bytes", &bytes[..2], &bytes[2..]),
        format!("more than {} KiB of plaintext", BODY_PLAIN_MAX >> 10),
    ] {
        assert!(section(FORMAT, "Sealing and groups").contains(&specified), "{specified}");
    }
}

#[test]
fn a_store_whose_tables_have_another_format_is_refused_by_name() {
    use crate::life::TABLES_FORMAT;
    let text = format!("u32 = {TABLES_FORMAT}, the format of the tables");
    assert!(section(FORMAT, "Tables").contains(&text), "{text}");
    let older = StoreError::OlderFormat { found: TABLES_FORMAT - 1, supported: TABLES_FORMAT };
    let newer = StoreError::NewerFormat { found: TABLES_FORMAT + 1, supported: TABLES_FORMAT };
    for (found, refused) in [(TABLES_FORMAT - 1, older), (TABLES_FORMAT + 1, newer)] {
        let mut device = TestDevice::new();
        device.core().write(|tx| Ok(tx.vaults.put_format(found)?)).unwrap();
        device.device = None;
        let key = SoftwareKey::from_pkcs8_der(&device.key_der).unwrap();
        let opened = Device::open(device.path(), std::sync::Arc::new(key), Options::default());
        let Err(Error::Store(error)) = opened else { panic!("format {found} opened, or failed otherwise") };
        assert_eq!(error, refused);
    }
}
