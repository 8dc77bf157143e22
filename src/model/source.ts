// Where a model comes from, and what makes two models the same, so that Extractors can share one.

import { realpath, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { copyBytes } from '../copy.js';
import { invalid, ManyscaleError } from '../errors.js';
import { isDetached } from '../tensor.js';

export interface ModelSource {
  /** An absolute path, or bytes that nobody else changes. */
  model: string | Uint8Array;
  /** The same for the same file, unchanged, and for the same bytes. */
  identity: string;
}

/** A path of a file that is there and not empty, or bytes; those are copied before the call returns. */
export async function checkModelSource(model: unknown): Promise<ModelSource> {
  if (typeof model === 'string' && model !== '') return checkModelPath(model);
  if (!ArrayBuffer.isView(model) || (model as Uint8Array)[Symbol.toStringTag] !== 'Uint8Array') {
    throw invalid('the path of an ONNX file or its bytes (Uint8Array)', 'model', model);
  }
  const given = model as Uint8Array;
  if (isDetached(given)) throw invalid('bytes', 'model', given, 'the buffer was transferred away');
  if (given.length === 0)
    throw new ManyscaleError('ERR_MODEL_LOAD', 'Expected the bytes of an ONNX file for model but received 0 bytes');
  const bytes = copyBytes(given);
  // Computed on another thread: a large model takes a while.
  const digest = await crypto.subtle.digest('SHA-256', bytes);
  return { model: bytes, identity: `sha256:${Buffer.from(digest).toString('hex')}` };
}

/** The runtime's own messages for files that are missing or empty name its source files. */
async function checkModelPath(path: string): Promise<ModelSource> {
  const refuse = (received: string, cause?: unknown) =>
    new ManyscaleError(
      'ERR_MODEL_LOAD',
      `Expected the path of an ONNX file for model but received '${path}'${received}; check the path`,
      { cause },
    );
  const [file, real] = await Promise.all([stat(path, { bigint: true }), realpath(path)]).catch(
    (cause: NodeJS.ErrnoException) => {
      throw refuse(`, which cannot be read (${cause.code})`, cause);
    },
  );
  if (!file.isFile()) throw refuse(', which is not a file');
  if (file.size === 0n) throw refuse(', which is empty');
  // The file itself, whatever path leads to it, and its last change. Weights in files beside it are not looked at.
  const { dev, ino, size, mtimeNs } = file;
  return { model: resolve(path), identity: `file:${dev}:${ino}:${size}:${mtimeNs}:${real}` };
}
