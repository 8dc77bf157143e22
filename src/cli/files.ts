// Files that appear whole or not at all.

import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { CommandError } from './errors.js';

/** System errors of our own file operations, told without the temporary file's name. */
async function writing<T>(path: string, operation: Promise<T>): Promise<T> {
  try {
    return await operation;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const reasons: Record<string, string> = {
      ...(!existsSync(dirname(path)) && { ENOENT: `there is no folder ${dirname(path)}` }),
      ENOTDIR: `${dirname(path)} is not a folder`,
      EISDIR: 'it is a folder',
      EACCES: 'permission denied',
      EPERM: 'permission denied',
      EROFS: 'the file system is read-only',
      ENOSPC: 'no space is left on the device',
      EDQUOT: 'the disk quota is used up',
    };
    const reason = reasons[code ?? ''] ?? (cause instanceof Error ? cause.message : String(cause));
    throw new CommandError('ERR_OUTPUT', `Expected to write '${path}' but could not: ${reason}`, { cause });
  }
}

/** A file being written. */
export class OutputFile {
  readonly #path: string;
  readonly #handle: FileHandle;

  constructor(path: string, handle: FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  /** Writes all of `bytes` at `position`. */
  async write(bytes: Uint8Array, position: number): Promise<void> {
    // One call may write less than it is given.
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await writing(
        this.#path,
        this.#handle.write(bytes, done, bytes.length - done, position + done),
      );
      done += bytesWritten;
    }
  }
}

/**
 * Writes a file under another name beside `path` and gives it its own only when `write` has succeeded: what stood there before stays
 * until then, and a failure or an interruption leaves nothing behind.
 * @throws {CommandError} ERR_OUTPUT
 */
export async function writeAtomically<T>(path: string, write: (file: OutputFile) => Promise<T>): Promise<T> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
  const handle = await writing(path, open(temporary, 'wx'));
  try {
    const result = await write(new OutputFile(path, handle));
    await writing(path, handle.close());
    await writing(path, rename(temporary, path));
    return result;
  } catch (error) {
    // What matters to the caller is why writing failed; closing twice does no harm.
    await handle.close().catch(() => undefined);
    await rm(temporary, { force: true }).catch(() => undefined);
    throw error;
  }
}
