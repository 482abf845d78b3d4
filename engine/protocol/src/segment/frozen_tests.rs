//! The frozen segments of `tests/vectors/segments.json`, as far as no key is needed for them.

use data_encoding::HEXLOWER;
use serde_json::Value;

use super::*;

fn bytes(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().expect("text").as_bytes()).expect("hexadecimal digits")
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().expect("as many bytes")
}

/// The vault, and its segments.
fn frozen() -> (VaultId, Vec<Value>) {
    let text = include_str!("../../../../tests/vectors/segments.json");
    let vectors: Value = serde_json::from_str(text).expect("JSON");
    let segments = vectors["segments"].as_array().expect("a list").clone();
    assert!(segments.len() > 5);
    (VaultId::from_bytes(array(&vectors["vault"]["id"])), segments)
}

#[test]
fn frozen_segments_parse_to_their_headers_and_verify_to_their_chains() {
    let (vault, segments) = frozen();
    for frozen in segments {
        let segment = SealedSegment::parse(bytes(&frozen["bytes"]).into()).expect("a segment");
        let (header, named) = (segment.header(), &frozen["header"]);
        assert_eq!(u64::from(header.kind.to_wire()), named["kind"]);
        assert_eq!(u64::from(header.place.to_wire()), named["place"]);
        assert_eq!(header.seq.0, named["seq"]);
        assert_eq!(u64::from(header.epoch.0), named["epoch"]);
        assert_eq!(header.log, LogId::from_bytes(array(&named["log"])));
        assert_eq!(header.prev, Chain::from_bytes(array(&named["prev"])));
        assert_eq!((header.salt, header.commit), (array(&named["salt"]), array(&named["commit"])));
        assert_eq!(header.hash(&vault), array(&frozen["hdr"]));
        assert_eq!(segment.signature(), Signature::from_bytes(array(&frozen["signature"])));
        let public = PublicKeyBytes::from_bytes(array(&frozen["public"]));
        let chain = Chain::from_bytes(array(&frozen["chain"]));
        assert_eq!(segment.verify(&vault, &public), Ok(chain));
        let verified = VerifiedSegment::check(&vault, public, segment.clone()).expect("as before");
        assert_eq!((verified.chain(), verified.prev()), (&chain, &header.prev));
        assert_eq!((verified.vault(), verified.public()), (&vault, &public));
        assert_eq!((verified.segment(), &verified.clone().into_segment()), (&segment, &segment));
    }
}

#[test]
fn a_segment_of_another_vault_or_key_or_with_a_bit_turned_does_not_verify() {
    let (vault, segments) = frozen();
    let frozen = segments.iter().min_by_key(|frozen| frozen["bytes"].as_str().map(str::len)).unwrap();
    let (whole, public) = (bytes(&frozen["bytes"]), PublicKeyBytes::from_bytes(array(&frozen["public"])));
    let verifies = |bytes: &[u8], vault: &VaultId, public: &PublicKeyBytes| {
        SealedSegment::parse(bytes.to_vec().into()).is_ok_and(|segment| segment.verify(vault, public).is_ok())
    };
    assert!(verifies(&whole, &vault, &public));
    assert!(!verifies(&whole, &VaultId::ZERO, &public));
    let mut others = segments.iter().map(|other| PublicKeyBytes::from_bytes(array(&other["public"])));
    let other = others.find(|other| *other != public).expect("another log");
    assert!(!verifies(&whole, &vault, &other));
    for at in 0..whole.len() {
        let mut turned = whole.clone();
        turned[at] ^= 1 << (at % 8);
        assert!(!verifies(&turned, &vault, &public), "byte {at}");
    }
}

/// The order of P-256, which a signature's second half and its negative add up to.
const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

#[test]
fn a_signature_has_one_form_the_one_with_the_low_half() {
    let (vault, segments) = frozen();
    let order: [u8; 32] = array(&Value::from(ORDER));
    for frozen in segments {
        let public = PublicKeyBytes::from_bytes(array(&frozen["public"]));
        let mut other = bytes(&frozen["bytes"]);
        let low = other.len() - 32;
        let mut borrow = 0;
        for at in (0..32).rev() {
            let difference = i16::from(order[at]) - i16::from(other[low + at]) - borrow;
            borrow = i16::from(difference < 0);
            other[low + at] = difference.rem_euclid(256) as u8;
        }
        let segment = SealedSegment::parse(other.into()).expect("a segment");
        assert_eq!(segment.verify(&vault, &public), Err(BadSignature));
    }
}
