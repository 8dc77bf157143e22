// The one error type of the package. native/core/error.h has the same codes for what fails in native code.

/** What went wrong, in a form that programs can act on. Codes never change their meaning. */
export type ErrorCode =
  | 'ERR_INVALID_ARGUMENT'
  | 'ERR_IMAGE_READ'
  | 'ERR_IMAGE_DECODE'
  | 'ERR_IMAGE_UNSUPPORTED'
  | 'ERR_IMAGE_TOO_LARGE'
  | 'ERR_PLAN_TOO_LARGE'
  | 'ERR_MODEL_LOAD'
  | 'ERR_MODEL_SHAPE'
  | 'ERR_MODEL_RUN'
  | 'ERR_RUNTIME_UNAVAILABLE'
  | 'ERR_ADDON_UNAVAILABLE'
  | 'ERR_DEVICE_UNAVAILABLE'
  | 'ERR_DEVICE_FAILED'
  | 'ERR_OUT_OF_MEMORY'
  | 'ERR_BUSY'
  | 'ERR_DISPOSED';

/** Every failure that manyscale itself finds. The message says what was expected, what was received and what to do. */
export class ManyscaleError extends Error {
  override readonly name = 'ManyscaleError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
