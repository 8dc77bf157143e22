// Copies of what the caller may change or give away.

import { ManyscaleError } from './errors.js';

/** @throws {ManyscaleError} ERR_OUT_OF_MEMORY. */
export function copyBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(bytes);
  } catch (cause) {
    const expected = `Expected memory for a copy of ${bytes.length} bytes but received none`;
    throw new ManyscaleError('ERR_OUT_OF_MEMORY', `${expected}; let fewer images wait at once (extractMany does)`, {
      cause,
    });
  }
}
