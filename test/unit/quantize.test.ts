// The arithmetic of quantized models: against plain code, against float32, and in batches of any size.
import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { vitModel as randomVit, VIT_S16 } from '../../bench/models/vit.mjs';
import { noiseImage } from '../../src/images/noise.js';
import { Extractor, type ExtractorOptions } from '../../src/index.js';
import { defaultModel } from '../../src/model/default-model.js';
import { type Attributes, makeModel, makeNode, makeTensor, makeValue } from '../../src/onnx/build.js';
import { decodeModel, encodeModel } from '../../src/onnx/codec.js';
import { readModel, wholeModel } from '../../src/onnx/file.js';
import { ELEMENT_TYPES, type GraphModel, type TensorProto } from '../../src/onnx/schema.js';
import {
  activationsOf,
  addStatistics,
  calibrate,
  chooseScheme,
  StatisticsCollector,
} from '../../src/quantize/calibrate.js';
import { compareFeatures, measureSpeed } from '../../src/quantize/measure.js';
import { METADATA_KEY, quantizableLayers, quantizeLayers, rowSchemes } from '../../src/quantize/quantize.js';
import type { Scheme } from '../../src/quantize/rewrite.js';
import { quantizeWeights } from '../../src/quantize/weights.js';
import { photo, vitModel } from '../helpers/paths.js';
import { makeRandom, makeSeed, type Random, randomFloats } from '../helpers/random.js';
import { expectCode } from './rejection.js';

const tinyShape = { ...VIT_S16, size: 64, channels: 64, depth: 2, heads: 2, mlp: 128 };
const tinyVit = randomVit(tinyShape);
const model = (bytes: Uint8Array) => decodeModel(bytes) as GraphModel;

/** The model with every layer by row, or as `schemes` has it. */
function quantized(bytes: Uint8Array, schemes?: ReadonlyMap<string, Scheme>): Uint8Array {
  const rewritten = model(bytes);
  const layers = quantizableLayers(rewritten);
  quantizeLayers(rewritten, layers, schemes ?? rowSchemes(layers));
  return wholeModel(rewritten);
}

const one = { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3 } as const;

async function runOnce(bytes: Uint8Array, input: Float32Array, dims: number[]): Promise<Float32Array> {
  const session = await ort.InferenceSession.create(bytes, one);
  const feeds = { [session.inputNames[0] as string]: new ort.Tensor('float32', input, dims) };
  const results = await session.run(feeds);
  return results[session.outputNames[0] as string]?.data as Float32Array;
}

interface Product {
  inputs?: number;
  outputs?: number;
  op?: 'MatMul' | 'Gemm';
  attributes?: Attributes;
  /** Default: [inputs, outputs] of the weights. */
  weights?: TensorProto;
  /** From the name 'stored' of the weights to 'weights'. */
  between?: { op: string; attributes?: Attributes };
  bias?: boolean;
  opset?: number;
}

const K = 48;
const N = 40;

/** y = x * weights. */
function productModel(random: Random, options: Product = {}): Uint8Array {
  const { inputs = K, outputs = N, op = 'MatMul', attributes = {}, between, bias = false, opset = 17 } = options;
  const { weights = makeTensor('weights', [inputs, outputs], randomFloats(inputs * outputs, random)) } = options;
  weights.name = between ? 'stored' : 'weights';
  const operands = ['x', 'weights', ...(bias ? ['bias'] : [])];
  return encodeModel(
    makeModel({
      name: 'product',
      producer: 'test',
      opset,
      nodes: [
        ...(between ? [makeNode(between.op, ['stored'], ['weights'], between.attributes)] : []),
        makeNode(op, operands, ['y'], attributes),
      ],
      initializers: [weights, ...(bias ? [makeTensor('bias', [outputs], randomFloats(outputs, random))] : [])],
      inputs: [makeValue('x', ['rows', inputs])],
      outputs: [makeValue('y', ['rows', outputs])],
    }),
  );
}

/** Of float32 data: its values as a channel's pairs see them. */
function pairSums(values: Int8Array, rows: number, columns: number): { above: number; below: number } {
  let above = 0;
  let below = 0;
  for (let column = 0; column < columns; column++) {
    for (let row = 0; row < rows; row += 2) {
      const pair = [
        values[row * columns + column] ?? 0,
        row + 1 < rows ? (values[(row + 1) * columns + column] ?? 0) : 0,
      ];
      above = Math.max(
        above,
        pair.reduce((sum, value) => sum + Math.max(value, 0), 0),
      );
      below = Math.min(
        below,
        pair.reduce((sum, value) => sum + Math.min(value, 0), 0),
      );
    }
  }
  return { above, below };
}

describe('weights', () => {
  const seed = makeSeed();
  it.each([
    ['uniform', (random: Random) => random.next() * 2 - 1],
    ['equal and large', () => 1],
    ['equal and negative', () => -1],
    ['of alternating sign', (_random: Random, index: number) => (index % 2 ? 1 : -1)],
    ['with outliers', (random: Random) => (random.next() < 0.02 ? 50 : random.next())],
    ['that round up in pairs', (_random: Random, index: number) => (index % 2 ? 63.5 : 63.5 + 1e-6)],
    ['zero', () => 0],
    ['too small to divide by', () => 1e-44],
  ])(`%s: no pair can overflow 16 bits, and each is within half a step (seed ${seed})`, (_name, make) => {
    const random = makeRandom(seed);
    for (const [rows, columns] of [
      [64, 5],
      [33, 7],
      [1, 3],
    ] as const) {
      const values = new Float32Array(rows * columns);
      for (let column = 0; column < columns; column++) {
        for (let row = 0; row < rows; row++) values[row * columns + column] = make(random, row);
      }
      const { values: integers, scales } = quantizeWeights({ rows, columns, values });
      const { above, below } = pairSums(integers, rows, columns);
      expect(above).toBeLessThanOrEqual(128);
      expect(below).toBeGreaterThanOrEqual(-128);
      values.forEach((value, index) => {
        const scale = scales[index % columns] as number;
        expect(scale).toBeGreaterThan(0);
        expect(Math.abs((integers[index] as number) * scale - value)).toBeLessThanOrEqual(scale * 0.500001);
      });
    }
  });

  it('a channel with one large weight uses all of int8', () => {
    const values = new Float32Array(64).fill(0.001);
    values[20] = -3;
    const { values: integers } = quantizeWeights({ rows: 64, columns: 1, values });
    expect(integers[20]).toBe(-127);
  });
});

describe('activations by row', () => {
  const seed = makeSeed();

  it(`are computed as plain code does (seed ${seed})`, async () => {
    const random = makeRandom(seed);
    const bytes = productModel(random);
    const [tensor] = model(bytes).graph.initializer;
    const weights = new Float32Array(new Uint8Array(tensor?.rawData ?? []).buffer);
    const { values, scales } = quantizeWeights({ rows: K, columns: N, values: weights });
    const rows = 9;
    const x = new Float32Array(rows * K);
    const expected = new Float32Array(rows * N);
    for (let row = 0; row < rows; row++) {
      // Rows of very different size, one of them zero; values near the middle of a step, so that no rounding is in doubt.
      const range = row === 3 ? 0 : 10 ** (row - 4);
      const steps = Int8Array.from({ length: K }, () => random.integer(-126, 126));
      steps[random.integer(0, K - 1)] = 127;
      steps.forEach((step, k) => {
        x[row * K + k] = (Math.abs(step) === 127 ? step : step + 0.6 * (random.next() - 0.5)) * (range / 127);
      });
      for (let n = 0; n < N; n++) {
        let sum = 0;
        for (let k = 0; k < K; k++) sum += (steps[k] as number) * (values[k * N + n] as number);
        expected[row * N + n] = sum * (scales[n] as number) * (range / 127);
      }
    }
    const received = await runOnce(quantized(bytes), x, [rows, K]);
    expected.forEach((value, index) => {
      const tolerance = 1e-5 * 10 ** (Math.floor(index / N) - 4); // of the row's range: float32's own rounding
      expect(Math.abs((received[index] as number) - value), `value ${index}`).toBeLessThanOrEqual(tolerance);
    });
  });

  it.each<[string, Product]>([
    ['MatMul, opset 13', { opset: 13 }],
    ['MatMul, opset 18, where axes are an input', { opset: 18 }],
    ['Gemm with a bias', { op: 'Gemm', bias: true }],
    [
      'Gemm with turned weights and a factor',
      {
        op: 'Gemm',
        attributes: { transB: 1, alpha: { float: 0.5 } },
        weights: makeTensor('weights', [N, K], randomFloats(N * K, makeRandom(3))),
        bias: true,
      },
    ],
    [
      'turned weights',
      {
        weights: makeTensor('weights', [N, K], randomFloats(N * K, makeRandom(4))),
        between: { op: 'Transpose', attributes: { perm: [1, 0] } },
      },
    ],
    ['weights by another name', { between: { op: 'Identity' } }],
    [
      'weights stored as halves',
      { weights: halves(K, N), between: { op: 'Cast', attributes: { to: ELEMENT_TYPES.float32 } } },
    ],
  ])('%s: as float32, within the rounding', async (_name, options) => {
    const bytes = productModel(makeRandom(5), options);
    const x = randomFloats(6 * K, makeRandom(6));
    const [float32, int8] = [await runOnce(bytes, x, [6, K]), await runOnce(quantized(bytes), x, [6, K])];
    const largest = Math.max(...float32.map(Math.abs));
    float32.forEach((value, index) => {
      expect(Math.abs((int8[index] as number) - value)).toBeLessThan(0.03 * largest);
    });
    expect(int8).not.toEqual(float32);
    // Nothing of the float32 weights stays behind.
    const { initializer } = model(quantized(bytes)).graph;
    expect(initializer.map(({ name }) => name)).not.toContain('weights');
    expect(initializer.map(({ name }) => name)).not.toContain('stored');
  });

  it('an infinite row stays its own affair', async () => {
    const x = randomFloats(3 * K, makeRandom(7));
    x[K] = Number.POSITIVE_INFINITY;
    const bytes = quantized(productModel(makeRandom(8)));
    const y = await runOnce(bytes, x, [3, K]);
    expect(y.subarray(0, N)).toEqual(await runOnce(bytes, x.subarray(0, K), [1, K]));
    expect(y.subarray(N, 2 * N).some(Number.isFinite)).toBe(false);
    expect(y.subarray(2 * N)).toEqual(await runOnce(bytes, x.subarray(2 * K), [1, K]));
  });
});

function halves(rows: number, columns: number): TensorProto {
  // 1 to 2 in steps of 1/1024, and their negatives: exact in both types.
  const random = makeRandom(9);
  const bits = Uint16Array.from(
    { length: rows * columns },
    () => 0x3c00 | random.integer(0, 1023) | (random.integer(0, 1) << 15),
  );
  const tensor = makeTensor('weights', [rows, columns], new Uint8Array(bits.buffer));
  tensor.dataType = ELEMENT_TYPES.float16;
  return tensor;
}

describe('a transformer', () => {
  const tiles = (count: number) => randomFloats(count * 3 * 64 * 64, makeRandom(11));
  const pixels = 3 * 64 * 64;

  it('keeps its interface and its metadata, says how it was quantized, and is smaller', async () => {
    const before = model(tinyVit);
    const after = model(quantized(tinyVit));
    expect(after.graph.input).toEqual(before.graph.input);
    expect(after.graph.output).toEqual(before.graph.output);
    const metadata = Object.fromEntries(after.metadataProps.map(({ key, value }) => [key, value]));
    expect(metadata).toEqual({
      'manyscale.mean': '0.485,0.456,0.406',
      'manyscale.std': '0.229,0.224,0.225',
      [METADATA_KEY]: expect.stringMatching(/^int8 by manyscale \d.*12 layers by row, 0 static, 0 float32$/),
    });
    const operators = after.graph.node.map(({ opType }) => opType);
    const count = (name: string) => operators.filter((operator) => operator === name).length;
    // Four activations a block: query, key and value share one.
    expect(count('QuantizeLinear')).toBe(2 * 4);
    expect(count('MatMul')).toBe(2 * (6 + 2));
    expect(new Set(after.graph.node.map(({ name }) => name)).size).toBe(after.graph.node.length);
    expect(after.graph.node.every(({ domain }) => domain === '')).toBe(true);
    // The layers' weights take a quarter; the rest is what it was, but for the names of what is new.
    const weightBytes = 4 * 2 * (4 * 64 * 64 + 2 * 64 * 128);
    expect(tinyVit.length - encodeModel(after).length).toBeGreaterThan(0.65 * weightBytes);
  });

  it.each(['row', 'static'])('gives the same bits alone and in batches of 2 to 4: %s', async (kind) => {
    const layers = quantizableLayers(model(tinyVit));
    const scheme: Scheme = kind === 'row' ? { kind: 'row' } : { kind: 'static', low: -4, high: 6 };
    const bytes = quantized(tinyVit, new Map(activationsOf(layers).map((name) => [name, scheme])));
    const session = await ort.InferenceSession.create(bytes, one);
    const run = async (from: number, to: number) => {
      const data = tiles(4).subarray(from * pixels, to * pixels);
      // Tiles of very different range, which one range over the batch would not survive.
      const scaled = data.map((value, index) => value * 10 ** -(from + Math.floor(index / pixels)));
      const input = new ort.Tensor('float32', scaled, [to - from, 3, 64, 64]);
      const { last_hidden_state: output } = await session.run({ pixel_values: input });
      return output?.data as Float32Array;
    };
    const alone = [await run(0, 1), await run(1, 2), await run(2, 3), await run(3, 4)];
    for (const count of [2, 3, 4]) {
      const together = await run(0, count);
      const size = together.length / count;
      for (let tile = 0; tile < count; tile++)
        expect(together.subarray(tile * size, (tile + 1) * size), `tile ${tile} of ${count}`).toEqual(alone[tile]);
    }
  });

  it('has the features of the float32 model in an Extractor, whatever the batches', async () => {
    const bytes = quantized(tinyVit);
    await using float32 = await Extractor.load(tinyVit, { scales: [1, 3] });
    const results = [];
    for (const maxBatch of [1, 4]) {
      await using int8 = await Extractor.load(bytes, { scales: [1, 3], maxBatch, threads: 1 });
      const [similarity] = await compareFeatures(
        float32,
        int8,
        [photo('temple.jpg')],
        { scales: [1, 3] },
        () => undefined,
      );
      expect(similarity?.cosine).toBeGreaterThan(0.999);
      results.push((await int8.extract(photo('temple.jpg'))).tensor.data);
    }
    expect(results[1]).toEqual(results[0]);
  });

  it('of our own training: cosine above 0.9995 at each scale', async () => {
    const { model: read } = await readModel(vitModel);
    const layers = quantizableLayers(read);
    expect(quantizeLayers(read, layers, rowSchemes(layers))).toEqual({ row: 26, static: 0, float32: 0 });
    await using float32 = await Extractor.load(vitModel);
    await using int8 = await Extractor.load(wholeModel(read));
    const photos = [photo('temple.jpg'), photo('two-dogs.jpg')];
    const scales = await compareFeatures(float32, int8, photos, { scales: [1, 2] }, () => undefined);
    expect(scales.map(({ height, width }) => [height, width])).toEqual([
      [96, 96],
      [192, 192],
    ]);
    for (const { cosine, lowest } of scales) {
      expect(cosine).toBeGreaterThan(0.9995);
      expect(cosine).toBeLessThan(1);
      expect(lowest).toBeGreaterThan(0.995);
      expect(lowest).toBeLessThanOrEqual(cosine);
    }
  });
});

describe('calibration', () => {
  it('finds what comes in to each layer', async () => {
    const activations = activationsOf(quantizableLayers(model(tinyVit)));
    const copy = model(tinyVit);
    const output = addStatistics(copy, activations, { name: 'last_hidden_state', layout: 'bnc' });
    // The same activations as outputs of their own.
    copy.graph.output.push(...activations.map((name) => makeValue(name, ['a', 'b', 'c'])));
    const session = await ort.InferenceSession.create(encodeModel(copy), one);
    const collector = new StatisticsCollector(activations);
    const all = new Map<string, { values: Float32Array; channels: number }[]>();
    for (const seed of [1, 2]) {
      const input = new ort.Tensor('float32', randomFloats(3 * 64 * 64, makeRandom(seed)), [1, 3, 64, 64]);
      const results = await session.run({ pixel_values: input });
      expect(results[output]?.dims).toEqual([1, 17, activations.length * 4]);
      collector.add(results[output]?.data as Float32Array);
      for (const name of activations) {
        const { data, dims } = results[name] as ort.Tensor;
        all.set(name, [...(all.get(name) ?? []), { values: data as Float32Array, channels: dims[2] as number }]);
      }
    }
    for (const [name, found] of collector.result()) {
      const parts = all.get(name) ?? [];
      const values = parts.flatMap((part) => [...part.values]);
      const peaks = parts.flatMap((part) =>
        Array.from({ length: part.values.length / part.channels }, (_, row) =>
          Math.max(...part.values.subarray(row * part.channels, (row + 1) * part.channels).map(Math.abs)),
        ),
      );
      const meanSquare = (numbers: number[]) => numbers.reduce((sum, value) => sum + value ** 2, 0) / numbers.length;
      expect(found.low).toBe(Math.min(0, ...values));
      expect(found.high).toBe(Math.max(0, ...values));
      expect(found.meanSquare / meanSquare(values)).toBeCloseTo(1, 5);
      expect(found.peakSquare / meanSquare(peaks)).toBeCloseTo(1, 5);
    }
  });

  it.each([
    ['usual values', { low: -4, high: 4.5, meanSquare: 1, peakSquare: 10 }, { kind: 'static', low: -4, high: 4.5 }],
    ['a few large tokens', { low: -40, high: 40, meanSquare: 1, peakSquare: 10 }, { kind: 'row' }],
    ['a few large channels', { low: -40, high: 40, meanSquare: 1, peakSquare: 1600 }, undefined],
    ['nothing but zeros', { low: 0, high: 0, meanSquare: 0, peakSquare: 0 }, undefined],
  ] as const)('chooses for %s', (_name, statistics, scheme) => {
    expect(chooseScheme(statistics)).toEqual(scheme);
  });

  it.each([
    ['tokens', tinyVit],
    ['a feature map', mapModel()],
  ])('makes static int8 of a model of %s', async (_name, bytes) => {
    const rewritten = model(bytes);
    const layers = quantizableLayers(rewritten);
    await using float32 = await Extractor.load(bytes, { scales: [1, 2] });
    const images = [photo('temple.jpg'), photo('astronaut.png')];
    let done = 0;
    const schemes = await calibrate(
      rewritten,
      layers,
      float32,
      images,
      { load: {}, scale: { scales: [1, 2] }, signal: new AbortController().signal },
      () => done++,
    );
    expect(done).toBe(2);
    const counts = quantizeLayers(rewritten, layers, schemes);
    expect(counts.static).toBeGreaterThan(0);
    expect(counts.static + counts.row + counts.float32).toBe(layers.length);
    await using int8 = await Extractor.load(wholeModel(rewritten), { scales: [1, 2] });
    const similar = await compareFeatures(float32, int8, [photo('two-dogs.jpg')], { scales: [1, 2] }, () => undefined);
    for (const { cosine } of similar) expect(cosine).toBeGreaterThan(0.998);
  });

  const { signal } = new AbortController();

  it.each(['llava-s2', 'internvl'] as const)('calibrates, compares and times as the preset %s cuts', async (preset) => {
    const rewritten = model(tinyVit);
    const layers = quantizableLayers(rewritten);
    await using float32 = await Extractor.load(tinyVit, { preset });
    const square = { data: new Uint8Array(64 * 64 * 3).fill(90), height: 64, width: 64, channels: 3 } as const;
    const images = [photo('temple.jpg'), square];
    const options = { load: { preset, dropPrefixTokens: true }, scale: {}, signal };
    const schemes = await calibrate(rewritten, layers, float32, images, options, () => undefined);
    expect([...schemes.keys()].sort()).toEqual(activationsOf(layers).sort());
    quantizeLayers(rewritten, layers, schemes);
    await using int8 = await Extractor.load(wholeModel(rewritten), { preset });
    const similar = await compareFeatures(float32, int8, images, {}, () => undefined);
    // InternVL's thumbnail, of the temple alone, is the second scale.
    expect(similar).toHaveLength(preset === 'internvl' ? 2 : 3);
    for (const { cosine, lowest } of similar) {
      expect(cosine).toBeGreaterThan(0.998);
      expect(cosine).toBeLessThan(1);
      expect(lowest).toBeLessThanOrEqual(cosine);
    }
    const same = await compareFeatures(float32, float32, images, {}, () => undefined);
    for (const { cosine, lowest } of same) {
      expect(cosine).toBeCloseTo(1, 6);
      expect(lowest).toBeCloseTo(1, 6);
    }
    const before = float32.stats().tiles.done;
    const started = performance.now();
    const speed = await measureSpeed({ float32, int8 }, signal, () => undefined);
    const done = float32.stats().tiles.done - before;
    // Both models took turns: no faster than all tiles of one in the whole time allows.
    expect(speed.float32).toBeGreaterThan(done / ((performance.now() - started) / 1000));
  });

  it('finds the ranges of tiles that overlap, not of their blended features', async () => {
    await using float32 = await Extractor.load(tinyVit, { scales: [2] });
    const schemes = (load: ExtractorOptions) => {
      const layers = quantizableLayers(model(tinyVit));
      const options = { load, scale: { scales: [2] }, signal };
      return calibrate(model(tinyVit), layers, float32, [photo('temple.jpg')], options, () => undefined);
    };
    expect(await schemes({ overlap: 0.5 })).toEqual(await schemes({}));
  });

  it('counts the tiles that the speed is of, also where the load overlaps them', async () => {
    await using float32 = await Extractor.load(tinyVit, { overlap: 0.5, fit: 'keep' });
    const before = float32.stats();
    let rounds = 0;
    await measureSpeed({ float32, int8: float32 }, signal, () => rounds++);
    const { tiles, images } = float32.stats();
    expect(images.done - before.images.done).toBe(8 * (rounds + 1));
    expect(tiles.done - before.tiles.done).toBe(4 * 8 * (rounds + 1));
  });

  it('leaves layers without a scheme as they are', async () => {
    const layers = quantizableLayers(model(tinyVit));
    const [first = '', ...others] = activationsOf(layers);
    const rewritten = model(tinyVit);
    const counts = quantizeLayers(
      rewritten,
      quantizableLayers(rewritten),
      new Map(others.map((name) => [name, { kind: 'row' }])),
    );
    expect(counts).toEqual({ row: 9, static: 0, float32: 3 });
    const kept = rewritten.graph.node.filter(({ opType, input }) => opType === 'MatMul' && input[0] === first);
    expect(kept).toHaveLength(3);
  });
});

/** Convolution, then a product over channels, back to a feature map [batch, 40, 8, 8]. */
function mapModel(): Uint8Array {
  const random = makeRandom(13);
  return encodeModel(
    makeModel({
      name: 'map',
      producer: 'test',
      opset: 18,
      nodes: [
        makeNode('Conv', ['pixels', 'kernel'], ['cells'], { kernel_shape: [8, 8], strides: [8, 8] }),
        makeNode('Transpose', ['cells'], ['last'], { perm: [0, 2, 3, 1] }),
        makeNode('MatMul', ['last', 'weights'], ['product']),
        makeNode('Transpose', ['product'], ['map'], { perm: [0, 3, 1, 2] }),
      ],
      initializers: [
        makeTensor('kernel', [K, 3, 8, 8], randomFloats(K * 192, random)),
        makeTensor('weights', [K, N], randomFloats(K * N, random)),
      ],
      inputs: [makeValue('pixels', ['batch', 3, 64, 64])],
      outputs: [makeValue('map', ['batch', N, 8, 8])],
    }),
  );
}

describe('refusals', () => {
  it('a model that is quantized already', async () => {
    const again = model(quantized(tinyVit));
    await expectCode(
      () => quantizableLayers(again),
      'ERR_INVALID_ARGUMENT',
      /quantized already \(manyscale\.quantized = int8/,
    );
    again.metadataProps = [];
    await expectCode(() => quantizableLayers(again), 'ERR_INVALID_ARGUMENT', /it has QuantizeLinear/);
  });

  it('a convolutional network', async () => {
    const { model: network } = await readModel(defaultModel);
    await expectCode(
      () => quantizableLayers(network),
      'ERR_INVALID_ARGUMENT',
      /nothing to quantize \(69 convolutions, which stay float32\); use it as it is/,
    );
  });

  it.each<[string, Product]>([
    ['products that are too small', { inputs: 31 }],
    ['products with few outputs', { outputs: 8 }],
    ['weights that are not finite', { weights: makeTensor('w', [K, N], new Float32Array(K * N).fill(Number.NaN)) }],
    ['weights of three dimensions', { weights: makeTensor('w', [1, K, N], new Float32Array(K * N)) }],
    ['Gemm of turned activations', { op: 'Gemm', attributes: { transA: 1 } }],
    ['Gemm with a part of its bias', { op: 'Gemm', bias: true, attributes: { beta: { float: 2 } } }],
    ['weights that are computed', { between: { op: 'Neg' } }],
  ])('%s are left alone', async (_name, options) => {
    const bytes = productModel(makeRandom(14), options);
    await expectCode(() => quantizableLayers(model(bytes)), 'ERR_INVALID_ARGUMENT', /nothing to quantize/);
  });

  it('a model of which nothing would be int8', async () => {
    const network = model(tinyVit);
    const act = () => quantizeLayers(network, quantizableLayers(network), new Map());
    await expectCode(act, 'ERR_INVALID_ARGUMENT', /12 layers all have activations of too large a range/);
  });

  it('an old opset', async () => {
    const old = model(productModel(makeRandom(15), { opset: 12 }));
    await expectCode(
      () => quantizableLayers(old),
      'ERR_INVALID_ARGUMENT',
      /opset 13 or later .* received one of opset 12/,
    );
  });
});

it('noise is uniform and always the same', () => {
  const data = Uint8Array.from(noiseImage({ height: 200, width: 300 }).data);
  expect(noiseImage({ height: 200, width: 300 }).data).toEqual(data);
  const mean = data.reduce((sum, value) => sum + value, 0) / data.length;
  expect(mean).toBeGreaterThan(126);
  expect(mean).toBeLessThan(129);
  expect(new Set(data).size).toBe(256);
});
