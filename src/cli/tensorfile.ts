// What the writers of tensor files share. Both formats begin with a header that tells shapes which are only known at the end, so a writer
// leaves room for it, appends each tensor as it comes, and fills the room in at last: memory does not grow with the number of images.

import { endianness } from 'node:os';

/** Of the elements of a tensor. */
export type Dtype = 'float32' | 'float16';

/** A tensor and the name that it has in a file. */
export interface NamedTensor {
  name: string;
  dims: readonly number[];
  /** Two bytes per element are float16. */
  data: Float32Array | Uint16Array;
}

/** Takes tensors one after another. */
export interface TensorWriter {
  append(tensor: NamedTensor): Promise<void>;
  /** Fills in the header; `metadata` where the format has a place for it. */
  finish(metadata: Readonly<Record<string, string>>): Promise<void>;
}

/** The bytes of `data` in little-endian order, which both formats use. No copy where the machine has that order itself. */
export function littleEndian(data: Float32Array | Uint16Array): Uint8Array {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (endianness() === 'LE') return bytes;
  return data.BYTES_PER_ELEMENT === 2 ? Buffer.from(bytes).swap16() : Buffer.from(bytes).swap32();
}
