// Builds an engine in a process of its own: TensorRT takes minutes over it, can hardly be stopped, and where it crashes it takes its
// process along.

import { type ChildProcess, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onceAborted } from '../abort.js';
import { type ErrorCode, ManyscaleError } from '../errors.js';
import type { NativeModelConfiguration, NativeSessionOptions } from '../native/addon.js';

/** What the child is asked for. */
export interface BuildRequest {
  /** `model`: a path; with `modelBytes`, of the model's bytes, which the child hands to the runtime as such. */
  session: Omit<NativeSessionOptions, 'model'> & { model: string };
  /** The runtime names an engine by its model's file: one that is given as bytes has none. */
  modelBytes: boolean;
  configuration: NativeModelConfiguration;
  outputDims: number[][];
}

/** What the child answers: one line of JSON on its standard output. */
export type BuildAnswer = { ok: true } | { ok: false; code: ErrorCode; message: string };

export const ANSWER = 'manyscale-engine:';

export interface BuildLimits {
  /** Milliseconds. */
  timeout: number;
  signal: AbortSignal | undefined;
  /** Called about once a second; what it throws ends the build and is thrown. */
  onTick?: (elapsed: number) => void;
}

const OWN_SCRIPT = fileURLToPath(new URL('./build.js', import.meta.url));
const TICK = 1000;
/** Of what the child writes: libraries are talkative, and both its answer and the reason of a crash stand at the end. */
const MOST_TEXT = 2 ** 16;

/** Puts a model's bytes where a child can read them. */
export async function writeModelBytes(folder: string, model: Uint8Array): Promise<string> {
  const path = join(folder, 'model.onnx');
  await writeFile(path, model, { mode: 0o600 });
  return path;
}

/**
 * Resolves when the child has built the engine.
 * @throws {ManyscaleError} what the child gives; ERR_DEVICE_FAILED where it ends without an answer; ERR_DEVICE_UNAVAILABLE after the
 * timeout. The signal's reason when it aborts. The child is gone when this settles.
 */
export async function runBuild(request: BuildRequest, limits: BuildLimits, script = OWN_SCRIPT): Promise<void> {
  const { timeout, signal, onTick } = limits;
  signal?.throwIfAborted();
  const child = spawn(process.execPath, [script], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: {
      ...process.env,
      ELECTRON_RUN_AS_NODE: '1', // its executable is Node.js only when it is told so
      // An inspector would hold the child up for ever.
      NODE_OPTIONS: process.env['NODE_OPTIONS']?.replace(/--inspect\S*/g, '') ?? '',
    },
  });
  const ended = endOf(child, JSON.stringify(request));
  let failure: { reason: unknown } | undefined;
  const stop = (reason: unknown) => {
    failure ??= { reason };
    child.kill('SIGKILL'); // TensorRT does not listen to anything else
  };
  const start = performance.now();
  const forget = signal && onceAborted(signal, () => stop(signal.reason));
  const deadline = setTimeout(() => stop(tookTooLong(timeout)), timeout);
  const ticker = setInterval(() => {
    try {
      onTick?.(performance.now() - start);
    } catch (error) {
      stop(error);
    }
  }, TICK);
  // Nobody may be left to kill it: it must not live on for minutes, with the GPU's memory.
  const onExit = () => child.kill('SIGKILL');
  process.once('exit', onExit);
  try {
    const { output, errors, how } = await ended;
    if (failure) throw failure.reason;
    readAnswer(output, errors, how);
  } finally {
    process.removeListener('exit', onExit);
    clearInterval(ticker);
    clearTimeout(deadline);
    forget?.();
  }
}

interface End {
  output: string;
  /** The last that it wrote to its standard error. */
  errors: string;
  how: string;
}

/** Never rejects. */
function endOf(child: ChildProcess, input: string): Promise<End> {
  const { stdin, stdout, stderr } = child;
  let [output, errors] = ['', ''];
  stdout?.setEncoding('utf8').on('data', (text: string) => {
    output = (output + text).slice(-MOST_TEXT);
  });
  stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-MOST_TEXT);
  });
  stdin?.on('error', () => {}); // it ended before it read
  stdin?.end(input);
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ output, errors, how: `it could not be started: ${error.message}` }));
    child.once('close', (code, signal) =>
      resolve({ output, errors, how: signal ? `it was ended by ${signal}` : `it ended with exit code ${code}` }),
    );
  });
}

function readAnswer(output: string, errors: string, how: string): void {
  const answer = parseAnswer(output);
  if (answer === undefined) {
    // The place in the code is not what a user can mend.
    const lines = errors.split('\n').filter((text) => text.trim() !== '' && !/^\s+at |^Node\.js v/.test(text));
    const last = lines.slice(-3).join(' ').slice(-500);
    throw new ManyscaleError(
      'ERR_DEVICE_FAILED',
      `Expected a TensorRT engine from the process that builds it but received none: ${how}${last && `, after "${last}"`}; leave TensorRT out (device: 'cuda', provider: 'cuda') or look into its installation`,
    );
  }
  if (!answer.ok) throw new ManyscaleError(answer.code, answer.message);
}

/** Undefined where there is none, or half of one. */
function parseAnswer(output: string): BuildAnswer | undefined {
  const line = output.split('\n').findLast((candidate) => candidate.startsWith(ANSWER));
  if (line === undefined) return undefined;
  try {
    return JSON.parse(line.slice(ANSWER.length)) as BuildAnswer;
  } catch {
    return undefined;
  }
}

function tookTooLong(timeout: number): ManyscaleError {
  return new ManyscaleError(
    'ERR_DEVICE_UNAVAILABLE',
    `Expected a TensorRT engine within ${timeout} ms but received none; raise tensorrt.buildTimeout, or lower tensorrt.optimizationLevel or maxBatch`,
  );
}
