// Values of initializers.

import { ELEMENT_TYPES, type TensorProto } from './schema.js';

/** How many values a tensor has. */
export function elementsOf(tensor: TensorProto): number {
  return tensor.dims.reduce((product, dim) => product * Number(dim), 1);
}

/** A float32 tensor's values, copied. Its values must be in the model itself, not in another file. */
export function readFloats(tensor: TensorProto): Float32Array {
  if (tensor.dataType !== ELEMENT_TYPES.float32) throw new TypeError(`${tensor.name} is not float32`);
  // A file has one or the other; a copy, because bytes in a file lie at any offset.
  if (tensor.rawData.length === 0) return Float32Array.from(tensor.floatData);
  return new Float32Array(new Uint8Array(tensor.rawData).buffer);
}
