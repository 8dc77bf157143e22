// Features.vector, and how a model's shapes are read where no native code is needed.
import { describe, expect, test } from 'vitest';
import { Features, type FeaturesInit } from '../../src/features.js';
import { chooseInput, choosePreprocess } from '../../src/model/input.js';
import { readMetadata } from '../../src/model/metadata.js';
import { candidateOutputs } from '../../src/model/outputs.js';
import type { NativeValueInfo } from '../../src/native/addon.js';
import { checkFloatTensor, isDetached, Tensor } from '../../src/tensor.js';
import { expectCode } from './rejection.js';

const timings = { wait: 0, decode: 0, queue: 0, split: 0, model: 0, pool: 0, total: 0 };

function features(values: number[], dims: number[], init: Pick<FeaturesInit, 'grid' | 'numPrefixTokens'>): Features {
  return new Features({
    tensor: new Tensor('float32', Float32Array.from(values), dims),
    scales: [],
    grids: [],
    timings,
    ...init,
  });
}

describe('vector', () => {
  // Two channels; one CLS token (9, 8), then the cells of a 1 x 2 grid.
  const tokens = features([9, 8, 1, 2, 3, 6], [3, 2], { grid: { height: 1, width: 2 }, numPrefixTokens: 1 });
  const map = features([1, 3, 2, 6], [2, 1, 2], { grid: { height: 1, width: 2 }, numPrefixTokens: 0 });

  test('mean leaves the prefix tokens out', () => {
    expect([...tokens.vector()]).toEqual([2, 4]);
    expect([...tokens.vector('mean')]).toEqual([2, 4]);
  });

  test('mean of a feature map is the same', () => {
    expect([...map.vector()]).toEqual([2, 4]);
  });

  test('cls is the first prefix token, in memory of its own', () => {
    const vector = tokens.vector('cls');
    expect([...vector]).toEqual([9, 8]);
    vector[0] = 0;
    expect([...tokens.vector('cls')]).toEqual([9, 8]);
  });

  test('sums in double precision', () => {
    const many = features(new Array(1000).fill(0.1), [1000, 1], {
      grid: { height: 10, width: 100 },
      numPrefixTokens: 0,
    });
    expect(many.vector()[0]).toBe(Math.fround(0.1));
  });

  test('of float16 features is float32', () => {
    // 1.0009765625 has more digits than the sum of two would keep in half precision.
    const data = Uint16Array.of(0x3c00, 0x3c01, 0x4000, 0x4001, 0x3c00, 0x3c01);
    const init = { grid: { height: 1, width: 2 }, numPrefixTokens: 1, scales: [], grids: [], timings };
    const half = new Features({ tensor: new Tensor('float16', data, [3, 2]), ...init });
    expect(half.vector('cls')).toEqual(Float32Array.of(1, 1.0009765625));
    expect(half.vector()).toEqual(Float32Array.of(1.5, (2.001953125 + 1.0009765625) / 2));
  });

  test('refuses what is not there', async () => {
    await expectCode(() => map.vector('cls'), 'ERR_INVALID_ARGUMENT', /no prefix tokens/);
    await expectCode(() => map.vector('max' as 'mean'), 'ERR_INVALID_ARGUMENT', /'mean' or 'cls' for vector/);
    const gone = features([1, 3, 2, 6], [2, 1, 2], { grid: { height: 1, width: 2 }, numPrefixTokens: 0 });
    structuredClone(gone.tensor.data, { transfer: [(gone.tensor.data as Float32Array<ArrayBuffer>).buffer] });
    await expectCode(() => gone.vector(), 'ERR_INVALID_ARGUMENT', /transferred away/);
  });
});

describe('a float tensor', () => {
  const names = [['batch', 'height', 'width']];
  const check = (value: unknown) => checkFloatTensor(value, 'the input', names);

  test('is recognised by its parts, not its class', () => {
    const data = new Float32Array(6);
    expect(check({ type: 'float32', dims: [1, 2, 3], data })).toEqual({ dims: [1, 2, 3], data });
    expect(check(new Tensor('float32', data, [1, 2, 3])).data).toBe(data);
  });

  test.each<[string, unknown, RegExp]>([
    ['nothing', undefined, /\[batch, height, width\] for the input but received undefined/],
    ['pixels', { data: new Uint8Array(6), width: 1 }, /a tensor has type, dims and data/],
    ['float16', { type: 'float16', dims: [1, 2, 3], data: new Uint16Array(6) }, /float16 is not available/],
    ['int64', { type: 'int64', dims: [1], data: new BigInt64Array(1) }, /received int64 \[1\]; convert/],
    ['another rank', { type: 'float32', dims: [2, 3], data: new Float32Array(6) }, /rank 2: float32 \[2, 3\]/],
    ['a dimension of 0', { type: 'float32', dims: [0, 2, 3], data: new Float32Array() }, /integer of at least 1/],
    ['a dynamic dimension', { type: 'float32', dims: [-1, 2, 3], data: new Float32Array() }, /integer of at least 1/],
    ['text as dimensions', { type: 'float32', dims: ['1', 2, 3], data: new Float32Array(6) }, /integer of at least 1/],
    ['too little data', { type: 'float32', dims: [1, 2, 3], data: new Float32Array(5) }, /5 elements instead of 6/],
    ['doubles', { type: 'float32', dims: [1, 2, 3], data: new Float64Array(6) }, /is a Float32Array/],
    ['an array', { type: 'float32', dims: [1, 2, 3], data: [1, 2, 3, 4, 5, 6] }, /is a Float32Array/],
  ])('refuses %s', async (_, value, message) => {
    await expectCode(() => check(value), 'ERR_INVALID_ARGUMENT', message);
  });

  test('whose data lies elsewhere or is gone', async () => {
    const elsewhere = {
      type: 'float32',
      dims: [1, 2, 3],
      get data() {
        throw new Error('The data is not on CPU.');
      },
    };
    await expectCode(() => check(elsewhere), 'ERR_INVALID_ARGUMENT', /cannot be read \(The data is not on CPU\.\)/);
    const data = new Float32Array(6);
    structuredClone(data, { transfer: [data.buffer] });
    expect(isDetached(data)).toBe(true);
    await expectCode(
      () => check({ type: 'float32', dims: [1, 2, 3], data }),
      'ERR_INVALID_ARGUMENT',
      /transferred away/,
    );
    expect(isDetached(new Float32Array())).toBe(false);
  });
});

function value(name: string, dims: number[], type = 'float32'): NativeValueInfo {
  return { name, type, dims, symbols: dims.map((dim) => (dim < 0 ? 'batch' : '')) };
}

describe("a model's input", () => {
  test('fixed and dynamic sizes', () => {
    expect(chooseInput([value('x', [-1, 3, 224, 160])], undefined)).toEqual({
      index: 0,
      name: 'x',
      type: 'float32',
      layout: 'nchw',
      tile: { height: 224, width: 160 },
      tileSource: 'model',
      fixedBatch: 0,
    });
    const open = chooseInput([value('x', [1, -1, -1, -1])], { height: 96, width: 96 });
    expect(open).toMatchObject({ tile: { height: 96, width: 96 }, tileSource: 'option', fixedBatch: 1 });
    expect(chooseInput([value('x', [-1, 3, 224, 224])], { height: 224, width: 224 }).tileSource).toBe('model');
  });

  test('channels last, and types', () => {
    const last = chooseInput([value('x', [-1, 224, 160, 3], 'uint8')], undefined);
    expect(last).toMatchObject({ layout: 'nhwc', type: 'uint8', tile: { height: 224, width: 160 } });
    const open = chooseInput([value('x', [-1, -1, -1, 3], 'float16')], { height: 96, width: 64 });
    expect(open).toMatchObject({ layout: 'nhwc', type: 'float16', tile: { height: 96, width: 64 } });
    // A width of 3 is less likely than a model with channels first.
    expect(chooseInput([value('x', [-1, 3, 3, 3])], undefined).layout).toBe('nchw');
    expect(chooseInput([value('x', [-1, 3, -1, -1])], { height: 96, width: 64 }).layout).toBe('nchw');
  });

  test.each<[string, NativeValueInfo[], RegExp]>([
    [
      'a CLIP',
      [value('pixel_values', [-1, 3, 224, 224]), value('input_ids', [-1, 77], 'int64')],
      /needs 2: pixel_values float32 \[batch, 3, 224, 224\]; input_ids int64 \[batch, 77\]/,
    ],
    ['no input', [], /needs 0: none/],
    ['grey', [value('x', [-1, 1, 28, 28])], /grey-only models are not supported/],
    ['grey with channels last', [value('x', [-1, 28, 28, 1])], /grey-only models are not supported/],
    ['five bands', [value('x', [-1, 5, 28, 28])], /3 channels/],
    ['int8', [value('x', [-1, 3, 28, 28], 'int8')], /float32, float16, uint8 .* int8 inputs are not supported/],
    ['float64', [value('x', [-1, 3, 28, 28], 'float64')], /float64 inputs are not supported/],
    ['text', [value('x', [-1, 77])], /\[batch, 3, height, width\]/],
  ])('refuses %s', async (_, inputs, message) => {
    await expectCode(() => chooseInput(inputs, undefined), 'ERR_MODEL_SHAPE', message);
  });

  test('asks for the size, and keeps to its own', async () => {
    const open = [value('x', [-1, 3, -1, -1])];
    await expectCode(() => chooseInput(open, undefined), 'ERR_INVALID_ARGUMENT', /tileSize .* open/);
    const fixed = [value('x', [-1, 3, 224, 224])];
    await expectCode(
      () => chooseInput(fixed, { height: 96, width: 96 }),
      'ERR_MODEL_SHAPE',
      /received 96 x 96; leave tileSize out/,
    );
  });
});

describe("a model's outputs", () => {
  const outputs = [
    value('logits', [-1, 1000]),
    value('tokens', [-1, 197, 384]),
    value('mask', [-1, 1, 7, 7], 'bool'),
    value('open', []),
    value('half', [-1, 49, 384], 'float16'),
  ];

  test('that may have places, in order', () => {
    expect(candidateOutputs(outputs, undefined)).toEqual([1, 3, 4]);
    expect(candidateOutputs(outputs, ['half', 'logits', 'tokens'])).toEqual([4, 0, 1]);
    expect(candidateOutputs(outputs, ['open'])).toEqual([3]);
  });

  test('refuses others by name', async () => {
    await expectCode(
      () => candidateOutputs(outputs, ['none']),
      'ERR_INVALID_ARGUMENT',
      /'none' of type string; the model has: logits float32 \[batch, 1000\]; tokens/,
    );
    await expectCode(() => candidateOutputs(outputs, ['mask']), 'ERR_MODEL_SHAPE', /received mask bool/);
    await expectCode(
      () => candidateOutputs([value('logits', [-1, 9])], undefined),
      'ERR_MODEL_SHAPE',
      /without its pooling/,
    );
  });
});

describe("a model's preprocessing", () => {
  const metadata = {
    'manyscale.mean': '0.485, 0.456,0.406',
    'manyscale.std': '0.5',
    'manyscale.rescale': '1',
    'manyscale.resize': 'pillow-bicubic',
    other: 'x',
  };

  test('options over metadata over defaults', () => {
    const { preprocess, sources } = choosePreprocess({ rescale: 2 }, readMetadata(metadata).preprocess, {});
    expect(preprocess).toEqual({
      mean: [0.485, 0.456, 0.406],
      std: [0.5, 0.5, 0.5],
      rescale: 2,
      resize: 'pillow-bicubic',
      channelOrder: 'rgb',
    });
    expect(sources).toEqual({
      mean: 'metadata',
      std: 'metadata',
      rescale: 'option',
      resize: 'metadata',
      channelOrder: 'default',
    });
  });

  test('a model that takes bytes normalises them itself, whatever files say; options and metadata say otherwise', () => {
    const configured = { mean: [0.5], std: [0.25], rescale: 1 / 127.5, resize: 'pillow-bilinear' } as const;
    const { preprocess, sources } = choosePreprocess({}, {}, configured, 'uint8');
    expect(preprocess).toMatchObject({ mean: [0, 0, 0], std: [1, 1, 1], rescale: 1, resize: 'pillow-bilinear' });
    expect(sources).toMatchObject({ mean: 'model', std: 'model', rescale: 'model', resize: 'configuration' });
    const given = choosePreprocess({ rescale: 0.5 }, { mean: [-1] }, configured, 'uint8');
    expect(given.preprocess).toMatchObject({ mean: [-1, -1, -1], std: [1, 1, 1], rescale: 0.5 });
    expect(given.sources).toMatchObject({ mean: 'metadata', std: 'model', rescale: 'option' });
    for (const type of ['float32', 'float16'])
      expect(choosePreprocess({}, {}, configured, type).sources.rescale).toBe('configuration');
  });

  test('all defaults', () => {
    expect(choosePreprocess({}, {}, {}).preprocess).toEqual({
      mean: [0, 0, 0],
      std: [1, 1, 1],
      rescale: 1 / 255,
      resize: 'torch-bicubic-antialias',
      channelOrder: 'rgb',
    });
  });

  test.each<[Record<string, string>]>([
    [{ 'manyscale.mean': '1,,2' }],
    [{ 'manyscale.rescale': 'many' }],
    [{ 'manyscale.resize': 'best' }],
  ])('refuses %o', async (bad) => {
    await expectCode(() => readMetadata(bad), 'ERR_MODEL_LOAD', /metadata manyscale\..*correct the model's metadata/);
  });
});
