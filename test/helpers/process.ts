// Child processes: what must not hang, crash or outlive its work is proved from outside.
import { spawn } from 'node:child_process';
import { expect } from 'vitest';
import { repository } from './paths.js';

export interface Finished {
  /** null when a signal ended it. */
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  milliseconds: number;
}

export interface RunOptions {
  env?: Record<string, string>;
  /** Milliseconds after which the child is killed, which fails the test: 'signal' is then SIGKILL. */
  timeout?: number;
}

export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const { env = {}, timeout = 60_000 } = options;
  const start = performance.now();
  const child = spawn(command, args, {
    cwd: repository,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout,
    killSignal: 'SIGKILL',
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) =>
      resolve({ code, signal, stdout, stderr, milliseconds: performance.now() - start }),
    );
  });
}

/** Runs test/lifecycle/fixtures/<name>.mjs in a Node.js of its own. */
export function runFixture(
  name: string,
  args: readonly string[] = [],
  options: RunOptions & { flags?: string[] } = {},
): Promise<Finished> {
  return run(process.execPath, [...(options.flags ?? []), `test/lifecycle/fixtures/${name}.mjs`, ...args], options);
}

/** The child ended by itself with `code`, and said nothing on stderr that it should not. */
export function expectExit(child: Finished, code: number, message = ''): void {
  const story = `${message}\nstdout: ${child.stdout}\nstderr: ${child.stderr}\nafter ${Math.round(child.milliseconds)} ms`;
  expect({ code: child.code, signal: child.signal }, story).toEqual({ code, signal: null });
}
