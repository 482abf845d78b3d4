// Pairing: a device that is in shows a link, a new one joins with it, and both people see the same six digits.

import { C, DeviceInfo } from './native.js';
import { callAsync, check, refusal, withBlock } from './errors.js';
import { optionalText } from './bytes.js';
import { Handle } from './handle.js';
import { deviceInfo } from './lists.js';
import { Waits, mayAsk } from './wait.js';

const CODE_SIZE = 8;

/** The side of a device that is in. */
export class PairOffer extends Handle {
  #waits = new Waits();
  /** Keeps the device open. */
  device;

  /** @internal */
  constructor(token, device) {
    super(token, 'offer', C.pair_offer_close);
    this.device = device;
  }

  /** A secret until it is used: to be shown as a QR code, not logged. */
  get link() {
    return withBlock((block) => {
      check(C.pair_offer_link(this._token, block.buf, block.err), block);
      return block.takeSecretText();
    });
  }

  /** Until a device answers: its code and name. */
  async wait(options) {
    await this.device._mayAsk(() => this.#waits.withTimeout(
      (slice, cancel, block) => callAsync(C.pair_offer_wait, [this._token, slice, cancel, block.err], block), options));
    return this.#request();
  }

  #request() {
    return withBlock((block) => {
      check(C.pair_offer_request(this._token, block.area, block.buf, block.err), block);
      return { code: codeText(block), name: block.takeText() };
    });
  }

  /** Lets the device in with the code that the person read from it and typed. */
  async confirm(typed) {
    const given = optionalText(typed, 'a code');
    // To the library it would say that the codes were compared.
    if (given.length === 0) throw refusal('INVALID_ARGUMENT', 'no code was typed');
    return this.#confirm(given);
  }

  /** Lets the device in: the person has seen both codes, and they are equal. */
  async confirmCodesAreEqual() { return this.#confirm({ bytes: null, length: 0 }); }

  #confirm(given) {
    const { name } = this.#request();
    return this.device._inPool('pair_offer_confirm',
      (block) => [this._token, given.bytes, given.length, block.putStruct(DeviceInfo), block.err],
      (block) => deviceInfo(block.takeStruct(DeviceInfo), name));
  }

  async decline() { await this.device._inPool('pair_offer_decline', (block) => [this._token, block.err]); }

  /** Withdraws the link. */
  close() {
    this.#waits.end('PAIR_OVER');
    super.close();
  }
}

/** The side of the new device. */
export class PairJoin extends Handle {
  #waits = new Waits();
  #hasProvider;
  #makeDevice;

  /** @internal */
  constructor(token, hasProvider, makeDevice) {
    super(token, 'join', C.pair_join_close);
    this.#hasProvider = hasProvider;
    this.#makeDevice = makeDevice;
  }

  /** The six digits to show. */
  async waitCode(options) {
    return mayAsk(this.#hasProvider, () => this.#waits.withTimeout((slice, cancel, block) => callAsync(C.pair_join_wait_code,
      [this._token, slice, cancel, block.area, block.err], block, codeText), options));
  }

  /** The device, once the old one has let it in. */
  async waitDevice(options) {
    return mayAsk(this.#hasProvider, () => this.#waits.withTimeout((slice, cancel, block) => callAsync(C.pair_join_wait_device,
      [this._token, slice, cancel, block.out, block.err], block, () => this.#makeDevice(block.handle)), options));
  }

  close() {
    this.#waits.end('PAIR_OVER');
    super.close();
  }
}

function codeText(block) {
  const bytes = block.copy(block.area, CODE_SIZE);
  return Buffer.from(bytes.subarray(0, bytes.indexOf(0))).toString();
}
