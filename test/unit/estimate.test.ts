// Extractor.estimate: its figures against what extract() gives and the model's shape. No time is compared with a clock.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Estimate, Extractor, type ExtractorOptions, ManyscaleError } from '../../src/index.js';
import { patchModel, severalOutputsModel } from '../helpers/models.js';
import { expectCode } from './rejection.js';

const PER_TILE = (32 / 8) ** 2 * 6 * 3 * 8 ** 2;
const bytes = patchModel({ prefix: 1 });
const size = { height: 90, width: 140 };
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

let extractor: Extractor;
beforeAll(async () => {
  extractor = await Extractor.load(bytes);
});
afterAll(() => extractor.dispose());

describe('an estimate', () => {
  it('has the plan and the features that extract() gives with its options', async () => {
    const estimate = await extractor.estimate(size, { scales: [1, 3], resizeOutputToIndex: -1, fit: 'crop' });
    const image = { ...size, data: new Uint8Array(size.height * size.width * 3), channels: 3 } as const;
    const { tensor, grid, numPrefixTokens, scales } = await extractor.extract(image, estimate.options);
    expect(estimate.plan.dims).toEqual(tensor.dims);
    expect(estimate.plan.crop).toEqual({ top: 0, left: 25, height: 90, width: 90 });
    expect(estimate.tokens).toBe(grid.height * grid.width + numPrefixTokens);
    expect(estimate.scales).toMatchObject(
      scales.map(({ height, width, rows, columns }, index) => ({
        scale: [1, 3][index],
        height,
        width,
        rows,
        columns,
        tiles: rows * columns,
        tokens: 16 * rows * columns,
        multiplyAdds: PER_TILE * rows * columns,
      })),
    );
    expect(estimate).toMatchObject({ tiles: 10, multiplyAdds: 10 * PER_TILE, fits: true, gaveUp: [], notes: [] });
    expect(estimate.bytes.features).toBe(4 * tensor.data.length);
    expect(estimate.bytes.image).toBe(image.data.byteLength);
  });

  it("is the load's plan without options", async () => {
    const { plan, scales } = await extractor.estimate(size);
    expect(plan).toEqual(extractor.plan(size));
    expect(scales.map(({ scale }) => scale)).toEqual([1, 2]);
  });

  it('adds up', async () => {
    const { bytes: memory, milliseconds, scales } = await extractor.estimate(size, { scales: [1, 2, 4] });
    const { total, ...parts } = memory;
    expect(total).toBe(sum(Object.values(parts)));
    const { workers, maxBatch } = extractor.info.batching;
    const features = 21 * 17 * 6 * 4;
    expect(parts.tiles).toBe(features + workers * maxBatch * 3 * 32 * 32 * 4);
    expect(parts.model).toBeGreaterThan(4 * 6 * 3 * 8 * 8);
    // The convolution reads 3 x 32 x 32 and writes 6 x 4 x 4.
    expect(parts.activations).toBe(4 * (3 * 32 * 32 + 6 * 4 * 4) * workers * maxBatch);
    const times = scales.map((scale) => scale.milliseconds);
    expect(Math.min(...times)).toBeGreaterThan(0);
    expect(milliseconds).toBeGreaterThanOrEqual(sum(times));
  });

  it('is plain data, frozen', async () => {
    const estimate = await extractor.estimate(size);
    expect(structuredClone(estimate)).toEqual(estimate);
    expect(() => Object.assign(estimate.bytes, { total: 0 })).toThrow(TypeError);
  });

  it('counts scales that are no multiple of the tile', async () => {
    const { scales, options } = await extractor.estimate(size, { imageSizes: [32, [32, 96]] });
    expect(scales.map(({ scale, tiles }) => ({ scale, tiles }))).toEqual([{ scale: 1, tiles: 1 }, { tiles: 3 }]);
    expect(options.imageSizes).toEqual([
      [32, 32],
      [32, 96],
    ]);
  });
});

describe('a budget', () => {
  const scalesOf = ({ scales }: Estimate) => scales.map(({ scale }) => scale);

  it('wishes for all scales up to the resolution of the image', async () => {
    const wide = { height: 33, width: 32 * 20 };
    const all = await extractor.estimate(wide, { budget: { multiplyAdds: 1e12 } });
    expect({ scales: scalesOf(all), fits: all.fits }).toEqual({ scales: [1, 2, 3, 4, 5, 6, 7, 8], fits: true });
    const cropped = await extractor.estimate(wide, { budget: { multiplyAdds: 1e12 }, fit: 'crop' });
    expect(scalesOf(cropped)).toEqual([1]);
  });

  it('is kept by leaving the largest scales out', async () => {
    const within = await extractor.estimate(size, { budget: { multiplyAdds: 20 * PER_TILE } });
    expect({ scales: scalesOf(within), fits: within.fits }).toEqual({ scales: [1, 2, 3], fits: true });
    expect(within.gaveUp.map(({ sentence }) => sentence)).toEqual(['scale 4 was left out']);
    expect(within.multiplyAdds).toBe(14 * PER_TILE);
    expect(within.options).toEqual({ scales: [1, 2, 3], resizeOutputToIndex: 0, fit: 'stretch' });
  });

  it('of memory counts that of the features', async () => {
    const { bytes: least } = await extractor.estimate(size, { scales: [1] });
    const { bytes: more } = await extractor.estimate(size, { scales: [1, 2] });
    const budget = { bytes: more.total - 1 };
    expect(scalesOf(await extractor.estimate(size, { scales: [1, 2], budget }))).toEqual([1]);
    expect(least.total).toBeLessThan(more.total);
  });

  it('that nothing keeps is told, with by how much, and is no error', async () => {
    const budget = { milliseconds: 1e-6, bytes: 1e12 };
    const { fits, over, milliseconds, ...rest } = await extractor.estimate(size, { scales: [2, 4], budget });
    expect({ fits, over, scales: rest.scales.length }).toEqual({
      fits: false,
      over: { milliseconds: milliseconds - 1e-6 },
      scales: 1,
    });
    expect(rest.scales[0]?.scale).toBe(1);
  });

  it("begins with the load's scales where it named some", async () => {
    await using own = await Extractor.load(bytes, { scales: [1, 5] });
    const { gaveUp } = await own.estimate(size, { budget: { multiplyAdds: 10 * PER_TILE } });
    expect(gaveUp).toMatchObject([{ what: 'scale', from: 5, to: 3 }]);
  });
});

describe('what cannot be estimated', () => {
  it.each([
    [{ height: 0, width: 1 }, {}, /height of the image/],
    [size, { scales: [1.3] }, /multiple/],
    [size, { scales: [1], imageSizes: [32] }, /not both/],
    [size, { budget: { bytes: Number.POSITIVE_INFINITY } }, /budget.bytes/],
    [size, { scales: [1, 2], resizeOutputToIndex: 2, budget: { milliseconds: 1 } }, /resizeOutputToIndex/],
  ])('%j with %j is refused', async (image, options, message) => {
    await expectCode(() => extractor.estimate(image, options), 'ERR_INVALID_ARGUMENT', message);
  });

  it('an abort ends the call at once and leaves the next one its measurement', async () => {
    await using own = await Extractor.load(bytes);
    const controller = new AbortController();
    const call = own.estimate(size, { signal: controller.signal });
    setTimeout(() => controller.abort(new Error('enough')), 20);
    await expect(call).rejects.toThrow('enough');
    await expect(own.estimate(size, { signal: AbortSignal.abort(new Error('at once')) })).rejects.toThrow('at once');
    expect((await own.estimate(size)).tiles).toBe(5);
  });

  it('a disposed Extractor: before, and meanwhile', async () => {
    const own = await Extractor.load(bytes);
    const call = own.estimate(size);
    const failure = expectCode(() => call, 'ERR_DISPOSED', /disposed/);
    setTimeout(() => void own.dispose(), 20);
    await failure;
    await expectCode(() => own.estimate(size), 'ERR_DISPOSED', /disposed/);
  });

  it('with little memory a smaller measurement is made; with too little it is an error, again and again', async () => {
    await using little = await Extractor.load(bytes, { maxBytes: 8000 });
    expect((await little.estimate({ height: 32, width: 32 }, { scales: [1] })).milliseconds).toBeGreaterThan(0);
    await using none = await Extractor.load(bytes, { maxBytes: 500 });
    for (let time = 0; time < 2; time++) {
      const failure = await none.estimate(size).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(ManyscaleError);
      expect((failure as ManyscaleError).code).toBe('ERR_IMAGE_TOO_LARGE');
    }
  });
});

it('a model whose every batch has one size is measured in whole batches', async () => {
  await using own = await Extractor.load(patchModel({ batch: 4 }), { scales: [1] });
  const { milliseconds, tiles, multiplyAdds } = await own.estimate(size);
  expect({ tiles, multiplyAdds }).toEqual({ tiles: 1, multiplyAdds: PER_TILE });
  // Four tiles are the same batch.
  const four = await own.estimate({ height: 32, width: 32 }, { scales: [2] });
  const one = await own.estimate({ height: 32, width: 32 }, { scales: [1] });
  expect(four.milliseconds).toBeCloseTo(one.milliseconds, 9);
  expect(milliseconds).toBeGreaterThanOrEqual(one.milliseconds);
});

it.each(['float32', 'float16', 'uint8'] as const)('counts a model of %s tiles, channels last', async (inputType) => {
  await using own = await Extractor.load(patchModel({ inputType, channelsLast: true }), { scales: [1] });
  const { multiplyAdds, notes, bytes: memory } = await own.estimate(size);
  expect({ multiplyAdds, notes }).toEqual({ multiplyAdds: PER_TILE, notes: [] });
  const { workers, maxBatch } = own.info.batching;
  const element = { float32: 4, float16: 2, uint8: 1 }[inputType];
  expect(memory.tiles).toBe(16 * 6 * 4 + workers * maxBatch * 3 * 32 * 32 * element);
});

it('has the features of all outputs that are joined', async () => {
  await using own = await Extractor.load(severalOutputsModel(), { scales: [1], output: ['map', 'pooled'] });
  const { bytes: memory, plan } = await own.estimate(size);
  const { workers, maxBatch } = own.info.batching;
  expect(memory.tiles - workers * maxBatch * 3 * 32 * 32 * 4).toBe((16 + 1) * 6 * 4);
  expect(plan.dims).toEqual([12, 4, 4]);
});

describe('other ways of cutting', () => {
  const ways: ExtractorOptions[] = [
    { preset: 'llava-s2' },
    { preset: 'dynamic-s2' },
    { preset: 'internvl', maxTiles: 6 },
    {
      preset: 'anyres',
      imageSizes: [
        [64, 96],
        [96, 64],
      ],
    },
    { fit: 'keep', scales: [1, 3], dropPrefixTokens: true },
    { fit: 'keep', uneven: 'pad', scales: [1, 3] },
    { overlap: 8, uneven: 'pad' },
  ];
  const image = { ...size, data: new Uint8Array(size.height * size.width * 3), channels: 3 } as const;

  it.each(ways)('%j: the estimate is of what extract() does', async (way) => {
    await using own = await Extractor.load(bytes, way);
    const { options, plan, tiles, tokens, bytes: memory, multiplyAdds } = await own.estimate(size);
    expect(plan).toEqual(own.plan(size));
    const before = own.stats().tiles.done;
    const { tensor, scales } = await own.extract(image, options);
    expect(own.stats().tiles.done - before).toBe(tiles);
    expect(plan.dims).toEqual(tensor.dims);
    expect(memory.features).toBe(4 * tensor.data.length);
    expect(tokens).toBe(tensor.data.length / (tensor.dims.at(-1) as number));
    expect(multiplyAdds).toBe(PER_TILE * sum(scales.map(({ rows, columns }) => rows * columns)));
  });

  it.each(ways)('%j: a budget is kept or said not to be, and its options serve', async (way) => {
    await using own = await Extractor.load(bytes, way);
    const { multiplyAdds: all = 0 } = await own.estimate(size);
    const budget = { multiplyAdds: all - 1 };
    const { fits, over, multiplyAdds = 0, options, plan } = await own.estimate(size, { budget });
    expect(fits).toBe(multiplyAdds <= budget.multiplyAdds);
    expect(over).toEqual(fits ? undefined : { multiplyAdds: multiplyAdds - budget.multiplyAdds });
    const { tensor } = await own.extract(image, options);
    expect(tensor.dims).toEqual(plan.dims);
  });
});
