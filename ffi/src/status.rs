//! Every status that a call can return. Numbers never change their meaning and are never used again.

/// Everything was done.
pub const SUBROSA_OK: i32 = 0;
/// NULL where that is not permitted, a value that no constant names, a length beyond `PTRDIFF_MAX`, a `struct_size`
/// that is too small. A mistake in the calling program.
pub const SUBROSA_INVALID_ARGUMENT: i32 = 1;
/// The handle was closed, or never was one. A mistake in the calling program.
pub const SUBROSA_INVALID_HANDLE: i32 = 2;
/// A handle of another type. A mistake in the calling program.
pub const SUBROSA_WRONG_HANDLE: i32 = 3;
/// Text that is not UTF-8.
pub const SUBROSA_INVALID_UTF8: i32 = 4;
/// More than a documented limit. Number: the bytes that a transaction may have, of one that has more or fills too many segments.
pub const SUBROSA_TOO_LARGE: i32 = 5;
/// An option bit, or a byte that is not zero in a struct larger than this version's, which this version does not know.
pub const SUBROSA_UNKNOWN_OPTION: i32 = 6;
/// A bug inside the library. The handle of this call answers `SUBROSA_POISONED` from now on; all else goes on.
pub const SUBROSA_PANIC: i32 = 7;
/// An earlier call on this handle ended in `SUBROSA_PANIC`. Close it and open another.
pub const SUBROSA_POISONED: i32 = 8;
/// The cancel token was fired.
pub const SUBROSA_CANCELLED: i32 = 9;
/// What was waited for has not come in time. Call again to go on waiting.
pub const SUBROSA_TIMEOUT: i32 = 10;
/// The call would wait for the callback that it is made from. Make it from elsewhere.
pub const SUBROSA_WOULD_DEADLOCK: i32 = 11;
/// The device, the event queue or the sync that this call needs was closed.
pub const SUBROSA_CLOSED: i32 = 12;
/// The device is suspended. Resume it first.
pub const SUBROSA_SUSPENDED: i32 = 13;
/// The handle belongs to the process that this one was forked from. Open anew, once the parent has closed.
pub const SUBROSA_FORKED: i32 = 14;
/// Another thread uses the handle, or another writer the device. Try again.
pub const SUBROSA_BUSY: i32 = 15;
/// No thread could be started, or there are too many handles.
pub const SUBROSA_NO_RESOURCES: i32 = 16;
/// The transaction is over: committed, aborted, or ended because the device was closed or suspended.
pub const SUBROSA_TX_OVER: i32 = 17;
/// A write in a read transaction.
pub const SUBROSA_READ_ONLY: i32 = 18;
/// Handles of two devices or vaults in one call. A mistake in the calling program.
pub const SUBROSA_WRONG_DEVICE: i32 = 19;
/// What was asked for is not there yet.
pub const SUBROSA_NOT_READY: i32 = 20;

/// There is no store in this folder. Create one.
pub const SUBROSA_STORE_MISSING: i32 = 100;
/// There is a store in this folder already. Open it, or choose another folder.
pub const SUBROSA_STORE_EXISTS: i32 = 101;
/// Another process, or another handle in this one, has the store open; the error's number is the process, 0 if unknown.
pub const SUBROSA_STORE_LOCKED: i32 = 102;
/// The file is something else. It was left as it is.
pub const SUBROSA_NOT_A_STORE: i32 = 103;
/// The store was sealed for another device key. Nothing was changed.
pub const SUBROSA_WRONG_KEY: i32 = 104;
/// A newer version of this library wrote the store; the error's number is its format. Nothing was changed; update the
/// application.
pub const SUBROSA_NEWER_FORMAT: i32 = 105;
/// A part of the file is not what was written there. The rest still opens; restore from another device or a copy.
pub const SUBROSA_DAMAGED: i32 = 106;
/// No room left. Nothing committed is lost; make room, then close the device and open it again.
pub const SUBROSA_DISK_FULL: i32 = 107;
/// The operating system refused; the error's number is its code. Nothing committed is lost.
pub const SUBROSA_IO: i32 = 108;
/// The store stopped after an earlier fault, to protect what is committed. Close the device and open it again.
pub const SUBROSA_STORE_STOPPED: i32 = 109;
/// The database refused for a reason that no caller can act on: a bug.
pub const SUBROSA_STORE_INTERNAL: i32 = 110;

/// Not a key in an encoding that is read.
pub const SUBROSA_KEY_ENCODING: i32 = 200;
/// The public key is no point of P-256. Whoever sent it is broken or attacks.
pub const SUBROSA_NOT_ON_CURVE: i32 = 201;
/// The private scalar is out of range. The file is damaged.
pub const SUBROSA_KEY_RANGE: i32 = 202;
/// The public key inside the private key file belongs to another scalar.
pub const SUBROSA_KEY_MISMATCH: i32 = 203;
/// The peer's public key is our own.
pub const SUBROSA_PEER_IS_SELF: i32 = 204;
/// The key provider failed; the error's number is its own code.
pub const SUBROSA_KEY_PROVIDER: i32 = 205;
/// The key provider returned a signature that its public key does not confirm.
pub const SUBROSA_KEY_PROVIDER_SIGNATURE: i32 = 206;
/// The key lives in a provider and has no encoding.
pub const SUBROSA_KEY_NOT_EXPORTABLE: i32 = 207;
/// Wrong key, wrong associated data or profile, or altered bytes; they look alike on purpose.
pub const SUBROSA_NOT_AUTHENTIC: i32 = 210;
/// Shorter than any sealed message (28 bytes).
pub const SUBROSA_MESSAGE_TOO_SHORT: i32 = 211;
/// The profile has no associated data, but some was given.
pub const SUBROSA_NO_AAD_HERE: i32 = 212;
/// The signature does not hold.
pub const SUBROSA_BAD_SIGNATURE: i32 = 213;

/// Not JSON, or not JSON that this database holds; the error's number is the offset of the byte where it stops to make sense.
pub const SUBROSA_NOT_JSON: i32 = 300;
/// A record must be a JSON object.
pub const SUBROSA_NOT_A_RECORD: i32 = 301;
/// The field holds a value of another kind.
pub const SUBROSA_WRONG_KIND: i32 = 302;
/// The record has no such field.
pub const SUBROSA_NO_FIELD: i32 = 303;
/// The encoding of a value is over 1 MiB. Split it.
pub const SUBROSA_VALUE_TOO_LARGE: i32 = 304;
/// Lists and maps nested deeper than 64.
pub const SUBROSA_TOO_DEEP: i32 = 305;
/// Infinity or NaN.
pub const SUBROSA_NOT_FINITE: i32 = 306;
/// A whole number outside of 64 signed bits.
pub const SUBROSA_INTEGER_RANGE: i32 = 307;
/// A collection's name has 1 to 128 bytes.
pub const SUBROSA_COLLECTION_NAME: i32 = 308;
/// A field's name has 1 to 128 bytes.
pub const SUBROSA_FIELD_NAME: i32 = 309;
/// More than 1,024 fields in one record.
pub const SUBROSA_TOO_MANY_FIELDS: i32 = 310;
/// Packed rows that do not parse; the error's number is the offset of the row.
pub const SUBROSA_BAD_ROWS: i32 = 311;
/// A value that cannot be stored, or stored bytes that are none.
pub const SUBROSA_VALUE: i32 = 312;
/// There is no such record.
pub const SUBROSA_NO_RECORD: i32 = 313;
/// Not the hyphenated form of a UUID.
pub const SUBROSA_NOT_AN_ID: i32 = 314;
/// In JSON, an object whose only key begins with `$` and is not `$bytes`: a form of a newer version. Update; to store a map with
/// such a key, write it with one more `$`. Number: offset of the byte behind it.
pub const SUBROSA_NEWER_FORM: i32 = 315;
/// The record is larger than is read whole. Read its fields one by one.
pub const SUBROSA_RECORD_TOO_LARGE: i32 = 316;

/// No vault of that name or id.
pub const SUBROSA_NO_VAULT: i32 = 400;
/// There is a vault of that name already.
pub const SUBROSA_VAULT_EXISTS: i32 = 401;
/// A vault's name has 1 to 128 bytes.
pub const SUBROSA_VAULT_NAME: i32 = 402;
/// This device may not do that in this vault.
pub const SUBROSA_NOT_PERMITTED: i32 = 403;
/// Control entries or secrets of the vault do not hold together, or could not be made.
pub const SUBROSA_CONTROL: i32 = 404;
/// This device has had as many logs in the vault as a device may have. It reads and receives; to write, pair a new store.
pub const SUBROSA_LOGS_USED_UP: i32 = 405;
/// An admin of the vault has written what only a newer version understands. The vault is read and received here; to write,
/// update the application.
pub const SUBROSA_UPDATE_NEEDED: i32 = 406;

/// Not the address of a relay.
pub const SUBROSA_RELAY_ADDRESS: i32 = 500;
/// No relay was given, and none is stored.
pub const SUBROSA_NO_RELAY: i32 = 501;
/// Nothing moved for as long as was asked for. No data is lost.
pub const SUBROSA_NO_PROGRESS: i32 = 502;
/// The relay refused; the error's number is its code (docs/PROTOCOL.md). No data is lost.
pub const SUBROSA_REFUSED: i32 = 503;
/// Sync was stopped meanwhile.
pub const SUBROSA_SYNC_STOPPED: i32 = 504;
/// The relay or a peer sent what no honest one sends, or the relay has another key than its address says. Nothing of it was
/// taken in.
pub const SUBROSA_PEER: i32 = 505;
/// The relay cannot be reached, or the connection was lost.
pub const SUBROSA_UNREACHABLE: i32 = 506;
/// The relay says that it holds another future of this device's log, and does not show it: nothing is sent to it. No data is
/// lost. Try again, or use another relay.
pub const SUBROSA_DISPUTED: i32 = 507;

/// The text is not a pairing link.
pub const SUBROSA_PAIR_LINK: i32 = 600;
/// The link's five minutes are over.
pub const SUBROSA_PAIR_EXPIRED: i32 = 601;
/// The typed code is not the one that the new device shows. Somebody may be in between.
pub const SUBROSA_PAIR_WRONG_CODE: i32 = 602;
/// The user declined on the old device.
pub const SUBROSA_PAIR_DECLINED: i32 = 603;
/// A message of the pairing is not authentic, out of turn, or does not parse, or the link was answered twice.
pub const SUBROSA_PAIR_NOT_AUTHENTIC: i32 = 604;
/// A device cannot be paired with itself.
pub const SUBROSA_PAIR_OWN_DEVICE: i32 = 605;
/// The other device ended the pairing.
pub const SUBROSA_PAIR_ABORTED: i32 = 606;
/// The new device is listed, but did not confirm that it has its keys. If it lacks them, remove its store, pair again.
pub const SUBROSA_PAIR_UNCONFIRMED: i32 = 607;
/// The vault's keys do not fit into the messages of a pairing.
pub const SUBROSA_PAIR_TOO_LARGE: i32 = 608;
/// The link is used up or expired, the other device has left or does not answer, or this pairing was ended here.
pub const SUBROSA_PAIR_OVER: i32 = 609;
/// The name of the new device cannot be used.
pub const SUBROSA_PAIR_NAME: i32 = 610;
/// What the old device sent does not fit together.
pub const SUBROSA_PAIR_BUNDLE: i32 = 611;

/// Names as `subrosa_status_name` tells them.
pub(crate) fn name(status: i32) -> &'static std::ffi::CStr {
    NAMES.iter().find(|(code, _)| *code == status).map_or(c"UNKNOWN", |(_, name)| name)
}

const NAMES: &[(i32, &std::ffi::CStr)] = &[
    (SUBROSA_OK, c"OK"),
    (SUBROSA_INVALID_ARGUMENT, c"INVALID_ARGUMENT"),
    (SUBROSA_INVALID_HANDLE, c"INVALID_HANDLE"),
    (SUBROSA_WRONG_HANDLE, c"WRONG_HANDLE"),
    (SUBROSA_INVALID_UTF8, c"INVALID_UTF8"),
    (SUBROSA_TOO_LARGE, c"TOO_LARGE"),
    (SUBROSA_UNKNOWN_OPTION, c"UNKNOWN_OPTION"),
    (SUBROSA_PANIC, c"PANIC"),
    (SUBROSA_POISONED, c"POISONED"),
    (SUBROSA_CANCELLED, c"CANCELLED"),
    (SUBROSA_TIMEOUT, c"TIMEOUT"),
    (SUBROSA_WOULD_DEADLOCK, c"WOULD_DEADLOCK"),
    (SUBROSA_CLOSED, c"CLOSED"),
    (SUBROSA_SUSPENDED, c"SUSPENDED"),
    (SUBROSA_FORKED, c"FORKED"),
    (SUBROSA_BUSY, c"BUSY"),
    (SUBROSA_NO_RESOURCES, c"NO_RESOURCES"),
    (SUBROSA_TX_OVER, c"TX_OVER"),
    (SUBROSA_READ_ONLY, c"READ_ONLY"),
    (SUBROSA_WRONG_DEVICE, c"WRONG_DEVICE"),
    (SUBROSA_NOT_READY, c"NOT_READY"),
    (SUBROSA_STORE_MISSING, c"STORE_MISSING"),
    (SUBROSA_STORE_EXISTS, c"STORE_EXISTS"),
    (SUBROSA_STORE_LOCKED, c"STORE_LOCKED"),
    (SUBROSA_NOT_A_STORE, c"NOT_A_STORE"),
    (SUBROSA_WRONG_KEY, c"WRONG_KEY"),
    (SUBROSA_NEWER_FORMAT, c"NEWER_FORMAT"),
    (SUBROSA_DAMAGED, c"DAMAGED"),
    (SUBROSA_DISK_FULL, c"DISK_FULL"),
    (SUBROSA_IO, c"IO"),
    (SUBROSA_STORE_STOPPED, c"STORE_STOPPED"),
    (SUBROSA_STORE_INTERNAL, c"STORE_INTERNAL"),
    (SUBROSA_KEY_ENCODING, c"KEY_ENCODING"),
    (SUBROSA_NOT_ON_CURVE, c"NOT_ON_CURVE"),
    (SUBROSA_KEY_RANGE, c"KEY_RANGE"),
    (SUBROSA_KEY_MISMATCH, c"KEY_MISMATCH"),
    (SUBROSA_PEER_IS_SELF, c"PEER_IS_SELF"),
    (SUBROSA_KEY_PROVIDER, c"KEY_PROVIDER"),
    (SUBROSA_KEY_PROVIDER_SIGNATURE, c"KEY_PROVIDER_SIGNATURE"),
    (SUBROSA_KEY_NOT_EXPORTABLE, c"KEY_NOT_EXPORTABLE"),
    (SUBROSA_NOT_AUTHENTIC, c"NOT_AUTHENTIC"),
    (SUBROSA_MESSAGE_TOO_SHORT, c"MESSAGE_TOO_SHORT"),
    (SUBROSA_NO_AAD_HERE, c"NO_AAD_HERE"),
    (SUBROSA_BAD_SIGNATURE, c"BAD_SIGNATURE"),
    (SUBROSA_NOT_JSON, c"NOT_JSON"),
    (SUBROSA_NOT_A_RECORD, c"NOT_A_RECORD"),
    (SUBROSA_WRONG_KIND, c"WRONG_KIND"),
    (SUBROSA_NO_FIELD, c"NO_FIELD"),
    (SUBROSA_VALUE_TOO_LARGE, c"VALUE_TOO_LARGE"),
    (SUBROSA_TOO_DEEP, c"TOO_DEEP"),
    (SUBROSA_NOT_FINITE, c"NOT_FINITE"),
    (SUBROSA_INTEGER_RANGE, c"INTEGER_RANGE"),
    (SUBROSA_COLLECTION_NAME, c"COLLECTION_NAME"),
    (SUBROSA_FIELD_NAME, c"FIELD_NAME"),
    (SUBROSA_TOO_MANY_FIELDS, c"TOO_MANY_FIELDS"),
    (SUBROSA_BAD_ROWS, c"BAD_ROWS"),
    (SUBROSA_VALUE, c"VALUE"),
    (SUBROSA_NO_RECORD, c"NO_RECORD"),
    (SUBROSA_NOT_AN_ID, c"NOT_AN_ID"),
    (SUBROSA_NEWER_FORM, c"NEWER_FORM"),
    (SUBROSA_RECORD_TOO_LARGE, c"RECORD_TOO_LARGE"),
    (SUBROSA_NO_VAULT, c"NO_VAULT"),
    (SUBROSA_VAULT_EXISTS, c"VAULT_EXISTS"),
    (SUBROSA_VAULT_NAME, c"VAULT_NAME"),
    (SUBROSA_NOT_PERMITTED, c"NOT_PERMITTED"),
    (SUBROSA_CONTROL, c"CONTROL"),
    (SUBROSA_LOGS_USED_UP, c"LOGS_USED_UP"),
    (SUBROSA_UPDATE_NEEDED, c"UPDATE_NEEDED"),
    (SUBROSA_RELAY_ADDRESS, c"RELAY_ADDRESS"),
    (SUBROSA_NO_RELAY, c"NO_RELAY"),
    (SUBROSA_NO_PROGRESS, c"NO_PROGRESS"),
    (SUBROSA_REFUSED, c"REFUSED"),
    (SUBROSA_SYNC_STOPPED, c"SYNC_STOPPED"),
    (SUBROSA_PEER, c"PEER"),
    (SUBROSA_UNREACHABLE, c"UNREACHABLE"),
    (SUBROSA_DISPUTED, c"DISPUTED"),
    (SUBROSA_PAIR_LINK, c"PAIR_LINK"),
    (SUBROSA_PAIR_EXPIRED, c"PAIR_EXPIRED"),
    (SUBROSA_PAIR_WRONG_CODE, c"PAIR_WRONG_CODE"),
    (SUBROSA_PAIR_DECLINED, c"PAIR_DECLINED"),
    (SUBROSA_PAIR_NOT_AUTHENTIC, c"PAIR_NOT_AUTHENTIC"),
    (SUBROSA_PAIR_OWN_DEVICE, c"PAIR_OWN_DEVICE"),
    (SUBROSA_PAIR_ABORTED, c"PAIR_ABORTED"),
    (SUBROSA_PAIR_UNCONFIRMED, c"PAIR_UNCONFIRMED"),
    (SUBROSA_PAIR_TOO_LARGE, c"PAIR_TOO_LARGE"),
    (SUBROSA_PAIR_OVER, c"PAIR_OVER"),
    (SUBROSA_PAIR_NAME, c"PAIR_NAME"),
    (SUBROSA_PAIR_BUNDLE, c"PAIR_BUNDLE"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_constant_has_a_name_and_every_number_one_meaning() {
        let source = include_str!("status.rs");
        let constants = source.lines().filter_map(|line| line.strip_prefix("pub const SUBROSA_"));
        let mut numbers = Vec::new();
        for constant in constants {
            let (constant, value) = constant.split_once(": i32 = ").unwrap();
            let value: i32 = value.trim_end_matches(';').parse().unwrap();
            assert_eq!(name(value).to_str(), Ok(constant));
            numbers.push(value);
        }
        assert_eq!(numbers.len(), NAMES.len());
        numbers.dedup();
        assert_eq!(numbers.len(), NAMES.len(), "a number with two meanings");
        assert_eq!(name(-1), c"UNKNOWN");
    }
}
