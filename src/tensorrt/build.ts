// The process that builds a TensorRT engine: a request as JSON on the standard input, a BuildAnswer on the standard output. Loading the
// model on TensorRT builds the engine, and the tile that configure() proves it with shows that it works.

import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { ManyscaleError } from '../errors.js';
import { configureSession, loadSession } from '../native/calls.js';
import { ANSWER, type BuildAnswer, type BuildRequest } from './child.js';

async function build({ session: options, modelBytes, configuration, outputDims }: BuildRequest): Promise<void> {
  const model = modelBytes ? await readFile(options.model) : options.model;
  const session = await loadSession({ ...options, model }, undefined);
  try {
    await configureSession(session, configuration, outputDims, undefined);
    const { provider, unavailable } = session.placement();
    if (provider === 'tensorrt') return;
    const reason = unavailable['tensorrt'] ?? `it took '${provider}'`;
    throw new ManyscaleError('ERR_DEVICE_UNAVAILABLE', `Expected a session on TensorRT but received none: ${reason}`);
  } finally {
    await session.dispose();
  }
}

async function answer(): Promise<BuildAnswer> {
  try {
    await build(JSON.parse(await text(process.stdin)) as BuildRequest);
    return { ok: true };
  } catch (error) {
    if (error instanceof ManyscaleError) return { ok: false, code: error.code, message: error.message };
    const message = `Expected a TensorRT engine but received: ${error instanceof Error ? error.message : String(error)}`;
    return { ok: false, code: 'ERR_DEVICE_FAILED', message };
  }
}

// Where the parent was killed nobody waits any more, and the build would go on for minutes with the GPU's memory.
const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) process.kill(process.pid, 'SIGKILL');
}, 1000).unref();

// The libraries may have written half a line.
process.stdout.write(`\n${ANSWER}${JSON.stringify(await answer())}\n`);
