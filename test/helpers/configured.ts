// Models with configuration files beside them, as Hugging Face lays them out.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export class Repositories {
  readonly #root = mkdtempSync(join(tmpdir(), 'manyscale-configured-'));
  #count = 0;

  /** A fresh folder with these files; values that are no bytes or texts become JSON. */
  make(files: Record<string, unknown>): string {
    const folder = join(this.#root, String(this.#count++));
    mkdirSync(folder);
    for (const [name, content] of Object.entries(files)) {
      const path = join(folder, name);
      mkdirSync(dirname(path), { recursive: true });
      const isPlain = typeof content === 'string' || content instanceof Uint8Array;
      writeFileSync(path, isPlain ? content : JSON.stringify(content));
    }
    return folder;
  }

  remove(): void {
    rmSync(this.#root, { recursive: true });
  }
}
