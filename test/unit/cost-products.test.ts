// Multiply-adds that are counted in a model's graph, against figures from the operators' definitions.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { afterAll, describe, expect, it } from 'vitest';
import { vitModel as randomVit, VIT_S16 } from '../../bench/models/vit.mjs';
import { countProducts, weightlessBytes, weightlessFile } from '../../src/cost/products.js';
import { defaultModel } from '../../src/model/default-model.js';
import { type Attributes, makeModel, makeNode, makeTensor, makeValue } from '../../src/onnx/build.js';
import { decodeModel, encodeModel } from '../../src/onnx/codec.js';
import { readModelAlone } from '../../src/onnx/file.js';
import { type NodeProto, schema, type TensorProto } from '../../src/onnx/schema.js';
import { findRuntime } from '../../src/runtime.js';
import { patchModel, patchWeights, severalOutputsModel } from '../helpers/models.js';

const folder = mkdtempSync(join(tmpdir(), 'manyscale-products-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function count(model: Uint8Array | string, tile: number | [number, number], batch = 1) {
  const [height, width] = typeof tile === 'number' ? [tile, tile] : tile;
  const weightless = typeof model === 'string' ? await weightlessFile(model) : weightlessBytes(model);
  const session = {
    runtime: findRuntime(undefined).path,
    inputName: 'pixel_values',
    inputDims: [batch, 3, height, width],
    configuration: { input: 0, outputs: [0], tile: { height, width }, fixedBatch: batch, layout: 'nchw' as const },
  };
  return countProducts(weightless, session, new AbortController().signal);
}

/** Of the transformer of bench/models/vit.mjs, from its own numbers. */
function vitMultiplyAdds({ size, patch, channels, depth, mlp }: typeof VIT_S16): number {
  const cells = (size / patch) ** 2;
  const tokens = cells + 1;
  const embedding = cells * channels * 3 * patch ** 2;
  const projections = 4 * tokens * channels ** 2;
  const attention = 2 * tokens ** 2 * channels;
  return embedding + depth * (projections + attention + 2 * tokens * channels * mlp);
}

/** A model of one node of interest between an image [batch, 3, 4, 8] and its output. */
function oneNode(
  op: string,
  {
    domain = '',
    attributes = {},
    before = [],
    inputs,
    weights = {},
    opset = 17,
  }: {
    domain?: string;
    attributes?: Attributes;
    before?: NodeProto[];
    inputs: string[];
    weights?: Record<string, number[]>;
    opset?: number;
  },
): Uint8Array {
  const node = makeNode(op, inputs, ['result'], attributes);
  node.domain = domain;
  const initializers: TensorProto[] = Object.entries(weights).map(([name, dims]) =>
    makeTensor(name, dims, new Float32Array(dims.reduce((product, dim) => product * dim, 1))),
  );
  const model = makeModel({
    name: 'one node',
    producer: 'manyscale tests',
    opset,
    nodes: [...before, node],
    initializers,
    inputs: [makeValue('pixel_values', ['batch', 3, 4, 8])],
    outputs: [makeValue('result', ['a', 'b', 'c'])],
  });
  if (domain !== '') model.opsetImport.push(create(schema('OperatorSetIdProto'), { domain, version: 1n }));
  return encodeModel(model);
}

/** [batch, 3, 4, 8] as [batch, 12, 8]: 12 tokens of 8 channels. */
const tokens: NodeProto[] = (() => {
  const shape = makeNode('Constant', [], ['shape'], {});
  shape.attribute.push(
    create(schema('AttributeProto'), {
      name: 'value',
      type: 4,
      t: makeTensor('', [3], BigInt64Array.of(0n, 12n, 8n)),
    }),
  );
  return [shape, makeNode('Reshape', ['pixel_values', 'shape'], ['tokens'])];
})();
const image = 'pixel_values';

describe('a model that is known', () => {
  it('ViT-S/16 at 224 x 224 takes 4.6 billion', () => {
    expect(vitMultiplyAdds(VIT_S16) / 1e9).toBeCloseTo(4.6, 2);
  });

  it.each([
    { ...VIT_S16, depth: 1 },
    { ...VIT_S16, size: 96, channels: 64, depth: 3, heads: 4, mlp: 200 },
  ])('a transformer takes what its shape says: $size pixels, depth $depth', async (shape) => {
    const { multiplyAdds, weightBytes, notes } = await count(randomVit(shape), shape.size);
    expect(multiplyAdds).toBe(vitMultiplyAdds(shape));
    expect(notes).toEqual([]);
    const parameters = shape.depth * (4 * shape.channels ** 2 + 2 * shape.channels * shape.mlp);
    expect(weightBytes).toBeGreaterThan(4 * parameters);
    expect(weightBytes).toBeLessThan(4.8 * parameters + 4 * shape.channels * (3 * shape.patch ** 2 + 300));
  });

  it('the default model takes what walking through its layers gives', async () => {
    const { model } = await readModelAlone(defaultModel);
    const { graph } = model;
    const weights = new Map(graph.initializer.map(({ name, dims }) => [name, dims.map(Number)]));
    // Sides of square feature maps. The network is convolutions, global means and what keeps the size, but for one doubling.
    const sides = new Map([['pixel_values', 224]]);
    let sum = 0;
    for (const { opType, input, output, attribute } of graph.node) {
      const ints = (name: string) => attribute.find((one) => one.name === name)?.ints.map(Number) ?? [];
      const kept = weights.get(input[0] as string);
      if (opType === 'Cast' && kept) weights.set(output[0] as string, kept); // stored as float16
      const known = input.flatMap((name) => sides.get(name) ?? []);
      if (known.length === 0) continue;
      let side = Math.max(...known);
      if (opType === 'ReduceMean') side = 1;
      if (opType === 'Resize') side *= 2;
      if (opType === 'Conv') {
        const [filters = 0, perFilter = 0, kernel = 0] = weights.get(input[1] as string) ?? [];
        const [before = 0, , after = 0] = ints('pads');
        side = Math.floor((side + before + after - kernel) / (ints('strides')[0] as number)) + 1;
        sum += side ** 2 * filters * perFilter * kernel ** 2;
      }
      for (const name of output) sides.set(name, side);
    }
    expect((await count(defaultModel, 224)).multiplyAdds).toBe(sum);
    expect(sum / 1e6).toBeCloseTo(159, 0);
  });

  it('counts one tile of a batch that the model fixes, and tiles of an open size', async () => {
    const one = (32 / 8) ** 2 * 6 * 3 * 8 ** 2;
    expect((await count(patchModel({}), 32)).multiplyAdds).toBe(one);
    expect((await count(patchModel({ batch: 4 }), 32, 4)).multiplyAdds).toBe(one);
    const open = patchModel({ tile: ['height', 'width'], layout: 'bchw' });
    expect((await count(open, [64, 96])).multiplyAdds).toBe(6 * one);
  });

  it('needs no values, wherever they lie', async () => {
    const path = join(folder, 'external.onnx');
    const shape = { channels: 32, patch: 8 };
    writeFileSync(path, patchModel({ ...shape, externalWeights: 'weights.bin' }));
    const inside = await count(patchModel(shape), 32);
    expect(await count(path, 32)).toEqual(inside); // the file of weights is not even there
    expect(inside.weightBytes).toBe(4 * (patchWeights(32, 8).length + 32) + 8 * 3);
  });

  it('leaves what is sent to the runtime small', () => {
    const bytes = randomVit({ ...VIT_S16, depth: 1 });
    expect(weightlessBytes(bytes).bytes.length).toBeLessThan(bytes.length / 100);
  });
});

describe('operators', () => {
  const cases: [name: string, expected: number, model: Uint8Array][] = [
    // [1, 6, 4, 8] from 3 channels of 3 x 3.
    [
      'Conv',
      6 * 32 * 27,
      oneNode('Conv', { inputs: [image, 'w'], weights: { w: [6, 3, 3, 3] }, attributes: { pads: [1, 1, 1, 1] } }),
    ],
    [
      'Conv in groups, with strides',
      6 * 8 * 9,
      oneNode('Conv', {
        inputs: [image, 'w'],
        weights: { w: [6, 1, 3, 3] },
        attributes: { group: 3, pads: [1, 1, 1, 1], strides: [2, 2] },
      }),
    ],
    [
      'ConvTranspose',
      3 * 32 * 5 * 4,
      oneNode('ConvTranspose', { inputs: [image, 'w'], weights: { w: [3, 5, 2, 2] }, attributes: { strides: [2, 2] } }),
    ],
    ['MatMul', 12 * 8 * 20, oneNode('MatMul', { before: tokens, inputs: ['tokens', 'w'], weights: { w: [8, 20] } })],
    [
      'MatMul of activations, by batch',
      3 * 4 * 8 * 4,
      oneNode('MatMul', {
        before: [makeNode('Transpose', [image], ['turned'], { perm: [0, 1, 3, 2] })],
        inputs: [image, 'turned'],
      }),
    ],
    [
      'Gemm with both sides turned',
      96 * 1 * 10,
      oneNode('Gemm', {
        before: [
          makeNode('Flatten', [image], ['flat'], { axis: 1 }),
          makeNode('Transpose', ['flat'], ['column'], { perm: [1, 0] }),
        ],
        inputs: ['column', 'w'],
        weights: { w: [10, 96] },
        attributes: { transA: 1, transB: 1 },
      }),
    ],
    [
      'Einsum with an ellipsis',
      3 * 4 * 8 * 7,
      oneNode('Einsum', { inputs: [image, 'w'], weights: { w: [8, 7] }, attributes: { equation: '...i, ij -> ...j' } }),
    ],
    ['Einsum of one', 0, oneNode('Einsum', { inputs: [image], attributes: { equation: 'bchw->bwhc' } })],
    [
      'FusedMatMul, the left side turned',
      8 * 12 * 20,
      oneNode('FusedMatMul', {
        domain: 'com.microsoft',
        before: tokens,
        inputs: ['tokens', 'w'],
        weights: { w: [12, 20] },
        attributes: { transA: 1 },
      }),
    ],
    [
      'Attention with its projections',
      12 * 8 * 48 + 2 * 12 * 12 * 16,
      oneNode('Attention', {
        domain: 'com.microsoft',
        before: tokens,
        inputs: ['tokens', 'w', 'bias'],
        weights: { w: [8, 48], bias: [48] },
        attributes: { num_heads: 2 },
      }),
    ],
    [
      'MultiHeadAttention',
      2 * 12 * 12 * 8,
      oneNode('MultiHeadAttention', {
        domain: 'com.microsoft',
        before: tokens,
        inputs: ['tokens', 'tokens', 'tokens'],
        attributes: { num_heads: 2 },
      }),
    ],
    [
      'MatMulInteger by row',
      12 * 8 * 5,
      oneNode('MatMulInteger', {
        before: [
          ...tokens,
          makeNode('DynamicQuantizeLinear', ['tokens'], ['bytes', 'step', 'zero']),
          makeNode('Cast', ['w'], ['small'], { to: 3 }),
        ],
        inputs: ['bytes', 'small'],
        weights: { w: [8, 5] },
      }),
    ],
  ];

  it.each(cases)('%s', async (_, expected, model) => {
    const { multiplyAdds, notes } = await count(model, [4, 8]);
    expect(notes).toEqual([]);
    expect(multiplyAdds).toBe(expected);
  });

  it('what is computed once at load, or for nobody, is not counted', async () => {
    const constant = makeNode('MatMul', ['a', 'b'], ['product']);
    const unused = makeNode('MatMul', ['tokens', 'b'], ['unused']);
    const model = oneNode('MatMul', {
      before: [...tokens, constant, unused],
      inputs: ['tokens', 'product'],
      weights: { a: [8, 8], b: [8, 5] },
    });
    expect((await count(model, [4, 8])).multiplyAdds).toBe(12 * 8 * 5);
  });

  it('counts all outputs, since the runtime computes them all', async () => {
    const bytes = severalOutputsModel();
    expect((await count(bytes, 32)).multiplyAdds).toBe((32 / 8) ** 2 * 6 * 3 * 8 ** 2);
  });
});

describe('what is not counted is said', () => {
  it('products inside a branch', async () => {
    const branch = (name: string) =>
      create(schema('AttributeProto'), {
        name,
        type: 5,
        g: create(schema('GraphProto'), {
          name,
          node: [makeNode('MatMul', ['tokens', 'w'], [name])],
          output: [makeValue(name, ['batch', 12, 8])],
        }),
      });
    const model = decodeModel(
      oneNode('If', {
        before: [...tokens, makeNode('Cast', ['flag'], ['yes'], { to: 9 })],
        inputs: ['yes'],
        weights: { flag: [1], w: [8, 8] },
      }),
    );
    const node = model.graph?.node.at(-1) as NodeProto;
    node.attribute = [branch('then_branch'), branch('else_branch')];
    const { multiplyAdds, notes } = await count(encodeModel(model), [4, 8]);
    expect(multiplyAdds).toBe(0);
    expect(notes).toEqual(['not counted, inside loops or branches: 2 MatMul']);
  });

  it('operators that multiply in ways that are not known here', async () => {
    const model = oneNode('LSTM', {
      before: [...tokens, makeNode('Identity', ['w'], ['same'])],
      inputs: ['tokens', 'same', 'r'],
      weights: { w: [1, 16, 8], r: [1, 16, 4] },
      attributes: { hidden_size: 4 },
    });
    const { multiplyAdds, notes } = await count(model, [4, 8]);
    expect({ multiplyAdds, notes }).toEqual({
      multiplyAdds: 0,
      notes: ['not counted, operators that are not known: 1 LSTM'],
    });
  });

  it('models too old to be asked', async () => {
    const model = oneNode('MatMul', { before: [], inputs: [image, 'w'], weights: { w: [8, 5] }, opset: 8 });
    const { multiplyAdds, notes } = await count(model, [4, 8]);
    expect(multiplyAdds).toBeUndefined();
    expect(notes).toEqual([expect.stringMatching(/not counted: the model has opset 8, and 9 is needed/)]);
  });
});
