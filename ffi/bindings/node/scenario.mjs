// Carries out the scenarios of ffi/scenario: node scenario.mjs SCENARIOS WORK

import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Device, Float, Key, Session, SubrosaError, decode, encode, idFromName } from './src/index.js';

const SUSPEND_MS = 5000;
const AWAIT_MS = 30_000;
const EVENT_MS = 10_000;
/** Between two looks at a record that is awaited. */
const LOOK_MS = 10;

class Runner {
  constructor(work) {
    this.work = work;
    this.keys = new Map();
    this.devices = new Map();
    this.sessions = new Map();
    this.transactions = new Map();
    this.events = new Map();
    this.aliases = new Map();
    this.messages = new Map();
    this.syncs = new Map();
  }

  device(step) { return this.devices.get(step.device).device; }

  vault(step) {
    const { device, vaults } = this.devices.get(step.device);
    if (!vaults.has(step.vault)) vaults.set(step.vault, device.vault(step.vault));
    return vaults.get(step.vault);
  }

  collection(step, options) { return this.vault(step).collection(step.collection, options); }
  in(step) { return { tx: step.tx && this.transactions.get(step.tx) }; }
  id(name) { return name.startsWith('name:') ? idFromName(name.slice(5)) : this.aliases.get(name); }

  alias(id) {
    for (const [name, known] of this.aliases) if (known === id) return name;
    return id;
  }

  opened(name, device, key, dir) { this.devices.set(name, { device, vaults: new Map(), key, dir }); }

  async close() {
    for (const tx of this.transactions.values()) tx.close();
    for (const events of this.events.values()) events.close();
    for (const session of this.sessions.values()) session.close();
    for (const { device } of this.devices.values()) await device.close();
    for (const key of this.keys.values()) key.close();
  }

  key(step) { this.keys.set(step.key, Key.generate()); }
  import_key(step) { this.keys.set(step.key, Key.fromPkcs8(Buffer.from(step.pkcs8, 'hex'))); }

  async create(step) {
    const [dir, key] = [join(this.work, step.dir), this.keys.get(step.key)];
    this.opened(step.device, await Device.create(dir, key, { name: step.name }), key, dir);
  }

  async open(step) {
    const [dir, key] = [join(this.work, step.dir), this.keys.get(step.key)];
    this.opened(step.device, await Device.open(dir, key), key, dir);
  }

  async close_device(step) {
    const device = this.device(step);
    this.devices.delete(step.device);
    await device.close();
  }

  async restart(step) {
    const { device, key, dir } = this.devices.get(step.device);
    await device.close();
    this.opened(step.device, await Device.open(dir, key), key, dir);
  }

  copy(step) { return cp(join(this.work, step.dir), join(this.work, step.to), { recursive: true }); }
  suspend(step) { return this.device(step).suspend({ deadlineMs: SUSPEND_MS }); }
  resume(step) { return this.device(step).resume(); }
  network_changed(step) { this.device(step).networkChanged(); }

  async verify(step) {
    return (await this.device(step).verify()).badSegments === 0 ? 'good' : 'bad';
  }

  create_vault(step) {
    this.devices.get(step.device).vaults.set(step.vault, this.device(step).createVault(step.vault));
  }

  open_vault(step) { this.devices.get(step.device).vaults.set(step.vault, this.device(step).vault(step.vault)); }
  vaults(step) { return this.device(step).vaults().map(({ name }) => name).join(','); }

  devices_of(step) {
    return this.vault(step).devices().map(({ name, role, isThis }) => `${name}:${role}${isThis ? ':this' : ''}`).join(',');
  }

  forks(step) {
    return this.vault(step).forks()
      .map(({ name, logs, futures, isThis }) => `${name}:${logs}:${futures}${isThis ? ':this' : ''}`).join(',');
  }

  held(step) {
    const { devices, clockIsLate } = this.vault(step).held();
    return [...devices.map(({ name, groups }) => `${name}:${groups}`), ...(clockIsLate ? ['late'] : [])].join(',');
  }

  collections(step) { return this.vault(step).collections().join(','); }
  insert(step) { this.aliases.set(step.as, this.collection(step).insertJson(step.json, this.in(step))); }
  put(step) { this.collection(step).putJson(this.id(step.id), step.json, this.in(step)); }
  replace(step) { this.collection(step).replaceJson(this.id(step.id), step.json, this.in(step)); }
  get(step) { return this.collection(step).getJson(this.id(step.id), this.in(step)) ?? 'absent'; }

  async await(step) {
    const end = performance.now() + AWAIT_MS;
    while (this.get(step) !== step.expect && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    return this.get(step);
  }

  set(step) {
    const record = Object.fromEntries(Object.entries(step.fields).map(([name, [kind, text]]) => [name, fieldValue(kind, text)]));
    this.collection(step).put(this.id(step.id), record, this.in(step));
  }

  field(step) {
    const record = this.collection(step, { floats: 'wrap', integers: 'bigint' }).get(this.id(step.id), this.in(step));
    return fieldText(record?.[step.field]);
  }

  delete(step) { return this.collection(step).delete(this.id(step.id), this.in(step)) ? 'existed' : 'absent'; }
  get_field(step) { return this.collection(step).getFieldJson(this.id(step.id), step.field, this.in(step)) ?? 'absent'; }
  delete_field(step) { return this.collection(step).deleteField(this.id(step.id), step.field, this.in(step)) ? 'existed' : 'absent'; }

  names(step) {
    const names = [];
    for (let page = [], more = true; more; more = page.length === step.limit) {
      page = this.collection(step).fieldNames(this.id(step.id), { ...this.in(step), after: names.at(-1), limit: step.limit });
      if (page === undefined) return 'absent';
      names.push(...page);
    }
    return names.join(',');
  }

  count(step) { return String(this.collection(step).count(this.in(step))); }

  scan(step) {
    const rows = this.collection(step).scan({ ...this.in(step), pageSize: step.limit });
    return Array.from(rows, ([id]) => this.alias(id)).join(',');
  }

  get_many(step) {
    const ids = step.ids.map((id) => this.id(id));
    return this.collection(step).getManyJson(ids, this.in(step)).map((json) => json ?? 'absent').join('|');
  }

  write_many(step) {
    const rows = step.rows.map(({ op, id, json }) => ({ op, id: id && this.id(id), json }));
    const ids = this.collection(step).writeMany(rows, this.in(step));
    step.rows.forEach(({ as }, index) => as && this.aliases.set(as, ids[index]));
  }

  begin(step) { this.transactions.set(step.tx, this.vault(step).begin(step.mode, { timeoutMs: 0 })); }
  commit(step) { this.transactions.get(step.tx).commit(); }
  abort(step) { this.transactions.get(step.tx).abort(); }

  watch(step) {
    const source = step.collection ? this.collection(step) : this.vault(step);
    this.events.set(step.events, source.watch());
  }

  async events_of(step) {
    const events = this.events.get(step.events);
    const expected = step.expect === '' ? 0 : step.expect.split(',').length;
    const seen = [];
    while (seen.length < expected) {
      const change = await orNothing(events.next(), EVENT_MS);
      if (!change) break;
      seen.push(this.change(change.value));
    }
    const more = events.poll();
    if (more) seen.push(this.change(more));
    return seen.join(',');
  }

  change({ kind, id }) { return id ? `${kind} ${this.alias(id)}` : kind; }

  session(step) {
    const key = this.keys.get(step.key);
    const options = { profile: step.profile, context: step.context };
    this.sessions.set(step.session, step.peer
      ? Session.peer(key, this.keys.get(step.peer).public, options) : Session.self(key, options));
  }

  seal(step) {
    const sealed = this.sessions.get(step.session).seal(step.text, step.aad);
    this.messages.set(step.as, sealed);
    return String(sealed.length);
  }

  unseal(step) {
    const sealed = step.hex === undefined ? this.messages.get(step.message) : Buffer.from(step.hex, 'hex');
    return Buffer.from(this.sessions.get(step.session).open(sealed, step.aad)).toString();
  }

  sync(step) { this.syncs.set(step.device, this.device(step).sync(relay())); }
  wait_synced(step) { return this.syncs.get(step.device).wait({ idleMs: AWAIT_MS }); }
  stop_sync(step) { return this.syncs.get(step.device).stop(); }
  pair(step) { return this.#pair(step, (code) => code); }
  pair_wrong_code(step) { return this.#pair(step, (code) => (code === '000000' ? '000001' : '000000')); }

  async #pair(step, typed) {
    const [dir, key] = [join(this.work, step.dir), this.keys.get(step.key)];
    const offer = await this.device(step).pairOffer(relay());
    try {
      const joining = await Device.pairJoin(dir, key, offer.link, { name: step.name });
      try {
        const [request, code] = await Promise.all([offer.wait(), joining.waitCode()]);
        const [confirmed, joined] = await Promise.allSettled([offer.confirm(typed(code)), joining.waitDevice()]);
        if (confirmed.status === 'rejected') throw confirmed.reason;
        this.opened(step.new, joined.value, key, dir);
        return request.name;
      } finally {
        joining.close();
      }
    } finally {
      offer.close();
    }
  }

  async tick() {
    for (const start = Date.now(); Date.now() === start;) await new Promise(setImmediate);
  }
}

/** Steps whose names are taken by what a runner keeps under them. */
const METHODS = { close: 'close_device', devices: 'devices_of', events: 'events_of' };

function relay() {
  const url = process.env.SUBROSA_TEST_RELAY;
  if (!url) throw new Error('SUBROSA_TEST_RELAY is not set');
  return url;
}

/** What `promise` gives, or undefined after `ms`. */
function orNothing(promise, ms) {
  let timer;
  const timeout = new Promise((resolve) => { timer = setTimeout(resolve, ms); });
  return Promise.race([promise, timeout]).finally(() => clearTimeout(timer));
}

function fieldValue(kind, text) {
  switch (kind) {
    case 'null': return null;
    case 'bool': return text === 'true';
    case 'i64': return BigInt(text);
    case 'f64': return new Float(Number(text));
    case 'text': return text;
    case 'bytes': return Buffer.from(text, 'hex');
    case 'json': return decode(text, { floats: 'wrap' });
    default: throw new Error(`no kind ${kind}`);
  }
}

function fieldText(value) {
  switch (typeof value) {
    case 'undefined': return 'absent';
    case 'boolean': return `bool:${value}`;
    case 'bigint': return `i64:${value}`;
    case 'string': return `text:${value}`;
    default: break;
  }
  if (value === null) return 'null';
  if (value instanceof Float) return `f64:${encode(value)}`;
  if (value instanceof Uint8Array) return `bytes:${Buffer.from(value).toString('hex')}`;
  return Array.isArray(value) ? 'list' : 'map';
}

async function answerOf(runner, step) {
  try {
    return (await runner[METHODS[step.do] ?? step.do](step)) ?? 'ok';
  } catch (error) {
    if (!(error instanceof SubrosaError)) throw error;
    return `error ${error.name}`;
  }
}

async function runFile(path, work) {
  const file = basename(path);
  const { steps } = JSON.parse(readFileSync(path, 'utf8'));
  const folder = join(work, file.replace(/\.json$/, ''));
  mkdirSync(folder, { recursive: true });
  const runner = new Runner(folder);
  let isGood = true;
  for (const [index, step] of steps.entries()) {
    const answer = await answerOf(runner, step);
    const expected = step.error ? `error ${step.error}` : step.expect ?? 'ok';
    console.log(`${file} ${index + 1} ${step.do} ${answer}`);
    if (answer !== expected) {
      console.error(`${file} ${index + 1} ${step.do}: expected ${expected}, got ${answer}`);
      isGood = false;
      break;
    }
  }
  await runner.close();
  return isGood;
}

const [scenarios, work] = process.argv.slice(2);
for (const name of readdirSync(scenarios).filter((file) => file.endsWith('.json')).sort()) {
  if (!await runFile(join(scenarios, name), work)) process.exitCode = 1;
}
