// A limit on how much goes on at once, first come, first served.

import { availableParallelism } from 'node:os';

/** Waits for a place and gives it back. */
export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /**
   * Runs `work` when a place is free and gives the place back when it settles. With an aborted signal the call rejects
   * with its reason without running.
   */
  async run<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve)); // whoever leaves hands over its place
    try {
      signal?.throwIfAborted();
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}

/**
 * For decoding, of all Extractors: enough that the processors always have work, few enough that the decoder's threads do not
 * crowd out the JavaScript thread.
 */
export const decodingPlaces = new Slots(availableParallelism());
