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

/** ERR_INVALID_ARGUMENT in the one message shape. `advice` says what to do. */
export function invalid(expected: string, what: string, received: unknown, advice?: string): ManyscaleError {
  const message = `Expected ${expected} for ${what} but received ${describe(received)}`;
  return new ManyscaleError('ERR_INVALID_ARGUMENT', advice ? `${message}; ${advice}` : message);
}

/** A value and its type, short enough for a message. Whatever the value is, this does not throw. */
export function describe(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  return `${show(value)} of type ${typeName(value)}`;
}

function typeName(value: unknown): string {
  if (typeof value !== 'object') return typeof value;
  try {
    return Object.prototype.toString.call(value).slice('[object '.length, -1);
  } catch {
    return 'object'; // a proxy that was revoked, a tag that throws
  }
}

const MOST_ELEMENTS = 8;
const MOST_CHARACTERS = 80;

/** A value without its type, as describe() shows it. */
export function show(value: unknown, depth = 0): string {
  switch (typeof value) {
    case 'string':
      return `'${value.length > MOST_CHARACTERS ? `${value.slice(0, MOST_CHARACTERS - 3)}...` : value}'`;
    case 'function':
      return 'a function';
    case 'object':
      return value === null ? 'null' : showObject(value, depth);
    default:
      return String(value);
  }
}

function showObject(value: object, depth: number): string {
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`;
  try {
    if (!Array.isArray(value)) return depth === 0 ? 'an object' : '{...}';
    if (depth > 1) return '[...]';
    if (value.length > MOST_ELEMENTS) return `an array of ${value.length}`;
    return `[${value.map((element: unknown) => show(element, depth + 1)).join(', ')}]`;
  } catch {
    return 'an object'; // getters may throw
  }
}
