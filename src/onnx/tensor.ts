// Values of tensors.

import { ELEMENT_TYPES, type TensorProto } from './schema.js';

/** How many values a tensor has. */
export function elementsOf(tensor: TensorProto): number {
  return tensor.dims.reduce((product, dim) => product * Number(dim), 1);
}

/** Values of a float32 or float16 tensor, copied as float32. They must be in the model itself, not in another file. */
export function readFloats(tensor: TensorProto): Float32Array {
  const { dataType, rawData, floatData, name } = tensor;
  // A copy, because values in a file lie at any offset.
  if (dataType === ELEMENT_TYPES.float16 && rawData.length > 0)
    return Float32Array.from(new Uint16Array(new Uint8Array(rawData).buffer), fromHalf);
  if (dataType !== ELEMENT_TYPES.float32) throw new TypeError(`${name} has no float values`);
  // A file has one or the other.
  return rawData.length === 0 ? Float32Array.from(floatData) : new Float32Array(new Uint8Array(rawData).buffer);
}

/** IEEE 754 binary16 bits to a number. */
export function fromHalf(bits: number): number {
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}
