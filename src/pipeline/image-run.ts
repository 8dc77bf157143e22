// One image's way through an Extractor: it ends at once when it is told to, whatever it waits for, and gives its ticket back
// when nothing works on its memory any more.

import type { NativeTicket } from '../native/addon.js';

export class ImageRun<T> {
  /** Settles when the caller is to know: at once when the run is cancelled, with the reason. */
  readonly result: Promise<T>;
  /** Resolves when the ticket is there, or when the run has ended without one. */
  readonly admitted: Promise<void>;

  readonly #controller = new AbortController();
  readonly #onAdmitted: () => void;
  #resolveAdmitted: () => void = () => {};
  #ticket: NativeTicket | undefined;
  #users = 0;
  #isOver = false;
  #native: Promise<unknown> = Promise.resolve();

  /**
   * @param work begins before the constructor returns, and watches `signal` wherever it waits.
   * @param onAdmitted is called when the ticket comes.
   */
  constructor(work: (run: ImageRun<T>) => Promise<T>, onAdmitted: () => void) {
    this.#onAdmitted = onAdmitted;
    this.admitted = new Promise((resolve) => {
      this.#resolveAdmitted = resolve;
    });
    this.result = work(this).finally(() => this.#end());
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Whether the ticket was given. */
  get wasAdmitted(): boolean {
    return this.#ticket !== undefined;
  }

  /** Resolves when no native code works on the image any more, however the run ended. */
  get native(): Promise<unknown> {
    return this.#native;
  }

  cancel(reason?: unknown): void {
    this.#controller.abort(reason);
  }

  /** A ticket that comes after the end goes back at once. */
  admit(ticket: NativeTicket): void {
    if (this.#isOver) {
      ticket.release();
      return;
    }
    this.#ticket = ticket;
    this.#onAdmitted();
    this.#resolveAdmitted();
  }

  /** Keeps the ticket until `work`, which uses the memory that it stands for, has settled. */
  use<R>(work: Promise<R>): Promise<R> {
    this.#users++;
    const settled = () => {
      this.#users--;
      this.#releaseIfUnused();
    };
    work.then(settled, settled);
    return work;
  }

  /** Native work on the image; never rejects. */
  useNative(ended: Promise<void>): void {
    this.#native = this.use(ended);
  }

  #end(): void {
    this.#isOver = true;
    this.#resolveAdmitted();
    this.#releaseIfUnused();
  }

  #releaseIfUnused(): void {
    if (this.#isOver && this.#users === 0) this.#ticket?.release();
  }
}
