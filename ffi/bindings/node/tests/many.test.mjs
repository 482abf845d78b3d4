// Many records in one call, and scans.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { idFromName } from '../src/index.js';
import { fresh, named } from './helpers.mjs';

test('many records in one call', async (t) => {
  const { notes } = await fresh(t);
  const records = Array.from({ length: 1000 }, (_, index) => ({ index, text: 'ä'.repeat(index % 50) }));
  const ids = notes.insertMany(records);
  assert.equal(new Set(ids).size, 1000);
  const nobody = idFromName('nobody');
  assert.deepEqual(notes.getMany([ids[5], nobody, ids[999], ids[5]]), [records[5], undefined, records[999], records[5]]);
  assert.deepEqual(notes.getMany([nobody]), [undefined]);
  assert.deepEqual(notes.getMany([]), []);
  assert.deepEqual(notes.getManyJson([nobody, ids[0]]), [undefined, '{"index":0,"text":""}']);
  assert.deepEqual(notes.getMany(ids), records);
  assert.deepEqual(notes.insertMany([]), []);
  const big = notes.insertMany([{ n: 2n ** 62n, text: '[ ,  {' }, { raw: Buffer.from([1]) }]);
  assert.deepEqual(notes.getMany([big[0], nobody, big[1]]),
    [{ n: 2n ** 62n, text: '[ ,  {' }, undefined, { raw: new Uint8Array([1]) }]);
});

test('writeMany is all or nothing', async (t) => {
  const { notes } = await fresh(t);
  const [a, b] = notes.insertMany([{ n: 1 }, { n: 2 }]);
  const [c] = notes.writeMany([{ op: 'insert', record: { n: 3 } }, { op: 'put', id: a, record: { m: 1 } }, { op: 'delete', id: b }]);
  assert.deepEqual(notes.getMany([a, b, c]), [{ n: 1, m: 1 }, undefined, { n: 3 }]);
  assert.throws(() => notes.writeMany([{ op: 'delete', id: a }, { op: 'put', id: c, json: '[]' }]), named('NOT_A_RECORD'));
  assert.throws(() => notes.writeMany([{ op: 'upsert', id: a, record: {} }]), TypeError);
  assert.equal(notes.count(), 2);
});

test('scan reads page by page, in the order of ids', async (t) => {
  const { notes, vault } = await fresh(t);
  const ids = notes.insertMany(Array.from({ length: 25 }, (_, n) => ({ n }))).sort();
  for (const pageSize of [1, 7, 25, 1000]) {
    assert.deepEqual(Array.from(notes.scan({ pageSize }), ([id]) => id), ids);
  }
  assert.deepEqual(Array.from(notes.scan({ after: ids[19] }), ([id]) => id), ids.slice(20));
  assert.equal([...notes].length, 25);
  vault.read((tx) => {
    const scan = notes.scan({ tx, pageSize: 10 });
    scan.next();
    notes.insertMany([{ n: 100 }, { n: 101 }]);
    assert.equal([...scan].length, 24);
  });
  assert.deepEqual([...vault.collection('none')], []);
  assert.throws(() => [...notes.scan({ pageSize: 0 })], TypeError);
});

test('many at once, off this thread', async (t) => {
  const { notes } = await fresh(t);
  const ids = await notes.insertManyAsync([{ n: 1 }, { n: 2 }]);
  assert.deepEqual(notes.getMany(ids), [{ n: 1 }, { n: 2 }]);
  assert.deepEqual(await notes.writeManyAsync([{ op: 'delete', id: ids[0] }, { op: 'put', id: ids[1], record: { m: 1 } }]), ids);
  assert.deepEqual(notes.getMany(ids), [undefined, { n: 2, m: 1 }]);
});

test('single fields are read and deleted', async (t) => {
  const { notes } = await fresh(t);
  const id = notes.insert({ '': 0, a: Buffer.from('x'), b: { $text: 1 }, c: 1 });
  const none = idFromName('none');
  assert.deepEqual(notes.fieldNames(id), ['', 'a', 'b', 'c']);
  assert.deepEqual(notes.fieldNames(id, { limit: 2 }), ['', 'a']);
  assert.deepEqual(notes.fieldNames(id, { after: '' }), ['a', 'b', 'c']);
  assert.deepEqual(notes.fieldNames(id, { after: 'c' }), []);
  assert.equal(notes.fieldNames(none), undefined);
  assert.deepEqual(notes.getField(id, 'a'), new Uint8Array(Buffer.from('x')));
  assert.equal(notes.getFieldJson(id, 'b'), '{"$$text":1}');
  assert.equal(notes.getField(id, 'd'), undefined);
  assert.equal(notes.getField(none, 'a'), undefined);
  notes.vault.write((tx) => {
    assert.equal(notes.deleteField(id, 'a', { tx }), true);
    assert.equal(notes.deleteField(id, 'a', { tx }), false);
  });
  assert.deepEqual(notes.get(id), { '': 0, b: { $text: 1 }, c: 1 });
  assert.equal(notes.deleteField(none, 'a'), false);
});

test('a record larger than is read whole is read field by field, and hides no other', async (t) => {
  const { notes } = await fresh(t);
  const [small, large, last] = notes.insertMany([{ n: 1 }, { f0: 0 }, { n: 2 }]);
  const value = 'x'.repeat(2 ** 20 - 64);
  for (let n = 0; n < 17; n += 1) notes.put(large, { [`f${n}`]: value });
  assert.throws(() => notes.get(large), { name: 'RECORD_TOO_LARGE', code: 316 });
  assert.throws(() => notes.getMany([small, large]), { name: 'RECORD_TOO_LARGE', record: large });
  const seen = [];
  let after;
  for (let more = true; more;) {
    try {
      for (const [id] of notes.scan({ after })) seen.push(id);
      more = false;
    } catch (error) {
      assert.equal(error.record, large);
      after = error.record;
    }
  }
  assert.deepEqual(seen, [small, last]);
  assert.equal(notes.fieldNames(large).length, 17);
  assert.equal(notes.getField(large, 'f16'), value);
  assert.equal(notes.deleteField(large, 'f16') && notes.deleteField(large, 'f0'), true);
  assert.equal(Object.keys(notes.get(large)).length, 15);
});

test('what was exported may have more fields than a write may add', async (t) => {
  const { notes } = await fresh(t);
  const id = idFromName('many');
  const record = Object.fromEntries(Array.from({ length: 1025 }, (_, n) => [`f${n}`, n]));
  assert.throws(() => notes.put(id, record), named('TOO_MANY_FIELDS'));
  notes.writeMany([{ op: 'import', id, record }]);
  notes.put(id, { f0: -1 });
  assert.equal(Object.keys(notes.get(id)).length, 1025);
});
