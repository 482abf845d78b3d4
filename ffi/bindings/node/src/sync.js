// Syncing with a relay, in the background.

import { C, SyncStatus } from './native.js';
import { callAsync, check, withBlock } from './errors.js';
import { SYNC_STATES, listen } from './events.js';
import { Handle, closeQuietly } from './handle.js';
import { readSyncVaults } from './lists.js';
import { Waits } from './wait.js';

export const stopSync = closeQuietly('sync_stop');
const FAILURES = ['none', 'noSocket', 'noAddress', 'unreachable', 'wrongKey', 'lost', 'link', 'peer', 'store', 'other'];
const IDLE_MS = 30_000;

export class Sync extends Handle {
  device;
  #waits = new Waits();
  #ended;

  /** @internal */
  constructor(token, device, ended) {
    super(token, 'sync', stopSync);
    this.device = device;
    this.#ended = ended;
  }

  status() {
    return withBlock((block) => {
      check(C.sync_status_of(this._token, block.putStruct(SyncStatus), block.err), block);
      const status = block.takeStruct(SyncStatus);
      return {
        state: SYNC_STATES[status.state] ?? 'unknown', refused: status.refused, failure: FAILURES[status.failure] ?? 'other',
        segmentsDone: Number(status.segments_done), segmentsKnown: Number(status.segments_known),
        bytesDone: Number(status.bytes_done), bytesKnown: Number(status.bytes_known),
        clockAheadMs: Number(status.clock_ahead_ms), heldUntilMs: Number(status.held_until_ms),
      };
    });
  }

  /** The state and why, for people. */
  reason() {
    return withBlock((block) => {
      check(C.sync_reason(this._token, block.buf, block.err), block);
      return block.takeText();
    });
  }

  /** The vaults with which not all is well at the relay. */
  vaults() {
    return withBlock((block) => {
      check(C.sync_vaults(this._token, block.out, block.err), block);
      return readSyncVaults(block.handle);
    });
  }

  /** Until everything is here and there. NO_PROGRESS after `idleMs` without a step. */
  async wait({ idleMs = IDLE_MS, signal } = {}) {
    signal?.throwIfAborted();
    this.#waits.assertGoing();
    // All slices are about this moment, so that the relay is asked once, however long its answer takes.
    const moment = withBlock((block) => {
      check(C.sync_moment(this._token, block.out, block.err), block);
      return block.handle;
    });
    try {
      await this.#waits.withIdle(
        (slice, cancel, block) => callAsync(C.moment_wait, [moment, slice, cancel, block.err], block), { idleMs, signal });
    } finally {
      C.moment_close(moment);
    }
  }

  /** What happens from now on, until it is stopped. */
  events(options) {
    return listen(this, (queue, tag, err) => C.events_add_sync(queue, this._token, tag, err), options);
  }

  /** Ends it, and what waits for it. */
  async stop() {
    const token = this._release();
    if (token === 0n) return;
    this.#waits.end('SYNC_STOPPED');
    try {
      await this.device._inPool('sync_stop', (block) => [token, block.err]);
    } finally {
      this.#ended();
    }
  }

  close() { return this.stop(); }

  [Symbol.dispose]() { this.stop().catch(() => {}); }
  [Symbol.asyncDispose]() { return this.stop(); }

  /** For the device, which is about to be closed: the handle, to be closed after it. @internal */
  _detach() {
    this.#waits.end('CLOSED');
    this.#ended();
    return this._release();
  }
}
