// Events as async iterators. One queue of the library feeds them all, and one call at a time pulls it, on a thread of libuv's
// pool, only while some iterator is waited for. So an idle `for await` keeps the process alive, as other pending promises on
// I/O do, and an iterator that nobody waits for does not.

import { Block, C, Event, textAt } from './native.js';
import { callAsync, check, failure, withBlock } from './errors.js';
import { hex, idText } from './bytes.js';
import { Cancel } from './wait.js';

const SLICE_MS = 1000;
/** Events that an iterator keeps while its consumer is busy; then it says `lagged` once and drops. */
const ITEMS_MAX = 4096;
/** Events that are taken before other work on this thread gets its turn. */
const BURST = 512;
const CANCELLED = 9;

const KIND = { NONE: 0, RECORD: 1, LAGGED: 2, SYNC_STATE: 3, CAUGHT_UP: 4, SYNCED: 5, REFUSED: 6, DISAGREES: 7, OVER: 8, LOG: 9, UPDATE_NEEDED: 10, DISPUTED: 11, CLOCK: 12, HELD: 13, FORKED: 14 };
const CHANGES = ['unknown', 'inserted', 'updated', 'removed'];
/** By their number. */
const LEVELS = ['off', 'error', 'warn', 'info', 'debug', 'trace'];
export const SYNC_STATES = ['unknown', 'offline', 'connecting', 'syncing', 'live', 'refused', 'suspended'];

const sinks = new Map();
const abandoned = new FinalizationRegistry((sink) => sink.end());
let queue = 0n;
let nextTag = 1;
let waiters = 0;
let pulling = null;

/** What one source delivered and nobody has taken yet. Knows nothing of the iterator in front of it, which may be dropped. */
class Sink {
  constructor(signal) {
    this.tag = nextTag;
    nextTag += 1;
    this.items = [];
    this.waiting = [];
    this.error = null;
    this.isOver = false;
    this.signal = signal;
    this.abort = () => this.end(signal.reason);
  }

  push(item) {
    const waiter = this.waiting.shift();
    if (waiter) {
      waiters -= 1;
      waiter.resolve({ value: item, done: false });
    } else if (this.items.length < ITEMS_MAX) {
      this.items.push(item);
    } else if (this.items.at(-1).kind !== 'lagged') {
      this.items.push({ kind: 'lagged' });
    }
  }

  /** `owner` is the iterator, which is in use for as long as its `next` waits. */
  next(owner) {
    if (this.items.length > 0) return Promise.resolve({ value: this.items.shift(), done: false });
    if (this.error) {
      const { reason } = this.error;
      this.error = null;
      return Promise.reject(reason);
    }
    if (this.isOver) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve, reject) => {
      this.waiting.push({ owner, resolve, reject });
      waiters += 1;
      pull();
    });
  }

  /** With a reason, what is waiting or comes next rejects with it. Without one, what was delivered can still be taken. */
  end(...reason) {
    if (this.isOver) return;
    this.isOver = true;
    this.signal?.removeEventListener('abort', this.abort);
    sinks.delete(this.tag);
    C.events_remove(queue, this.tag, null);
    if (reason.length > 0) this.items.length = 0;
    const waiting = this.waiting.splice(0);
    waiters -= waiting.length;
    if (reason.length > 0 && waiting.length === 0) this.error = { reason: reason[0] };
    for (const waiter of waiting) {
      if (reason.length > 0) waiter.reject(reason[0]);
      else waiter.resolve({ value: undefined, done: true });
    }
    if (waiters === 0) pulling?.fire();
  }
}

/** An async iterator over events. Ends when its source does; `source` is kept open by being reachable from here. */
class Events {
  #sink;
  #source;

  constructor(sink, source) {
    this.#sink = sink;
    this.#source = source;
    abandoned.register(this, sink, this);
  }

  next() { return this.#sink.next(this); }

  /** What has happened already, without waiting; undefined if nothing has. */
  poll() {
    if (this.#sink.items.length === 0 && !pulling && queue !== 0n) withBlock(drain);
    return this.#sink.items.shift();
  }

  return() {
    this.close();
    return Promise.resolve({ value: undefined, done: true });
  }

  close() {
    abandoned.unregister(this);
    this.#source = null;
    this.#sink.end();
    this.#sink.items.length = 0;
  }

  [Symbol.asyncIterator]() { return this; }
  [Symbol.dispose]() { this.close(); }
  [Symbol.asyncDispose]() { return this.return().then(() => {}); }
}

/** Events of `source` from now on; `add(queue, tag, err)` is the library's call that registers it. */
export function listen(source, add, { signal } = {}) {
  const sink = new Sink(signal);
  if (signal?.aborted) {
    sink.isOver = true;
    sink.error = { reason: signal.reason };
    return new Events(sink, source);
  }
  withBlock((block) => {
    if (queue === 0n) {
      check(C.events_new(block.out, block.err), block);
      queue = block.handle;
    }
    sinks.set(sink.tag, sink);
    const status = add(queue, sink.tag, block.err);
    if (status !== 0) {
      sinks.delete(sink.tag);
      throw failure(status, block);
    }
  });
  signal?.addEventListener('abort', sink.abort, { once: true });
  return new Events(sink, source);
}

/** What the library has to say from now on, of the whole process, up to `level`. Never ends by itself. */
export function logs({ level = 'info', signal } = {}) {
  const number = LEVELS.indexOf(level);
  if (number < 1) throw new RangeError(`level is one of ${LEVELS.slice(1).join(', ')}`);
  return listen(null, (into, tag, err) => C.events_add_log(into, number, tag, err), { signal });
}

async function pull() {
  if (pulling) return;
  const block = new Block();
  try {
    while (waiters > 0) {
      pulling = new Cancel();
      try {
        await pullOnce(block, pulling.token);
      } finally {
        pulling.close();
      }
    }
  } catch (error) {
    for (const sink of [...sinks.values()]) sink.end(error);
  } finally {
    pulling = null;
  }
}

async function pullOnce(block, cancel) {
  try {
    const out = block.putStruct(Event);
    await callAsync(C.events_wait, [queue, SLICE_MS, cancel, out, block.err], block);
  } catch (error) {
    if (error.code === CANCELLED) return;
    throw error;
  }
  if (deliver(block)) drain(block);
}

/** Hands on what is there. */
function drain(block) {
  let count = 0;
  do {
    check(C.events_wait(queue, 0, null, block.putStruct(Event), block.err), block);
    count += 1;
  } while (deliver(block) && count < BURST);
}

/** Hands the event in `block` on; false if there is none. */
function deliver(block) {
  const event = block.takeStruct(Event);
  if (event.kind === KIND.NONE) return false;
  const text = event.text.len ? textAt(event.text.data, Number(event.text.len)) : '';
  C.event_free(block.area);
  const sink = sinks.get(Number(event.tag));
  if (!sink) return true;
  if (event.kind === KIND.OVER) sink.end();
  else sink.push(item(event, text));
  return true;
}

function item(event, text) {
  const vault = () => hex(event.vault);
  switch (event.kind) {
    case KIND.RECORD: return { kind: CHANGES[event.detail] ?? 'unknown', collection: text, id: idText(event.record) };
    case KIND.LAGGED: return { kind: 'lagged' };
    case KIND.SYNC_STATE: return { kind: 'state', state: SYNC_STATES[event.detail] ?? 'unknown' };
    case KIND.CAUGHT_UP: return { kind: 'caughtUp', vault: vault() };
    case KIND.SYNCED: return { kind: 'synced', vault: vault() };
    case KIND.REFUSED: return { kind: 'refused', vault: vault(), code: event.detail, retryMs: Number(event.number) };
    case KIND.DISAGREES: return { kind: 'disagrees', vault: vault() };
    case KIND.UPDATE_NEEDED: return { kind: 'update-needed', vault: vault() };
    case KIND.DISPUTED: return { kind: 'disputed', vault: vault() };
    case KIND.FORKED: return { kind: 'forked', vault: vault() };
    case KIND.CLOCK: return { kind: 'clock', aheadMs: Number(event.number) };
    case KIND.HELD: return { kind: 'held', untilMs: Number(event.number) };
    case KIND.LOG: return { kind: 'message', level: LEVELS[event.detail] ?? 'unknown', message: text };
    default: return { kind: 'unknown' };
  }
}

/** How many sources feed iterators, for tests. */
export function sourceCount() { return sinks.size; }
