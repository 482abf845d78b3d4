//! What people and programs type: addresses, links, ids, JSON.

use subrosa_model::merge::{RecordId, Value};
use subrosa_model::pair::{PairCode, PairLink};
use subrosa_protocol::addr::RelayAddr;

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
