// What a call costs through this package: node bench.mjs STORE, where STORE is a folder that does not exist yet.
// Prints a line of JSON per case: nanoseconds per call, the median and the spread of the rounds.

import { Device, Key, abiVersion } from './src/index.js';

const ROUNDS = 7;
const MANY = 1000;

const [dir] = process.argv.slice(2);
if (!dir) throw new Error('usage: node bench.mjs STORE');

const key = Key.generate();
const device = await Device.create(dir, key, { name: 'bench' });
const vault = device.createVault('bench');
const notes = vault.collection('notes');
// The note of the other languages: 256 bytes of JSON.
const record = (number) => {
  const frame = JSON.stringify({ done: false, number, text: '' }).length;
  return { done: false, number, text: 'x'.repeat(256 - frame) };
};

const ids = notes.insertMany(Array.from({ length: MANY }, (_, index) => record(index)));
const one = ids[MANY / 2];
if (Buffer.byteLength(notes.getJson(one)) !== 256) {
  throw new Error(`the record has ${Buffer.byteLength(notes.getJson(one))} bytes and not 256`);
}
const records = Array.from({ length: MANY }, (_, index) => record(index));

measure('no-op call', 100_000, () => abiVersion());
measure('get, 256 B record', 20_000, () => notes.get(one));
measure('get, 256 B record, JSON text', 20_000, () => notes.getJson(one));
measure('getMany, 1,000 records', 20, () => notes.getMany(ids));
measure('insertMany, 1,000 records', 3, () => notes.insertMany(records));

await device.close();
key.close();

function measure(name, calls, call) {
  const rounds = [];
  for (let round = -1; round < ROUNDS; round += 1) {
    const start = process.hrtime.bigint();
    for (let index = 0; index < calls; index += 1) call();
    const spent = Number(process.hrtime.bigint() - start) / calls;
    if (round >= 0) rounds.push(Math.round(spent));
  }
  rounds.sort((a, b) => a - b);
  console.log(JSON.stringify({ case: name, ns: rounds[ROUNDS >> 1], min: rounds[0], max: rounds.at(-1) }));
}
