// The C library as koffi sees it: prototypes, structs and memory for outputs. Nothing here knows what the functions mean.

import koffi from 'koffi';

/** The ABI this package was written for; another number at load is an error. */
const ABI_VERSION = 1;

// Pointers are declared `void *` and given as addresses (BigInt) or Buffers: koffi then converts nothing, and outputs are
// read from memory that this package owns. A handle is an opaque BigInt.
export const PROTOTYPES = `
uint32_t abi_version()
const char *version()
const char *status_name(int32_t status)
void buf_free(void *buf)
void secret_free(void *secret)
const char *error_message(void *error)
size_t error_causes(void *error)
const char *error_cause(void *error, size_t index)
bool error_retryable(void *error)
int64_t error_number(void *error)
void error_free(void *error)
int32_t id_from_name(void *name, size_t len, void *out, void *err)
int32_t key_generate(void *out, void *err)
int32_t key_from_pkcs8(void *der, size_t len, void *out, void *err)
int32_t key_to_pkcs8(void *key, void *out, void *err)
int32_t key_public(void *key, void *out, void *err)
int32_t key_sign(void *key, void *label, size_t label_len, void *message, size_t message_len, void *signature, void *err)
void key_close(void *key)
int32_t key_from_provider(void *provider, void *out, void *err)
int32_t public_key_check(void *key, void *err)
int32_t public_key_from_spki(void *der, size_t len, void *out, void *err)
int32_t public_key_to_spki(void *key, void *der, void *err)
int32_t public_key_verify(void *key, void *label, size_t label_len, void *message, size_t message_len, void *signature, void *err)
int32_t session_self(void *key, int32_t profile, void *context, size_t context_len, void *out, void *err)
int32_t session_peer(void *key, void *peer, int32_t profile, void *context, size_t context_len, void *out, void *err)
int32_t session_seal(void *session, void *aad, size_t aad_len, void *plain, size_t plain_len, void *out, void *err)
int32_t session_open(void *session, void *aad, size_t aad_len, void *sealed, size_t sealed_len, void *out, void *err)
void session_close(void *session)
int32_t cancel_new(void *out, void *err)
int32_t cancel_fire(void *cancel, void *err)
void cancel_close(void *cancel)
int32_t device_create(void *dir, size_t dir_len, void *key, void *options, void *out, void *err)
int32_t device_open(void *dir, size_t dir_len, void *key, void *options, void *out, void *err)
int32_t device_close(void *device, void *err)
int32_t device_public_key(void *device, void *out, void *err)
int32_t device_name(void *device, void *out, void *err)
int32_t device_set_relay(void *device, void *url, size_t len, void *err)
int32_t device_relay(void *device, void *out, void *err)
int32_t suspend(void *device, int32_t deadline_ms, void *err)
int32_t resume(void *device, void *err)
int32_t network_changed(void *device, void *err)
int32_t device_verify(void *device, void *out, void *err)
int32_t device_compact(void *device, void *err)
int32_t device_space(void *device, void *out, void *err)
int32_t device_vaults(void *device, void *out, void *err)
size_t list_len(void *list)
int32_t list_text_view(void *list, size_t index, void *text, void *len, void *err)
int32_t list_vault_id(void *list, size_t index, void *out, void *err)
int32_t list_device(void *list, size_t index, void *out, void *err)
int32_t list_forks(void *list, size_t index, void *out, void *err)
int32_t list_held(void *list, size_t index, void *out, void *err)
int32_t list_sync_vault(void *list, size_t index, void *out, void *err)
void list_close(void *list)
int32_t vault_create(void *device, void *name, size_t len, void *out, void *err)
int32_t vault_open(void *device, void *name, size_t len, void *out, void *err)
int32_t vault_open_by_id(void *device, void *id, void *out, void *err)
void vault_close(void *vault)
int32_t vault_id_of(void *vault, void *out, void *err)
int32_t vault_name(void *vault, void *out, void *err)
int32_t vault_collections(void *vault, void *out, void *err)
int32_t vault_devices(void *vault, void *out, void *err)
int32_t vault_forks(void *vault, void *out, void *err)
int32_t vault_held(void *vault, void *out, void *clock_is_late, void *err)
int32_t vault_is_update_needed(void *vault, void *out, void *err)
int32_t vault_pending(void *vault, void *out, void *err)
int32_t vault_delivery(void *vault, void *relay, size_t len, void *held, void *acknowledged, void *err)
int32_t collection_open(void *vault, void *name, size_t len, void *out, void *err)
void collection_close(void *collection)
int32_t insert_json(void *c, void *tx, void *json, size_t len, void *out, void *err)
int32_t put_json(void *c, void *tx, void *id, void *json, size_t len, void *err)
int32_t replace_json(void *c, void *tx, void *id, void *json, size_t len, void *err)
int32_t get_json(void *c, void *tx, void *id, void *out, void *found, void *err)
int32_t field_names(void *c, void *tx, void *id, void *after, size_t after_len, size_t limit, void *out, void *err)
int32_t get_field_json(void *c, void *tx, void *id, void *field, size_t field_len, void *out, void *found, void *err)
int32_t delete_field(void *c, void *tx, void *id, void *field, size_t field_len, void *existed, void *err)
int32_t delete(void *c, void *tx, void *id, void *existed, void *err)
int32_t count(void *c, void *tx, void *out, void *err)
int32_t page(void *c, void *tx, void *after, size_t limit, int32_t format, void *rows, void *more, void *err)
int32_t get_many(void *c, void *tx, void *ids, size_t count, int32_t format, void *rows, void *err)
int32_t write_many(void *c, void *tx, void *rows, size_t len, void *ids, void *err)
int32_t tx_begin(void *vault, int32_t mode, int32_t timeout_ms, void *out, void *err)
int32_t tx_commit(void *tx, void *err)
void tx_abort(void *tx)
int32_t events_new(void *out, void *err)
int32_t events_add_vault(void *events, void *vault, uint64_t tag, void *err)
int32_t events_add_collection(void *events, void *collection, uint64_t tag, void *err)
int32_t events_add_sync(void *events, void *sync, uint64_t tag, void *err)
int32_t events_add_log(void *events, int32_t level_max, uint64_t tag, void *err)
int32_t events_remove(void *events, uint64_t tag, void *err)
int32_t events_wait(void *events, int32_t timeout_ms, void *cancel, void *out, void *err)
void event_free(void *event)
int32_t events_close(void *events, void *err)
int32_t sync_start(void *device, void *relay, size_t len, void *out, void *err)
int32_t sync_stop(void *sync, void *err)
int32_t sync_status_of(void *sync, void *out, void *err)
int32_t sync_reason(void *sync, void *out, void *err)
int32_t sync_vaults(void *sync, void *out, void *err)
int32_t sync_moment(void *sync, void *out, void *err)
int32_t moment_wait(void *moment, int32_t idle_ms, void *cancel, void *err)
void moment_close(void *moment)
int32_t pair_offer_start(void *device, void *relay, size_t len, void *out, void *err)
int32_t pair_offer_link(void *offer, void *out, void *err)
int32_t pair_offer_wait(void *offer, int32_t timeout_ms, void *cancel, void *err)
int32_t pair_offer_request(void *offer, void *code, void *name, void *err)
int32_t pair_offer_confirm(void *offer, void *typed, size_t len, void *out, void *err)
int32_t pair_offer_decline(void *offer, void *err)
void pair_offer_close(void *offer)
int32_t pair_join_start(void *dir, size_t dir_len, void *key, void *options, void *link, size_t link_len, void *out, void *err)
int32_t pair_join_wait_code(void *join, int32_t timeout_ms, void *cancel, void *out, void *err)
int32_t pair_join_wait_device(void *join, int32_t timeout_ms, void *cancel, void *out, void *err)
void pair_join_close(void *join)
`;

// Calls that wait run on stacks of koffi's own: 128 KiB each, which a call of an unoptimised library passes. To be said before the
// first library is loaded.
koffi.config({ async_stack_size: 512 << 10 });

const library = load();

/** The functions by their names without `subrosa_`; each is looked up when it is first used. */
export const C = {};
for (const line of PROTOTYPES.trim().split('\n')) {
  const name = /(\w+)\(/.exec(line)[1];
  Object.defineProperty(C, name, {
    configurable: true,
    get() {
      const value = library.func(line.replace(`${name}(`, `subrosa_${name}(`));
      Object.defineProperty(C, name, { value });
      return value;
    },
  });
}

checkVersion();

const bytes = (count) => koffi.array('uint8_t', count, 'Typed');

export const DeviceOptions = koffi.struct({
  struct_size: 'uint32_t', flags: 'uint32_t', cache_bytes: 'uint64_t', device_name: 'void *', device_name_len: 'size_t',
  write_wait_ms: 'uint32_t', reserved: 'uint32_t',
});
export const KeyProvider = koffi.struct({
  struct_size: 'uint32_t', flags: 'uint32_t', user: 'void *', user_free: 'void *', public_key: bytes(65),
  agree: 'void *', sign: 'void *',
});
export const VerifyReport = koffi.struct({
  struct_size: 'uint32_t', repaired: 'uint32_t', vaults: 'uint64_t', logs: 'uint64_t', segments: 'uint64_t',
  bad_segments: 'uint64_t', uncertified_logs: 'uint64_t', quarantined: 'uint64_t',
});
export const SpaceReport = koffi.struct({
  struct_size: 'uint32_t', reserved: 'uint32_t', file_bytes: 'uint64_t', live_bytes: 'uint64_t', dead_bytes: 'uint64_t',
});
export const DeviceInfo = koffi.struct({
  struct_size: 'uint32_t', role: 'int32_t', is_this: 'uint32_t', has_added_by: 'uint32_t', public_key: bytes(65),
  added_by: bytes(65),
});
export const SyncStatus = koffi.struct({
  struct_size: 'uint32_t', state: 'int32_t', refused: 'int32_t', failure: 'int32_t', segments_done: 'uint64_t',
  segments_known: 'uint64_t', bytes_done: 'uint64_t', bytes_known: 'uint64_t', clock_ahead_ms: 'int64_t',
  held_until_ms: 'uint64_t',
});
export const ForkInfo = koffi.struct({
  struct_size: 'uint32_t', is_this: 'uint32_t', logs: 'uint64_t', futures: 'uint64_t', public_key: bytes(65),
});
export const HeldInfo = koffi.struct({
  struct_size: 'uint32_t', reserved: 'uint32_t', groups: 'uint64_t', until_ms: 'uint64_t', public_key: bytes(65),
});
export const SyncVault = koffi.struct({
  struct_size: 'uint32_t', refused: 'int32_t', rests: 'uint32_t', disagrees: 'uint32_t', disputed: 'uint32_t',
  update_needed: 'uint32_t', vault: bytes(32),
});
export const Event = koffi.struct({
  struct_size: 'uint32_t', kind: 'int32_t', tag: 'uint64_t', detail: 'int32_t', reserved: 'uint32_t', number: 'int64_t',
  record: bytes(16), vault: bytes(32), text: koffi.struct({ data: 'void *', len: 'size_t', cap: 'size_t' }),
});

const AREA = 128;
const AREA_SIZE = 384;

/**
 * Memory for the outputs of one call. The addresses are stable; they are BigInts because koffi takes those fastest.
 * A block must stay reachable until its call has returned.
 */
export class Block {
  constructor() {
    // Of its own and not of the shared pool of small Buffers, so it is aligned.
    this.bytes = Buffer.alloc(AREA + AREA_SIZE);
    this.words = new BigUint64Array(this.bytes.buffer, 0, AREA / 8);
    const base = koffi.address(this.bytes);
    this.err = base;
    this.out = base + 8n;
    this.out2 = base + 16n;
    this.buf = base + 24n;
    this.flag = base + 48n;
    this.id = base + 64n;
    this.area = base + BigInt(AREA);
  }

  get handle() { return this.words[1]; }
  get number() { return Number(this.words[1]); }
  get number2() { return Number(this.words[2]); }
  get isFlag() { return this.bytes[48] !== 0; }

  /** Writes a struct that the library reads or fills, and sets its `struct_size`. */
  putStruct(type, fields = {}) {
    const size = koffi.sizeof(type);
    this.bytes.fill(0, AREA, AREA + size);
    koffi.encode(this.area, type, { ...blank(type), ...fields, struct_size: size });
    return this.area;
  }

  takeStruct(type) { return koffi.decode(this.area, type); }

  /** A copy of `length` bytes at `address`, one of this block's. */
  copy(address, length) {
    const at = Number(address - this.err);
    return new Uint8Array(this.bytes.subarray(at, at + length));
  }

  /** The text in `buf`, which is freed. */
  takeText() {
    const text = textAt(this.words[3], Number(this.words[4]));
    C.buf_free(this.buf);
    return text;
  }

  /** The bytes in `buf`, which is freed. */
  takeBytes() {
    const copy = bytesAt(this.words[3], Number(this.words[4]));
    C.buf_free(this.buf);
    return copy;
  }

  /** Calls `read` with the bytes in `buf` as an ArrayBuffer, which is gone afterwards. */
  readBytes(read) {
    try {
      return read(viewAt(this.words[3], Number(this.words[4])));
    } finally {
      C.buf_free(this.buf);
    }
  }

  /** As `takeBytes`, and what the library held is wiped. */
  takeSecret() {
    const copy = bytesAt(this.words[3], Number(this.words[4]));
    C.secret_free(this.buf);
    return copy;
  }

  /** As `takeText`, and what the library held is wiped. */
  takeSecretText() {
    const text = textAt(this.words[3], Number(this.words[4]));
    C.secret_free(this.buf);
    return text;
  }
}

const blanks = new Map();

function blank(type) {
  let fields = blanks.get(type);
  if (!fields) {
    fields = Object.fromEntries(Object.entries(type.members).map(([name, member]) =>
      [name, member.type.primitive === 'Array' ? new Uint8Array(member.type.length)
        : member.type.primitive === 'Record' ? blank(member.type)
          : member.type.primitive === 'Pointer' ? null : 0]));
    blanks.set(type, fields);
  }
  return fields;
}

export function textAt(address, length) {
  return length === 0 ? '' : koffi.decode.string(address, length);
}

export function bytesAt(address, length) {
  return length === 0 ? new Uint8Array(0) : koffi.decode(address, 'uint8_t', length);
}

/** The library's memory itself: for large results, and never kept. */
function viewAt(address, length) {
  if (length === 0) return new ArrayBuffer(0);
  try {
    return koffi.view(address, length);
  } catch {
    // Electron has no such ArrayBuffers.
    return koffi.decode(address, 'uint8_t', length).buffer;
  }
}

/** Where a Buffer's bytes are. Only for as long as the caller keeps the Buffer. */
export const address = koffi.address;

/** Ends the process without waiting for its threads. */
export function endProcess(code) {
  koffi.load(null).func('void _exit(int code)')(code);
}

/** A C function pointer for `callback`, for as long as the process runs. */
export function register(callback, result, parameters) {
  return koffi.register(callback, koffi.pointer(koffi.proto(result, parameters)));
}

export function writeBytes(target, data) {
  koffi.encode(target, 'uint8_t', data, data.length);
}

function load() {
  if (koffi.sizeof('size_t') !== 8) throw new Error('subrosa needs a 64 bit process');
  const path = process.env.SUBROSA_LIB || 'libsubrosa.so.1';
  try {
    return koffi.load(path);
  } catch (cause) {
    throw new Error(`cannot load ${path}: install libsubrosa, or set SUBROSA_LIB to the path of libsubrosa.so.1`, { cause });
  }
}

function checkVersion() {
  const found = C.abi_version();
  if (found !== ABI_VERSION) {
    throw new Error(`libsubrosa has ABI ${found}, and this package needs ABI ${ABI_VERSION}: install matching versions`);
  }
}
