// Quantized models give the same bits on processors without VNNI, whose products of uint8 by int8 are added in 16 bits: shown in an emulator
// (qemu-user, which CI has). Full int8 weights, which saturate there, are the control that shows that the emulated way is the one taken.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { arch, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { makeModel, makeNode, makeTensor, makeValue } from '../../src/onnx/build.js';
import { decodeModel, encodeModel } from '../../src/onnx/codec.js';
import type { GraphModel } from '../../src/onnx/schema.js';
import { quantizableLayers, quantizeLayers, rowSchemes } from '../../src/quantize/quantize.js';
import { expectExit, run } from '../helpers/process.js';
import { makeRandom } from '../helpers/random.js';

const folder = mkdtempSync(join(tmpdir(), 'manyscale-processors-'));
afterAll(() => rmSync(folder, { recursive: true }));

const emulator = spawnSync('qemu-x86_64', ['--version']).status === 0;
const rows = 7;
const inputs = 96;
const outputs = 48;

/** Large weights of like sign beside each other and large activations: what saturates first. */
function saturatingModel(): GraphModel {
  const random = makeRandom(1);
  const weights = Float32Array.from(
    { length: inputs * outputs },
    (_, index) => (index % 3 ? 1 : -1) * (0.9 + 0.1 * random.next()),
  );
  return decodeModel(
    encodeModel(
      makeModel({
        name: 'product',
        producer: 'test',
        opset: 17,
        nodes: [makeNode('MatMul', ['x', 'weights'], ['y'])],
        initializers: [makeTensor('weights', [inputs, outputs], weights)],
        inputs: [makeValue('x', ['rows', inputs])],
        outputs: [makeValue('y', ['rows', outputs])],
      }),
    ),
  ) as GraphModel;
}

/** Path of the model in int8, its weights changed by `weight`. */
function quantized(name: string, weight: (value: number) => number): string {
  const model = saturatingModel();
  const layers = quantizableLayers(model);
  quantizeLayers(model, layers, rowSchemes(layers));
  const integers = model.graph.initializer.find((tensor) => tensor.name.endsWith('.int8'));
  if (!integers) throw new Error('there are no int8 weights');
  integers.rawData = Uint8Array.from(integers.rawData, (byte) => weight((byte << 24) >> 24));
  const path = join(folder, `${name}.onnx`);
  writeFileSync(path, encodeModel(model));
  return path;
}

/** Prints each model's results' bits. */
const program = `
  import { createHash } from 'node:crypto';
  import * as ort from 'onnxruntime-node';
  const x = Float32Array.from({ length: ${rows * inputs} }, (_, index) => 1 - (index % 7) / 20);
  for (const model of process.argv.slice(1)) {
    const session = await ort.InferenceSession.create(model, { intraOpNumThreads: 1, logSeverityLevel: 3 });
    const { y } = await session.run({ x: new ort.Tensor('float32', x, [${rows}, ${inputs}]) });
    console.log(createHash('sha256').update(new Uint8Array(y.data.buffer, y.data.byteOffset, y.data.byteLength)).digest('hex'));
  }
`;

async function bits(command: readonly string[], models: readonly string[]): Promise<string[]> {
  const [executable = '', ...flags] = command;
  const child = await run(executable, [...flags, '--input-type=module', '-e', program, ...models]);
  expectExit(child, 0);
  return child.stdout.trim().split('\n');
}

describe.skipIf(!emulator || arch() !== 'x64')('products in int8 have the same bits', () => {
  const here = [process.execPath];
  const on = (processor: string) => ['qemu-x86_64', '-cpu', processor, process.execPath, '--jitless'];
  const own = quantized('own', (value) => value);
  const full = quantized('full', (value) => Math.max(-127, Math.min(127, value * 2)));

  it('on AVX2 without VNNI, where weights that use all of int8 have not', async () => {
    const [expected, expectedFull] = await bits(here, [own, full]);
    const [received, receivedFull] = await bits(on('Haswell'), [own, full]);
    expect(received).toBe(expected);
    expect(receivedFull).not.toBe(expectedFull);
  });

  it('on SSE4.1', async () => {
    expect(await bits(on('Nehalem'), [own])).toEqual(await bits(here, [own]));
  });
});
