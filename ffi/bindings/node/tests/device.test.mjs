// Opening and closing, errors, and what garbage collection closes.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'node:test';
import { Device, Key, SubrosaError, abiVersion, version } from '../src/index.js';
import { folder, fresh, named, runModule, untilCollected } from './helpers.mjs';

test('the library says what it is', () => {
  assert.equal(abiVersion(), 1);
  assert.match(version(), /^\d+\.\d+\.\d+/);
});

test('a library that is not there is a clear error', async () => {
  const ended = await runModule('', { env: { SUBROSA_LIB: '/nonexistent/libsubrosa.so.1' } });
  assert.equal(ended.code, 1);
  assert.match(ended.err, /cannot load \/nonexistent\/libsubrosa\.so\.1: .*SUBROSA_LIB/);
});

test('a store is created, closed and opened again', async (t) => {
  const dir = join(folder(t), 'store');
  const key = Key.generate();
  const device = await Device.create(dir, key, { name: 'läptop', cacheBytes: 4 << 20 });
  assert.equal(device.name, 'läptop');
  assert.ok(device.publicKey.equals(key.public));
  const vault = device.createVault('personal');
  const id = vault.collection('notes').insert({ title: 'a' });
  assert.deepEqual(device.vaults(), [{ id: vault.id, name: 'personal' }]);
  assert.equal(device.vaultById(vault.id).name, 'personal');
  assert.deepEqual(vault.collections(), ['notes']);
  const [self, ...others] = vault.devices();
  assert.deepEqual([self.name, self.role, self.isThis, self.addedBy, others], ['läptop', 'admin', true, null, []]);
  assert.ok(self.publicKey.equals(key.public));
  assert.equal(typeof vault.pending(), 'number');
  await device.close();
  await device.close();

  const again = Device.openSync(pathToFileURL(dir), key);
  assert.equal(again.name, 'läptop');
  assert.deepEqual(again.vault('personal').collection('notes').get(id), { title: 'a' });
  const report = await again.verify();
  assert.equal(report.badSegments, 0);
  assert.equal(report.vaults, 1);
  await again.compact();
  assert.ok((await again.space()).fileBytes > 0);
  again.closeSync();
  again.closeSync();
  await again.close();
});

test('the relay is stored and forgotten', async (t) => {
  const { device } = await fresh(t);
  assert.equal(device.relay, '');
  assert.throws(() => device.setRelay('http://example.com'), named('RELAY_ADDRESS'));
  assert.throws(() => device.sync(), named('NO_RELAY'));
  const relay = 'subrosa://127.0.0.1:9/#gmcdq4y6k77guoqh7qcuz6caucmneonnngzc3wsufdmnxjiyu7qq';
  device.setRelay(relay);
  assert.equal(device.relay, relay);
  device.setRelay('');
  assert.equal(device.relay, '');
});

test('an error tells what went wrong', async (t) => {
  const { dir, notes } = await fresh(t);
  const error = await Device.open(dir, Key.generate()).then(() => assert.fail(), (failed) => failed);
  assert.ok(error instanceof SubrosaError && error instanceof Error);
  assert.equal(error.name, 'STORE_LOCKED');
  assert.equal(error.code, 102);
  assert.equal(error.retryable, true);
  assert.ok(error.message.length > 0);
  assert.match(error.stack, /SubrosaError|STORE_LOCKED/);
  assert.ok(Array.isArray(error.causes));
  assert.throws(() => notes.insertJson('{"a": x}'), { name: 'NOT_JSON', code: 300, number: 6 });
  const survivor = new SubrosaError(4711, 'of a later version');
  assert.deepEqual([survivor.code, survivor.name], [4711, 'UNKNOWN']);
  const nested = new SubrosaError(108, 'outer', { causes: ['middle', 'inner'] });
  assert.equal(nested.cause.cause.message, 'inner');
});

test('options that make no sense are refused', async (t) => {
  const [dir, key] = [join(folder(t), 'store'), Key.generate()];
  for (const name of ['x'.repeat(129), 'two\nlines']) {
    await assert.rejects(Device.create(dir, key, { name }), named('INVALID_ARGUMENT'));
  }
  for (const writeWaitMs of [0, -1, NaN, '5']) await assert.rejects(Device.create(dir, key, { writeWaitMs }), TypeError);
  assert.ok(!existsSync(dir));
});

test('a wrong key opens nothing, a missing store is missing', async (t) => {
  const { dir, device } = await fresh(t);
  await device.close();
  await assert.rejects(Device.open(dir, Key.generate()), named('WRONG_KEY'));
  await assert.rejects(Device.open(join(dir, 'none'), Key.generate()), named('STORE_MISSING'));
  assert.throws(() => Device.openSync(join(dir, 'none'), Key.generate()), named('STORE_MISSING'));
  await assert.rejects(Device.open('', Key.generate()), TypeError);
});

test('what is closed says so', async (t) => {
  const { key, device, vault, notes } = await fresh(t);
  const id = notes.insert({});
  const tx = vault.begin('read');
  const lost = vault.collection('lost');
  lost.close();
  lost.close();
  assert.throws(() => lost.count(), named('CLOSED'));
  assert.equal(lost.isClosed, true);
  await device.close();
  assert.throws(() => device.vaults(), named('CLOSED'));
  assert.throws(() => notes.get(id), named('CLOSED'));
  assert.throws(() => notes.get(id, { tx }), named('CLOSED'));
  assert.throws(() => vault.begin('write'), named('CLOSED'));
  await assert.rejects(notes.insertAsync({}), named('CLOSED'));
  await assert.rejects(device.verify(), named('CLOSED'));
  for (const child of [tx, notes, vault]) child.close();
  key.close();
  assert.throws(() => key.public, named('CLOSED'));
});

test('dispose closes', async (t) => {
  const { dir, key, device, notes } = await fresh(t);
  notes[Symbol.dispose]();
  assert.throws(() => notes.count(), named('CLOSED'));
  await device[Symbol.asyncDispose]();
  const again = await Device.open(dir, key);
  again[Symbol.dispose]();
  await (await Device.open(dir, key)).close();
});

test('a suspended device lets go of its file and comes back', async (t) => {
  const { dir, device, notes } = await fresh(t);
  const id = notes.insert({ kept: true });
  await device.suspend({ deadlineMs: 1000 });
  assert.throws(() => notes.get(id), named('SUSPENDED'));
  assert.ok(existsSync(dir));
  await device.resume();
  assert.deepEqual(notes.get(id), { kept: true });
  device.networkChanged();
});

test('an aborted open rejects, and leaves nothing open', async (t) => {
  const { dir, key, device } = await fresh(t);
  await device.close();
  await assert.rejects(Device.open(dir, key, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  const controller = new AbortController();
  const opening = Device.open(dir, key, { signal: controller.signal });
  controller.abort(new Error('enough'));
  await assert.rejects(opening, /enough/);
  await untilOpen(t, dir, key);
});

test('a forgotten device is closed with the garbage', async (t) => {
  const { dir, key, device } = await fresh(t);
  await device.close();
  // In a function of its own, so that nothing on this stack refers to the device.
  await (async () => {
    const forgotten = await Device.open(dir, key);
    forgotten.vault('personal').collection('notes').insert({ n: 1 });
  })();
  await untilOpen(t, dir, key);
});

test('a collection keeps its device open', async (t) => {
  const { dir, key, device } = await fresh(t);
  await device.close();
  const notes = await (async () => (await Device.open(dir, key)).vault('personal').collection('notes'))();
  const canary = await (async () => new WeakRef({ other: Key.generate() }))();
  await untilCollected(() => canary.deref() === undefined);
  assert.equal(notes.count(), 0);
  await notes.vault.device.close();
});

/** Opens as soon as whoever still has the store lets go of it. */
async function untilOpen(t, dir, key) {
  await untilCollected(async () => {
    try {
      const device = await Device.open(dir, key);
      t.after(() => device.close());
      return true;
    } catch (error) {
      named('STORE_LOCKED')(error);
      return false;
    }
  });
}
