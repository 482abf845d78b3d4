// Calls that wait: on threads of libuv's pool, ended by an AbortSignal, and never all of the pool at once.
//
// The pool has four threads, which files and DNS need too, and a wait may depend on a call that still queues for a thread.
// So waits run in slices, at most `SLOTS` at a time, and take turns.

import { isMainThread } from 'node:worker_threads';

import { Block, C, endProcess } from './native.js';
import { SubrosaError, callAsync, check, refusal, withBlock } from './errors.js';

const SLOTS = 2;
const SLICE_MS = 1000;
/** While others wait for a turn. */
const SHORT_SLICE_MS = 100;
const TIMEOUT_MAX_MS = 2 ** 31 - 1;

const CANCELLED = 9;
const TIMEOUT = 10;
const NO_PROGRESS = 502;

const running = new Set();
const queue = [];
let free = SLOTS;

let asking = 0;

// A thread of the pool that waits in the library would hold up the end of the process.
process.on('exit', (code) => {
  for (const token of running) token.fire();
  // One that asks a key provider waits for this thread, which answers nobody any more. In a worker that would end all others.
  if (isMainThread && asking > 0) endProcess(code);
});

/** `call` in the pool, which may ask a provider if there is one. */
export async function mayAsk(hasProvider, call) {
  asking += hasProvider ? 1 : 0;
  try {
    return await call();
  } finally {
    asking -= hasProvider ? 1 : 0;
  }
}

/** A cancel token of the library. */
export class Cancel {
  constructor() {
    this.token = withBlock((block) => {
      check(C.cancel_new(block.out, block.err), block);
      return block.handle;
    });
    running.add(this);
  }

  fire() {
    if (this.token !== 0n) C.cancel_fire(this.token, null);
  }

  close() {
    running.delete(this);
    const token = this.token;
    this.token = 0n;
    C.cancel_close(token);
  }
}

/** True when it is this one's turn; false when it has left the queue. */
function acquire(turn) {
  if (free > 0) {
    free -= 1;
    return Promise.resolve(true);
  }
  return new Promise((resolve) => {
    turn.give = resolve;
    queue.push(turn);
  });
}

function release() {
  const next = queue.shift();
  if (next) next.give(true);
  else free += 1;
}

function leave(turn) {
  const index = queue.indexOf(turn);
  if (index < 0) return;
  queue.splice(index, 1);
  turn.give(false);
}

function sliceLimit() { return queue.length > 0 ? SHORT_SLICE_MS : SLICE_MS; }

/** Waits of one handle, so that its `close` can end them. */
export class Waits {
  #stops = new Set();
  #over = null;

  /** Ends all waits; they reject with the error of that name, and so do later ones. */
  end(name) {
    this.#over ??= name;
    for (const stop of this.#stops) stop();
  }

  /** Refuses once they were ended. */
  assertGoing() {
    if (this.#over) throw refusal(this.#over, 'ended while waiting');
  }

  /**
   * Waits with `start(timeout, cancel, block)`, which answers TIMEOUT at the end of a slice, until it has a result.
   * Rejects with the signal's reason when that aborts.
   */
  async withTimeout(start, { signal, timeoutMs } = {}) {
    const end = timeoutMs === undefined ? Infinity : performance.now() + milliseconds(timeoutMs, 'timeoutMs');
    return this.#inSlices(signal, async (cancel) => {
      const slice = Math.ceil(Math.max(0, Math.min(sliceLimit(), end - performance.now())));
      try {
        return { value: await start(slice, cancel, new Block()) };
      } catch (error) {
        if (error?.code !== TIMEOUT || performance.now() >= end) throw error;
        return null;
      }
    });
  }

  /** As `withTimeout`, for a call that answers NO_PROGRESS after a time without any. */
  async withIdle(start, { signal, idleMs } = {}) {
    const limit = idleMs === undefined ? Infinity : milliseconds(idleMs, 'idleMs');
    let idle = 0;
    return this.#inSlices(signal, async (cancel) => {
      const slice = Math.min(sliceLimit(), limit - idle);
      const began = performance.now();
      try {
        return { value: await start(slice, cancel, new Block()) };
      } catch (error) {
        if (error?.code !== NO_PROGRESS) throw error;
        // A call that took clearly longer than its idle time has seen a step.
        idle = performance.now() - began > slice + SLICE_MS / 4 ? slice : idle + slice;
        if (idle >= limit) throw error;
        return null;
      }
    });
  }

  async #inSlices(signal, step) {
    signal?.throwIfAborted();
    const cancel = new Cancel();
    const turn = { give: null };
    const stop = () => {
      cancel.fire();
      leave(turn);
    };
    this.#stops.add(stop);
    signal?.addEventListener('abort', stop, { once: true });
    try {
      for (;;) {
        const hasTurn = await acquire(turn);
        try {
          signal?.throwIfAborted();
          this.assertGoing();
          const done = await step(cancel.token);
          if (done) return done.value;
        } finally {
          if (hasTurn) release();
        }
      }
    } catch (error) {
      // What the library says then depends on which of two calls came first.
      if (this.#over && error instanceof SubrosaError) throw refusal(this.#over, 'ended while waiting');
      if (error?.code === CANCELLED) signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener('abort', stop);
      this.#stops.delete(stop);
      cancel.close();
    }
  }
}

/** A call that cannot be cancelled: the signal ends the waiting for it, and `discard` gets a result that comes too late. */
export function abortable(signal, promise, discard = () => {}) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    let isAborted = false;
    const abort = () => {
      isAborted = true;
      reject(signal.reason);
    };
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    promise.then((value) => (isAborted ? discard(value) : resolve(value)))
      .catch(reject)
      .finally(() => signal.removeEventListener('abort', abort));
  });
}

export function milliseconds(value, what) {
  if (typeof value !== 'number' || !(value >= 0)) throw new TypeError(`${what} must be a number of milliseconds`);
  return Math.min(Math.ceil(value), TIMEOUT_MAX_MS);
}

/** `callAsync` with a block that is made here. */
export function callInPool(name, args, result) {
  const block = new Block();
  return callAsync(C[name], args(block), block, result);
}
