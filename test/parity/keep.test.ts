// Protects images of any shape: fit 'keep' and `uneven` give the tiles and features of an independent plain implementation
// (test/helpers/tiling.ts, presets.ts). MANYSCALE_TEST_SEED=n repeats a failure.
import { multiscaleForward, plan, type ScaleOptions, Tensor } from 'manyscale';
import { beforeAll, describe, expect, test } from 'vitest';
import { expectClose, magnitude } from '../helpers/compare.js';
import {
  expectExtracted,
  load,
  noise,
  oddSizes,
  type Picture,
  photoCrop,
  tokens,
  tolerance,
  vit,
  wideMap,
} from '../helpers/extracted.js';
import { expectPlans } from '../helpers/planned.js';
import { keep, place, withoutPrefix } from '../helpers/presets.js';
import { makeRandom, makeSeed, randomFloats } from '../helpers/random.js';
import { cut, type Planes, poolScales, resize, type Size, type TileFeatures, toPlanes } from '../helpers/reference.js';
import { aspectSweep } from '../helpers/sizes.js';
import { contentCells, keepScales, type Uneven, unevenScales } from '../helpers/tiling.js';

const seed = makeSeed();
const sweep = aspectSweep(seed);
const MODE = 'torch-bicubic-antialias';

describe("fit 'keep'", () => {
  test.each([
    { name: 'square tiles', model: tokens, scales: [1, 2], uneven: undefined },
    { name: 'square tiles', model: tokens, scales: [1, 2, 3], uneven: 'pad' },
    { name: 'square tiles', model: tokens, scales: [0.5, 1.5], uneven: 'resize' },
    { name: 'square tiles', model: tokens, scales: [0.7, 2.3], uneven: 'pad' },
    { name: 'wide tiles', model: wideMap, scales: [1, 2], uneven: 'resize' },
    { name: 'wide tiles', model: wideMap, scales: [1, 3], uneven: 'pad' },
  ] as const)(
    `$name at $scales, uneven $uneven: scales, tiles and grid (seed ${seed})`,
    async ({ model, scales, uneven }) => {
      await using extractor = await load(model, { fit: 'keep', scales, uneven });
      const expected = (image: Size) => keepScales(image, model.tile, [...scales], uneven ?? 'resize');
      expectPlans(sweep, (image) => extractor.plan(image), expected, `'keep', uneven ${uneven}`);
      const unit = model.tile.height / model.grid.height;
      for (const image of sweep.filter((_, index) => index % 10 === 0)) {
        const [first] = expected(image);
        // Tiles of cells of `unit` x `unit` pixels: what a content's last, partly covered cell adds is rounded up.
        const cells = ({ height, width }: Size) => ({
          height: Math.ceil(height / unit),
          width: Math.ceil(width / unit),
        });
        expect(extractor.plan(image).grid, JSON.stringify(image)).toEqual(first && cells(first.content));
      }
    },
  );

  let crop: Picture;
  beforeAll(async () => {
    crop = await photoCrop();
  });

  test.each<{ uneven: Uneven; outputIndex: number }>([
    { uneven: 'resize', outputIndex: 0 },
    { uneven: 'pad', outputIndex: 0 },
    { uneven: 'pad', outputIndex: -1 },
  ])(
    'a photo through a vision transformer: uneven $uneven, grid of scale $outputIndex',
    async ({ uneven, outputIndex }) => {
      const options = { fit: 'keep', scales: [1, 2], uneven, resizeOutputToIndex: outputIndex };
      const expected = await keep(toPlanes(crop), vit, { scales: [1, 2], mode: MODE, uneven, outputIndex });
      const comparison = { image: crop, within: tolerance.vit };
      await using extractor = await load(vit, options);
      await expectExtracted(extractor, { ...comparison, expected, what: uneven });
      await using without = await load(vit, { ...options, dropPrefixTokens: true });
      await expectExtracted(without, { ...comparison, expected: withoutPrefix(expected, 1), what: 'without CLS' });
    },
  );

  describe.each([
    { name: 'tokens', model: tokens },
    { name: 'a feature map of wide tiles', model: wideMap },
  ])('$name', ({ model }) => {
    test.each<{ uneven: Uneven; scales: number[]; outputIndex: number }>([
      { uneven: 'resize', scales: [1, 2], outputIndex: 0 },
      { uneven: 'pad', scales: [1, 2, 3], outputIndex: 0 },
      { uneven: 'pad', scales: [2.3, 0.7], outputIndex: -1 },
      { uneven: 'resize', scales: [0.4, 1.7], outputIndex: 1 },
    ])(
      `odd shapes: uneven $uneven, $scales, grid of scale $outputIndex (seed ${seed})`,
      async ({ uneven, scales, outputIndex }) => {
        await using extractor = await load(model, { fit: 'keep', scales, uneven, resizeOutputToIndex: outputIndex });
        for (const size of oddSizes) {
          const image = noise(size, seed);
          const expected = await keep(toPlanes(image), model, { scales, mode: MODE, uneven, outputIndex });
          const what = `${uneven} of ${size.width} x ${size.height}`;
          await expectExtracted(extractor, { image, expected, within: tolerance.patches, what });
        }
      },
    );
  });

  test("Pillow's resize, padded after normalisation", async () => {
    const options = { fit: 'keep', scales: [1, 2], uneven: 'pad', preprocess: { resize: 'pillow-bicubic' } };
    await using extractor = await load(tokens, options);
    const expected = await keep(toPlanes(crop), tokens, { scales: [1, 2], mode: 'pillow-bicubic', uneven: 'pad' });
    await expectExtracted(extractor, { image: crop, expected, within: tolerance.patches, what: 'pillow-bicubic' });
  });
});

const FEATURES = 5;
const PATCH = 4;

/** A model in JavaScript: a feature map whose every cell knows its patch and its tile, so that borders of tiles show. */
function makeModel(weights: Float32Array): (tile: Planes) => Planes {
  return ({ channels, height, width, data }) => {
    const grid = { height: Math.floor(height / PATCH), width: Math.floor(width / PATCH) };
    const mean = data.reduce((sum, value) => sum + value, 0) / data.length;
    const dot = (k: number, top: number, left: number) => {
      let sum = mean;
      for (let i = 0; i < channels * PATCH * PATCH; i++) {
        const c = Math.floor(i / (PATCH * PATCH));
        const y = top + (Math.floor(i / PATCH) % PATCH);
        const x = left + (i % PATCH);
        sum += (weights[k * channels * PATCH * PATCH + i] as number) * (data[(c * height + y) * width + x] as number);
      }
      return sum;
    };
    const cells = grid.height * grid.width;
    const map = Float32Array.from({ length: FEATURES * cells }, (_, i) => {
      const cell = i % cells;
      return dot(Math.floor(i / cells), Math.floor(cell / grid.width) * PATCH, (cell % grid.width) * PATCH);
    });
    return { channels: FEATURES, ...grid, data: map };
  };
}

/** The planes of every row of a tensor [n, channels, height, width]. */
function rowsOf({ data, dims }: Tensor): Planes[] {
  const [count, channels, height, width] = dims as [number, number, number, number];
  const size = channels * height * width;
  return Array.from({ length: count }, (_, row) => ({
    channels,
    height,
    width,
    data: (data as Float32Array).slice(row * size, (row + 1) * size),
  }));
}

function tensorOf(rows: Planes[]): Tensor {
  const { channels, height, width } = rows[0] as Planes;
  const data = Float32Array.from(rows.flatMap((row) => Array.from(row.data)));
  return new Tensor('float32', data, [rows.length, channels, height, width]);
}

describe('sizes that do not divide: plan() and multiscaleForward with `uneven`', () => {
  const scaled = ({ height, width }: Size, scales: number[]) =>
    scales.map((scale) => ({ height: Math.floor(height * scale), width: Math.floor(width * scale) }));

  test.each<Uneven>(['resize', 'pad'])(`%s: scales and tiles (seed ${seed})`, (uneven) => {
    const most = { height: 37, width: 64 };
    const scales = [1, 1.5, 2.25];
    const options: ScaleOptions & { uneven: Uneven } = { scales, maxSplitSize: [37, 64], uneven };
    const expected = (image: Size) => unevenScales(scaled(image, scales), most, uneven);
    expectPlans(
      sweep.filter(({ height, width }) => height * width < 1e6),
      (image) => plan(image, options),
      expected,
      uneven,
    );
    const tiles = plan({ height: 101, width: 40 }, options).scales;
    expect(tiles.map(({ tileHeight, tileWidth }) => ({ height: tileHeight, width: tileWidth }))).toEqual(
      expected({ height: 101, width: 40 }).map(({ tile }) => tile),
    );
  });

  test.each<{ uneven: Uneven; size: Size; scales: number[]; outputIndex: number }>([
    { uneven: 'resize', size: { height: 50, width: 41 }, scales: [1, 1.5, 2.3], outputIndex: 0 },
    { uneven: 'pad', size: { height: 50, width: 41 }, scales: [1, 1.5, 2.3], outputIndex: 0 },
    { uneven: 'pad', size: { height: 33, width: 97 }, scales: [2, 1], outputIndex: -1 },
    { uneven: 'pad', size: { height: 32, width: 64 }, scales: [1, 2], outputIndex: 1 },
  ])(
    `features: $uneven of $size at $scales, grid of scale $outputIndex (seed ${seed})`,
    async ({ uneven, size, scales, outputIndex }) => {
      const random = makeRandom(seed);
      const model = makeModel(randomFloats(FEATURES * 3 * PATCH * PATCH, random));
      const images = Array.from(
        { length: 2 },
        (): Planes => ({ channels: 3, ...size, data: randomFloats(3 * size.height * size.width, random) }),
      );
      const planned = unevenScales(scaled(size, scales), { height: 32, width: 32 }, uneven);
      const expected = images.map((image) => {
        const parts = planned.map((scale) => {
          const picture = place(resize(image, scale.content, 'torch-bicubic'), scale, scale.content);
          const tiles = cut(picture, scale.tile).map((tile) => ({ prefix: [], grid: model(tile) }));
          const [rows, columns] = [scale.tops.length, scale.lefts.length];
          const { height, width } = (tiles[0] as TileFeatures).grid;
          const content = {
            height: contentCells(scale.content.height, scale.height, rows * height),
            width: contentCells(scale.content.width, scale.width, columns * width),
          };
          return { rows, columns, tiles, content };
        });
        return { data: poolScales(parts, outputIndex, 'bchw'), grid: parts.at(outputIndex)?.content as Size };
      });
      const options: Parameters<typeof multiscaleForward>[2] & { uneven: Uneven } = {
        scales,
        maxSplitSize: 32,
        uneven,
        outputShape: 'bchw',
        resizeOutputToIndex: outputIndex,
      };
      const result = await multiscaleForward((tiles) => tensorOf(rowsOf(tiles).map(model)), tensorOf(images), options);
      const { height, width } = (expected[0] as (typeof expected)[0]).grid;
      expect(result.dims).toEqual([2, FEATURES * scales.length, height, width]);
      const data = expected.flatMap((image) => Array.from(image.data));
      expectClose(result.data as Float32Array, data, tolerance.patches * magnitude(data), 'features');
    },
  );
});
