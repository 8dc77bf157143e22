// What the writers of tensor files share. Both formats begin with a header that tells shapes which are only known at the end, so a writer
// leaves room for it, appends each tensor as it comes, and fills the room in at last: memory does not grow with the number of images.

import { endianness } from 'node:os';

/** A float32 tensor and the name that it has in a file. */
export interface NamedTensor {
  name: string;
  dims: readonly number[];
  data: Float32Array;
}

/** Takes tensors one after another. */
export interface TensorWriter {
  append(tensor: NamedTensor): Promise<void>;
  /** Fills in the header; `metadata` where the format has a place for it. */
  finish(metadata: Readonly<Record<string, string>>): Promise<void>;
}

/** The bytes of `data` in little-endian order, which both formats use. No copy where the machine has that order itself. */
export function littleEndian(data: Float32Array): Uint8Array {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return endianness() === 'LE' ? bytes : Buffer.from(bytes).swap32();
}
