// Records, transactions, and asynchronous writes.

import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { test } from 'node:test';
import { Float, idFromName } from '../src/index.js';
import { fresh, named } from './helpers.mjs';

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
  assert.throws(() => vault.begin('write', { timeoutMs: 0 }), named('BUSY'));
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
