// What src/ itself throws (test/helpers/errors.ts is for the built package, whose classes are others).
import { expect } from 'vitest';
import { type ErrorCode, ManyscaleError } from '../../src/errors.js';

export async function expectCode(act: () => unknown, code: ErrorCode, message: RegExp): Promise<ManyscaleError> {
  let thrown: unknown;
  try {
    await act();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(ManyscaleError);
  const error = thrown as ManyscaleError;
  expect([error.code, error.message]).toEqual([code, expect.stringMatching(message)]);
  expect(error.message).toMatch(/^Expected /);
  return error;
}
