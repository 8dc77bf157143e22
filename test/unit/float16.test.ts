// Half-precision numbers: every one of the 65,536 is read exactly.

import { expect, test } from 'vitest';
import { halfToNumber, toFloat32 } from '../../src/float16.js';

/** By moving the bits to where float32 has them, which works for all but subnormal numbers; those are multiples of 2^-24. */
function expected(bits: number): number {
  const exponent = (bits & 0x7c00) >> 10;
  const fraction = bits & 0x3ff;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 0) return (sign * fraction) / 16_777_216;
  const wide = ((bits & 0x8000) << 16) | ((exponent === 31 ? 255 : exponent + 112) << 23) | (fraction << 13);
  return new Float32Array(Int32Array.of(wide).buffer)[0] as number;
}

test('all of them', () => {
  for (let bits = 0; bits < 65_536; bits++) {
    const value = halfToNumber(bits);
    if (!Object.is(value, expected(bits))) throw new Error(`0x${bits.toString(16)}: ${value} is not ${expected(bits)}`);
  }
});

test.each([
  [0x3c00, 1],
  [0xc000, -2],
  [0x7bff, 65_504],
  [0x0001, 2 ** -24],
  [0x03ff, 1023 * 2 ** -24],
  [0x0400, 2 ** -14],
  [0x3555, 0.333251953125],
  [0x8000, -0],
  [0x7c00, Number.POSITIVE_INFINITY],
  [0x7e00, Number.NaN],
])('%i is %f', (bits, value) => {
  expect(halfToNumber(bits)).toBe(value);
});

test("a tensor's data", () => {
  const floats = Float32Array.of(1, 2);
  expect(toFloat32(floats)).toBe(floats);
  expect([...toFloat32(Uint16Array.of(0x3c00, 0xb800))]).toEqual([1, -0.5]);
  // What newer runtimes have instead is read as numbers.
  expect([...toFloat32([1, -0.5])]).toEqual([1, -0.5]);
});
