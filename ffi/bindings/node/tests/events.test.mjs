// Watching: async iteration, abort signals, and iterators that nobody finishes.

import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { test } from 'node:test';
import { Device, logs } from '../src/index.js';
import { sourceCount } from '../src/events.js';
import { fresh, named, runModule, folder, untilCollected } from './helpers.mjs';

test('changes come in order, also those from before the first next', async (t) => {
  const { notes } = await fresh(t);
  const changes = notes.watch();
  const id = notes.insert({ n: 1 });
  notes.put(id, { n: 2 });
  setImmediate(() => notes.delete(id));
  const seen = [];
  for await (const change of changes) {
    seen.push(change);
    if (change.kind === 'removed') break;
  }
  assert.deepEqual(seen, ['inserted', 'updated', 'removed'].map((kind) => ({ kind, collection: 'notes', id })));
  assert.deepEqual(await changes.next(), { value: undefined, done: true });
});

test('a vault is watched as a whole, each iterator for itself', async (t) => {
  const { vault, notes } = await fresh(t);
  const tasks = vault.collection('tasks');
  const [all, some] = [vault.watch(), tasks.watch()];
  notes.insert({});
  tasks.insert({});
  assert.equal((await some.next()).value.collection, 'tasks');
  assert.equal((await all.next()).value.collection, 'notes');
  assert.equal((await all.next()).value.collection, 'tasks');
  assert.equal(all.poll(), undefined);
  all.close();
  notes.insert({});
  tasks.insert({});
  assert.equal(some.poll().kind, 'inserted');
  some.close();
  assert.equal(some.poll(), undefined);
});

test('next may be asked for ahead', async (t) => {
  const { notes } = await fresh(t);
  const changes = notes.watch();
  const both = [changes.next(), changes.next()];
  notes.insert({});
  notes.insert({});
  const ids = (await Promise.all(both)).map(({ value }) => value.id);
  assert.equal(new Set(ids).size, 2);
  const last = changes.next();
  await changes.return();
  assert.deepEqual(await last, { value: undefined, done: true });
});

test('an abort ends the iteration with its reason, at once', async (t) => {
  const { notes } = await fresh(t);
  const controller = new AbortController();
  const waiting = (async () => { for await (const change of notes.watch({ signal: controller.signal })) assert.fail(change.kind); })();
  setImmediate(() => controller.abort());
  await assert.rejects(waiting, { name: 'AbortError' });

  const second = new AbortController();
  const changes = notes.watch({ signal: second.signal });
  notes.insert({});
  second.abort(new RangeError('enough'));
  await assert.rejects(changes.next(), RangeError);
  assert.deepEqual(await changes.next(), { value: undefined, done: true });

  await assert.rejects(notes.watch({ signal: AbortSignal.abort() }).next(), { name: 'AbortError' });
});

test('closing the device ends the iteration', async (t) => {
  const { device, notes } = await fresh(t);
  const seen = [];
  const watching = (async () => { for await (const { kind } of notes.watch()) seen.push(kind); })();
  notes.insert({});
  await device.close();
  await watching;
  assert.deepEqual(seen, ['inserted']);
  assert.throws(() => notes.watch(), named('CLOSED'));
});

test('a slow reader is told that it lags, and holds nobody up', async (t) => {
  const { vault, notes } = await fresh(t);
  const [slow, quick] = [notes.watch(), notes.watch()];
  let count = 0;
  for (let round = 0; round < 5; round += 1) {
    vault.write((tx) => { for (let index = 0; index < 1000; index += 1) notes.insert({}, { tx }); });
    while (quick.poll()) count += 1;
  }
  assert.equal(count, 5000);
  const kinds = [];
  for (let change = slow.poll(); change; change = slow.poll()) kinds.push(change.kind);
  assert.ok(kinds.length < 5000);
  assert.equal(kinds.at(-1), 'lagged');
  assert.equal(kinds.indexOf('lagged'), kinds.length - 1);
  const id = notes.insert({});
  assert.equal((await slow.next()).value.id, id);
});

test('a forgotten iterator is removed with the garbage', async (t) => {
  const { notes } = await fresh(t);
  const before = sourceCount();
  (() => { notes.watch(); })();
  assert.equal(sourceCount(), before + 1);
  await untilCollected(() => sourceCount() <= before);
});

test('an iterator whose next is pending is in use', async (t) => {
  const { notes } = await fresh(t);
  const pending = (() => notes.watch().next())();
  const other = (() => new WeakRef(notes.watch()))();
  await untilCollected(() => other.deref() === undefined);
  await new Promise(setImmediate);
  const id = notes.insert({});
  assert.deepEqual(await pending, { value: { kind: 'inserted', collection: 'notes', id }, done: false });
});

const OPEN = `
const device = await subrosa.Device.create(dir, subrosa.Key.generate());
const notes = device.createVault('v').collection('notes');
`;

const inProcess = (t, text) => runModule(OPEN + text, { args: [`${folder(t)}/store`] });

test('a pending next keeps the process alive', async (t) => {
  const ended = await inProcess(t, `
setTimeout(() => notes.insert({}), 300).unref();
for await (const { kind } of notes.watch()) { console.log(kind); break; }`);
  assert.deepEqual([ended.code, ended.out, ended.err], [0, 'inserted\n', '']);
});

test('an iterator that nobody waits for does not', async (t) => {
  const ended = await inProcess(t, `
const changes = notes.watch();
const once = changes.next();
notes.insert({});
console.log((await once).value.kind);
notes.insert({});
globalThis.kept = changes;`);
  assert.deepEqual([ended.code, ended.out, ended.err], [0, 'inserted\n', '']);
});

test('an abort lets the process end', async (t) => {
  const ended = await inProcess(t, `
const controller = new AbortController();
setImmediate(() => controller.abort());
try { for await (const _ of notes.watch({ signal: controller.signal })); } catch (error) { console.log(error.name); }`);
  assert.deepEqual([ended.code, ended.out, ended.err], [0, 'AbortError\n', '']);
});

test('process.exit with a live watch ends the process at once', async (t) => {
  const ended = await inProcess(t, `
(async () => { for await (const _ of notes.watch()); })();
(async () => { for await (const _ of notes.vault.watch()); })();
notes.insertAsync({}).then(() => {
  process.exit(3);
});`);
  assert.deepEqual([ended.code, ended.signal, ended.err], [3, null, '']);
});

test('an error that nobody caught ends the process with a live watch', async (t) => {
  const ended = await inProcess(t, `
(async () => { for await (const _ of notes.watch()) throw new Error('not caught'); })();
notes.insert({});`);
  assert.deepEqual([ended.code, ended.signal], [1, null]);
  assert.match(ended.err, /not caught/);
});

test('a worker that is terminated with a live watch ends', async (t) => {
  const ended = await runModule(`
import { Worker } from 'node:worker_threads';
const worker = new Worker(\`
import * as subrosa from '\${'${new URL('../src/index.js', import.meta.url)}'}';
import { parentPort, workerData } from 'node:worker_threads';
const device = await subrosa.Device.create(workerData, subrosa.Key.generate());
const notes = device.createVault('v').collection('notes');
setImmediate(() => parentPort.postMessage('watching'));
for await (const _ of notes.watch());
\`, { eval: true, workerData: dir });
worker.on('message', async () => console.log(await worker.terminate()));`, { args: [`${folder(t)}/store`] });
  assert.deepEqual([ended.code, ended.out, ended.err], [0, '1\n', '']);
});

test('the log is followed by its level', async (t) => {
  const { dir, key, device, notes } = await fresh(t);
  notes.insert({});
  const [all, errors] = [logs(), logs({ level: 'error' })];
  device.closeSync();
  cpSync(dir, `${dir}-copied`, { recursive: true });
  const copy = Device.openSync(`${dir}-copied`, key);
  copy.closeSync();
  for (let said = ''; !said.includes('is open');) {
    const { value } = await all.next();
    assert.deepEqual([value.kind, value.level], ['message', 'info']);
    said = value.message;
  }
  assert.equal(errors.poll(), undefined);
  const last = all.next();
  all.close();
  assert.deepEqual(await last, { value: undefined, done: true });
  errors.close();
  assert.throws(() => logs({ level: 'loud' }), RangeError);
});
