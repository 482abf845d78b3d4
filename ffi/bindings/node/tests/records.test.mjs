// Records, transactions, and asynchronous writes.

import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { test } from 'node:test';
import { Float, Key, Session, idFromName } from '../src/index.js';
import { callInPool } from '../src/wait.js';
import { folder, fresh, named, runModule, untilCollected } from './helpers.mjs';

/** For `assert.throws` and `assert.rejects`: BUSY, and whether it may pass by itself. */
const busy = (retryable) => ({ name: 'BUSY', retryable });

/** Begins a transaction with `writeAsync` that is open until its `end` is called. */
async function openedAsync(vault) {
  let end;
  let over;
  await new Promise((begun) => {
    over = vault.writeAsync(() => new Promise((resolve) => {
      end = resolve;
      begun();
    }));
  });
  return { end, over };
}

test('what was written is read, kind by kind', async (t) => {
  const { notes } = await fresh(t);
  const record = {
    text: 'Grüße 🌹 \0', whole: 5, big: 2n ** 63n - 1n, fraction: 0.1, none: null, yes: true,
    raw: new Uint8Array([0, 255]), list: [1, [], {}], map: { a: { b: 'c' } }, odd: { $bytes: 'no' },
  };
  const id = notes.insert({ ...record, skipped: undefined });
  assert.match(id, /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/);
  assert.deepEqual(notes.get(id), record);
  assert.deepEqual(notes.get(id.toUpperCase()), record);
});

test('put, replace and delete', async (t) => {
  const { notes } = await fresh(t);
  const id = idFromName('today');
  assert.equal(notes.get(id), undefined);
  notes.put(id, { title: 'a', done: false });
  notes.put(id, { done: true });
  assert.deepEqual(notes.get(id), { title: 'a', done: true });
  notes.replace(id, { title: 'b' });
  assert.deepEqual(notes.get(id), { title: 'b' });
  assert.equal(notes.delete(id), true);
  assert.equal(notes.delete(id), false);
  assert.equal(notes.count(), 0);
});

test('floats keep their kind when they are wrapped', async (t) => {
  const { vault, notes } = await fresh(t);
  const exact = vault.collection('notes', { floats: 'wrap', integers: 'bigint' });
  const id = notes.insert({ f: new Float(1), i: 1 });
  assert.equal(notes.getJson(id), '{"f":1.0,"i":1}');
  assert.deepEqual(notes.get(id), { f: 1, i: 1 });
  assert.deepEqual(exact.get(id), { f: new Float(1), i: 1n });
  exact.replace(id, exact.get(id));
  assert.equal(notes.getJson(id), '{"f":1.0,"i":1}');
});

test('a transaction commits together, or not at all', async (t) => {
  const { vault, notes } = await fresh(t);
  const id = vault.write((tx) => {
    const made = notes.insert({ n: 1 }, { tx });
    assert.deepEqual(notes.get(made, { tx }), { n: 1 });
    assert.equal(notes.get(made), undefined);
    return made;
  });
  assert.deepEqual(notes.get(id), { n: 1 });
  const thrown = new Error('changed my mind');
  assert.throws(() => vault.write((tx) => {
    notes.delete(id, { tx });
    throw thrown;
  }), (error) => error === thrown);
  assert.equal(notes.count(), 1);
  assert.throws(() => vault.read((tx) => notes.delete(id, { tx })), named('READ_ONLY'));
  assert.throws(() => vault.write(async () => {}), TypeError);
  assert.throws(() => vault.begin('both'), TypeError);
  const tx = vault.begin('write');
  assert.throws(() => vault.begin('write', { timeoutMs: 0 }), busy(false));
  tx.commit();
  for (const late of [() => tx.commit(), () => notes.insert({}, { tx })]) assert.throws(late, named('TX_OVER'));
  tx.close();
});

test('asynchronous writes wait for each other and not for a thread', async (t) => {
  const { dir, notes } = await fresh(t);
  const writes = Array.from({ length: 100 }, (_, n) => notes.insertAsync({ n }));
  await stat(dir);
  const ids = await Promise.all(writes);
  assert.deepEqual(ids.map((id) => notes.get(id).n), Array.from({ length: 100 }, (_, n) => n));
  await notes.putAsync(ids[0], { done: true });
  await notes.replaceAsync(ids[1], { only: 1 });
  assert.equal(await notes.deleteAsync(ids[2]), true);
  assert.equal(await notes.deleteAsync(ids[2]), false);
  assert.deepEqual(ids.slice(0, 3).map((id) => notes.get(id)), [{ n: 0, done: true }, { only: 1 }, undefined]);
  await assert.rejects(notes.insertAsync({ a: NaN }), named('NOT_FINITE'));
});

test('an asynchronous transaction may await; other writes queue behind it', async (t) => {
  const { dir, vault, notes } = await fresh(t);
  const order = [];
  const first = vault.writeAsync(async (tx) => {
    const id = await notes.insertAsync({ by: 'tx' }, { tx });
    await stat(dir);
    assert.throws(() => notes.insert({ by: 'nobody' }), named('BUSY'));
    assert.equal(notes.count(), 0);
    order.push('tx');
    return id;
  });
  const second = notes.insertAsync({ by: 'queue' }).then(() => order.push('queue'));
  const id = await first;
  await second;
  assert.deepEqual(order, ['tx', 'queue']);
  assert.deepEqual(notes.get(id), { by: 'tx' });
  await assert.rejects(vault.writeAsync((tx) => {
    notes.insert({}, { tx });
    throw new RangeError('no');
  }), RangeError);
  const controller = new AbortController();
  await assert.rejects(vault.writeAsync((tx) => {
    notes.insert({}, { tx });
    controller.abort();
  }, { signal: controller.signal }), { name: 'AbortError' });
  assert.equal(notes.count(), 2);
  notes.insert({});
});

test('what would wait on this thread for a transaction of this thread is refused', async (t) => {
  const { device, vault, notes } = await fresh(t);
  const refused = () => {
    for (const write of [
      () => notes.insert({}), () => vault.begin('write'), () => device.createVault('other'), () => device.setRelay(''),
    ]) assert.throws(write, busy(false));
  };
  const tx = vault.begin('write');
  refused();
  tx.abort();
  // Another thread has not begun it yet, or has just done so.
  const writing = vault.writeAsync(() => refused());
  refused();
  await writing;
  device.createVault('other');
  notes.insert({});
});

test('an asynchronous write waits for one transaction as long as it is told, and each for itself', async (t) => {
  const { vault, notes } = await fresh(t, undefined, { writeWaitMs: 20 });
  const waited = async () => {
    await assert.rejects(notes.insertAsync({}), busy(true));
    await assert.rejects(notes.insertAsync({}), busy(true));
    await assert.rejects(vault.writeAsync(() => assert.fail(), { timeoutMs: 1 }), busy(true));
  };
  const id = await vault.writeAsync(async (tx) => {
    await waited();
    return notes.insert({ by: 'tx' }, { tx });
  });
  const tx = vault.begin('write');
  await waited();
  const patient = vault.writeAsync((inner) => notes.insert({ by: 'the last' }, { tx: inner }));
  notes.put(id, { by: 'hand' }, { tx });
  await tx.commitAsync();
  assert.deepEqual(notes.get(await patient), { by: 'the last' });
  assert.deepEqual(notes.get(id), { by: 'hand' });
  assert.equal(notes.count(), 2);
});

test('a thread that has come before a transaction waits for it no longer, either', async (t) => {
  const { vault, notes } = await fresh(t, undefined, { writeWaitMs: 20 });
  const tx = vault.begin('write');
  const inPool = callInPool('insert_json', (block) => [notes._token, null, '{}', 2, block.id, block.err]);
  await assert.rejects(inPool, busy(true));
  tx.commit();
});

test('a process whose transaction waits for itself does not just end', async (t) => {
  const ended = await runModule(`
const device = await subrosa.Device.create(dir, subrosa.Key.generate(), { writeWaitMs: 50 });
const vault = device.createVault('v');
const notes = vault.collection('notes');
try {
  await vault.writeAsync(async () => { await notes.insertAsync({}); });
} catch (error) {
  console.log(error.name);
}`, { args: [`${folder(t)}/store`] });
  assert.deepEqual([ended.code, ended.out, ended.err], [0, 'BUSY\n', '']);
});

test('an abort takes a transaction out of the queue at once', async (t) => {
  const { vault, notes } = await fresh(t);
  const first = await openedAsync(vault);
  const controller = new AbortController();
  const second = vault.writeAsync(() => assert.fail(), { signal: controller.signal });
  const third = notes.insertAsync({});
  controller.abort();
  await assert.rejects(second, { name: 'AbortError' });
  await assert.rejects(vault.writeAsync(() => assert.fail(), { signal: AbortSignal.abort() }), { name: 'AbortError' });
  first.end();
  await first.over;
  assert.deepEqual(notes.get(await third), {});
});

test('a forgotten transaction lets others in when it is collected', async (t) => {
  const { vault, notes } = await fresh(t);
  (() => { vault.begin('write'); })();
  let id;
  notes.insertAsync({}).then((given) => { id = given; });
  await untilCollected(() => id !== undefined);
  assert.equal(notes.count(), 1);
});

test('an async function where none is taken fails nothing but its call', async (t) => {
  const ended = await runModule(`
const device = await subrosa.Device.create(dir, subrosa.Key.generate());
const vault = device.createVault('v');
const notes = vault.collection('notes');
for (const mode of ['write', 'read']) {
  try {
    vault[mode](async (tx) => { await null; notes.insert({}, { tx }); });
  } catch (error) {
    console.log(error.name);
  }
}
await new Promise(setImmediate);
console.log(notes.count());`, { args: [`${folder(t)}/store`] });
  assert.deepEqual([ended.code, ended.out, ended.err], [0, 'TypeError\nTypeError\n0\n', '']);
});

test('reads off this thread, and on it in a transaction', async (t) => {
  const { vault, notes } = await fresh(t);
  const [a, b] = notes.insertMany([{ n: 1 }, { n: 2n ** 62n }]);
  const nobody = idFromName('nobody');
  assert.deepEqual(await notes.getAsync(a), { n: 1 });
  assert.equal(await notes.getAsync(nobody), undefined);
  assert.deepEqual(await notes.getManyAsync([b, nobody, a]), [{ n: 2n ** 62n }, undefined, { n: 1 }]);
  assert.deepEqual(await notes.getManyAsync([]), []);
  assert.equal(await notes.countAsync(), 2);
  await vault.writeAsync(async (tx) => {
    notes.delete(a, { tx });
    const inside = await Promise.all([notes.getAsync(a, { tx }), notes.getManyAsync([a, b], { tx }), notes.countAsync({ tx })]);
    assert.deepEqual(inside, [undefined, [undefined, { n: 2n ** 62n }], 1]);
    assert.equal(await notes.countAsync(), 2);
  });
  await assert.rejects(notes.getAsync('x'), named('NOT_AN_ID'));
});

test('what is not given is not taken for something empty', async (t) => {
  const { device, vault } = await fresh(t);
  const key = Key.generate();
  const session = Session.self(key);
  const signature = key.sign('', '');
  for (const nothing of [undefined, null]) {
    for (const call of [
      () => idFromName(nothing), () => device.setRelay(nothing), () => device.createVault(nothing), () => device.vault(nothing),
      () => vault.collection(nothing), () => key.sign('l', nothing), () => key.sign(nothing, 'm'),
      () => key.public.verify(nothing, '', signature), () => key.public.verify('', nothing, signature),
      () => session.seal(nothing), () => session.open(nothing), () => Key.fromPkcs8(nothing),
    ]) assert.throws(call, TypeError, String(call));
  }
  key.public.verify('', new Uint8Array(0), signature);
  assert.deepEqual(session.open(session.seal('', null), undefined), new Uint8Array(0));
});

test('text with a lone surrogate is refused, not altered', async (t) => {
  const { notes } = await fresh(t);
  const [id, json] = [idFromName('x'), '{"a":"\ud800"}'];
  for (const call of [
    () => notes.insertJson(json), () => notes.putJson(id, json), () => notes.replaceJson(id, json),
    () => notes.writeMany([{ op: 'put', id, json }]),
  ]) assert.throws(call, named('INVALID_UTF8'));
  assert.throws(() => notes.writeMany([{ op: 'put', id, json: 5 }]), TypeError);
  assert.throws(() => notes.insert({ a: '\ud800' }), named('NOT_JSON'));
  assert.equal(notes.count(), 0);
});

test('what is no id, no name or no record is refused before anything is done', async (t) => {
  const { device, vault, notes } = await fresh(t);
  for (const id of ['', 'x', '0'.repeat(36), undefined, 5]) assert.throws(() => notes.get(id), named('NOT_AN_ID'));
  assert.throws(() => notes.insert([]), TypeError);
  assert.throws(() => notes.insertJson({}), TypeError);
  assert.throws(() => notes.insertJson('[]'), named('NOT_A_RECORD'));
  assert.throws(() => device.createVault('lone \ud800'), named('INVALID_UTF8'));
  assert.throws(() => device.createVault(5), TypeError);
  assert.throws(() => vault.collection('x', { floats: 'decimal' }), TypeError);
});
