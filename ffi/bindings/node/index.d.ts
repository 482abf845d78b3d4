/// <reference lib="esnext.disposable" />

/** 32 hexadecimal digits with hyphens: a UUID. */
export type RecordId = string;
/** 64 hexadecimal digits. */
export type VaultId = string;

/** What a field can hold. Fields that are `undefined` are not stored. Objects with a `toJSON` are stored as what it gives. */
export type Value =
  | null | boolean | number | bigint | string | Uint8Array | Float
  | readonly Value[] | { readonly [field: string]: Value | undefined } | { toJSON(): unknown };
export type Fields = { [field: string]: Value | undefined };

/** The library's status numbers have names, which are stable; an unknown number is `UNKNOWN` and keeps its `code`. */
export class SubrosaError extends Error {
  readonly code: number;
  /** For example `WRONG_KEY`. */
  name: string;
  /** Whether the same call may succeed later, without anything else being done. */
  readonly retryable: boolean;
  /** What `code` says it is; 0 if nothing. */
  readonly number: number;
  /** Messages of what caused it, outermost first; `cause` holds the same as errors. */
  readonly causes: readonly string[];
}

export interface Abortable {
  /** Ends the waiting; the promise rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** Something of the library that has to be closed; garbage collection closes what was forgotten, at a time of its own. */
interface Closable {
  readonly isClosed: boolean;
  close(): void;
  [Symbol.dispose](): void;
}

export function version(): string;
export function abiVersion(): number;
/** The id that a name stands for, the same on every device. */
export function idFromName(name: string): RecordId;

/** A number that is stored as a float even if it is whole. Counts as a number in arithmetic. */
export class Float {
  constructor(value: number);
  readonly value: number;
  valueOf(): number;
  toJSON(): number;
  toString(): string;
}

export interface DecodeOptions {
  /** `wrap`: every float is a `Float`, so that writing back what was read changes no kind. Default `number`. */
  floats?: 'number' | 'wrap';
  /** `bigint`: every integer is a BigInt. Default `number`: only those outside of the safe range. */
  integers?: 'number' | 'bigint';
}

/** The engine's JSON text of a value. */
export function encode(value: unknown): string;
/** The value of JSON text as the engine writes it (compact). */
export function decode(json: string, options?: DecodeOptions): unknown;

export class PublicKey {
  /** 65 bytes: SEC1, uncompressed. */
  constructor(bytes: Uint8Array);
  static fromSpki(der: Uint8Array): PublicKey;
  toSpki(): Uint8Array;
  readonly bytes: Uint8Array;
  equals(other: PublicKey): boolean;
  /** Throws BAD_SIGNATURE unless it is this key's. */
  verify(label: Uint8Array | string, message: Uint8Array | string, signature: Uint8Array): void;
}

export interface KeyProvider {
  publicKey: PublicKey | Uint8Array;
  /** The 32 bytes of the shared x coordinate with `peer` (65 bytes). A thrown error's integer `code` becomes `number`. */
  agree(peer: Uint8Array): Uint8Array;
  /** 64 bytes, r and s, of an ECDSA P-256 SHA-256 signature. */
  sign(message: Uint8Array): Uint8Array;
}

export interface Key extends Closable {}
export class Key {
  private constructor();
  static generate(): Key;
  static fromPkcs8(der: Uint8Array): Key;
  /** A key whose secret part stays elsewhere. Its functions run on this thread and must not call this package. */
  static fromProvider(provider: KeyProvider): Key;
  readonly public: PublicKey;
  /** The secret key: overwrite the result when it is stored. */
  toPkcs8(): Uint8Array;
  sign(label: Uint8Array | string, message: Uint8Array | string): Uint8Array;
}

export interface SessionOptions {
  /** Default `subrosa/1`. */
  profile?: 'subrosa/1' | 'supabase-e2ee-v1';
  context?: Uint8Array | string;
}

export interface Session extends Closable {}
export class Session {
  private constructor();
  static self(key: Key, options?: SessionOptions): Session;
  static peer(key: Key, peer: PublicKey, options?: SessionOptions): Session;
  seal(plain: Uint8Array | string, aad?: Uint8Array | string): Uint8Array;
  open(sealed: Uint8Array, aad?: Uint8Array | string): Uint8Array;
}

export interface DeviceOptions {
  /** What other devices call this one: 1 to 128 bytes, no control characters. Kept when a store is made. Default `device`. */
  name?: string;
  /** Default 16 MiB. */
  cacheBytes?: number;
  /** How long a write outside of a transaction waits for one that is open before BUSY (retryable). Default 30,000 ms. */
  writeWaitMs?: number;
}

export interface DeviceInfo {
  name: string;
  role: 'admin' | 'writer' | 'reader' | 'unknown';
  isThis: boolean;
  publicKey: PublicKey;
  addedBy: PublicKey | null;
}

/** All is well if `badSegments` is 0. */
export interface VerifyReport {
  isRepaired: boolean;
  vaults: number;
  logs: number;
  segments: number;
  badSegments: number;
  /** Logs of devices that no control entry lists here so far. Not a fault. */
  uncertifiedLogs: number;
  quarantined: number;
}

export interface SpaceReport { fileBytes: number; liveBytes: number; deadBytes: number }

export class Device {
  private constructor();
  /** Resolves off this thread. Aborted, the device is closed again once it is open. */
  static create(dir: string | URL, key: Key, options?: DeviceOptions & Abortable): Promise<Device>;
  static open(dir: string | URL, key: Key, options?: DeviceOptions & Abortable): Promise<Device>;
  static createSync(dir: string | URL, key: Key, options?: DeviceOptions): Device;
  static openSync(dir: string | URL, key: Key, options?: DeviceOptions): Device;
  /** A new device, which joins with the link of an old one. */
  static pairJoin(dir: string | URL, key: Key, link: string, options?: DeviceOptions): Promise<PairJoin>;

  readonly isClosed: boolean;
  readonly publicKey: PublicKey;
  readonly name: string;
  /** The stored relay's URL, empty if there is none. May hold an invite, which is a secret. */
  readonly relay: string;
  setRelay(url: string): void;
  vaults(): { id: VaultId; name: string }[];
  createVault(name: string): Vault;
  vault(name: string): Vault;
  vaultById(id: VaultId): Vault;
  /** Until `resume`, calls answer SUSPENDED, and nothing holds the file. Default deadline 5,000 ms. */
  suspend(options?: Abortable & { deadlineMs?: number }): Promise<void>;
  resume(options?: Abortable): Promise<void>;
  networkChanged(): void;
  /** Reads and checks everything. Other calls wait meanwhile, the synchronous ones on this thread. */
  verify(options?: Abortable): Promise<VerifyReport>;
  /** Gives free pages back to the file system. Other calls wait meanwhile, the synchronous ones on this thread. */
  compact(options?: Abortable): Promise<void>;
  /** Reads every page. */
  space(options?: Abortable): Promise<SpaceReport>;
  /** Starts to sync in the background; the stored relay if none is given. */
  sync(relay?: string): Sync;
  pairOffer(relay?: string, options?: Abortable): Promise<PairOffer>;

  /** Ends its sync and all waits, and closes the file. Calls on what came from it answer CLOSED. */
  close(): Promise<void>;
  /** As `close`, on this thread. WOULD_DEADLOCK with a provider's key while it syncs, or a call is under way elsewhere. */
  closeSync(): void;
  [Symbol.dispose](): void;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface ForksOfDevice {
  /** Null if it is not listed. */
  name: string | null;
  isThis: boolean;
  publicKey: PublicKey;
  /** So many of its logs have several futures, and so many more than one each. */
  logs: number;
  futures: number;
}

export interface HeldOfDevice {
  /** Null if it is not listed. */
  name: string | null;
  publicKey: PublicKey;
  /** Groups of edits. */
  groups: number;
  /** When the first of them is merged, as of `Date.now()`. */
  untilMs: number;
}

export interface HeldGroups {
  devices: HeldOfDevice[];
  /** Everybody's are held: it is probably this device's own clock that is wrong. */
  clockIsLate: boolean;
}

/** A vault with which not all is well at the relay. */
export interface VaultAtRelay {
  vault: VaultId;
  /** The relay's code of its last refusal; 0 for none. */
  refused: number;
  /** Why it rests while the others go on; null if it does not. */
  rests: string | null;
  /** The relay hides something of it, or has lost it. */
  disagrees: boolean;
  /** The relay claims another future of this device's log and does not show it. */
  disputed: boolean;
  /** Nothing is sent before an update. */
  updateNeeded: boolean;
}

export interface TransactionOptions {
  /** How long to wait for another transaction before BUSY. Default 5,000 ms; 30,000 ms for `writeAsync`. */
  timeoutMs?: number;
}

/** The transaction ends when the function returns. */
type NotAsync<R> = R extends PromiseLike<unknown> ? never : R;

export interface Vault extends Closable {}
export class Vault {
  private constructor();
  readonly device: Device;
  readonly id: VaultId;
  readonly name: string;
  /** Need not exist yet. The type says what the application stores there; nothing checks it. */
  collection<T extends object = Fields>(name: string, options?: DecodeOptions): Collection<T>;
  collections(): string[];
  devices(): DeviceInfo[];
  /** The devices whose stores were copied or put back from a backup, and went on twice. All of it is kept and merged. */
  forks(): ForksOfDevice[];
  /** What is held because it was made more than five minutes ahead of this device's clock; merged when its time comes. */
  held(): HeldGroups;
  /** An admin has written what only a newer version understands: nothing is sent before the application is updated. */
  readonly isUpdateNeeded: boolean;
  /** How much waits for sealing: records with edits that no segment holds yet, and parts of bulk writes. */
  pending(): number;
  /** How many sealed segments are held here, and how many of them the relay (or the stored one) is known to hold durably. */
  delivery(relay?: string): { held: number; acknowledged: number };
  /** Commits what `work` did, or nothing if it throws. */
  write<R>(work: (tx: Transaction) => NotAsync<R>, options?: TransactionOptions): R;
  /** Runs `work` on a snapshot. */
  read<R>(work: (tx: Transaction) => NotAsync<R>, options?: TransactionOptions): R;
  /**
   * As `write`, with a function that may be async. It must not await a write of this process without the transaction. The
   * signal takes it out of the queue, or, later, aborts the transaction once `work` is done.
   */
  writeAsync<R>(work: (tx: Transaction) => R | PromiseLike<R>, options?: TransactionOptions & Abortable): Promise<R>;
  /** A transaction to be ended by hand. Writes without it wait for the end of one that writes, as with `writeAsync`. */
  begin(mode: 'read' | 'write', options?: TransactionOptions): Transaction;
  watch(options?: Abortable): Events<Change>;
}

export interface Transaction extends Closable {}
export class Transaction {
  private constructor();
  readonly vault: Vault;
  /** Ends the transaction, whether it succeeds or not. */
  commit(): void;
  commitAsync(): Promise<void>;
  /** The same as `close`. */
  abort(): void;
}

export interface InTransaction {
  /** Makes the call part of a transaction of the same vault. */
  tx?: Transaction;
}

export type Operation<T extends object = Fields> =
  | { op: 'insert'; record: T } | { op: 'insert'; json: string }
  | { op: 'put' | 'replace'; id: RecordId; record: Partial<T> } | { op: 'put' | 'replace'; id: RecordId; json: string }
  /** As `put`, for a record that was exported: it may have more fields than a write may add. */
  | { op: 'import'; id: RecordId; record: T } | { op: 'import'; id: RecordId; json: string }
  | { op: 'delete'; id: RecordId };

export interface ScanOptions extends InTransaction {
  /** Go on behind this id. */
  after?: RecordId;
  /** Records that are read at once. Default 256. */
  pageSize?: number;
}

/** Calls without `Async` return when the disk has it, or, in a transaction, at once. */
export interface Collection<T extends object = Fields> extends Closable, Iterable<[RecordId, T]> {}
export class Collection<T extends object = Fields> {
  private constructor();
  readonly name: string;
  readonly vault: Vault;

  insert(record: T, options?: InTransaction): RecordId;
  /** Sets these fields and leaves others; makes the record if there is none. */
  put(id: RecordId, record: Partial<T>, options?: InTransaction): void;
  /** Sets these fields and removes others. */
  replace(id: RecordId, record: T, options?: InTransaction): void;
  /** Whether there was one. */
  delete(id: RecordId, options?: InTransaction): boolean;
  /** Deletes one field of a record of any size; whether there was one. The record stays. */
  deleteField(id: RecordId, field: string, options?: InTransaction): boolean;
  /** All or none. At most 65,536 records or 64 MiB. */
  insertMany(records: readonly T[], options?: InTransaction): RecordId[];
  /** All or none; the ids of the rows, new ones for inserts. */
  writeMany(operations: readonly Operation<T>[], options?: InTransaction): RecordId[];

  insertAsync(record: T, options?: InTransaction): Promise<RecordId>;
  putAsync(id: RecordId, record: Partial<T>, options?: InTransaction): Promise<void>;
  replaceAsync(id: RecordId, record: T, options?: InTransaction): Promise<void>;
  deleteAsync(id: RecordId, options?: InTransaction): Promise<boolean>;
  insertManyAsync(records: readonly T[], options?: InTransaction): Promise<RecordId[]>;
  writeManyAsync(operations: readonly Operation<T>[], options?: InTransaction): Promise<RecordId[]>;

  get(id: RecordId, options?: InTransaction): T | undefined;
  /** In the order of `ids`, all of one moment. */
  getMany(ids: readonly RecordId[], options?: InTransaction): (T | undefined)[];
  /** Reads them all. */
  count(options?: InTransaction): number;
  /** The names of the fields behind `after`, at most `limit`, of a record of any size; undefined if there is no record. */
  fieldNames(id: RecordId, options?: InTransaction & { after?: string; limit?: number }): string[] | undefined;
  /** One field of a record of any size; undefined if there is none. */
  getField<K extends keyof T & string>(id: RecordId, field: K, options?: InTransaction): T[K] | undefined;
  getFieldJson(id: RecordId, field: string, options?: InTransaction): string | undefined;
  /**
   * In the order of ids. Each page is of one moment; give a read transaction for one moment of all. A record that is larger than is
   * read whole is a `RECORD_TOO_LARGE` in its place, with its id as `record`: go on with that as `after`.
   */
  scan(options?: ScanOptions): Generator<[RecordId, T], void, undefined>;
  [Symbol.iterator](): Generator<[RecordId, T], void, undefined>;

  /** The same, off this thread; in a transaction, on it. */
  getAsync(id: RecordId, options?: InTransaction): Promise<T | undefined>;
  getManyAsync(ids: readonly RecordId[], options?: InTransaction): Promise<(T | undefined)[]>;
  countAsync(options?: InTransaction): Promise<number>;

  /** The same with the engine's JSON text. */
  insertJson(json: string, options?: InTransaction): RecordId;
  putJson(id: RecordId, json: string, options?: InTransaction): void;
  replaceJson(id: RecordId, json: string, options?: InTransaction): void;
  getJson(id: RecordId, options?: InTransaction): string | undefined;
  getManyJson(ids: readonly RecordId[], options?: InTransaction): (string | undefined)[];

  watch(options?: Abortable): Events<Change>;
}

/** `lagged`: too much happened, read again. Kinds of later versions are `unknown`. */
export type Change =
  | { kind: 'inserted' | 'updated' | 'removed'; collection: string; id: RecordId }
  | { kind: 'lagged' } | { kind: 'unknown' };

export type SyncState = 'offline' | 'connecting' | 'syncing' | 'live' | 'refused' | 'suspended' | 'unknown';

export type SyncEvent =
  | { kind: 'state'; state: SyncState }
  /** What the relay had is stored. */
  | { kind: 'caughtUp'; vault: VaultId }
  /** Caught up both ways. */
  | { kind: 'synced'; vault: VaultId }
  /** `code` is the relay's; it is tried again after `retryMs`. */
  | { kind: 'refused'; vault: VaultId; code: number; retryMs: number }
  /** The relay hides or lost something. */
  | { kind: 'disagrees'; vault: VaultId }
  | { kind: 'update-needed'; vault: VaultId }
  /** The relay claims another future of this device's log and does not show it: nothing is sent to it. */
  | { kind: 'disputed'; vault: VaultId }
  /** A device's store was copied or put back and went on twice; everything of both is kept and merged. */
  | { kind: 'forked'; vault: VaultId }
  /** This device's clock and the relay's differ by more than five minutes; 0 once they agree again. */
  | { kind: 'clock'; aheadMs: number }
  /** Something made ahead of this device's clock is held, the first of it until then; 0 when nothing is any more. */
  | { kind: 'held'; untilMs: number }
  | { kind: 'lagged' } | { kind: 'unknown' };

export type LogLevel = 'error' | 'warn' | 'info' | 'debug' | 'trace';

/** `lagged`: messages were lost. Levels of later versions are `unknown`. */
export type LogEvent =
  | { kind: 'message'; level: LogLevel | 'unknown'; message: string }
  | { kind: 'lagged' } | { kind: 'unknown' };

/**
 * What the library has to say from now on, of the whole process, up to `level` (by default `info`). Ids and numbers only, never
 * content, names or keys. Never ends by itself.
 */
export function logs(options?: { level?: LogLevel } & Abortable): Events<LogEvent>;

/**
 * Events since the call that made it. Ends when the device or sync is closed. While a `next` is pending the process stays
 * alive; an iterator that nobody waits for does not keep it so.
 */
export interface Events<E> extends AsyncIterableIterator<E> {
  next(): Promise<IteratorResult<E, undefined>>;
  return(): Promise<IteratorResult<E, undefined>>;
  /** What has happened already, without waiting; undefined if nothing has. */
  poll(): E | undefined;
  close(): void;
  [Symbol.asyncIterator](): Events<E>;
  [Symbol.dispose](): void;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface SyncStatus {
  state: SyncState;
  /** The relay's code, or 0. */
  refused: number;
  failure: 'none' | 'noSocket' | 'noAddress' | 'unreachable' | 'wrongKey' | 'lost' | 'link' | 'peer' | 'store' | 'other';
  segmentsDone: number;
  segmentsKnown: number;
  bytesDone: number;
  bytesKnown: number;
  /** By how much this device's clock is ahead of the relay's, negative if behind, where that is more than five minutes; else 0. */
  clockAheadMs: number;
  /** When the first of what is held for the clock is merged; 0 while nothing is held. `Vault.held` says whose it is. */
  heldUntilMs: number;
}

export class Sync {
  private constructor();
  readonly device: Device;
  readonly isClosed: boolean;
  status(): SyncStatus;
  /** The state and why, for people. */
  reason(): string;
  /** The vaults with which not all is well at the relay; empty while all is well. */
  vaults(): VaultAtRelay[];
  /** Until everything is here and there. NO_PROGRESS after `idleMs` without a step, default 30,000. */
  wait(options?: Abortable & { idleMs?: number }): Promise<void>;
  events(options?: Abortable): Events<SyncEvent>;
  stop(): Promise<void>;
  close(): Promise<void>;
  [Symbol.dispose](): void;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface WaitOptions extends Abortable {
  /** TIMEOUT after this time; waiting again is fine. Default: no limit. */
  timeoutMs?: number;
}

export interface PairOffer extends Closable {}
export class PairOffer {
  private constructor();
  readonly device: Device;
  /** A secret until it is used: to be shown as a QR code, not logged. */
  readonly link: string;
  /** Until a device answers. Show the code, or ask for the one that the new device shows. */
  wait(options?: WaitOptions): Promise<{ code: string; name: string }>;
  /** Lets the device in with the code that the person read from it and typed; an empty one is refused. */
  confirm(typed: string): Promise<DeviceInfo>;
  /** Lets the device in: the person has seen both codes, and they are equal. */
  confirmCodesAreEqual(): Promise<DeviceInfo>;
  decline(): Promise<void>;
}

export interface PairJoin extends Closable {}
export class PairJoin {
  private constructor();
  /** The six digits to show. */
  waitCode(options?: WaitOptions): Promise<string>;
  /** The device, once the old one has let it in. */
  waitDevice(options?: WaitOptions): Promise<Device>;
}
