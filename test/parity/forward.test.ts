// Protects multiscaleForward, split and pool at shapes that no golden case has: the same as plain loops, for random sizes,
// scales and models. MANYSCALE_TEST_SEED=n repeats a failure.
import { multiscaleForward, plan, pool, split, Tensor } from 'manyscale';
import { expect, test } from 'vitest';
import { expectClose, magnitude } from '../helpers/compare.js';
import { pillowModes, torchModes } from '../helpers/golden.js';
import { makeRandom, makeSeed, type Random, randomBytes, randomFloats } from '../helpers/random.js';
import {
  cut,
  normalise,
  type Planes,
  poolScales,
  resize,
  type Size,
  type TileFeatures,
  tileFeatures,
  toPlanes,
} from '../helpers/reference.js';

interface Setup {
  batch: number;
  channels: number;
  tile: Size;
  scales: number[];
  patch: number;
  prefix: number;
  layout: 'bnc' | 'bchw';
  outputIndex: number;
  features: number;
}

function chooseSetup(random: Random): Setup {
  const patch = random.integer(1, 5);
  const layout = random.pick(['bnc', 'bchw'] as const);
  const cells = random.integer(1, 6);
  // Square tiles have one possible grid; token models with others are the golden data's.
  const wide = layout === 'bchw' ? random.integer(1, 6) : cells;
  const scales = random.pick([[1], [1, 2], [2, 1], [1, 2, 3], [3], [1, 1, 5], [2, 4]]);
  return {
    batch: random.integer(1, 3),
    channels: random.integer(1, 4),
    tile: { height: patch * cells, width: patch * wide },
    scales,
    patch,
    prefix: layout === 'bnc' ? random.pick([0, 0, 1, 4]) : 0,
    layout,
    outputIndex: random.integer(-scales.length, scales.length - 1),
    features: random.integer(1, 9),
  };
}

/** A model in JavaScript: every cell is a weighted sum of its patch's pixels, prefix tokens are weighted sums of the tile. */
function makeModel({ patch, prefix, layout, features, channels }: Setup, random: Random): (tiles: Tensor) => Tensor {
  const weights = randomFloats(features * channels * patch * patch, random);
  const tileModel = (data: Float32Array, height: number, width: number): Float32Array => {
    const gridH = height / patch;
    const gridW = width / patch;
    const cells = gridH * gridW;
    const result = new Float32Array((prefix + cells) * features);
    for (let k = 0; k < features; k++) {
      for (let cell = 0; cell < cells; cell++) {
        let sum = 0;
        for (let c = 0; c < channels; c++) {
          for (let i = 0; i < patch * patch; i++) {
            const y = Math.floor(cell / gridW) * patch + Math.floor(i / patch);
            const x = (cell % gridW) * patch + (i % patch);
            sum +=
              (weights[(k * channels + c) * patch * patch + i] as number) *
              (data[(c * height + y) * width + x] as number);
          }
        }
        result[layout === 'bnc' ? (prefix + cell) * features + k : k * cells + cell] = sum;
        for (let row = 0; row < prefix; row++)
          result[row * features + k] = (result[row * features + k] as number) + (sum * (row + 1)) / cells;
      }
    }
    return result;
  };
  return ({ data, dims }) => {
    const [count, , height, width] = dims as [number, number, number, number];
    const tile = channels * height * width;
    const outputs = Array.from({ length: count }, (_, n) =>
      tileModel((data as Float32Array).subarray(n * tile, (n + 1) * tile), height, width),
    );
    const grid: [number, number] = [height / patch, width / patch];
    const shape = layout === 'bnc' ? [count, prefix + grid[0] * grid[1], features] : [count, features, ...grid];
    return new Tensor('float32', Float32Array.from(outputs.flatMap((output) => Array.from(output))), shape);
  };
}

/** The S2 wrapper in plain loops, image by image and tile by tile. */
function plainForward(model: (tiles: Tensor) => Tensor, images: Planes[], setup: Setup): Float32Array {
  const { tile, scales, patch, prefix, layout, outputIndex } = setup;
  const grid = { height: tile.height / patch, width: tile.width / patch };
  const results = images.map((image) => {
    const parts = scales.map((scale) => {
      const size = { height: tile.height * scale, width: tile.width * scale };
      const tiles: TileFeatures[] = cut(resize(image, size, 'torch-bicubic'), tile).map(({ data, channels }) => {
        const output = model(new Tensor('float32', data, [1, channels, tile.height, tile.width]));
        return tileFeatures(output.data as Float32Array, layout, grid, prefix);
      });
      return { tiles, rows: scale, columns: scale };
    });
    return Array.from(poolScales(parts, outputIndex, layout));
  });
  return Float32Array.from(results.flat());
}

const seed = makeSeed();

test.each(Array.from({ length: 40 }, (_, index) => index))(
  `multiscaleForward agrees with plain loops (seed ${seed}, case %i)`,
  async (index) => {
    const random = makeRandom(seed + index * 7919);
    const setup = chooseSetup(random);
    const { batch, channels, tile, scales, outputIndex, prefix, layout } = setup;
    const input = randomFloats(batch * channels * tile.height * tile.width, random);
    const model = makeModel(setup, random);
    const size = channels * tile.height * tile.width;
    const images = Array.from({ length: batch }, (_, n) => ({
      channels,
      ...tile,
      data: input.slice(n * size, (n + 1) * size),
    }));
    const expected = plainForward(model, images, setup);
    const options = {
      scales,
      maxSplitSize: [tile.height, tile.width] as [number, number],
      resizeOutputToIndex: outputIndex,
      numPrefixTokens: prefix,
      outputShape: layout,
      splitForward: random.pick([true, false]),
    };
    const tensor = new Tensor('float32', input.slice(), [batch, channels, tile.height, tile.width]);
    const actual = await multiscaleForward(
      random.pick([model, async (tiles: Tensor) => model(tiles)]),
      tensor,
      options,
    );
    const what = JSON.stringify({ seed, index, ...setup });
    expect(actual.dims[0], what).toBe(batch);
    expectClose(actual.data as Float32Array, expected, 1e-5 * (1 + magnitude(expected)), what);
    expectClose(tensor.data as Float32Array, input, 0, `the input was written to: ${what}`);
  },
);

const modes = [...torchModes, ...pillowModes];

test(`split agrees with plain loops for bytes of every kind and every mode (seed ${seed})`, async () => {
  const random = makeRandom(seed);
  for (let index = 0; index < 60; index++) {
    const channels = random.pick([1, 3] as const);
    const [height, width] = [random.pick([1, 2, 7, 31, 64, 97]), random.pick([1, 3, 16, 53, 101])];
    const stride = width * channels + random.pick([0, 0, 1, 64]);
    const image = {
      data: randomBytes((height - 1) * stride + width * channels, random),
      height,
      width,
      channels,
      stride,
    };
    const tile = { height: random.integer(1, 24), width: random.integer(1, 40) };
    const rows = random.integer(1, 4);
    const columns = random.integer(1, 3);
    const size = { height: tile.height * rows, width: tile.width * columns };
    const resizeMode = random.pick(modes);
    const preprocess = { mean: [0.4, 0.5, 0.6], std: [0.2, 0.3, 0.4], rescale: 1 / 255, resize: resizeMode };
    const onePlan = plan(
      { height, width },
      { imageSizes: [[size.height, size.width]], maxSplitSize: [tile.height, tile.width] },
    );
    const what = JSON.stringify({ seed, index, height, width, channels, stride, tile, rows, columns, resizeMode });
    const [batch] = await split(image, onePlan, preprocess);
    expect(batch?.dims, what).toEqual([rows * columns, 3, tile.height, tile.width]);
    const expected = cut(normalise(resize(toPlanes(image), size, resizeMode), preprocess), tile);
    expectClose(
      batch?.data as Float32Array,
      expected.flatMap(({ data }) => Array.from(data)),
      3e-5,
      what,
    );
  }
});

test(`split agrees with plain loops for float tensors and every mode (seed ${seed})`, async () => {
  const random = makeRandom(seed);
  for (let index = 0; index < 60; index++) {
    const [batch, channels] = [random.integer(1, 3), random.integer(1, 4)];
    const [height, width] = [random.pick([1, 2, 7, 31, 64, 97]), random.pick([1, 3, 16, 53, 101])];
    const tile = { height: random.integer(1, 24), width: random.integer(1, 40) };
    const [rows, columns] = [random.integer(1, 4), random.integer(1, 3)];
    const size = { height: tile.height * rows, width: tile.width * columns };
    const resizeMode = modes[index % modes.length] as (typeof modes)[number];
    const input = randomFloats(batch * channels * height * width, random);
    const onePlan = plan(
      { height, width },
      { imageSizes: [[size.height, size.width]], maxSplitSize: [tile.height, tile.width] },
    );
    const what = JSON.stringify({ seed, index, batch, channels, height, width, tile, rows, columns, resizeMode });
    const tensor = new Tensor('float32', input, [batch, channels, height, width]);
    const [made] = await split(tensor, onePlan, { mean: [0.5], std: [0.25], rescale: 1, resize: resizeMode });
    expect(made?.dims, what).toEqual([rows * columns * batch, channels, tile.height, tile.width]);
    const elements = channels * height * width;
    const images = Array.from({ length: batch }, (_, image) => {
      const data = input.subarray(image * elements, (image + 1) * elements);
      const resized = resize({ channels, height, width, data }, size, resizeMode, 'float32');
      return cut(normalise(resized, { mean: [0.5], std: [0.25], rescale: 1 }), tile);
    });
    const expected = Array.from({ length: rows * columns * batch }, (_, row) => {
      const planes = images[row % batch]?.[Math.floor(row / batch)];
      return Array.from(planes?.data as Float32Array);
    });
    expectClose(made?.data as Float32Array, expected.flat(), 3e-5, what);
  }
});

test(`pool agrees with plain loops at grids that do not divide (seed ${seed})`, async () => {
  const random = makeRandom(seed + 1);
  for (let index = 0; index < 40; index++) {
    const layout = random.pick(['bnc', 'bchw'] as const);
    const prefix = layout === 'bnc' ? random.integer(0, 2) : 0;
    const batch = random.integer(1, 3);
    const tile = random.pick([24, 30, 36]);
    const grids = [random.integer(1, 6), random.integer(1, 6), random.integer(1, 6)];
    const counts = [1, random.integer(1, 4), random.integer(1, 3)];
    const channels = [random.integer(1, 20), random.integer(1, 3), random.integer(1, 33)];
    const outputIndex = random.integer(-3, 2);
    const onePlan = plan(
      { height: tile, width: tile },
      { imageSizes: counts.map((count) => tile * count), maxSplitSize: tile, resizeOutputToIndex: outputIndex },
    );
    const features = counts.map((count, s) => {
      const [g, c] = [grids[s] as number, channels[s] as number];
      const rows = count * count * batch;
      const dims = layout === 'bnc' ? [rows, prefix + g * g, c] : [rows, c, g, g];
      return new Tensor(
        'float32',
        randomFloats(
          dims.reduce((a, b) => a * b),
          random,
        ),
        dims,
      );
    });
    const expected = Array.from({ length: batch }, (_, image) =>
      Array.from(
        poolScales(
          features.map(({ data, dims }, s) => {
            const count = counts[s] as number;
            const elements = dims.slice(1).reduce((a, b) => a * b);
            const grid = { height: grids[s] as number, width: grids[s] as number };
            const at = (n: number) =>
              (data as Float32Array).slice((n * batch + image) * elements, (n * batch + image + 1) * elements);
            const tiles = Array.from({ length: count * count }, (_unused, n) =>
              tileFeatures(at(n), layout, grid, prefix),
            );
            return { tiles, rows: count, columns: count };
          }),
          outputIndex,
          layout,
        ),
      ),
    ).flat();
    const actual = await pool(features, onePlan, { numPrefixTokens: prefix, outputShape: layout });
    const what = JSON.stringify({ seed, index, layout, prefix, batch, tile, grids, counts, channels, outputIndex });
    expectClose(actual.data as Float32Array, expected, 2e-6, what);
  }
});
