import { workerData } from 'node:worker_threads';
import { Device, Key } from '../src/index.js';
import { keystore } from './helpers.mjs';

const key = workerData.hasProvider ? Key.fromProvider(keystore()) : Key.generate();
const vault = (await Device.create(workerData.dir, key)).createVault('v');
vault.collection('notes').watch().next();
// Its pool has a call under way that may ask for the key, and a transaction is open.
vault.writeAsync(() => new Promise(() => {}));
vault.device.verify();
throw new Error('not caught');
