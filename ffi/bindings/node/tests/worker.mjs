import { parentPort, workerData } from 'node:worker_threads';
import { Device, Key } from '../src/index.js';

const device = await Device.create(workerData.dir, Key.generate());
const notes = device.createVault('v').collection('notes');
const changes = notes.watch();
for (let round = 0; round < 10; round += 1) {
  for (let count = 0; count < 3; count += 1) notes.insert({ round, count });
  await notes.insertAsync({ round });
  notes.put(workerData.name, { round });
  notes.insert({ round });
}
notes.delete(workerData.name);
let seen = 0;
for await (const { kind } of changes) {
  seen += kind === 'inserted' ? 1 : 0;
  if (kind === 'removed') break;
}
if (seen !== 51) throw new Error(`${seen} inserted`);
parentPort.postMessage(notes.count() + 10);
await device.close();
