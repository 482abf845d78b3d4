// Pairing through a relay: SUBROSA_TEST_RELAY.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Device, Key } from '../src/index.js';
import { folder, fresh, keystore, named, runModule } from './helpers.mjs';

const relay = process.env.SUBROSA_TEST_RELAY;
if (!relay) throw new Error('SUBROSA_TEST_RELAY is not set');

test('pairing refuses a wrong code, and waits can be left', async (t) => {
  const { device } = await fresh(t);
  const offer = await device.pairOffer(relay);
  assert.match(offer.link, /^\S{20,}$/);
  await assert.rejects(offer.confirm('000000'), named('NOT_READY'));
  await assert.rejects(offer.wait({ timeoutMs: 10 }), named('TIMEOUT'));
  const controller = new AbortController();
  const left = offer.wait({ signal: controller.signal });
  setImmediate(() => controller.abort());
  await assert.rejects(left, { name: 'AbortError' });

  const joining = await Device.pairJoin(join(folder(t), 'store'), Key.generate(), offer.link, { name: 'stranger' });
  const [, code] = await Promise.all([offer.wait(), joining.waitCode()]);
  for (const nothing of ['', undefined, null]) await assert.rejects(offer.confirm(nothing), named('INVALID_ARGUMENT'));
  const device2 = joining.waitDevice();
  await Promise.all([
    assert.rejects(offer.confirm(code === '000000' ? '000001' : '000000'), named('PAIR_WRONG_CODE')),
    assert.rejects(device2),
  ]);
  joining.close();
  offer.close();
  await assert.rejects(offer.wait(), named('PAIR_OVER'));

  const second = await device.pairOffer(relay);
  const waiting = second.wait();
  setImmediate(() => second.close());
  await assert.rejects(waiting, named('PAIR_OVER'));
  await assert.rejects(Device.pairJoin(join(folder(t), 'store'), Key.generate(), 'no link'), named('PAIR_LINK'));
});

test('a new device is let in, with a key of a provider too', async (t) => {
  const { device, vault } = await fresh(t);
  const store = keystore();
  const offer = await device.pairOffer(relay);
  const joining = await Device.pairJoin(join(folder(t), 'store'), Key.fromProvider(store), offer.link, { name: 'phone' });
  const [request, code] = await Promise.all([offer.wait({ timeoutMs: 30_000 }), joining.waitCode({ timeoutMs: 30_000 })]);
  assert.deepEqual(request, { code, name: 'phone' });
  const [info, phone] = await Promise.all([offer.confirm(code), joining.waitDevice()]);
  t.after(() => phone.close());
  assert.deepEqual([info.name, info.role, info.isThis], ['phone', 'admin', false]);
  assert.deepEqual(Buffer.from(info.publicKey.bytes), Buffer.from(store.publicKey));
  assert.ok(store.calls.sign > 0 && store.calls.agree > 0);
  assert.equal(vault.devices().length, 2);
  assert.equal(phone.name, 'phone');
});

test('a process can end while a thread asks the provider', async (t) => {
  const ended = await runModule(`
import { keystore } from '${new URL('helpers.mjs', import.meta.url)}';
const [place, relay] = process.argv.slice(1);
const first = await subrosa.Device.create(place + '/a', subrosa.Key.generate());
first.createVault('v');
const offer = await first.pairOffer(relay);
offer.wait().catch(() => {});
const store = keystore();
const key = subrosa.Key.fromProvider({ ...store, sign() { process.exit(5); } });
const joining = await subrosa.Device.pairJoin(place + '/b', key, offer.link);
await joining.waitCode();`, { args: [folder(t), relay] });
  assert.deepEqual([ended.code, ended.signal, ended.err], [5, null, '']);
});
