// How far a long command is, on the status line.

import type { LoadProgress } from '../options/gpu.js';
import { StatusLine } from './status.js';

/** Counts finished images; silent for a single one. */
export class Progress {
  readonly #total: number;
  readonly #line = new StatusLine();
  readonly #start = performance.now();
  #done = 0;
  #last = 0;

  constructor(total: number) {
    this.#total = total;
  }

  /** One more image is done. */
  advance(): void {
    this.#done++;
    const now = performance.now();
    if (this.#total === 1 || (now - this.#last < 100 && this.#done < this.#total)) return;
    this.#last = now;
    this.#line.show(progressLine(this.#done, this.#total, (now - this.#start) / 1000));
  }

  /** Clears the line, before anything else is written. */
  end(): void {
    this.#line.end();
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

/** For Extractor.load: says what takes long, also where nobody watches, and counts the seconds where somebody does. */
export function loadProgress(): (progress: LoadProgress) => void {
  const line = new StatusLine();
  return ({ state, message }) => {
    if (state === 'running') return line.show(message);
    line.end();
    process.stderr.write(`${message}\n`);
  };
}
