// How failures reach a person: one message on stderr and an exit code.

import { ManyscaleError } from '../errors.js';

/** Exit codes. An interruption ends with 128 + the signal's number, as a shell expects. */
export const EXIT = { failure: 1, usage: 2 } as const;

/** The command was interrupted by a signal, such as Ctrl-C. */
export class Interrupted extends Error {
  readonly exitCode: number;

  constructor(signal: 'SIGINT' | 'SIGTERM') {
    super(`interrupted by ${signal}`);
    this.exitCode = 128 + (signal === 'SIGINT' ? 2 : 15);
  }
}

/** A failure of the command line itself. */
export class CommandError extends Error {
  readonly code: string;
  readonly exitCode: number;

  constructor(code: 'ERR_USAGE' | 'ERR_OUTPUT', message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.exitCode = code === 'ERR_USAGE' ? EXIT.usage : EXIT.failure;
  }
}

/** 'manyscale: <message> [CODE]'. With MANYSCALE_DEBUG also where it happened. */
export function report(error: unknown): void {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  const known = error instanceof ManyscaleError || error instanceof CommandError || error instanceof Interrupted;
  const code = error instanceof ManyscaleError || error instanceof CommandError ? ` [${error.code}]` : '';
  const advice = known ? '' : ' (not foreseen; please report it, with what MANYSCALE_DEBUG=1 adds)';
  process.stderr.write(`manyscale: ${message}${code}${advice}\n`);
  if (process.env['MANYSCALE_DEBUG']) {
    process.stderr.write(`${stack}\n`);
    if (error instanceof Error && error.cause !== undefined)
      process.stderr.write(`caused by: ${String((error.cause as Error)?.stack ?? error.cause)}\n`);
  }
}

/** The exit code for a failure. */
export function exitCodeOf(error: unknown): number {
  return error instanceof CommandError || error instanceof Interrupted ? error.exitCode : EXIT.failure;
}
