// Tensors are onnxruntime-common's. They are recognised by { type, dims, data }, never by instanceof: several copies of
// the package in one process, plain objects and other realms are all welcome.

import { Tensor } from 'onnxruntime-common';
import { describe, type ErrorCode, ManyscaleError, show } from './errors.js';

export { Tensor };

/** What counts as a tensor where one is taken. */
export interface TensorLike {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: unknown;
}

/** A checked float32 tensor: the data has exactly as many elements as the dims say. */
export interface FloatTensor {
  readonly dims: readonly number[];
  readonly data: Float32Array;
}

export function isTensorLike(value: unknown): value is TensorLike {
  if (typeof value !== 'object' || value === null) return false;
  return 'type' in value && 'dims' in value && 'data' in value && Array.isArray(value.dims);
}

/**
 * A float32 tensor of one of the given ranks, or an error with `code` that says what was received. `names` are the
 * names of the dimensions, one list per rank, for the message.
 */
export function checkFloatTensor(
  value: unknown,
  what: string,
  names: readonly (readonly string[])[],
  code: ErrorCode = 'ERR_INVALID_ARGUMENT',
): FloatTensor {
  const expected = `a float32 tensor [${names.map((list) => list.join(', ')).join('] or [')}]`;
  const refuse = (received: string, advice?: string): ManyscaleError =>
    new ManyscaleError(code, `Expected ${expected} for ${what} but received ${received}${advice ? `; ${advice}` : ''}`);
  if (!isTensorLike(value)) throw refuse(describe(value), 'a tensor has type, dims and data');
  const { type } = value;
  if (typeof type !== 'string') throw refuse(`type ${describe(type)}`);
  const dims = [...value.dims];
  const shown = `${type.slice(0, 40)} ${show(dims)}`;
  if (type !== 'float32')
    throw refuse(
      shown,
      type === 'float16' ? 'float16 is not available in this version, convert it to float32' : 'convert it to float32',
    );
  if (!names.some((list) => list.length === dims.length)) throw refuse(`rank ${dims.length}: ${shown}`);
  if (!dims.every((dim) => Number.isSafeInteger(dim) && dim >= 1))
    throw refuse(shown, 'every dimension is an integer of at least 1');

  const data = readData(value, refuse);
  const elements = dims.reduce((product, dim) => product * dim, 1);
  if (data.length !== elements) {
    if (isDetached(data))
      throw refuse(`${shown} whose data was transferred away`, 'keep the buffer until the call has returned');
    throw refuse(`${shown} with ${data.length} elements instead of ${elements}`);
  }
  return { dims, data };
}

function readData(tensor: TensorLike, refuse: (received: string, advice?: string) => ManyscaleError): Float32Array {
  let data: unknown;
  try {
    data = tensor.data; // a getter that throws when the data lies on a GPU or was disposed
  } catch (error) {
    throw refuse(
      `data that cannot be read (${error instanceof Error ? error.message : String(error)})`,
      'copy it to the CPU first',
    );
  }
  // By tag, not instanceof: another realm's Float32Array is one too.
  if (!ArrayBuffer.isView(data) || (data as Float32Array)[Symbol.toStringTag] !== 'Float32Array') {
    throw refuse(`data ${describe(data)}`, 'the data of a float32 tensor is a Float32Array');
  }
  return data as Float32Array;
}

/** Whether a view's buffer was transferred away. (ArrayBuffer.prototype.detached came after Node 20.) */
export function isDetached(view: ArrayBufferView): boolean {
  if (view.byteLength > 0 || view.buffer.byteLength > 0) return false;
  try {
    new Uint8Array(view.buffer);
    return false;
  } catch {
    return true;
  }
}

/** Whether others could change the memory's size or content while it is read: such memory is copied in JavaScript. */
export function isUnstable(view: ArrayBufferView): boolean {
  const buffer = view.buffer as ArrayBufferLike & { resizable?: boolean };
  return Object.prototype.toString.call(buffer) === '[object SharedArrayBuffer]' || buffer.resizable === true;
}
