//! What people and programs type: addresses, links, ids, JSON.

use subrosa::Record;
use subrosa_model::merge::{RecordId, Value};
use subrosa_model::pair::{PairCode, PairLink};
use subrosa_protocol::addr::RelayAddr;

use super::line::{self, Shape};

fn utf8(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

pub(super) fn address(data: &[u8]) {
    let Some(text) = utf8(data) else { return };
    if let Ok(address) = RelayAddr::parse(text) {
        let again = RelayAddr::parse(&address.to_string()).expect("what was printed is an address");
        assert!(again == address);
        assert!(again.without_invite().invite().is_none());
    }
}

pub(super) fn pair_link(data: &[u8]) {
    let Some(text) = utf8(data) else { return };
    if let Ok(link) = PairLink::parse(text) {
        let printed = link.to_text();
        assert_eq!(*PairLink::parse(&printed).expect("what was printed is a link").to_text(), *printed);
        assert!(!format!("{link:?}").contains(printed.rsplit('#').next().expect("a fragment")));
    }
    if let Some(code) = PairCode::parse(text) {
        assert_eq!(PairCode::parse(&code.to_string()), Some(code));
    }
}

pub(super) fn record_id(data: &[u8]) {
    let Some(text) = utf8(data) else { return };
    match text.parse::<RecordId>() {
        Ok(id) => {
            assert_eq!(id.to_string().to_lowercase(), text.to_lowercase());
            assert_eq!(RecordId::from_text(text), id);
        }
        Err(_) => assert_eq!(RecordId::from_text(text), RecordId::from_name(text)),
    }
}

pub(super) fn json(data: &[u8]) {
    let Some(text) = utf8(data) else { return };
    if let Ok(value) = Value::from_json_str(text) {
        let printed = value.to_json_string();
        let again = Value::from_json_str(&printed).expect("what was printed is JSON");
        assert!(again == value);
        assert_eq!(again.to_json_string(), printed);
    }
}

/// A line of an import is a record, which is written as a line that says the same.
pub(super) fn line(data: &[u8]) {
    let Some(text) = utf8(data) else { return };
    for shape in [Shape::Collection, Shape::Vault] {
        match line::read(text, shape) {
            Ok(read) => {
                let id = read.id.unwrap_or_else(|| RecordId::from_name("none"));
                let collection = read.collection.clone();
                let written = line::write(collection.as_deref(), id, Record(read.fields.0.clone()));
                let again = line::read(&written, shape).expect("what was written is a line");
                assert!(again.id == Some(id) && again.collection == collection);
                assert!(again.fields.0 == read.fields.0);
            }
            Err(error) => assert!(!error.remedy().is_empty()),
        }
    }
}

/// What the operator of a relay writes.
pub(super) fn relay_text(data: &[u8]) {
    if let Some(text) = utf8(data) {
        subrosa_relay::testing::read_text(text);
    }
}
