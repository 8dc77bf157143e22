// bench/native/raw_limit as a child that takes commands, so that it can be measured in turn with something else.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { engineThreads } from './machine.mjs';
import { buildNative } from './native.mjs';

/**
 * Starts it on the model of an Extractor (its `info`) with `tiles` ready tiles. `run(batch, tiles)` resolves to
 * { seconds, processor }: by the clock, and of processor time.
 */
export async function startRawLimit({ model, runtime, input, output }, tiles) {
  const { height, width } = input.tileSize;
  const args = [runtime.path, model.path, input.name, output.name, height, width, engineThreads, tiles];
  const child = spawn(buildNative('raw_limit'), args.map(String), { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.on('error', () => {}); // the end of its output tells
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const read = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error('raw_limit ended before its time; its last words are above');
    return JSON.parse(value);
  };
  const { onnxruntime } = await read();
  if (onnxruntime !== runtime.version)
    throw new Error(`raw_limit runs ONNX Runtime ${onnxruntime}, not ${runtime.version}`);
  return {
    async run(batch, count) {
      child.stdin.write(`${batch} ${count}\n`);
      return read();
    },
    /** Resolves when it has ended: from then on its processor time counts as this process's. */
    async close() {
      child.stdin.end();
      if (child.exitCode === null) await once(child, 'exit');
    },
  };
}
