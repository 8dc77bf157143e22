// How far a long command is: one line on stderr that overwrites itself, only where a person watches.

/** Counts finished images. */
export class Progress {
  readonly #total: number;
  readonly #shown: boolean;
  readonly #start = performance.now();
  #done = 0;
  #last = 0;

  constructor(total: number) {
    this.#total = total;
    this.#shown = total > 1 && process.stderr.isTTY === true;
  }

  /** One more image is done. */
  advance(): void {
    this.#done++;
    const now = performance.now();
    if (!this.#shown || (now - this.#last < 100 && this.#done < this.#total)) return;
    this.#last = now;
    process.stderr.write(`\r${progressLine(this.#done, this.#total, (now - this.#start) / 1000)}\x1b[K`);
  }

  /** Clears the line, before anything else is written. */
  end(): void {
    if (this.#shown && this.#done > 0) process.stderr.write('\r\x1b[K');
  }
}

/** '12/100 images, 3.2 images/s, 28 s left' */
export function progressLine(done: number, total: number, seconds: number): string {
  const rate = done / Math.max(seconds, 1e-3);
  const left = Math.ceil((total - done) / rate);
  const time =
    left < 60
      ? `${left} s`
      : left < 3600
        ? `${Math.floor(left / 60)} min ${left % 60} s`
        : `${Math.floor(left / 3600)} h ${Math.floor((left % 3600) / 60)} min`;
  return `${done}/${total} images, ${rate.toFixed(1)} images/s, ${time} left`;
}
