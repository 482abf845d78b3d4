// Keys, sessions, and keys of a provider.

import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { Device, Key, PublicKey, Session } from '../src/index.js';
import { folder, keystore, named, runModule } from './helpers.mjs';

test('a key is exported and imported', () => {
  const key = Key.generate();
  const der = key.toPkcs8();
  const same = Key.fromPkcs8(der);
  assert.ok(same.public.equals(key.public));
  assert.ok(!Key.generate().public.equals(key.public));
  assert.throws(() => Key.fromPkcs8(der.subarray(1)), named('KEY_ENCODING'));
  assert.throws(() => Key.fromPkcs8('text'.repeat(3)), named('KEY_ENCODING'));
  assert.throws(() => Key.fromPkcs8(5), TypeError);
});

test('a public key is checked, and known to others by its SPKI', () => {
  const { public: key } = Key.generate();
  assert.equal(key.bytes.length, 65);
  const spki = key.toSpki();
  const known = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  assert.equal(known.asymmetricKeyDetails.namedCurve, 'prime256v1');
  assert.ok(PublicKey.fromSpki(spki).equals(key));
  const off = key.bytes;
  off[64] ^= 1;
  assert.throws(() => new PublicKey(off), named('NOT_ON_CURVE'));
  assert.throws(() => new PublicKey(new Uint8Array(5)), TypeError);
});

test('a signature is good for its label, message and key only', () => {
  const key = Key.generate();
  const signature = key.sign('label', 'message');
  assert.equal(signature.length, 64);
  key.public.verify('label', Buffer.from('message'), signature);
  for (const wrong of [
    () => key.public.verify('other', 'message', signature), () => key.public.verify('label', 'other', signature),
    () => Key.generate().public.verify('label', 'message', signature),
  ]) assert.throws(wrong, named('BAD_SIGNATURE'));
  assert.throws(() => key.public.verify('label', 'message', new Uint8Array(1)), TypeError);
});

test('sessions open what they sealed', () => {
  const [a, b] = [Key.generate(), Key.generate()];
  const self = Session.self(a, { context: 'backup' });
  const sealed = self.seal('said in confidence', 'note 7');
  assert.equal(Buffer.from(self.open(sealed, 'note 7')).toString(), 'said in confidence');
  assert.throws(() => self.open(sealed, 'note 8'), named('NOT_AUTHENTIC'));
  const there = Session.peer(a, b.public);
  const here = Session.peer(b, a.public);
  assert.deepEqual(here.open(there.seal(new Uint8Array([1, 2]))), new Uint8Array([1, 2]));
  assert.deepEqual(here.open(there.seal('')), new Uint8Array(0));
  assert.throws(() => Session.self(a, { profile: 'unknown' }), TypeError);
  assert.throws(() => Session.peer(a, a.public), named('PEER_IS_SELF'));
  self.close();
  assert.throws(() => self.seal('x'), named('CLOSED'));
});

test('a key of a provider signs and agrees, and is not exported', () => {
  const store = keystore();
  const key = Key.fromProvider(store);
  assert.deepEqual(key.public.bytes, store.publicKey);
  key.public.verify('label', 'message', key.sign('label', 'message'));
  const other = Key.generate();
  const sealed = Session.peer(other, key.public).seal('x');
  assert.equal(Buffer.from(Session.peer(key, other.public).open(sealed)).toString(), 'x');
  assert.ok(store.calls.sign > 0 && store.calls.agree > 0);
  assert.throws(() => key.toPkcs8(), named('KEY_NOT_EXPORTABLE'));
});

test('a provider opens a device, with a promise and without', async (t) => {
  const dir = join(folder(t), 'store');
  const store = keystore();
  const key = Key.fromProvider(store);
  const device = await Device.create(dir, key, { name: 'secure' });
  const notes = device.createVault('personal').collection('notes');
  const id = await notes.insertAsync({ n: 1 });
  await device.close();
  const before = { ...store.calls };
  const again = Device.openSync(dir, key);
  assert.ok(store.calls.agree > before.agree || store.calls.sign > before.sign);
  assert.deepEqual(again.vault('personal').collection('notes').get(id), { n: 1 });
  again.vault('personal').collection('notes').insert({ n: 2 });
  again.closeSync();
  const third = await Device.open(dir, key);
  assert.equal(third.vault('personal').collection('notes').count(), 2);
  await third.close();
});

test('closing on this thread is refused while another one may ask for the key', async (t) => {
  const device = await Device.create(join(folder(t), 'store'), Key.fromProvider(keystore()));
  const notes = device.createVault('personal').collection('notes');
  const writing = notes.insertAsync({});
  assert.throws(() => device.closeSync(), named('WOULD_DEADLOCK'));
  await writing;
  device.closeSync();
});

test('what a provider fails with is the number of the error', async (t) => {
  const store = keystore();
  const failing = (fail) => Key.fromProvider({ ...store, agree: fail, sign: fail });
  const locked = () => { throw Object.assign(new Error('locked'), { code: 77 }); };
  for (const [name, fail, number] of [
    ['a code', locked, 77], ['no code', () => { throw new Error('no'); }, -1], ['a promise', async () => {}, -1],
    ['too short', () => new Uint8Array(5), -1],
  ]) {
    assert.throws(() => failing(fail).sign('l', 'm'), { name: 'KEY_PROVIDER', number }, name);
    await assert.rejects(Device.create(join(folder(t), name), failing(fail)), { name: 'KEY_PROVIDER', number }, name);
  }
  const forged = { ...store, sign: () => new Uint8Array(64).fill(1) };
  assert.throws(() => Key.fromProvider(forged).sign('l', 'm'), named('KEY_PROVIDER_SIGNATURE'));
  assert.throws(() => Key.fromProvider({ publicKey: store.publicKey }), TypeError);
});

test('a process can end while it opens a device with a provider', async (t) => {
  const ended = await runModule(`
import { keystore } from '${new URL('helpers.mjs', import.meta.url)}';
subrosa.Device.create(dir, subrosa.Key.fromProvider(keystore()));
process.exit(5);`, { args: [join(folder(t), 'store')] });
  assert.deepEqual([ended.code, ended.signal, ended.err], [5, null, '']);
});
