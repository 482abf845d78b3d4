// Vaults and transactions.

import { C } from './native.js';
import { check, refusal, withBlock } from './errors.js';
import { hex, optionalText, text } from './bytes.js';
import { Collection } from './collection.js';
import { listen } from './events.js';
import { Handle } from './handle.js';
import { listText, readDevices, readForks, readHeld, readList } from './lists.js';
import { callInPool, milliseconds } from './wait.js';

const MODES = { read: 1, write: 2 };
/** How long a write transaction waits for another writer, if not told. */
const BEGIN_MS = 5000;
/** The wait of a queued one, which holds no thread of its own. */
const BEGIN_ASYNC_MS = 30_000;

export class Vault extends Handle {
  /** The device that the vault belongs to, which stays open while the vault is in use. */
  device;

  /** @internal */
  constructor(token, device) {
    super(token, 'vault', C.vault_close);
    this.device = device;
  }

  /** 64 hexadecimal digits. */
  get id() {
    return withBlock((block) => {
      check(C.vault_id_of(this._token, block.area, block.err), block);
      return hex(block.copy(block.area, 32));
    });
  }

  get name() {
    return withBlock((block) => {
      check(C.vault_name(this._token, block.buf, block.err), block);
      return block.takeText();
    });
  }

  /** A collection by its name; it need not exist yet. */
  collection(name, options) {
    const given = text(name);
    return withBlock((block) => {
      check(C.collection_open(this._token, given.bytes, given.length, block.out, block.err), block);
      return new Collection(block.handle, this, name, options);
    });
  }

  collections() {
    return withBlock((block) => {
      check(C.vault_collections(this._token, block.out, block.err), block);
      return readList(block.handle, listText);
    });
  }

  devices() {
    return withBlock((block) => {
      check(C.vault_devices(this._token, block.out, block.err), block);
      return readDevices(block.handle);
    });
  }

  /** The devices whose stores were copied or put back from a backup, and went on twice. All of it is kept and merged. */
  forks() {
    return withBlock((block) => {
      check(C.vault_forks(this._token, block.out, block.err), block);
      return readForks(block.handle);
    });
  }

  /** What is held because it was made more than five minutes ahead of this device's clock. */
  held() {
    return withBlock((block) => {
      check(C.vault_held(this._token, block.out, block.flag, block.err), block);
      return { devices: readHeld(block.handle), clockIsLate: block.isFlag };
    });
  }

  /** Whether nothing is sent before the application is updated. */
  get isUpdateNeeded() {
    return withBlock((block) => {
      check(C.vault_is_update_needed(this._token, block.flag, block.err), block);
      return block.isFlag;
    });
  }

  /** How much waits for sealing: records with edits that no segment holds yet, and parts of bulk writes. */
  pending() {
    return withBlock((block) => {
      check(C.vault_pending(this._token, block.out, block.err), block);
      return block.number;
    });
  }

  /** How many sealed segments are held here, and how many of them the relay is known to hold durably. */
  delivery(relay) {
    const given = optionalText(relay, 'a URL');
    return withBlock((block) => {
      check(C.vault_delivery(this._token, given.bytes, given.length, block.out, block.out2, block.err), block);
      return { held: block.number, acknowledged: block.number2 };
    });
  }

  /** A transaction to be ended by hand. `write` and `read` are safer. */
  begin(mode, { timeoutMs = BEGIN_MS } = {}) {
    const number = modeNumber(mode);
    const writes = mode === 'write' ? this.device._writes : undefined;
    writes?.assertFree();
    return withBlock((block) => {
      check(C.tx_begin(this._token, number, milliseconds(timeoutMs, 'timeoutMs'), block.out, block.err), block);
      return new Transaction(block.handle, this, writes);
    });
  }

  /** Runs `work` in a write transaction: commits what it did, or nothing if it throws. */
  write(work, options) { return this.#within('write', work, options); }

  /** Runs `work` on a snapshot. */
  read(work, options) { return this.#within('read', work, options); }

  #within(mode, work, options) {
    const tx = this.begin(mode, options);
    try {
      const result = work(tx);
      if (typeof result?.then === 'function') {
        // It goes on, without the transaction, and nobody will hear of its failure.
        Promise.resolve(result).catch(() => {});
        throw new TypeError(`${mode} takes a function that is not async`);
      }
      tx.commit();
      return result;
    } finally {
      tx.close();
    }
  }

  /**
   * As `write`, with a function that may be async; beginning and committing are off this thread. Writes of this process
   * without the transaction wait meanwhile, so `work` must not await one.
   */
  async writeAsync(work, { timeoutMs = BEGIN_ASYNC_MS, signal } = {}) {
    const timeout = milliseconds(timeoutMs, 'timeoutMs');
    const writes = this.device._writes;
    return writes.run(async () => {
      // Before the other thread begins it: from then on, a write on this thread would wait for what only this thread ends.
      writes.hold();
      try {
        return await this.#withinAsync(work, timeout, signal);
      } finally {
        writes.release();
      }
    }, { signal, waitMs: timeout });
  }

  async #withinAsync(work, timeout, signal) {
    const tx = await callInPool('tx_begin', (block) => [this._token, MODES.write, timeout, block.out, block.err],
      (block) => new Transaction(block.handle, this));
    try {
      signal?.throwIfAborted();
      const result = await work(tx);
      signal?.throwIfAborted();
      await tx.commitAsync();
      return result;
    } finally {
      tx.close();
    }
  }

  /** Changes to any collection, from now on. */
  watch(options) {
    return listen(this, (queue, tag, err) => C.events_add_vault(queue, this._token, tag, err), options);
  }
}

/** A snapshot, or a set of changes that become visible together. Without a commit there are none. */
export class Transaction extends Handle {
  vault;
  #writes;

  /** `writes` is the queue that it holds until it is over, if it does. @internal */
  constructor(token, vault, writes) {
    super(token, 'transaction', aborter(writes));
    this.vault = vault;
    this.#writes = writes;
    writes?.hold();
  }

  /** @internal */
  get _token() {
    if (this.isClosed) throw refusal('TX_OVER', 'this transaction is over');
    return super._token;
  }

  /** Ends the transaction whether it succeeds or not. */
  commit() {
    const token = this.#end();
    try {
      withBlock((block) => check(C.tx_commit(token, block.err), block));
    } finally {
      this.#writes?.release();
    }
  }

  async commitAsync() {
    const token = this.#end();
    try {
      await this.vault.device._inPool('tx_commit', (block) => [token, block.err]);
    } finally {
      this.#writes?.release();
    }
  }

  /** The same as `close`. */
  abort() { this.close(); }

  #end() {
    const token = this._token;
    this._release();
    return token;
  }
}

/** Made here, and not in the constructor, so that it cannot refer to the transaction, which may be dropped. */
function aborter(writes) {
  return (token) => {
    C.tx_abort(token);
    writes?.release();
  };
}

function modeNumber(mode) {
  const number = MODES[mode];
  if (number === undefined) throw new TypeError('mode must be read or write');
  return number;
}
