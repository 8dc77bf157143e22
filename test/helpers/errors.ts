// What a bad request must give: a ManyscaleError with the right code and a message that says what was expected and received.
import { type ErrorCode, ManyscaleError } from 'manyscale';
import { expect } from 'vitest';

/** Runs `act`, which must fail (throw or reject), and returns the error. */
export async function failure(act: () => unknown): Promise<unknown> {
  let value: unknown;
  try {
    value = await act();
  } catch (error) {
    return error;
  }
  throw new Error(`Expected a failure but received ${String(value)}`);
}

export async function expectManyscaleError(
  act: () => unknown,
  code: ErrorCode | readonly ErrorCode[],
  ...mentions: (string | RegExp)[]
): Promise<ManyscaleError> {
  const error = await failure(act);
  if (!(error instanceof ManyscaleError)) throw new Error(`Expected a ManyscaleError but received ${describe(error)}`);
  expect(typeof code === 'string' ? [code] : code, error.message).toContain(error.code);
  expect(error.message).toMatch(/^Expected .* but (received|found|it |there )/s);
  for (const mention of mentions) expect(error.message).toMatch(mention);
  return error;
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
