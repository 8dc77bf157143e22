// A limit on how much goes on at once, first come, first served.

import { availableParallelism } from 'node:os';
import { onceAborted } from '../abort.js';

export class Slots {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(count: number) {
    this.#free = count;
  }

  /** Takes a place if one is free, for which nobody waits then. */
  tryTake(): boolean {
    if (this.#free === 0) return false;
    this.#free--;
    return true;
  }

  /** Resolves when a place is taken. Rejects with the reason of an aborted signal, and leaves the queue, as soon as it aborts. */
  async take(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.tryTake()) return;
    let forget = () => {};
    try {
      await new Promise<void>((resolve, reject) => {
        this.#waiting.add(resolve);
        if (!signal) return;
        forget = onceAborted(signal, () => {
          // Otherwise the place has been handed over already, and is the caller's.
          if (this.#waiting.delete(resolve)) reject(signal.reason);
        });
      });
    } finally {
      forget();
    }
  }

  /** Gives a place back, to whoever has waited longest. */
  leave(): void {
    const [next] = this.#waiting;
    if (!next) {
      this.#free++;
      return;
    }
    this.#waiting.delete(next);
    next();
  }

  /**
   * Runs `work` when a place is free and gives the place back when it settles. With an aborted signal the call rejects
   * with its reason without running.
   */
  async run<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    await this.take(signal);
    try {
      signal?.throwIfAborted();
      return await work();
    } finally {
      this.leave();
    }
  }
}

/** libuv's pool, on which sharp decodes and Node.js reads files, has so many threads. */
const POOL_THREADS = Number(process.env['UV_THREADPOOL_SIZE']) || 4;

/**
 * For decoding, of all Extractors: enough that the processors always have work, few enough that the decoder's threads do not
 * crowd out the JavaScript thread, and that one of libuv's is left for files and the program's own work.
 */
export const decodingPlaces = new Slots(Math.max(1, Math.min(availableParallelism(), POOL_THREADS - 1)));
