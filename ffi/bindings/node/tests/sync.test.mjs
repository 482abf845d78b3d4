// Syncing with a relay: SUBROSA_TEST_RELAY.

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { setMaxListeners } from 'node:events';
import { cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Device, Key } from '../src/index.js';
import { heldOfDevice, vaultAtRelay } from '../src/lists.js';
import { folder, fresh, keystore, named, runModule } from './helpers.mjs';

const relay = process.env.SUBROSA_TEST_RELAY;
if (!relay) throw new Error('SUBROSA_TEST_RELAY is not set');

/** A relay address where nobody listens. */
const nowhere = relay.replace(/:\d+\//, ':9/');

async function pair(t, device, key = Key.generate()) {
  const offer = await device.pairOffer(relay);
  const joining = await Device.pairJoin(join(folder(t), 'store'), key, offer.link, { name: 'phone' });
  const [request, code] = await Promise.all([offer.wait({ timeoutMs: 30_000 }), joining.waitCode({ timeoutMs: 30_000 })]);
  assert.equal(request.code, code);
  const [info, other] = await Promise.all([offer.confirmCodesAreEqual(), joining.waitDevice()]);
  assert.deepEqual([request.name, info.name, info.role, info.isThis], ['phone', 'phone', 'admin', false]);
  t.after(() => other.close());
  offer.close();
  joining.close();
  return other;
}

test('two devices converge, one of them with a key of a provider', async (t) => {
  const { device, vault, notes } = await fresh(t);
  const id = notes.insert({ title: 'Call Anna' });
  const sync = device.sync(relay);
  const events = sync.events();
  await sync.wait();
  assert.equal(vault.pending(), 0);
  assert.ok(['live', 'syncing'].includes(sync.status().state));
  assert.equal(typeof sync.reason(), 'string');
  const seen = [];
  for await (const event of events) {
    seen.push(event.kind);
    if (event.kind === 'synced') {
      assert.equal(event.vault, vault.id);
      break;
    }
  }
  assert.ok(seen.includes('state'));
  assert.throws(() => device.sync(relay), named('BUSY'));

  const store = keystore();
  const phone = await pair(t, device, Key.fromProvider(store));
  const there = phone.vault('personal').collection('notes');
  const arrivals = there.watch({ signal: AbortSignal.timeout(30_000) });
  const other = phone.sync(relay);
  assert.throws(() => phone.closeSync(), named('WOULD_DEADLOCK'));
  while (!there.get(id)) await arrivals.next();
  assert.deepEqual(there.get(id), { title: 'Call Anna' });
  const back = notes.watch({ signal: AbortSignal.timeout(30_000) });
  await there.putAsync(id, { done: true });
  await other.wait();
  while (!notes.get(id).done) await back.next();
  assert.ok(store.calls.sign > 0);
  assert.equal(vault.devices().length, 2);
  await other.stop();
  await other.stop();
  await sync.stop();
  assert.throws(() => sync.status(), named('CLOSED'));
  device.sync(relay);
});

test('a wait ends with its signal, with the sync, and with the device', async (t) => {
  const { device, notes } = await fresh(t);
  notes.insert({});
  const sync = device.sync(nowhere);
  const controller = new AbortController();
  const aborted = sync.wait({ signal: controller.signal });
  const closed = sync.wait();
  setImmediate(() => controller.abort());
  await assert.rejects(aborted, { name: 'AbortError' });
  await assert.rejects(sync.wait({ signal: AbortSignal.abort(new RangeError('no')) }), RangeError);
  await assert.rejects(sync.wait({ idleMs: 50 }), named('NO_PROGRESS'));
  await assert.rejects(sync.wait({ idleMs: -1 }), TypeError);
  await Promise.all([assert.rejects(closed, named('SYNC_STOPPED')), sync.stop()]);
  const second = device.sync(nowhere);
  const [events, waiting] = [second.events(), second.wait()];
  await Promise.all([assert.rejects(waiting, named('CLOSED')), device.close()]);
  for await (const { kind } of events) assert.equal(kind, 'state');
});

test('who asks later is told of a store that went on twice', async (t) => {
  const { dir, key, device, vault } = await fresh(t);
  assert.deepEqual([vault.forks(), vault.held(), vault.isUpdateNeeded], [[], { devices: [], clockIsLate: false }, false]);
  const copied = join(folder(t), 'store');
  const writeAndSync = async (open) => {
    open.vault('personal').collection('notes').insert({});
    const sync = open.sync(relay);
    await sync.wait();
    const { clockAheadMs, heldUntilMs } = sync.status();
    assert.deepEqual([clockAheadMs, heldUntilMs, sync.vaults()], [0, 0, []]);
    await open.close();
    await assert.rejects(sync.wait(), named('CLOSED'));
  };
  await writeAndSync(device);
  await cp(dir, copied, { recursive: true });
  await writeAndSync(await Device.open(dir, key));
  await writeAndSync(await Device.open(copied, key));
  const later = await Device.open(copied, key);
  t.after(() => later.close());
  const [{ publicKey, ...forks }, ...others] = later.vault('personal').forks();
  assert.deepEqual([forks, others], [{ name: 'laptop', isThis: true, logs: 1, futures: 1 }, []]);
  assert.deepEqual(publicKey.bytes, key.public.bytes);
  assert.equal(later.vault('personal').collection('notes').count(), 3);
});

test('what is held, and what is the matter with a vault, is read from the structs', () => {
  const key = Key.generate().public;
  const { publicKey, ...held } = heldOfDevice({ public_key: key.bytes, groups: 2, until_ms: 1_900_000_000_000 }, 'phone');
  assert.deepEqual([held, publicKey.bytes], [{ name: 'phone', groups: 2, untilMs: 1_900_000_000_000 }, key.bytes]);
  const info = { vault: new Uint8Array(32).fill(0xab), refused: 7, disagrees: 1, disputed: 0, update_needed: 1 };
  assert.deepEqual(vaultAtRelay(info, 'why'), {
    vault: 'ab'.repeat(32), refused: 7, rests: 'why', disagrees: true, disputed: false, updateNeeded: true,
  });
});

/** The relay's address behind a way on which everything takes so long, there and back. */
async function slowWay(t, ms) {
  const [, host, port] = /([\d.]+):(\d+)\//.exec(relay);
  const sockets = new Map();
  const front = createSocket('udp4', (message, { address, port: from }) => {
    if (!sockets.has(from)) {
      const answers = (answer) => setTimeout(() => sockets.size && front.send(answer, from, address), ms);
      sockets.set(from, createSocket('udp4', answers));
    }
    setTimeout(() => sockets.get(from)?.send(message, Number(port), host), ms);
  });
  await new Promise((resolve) => front.bind(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of [front, ...sockets.values()]) socket.close();
    sockets.clear();
  });
  return relay.replace(`${host}:${port}/`, `127.0.0.1:${front.address().port}/`);
}

test('a wait ends where an answer takes longer than a slice of it', async (t) => {
  const { device, vault, notes } = await fresh(t);
  notes.insert({});
  const sync = device.sync(await slowWay(t, 600));
  await sync.wait();
  assert.equal(vault.pending(), 0);
  // Nothing is to be done any more: all that comes is the answer.
  await sync.wait({ idleMs: 10_000 });
  await device.close();
});

test('many waits leave threads for files', async (t) => {
  const { dir, device, notes } = await fresh(t);
  const sync = device.sync(nowhere);
  const controller = new AbortController();
  setMaxListeners(20, controller.signal);
  const waits = Array.from({ length: 12 }, () => sync.wait({ signal: controller.signal }));
  const settled = Promise.allSettled(waits);
  const changes = notes.watch();
  const next = changes.next();
  await assert.rejects(readFile(join(dir, 'no such file')), { code: /ENOENT|ENOTDIR/ });
  await notes.insertAsync({});
  assert.equal((await next).value.kind, 'inserted');
  controller.abort();
  for (const { status, reason } of await settled) assert.deepEqual([status, reason.name], ['rejected', 'AbortError']);
  changes.close();
});

test('a process with a sync and live events ends when it is told to', async (t) => {
  const ended = await runModule(`
const device = await subrosa.Device.create(dir, subrosa.Key.generate());
device.createVault('v').collection('notes').insert({});
const sync = device.sync(more);
(async () => { for await (const _ of sync.events()); })();
(async () => { for await (const _ of device.vault('v').watch()); })();
await sync.wait();
sync.wait({ idleMs: 60_000 }).catch(() => {});
console.log(sync.status().failure);
process.exit(0);`, { args: [join(folder(t), 'store'), relay] });
  assert.deepEqual([ended.code, ended.signal, ended.out, ended.err], [0, null, 'none\n', '']);
});

test('a sync alone does not keep a process', async (t) => {
  const ended = await runModule(`
const device = await subrosa.Device.create(dir, subrosa.Key.generate());
device.createVault('v');
device.sync(more);`, { args: [join(folder(t), 'store'), nowhere] });
  assert.deepEqual([ended.code, ended.signal, ended.err], [0, null, '']);
});
