/*
 * Subrosa: an embedded, end-to-end encrypted, local-first database with sync. The C interface.
 *
 * Made by cbindgen from ffi/src; do not edit. docs/FFI.md is the manual.
 *
 * Handles. The pointers to opaque structs are tokens, not memory: they must not be dereferenced, and a handle that was
 * closed, is of another type, or never was one gives a status, never a crash. Closing twice, and closing NULL, is
 * harmless. What is called a view stays valid as its function says.
 *
 * Status. A function that can fail returns SUBROSA_OK (0) or another SUBROSA_... status, and takes `subrosa_error **err`
 * last, which may be NULL. When it fails, *err is an error to be freed with subrosa_error_free (NULL only if there are too
 * many handles for one more); when not, *err is NULL.
 * All other results are written on every path: zero, NULL or false when the call fails.
 *
 * Input. Text is UTF-8 as pointer and length in bytes, without a NUL; bytes likewise. NULL goes with length 0 only. Inputs
 * are copied or only read during the call, unless the function says that it takes them.
 *
 * Results. subrosa_buf is freed with subrosa_buf_free, subrosa_secret with subrosa_secret_free; both may be called twice.
 *
 * Threads. Everything may be called from any thread at any time, except that records and transactions are for one
 * thread at a time (another one gets SUBROSA_BUSY). Callbacks must not throw or longjmp through the library.
 *
 * Time. `timeout_ms` is in milliseconds: 0 looks and returns at once, a negative number is no limit.
 *
 * Rules for pointers, which "Safety" below refers to. Unless a function says otherwise:
 *   1. A pointer to data is NULL, or valid for as many bytes as the length beside it says, for the time of the call,
 *      and nobody changes them meanwhile.
 *   2. A pointer to a result is NULL, or valid for writing one, for the time of the call.
 *   3. A struct that starts with `struct_size` has as many bytes as that says; set it to sizeof the struct. Fields that
 *      are zero have their defaults.
 *   4. A callback can be called from any thread with the `user` beside it until its destructor was called. The
 *      destructor, where there is one, is called exactly once, also when the registration fails. In a struct it is taken
 *      once `struct_size` says that it is there.
 */

#ifndef SUBROSA_H
#define SUBROSA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/* Text and its length, from a literal: subrosa_vault_open(device, SUBROSA_TEXT("personal"), &vault, NULL). */
#define SUBROSA_TEXT(literal) (literal), (sizeof(literal) - 1)

#ifndef SUBROSA_API
#if defined(_WIN32) && !defined(SUBROSA_STATIC)
#define SUBROSA_API __declspec(dllimport)
#else
#define SUBROSA_API
#endif
#endif

#if defined(__GNUC__) || defined(__clang__)
#define SUBROSA_MUST_USE __attribute__((warn_unused_result))
#define SUBROSA_DEPRECATED __attribute__((deprecated))
#else
#define SUBROSA_MUST_USE
#define SUBROSA_DEPRECATED
#endif

/**
 * Nothing happened in time.
 */
#define SUBROSA_EVENT_NONE 0

/**
 * A record changed, here or on another device: `detail` is a `SUBROSA_CHANGE_...`, `record` and `vault` say which, `text`
 * has the name of its collection.
 */
#define SUBROSA_EVENT_RECORD 1

/**
 * More happened than the queue holds: read everything again; of the log, older messages are lost. Later events follow as
 * usual.
 */
#define SUBROSA_EVENT_LAGGED 2

/**
 * Sync has another state: `detail` is a `SUBROSA_SYNC_...`.
 */
#define SUBROSA_EVENT_SYNC_STATE 3

/**
 * What the relay had of `vault` is stored.
 */
#define SUBROSA_EVENT_CAUGHT_UP 4

/**
 * `vault` is caught up both ways.
 */
#define SUBROSA_EVENT_SYNCED 5

/**
 * The relay refused something of `vault`: `detail` is its code, `number` the milliseconds until it is tried again. With
 * `detail` 0 it did something wrong about `vault`, which rests while others go on; `text` says what.
 */
#define SUBROSA_EVENT_REFUSED 6

/**
 * The relay hides something of `vault`, or has lost it, and does not say so.
 */
#define SUBROSA_EVENT_DISAGREES 7

/**
 * The source has ended: its device was closed, or its sync stopped. The last event of its tag.
 */
#define SUBROSA_EVENT_OVER 8

/**
 * The library has something to say: `detail` is a `SUBROSA_LOG_...`, `text` the message.
 */
#define SUBROSA_EVENT_LOG 9

/**
 * An admin of `vault` has written what only a newer version understands: it is received, and nothing that is written here is
 * sent before the application is updated.
 */
#define SUBROSA_EVENT_UPDATE_NEEDED 10

/**
 * The relay says that it holds another future of this device's log in `vault`, and shows nothing of it: nothing that is written
 * here is sent to it as long as the link lasts.
 */
#define SUBROSA_EVENT_DISPUTED 11

/**
 * This device's wall clock and the relay's differ by more than five minutes: `number` is by how many milliseconds it is ahead, negative
 * if it is behind, and 0 once they agree again. Sync goes on all the same.
 */
#define SUBROSA_EVENT_CLOCK 12

/**
 * Something is held here, because it was made more than five minutes ahead of this device's clock; `number` is when the first of it
 * is merged, in Unix milliseconds, and 0 when nothing is held any more.
 */
#define SUBROSA_EVENT_HELD 13

/**
 * A device of `vault`, perhaps this one, has written under one log twice: its store was copied, or put back from a backup, and both went
 * on. Everything of both is kept and merged.
 */
#define SUBROSA_EVENT_FORKED 14

/**
 * The record exists now.
 */
#define SUBROSA_CHANGE_INSERTED 1

/**
 * A field of it was set, or may have been.
 */
#define SUBROSA_CHANGE_UPDATED 2

/**
 * It is gone.
 */
#define SUBROSA_CHANGE_REMOVED 3

/**
 * Sources of one queue.
 */
#define SUBROSA_EVENT_SOURCES_MAX 4096

/**
 * `subrosa/1`: `context` says what the session is for, another context is another key. Associated data is bound to
 * sender and recipient.
 */
#define SUBROSA_PROFILE_SUBROSA_1 1

/**
 * `supabase-e2ee-v1`, byte compatible with the other implementations of that scheme: no context, no associated data.
 */
#define SUBROSA_PROFILE_SUPABASE_E2EE_V1 2

/**
 * Nothing is logged.
 */
#define SUBROSA_LOG_OFF 0

/**
 * A bug, or data that is lost.
 */
#define SUBROSA_LOG_ERROR 1

/**
 * Something that somebody should look at.
 */
#define SUBROSA_LOG_WARN 2

/**
 * Something that happens seldom.
 */
#define SUBROSA_LOG_INFO 3

/**
 * What a developer wants to see.
 */
#define SUBROSA_LOG_DEBUG 4

/**
 * All of it.
 */
#define SUBROSA_LOG_TRACE 5

/**
 * Messages that the log keeps for an event queue.
 */
#define SUBROSA_EVENT_LOG_MAX 1024

/**
 * There is no such field.
 */
#define SUBROSA_KIND_ABSENT 0

/**
 * Nothing, as a value.
 */
#define SUBROSA_KIND_NULL 1

/**
 * True or false.
 */
#define SUBROSA_KIND_BOOL 2

/**
 * A whole number of 64 bits, signed.
 */
#define SUBROSA_KIND_I64 3

/**
 * A finite number with a fraction.
 */
#define SUBROSA_KIND_F64 4

/**
 * UTF-8 text.
 */
#define SUBROSA_KIND_TEXT 5

/**
 * Bytes; in JSON `{"$bytes": "<base64>"}`.
 */
#define SUBROSA_KIND_BYTES 6

/**
 * Values in order.
 */
#define SUBROSA_KIND_LIST 7

/**
 * Named values, in the order of their names' bytes.
 */
#define SUBROSA_KIND_MAP 8

/**
 * In results: there is no such record.
 */
#define SUBROSA_ROW_ABSENT 0

/**
 * In results: a record.
 */
#define SUBROSA_ROW_RECORD 1

/**
 * In writes: adds a record; its id is zero in the row, a new one is made.
 */
#define SUBROSA_ROW_INSERT 2

/**
 * In writes: sets fields, leaves others.
 */
#define SUBROSA_ROW_PUT 3

/**
 * In writes: sets fields, removes others.
 */
#define SUBROSA_ROW_REPLACE 4

/**
 * In writes: deletes a record; no payload, format 0.
 */
#define SUBROSA_ROW_DELETE 5

/**
 * In results: a record that is larger than is read whole; no payload, format 0. Read its fields one by one.
 */
#define SUBROSA_ROW_TOO_LARGE 6

/**
 * In writes: as `SUBROSA_ROW_PUT`, for a record that was exported, which may have more fields than a write may add.
 */
#define SUBROSA_ROW_IMPORT 7

/**
 * The payload is a JSON object.
 */
#define SUBROSA_FORMAT_JSON 1

/**
 * The payload is fields.
 */
#define SUBROSA_FORMAT_FIELDS 2

/**
 * Most rows in one call.
 */
#define SUBROSA_ROWS_MAX 65536

/**
 * Most bytes of rows in one call: 64 MiB.
 */
#define SUBROSA_ROWS_BYTES_MAX 67108864

/**
 * No connection; another try follows by itself.
 */
#define SUBROSA_SYNC_OFFLINE 1

/**
 * A connection is being made.
 */
#define SUBROSA_SYNC_CONNECTING 2

/**
 * Connected, and something is left to fetch or to send.
 */
#define SUBROSA_SYNC_SYNCING 3

/**
 * Everything is here and there; changes go through as they happen.
 */
#define SUBROSA_SYNC_LIVE 4

/**
 * The relay refused something, or a vault needs a newer version of the application, and nothing else is left to do. Data
 * that was not sent stays here.
 */
#define SUBROSA_SYNC_REFUSED 5

/**
 * The device is suspended.
 */
#define SUBROSA_SYNC_SUSPENDED 6

/**
 * There is a connection, or none was tried yet.
 */
#define SUBROSA_FAILURE_NONE 0

/**
 * This device could not open a socket.
 */
#define SUBROSA_FAILURE_NO_SOCKET 1

/**
 * None of the relay's host names has an address.
 */
#define SUBROSA_FAILURE_NO_ADDRESS 2

/**
 * Nobody answered at any address of the relay.
 */
#define SUBROSA_FAILURE_UNREACHABLE 3

/**
 * Whoever answered does not have the key that the relay's address pins.
 */
#define SUBROSA_FAILURE_WRONG_KEY 4

/**
 * The connection broke.
 */
#define SUBROSA_FAILURE_LOST 5

/**
 * The relay said or did something that ended the link.
 */
#define SUBROSA_FAILURE_LINK 6

/**
 * The relay fed something that no honest relay feeds.
 */
#define SUBROSA_FAILURE_PEER 7

/**
 * This device's own store failed.
 */
#define SUBROSA_FAILURE_STORE 8

/**
 * Another reason; `subrosa_sync_reason` has it in words.
 */
#define SUBROSA_FAILURE_OTHER 9

/**
 * A snapshot: what is written later does not show.
 */
#define SUBROSA_TX_READ 1

/**
 * One at a time for a device; what it did arrives everywhere at once, or not at all.
 */
#define SUBROSA_TX_WRITE 2

/**
 * Characters of an id's text, without the NUL.
 */
#define SUBROSA_ID_TEXT_LEN 36

/**
 * Version of this interface; compare it with `subrosa_abi_version()` when the library is loaded. It changes when
 * something that was there changes or goes; additions leave it alone.
 */
#define SUBROSA_ABI_VERSION 1

/**
 * Reads, writes, adds and removes devices.
 */
#define SUBROSA_ROLE_ADMIN 1

/**
 * Reads and writes.
 */
#define SUBROSA_ROLE_WRITER 2

/**
 * Reads.
 */
#define SUBROSA_ROLE_READER 3

/**
 * Longest input of any call, in bytes: more is refused before it is read.
 */
#define SUBROSA_INPUT_BYTES_MAX (1 << 30)

/**
 * Everything was done.
 */
#define SUBROSA_OK 0

/**
 * NULL where that is not permitted, a value that no constant names, a length beyond `PTRDIFF_MAX`, a `struct_size`
 * that is too small. A mistake in the calling program.
 */
#define SUBROSA_INVALID_ARGUMENT 1

/**
 * The handle was closed, or never was one. A mistake in the calling program.
 */
#define SUBROSA_INVALID_HANDLE 2

/**
 * A handle of another type. A mistake in the calling program.
 */
#define SUBROSA_WRONG_HANDLE 3

/**
 * Text that is not UTF-8.
 */
#define SUBROSA_INVALID_UTF8 4

/**
 * More than a documented limit. Number: the bytes that a transaction may have, of one that has more or fills too many segments.
 */
#define SUBROSA_TOO_LARGE 5

/**
 * An option bit, or a byte that is not zero in a struct larger than this version's, which this version does not know.
 */
#define SUBROSA_UNKNOWN_OPTION 6

/**
 * A bug inside the library. The handle of this call answers `SUBROSA_POISONED` from now on; all else goes on.
 */
#define SUBROSA_PANIC 7

/**
 * An earlier call on this handle ended in `SUBROSA_PANIC`. Close it and open another.
 */
#define SUBROSA_POISONED 8

/**
 * The cancel token was fired.
 */
#define SUBROSA_CANCELLED 9

/**
 * What was waited for has not come in time. Call again to go on waiting.
 */
#define SUBROSA_TIMEOUT 10

/**
 * The call would wait for the callback that it is made from. Make it from elsewhere.
 */
#define SUBROSA_WOULD_DEADLOCK 11

/**
 * The device, the event queue or the sync that this call needs was closed.
 */
#define SUBROSA_CLOSED 12

/**
 * The device is suspended. Resume it first.
 */
#define SUBROSA_SUSPENDED 13

/**
 * The handle belongs to the process that this one was forked from. Open anew, once the parent has closed.
 */
#define SUBROSA_FORKED 14

/**
 * Another thread uses the handle, or another writer the device. Try again.
 */
#define SUBROSA_BUSY 15

/**
 * No thread could be started, or there are too many handles.
 */
#define SUBROSA_NO_RESOURCES 16

/**
 * The transaction is over: committed, aborted, or ended because the device was closed or suspended.
 */
#define SUBROSA_TX_OVER 17

/**
 * A write in a read transaction.
 */
#define SUBROSA_READ_ONLY 18

/**
 * Handles of two devices or vaults in one call. A mistake in the calling program.
 */
#define SUBROSA_WRONG_DEVICE 19

/**
 * What was asked for is not there yet.
 */
#define SUBROSA_NOT_READY 20

/**
 * There is no store in this folder. Create one.
 */
#define SUBROSA_STORE_MISSING 100

/**
 * There is a store in this folder already. Open it, or choose another folder.
 */
#define SUBROSA_STORE_EXISTS 101

/**
 * Another process, or another handle in this one, has the store open; the error's number is the process, 0 if unknown.
 */
#define SUBROSA_STORE_LOCKED 102

/**
 * The file is something else. It was left as it is.
 */
#define SUBROSA_NOT_A_STORE 103

/**
 * The store was sealed for another device key. Nothing was changed.
 */
#define SUBROSA_WRONG_KEY 104

/**
 * A newer version of this library wrote the store; the error's number is its format. Nothing was changed; update the
 * application.
 */
#define SUBROSA_NEWER_FORMAT 105

/**
 * A part of the file is not what was written there. The rest still opens; restore from another device or a copy.
 */
#define SUBROSA_DAMAGED 106

/**
 * No room left. Nothing committed is lost; make room, then close the device and open it again.
 */
#define SUBROSA_DISK_FULL 107

/**
 * The operating system refused; the error's number is its code. Nothing committed is lost.
 */
#define SUBROSA_IO 108

/**
 * The store stopped after an earlier fault, to protect what is committed. Close the device and open it again.
 */
#define SUBROSA_STORE_STOPPED 109

/**
 * The database refused for a reason that no caller can act on: a bug.
 */
#define SUBROSA_STORE_INTERNAL 110

/**
 * Not a key in an encoding that is read.
 */
#define SUBROSA_KEY_ENCODING 200

/**
 * The public key is no point of P-256. Whoever sent it is broken or attacks.
 */
#define SUBROSA_NOT_ON_CURVE 201

/**
 * The private scalar is out of range. The file is damaged.
 */
#define SUBROSA_KEY_RANGE 202

/**
 * The public key inside the private key file belongs to another scalar.
 */
#define SUBROSA_KEY_MISMATCH 203

/**
 * The peer's public key is our own.
 */
#define SUBROSA_PEER_IS_SELF 204

/**
 * The key provider failed; the error's number is its own code.
 */
#define SUBROSA_KEY_PROVIDER 205

/**
 * The key provider returned a signature that its public key does not confirm.
 */
#define SUBROSA_KEY_PROVIDER_SIGNATURE 206

/**
 * The key lives in a provider and has no encoding.
 */
#define SUBROSA_KEY_NOT_EXPORTABLE 207

/**
 * Wrong key, wrong associated data or profile, or altered bytes; they look alike on purpose.
 */
#define SUBROSA_NOT_AUTHENTIC 210

/**
 * Shorter than any sealed message (28 bytes).
 */
#define SUBROSA_MESSAGE_TOO_SHORT 211

/**
 * The profile has no associated data, but some was given.
 */
#define SUBROSA_NO_AAD_HERE 212

/**
 * The signature does not hold.
 */
#define SUBROSA_BAD_SIGNATURE 213

/**
 * Not JSON, or not JSON that this database holds; the error's number is the offset of the byte where it stops to make sense.
 */
#define SUBROSA_NOT_JSON 300

/**
 * A record must be a JSON object.
 */
#define SUBROSA_NOT_A_RECORD 301

/**
 * The field holds a value of another kind.
 */
#define SUBROSA_WRONG_KIND 302

/**
 * The record has no such field.
 */
#define SUBROSA_NO_FIELD 303

/**
 * The encoding of a value is over 1 MiB. Split it.
 */
#define SUBROSA_VALUE_TOO_LARGE 304

/**
 * Lists and maps nested deeper than 64.
 */
#define SUBROSA_TOO_DEEP 305

/**
 * Infinity or NaN.
 */
#define SUBROSA_NOT_FINITE 306

/**
 * A whole number outside of 64 signed bits.
 */
#define SUBROSA_INTEGER_RANGE 307

/**
 * A collection's name has 1 to 128 bytes.
 */
#define SUBROSA_COLLECTION_NAME 308

/**
 * A field's name has 1 to 128 bytes.
 */
#define SUBROSA_FIELD_NAME 309

/**
 * More than 1,024 fields in one record.
 */
#define SUBROSA_TOO_MANY_FIELDS 310

/**
 * Packed rows that do not parse; the error's number is the offset of the row.
 */
#define SUBROSA_BAD_ROWS 311

/**
 * A value that cannot be stored, or stored bytes that are none.
 */
#define SUBROSA_VALUE 312

/**
 * There is no such record.
 */
#define SUBROSA_NO_RECORD 313

/**
 * Not the hyphenated form of a UUID.
 */
#define SUBROSA_NOT_AN_ID 314

/**
 * In JSON, an object whose only key begins with `$` and is not `$bytes`: a form of a newer version. Update; to store a map with
 * such a key, write it with one more `$`. Number: offset of the byte behind it.
 */
#define SUBROSA_NEWER_FORM 315

/**
 * The record is larger than is read whole. Read its fields one by one.
 */
#define SUBROSA_RECORD_TOO_LARGE 316

/**
 * No vault of that name or id.
 */
#define SUBROSA_NO_VAULT 400

/**
 * There is a vault of that name already.
 */
#define SUBROSA_VAULT_EXISTS 401

/**
 * A vault's name has 1 to 128 bytes.
 */
#define SUBROSA_VAULT_NAME 402

/**
 * This device may not do that in this vault.
 */
#define SUBROSA_NOT_PERMITTED 403

/**
 * Control entries or secrets of the vault do not hold together, or could not be made.
 */
#define SUBROSA_CONTROL 404

/**
 * This device has had as many logs in the vault as a device may have. It reads and receives; to write, pair a new store.
 */
#define SUBROSA_LOGS_USED_UP 405

/**
 * An admin of the vault has written what only a newer version understands. The vault is read and received here; to write,
 * update the application.
 */
#define SUBROSA_UPDATE_NEEDED 406

/**
 * Not the address of a relay.
 */
#define SUBROSA_RELAY_ADDRESS 500

/**
 * No relay was given, and none is stored.
 */
#define SUBROSA_NO_RELAY 501

/**
 * Nothing moved for as long as was asked for. No data is lost.
 */
#define SUBROSA_NO_PROGRESS 502

/**
 * The relay refused; the error's number is its code (docs/PROTOCOL.md). No data is lost.
 */
#define SUBROSA_REFUSED 503

/**
 * Sync was stopped meanwhile.
 */
#define SUBROSA_SYNC_STOPPED 504

/**
 * The relay or a peer sent what no honest one sends, or the relay has another key than its address says. Nothing of it was
 * taken in.
 */
#define SUBROSA_PEER 505

/**
 * The relay cannot be reached, or the connection was lost.
 */
#define SUBROSA_UNREACHABLE 506

/**
 * The relay says that it holds another future of this device's log, and does not show it: nothing is sent to it. No data is
 * lost. Try again, or use another relay.
 */
#define SUBROSA_DISPUTED 507

/**
 * The text is not a pairing link.
 */
#define SUBROSA_PAIR_LINK 600

/**
 * The link's five minutes are over.
 */
#define SUBROSA_PAIR_EXPIRED 601

/**
 * The typed code is not the one that the new device shows. Somebody may be in between.
 */
#define SUBROSA_PAIR_WRONG_CODE 602

/**
 * The user declined on the old device.
 */
#define SUBROSA_PAIR_DECLINED 603

/**
 * A message of the pairing is not authentic, out of turn, or does not parse, or the link was answered twice.
 */
#define SUBROSA_PAIR_NOT_AUTHENTIC 604

/**
 * A device cannot be paired with itself.
 */
#define SUBROSA_PAIR_OWN_DEVICE 605

/**
 * The other device ended the pairing.
 */
#define SUBROSA_PAIR_ABORTED 606

/**
 * The new device is listed, but did not confirm that it has its keys. If it lacks them, remove its store, pair again.
 */
#define SUBROSA_PAIR_UNCONFIRMED 607

/**
 * The vault's keys do not fit into the messages of a pairing.
 */
#define SUBROSA_PAIR_TOO_LARGE 608

/**
 * The link is used up or expired, the other device has left or does not answer, or this pairing was ended here.
 */
#define SUBROSA_PAIR_OVER 609

/**
 * The name of the new device cannot be used.
 */
#define SUBROSA_PAIR_NAME 610

/**
 * What the old device sent does not fit together.
 */
#define SUBROSA_PAIR_BUNDLE 611

/**
 * A token that ends calls that wait. Thread-safe.
 */
typedef struct subrosa_cancel subrosa_cancel;

/**
 * A collection of records. Thread-safe.
 */
typedef struct subrosa_collection subrosa_collection;

/**
 * An open store: one installation of an application on one machine. Thread-safe.
 */
typedef struct subrosa_device subrosa_device;

/**
 * Why a call failed. Free it with `subrosa_error_free`.
 */
typedef struct subrosa_error subrosa_error;

/**
 * A queue of events of any number of sources. Thread-safe.
 */
typedef struct subrosa_events subrosa_events;

/**
 * A P-256 key pair: in memory, or in a key provider. Thread-safe.
 */
typedef struct subrosa_key subrosa_key;

/**
 * A result of several items, which does not change. Thread-safe.
 */
typedef struct subrosa_list subrosa_list;

/**
 * A moment of a sync: what was written here by then, and what the relay had acknowledged to anybody. Thread-safe.
 */
typedef struct subrosa_moment subrosa_moment;

/**
 * The new device's side of a pairing. Thread-safe; one call at a time waits on it.
 */
typedef struct subrosa_pair_join subrosa_pair_join;

/**
 * The old device's side of a pairing. Thread-safe; one call at a time waits on it.
 */
typedef struct subrosa_pair_offer subrosa_pair_offer;

/**
 * A record in memory: fields by name. One thread at a time.
 */
typedef struct subrosa_record subrosa_record;

/**
 * A symmetric session between two key pairs, or of one with itself. Thread-safe.
 */
typedef struct subrosa_session subrosa_session;

/**
 * Sync under way. Thread-safe.
 */
typedef struct subrosa_sync subrosa_sync;

/**
 * A transaction. One thread at a time.
 */
typedef struct subrosa_tx subrosa_tx;

/**
 * A vault of a device: what is synced and shared as a whole. Thread-safe.
 */
typedef struct subrosa_vault subrosa_vault;

/**
 * Names a record within its collection. Any 16 bytes are an id; they are compared in this order.
 */
typedef struct {
  /**
   * The bytes.
   */
  uint8_t bytes[16];
} subrosa_id;

/**
 * Bytes or text of the library's. Free with `subrosa_buf_free`. `data` is NULL when `len` is 0.
 */
typedef struct {
  /**
   * The bytes.
   */
  uint8_t *data;
  /**
   * How many.
   */
  size_t len;
  /**
   * The library's own note.
   */
  size_t cap;
} subrosa_buf;

/**
 * How a device is opened. All zero but `struct_size` is fine.
 */
typedef struct {
  /**
   * `sizeof(subrosa_device_options)`.
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t flags;
  /**
   * Memory for pages of the database, in plaintext; 0 for 16 MiB.
   */
  uint64_t cache_bytes;
  /**
   * What this device is called in lists of devices, 1 to 128 bytes without control characters; NULL for `"device"`. Used
   * when a store is made, which keeps it; not looked at when one is opened.
   */
  const char *device_name;
  /**
   * Its length in bytes.
   */
  size_t device_name_len;
  /**
   * How long a write with `tx` NULL waits, in milliseconds, for a write transaction that another thread holds, before it
   * fails with `SUBROSA_BUSY`; 0 for as long as that takes.
   */
  uint32_t write_wait_ms;
  /**
   * 0.
   */
  uint32_t reserved;
} subrosa_device_options;

/**
 * A public key: 65 bytes, the uncompressed form of SEC 1 (`04 | X | Y`). It names a device.
 */
typedef struct {
  /**
   * The bytes.
   */
  uint8_t bytes[65];
} subrosa_public_key;

/**
 * A secret of the library's. Free with `subrosa_secret_free`, which wipes it first. `data` is NULL when `len` is 0.
 */
typedef struct {
  /**
   * The bytes.
   */
  uint8_t *data;
  /**
   * How many.
   */
  size_t len;
  /**
   * The library's own note.
   */
  size_t cap;
} subrosa_secret;

/**
 * What `subrosa_device_verify` checked and found. All is well if `bad_segments` is 0.
 */
typedef struct {
  /**
   * `sizeof(subrosa_verify_report)`, set by the caller.
   */
  uint32_t struct_size;
  /**
   * 1 if the account of free pages was wrong and has been made anew.
   */
  uint32_t repaired;
  /**
   * Vaults checked.
   */
  uint64_t vaults;
  /**
   * Logs whose chain was walked.
   */
  uint64_t logs;
  /**
   * Segments whose place, chain and signature hold.
   */
  uint64_t segments;
  /**
   * Segments that do not.
   */
  uint64_t bad_segments;
  /**
   * Logs of devices that no control entry lists here so far. Not a fault.
   */
  uint64_t uncertified_logs;
  /**
   * Segments in quarantine.
   */
  uint64_t quarantined;
} subrosa_verify_report;

/**
 * How a store uses its file.
 */
typedef struct {
  /**
   * `sizeof(subrosa_space_report)`, set by the caller.
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * Length of the file.
   */
  uint64_t file_bytes;
  /**
   * Keys, values, and what finds them.
   */
  uint64_t live_bytes;
  /**
   * The rest. Compacting wins back a part of it.
   */
  uint64_t dead_bytes;
} subrosa_space_report;

/**
 * Names a vault, the same on every device.
 */
typedef struct {
  /**
   * The bytes.
   */
  uint8_t bytes[32];
} subrosa_vault_id;

/**
 * One thing that happened. Free it with `subrosa_event_free`, but for one that a callback is given.
 */
typedef struct {
  /**
   * `sizeof(subrosa_event)`, set by the caller.
   */
  uint32_t struct_size;
  /**
   * `SUBROSA_EVENT_...`.
   */
  int32_t kind;
  /**
   * The caller's, of the source that it came from.
   */
  uint64_t tag;
  /**
   * As the kind says; 0 otherwise.
   */
  int32_t detail;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * As the kind says; 0 otherwise.
   */
  int64_t number;
  /**
   * As the kind says; zero otherwise.
   */
  subrosa_id record;
  /**
   * As the kind says; zero otherwise.
   */
  subrosa_vault_id vault;
  /**
   * As the kind says; empty otherwise.
   */
  subrosa_buf text;
} subrosa_event;

/**
 * Receives an event, which is valid during the call. Called on a thread of the library's (`subrosa-events`), one call at a
 * time for a queue. May call the library, but not close this queue or a device that feeds it. Must not block for long:
 * events queue up meanwhile.
 */
typedef void (*subrosa_event_fn)(void *user, const subrosa_event *event);

/**
 * Frees what a `user` pointer stands for. Called exactly once: when the registration ends or fails.
 */
typedef void (*subrosa_free_fn)(void *user);

/**
 * Computes ECDH with `peer`: the X coordinate of the shared point, 32 bytes big endian, leading zeros kept. 0, or the
 * provider's own code. May block, as for a fingerprint. Called on the thread that needs it, which may be the library's;
 * must not call the library. Asked when a device is made (twice: once to check that what it answers fits the public key),
 * opened and resumed, when a session is made, and when this device is let into a vault. Suspending and closing the device
 * wait while it is asked for opening or resuming, and only then.
 */
typedef int32_t (*subrosa_agree_fn)(void *user, const subrosa_public_key *peer, uint8_t *shared_x);

/**
 * Signs the SHA-256 of a message with ECDSA: `r | s`, 64 bytes; any `s` is fine. As `subrosa_agree_fn` otherwise. Asked when
 * a vault is founded, when a device is let in, on both sides, and, also by the thread that syncs, when new logs are begun:
 * for a store that came back from a copy, or whose clock was far ahead. Nothing else waits while it is asked, but for
 * opening and resuming.
 */
typedef int32_t (*subrosa_sign_fn)(void *user, const uint8_t *message, size_t len, uint8_t *signature);

/**
 * A P-256 key that lives elsewhere: in a Secure Enclave, StrongBox or TPM.
 */
typedef struct {
  /**
   * `sizeof(subrosa_key_provider)`.
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t flags;
  /**
   * Passed to the callbacks.
   */
  void *user;
  /**
   * Called with `user` once the key is not needed any more, or at once if making it fails.
   */
  subrosa_free_fn user_free;
  /**
   * The public half.
   */
  subrosa_public_key public_key;
  /**
   * Key agreement.
   */
  subrosa_agree_fn agree;
  /**
   * Signing.
   */
  subrosa_sign_fn sign;
} subrosa_key_provider;

/**
 * Receives log messages: `level` 1 (error) to 5 (trace), `message` NUL-terminated and valid during the call. Ids and
 * numbers only, never content, names or keys. Called from any thread, one message at a time on each. Must not call the
 * library, which may hold its locks meanwhile.
 */
typedef void (*subrosa_log_fn)(void *user, int32_t level, const char *message);

/**
 * A device that belongs to a vault.
 */
typedef struct {
  /**
   * `sizeof(subrosa_device_info)`, set by the caller.
   */
  uint32_t struct_size;
  /**
   * `SUBROSA_ROLE_...`; other numbers are roles of later versions.
   */
  int32_t role;
  /**
   * 1 if it is this device.
   */
  uint32_t is_this;
  /**
   * 0 for the founder, who was added by nobody.
   */
  uint32_t has_added_by;
  /**
   * What names it.
   */
  subrosa_public_key public_key;
  /**
   * Who let it in.
   */
  subrosa_public_key added_by;
} subrosa_device_info;

/**
 * A device whose logs have several futures: its store was copied, or put back from a backup, and went on twice. All of them are kept and
 * merged, and nothing need be done.
 */
typedef struct {
  /**
   * `sizeof(subrosa_fork_info)`, set by the caller.
   */
  uint32_t struct_size;
  /**
   * 1 if it is this device.
   */
  uint32_t is_this;
  /**
   * So many of its logs have several futures.
   */
  uint64_t logs;
  /**
   * So many futures they have beyond one each.
   */
  uint64_t futures;
  /**
   * The device.
   */
  subrosa_public_key public_key;
} subrosa_fork_info;

/**
 * What is held of a device: it is here, and was made more than five minutes ahead of this device's clock. It is merged when its time
 * comes, or when its device says that its clock ran ahead.
 */
typedef struct {
  /**
   * `sizeof(subrosa_held_info)`, set by the caller.
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * So many groups of edits; those beyond the first 1,024 segments of a log are not counted.
   */
  uint64_t groups;
  /**
   * When the first of them is merged, in Unix milliseconds of this device's clock.
   */
  uint64_t until_ms;
  /**
   * The device.
   */
  subrosa_public_key public_key;
} subrosa_held_info;

/**
 * A vault with which not all is well at the relay.
 */
typedef struct {
  /**
   * `sizeof(subrosa_sync_vault)`, set by the caller.
   */
  uint32_t struct_size;
  /**
   * Code of the relay's last refusal of something of it (docs/PROTOCOL.md); 0 for none.
   */
  int32_t refused;
  /**
   * 1 if it rests while the others go on, because of something wrong with it at the relay, and is tried again by itself:
   * `subrosa_list_text_view` says in words what that is.
   */
  uint32_t rests;
  /**
   * 1 if the relay hides something of it, or has lost it, and does not say so.
   */
  uint32_t disagrees;
  /**
   * 1 if the relay says that it holds another future of this device's log, and shows nothing of it: nothing is sent to it.
   */
  uint32_t disputed;
  /**
   * 1 if an admin has written what only a newer version understands: nothing is sent before an update.
   */
  uint32_t update_needed;
  /**
   * The vault.
   */
  subrosa_vault_id vault;
} subrosa_sync_vault;

/**
 * Hears that an asynchronous call has ended, however it did: exactly once for each start that returned `SUBROSA_OK`, on a
 * thread of the library's (`subrosa-task`), never on the one that starts; that one may not have come back from the start
 * yet, so what `done` looks at has to be there before. `error` is the callee's, to be freed with
 * `subrosa_error_free`; NULL when `status` is `SUBROSA_OK`. May call the library, but not close the device concerned.
 */
typedef void (*subrosa_done_fn)(void *user, int32_t status, subrosa_error *error);

/**
 * The six digits that both devices show, NUL-terminated.
 */
typedef struct {
  /**
   * Digits.
   */
  char text[8];
} subrosa_pair_code;

/**
 * One row, as `subrosa_rows_next` finds it.
 */
typedef struct {
  /**
   * `SUBROSA_ROW_...`.
   */
  int32_t op;
  /**
   * `SUBROSA_FORMAT_...`; 0 without a payload.
   */
  int32_t format;
  /**
   * The record.
   */
  subrosa_id id;
  /**
   * Inside of the rows; NULL if there is none.
   */
  const uint8_t *payload;
  /**
   * How many bytes.
   */
  size_t payload_len;
} subrosa_row;

/**
 * Where sync stands.
 */
typedef struct {
  /**
   * `sizeof(subrosa_sync_status)`, set by the caller.
   */
  uint32_t struct_size;
  /**
   * `SUBROSA_SYNC_...`.
   */
  int32_t state;
  /**
   * Code of the relay's last refusal (docs/PROTOCOL.md) until all is well again; 0 for none.
   */
  int32_t refused;
  /**
   * `SUBROSA_FAILURE_...`: why there is no connection, as of the last try.
   */
  int32_t failure;
  /**
   * Segments stored or acknowledged since sync was started.
   */
  uint64_t segments_done;
  /**
   * Segments to do in all, as far as known.
   */
  uint64_t segments_known;
  /**
   * Bytes of the former.
   */
  uint64_t bytes_done;
  /**
   * Bytes of the latter.
   */
  uint64_t bytes_known;
  /**
   * By how many milliseconds this device's wall clock is ahead of the relay's, negative if it is behind, where that is more than five
   * minutes; else 0. Sync goes on all the same.
   */
  int64_t clock_ahead_ms;
  /**
   * When the first of what is held for this device's clock is merged, in Unix milliseconds; 0 while nothing is held.
   * `subrosa_vault_held` says whose it is.
   */
  uint64_t held_until_ms;
} subrosa_sync_status;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Makes a cancel token. Make it before the call that it shall end; it serves any number of calls. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API int32_t subrosa_cancel_new(subrosa_cancel **out, subrosa_error **err);

/**
 * Ends the calls that wait with this token, and those that will: they answer `SUBROSA_CANCELLED`. Any thread, any number
 * of times. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_cancel_fire(subrosa_cancel *cancel,
                            subrosa_error **err);

/**
 * Closes a token; calls that wait with it go on. NULL, and a second time, are fine. Since 0.1.
 */
SUBROSA_API void subrosa_cancel_close(subrosa_cancel *cancel);

/**
 * Adds a record under a new id, which sorts after those made before. Durable when this returns, unless `tx` is given. The
 * record is copied and stays the caller's. `tx`: NULL, or a write transaction of the same vault.
 * Errors of every write: `SUBROSA_FIELD_NAME`, `SUBROSA_TOO_MANY_FIELDS`, `SUBROSA_VALUE_TOO_LARGE`, `SUBROSA_TOO_DEEP`,
 * `SUBROSA_READ_ONLY`, `SUBROSA_TX_OVER`, `SUBROSA_WRONG_DEVICE`, `SUBROSA_BUSY` (another thread's write transaction
 * did not end within `write_wait_ms` of the device's options, which is retryable, or this thread has one open and
 * `tx` is not it, or another thread uses one of the handles), `SUBROSA_NOT_PERMITTED`, `SUBROSA_DISK_FULL`, `SUBROSA_IO`,
 * `SUBROSA_CLOSED`, `SUBROSA_SUSPENDED`. A call that fails has no effect; a transaction goes on. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_insert(subrosa_collection *collection,
                       subrosa_tx *tx,
                       subrosa_record *record,
                       subrosa_id *out,
                       subrosa_error **err);

/**
 * Sets the fields of `record` and leaves others that the stored one has; it need not exist. Errors: as `subrosa_insert`.
 * Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_put(subrosa_collection *collection,
                    subrosa_tx *tx,
                    const subrosa_id *id,
                    subrosa_record *record,
                    subrosa_error **err);

/**
 * Sets the fields of `record` and removes all others. Errors: as `subrosa_insert`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_replace(subrosa_collection *collection,
                        subrosa_tx *tx,
                        const subrosa_id *id,
                        subrosa_record *record,
                        subrosa_error **err);

/**
 * Reads a record. `*out` is a new record, to be closed with `subrosa_record_close`; NULL, with `SUBROSA_OK`, when there is
 * none. `tx`: NULL, or a transaction of the same vault, which sees what it has written.
 * Errors: `SUBROSA_RECORD_TOO_LARGE` when its names and values have more than 16 MiB together: read its fields one by one
 * (`subrosa_field_names`, `subrosa_get_field`); as `subrosa_count`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_get(subrosa_collection *collection,
                    subrosa_tx *tx,
                    const subrosa_id *id,
                    subrosa_record **out,
                    subrosa_error **err);

/**
 * As `subrosa_insert`, with a JSON object; see `subrosa_record_from_json`. Errors: those of both. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_insert_json(subrosa_collection *collection,
                            subrosa_tx *tx,
                            const char *json,
                            size_t len,
                            subrosa_id *out,
                            subrosa_error **err);

/**
 * As `subrosa_put`, with a JSON object. Errors: as `subrosa_insert_json`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_put_json(subrosa_collection *collection,
                         subrosa_tx *tx,
                         const subrosa_id *id,
                         const char *json,
                         size_t len,
                         subrosa_error **err);

/**
 * As `subrosa_replace`, with a JSON object. Errors: as `subrosa_insert_json`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_replace_json(subrosa_collection *collection,
                             subrosa_tx *tx,
                             const subrosa_id *id,
                             const char *json,
                             size_t len,
                             subrosa_error **err);

/**
 * Reads a record as JSON: compact, keys sorted. `found` is false, and `out` empty, when there is none. Errors: as
 * `subrosa_get`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_get_json(subrosa_collection *collection,
                         subrosa_tx *tx,
                         const subrosa_id *id,
                         subrosa_buf *out,
                         bool *found,
                         subrosa_error **err);

/**
 * Deletes a record; `existed` says whether there was one. An edit made elsewhere without knowing of it brings the record back.
 * Errors: as `subrosa_insert`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_delete(subrosa_collection *collection,
                       subrosa_tx *tx,
                       const subrosa_id *id,
                       bool *existed,
                       subrosa_error **err);

/**
 * How many records there are. Reads them all.
 * Errors of every read: `SUBROSA_TX_OVER`, `SUBROSA_WRONG_DEVICE`, `SUBROSA_BUSY`, `SUBROSA_DAMAGED`, `SUBROSA_IO`,
 * `SUBROSA_CLOSED`, `SUBROSA_SUSPENDED`. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API int32_t subrosa_count(subrosa_collection *collection, subrosa_tx *tx, uint64_t *out, subrosa_error **err);

/**
 * Creates a store in the folder `dir`, which is made if it is not there. Only `key` opens it again; the handle of the key
 * may be closed. `options` may be NULL.
 * Errors: `SUBROSA_STORE_EXISTS`, `SUBROSA_STORE_LOCKED`, `SUBROSA_IO`, `SUBROSA_DISK_FULL`, what the key's provider
 * returns. Blocks for the disk. Since 0.1.
 *
 * # Safety
 * Rules 1 to 3 of this library.
 */
SUBROSA_API
SUBROSA_MUST_USE
int32_t subrosa_device_create(const char *dir,
                              size_t dir_len,
                              subrosa_key *key,
                              const subrosa_device_options *options,
                              subrosa_device **out,
                              subrosa_error **err);

/**
 * Opens the store in the folder `dir`. One process opens a store at a time. `options` may be NULL.
 * Errors: `SUBROSA_STORE_MISSING`, `SUBROSA_WRONG_KEY`, `SUBROSA_STORE_LOCKED`, `SUBROSA_NEWER_FORMAT`, `SUBROSA_DAMAGED`,
 * `SUBROSA_NOT_A_STORE`, `SUBROSA_IO`, what the key's provider returns. Blocks for the disk; after a crash it reads the
 * whole file. Since 0.1.
 *
 * # Safety
 * Rules 1 to 3 of this library.
 */
SUBROSA_API
SUBROSA_MUST_USE
int32_t subrosa_device_open(const char *dir,
                            size_t dir_len,
                            subrosa_key *key,
                            const subrosa_device_options *options,
                            subrosa_device **out,
                            subrosa_error **err);

/**
 * Closes a device: stops its sync, ends calls that wait (`SUBROSA_CLOSED`) and transactions that are open, waits for calls
 * and completions under way, closes the file. The handle is gone whatever this returns, but for
 * `SUBROSA_WOULD_DEADLOCK`. Handles of its vaults and of what belongs to them answer `SUBROSA_CLOSED` from now on (but for
 * the id and the name of a vault), and are still to be closed. NULL, and a second time, are fine; who closes it at the same
 * time waits, too. The same store can be opened again at once.
 * Errors: `SUBROSA_WOULD_DEADLOCK` from within a callback of its events or of a call on it; `SUBROSA_IO` if the file could
 * not be closed cleanly (what was committed is safe). Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_device_close(subrosa_device *device,
                             subrosa_error **err);

/**
 * The device's public key, which names it. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API int32_t subrosa_device_public_key(subrosa_device *device, subrosa_public_key *out, subrosa_error **err);

/**
 * The name that the store was created with. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API int32_t subrosa_device_name(subrosa_device *device, subrosa_buf *out, subrosa_error **err);

/**
 * Keeps the URL of a relay in the store, with its invite if it has one; empty text forgets it.
 * Errors: `SUBROSA_RELAY_ADDRESS`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API int32_t subrosa_device_set_relay(subrosa_device *device, const char *url, size_t len, subrosa_error **err);

/**
 * The URL of the relay that is kept in the store; empty if there is none. An invite in it is a secret, so it comes as one:
 * free it with `subrosa_secret_free`. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_device_relay(subrosa_device *device,
                             subrosa_secret *out,
                             subrosa_error **err);

/**
 * Before the system suspends the application: pauses sync, closes the sockets, waits up to `deadline_ms` for an open
 * write transaction (then it is aborted), closes the file and gives up its lock. Calls then answer `SUBROSA_SUSPENDED`
 * until `subrosa_resume`. Errors: `SUBROSA_IO` if the file could not be closed cleanly; it is closed all the same. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_suspend(subrosa_device *device,
                        int32_t deadline_ms,
                        subrosa_error **err);

/**
 * Takes the file again after `subrosa_suspend`, and goes on with sync if it ran; does nothing otherwise. Errors: as
 * `subrosa_device_open`; the device then stays suspended. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API int32_t subrosa_resume(subrosa_device *device, subrosa_error **err);

/**
 * Says that the network has changed, as from Wi-Fi to mobile: sync uses a new socket, and tries again at once if it was
 * offline. Returns at once. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API int32_t subrosa_network_changed(subrosa_device *device, subrosa_error **err);

/**
 * Reads and checks every page, chain, signature and certificate. Other calls wait meanwhile.
 * Errors: `SUBROSA_DAMAGED` for the first page that is not what was written; `SUBROSA_BUSY` while a transaction is open.
 * Since 0.1.
 *
 * # Safety
 * Rules 2 and 3 of this library.
 */
SUBROSA_API
int32_t subrosa_device_verify(subrosa_device *device,
                              subrosa_verify_report *out,
                              subrosa_error **err);

/**
 * Gives free pages back to the file system. Other calls wait meanwhile. Errors: `SUBROSA_BUSY` while a transaction is
 * open, `SUBROSA_IO`, `SUBROSA_DISK_FULL`. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API int32_t subrosa_device_compact(subrosa_device *device, subrosa_error **err);

/**
 * How the file is used. Reads every page. Since 0.1.
 *
 * # Safety
 * Rules 2 and 3 of this library.
 */
SUBROSA_API int32_t subrosa_device_space(subrosa_device *device, subrosa_space_report *out, subrosa_error **err);

/**
 * The vaults of the device, the home vault first: `subrosa_list_text_view` has their names, `subrosa_list_vault_id` their
 * ids. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_device_vaults(subrosa_device *device,
                              subrosa_list **out,
                              subrosa_error **err);

/**
 * The status; 0 for NULL and for what is no error. Since 0.1.
 */
SUBROSA_API int32_t subrosa_error_code(const subrosa_error *error);

/**
 * What happened and what can be done, in English, for developers. Ids and numbers only. NUL-terminated, valid until the
 * error is freed; `""` for NULL. Since 0.1.
 */
SUBROSA_API const char *subrosa_error_message(const subrosa_error *error);

/**
 * How many causes the error has. Since 0.1.
 */
SUBROSA_API size_t subrosa_error_causes(const subrosa_error *error);

/**
 * A cause, the nearest at index 0, as text like `subrosa_error_message`'s; `""` beyond the last. Since 0.1.
 */
SUBROSA_API const char *subrosa_error_cause(const subrosa_error *error, size_t index);

/**
 * Whether the same call may succeed later without anything else done. Since 0.1.
 */
SUBROSA_API bool subrosa_error_retryable(const subrosa_error *error);

/**
 * A number that goes with the status, as its constant says; 0 if there is none. Since 0.1.
 */
SUBROSA_API int64_t subrosa_error_number(const subrosa_error *error);

/**
 * Frees an error. NULL, and a second time, are fine. Since 0.1.
 */
SUBROSA_API void subrosa_error_free(subrosa_error *error);

/**
 * Makes a queue of events; add sources to it. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API int32_t subrosa_events_new(subrosa_events **out, subrosa_error **err);

/**
 * Adds what changes in a vault from now on, by this device or another, under a tag of the caller's. Tags need not differ.
 * Errors: `SUBROSA_TOO_LARGE` beyond `SUBROSA_EVENT_SOURCES_MAX` sources, `SUBROSA_CLOSED`. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_events_add_vault(subrosa_events *events,
                                 subrosa_vault *vault,
                                 uint64_t tag,
                                 subrosa_error **err);

/**
 * As `subrosa_events_add_vault`, for one collection. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_events_add_collection(subrosa_events *events,
                                      subrosa_collection *collection,
                                      uint64_t tag,
                                      subrosa_error **err);

/**
 * As `subrosa_events_add_vault`, for what happens to sync; look at `subrosa_sync_status_of` once after adding it.
 * Errors: `SUBROSA_SYNC_STOPPED` as well. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_events_add_sync(subrosa_events *events,
                                subrosa_sync *sync,
                                uint64_t tag,
                                subrosa_error **err);

/**
 * As `subrosa_events_add_vault`, for the log: what the library has to say from now on, of the whole process, of at most
 * `level_max` (`SUBROSA_LOG_ERROR` to `SUBROSA_LOG_TRACE`), beside what a receiver of `subrosa_log_set` is told. Of messages that
 * nobody takes, the newest `SUBROSA_EVENT_LOG_MAX` are kept, behind a `SUBROSA_EVENT_LAGGED`. The source never ends by itself.
 * Errors: `SUBROSA_INVALID_ARGUMENT` for another level, as well. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_events_add_log(subrosa_events *events,
                               int32_t level_max,
                               uint64_t tag,
                               subrosa_error **err);

/**
 * Removes all sources of a tag, with their events that nobody took. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API int32_t subrosa_events_remove(subrosa_events *events, uint64_t tag, subrosa_error **err);

/**
 * The next event; of kind `SUBROSA_EVENT_NONE` when there is none within `timeout_ms`. Sources take turns; events of one come
 * in order. `cancel` may be NULL. Several threads may wait; each event goes to one.
 * Errors: `SUBROSA_CANCELLED`, `SUBROSA_CLOSED`, `SUBROSA_BUSY` while there is a listener. Since 0.1.
 *
 * # Safety
 * Rules 2 and 3 of this library.
 */
SUBROSA_API
int32_t subrosa_events_wait(subrosa_events *events,
                            int32_t timeout_ms,
                            subrosa_cancel *cancel,
                            subrosa_event *out,
                            subrosa_error **err);

/**
 * Frees what an event holds, and makes its text empty, so that it can be called twice. NULL is fine. Since 0.1.
 *
 * # Safety
 * The struct is as the library filled it, or zero.
 */
SUBROSA_API void subrosa_event_free(subrosa_event *event);

/**
 * Delivers events to `listener` from now on, until `subrosa_events_unlisten` or `subrosa_events_close`. `user` is passed to it,
 * and to `user_free` once it is not called any more, or at once if this fails.
 * Errors: `SUBROSA_BUSY` while there is a listener, `SUBROSA_NO_RESOURCES`, `SUBROSA_INVALID_ARGUMENT` for NULL. Since 0.1.
 *
 * # Safety
 * Rules 2 and 4 of this library.
 */
SUBROSA_API
int32_t subrosa_events_listen(subrosa_events *events,
                              subrosa_event_fn listener,
                              void *user,
                              subrosa_free_fn user_free,
                              subrosa_error **err);

/**
 * Ends delivery; the queue can be pulled again. Returns after a running callback has finished and `user_free` was called;
 * from within the callback at once, and `user_free` is called when it has returned. Does nothing without a listener. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_events_unlisten(subrosa_events *events,
                                subrosa_error **err);

/**
 * Closes a queue: calls that wait on it answer `SUBROSA_CLOSED`, delivery ends as by `subrosa_events_unlisten`. NULL, and a
 * second time, are fine. Errors: `SUBROSA_WOULD_DEADLOCK` from within its callback; then it stays open. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_events_close(subrosa_events *events,
                             subrosa_error **err);

/**
 * The names of a record's fields behind the name `after` (NULL: from the first), in the order of their bytes, at most `limit`
 * (1 to `SUBROSA_ROWS_MAX`); the record may be of any size. `*out` is a new list, to be read with `subrosa_list_text_view` and
 * closed with `subrosa_list_close`; NULL, with `SUBROSA_OK`, when there is no such record. A list of `limit` names may have
 * others behind it: go on after the last. Errors: as `subrosa_count`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_field_names(subrosa_collection *collection,
                            subrosa_tx *tx,
                            const subrosa_id *id,
                            const char *after,
                            size_t after_len,
                            size_t limit,
                            subrosa_list **out,
                            subrosa_error **err);

/**
 * Reads one field of a record, which may be of any size. `*out` is a new record that has this field alone, to be closed with
 * `subrosa_record_close`; NULL, with `SUBROSA_OK`, when there is no such record or field. Errors: as `subrosa_count`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_get_field(subrosa_collection *collection,
                          subrosa_tx *tx,
                          const subrosa_id *id,
                          const char *field,
                          size_t field_len,
                          subrosa_record **out,
                          subrosa_error **err);

/**
 * Reads one field of a record, which may be of any size, as JSON: the value alone. `found` is false, and `out` empty, when there
 * is no such record or field. Errors: as `subrosa_count`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_get_field_json(subrosa_collection *collection,
                               subrosa_tx *tx,
                               const subrosa_id *id,
                               const char *field,
                               size_t field_len,
                               subrosa_buf *out,
                               bool *found,
                               subrosa_error **err);

/**
 * Deletes one field of a record, which may be of any size; `existed` says whether there was one. The record stays, also without
 * any field. Errors: as `subrosa_insert`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_delete_field(subrosa_collection *collection,
                             subrosa_tx *tx,
                             const subrosa_id *id,
                             const char *field,
                             size_t field_len,
                             bool *existed,
                             subrosa_error **err);

/**
 * Reads the text form of an id: a UUID with hyphens, in either case. Errors: `SUBROSA_NOT_AN_ID`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API int32_t subrosa_id_parse(const char *text, size_t len, subrosa_id *out, subrosa_error **err);

/**
 * The id that stands for a name: the same in every collection, vault and device. Names are compared byte by byte.
 * Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API int32_t subrosa_id_from_name(const char *name, size_t len, subrosa_id *out, subrosa_error **err);

/**
 * Writes an id as text: 36 characters, lower case, and a NUL. Does nothing if either is NULL. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library; `text` has room for 37 bytes.
 *
 */
SUBROSA_API void subrosa_id_text(const subrosa_id *id, char text[37]);

/**
 * Makes a new key pair in memory. Keep it (`subrosa_key_to_pkcs8`) in the keystore of the system: nothing else opens what
 * it sealed. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_key_generate(subrosa_key **out,
                             subrosa_error **err);

/**
 * Reads an unencrypted PKCS#8 key of P-256: DER of 67, 79, 138 or 150 bytes. `der` is copied; wipe yours.
 * Errors: `SUBROSA_KEY_ENCODING`, `SUBROSA_KEY_RANGE`, `SUBROSA_KEY_MISMATCH`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API int32_t subrosa_key_from_pkcs8(const uint8_t *der, size_t len, subrosa_key **out, subrosa_error **err);

/**
 * Writes a key in memory as PKCS#8 DER, 138 bytes. Errors: `SUBROSA_KEY_NOT_EXPORTABLE` for a provider's key. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_key_to_pkcs8(subrosa_key *key,
                             subrosa_secret *out,
                             subrosa_error **err);

/**
 * The public half. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API int32_t subrosa_key_public(subrosa_key *key, subrosa_public_key *out, subrosa_error **err);

/**
 * Signs `label | message` (ECDSA, SHA-256): `r | s` with a low `s`. Errors: what a provider returns. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library; `signature` has room for 64 bytes.
 *
 */
SUBROSA_API
int32_t subrosa_key_sign(subrosa_key *key,
                         const uint8_t *label,
                         size_t label_len,
                         const uint8_t *message,
                         size_t message_len,
                         uint8_t signature[64],
                         subrosa_error **err);

/**
 * Makes a key of a provider's functions. The struct is copied; `user` is the library's from now on, even if this fails.
 * `agree` and `sign` are called during calls that need the key (opening a device, founding a vault, pairing, syncing).
 * Errors: `SUBROSA_INVALID_ARGUMENT` without one of the functions, `SUBROSA_NOT_ON_CURVE`, `SUBROSA_UNKNOWN_OPTION`.
 * Since 0.1.
 *
 * # Safety
 * Rules 2, 3 and 4 of this library.
 */
SUBROSA_API
int32_t subrosa_key_from_provider(const subrosa_key_provider *provider,
                                  subrosa_key **out,
                                  subrosa_error **err);

/**
 * Closes a key; devices and sessions opened with it go on. NULL, and a second time, are fine. Since 0.1.
 */
SUBROSA_API void subrosa_key_close(subrosa_key *key);

/**
 * Whether these bytes are a point of P-256 in the uncompressed form. Errors: `SUBROSA_KEY_ENCODING`,
 * `SUBROSA_NOT_ON_CURVE`. Since 0.1.
 *
 * # Safety
 * Rule 1 of this library.
 */
SUBROSA_API int32_t subrosa_public_key_check(const subrosa_public_key *key, subrosa_error **err);

/**
 * Reads a public key from SubjectPublicKeyInfo DER (RFC 5480), 91 bytes. Errors: `SUBROSA_KEY_ENCODING`,
 * `SUBROSA_NOT_ON_CURVE`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_public_key_from_spki(const uint8_t *der,
                                     size_t len,
                                     subrosa_public_key *out,
                                     subrosa_error **err);

/**
 * Writes a public key as SubjectPublicKeyInfo DER (RFC 5480). Errors: as `subrosa_public_key_check`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library; `der` has room for 91 bytes.
 *
 */
SUBROSA_API int32_t subrosa_public_key_to_spki(const subrosa_public_key *key, uint8_t der[91], subrosa_error **err);

/**
 * Checks a signature of `subrosa_key_sign`. Errors: `SUBROSA_BAD_SIGNATURE`, whatever is wrong with it. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library; `signature` has 64 bytes.
 *
 */
SUBROSA_API
int32_t subrosa_public_key_verify(const subrosa_public_key *key,
                                  const uint8_t *label,
                                  size_t label_len,
                                  const uint8_t *message,
                                  size_t message_len,
                                  const uint8_t signature[64],
                                  subrosa_error **err);

/**
 * Opens the session of a key with itself: for what only its owner shall read. `context` says what it is for; another
 * context is another session. Errors: `SUBROSA_INVALID_ARGUMENT` for a profile that is none, or takes no context. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_session_self(subrosa_key *key,
                             int32_t profile,
                             const uint8_t *context,
                             size_t context_len,
                             subrosa_session **out,
                             subrosa_error **err);

/**
 * Opens the session with another key. Both sides get the same one. Errors: `SUBROSA_PEER_IS_SELF`,
 * `SUBROSA_NOT_ON_CURVE`, and as `subrosa_session_self`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_session_peer(subrosa_key *key,
                             const subrosa_public_key *peer,
                             int32_t profile,
                             const uint8_t *context,
                             size_t context_len,
                             subrosa_session **out,
                             subrosa_error **err);

/**
 * Seals bytes: `nonce[12] | ciphertext | tag[16]`, 28 bytes longer. `aad` is authenticated and not sent; both sides must
 * come to the same. Errors: `SUBROSA_NO_AAD_HERE`, `SUBROSA_TOO_LARGE`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_session_seal(subrosa_session *session,
                             const uint8_t *aad,
                             size_t aad_len,
                             const uint8_t *plain,
                             size_t plain_len,
                             subrosa_buf *out,
                             subrosa_error **err);

/**
 * Opens what the other side sealed. Errors: `SUBROSA_NOT_AUTHENTIC`, `SUBROSA_MESSAGE_TOO_SHORT`, `SUBROSA_NO_AAD_HERE`.
 * Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_session_open(subrosa_session *session,
                             const uint8_t *aad,
                             size_t aad_len,
                             const uint8_t *sealed,
                             size_t sealed_len,
                             subrosa_secret *out,
                             subrosa_error **err);

/**
 * Closes a session and wipes its key. NULL, and a second time, are fine. Since 0.1.
 */
SUBROSA_API void subrosa_session_close(subrosa_session *session);

/**
 * The `SUBROSA_ABI_VERSION` that the library was built with. Since 0.1.
 */
SUBROSA_API uint32_t subrosa_abi_version(void);

/**
 * The version of the library, as `"0.1.0"`. Static text. Since 0.1.
 */
SUBROSA_API const char *subrosa_version(void);

/**
 * The name of a status: that of its constant without `SUBROSA_`; `"UNKNOWN"` for other numbers. Static text. Since 0.1.
 */
SUBROSA_API const char *subrosa_status_name(int32_t status);

/**
 * Frees a buffer of the library's and makes the struct zero, so that it can be called twice. NULL is fine. Since 0.1.
 *
 * # Safety
 * The struct is as the library filled it, or zero.
 */
SUBROSA_API void subrosa_buf_free(subrosa_buf *buf);

/**
 * Wipes and frees a secret of the library's and makes the struct zero, so that it can be called twice. NULL is fine.
 * Since 0.1.
 *
 * # Safety
 * As `subrosa_buf_free`.
 */
SUBROSA_API void subrosa_secret_free(subrosa_secret *secret);

/**
 * Sends log messages of at most `level_max` (`SUBROSA_LOG_OFF` to `SUBROSA_LOG_TRACE`) to `log`.
 * One receiver for the whole process; a new one takes the place of the old. NULL turns the log off, as it is at first:
 * the library never prints. A child of fork has none until it sets one. Returns after a running callback has finished. A
 * log that is pulled: `subrosa_events_add_log`.
 *
 * `user` is passed to `log`, and to `user_free` once the receiver is replaced, or at once if this fails. Thread-safe.
 * Errors: `SUBROSA_INVALID_ARGUMENT`, `SUBROSA_WOULD_DEADLOCK` from within `log`. Since 0.1.
 *
 * # Safety
 * Rules 2 and 4 of this library.
 */
SUBROSA_API
int32_t subrosa_log_set(int32_t level_max,
                        subrosa_log_fn log,
                        void *user,
                        subrosa_free_fn user_free,
                        subrosa_error **err);

/**
 * How many items; 0 for NULL and for what is no list. Since 0.1.
 */
SUBROSA_API size_t subrosa_list_len(const subrosa_list *list);

/**
 * The name of a vault, device or collection, empty for a device that is not listed; of `subrosa_sync_vaults`, why a vault rests, empty if it
 * does not. Not NUL-terminated, valid until the list is closed.
 * Errors: `SUBROSA_INVALID_ARGUMENT` beyond the end. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_list_text_view(const subrosa_list *list,
                               size_t index,
                               const char **text,
                               size_t *len,
                               subrosa_error **err);

/**
 * The id of a vault in a list of vaults. Errors: `SUBROSA_INVALID_ARGUMENT` beyond the end and in other lists. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_list_vault_id(const subrosa_list *list,
                              size_t index,
                              subrosa_vault_id *out,
                              subrosa_error **err);

/**
 * A device in a list of devices. Errors: `SUBROSA_INVALID_ARGUMENT` beyond the end and in other lists. Since 0.1.
 *
 * # Safety
 * Rules 2 and 3 of this library.
 */
SUBROSA_API
int32_t subrosa_list_device(const subrosa_list *list,
                            size_t index,
                            subrosa_device_info *out,
                            subrosa_error **err);

/**
 * A device in a list of `subrosa_vault_forks`. Errors: `SUBROSA_INVALID_ARGUMENT` beyond the end and in other lists. Since 0.1.
 *
 * # Safety
 * Rules 2 and 3 of this library.
 */
SUBROSA_API
int32_t subrosa_list_forks(const subrosa_list *list,
                           size_t index,
                           subrosa_fork_info *out,
                           subrosa_error **err);

/**
 * A device in a list of `subrosa_vault_held`. Errors: `SUBROSA_INVALID_ARGUMENT` beyond the end and in other lists. Since 0.1.
 *
 * # Safety
 * Rules 2 and 3 of this library.
 */
SUBROSA_API
int32_t subrosa_list_held(const subrosa_list *list,
                          size_t index,
                          subrosa_held_info *out,
                          subrosa_error **err);

/**
 * A vault in a list of `subrosa_sync_vaults`. Errors: `SUBROSA_INVALID_ARGUMENT` beyond the end and in other lists. Since 0.1.
 *
 * # Safety
 * Rules 2 and 3 of this library.
 */
SUBROSA_API
int32_t subrosa_list_sync_vault(const subrosa_list *list,
                                size_t index,
                                subrosa_sync_vault *out,
                                subrosa_error **err);

/**
 * Closes a list. NULL, and a second time, are fine. Since 0.1.
 */
SUBROSA_API void subrosa_list_close(subrosa_list *list);

/**
 * Offers to let one more device of the user into the home vault; the link is good for five minutes and one device.
 * `relay`: NULL and 0 for the stored one. Returns at once; needs the relay from now on.
 * Errors: `SUBROSA_NO_VAULT` without a home vault, `SUBROSA_NOT_PERMITTED`, `SUBROSA_NO_RELAY`, `SUBROSA_RELAY_ADDRESS`,
 * `SUBROSA_PAIR_TOO_LARGE`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_pair_offer_start(subrosa_device *device,
                                 const char *relay,
                                 size_t len,
                                 subrosa_pair_offer **out,
                                 subrosa_error **err);

/**
 * The link, as text: show it as a QR code. Whoever has it can ask to be let in, so it is a secret. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API int32_t subrosa_pair_offer_link(subrosa_pair_offer *offer, subrosa_secret *out, subrosa_error **err);

/**
 * Waits until a device has answered the link. `cancel` may be NULL.
 * Errors: `SUBROSA_TIMEOUT` (call again), `SUBROSA_CANCELLED` (call again, or close), `SUBROSA_BUSY` while another call waits;
 * others end the offer: `SUBROSA_PAIR_EXPIRED`, `SUBROSA_PAIR_NOT_AUTHENTIC`, `SUBROSA_PAIR_OVER`,
 * `SUBROSA_UNREACHABLE`, `SUBROSA_REFUSED`. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_pair_offer_wait(subrosa_pair_offer *offer,
                                int32_t timeout_ms,
                                subrosa_cancel *cancel,
                                subrosa_error **err);

/**
 * As `subrosa_pair_offer_wait`, on a thread of its own; otherwise as `subrosa_sync_wait_async`. Since 0.1.
 *
 * # Safety
 * Rules 2 and 4 of this library.
 */
SUBROSA_API
int32_t subrosa_pair_offer_wait_async(subrosa_pair_offer *offer,
                                      int32_t timeout_ms,
                                      subrosa_cancel *cancel,
                                      subrosa_done_fn done,
                                      void *user,
                                      subrosa_free_fn user_free,
                                      subrosa_error **err);

/**
 * The device that has answered: the code that it must show, too, and what it calls itself. Let the user type the new
 * device's code, or compare. Either result may be NULL. Errors: `SUBROSA_NOT_READY` before one has. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_pair_offer_request(subrosa_pair_offer *offer,
                                   subrosa_pair_code *code,
                                   subrosa_buf *name,
                                   subrosa_error **err);

/**
 * Lets the new device in, once the user has typed the code that it shows (`typed`; spaces and hyphens do not count) or has
 * compared both codes (NULL and 0; text that is empty is refused, with `SUBROSA_INVALID_ARGUMENT`, and the offer stands).
 * Waits up to 30 seconds for the relay to acknowledge it, once more as long where it may have it by then, and up to a minute for the new
 * device to store its keys. Ends the
 * offer; its handle is still to be closed. `out` may be NULL. Closing the offer before the device is listed ends it;
 * closing the device meanwhile waits for it.
 * Errors: `SUBROSA_NOT_READY` before a device has answered (the offer stands); `SUBROSA_PAIR_WRONG_CODE`,
 * `SUBROSA_PAIR_EXPIRED`, `SUBROSA_PAIR_OVER`, `SUBROSA_NO_PROGRESS` and others: nothing has changed. `SUBROSA_PAIR_UNCONFIRMED`: the device is
 * listed, and may lack its keys. Since 0.1.
 *
 * # Safety
 * Rules 1 to 3 of this library.
 */
SUBROSA_API
int32_t subrosa_pair_offer_confirm(subrosa_pair_offer *offer,
                                   const char *typed,
                                   size_t len,
                                   subrosa_device_info *out,
                                   subrosa_error **err);

/**
 * As `subrosa_pair_offer_confirm`, on a thread of its own; otherwise as `subrosa_sync_wait_async`. `typed` is copied. Since 0.1.
 *
 * # Safety
 * Rules 1, 2 and 4 of this library.
 */
SUBROSA_API
int32_t subrosa_pair_offer_confirm_async(subrosa_pair_offer *offer,
                                         const char *typed,
                                         size_t len,
                                         subrosa_done_fn done,
                                         void *user,
                                         subrosa_free_fn user_free,
                                         subrosa_error **err);

/**
 * Tells the new device that it is not let in, and ends the offer. Errors: `SUBROSA_PAIR_OVER` when it is over already,
 * `SUBROSA_UNREACHABLE` when the device could not be told. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API int32_t subrosa_pair_offer_decline(subrosa_pair_offer *offer, subrosa_error **err);

/**
 * Closes an offer; a link that was not used is withdrawn, calls that wait with it answer `SUBROSA_PAIR_OVER`. NULL, and a
 * second time, are fine. Since 0.1.
 */
SUBROSA_API
void subrosa_pair_offer_close(subrosa_pair_offer *offer);

/**
 * Answers a pairing link: this becomes a device of the user's. A store is made in the folder `dir`, which must have none,
 * once the old device has handed over the keys, and not before. Returns at once. `options` may be NULL.
 * Errors: `SUBROSA_PAIR_LINK`, `SUBROSA_PAIR_EXPIRED`, `SUBROSA_PAIR_NAME`, `SUBROSA_STORE_EXISTS`. Since 0.1.
 *
 * # Safety
 * Rules 1 to 3 of this library.
 */
SUBROSA_API
int32_t subrosa_pair_join_start(const char *dir,
                                size_t dir_len,
                                subrosa_key *key,
                                const subrosa_device_options *options,
                                const char *link,
                                size_t link_len,
                                subrosa_pair_join **out,
                                subrosa_error **err);

/**
 * Waits until the code to show is known. `cancel` and `out` may be NULL. Errors: as `subrosa_pair_offer_wait`. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_pair_join_wait_code(subrosa_pair_join *join,
                                    int32_t timeout_ms,
                                    subrosa_cancel *cancel,
                                    subrosa_pair_code *out,
                                    subrosa_error **err);

/**
 * As `subrosa_pair_join_wait_code`, on a thread of its own; then `subrosa_pair_join_code` has it. Otherwise as
 * `subrosa_sync_wait_async`. Since 0.1.
 *
 * # Safety
 * Rules 2 and 4 of this library.
 */
SUBROSA_API
int32_t subrosa_pair_join_wait_code_async(subrosa_pair_join *join,
                                          int32_t timeout_ms,
                                          subrosa_cancel *cancel,
                                          subrosa_done_fn done,
                                          void *user,
                                          subrosa_free_fn user_free,
                                          subrosa_error **err);

/**
 * Waits until the user of the old device has let this one in, and hands out the open device. `cancel` may be NULL.
 * Errors: `SUBROSA_PAIR_DECLINED`, `SUBROSA_PAIR_WRONG_CODE` (as the old device says), and as `subrosa_pair_offer_wait`;
 * what the disk refuses. Nothing is left behind in the folder. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_pair_join_wait_device(subrosa_pair_join *join,
                                      int32_t timeout_ms,
                                      subrosa_cancel *cancel,
                                      subrosa_device **out,
                                      subrosa_error **err);

/**
 * As `subrosa_pair_join_wait_device`, on a thread of its own; then `subrosa_pair_join_device` hands the device out.
 * Otherwise as `subrosa_sync_wait_async`. Since 0.1.
 *
 * # Safety
 * Rules 2 and 4 of this library.
 */
SUBROSA_API
int32_t subrosa_pair_join_wait_device_async(subrosa_pair_join *join,
                                            int32_t timeout_ms,
                                            subrosa_cancel *cancel,
                                            subrosa_done_fn done,
                                            void *user,
                                            subrosa_free_fn user_free,
                                            subrosa_error **err);

/**
 * The code to show. Errors: `SUBROSA_NOT_READY` before it is known. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API int32_t subrosa_pair_join_code(subrosa_pair_join *join, subrosa_pair_code *out, subrosa_error **err);

/**
 * Hands out the open device, once. Errors: `SUBROSA_NOT_READY` before it is there, and afterwards. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API int32_t subrosa_pair_join_device(subrosa_pair_join *join, subrosa_device **out, subrosa_error **err);

/**
 * Closes a join; one that was not through is given up, and calls that wait with it answer `SUBROSA_PAIR_OVER`. NULL, and a
 * second time, are fine. Since 0.1.
 */
SUBROSA_API
void subrosa_pair_join_close(subrosa_pair_join *join);

/**
 * Makes a record without fields. It belongs to no collection until it is inserted or put, which copies it. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API SUBROSA_MUST_USE int32_t subrosa_record_new(subrosa_record **out, subrosa_error **err);

/**
 * Makes a record from a JSON object. Whole numbers become I64, those with a point or an exponent F64, `{"$bytes": "<base64>"}`
 * bytes. Errors: `SUBROSA_NOT_JSON` and `SUBROSA_NEWER_FORM` (number: offset of the byte), `SUBROSA_NOT_A_RECORD`,
 * `SUBROSA_TOO_DEEP`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
SUBROSA_MUST_USE
int32_t subrosa_record_from_json(const char *json,
                                 size_t len,
                                 subrosa_record **out,
                                 subrosa_error **err);

/**
 * The record as JSON: compact, keys sorted, a float always with a point or an exponent. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API int32_t subrosa_record_to_json(subrosa_record *record, subrosa_buf *out, subrosa_error **err);

/**
 * Closes a record; views into it end. NULL, and a second time, are fine. Since 0.1.
 */
SUBROSA_API void subrosa_record_close(subrosa_record *record);

/**
 * Sets a field to nothing, as a value. Views into the record end, as with every setter. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_record_set_null(subrosa_record *record,
                                const char *field,
                                size_t field_len,
                                subrosa_error **err);

/**
 * Sets a field to true or false. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_record_set_bool(subrosa_record *record,
                                const char *field,
                                size_t field_len,
                                bool value,
                                subrosa_error **err);

/**
 * Sets a field to a whole number. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_record_set_i64(subrosa_record *record,
                               const char *field,
                               size_t field_len,
                               int64_t value,
                               subrosa_error **err);

/**
 * Sets a field to a float. Errors: `SUBROSA_NOT_FINITE`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_record_set_f64(subrosa_record *record,
                               const char *field,
                               size_t field_len,
                               double value,
                               subrosa_error **err);

/**
 * Sets a field to text, which is copied. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_record_set_text(subrosa_record *record,
                                const char *field,
                                size_t field_len,
                                const char *text,
                                size_t text_len,
                                subrosa_error **err);

/**
 * Sets a field to bytes, which are copied. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_record_set_bytes(subrosa_record *record,
                                 const char *field,
                                 size_t field_len,
                                 const uint8_t *data,
                                 size_t data_len,
                                 subrosa_error **err);

/**
 * Sets a field to any value, lists and maps included, given as JSON.
 * Errors: `SUBROSA_NOT_JSON` and `SUBROSA_NEWER_FORM` (number: offset of the byte), `SUBROSA_TOO_DEEP`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_record_set_json(subrosa_record *record,
                                const char *field,
                                size_t field_len,
                                const char *json,
                                size_t json_len,
                                subrosa_error **err);

/**
 * Removes a field; `existed` says whether there was one. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_record_remove(subrosa_record *record,
                              const char *field,
                              size_t field_len,
                              bool *existed,
                              subrosa_error **err);

/**
 * How many fields the record has. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API int32_t subrosa_record_len(subrosa_record *record, size_t *out, subrosa_error **err);

/**
 * The name and the kind of the field at `index`, in the order of names. The name is not NUL-terminated and valid until the
 * record is changed or closed. Errors: `SUBROSA_INVALID_ARGUMENT` beyond the last. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_record_field_view(subrosa_record *record,
                                  size_t index,
                                  const char **name,
                                  size_t *name_len,
                                  int32_t *kind,
                                  subrosa_error **err);

/**
 * The kind of a field: `SUBROSA_KIND_...`, `SUBROSA_KIND_ABSENT` if there is none. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_record_kind(subrosa_record *record,
                            const char *field,
                            size_t field_len,
                            int32_t *out,
                            subrosa_error **err);

/**
 * A field that holds true or false. Errors: `SUBROSA_NO_FIELD`, `SUBROSA_WRONG_KIND`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_record_get_bool(subrosa_record *record,
                                const char *field,
                                size_t field_len,
                                bool *out,
                                subrosa_error **err);

/**
 * A field that holds a whole number. Errors: as `subrosa_record_get_bool`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_record_get_i64(subrosa_record *record,
                               const char *field,
                               size_t field_len,
                               int64_t *out,
                               subrosa_error **err);

/**
 * A field that holds a float; a whole number is none. Errors: as `subrosa_record_get_bool`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_record_get_f64(subrosa_record *record,
                               const char *field,
                               size_t field_len,
                               double *out,
                               subrosa_error **err);

/**
 * A field that holds text: not NUL-terminated, valid until the record is changed or closed.
 * Errors: as `subrosa_record_get_bool`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_record_get_text_view(subrosa_record *record,
                                     const char *field,
                                     size_t field_len,
                                     const char **text,
                                     size_t *text_len,
                                     subrosa_error **err);

/**
 * A field that holds bytes: valid until the record is changed or closed. Errors: as `subrosa_record_get_bool`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_record_get_bytes_view(subrosa_record *record,
                                      const char *field,
                                      size_t field_len,
                                      const uint8_t **data,
                                      size_t *data_len,
                                      subrosa_error **err);

/**
 * A field of any kind as JSON. Errors: `SUBROSA_NO_FIELD`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_record_get_json(subrosa_record *record,
                                const char *field,
                                size_t field_len,
                                subrosa_buf *out,
                                subrosa_error **err);

/**
 * Reads part of a collection: records with ids behind `after` (NULL: from the start), in the order of their ids, at most
 * `limit` (1 to `SUBROSA_ROWS_MAX`), and fewer when `rows` would pass `SUBROSA_ROWS_BYTES_MAX`, but at least one. If
 * `more`, another page follows: go on after the last row's id. Pages without a `tx` are each as of their own moment.
 *
 * Packed rows, little endian, without padding:
 *
 * ```text
 * row    = len u32 (of all that follows in this row, 20 or more) | op u8 | format u8 | zero u16 | id[16] | payload
 * fields = count u32 | count x (name_len u16 | name | value)
 * value  = kind u8 (SUBROSA_KIND_...) | NULL: nothing | BOOL: u8, 0 or 1 | I64: i64 | F64: f64
 *          | TEXT, BYTES: len u32 | bytes | LIST: count u32 | values | MAP: fields
 * ```
 *
 * The payload has the `format` that is asked for, `SUBROSA_FORMAT_JSON` or `SUBROSA_FORMAT_FIELDS`, but for a record that
 * fields cannot hold, since a key inside of a field has over 65535 bytes: its row has `SUBROSA_FORMAT_JSON`, the others are
 * as asked. Look at the format of each row. A record that is larger than is read whole (see `subrosa_get`) has a row of
 * `SUBROSA_ROW_TOO_LARGE` without a payload. Later versions may have further ops: such a row has an id, and nothing to read.
 * Errors: as `subrosa_count`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_page(subrosa_collection *collection,
                     subrosa_tx *tx,
                     const subrosa_id *after,
                     size_t limit,
                     int32_t format,
                     subrosa_buf *rows,
                     bool *more,
                     subrosa_error **err);

/**
 * Reads the records of some ids, from one snapshot: one row (see `subrosa_page`) for each, in their order,
 * `SUBROSA_ROW_ABSENT` where there is no record.
 * Errors: `SUBROSA_TOO_LARGE` for more than `SUBROSA_ROWS_MAX` ids or `SUBROSA_ROWS_BYTES_MAX` bytes of rows: ask for
 * fewer; as `subrosa_page`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library; `ids` points to `count` ids.
 */
SUBROSA_API
int32_t subrosa_get_many(subrosa_collection *collection,
                         subrosa_tx *tx,
                         const subrosa_id *ids,
                         size_t count,
                         int32_t format,
                         subrosa_buf *rows,
                         subrosa_error **err);

/**
 * Writes packed rows (see `subrosa_page`) with the ops `SUBROSA_ROW_INSERT`, `_PUT`, `_REPLACE`, `_DELETE` and `_IMPORT`,
 * in their order: all of them, or, when this fails, none, also inside of a transaction, which then goes on. `ids` gets 16 bytes for
 * each row, an array of `subrosa_id`: new ones for inserts.
 * Errors: `SUBROSA_TOO_LARGE` over `SUBROSA_ROWS_MAX` rows or `SUBROSA_ROWS_BYTES_MAX` bytes; `SUBROSA_BAD_ROWS` for bytes
 * that are no such rows; what is wrong with a row's content, as `SUBROSA_NOT_JSON` (number: offset of the byte in `rows`);
 * as `subrosa_insert`. The number of an error that one row is the reason of is the offset of this row. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_write_many(subrosa_collection *collection,
                           subrosa_tx *tx,
                           const uint8_t *rows,
                           size_t len,
                           subrosa_buf *ids,
                           subrosa_error **err);

/**
 * Reads rows one after the other: `offset` is 0 at first and then goes on by itself. False at the end, and where bytes are
 * no row; `out` is zero then. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library; `offset` can be read, too.
 */
SUBROSA_API
bool subrosa_rows_next(const uint8_t *rows,
                       size_t len,
                       size_t *offset,
                       subrosa_row *out);

/**
 * Starts to sync all vaults of the device with `relay` (NULL and 0: the stored one), in the background, until it is
 * stopped or the device closed. Being offline is no error: see `subrosa_sync_status_of`.
 * Errors: `SUBROSA_BUSY` while one runs already, `SUBROSA_NO_RELAY`, `SUBROSA_RELAY_ADDRESS`, `SUBROSA_SUSPENDED`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_sync_start(subrosa_device *device,
                           const char *relay,
                           size_t len,
                           subrosa_sync **out,
                           subrosa_error **err);

/**
 * Stops sync, waits for a commit of its under way (neither for the network nor for a transaction of yours), and closes the
 * handle. Calls that wait
 * with it answer `SUBROSA_SYNC_STOPPED`. NULL, and a second time, are fine.
 * Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_sync_stop(subrosa_sync *sync,
                          subrosa_error **err);

/**
 * Where sync stands. Since 0.1.
 *
 * # Safety
 * Rules 2 and 3 of this library.
 */
SUBROSA_API int32_t subrosa_sync_status_of(subrosa_sync *sync, subrosa_sync_status *out, subrosa_error **err);

/**
 * Where sync stands, in words: `live`, `offline`, `refused: quota` and so on, then `; ` and why there is no connection.
 * Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API int32_t subrosa_sync_reason(subrosa_sync *sync, subrosa_buf *out, subrosa_error **err);

/**
 * The vaults with which not all is well at the relay, each once, by their ids: `subrosa_list_sync_vault` says what is the matter. An empty list
 * while all is well. `SUBROSA_EVENT_REFUSED`, `SUBROSA_EVENT_DISAGREES`, `SUBROSA_EVENT_DISPUTED` and `SUBROSA_EVENT_UPDATE_NEEDED` say it as
 * it happens. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_sync_vaults(subrosa_sync *sync,
                            subrosa_list **out,
                            subrosa_error **err);

/**
 * Waits until all vaults are caught up both ways: everything is here that the relay had acknowledged to anybody when this was
 * called, and what was written here before it is there. The relay is asked for that, which takes a round trip: what it said
 * before counts for nothing, and while there is no link the wait goes on. `idle_ms`: how long nothing may move, at least such
 * a round trip; negative for no limit. `cancel` may be NULL.
 * Errors: `SUBROSA_NO_PROGRESS`, `SUBROSA_REFUSED`, `SUBROSA_DISPUTED`, `SUBROSA_CANCELLED`, `SUBROSA_SUSPENDED`, at once; sync goes on all the
 * same. `SUBROSA_SYNC_STOPPED`, `SUBROSA_CLOSED`, `SUBROSA_PANIC`. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_sync_wait(subrosa_sync *sync,
                          int32_t idle_ms,
                          subrosa_cancel *cancel,
                          subrosa_error **err);

/**
 * Now, to be waited for with `subrosa_moment_wait`, a little at a time. A wait that ends early and is called again with
 * `subrosa_sync_wait` is about another moment, for which the relay is asked anew. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API int32_t subrosa_sync_moment(subrosa_sync *sync, subrosa_moment **out, subrosa_error **err);

/**
 * Waits as `subrosa_sync_wait` does, for that moment; as often as you like, and each time for as short as you like: the relay is asked once.
 * Errors: those of `subrosa_sync_wait`; `SUBROSA_SYNC_STOPPED` once its sync is stopped. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_moment_wait(subrosa_moment *moment,
                            int32_t idle_ms,
                            subrosa_cancel *cancel,
                            subrosa_error **err);

/**
 * Closes a moment; a wait for it goes on. NULL, and a second time, are fine. Since 0.1.
 */
SUBROSA_API void subrosa_moment_close(subrosa_moment *moment);

/**
 * As `subrosa_sync_wait`, on a thread of its own; `done` hears of the end. `user` is passed to `done`, and to `user_free`
 * after `done` has returned, or at once if this fails.
 * Errors: `SUBROSA_INVALID_ARGUMENT` without `done`, `SUBROSA_NO_RESOURCES`. Since 0.1.
 *
 * # Safety
 * Rules 2 and 4 of this library.
 */
SUBROSA_API
int32_t subrosa_sync_wait_async(subrosa_sync *sync,
                                int32_t idle_ms,
                                subrosa_cancel *cancel,
                                subrosa_done_fn done,
                                void *user,
                                subrosa_free_fn user_free,
                                subrosa_error **err);

/**
 * Begins a transaction: `SUBROSA_TX_READ`, a snapshot, which waits for nobody, or `SUBROSA_TX_WRITE`, for whose turn it waits
 * `timeout_ms`. No other write of the device goes on while a write transaction is open, syncing included; reads do. Pages of
 * the file that a snapshot sees are kept for it. So end both soon, with `subrosa_tx_commit` or `subrosa_tx_abort`. For one
 * thread at a time: it may wander, but a write without it then waits for it, unless made on the thread that began it.
 * Errors: `SUBROSA_BUSY` (retryable) when the other writer is not done in time, and at once when it is of this thread;
 * `SUBROSA_NOT_PERMITTED`. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
SUBROSA_MUST_USE
int32_t subrosa_tx_begin(subrosa_vault *vault,
                         int32_t mode,
                         int32_t timeout_ms,
                         subrosa_tx **out,
                         subrosa_error **err);

/**
 * Makes everything happen that a write transaction did; durable when this returns `SUBROSA_OK`. Otherwise nothing of it has
 * happened. A read transaction just ends. The handle is gone whatever this returns, but for `SUBROSA_BUSY`: another thread
 * uses it.
 * Errors: `SUBROSA_CLOSED`, `SUBROSA_SUSPENDED` or (resumed since) `SUBROSA_TX_OVER` when it was taken away;
 * `SUBROSA_DISK_FULL`, `SUBROSA_IO`. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
SUBROSA_MUST_USE
int32_t subrosa_tx_commit(subrosa_tx *tx,
                          subrosa_error **err);

/**
 * Forgets everything that a transaction did, and closes it. If another thread uses it at this moment, it ends when that
 * call does. NULL, and a second time, are fine. Since 0.1.
 */
SUBROSA_API void subrosa_tx_abort(subrosa_tx *tx);

/**
 * Founds a vault. Works offline; a relay learns of it at the first sync. The first vault of a device is its home vault,
 * into which other devices are paired. Errors: `SUBROSA_VAULT_EXISTS`, `SUBROSA_VAULT_NAME`; what the key's provider returns;
 * `SUBROSA_BUSY`, `SUBROSA_SUSPENDED`, `SUBROSA_IO`, `SUBROSA_DISK_FULL` as for a write. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_vault_create(subrosa_device *device,
                             const char *name,
                             size_t len,
                             subrosa_vault **out,
                             subrosa_error **err);

/**
 * A vault by its name on this device. Errors: `SUBROSA_NO_VAULT`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_vault_open(subrosa_device *device,
                           const char *name,
                           size_t len,
                           subrosa_vault **out,
                           subrosa_error **err);

/**
 * A vault by its id. Errors: `SUBROSA_NO_VAULT`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_vault_open_by_id(subrosa_device *device,
                                 const subrosa_vault_id *id,
                                 subrosa_vault **out,
                                 subrosa_error **err);

/**
 * Closes the handle of a vault. NULL, and a second time, are fine. Since 0.1.
 */
SUBROSA_API void subrosa_vault_close(subrosa_vault *vault);

/**
 * The vault's id. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API int32_t subrosa_vault_id_of(subrosa_vault *vault, subrosa_vault_id *out, subrosa_error **err);

/**
 * The vault's name on this device. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API int32_t subrosa_vault_name(subrosa_vault *vault, subrosa_buf *out, subrosa_error **err);

/**
 * Names of the collections that hold a record, sorted. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API int32_t subrosa_vault_collections(subrosa_vault *vault, subrosa_list **out, subrosa_error **err);

/**
 * The devices that belong to the vault, most senior first: `subrosa_list_text_view` has their names, `subrosa_list_device`
 * the rest. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_vault_devices(subrosa_vault *vault,
                              subrosa_list **out,
                              subrosa_error **err);

/**
 * The devices whose logs have several futures in the vault, because their stores were copied or put back from a backup:
 * `subrosa_list_text_view` has their names, `subrosa_list_forks` the rest. `SUBROSA_EVENT_FORKED` says that there is another one. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_vault_forks(subrosa_vault *vault,
                            subrosa_list **out,
                            subrosa_error **err);

/**
 * The devices of whose edits something is held for this device's clock: `subrosa_list_text_view` has their names, `subrosa_list_held` how
 * much, and until when. `SUBROSA_EVENT_HELD` says when that changes. `clock_is_late`, which may be NULL, becomes true if everybody's is held
 * that has written something: then it is probably this device's own clock that is wrong. Costs nothing while nothing is held. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_vault_held(subrosa_vault *vault,
                           subrosa_list **out,
                           bool *clock_is_late,
                           subrosa_error **err);

/**
 * Whether an admin of the vault has written what only a newer version understands: it is read and received, and nothing that is written
 * here is sent before the application is updated. `SUBROSA_EVENT_UPDATE_NEEDED` says it as it happens. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API
int32_t subrosa_vault_is_update_needed(subrosa_vault *vault,
                                       bool *out,
                                       subrosa_error **err);

/**
 * How much waits for sealing: records with edits that no segment holds yet, and parts of bulk writes. Since 0.1.
 *
 * # Safety
 * Rule 2 of this library.
 */
SUBROSA_API int32_t subrosa_vault_pending(subrosa_vault *vault, uint64_t *out, subrosa_error **err);

/**
 * How many sealed segments are held here, and how many of them `relay` (NULL and 0: the stored one) is known to hold
 * durably. Either result may be NULL. Errors: `SUBROSA_RELAY_ADDRESS`, `SUBROSA_NO_RELAY`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_vault_delivery(subrosa_vault *vault,
                               const char *relay,
                               size_t len,
                               uint64_t *held,
                               uint64_t *acknowledged,
                               subrosa_error **err);

/**
 * A collection of a vault. It need not hold anything yet. Errors: `SUBROSA_COLLECTION_NAME`. Since 0.1.
 *
 * # Safety
 * Rules 1 and 2 of this library.
 */
SUBROSA_API
int32_t subrosa_collection_open(subrosa_vault *vault,
                                const char *name,
                                size_t len,
                                subrosa_collection **out,
                                subrosa_error **err);

/**
 * Closes the handle of a collection. NULL, and a second time, are fine. Since 0.1.
 */
SUBROSA_API void subrosa_collection_close(subrosa_collection *collection);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SUBROSA_H */
