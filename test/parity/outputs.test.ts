// What models take and give beside float32 NCHW tiles and one output: each against plain loops around onnxruntime-node.
import { defaultModel, Extractor, type ExtractorOptions, type Features, plan, split, type Tensor } from 'manyscale';
import { describe, expect, test } from 'vitest';
import { expectClose, magnitude } from '../helpers/compare.js';
import { expectManyscaleError } from '../helpers/errors.js';
import { type JoinedOptions, plainJoined } from '../helpers/joined.js';
import { channelsLastModel, patchModel, pyramidModel } from '../helpers/models.js';
import { encodeModel } from '../helpers/onnx.js';
import { makeRandom, makeSeed, randomBytes } from '../helpers/random.js';
import { toPlanes } from '../helpers/reference.js';
import { plainS2, type S2Options } from '../helpers/s2.js';

const seed = makeSeed();
const image = { width: 70, height: 50, channels: 3 as const, data: randomBytes(70 * 50 * 3, makeRandom(seed)) };
const tile = { height: 32, width: 32 };
const grid = { height: 4, width: 4 };
const half = { height: 2, width: 2 };
const one = { height: 1, width: 1 };

async function features(model: string | Uint8Array, options?: ExtractorOptions): Promise<Features> {
  await using extractor = await Extractor.load(model, options);
  return await extractor.extract(image);
}

/** Of the float32 model with channels first, which computes the same. */
function plain(options: Partial<S2Options>): Promise<Float32Array> {
  const mode = 'torch-bicubic-antialias';
  return plainS2(toPlanes(image), { model: patchModel(), tile, grid, scales: [1, 2], mode, layout: 'bnc', ...options });
}

describe(`types and layouts (seed ${seed})`, () => {
  test('channels last', async () => {
    const { tensor } = await features(patchModel({ channelsLast: true }));
    expectClose(tensor.data as Float32Array, await plain({}), 1e-5, 'features');
  });

  test('bytes with channels last, in and out: tokens of the same memory, pixels as they are', async () => {
    await using extractor = await Extractor.load(channelsLastModel(), { preprocess: { resize: 'pillow-bicubic' } });
    expect(extractor.info).toMatchObject({
      input: { layout: 'nhwc', type: 'uint8', tileSize: tile },
      output: { name: 'map', layout: 'bnc', grid, channels: 6, numPrefixTokens: 0 },
      preprocess: { mean: [0, 0, 0], std: [1, 1, 1], rescale: 1 },
      sources: { preprocess: { mean: 'model', std: 'model', rescale: 'model', resize: 'option' } },
      batchInvariant: true,
    });
    const { tensor } = await extractor.extract(image);
    expect(tensor.dims).toEqual([16, 12]);
    // Pillow's modes give whole numbers, so that nothing is rounded on the way.
    const expected = await plain({ mode: 'pillow-bicubic', rescale: 1 });
    expectClose(tensor.data as Float32Array, expected, 2e-3, 'features of pixels up to 255');
    await expectManyscaleError(
      () => extractor.extract(image, { numPrefixTokens: 1 }),
      'ERR_INVALID_ARGUMENT',
      /numPrefixTokens/,
      /map \[1, 4, 4, 6\]/,
    );
  });

  test('bytes are rounded, ties to even, and what is beyond them is cut off', async () => {
    const dims = ['batch', 3, 32, 32];
    const passThrough = encodeModel({
      inputs: [{ name: 'pixels', type: 'uint8', dims }],
      outputs: [{ name: 'map', dims }],
      nodes: [{ op: 'Cast', inputs: ['pixels'], outputs: ['map'], attributes: { to: 1 } }],
    });
    // From -100 to 282.5, every other one a tie.
    const preprocess = { resize: 'pillow-bicubic', rescale: 1.5, mean: [100] } as const;
    const { tensor } = await features(passThrough, { scales: [1], preprocess });
    const [exact] = (await split(image, plan(image, { imageSizes: [32] }), preprocess)) as [Tensor];
    const expected = (exact.data as Float32Array).map((value) => {
      const inside = Math.min(Math.max(value, 0), 255);
      const low = Math.floor(inside);
      return inside - low === 0.5 ? low + (low % 2) : Math.round(inside);
    });
    expect(new Set(expected).size).toBeGreaterThan(50);
    expectClose(tensor.data as Float32Array, expected, 0, 'pixels');
  });

  test.each(['bnc', 'bchw'] as const)('float16 in and out, %s', async (layout) => {
    const prefix = layout === 'bnc' ? 2 : 0;
    const model = patchModel({ inputType: 'float16', outputType: 'float16', layout, prefix });
    await using extractor = await Extractor.load(model);
    expect(extractor.info.input.type).toBe('float16');
    expect(extractor.info.output).toMatchObject({ layout, grid, numPrefixTokens: prefix });
    const { tensor, numPrefixTokens } = await extractor.extract(image);
    expect(tensor.type).toBe('float32');
    expect(numPrefixTokens).toBe(prefix);
    const expected = await plain({ model: patchModel({ layout, prefix }), layout, prefix });
    expectClose(tensor.data as Float32Array, expected, 2e-3, 'features of numbers around 1');
  });
});

describe(`several outputs (seed ${seed})`, () => {
  const model = pyramidModel();
  const maps: JoinedOptions['outputs'] = [
    { name: 'coarse', grid: half },
    { name: 'fine', grid },
  ];
  const joined = (options: Partial<JoinedOptions>) =>
    plainJoined(toPlanes(image), {
      model,
      tile,
      scales: [1, 2],
      mode: 'torch-bicubic-antialias',
      layout: 'bchw',
      outputs: maps,
      ...options,
    });

  test('maps of different grids, on the grid of the first that is named', async () => {
    for (const outputs of [maps, maps.toReversed()]) {
      for (const resizeOutputToIndex of [0, 1]) {
        await using extractor = await Extractor.load(model, {
          output: outputs.map(({ name }) => name),
          resizeOutputToIndex,
        });
        const result = await extractor.extract(image);
        const side = (outputs[0]?.grid.height ?? 0) * (resizeOutputToIndex + 1);
        expect(result.tensor.dims).toEqual([24, side, side]);
        expect(result.grid).toEqual({ height: side, width: side });
        expect(result.scales.map(({ channels }) => channels)).toEqual([
          [0, 12],
          [12, 24],
        ]);
        const planned = extractor.plan(image);
        expect(planned.dims).toEqual(result.tensor.dims);
        expect(planned.channels).toEqual(result.scales.map(({ channels }) => channels));
        expect(extractor.info.output.name).toBe(outputs[0]?.name);
        expect(extractor.info.outputsInUse).toEqual(
          outputs.map((output) => ({ ...output, layout: 'bchw', channels: 6, numPrefixTokens: 0 })),
        );
        expect(extractor.info.sources.output).toBe('option');
        const expected = await joined({ outputs, outputIndex: resizeOutputToIndex });
        expectClose(result.tensor.data as Float32Array, expected, 1e-5, `features on ${side} x ${side}`);
      }
    }
  });

  test('tokens keep their prefix tokens, as a map they lose them', async () => {
    const tokens = [
      { name: 'doubled', grid },
      { name: 'tokens', grid },
    ];
    const output = tokens.map(({ name }) => name);
    const { tensor, numPrefixTokens } = await features(model, { output });
    expect(tensor.dims).toEqual([17, 24]);
    expect(numPrefixTokens).toBe(1);
    const expected = await joined({ outputs: tokens, layout: 'bnc', prefix: 1 });
    expectClose(tensor.data as Float32Array, expected, 1e-5, 'features');
    const map = await features(model, { output, outputShape: 'bchw' });
    expect(map.tensor.dims).toEqual([24, 4, 4]);
    const [, second = 0] = map.tensor.data as Float32Array;
    expect(second).toBeCloseTo(expected[2 * 24] as number, 4); // the second cell behind CLS
  });

  test('a vector is one place for a tile, alone and beside maps', async () => {
    const pooled = await features(model, { output: 'pooled', resizeOutputToIndex: 1 });
    expect(pooled.tensor.dims).toEqual([4, 12]);
    const outputs = [{ name: 'pooled', grid: one }];
    const expected = await joined({ outputs, layout: 'bnc', outputIndex: 1 });
    expectClose(pooled.tensor.data as Float32Array, expected, 1e-5, 'vectors');
    const beside = await features(model, { output: ['fine', 'pooled'] });
    expect(beside.tensor.dims).toEqual([24, 4, 4]);
    // A vector [channels] of a tile is a map [channels, 1, 1].
    const both = await joined({ outputs: [{ name: 'fine', grid }, ...outputs] });
    expectClose(beside.tensor.data as Float32Array, both, 1e-5, 'maps and vectors');
  });

  test.each<[string, ExtractorOptions]>([
    ['keep, padded', { fit: 'keep', uneven: 'pad', scales: [1, 2.3] }],
    ['overlap', { overlap: 0.5, scales: [1, 3] }],
    ['dynamic-s2', { preset: 'dynamic-s2' }],
    ['internvl', { preset: 'internvl' }],
  ])('%s: the first has the channels that it has alone', async (_cut, options) => {
    for (const output of [
      ['fine', 'coarse'],
      ['coarse', 'fine'],
    ]) {
      const both = (await features(model, { ...options, output })).tensor;
      const alone = (await features(model, { ...options, output: output[0] as string })).tensor;
      const cells = both.dims.slice(-2).reduce((product, side) => product * side, 1);
      expect(alone.dims.slice(-2)).toEqual(both.dims.slice(-2));
      expect(both.data.length).toBe(2 * alone.data.length);
      // Of a scale, or of a tile of a sequence, six maps of the first come before six of the other.
      const maps = Array.from({ length: alone.data.length / cells }, (_, map) => map + 6 * Math.floor(map / 6));
      const first = maps.flatMap((map) => [...(both.data as Float32Array).subarray(map * cells, (map + 1) * cells)]);
      expectClose(first, alone.data as Float32Array, 0, output.join(' '));
    }
  });

  test('batches, half precision and images at once change nothing', async () => {
    const output = ['fine', 'coarse'];
    const expected = (await features(model, { output })).tensor.data as Float32Array;
    await using extractor = await Extractor.load(model, { output, deterministic: true, maxBatch: 3 });
    const all = await Promise.all([1, 2, 3].map(() => extractor.extract(image)));
    for (const { tensor } of all) expectClose(tensor.data as Float32Array, expected, 1e-6, 'features');
    const halves = await features(model, { output, dtype: 'float16' });
    expect(halves.tensor.dims).toEqual([24, 4, 4]);
  });

  test('tokens and maps, and tokens with other prefixes, are refused before any image', async () => {
    const load = (output: string[], options?: ExtractorOptions) => () =>
      Extractor.load(model, { ...options, output }).then((extractor) => extractor.dispose());
    await expectManyscaleError(
      load(['fine', 'tokens']),
      'ERR_MODEL_SHAPE',
      /fine \(a feature map\), tokens \(tokens, 1 prefix token\)/,
    );
    await expectManyscaleError(load(['tokens', 'pooled']), 'ERR_MODEL_SHAPE', /pooled \(tokens, 0 prefix tokens\)/);
    await expectManyscaleError(load(['fine', 'logits']), 'ERR_INVALID_ARGUMENT', /'logits'/, /coarse/);
    await expectManyscaleError(load(['fine', 'fine']), 'ERR_INVALID_ARGUMENT', /each name once/);
    await expectManyscaleError(load([]), 'ERR_INVALID_ARGUMENT', /at least one/);
    await expectManyscaleError(load(['tokens', 'pooled'], { numPrefixTokens: 1 }), 'ERR_MODEL_SHAPE', /pooled/);
  });

  test("both of the embedded model's", async () => {
    await using extractor = await Extractor.load(defaultModel, { output: ['feat_s16', 'feat_s32'] });
    const { tensor } = await extractor.extract(image);
    expect(tensor.dims).toEqual([416, 14, 14]);
    const { mean, std, rescale, resize: mode } = extractor.info.preprocess;
    const expected = await joined({
      model: defaultModel,
      tile: { height: 224, width: 224 },
      outputs: [
        { name: 'feat_s16', grid: { height: 14, width: 14 } },
        { name: 'feat_s32', grid: { height: 7, width: 7 } },
      ],
      ...{ mean, std, rescale, mode },
    });
    expectClose(tensor.data as Float32Array, expected, 1e-3 * magnitude(expected), 'features');
  });
});
