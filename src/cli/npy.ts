// NumPy's .npy format, version 1.0: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
// Written: little-endian float32 or float16 in C order. One tensor keeps its shape; several are stacked along a new first axis.

import { ManyscaleError } from '../errors.js';
import type { OutputFile } from './files.js';
import { type Dtype, littleEndian, type NamedTensor, type TensorWriter } from './tensorfile.js';

const MAGIC = Buffer.from('\x93NUMPY\x01\x00', 'latin1');
// A multiple of 64, as the format asks; room for 13 dimensions of 15 digits.
const HEADER_BYTES = 320;

const DESCRIPTIONS: Readonly<Record<Dtype, string>> = { float32: '<f4', float16: '<f2' };

function encodeHeader(dims: readonly number[], dtype: Dtype): Buffer {
  // The comma makes a tuple of one number a tuple.
  const shape = dims.length === 1 ? `(${dims[0]},)` : `(${dims.join(', ')})`;
  const text = `{'descr': '${DESCRIPTIONS[dtype]}', 'fortran_order': False, 'shape': ${shape}, }`;
  const header = Buffer.alloc(HEADER_BYTES, ' ');
  MAGIC.copy(header);
  header.writeUInt16LE(HEADER_BYTES - MAGIC.length - 2, MAGIC.length);
  header.write(text, MAGIC.length + 2, 'latin1');
  header.write('\n', HEADER_BYTES - 1, 'latin1');
  return header;
}

/** One array with all tensors that are appended. `stack`: along a new first axis, even if there is only one. */
export function npyWriter(file: OutputFile, stack: boolean, dtype: Dtype = 'float32'): TensorWriter {
  let first: NamedTensor | undefined;
  let count = 0;
  let position = HEADER_BYTES;
  return {
    async append(tensor) {
      first ??= { ...tensor, data: new Float32Array(0) };
      if (tensor.dims.join() !== first.dims.join()) {
        throw new ManyscaleError(
          'ERR_INVALID_ARGUMENT',
          `Expected features of one shape for a .npy file but received ${first.dims.join(' x ')} (${first.name}) and ` +
            `${tensor.dims.join(' x ')} (${tensor.name}). Write a .safetensors file instead, which holds one tensor per image`,
        );
      }
      await file.write(littleEndian(tensor.data), position);
      position += tensor.data.byteLength;
      count++;
    },
    async finish() {
      const dims = first?.dims ?? [];
      await file.write(encodeHeader(stack ? [count, ...dims] : dims, dtype), 0);
    },
  };
}
