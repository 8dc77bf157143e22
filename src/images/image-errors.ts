// The errors of images that cannot be read or decoded, in the one message shape.

import { type ErrorCode, ManyscaleError } from '../errors.js';

/** What is decoded, as users call it. */
export const FORMATS = 'JPEG, PNG, WebP, AVIF, TIFF or GIF';

/** `what`: the image, as messages call it. */
export function imageError(
  code: ErrorCode,
  expected: string,
  what: string,
  received: string,
  advice: string,
  cause?: unknown,
): ManyscaleError {
  const message = `Expected ${expected} for ${what} but received ${received}; ${advice}`;
  return new ManyscaleError(code, message, cause === undefined ? undefined : { cause });
}

export function damaged(what: string, received: string, cause?: unknown): ManyscaleError {
  const advice = 'the file is empty, cut off or damaged';
  return imageError('ERR_IMAGE_DECODE', `a whole ${FORMATS} image`, what, received, advice, cause);
}

export function unsupported(what: string, received: string, advice = 'convert it to one of these'): ManyscaleError {
  return imageError('ERR_IMAGE_UNSUPPORTED', `a ${FORMATS} image`, what, received, advice);
}

/** The first line of what a decoder says. */
export function reason(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n', 1)[0] ?? '';
}
