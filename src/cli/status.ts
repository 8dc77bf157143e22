// What a long command is doing: one line on stderr that overwrites itself, only where a person watches.

export class StatusLine {
  readonly #shown = process.stderr.isTTY === true;
  #written = false;

  /** Replaces the line. */
  show(text: string): void {
    if (!this.#shown) return;
    process.stderr.write(`\r${text}\x1b[K`);
    this.#written = true;
  }

  /** Clears the line, before anything else is written. */
  end(): void {
    if (this.#written) process.stderr.write('\r\x1b[K');
    this.#written = false;
  }
}
