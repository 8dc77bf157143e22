// Half-precision numbers (IEEE 754 binary16): sign, 5 bits of exponent, 10 of fraction. Node.js has no array of them
// before 24, so there they are read from their bits.

/** 2^(exponent - 15) of normal numbers. */
const POWERS = Float64Array.from({ length: 31 }, (_, exponent) => 2 ** (exponent - 15));

/** The number that 16 bits stand for; exact. */
export function halfToNumber(bits: number): number {
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  let magnitude: number;
  if (exponent === 0x1f) magnitude = fraction === 0 ? Number.POSITIVE_INFINITY : Number.NaN;
  else if (exponent === 0) magnitude = fraction * 2 ** -24;
  else magnitude = (1 + fraction * 2 ** -10) * (POWERS[exponent] as number);
  return bits & 0x8000 ? -magnitude : magnitude;
}

/**
 * The data of a float32 or float16 tensor as float32; exact. float16 is a Uint16Array of bits, or a Float16Array where the
 * runtime has one. float32 is returned as it is.
 */
export function toFloat32(data: unknown): Float32Array {
  switch ((data as { [Symbol.toStringTag]?: string })[Symbol.toStringTag]) {
    case 'Float32Array':
      return data as Float32Array;
    case 'Uint16Array':
      return Float32Array.from(data as Uint16Array, halfToNumber);
    default:
      return Float32Array.from(data as ArrayLike<number>); // Float16Array: its elements are numbers
  }
}
