// Comparing arrays of numbers, with a message that says where they differ most.
import { expect } from 'vitest';

/** The largest absolute difference and where it is; infinite when lengths differ or a value is not a number. */
export function largestDifference(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
): { error: number; index: number } {
  if (actual.length !== expected.length) return { error: Number.POSITIVE_INFINITY, index: -1 };
  let error = 0;
  let index = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs((actual[i] as number) - (expected[i] as number));
    if (!(difference <= error)) {
      error = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
      index = i;
      if (error === Number.POSITIVE_INFINITY) break;
    }
  }
  return { error, index };
}

export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  what: string,
): void {
  const { error, index } = largestDifference(actual, expected);
  const place =
    index < 0
      ? `length ${actual.length} instead of ${expected.length}`
      : `${actual[index]} instead of ${expected[index]} at element ${index} of ${expected.length}`;
  expect(error, `${what}: ${place}`).toBeLessThanOrEqual(tolerance);
}

/** The root mean square: what a relative tolerance is relative to. */
export function magnitude(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += (values[i] as number) ** 2;
  return Math.sqrt(sum / Math.max(values.length, 1));
}
