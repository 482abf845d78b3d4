//! What crosses the wire.

use bytes::Bytes;
use subrosa_protocol::codec::{Extensions, Reader, Writer};
use subrosa_protocol::frame::{ClientFrame, FeedFrame, RelayFrame};
use subrosa_protocol::ids::VaultId;
use subrosa_protocol::segment::{Header, SealedSegment};
use subrosa_protocol::statement::{Statement, check_chain};
use subrosa_protocol::token::{Grant, Invite};

/// A frame without its length is what was decoded; with it, what is encoded.
fn same_frame(encoded: &[u8], decoded: &[u8]) {
    let (len, frame) = encoded.split_first_chunk().expect("a frame has a length");
    assert_eq!(u32::from_be_bytes(*len) as usize, frame.len());
    assert_eq!(frame, decoded);
}

pub(super) fn client_frame(data: &[u8]) {
    if let Ok(frame) = ClientFrame::decode(&Bytes::copy_from_slice(data)) {
        same_frame(&frame.encode(), data);
    }
}

pub(super) fn relay_frame(data: &[u8]) {
    if let Ok(frame) = RelayFrame::decode(data) {
        same_frame(&frame.encode(), data);
    }
}

pub(super) fn feed_frame(data: &[u8]) {
    if let Ok(frame) = FeedFrame::decode(&Bytes::copy_from_slice(data)) {
        same_frame(&frame.encode(), data);
    }
}

pub(super) fn segment(data: &[u8]) {
    if let Ok(header) = Header::decode(data) {
        assert_eq!(Header::decode(&header.encode()), Ok(header));
    }
    if let Ok(segment) = SealedSegment::parse(Bytes::copy_from_slice(data)) {
        assert_eq!(&segment.bytes()[..], data);
        let header = segment.header();
        assert_eq!(header.encode()[..], data[..header.encode().len()]);
    }
}

pub(super) fn statement(data: &[u8]) {
    if let Ok(statement) = Statement::decode(data) {
        assert_eq!(statement.encode(), data);
        let _ = statement.check_first();
    }
}

/// A vault, and statements with their lengths before them.
pub(super) fn chain(data: &[u8]) {
    let mut reader = Reader::new(data);
    let Ok(vault) = reader.array().map(VaultId::from_bytes) else { return };
    let mut statements = Vec::new();
    while let Ok(bytes) = reader.prefixed("statement", data.len()) {
        let Ok(statement) = Statement::decode(bytes) else { return };
        statements.push(statement);
    }
    if let Ok(last) = check_chain(&vault, &statements) {
        assert!(Some(last) == statements.last());
        assert!(statements.iter().all(|statement| statement.vault == vault));
    }
}

pub(super) fn token(data: &[u8]) {
    if let Ok(invite) = Invite::decode(data) {
        assert_eq!(invite.encode(), data);
    }
    if let Ok(grant) = Grant::decode(data) {
        assert_eq!(grant.encode(), data);
    }
}

pub(super) fn extensions(data: &[u8]) {
    if let Ok(extensions) = Extensions::read(Reader::new(data)) {
        let mut writer = Writer::with_capacity(data.len());
        extensions.write(&mut writer);
        assert_eq!(writer.finish(), data);
    }
}
