// What an image needs before it may hold memory: a place among its Extractor's images, then a ticket for its bytes.

import type { NativeSession, NativeTicket } from '../native/addon.js';
import { reserve, tryReserve } from '../native/calls.js';
import { Slots } from './slots.js';

export class Admission {
  readonly #session: NativeSession;
  readonly #places: Slots;

  /** @param images that may hold memory at once, however little: more of them would only wait for the model. */
  constructor(session: NativeSession, images: number) {
    this.#session = session;
    this.#places = new Slots(images);
  }

  /** Now or not at all. Throws ERR_IMAGE_TOO_LARGE when so many bytes could never be had. */
  tryReserve(bytes: number): NativeTicket | undefined {
    if (!this.#places.tryTake()) return undefined;
    let ticket: NativeTicket | undefined;
    try {
      ticket = tryReserve(this.#session, bytes);
    } finally {
      if (!ticket) this.#places.leave();
    }
    return ticket && this.#withPlace(ticket);
  }

  /** First come, first served. Throws ERR_IMAGE_TOO_LARGE as tryReserve; the signal's reason when it aborts. */
  async reserve(bytes: number, signal: AbortSignal): Promise<NativeTicket> {
    await this.#places.take(signal);
    try {
      return this.#withPlace(await reserve(this.#session, bytes, signal));
    } catch (error) {
      this.#places.leave();
      throw error;
    }
  }

  #withPlace(ticket: NativeTicket): NativeTicket {
    let isHeld = true;
    return {
      release: () => {
        if (!isHeld) return;
        isHeld = false;
        ticket.release();
        this.#places.leave();
      },
    };
  }
}
