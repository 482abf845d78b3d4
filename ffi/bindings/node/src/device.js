// A device: one store file with the vaults in it.

import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';

import { Block, C, DeviceOptions, SpaceReport, VerifyReport, address } from './native.js';
import { callAsync, check, refusal, withBlock } from './errors.js';
import { optionalText, text } from './bytes.js';
import { Handle } from './handle.js';
import { PublicKey } from './keys.js';
import { listText, readList } from './lists.js';
import { PairJoin, PairOffer } from './pairing.js';
import { Sync, stopSync } from './sync.js';
import { Vault } from './vault.js';
import { abortable, callInPool, mayAsk, milliseconds } from './wait.js';
import { WriteQueue } from './writes.js';

const SUSPEND_MS = 5000;
/** How long a write waits for a transaction, if the options do not say. */
const WRITE_WAIT_MS = 30_000;

/** Devices that sync in the background stay open even if nobody refers to them. */
const syncing = new Set();

/** What is open, by token; a device that was dropped and is not closed yet counts. */
const open = new Map();

// The end of a worker is not the end of its process, which would keep the stores locked.
if (!isMainThread) process.on('exit', closeAll);

export class Device extends Handle {
  #key;
  #sync = null;
  #closing = null;
  /** Calls under way that may ask the key's provider. */
  #asking = 0;

  /** @internal */
  _writes;

  /** @internal */
  constructor(token, key, options) {
    super(token, 'device', closeForgotten);
    this.#key = key;
    this._writes = new WriteQueue(writeWait(options));
    open.set(token, new WeakRef(this));
  }

  static create(dir, key, options) { return start('device_create', dir, key, options); }
  static open(dir, key, options) { return start('device_open', dir, key, options); }
  static createSync(dir, key, options) { return startSync('device_create', dir, key, options); }
  static openSync(dir, key, options) { return startSync('device_open', dir, key, options); }

  /** A new device that joins with the link of an old one. */
  static async pairJoin(dir, key, link, options) {
    const [folder, given] = [directory(dir), text(link, 'a link')];
    const block = new Block();
    const args = [folder.bytes, folder.length, key._token, deviceOptions(block, options), given.bytes, given.length,
      block.out, block.err];
    return mayAsk(key._hasProvider, () => callAsync(C.pair_join_start, args, block,
      () => new PairJoin(block.handle, key._hasProvider, (device) => new Device(device, key, options))));
  }

  /** Ends its sync and what waits, and closes the file. Not on this thread: it may have to wait for other calls. */
  close() {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close() {
    const token = this._release();
    if (token === 0n) return;
    const sync = this.#sync?._detach();
    try {
      await this._inPool('device_close', (block) => [token, block.err]);
    } finally {
      open.delete(token);
      if (sync) stopSync(sync);
    }
  }

  /** As `close`, on this thread. */
  closeSync() {
    if (this.#closing || this.isClosed) return;
    if (this._mayBeAsking) {
      throw refusal('WOULD_DEADLOCK', 'another thread may be waiting for the key on this thread: await close()');
    }
    const token = this._release();
    const sync = this.#sync?._detach();
    this.#closing = Promise.resolve();
    try {
      withBlock((block) => check(C.device_close(token, block.err), block));
    } finally {
      open.delete(token);
      if (sync) stopSync(sync);
    }
  }

  [Symbol.dispose]() { this.closeSync(); }
  [Symbol.asyncDispose]() { return this.close(); }

  get publicKey() {
    return withBlock((block) => {
      check(C.device_public_key(this._token, block.area, block.err), block);
      return new PublicKey(block.copy(block.area, 65));
    });
  }

  get name() {
    return withBlock((block) => {
      check(C.device_name(this._token, block.buf, block.err), block);
      return block.takeText();
    });
  }

  /** The stored relay's URL, empty if there is none. It may hold an invite, which is a secret. */
  get relay() {
    return withBlock((block) => {
      check(C.device_relay(this._token, block.buf, block.err), block);
      return block.takeSecretText();
    });
  }

  /** Stores the relay's URL; an empty one forgets it. */
  setRelay(url) {
    const given = text(url, 'a URL');
    this._writes.assertFree();
    withBlock((block) => check(C.device_set_relay(this._token, given.bytes, given.length, block.err), block));
  }

  /** `{ id, name }` of each vault. */
  vaults() {
    return withBlock((block) => {
      check(C.device_vaults(this._token, block.out, block.err), block);
      return readList(block.handle, (list, index, each) => {
        check(C.list_vault_id(list, index, each.area, each.err), each);
        return { id: Buffer.from(each.copy(each.area, 32)).toString('hex'), name: listText(list, index, each) };
      });
    });
  }

  createVault(name) {
    const given = text(name);
    this._writes.assertFree();
    return this.#vault('vault_create', given);
  }

  vault(name) { return this.#vault('vault_open', text(name)); }

  vaultById(id) {
    if (!/^[0-9a-f]{64}$/i.test(id)) throw new TypeError('a vault id must be 64 hexadecimal digits');
    const bytes = Buffer.from(id, 'hex');
    return withBlock((block) => {
      check(C.vault_open_by_id(this._token, bytes, block.out, block.err), block);
      return new Vault(block.handle, this);
    });
  }

  #vault(name, given) {
    return withBlock((block) => {
      check(C[name](this._token, given.bytes, given.length, block.out, block.err), block);
      return new Vault(block.handle, this);
    });
  }

  /** Stops syncing and lets go of the file, for a process that may be frozen; calls answer SUSPENDED until `resume`. */
  suspend({ deadlineMs = SUSPEND_MS, signal } = {}) {
    const deadline = milliseconds(deadlineMs, 'deadlineMs');
    return this.#inPool('suspend', signal, (block) => [this._token, deadline, block.err]);
  }

  async resume({ signal } = {}) {
    if (!this.#key._hasProvider) return this.#inPool('resume', signal, (block) => [this._token, block.err]);
    signal?.throwIfAborted();
    withBlock((block) => check(C.resume(this._token, block.err), block));
  }

  /** Hints that the path to the relay may be another one now. */
  networkChanged() {
    withBlock((block) => check(C.network_changed(this._token, block.err), block));
  }

  /** Checks the whole store. */
  verify({ signal } = {}) {
    return this.#inPool('device_verify', signal, (block) => [this._token, block.putStruct(VerifyReport), block.err],
      (block) => {
        const report = block.takeStruct(VerifyReport);
        return {
          isRepaired: report.repaired !== 0, vaults: Number(report.vaults), logs: Number(report.logs),
          segments: Number(report.segments), badSegments: Number(report.bad_segments),
          uncertifiedLogs: Number(report.uncertified_logs), quarantined: Number(report.quarantined),
        };
      });
  }

  compact({ signal } = {}) { return this.#inPool('device_compact', signal, (block) => [this._token, block.err]); }

  /** Reads every page. */
  space({ signal } = {}) {
    return this.#inPool('device_space', signal, (block) => [this._token, block.putStruct(SpaceReport), block.err], (block) => {
      const report = block.takeStruct(SpaceReport);
      return {
        fileBytes: Number(report.file_bytes), liveBytes: Number(report.live_bytes), deadBytes: Number(report.dead_bytes),
      };
    });
  }

  /** Any of these may ask for the key, or wait for a thread that does. @internal */
  _inPool(name, args, result) { return this._mayAsk(() => callInPool(name, args, result)); }

  /** @internal */
  async _mayAsk(call) {
    this.#asking += 1;
    try {
      return await mayAsk(this.#key._hasProvider, call);
    } finally {
      this.#asking -= 1;
    }
  }

  /** Whether another thread may be waiting for the key's provider, which is on this one. @internal */
  get _mayBeAsking() {
    return this.#key._hasProvider && (this.#asking > 0 || (this.#sync !== null && !this.#sync.isClosed));
  }

  async #inPool(name, signal, args, result) {
    signal?.throwIfAborted();
    return abortable(signal, this._inPool(name, args, result));
  }

  /** Starts to sync in the background, with the stored relay if none is given. It goes on until it or the device is closed. */
  sync(relay) {
    const given = optionalText(relay, 'a URL');
    return withBlock((block) => {
      check(C.sync_start(this._token, given.bytes, given.length, block.out, block.err), block);
      const sync = new Sync(block.handle, this, () => syncing.delete(this));
      this.#sync = sync;
      syncing.add(this);
      return sync;
    });
  }

  /** Makes a link for a new device. */
  async pairOffer(relay, { signal } = {}) {
    signal?.throwIfAborted();
    const given = optionalText(relay, 'a URL');
    const started = this._inPool('pair_offer_start', (block) => [this._token, given.bytes, given.length, block.out, block.err],
      (block) => new PairOffer(block.handle, this));
    return abortable(signal, started, (offer) => offer.close());
  }
}

async function start(name, dir, key, options = {}) {
  const { signal } = options;
  signal?.throwIfAborted();
  // A provider runs on this thread anyway. A thread of the pool that asks it would wait for ever if the process were told to
  // exit now, and the process for that thread.
  if (key._hasProvider) return startSync(name, dir, key, options);
  const folder = directory(dir);
  const block = new Block();
  const args = [folder.bytes, folder.length, key._token, deviceOptions(block, options), block.out, block.err];
  return abortable(signal, callAsync(C[name], args, block, () => new Device(block.handle, key, options)),
    (device) => device.close());
}

function startSync(name, dir, key, options = {}) {
  const folder = directory(dir);
  return withBlock((block) => {
    const config = deviceOptions(block, options);
    check(C[name](folder.bytes, folder.length, key._token, config, block.out, block.err), block);
    return new Device(block.handle, key, options);
  });
}

function directory(dir) {
  const path = dir instanceof URL ? fileURLToPath(dir) : dir;
  const given = text(path, 'a folder');
  if (given.length === 0) throw new TypeError('a folder must be given');
  return given;
}

function deviceOptions(block, options = {}) {
  const { name, cacheBytes = 0 } = options;
  const given = optionalText(name);
  // The struct only has the address: the block keeps the text alive.
  block.kept = given.bytes;
  return block.putStruct(DeviceOptions, {
    cache_bytes: cacheBytes, device_name: given.bytes && address(given.bytes), device_name_len: given.length,
    write_wait_ms: writeWait(options),
  });
}

/** To the library, 0 would be no limit: a mistake of this thread could then take one of the pool for good. */
function writeWait({ writeWaitMs = WRITE_WAIT_MS } = {}) {
  if (writeWaitMs === 0) throw new TypeError('writeWaitMs must be more than 0');
  return milliseconds(writeWaitMs, 'writeWaitMs');
}

function closeForgotten(token) {
  callInPool('device_close', (block) => [token, block.err]).catch(() => {}).finally(() => open.delete(token));
}

/** On this thread, but where that could wait for a thread that waits for this one: Node waits for what is in the pool. */
function closeAll() {
  for (const [token, device] of open) {
    if (device.deref()?._mayBeAsking) closeForgotten(token);
    else C.device_close(token, null);
  }
}
