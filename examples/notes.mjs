// Notes on the command line, with Node.js: node examples/notes.mjs FOLDER COMMAND
//
//   add TITLE          list          done ID
//   live RELAY         syncs, and prints what changes here and elsewhere, until Ctrl-C
//   offer RELAY        lets another device in
//   join LINK          is that other device; the folder must be new
//
// SUBROSA_LIB names libsubrosa.so.1, unless the system finds it.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
// In an application: from 'subrosa'.
import { Device, Key, SubrosaError } from '../ffi/bindings/node/src/index.js';

const [folder, command, argument] = process.argv.slice(2);
if (!folder || !command) throw new Error('usage: notes.mjs FOLDER COMMAND [ARGUMENT]');
const store = join(folder, 'store');
const stop = new AbortController();
process.once('SIGINT', () => stop.abort());

/** A desktop application would keep it in the system's keystore: who has the key can read the notes. */
function loadKey() {
  const path = join(folder, 'key');
  if (existsSync(path)) return Key.fromPkcs8(readFileSync(path));
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const key = Key.generate();
  const secret = key.toPkcs8();
  writeFileSync(path, secret, { mode: 0o600, flag: 'wx' });
  secret.fill(0);
  return key;
}

async function open() {
  if (existsSync(store)) return Device.open(store, loadKey());
  const device = await Device.create(store, loadKey(), { name: hostname() });
  device.createVault('personal');
  return device;
}

const COMMANDS = {
  add: (notes) => console.log(notes.insert({ title: argument, done: false })),
  done: (notes) => notes.put(argument, { done: true }),

  list(notes) {
    for (const [id, { title, done }] of notes) console.log(`${id} ${done ? 'x' : ' '} ${title}`);
  },

  async live(notes, device) {
    const changes = notes.watch({ signal: stop.signal });
    const sync = device.sync(argument);
    await sync.wait({ signal: stop.signal });
    console.log(`everything is here and there; ${sync.reason()}`);
    for await (const { kind, id } of changes) console.log(kind, id ?? '', id ? notes.get(id)?.title ?? '' : '');
  },

  async offer(notes, device) {
    const offer = await device.pairOffer(argument);
    console.log(`on the other device: join '${offer.link}'`);
    const { name } = await offer.wait({ signal: stop.signal });
    const terminal = createInterface({ input: process.stdin, output: process.stdout });
    const question = terminal.question(`the code that ${name} shows: `, { signal: stop.signal });
    const typed = await question.finally(() => terminal.close());
    await offer.confirm(typed.trim());
    offer.close();
    // The new device gets its keys through the relay, as everything else.
    await device.sync(argument).wait({ signal: stop.signal });
  },
};

async function joinDevice() {
  const joining = await Device.pairJoin(store, loadKey(), argument, { name: hostname() });
  console.log(`type this on the other device: ${await joining.waitCode({ signal: stop.signal })}`);
  const device = await joining.waitDevice({ signal: stop.signal });
  joining.close();
  return device;
}

let device;
try {
  if (command === 'join') {
    device = await joinDevice();
  } else {
    if (!Object.hasOwn(COMMANDS, command)) throw new Error(`no command ${command}`);
    device = await open();
    await COMMANDS[command](device.vault('personal').collection('notes'), device);
  }
} catch (error) {
  if (!stop.signal.aborted) console.error(error instanceof SubrosaError ? `${error.name}: ${error.message}` : error.message);
  process.exitCode = stop.signal.aborted ? 0 : 1;
} finally {
  await device?.close();
}
