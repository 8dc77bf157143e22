// Protects the numbers of the whole S2 pass: 13 cases computed with PyTorch, 1e-5 absolute, by every way through the interface.
import { Extractor, multiscaleForward, plan, pool, split, Tensor } from 'manyscale';
import { describe, expect, test } from 'vitest';
import { expectClose } from '../helpers/compare.js';
import { type MultiscaleCase, multiscaleCases, onnxModel } from '../helpers/golden.js';
import { makeRandom, randomBytes } from '../helpers/random.js';
import { toPlanes } from '../helpers/reference.js';

const TOLERANCE = 1e-5;

const inputTensor = ({ input }: MultiscaleCase) => new Tensor('float32', input.data.slice(), input.shape);

function expectGolden(actual: Tensor, { output }: MultiscaleCase): void {
  expect(actual.type).toBe('float32');
  expect(actual.dims).toEqual(output.shape);
  expectClose(actual.data as Float32Array, output.data, TOLERANCE, 'features');
}

describe.each(multiscaleCases())('$name', (golden) => {
  const [batch, , height, width] = golden.input.shape as [number, number, number, number];

  test('multiscaleForward', async () => {
    const calls: number[] = [];
    const model = await onnxModel(golden.modelPath, calls);
    expectGolden(await multiscaleForward(model, inputTensor(golden), golden.options), golden);
    const { scales } = plan({ height, width }, golden.options);
    const sameTiles = new Set(scales.map(({ tileHeight, tileWidth }) => `${tileHeight} ${tileWidth}`)).size === 1;
    const rows = scales.map((scale) => scale.rows * scale.columns * batch);
    expect(calls).toEqual(sameTiles ? [rows.reduce((sum, count) => sum + count, 0)] : rows);
  });

  test('multiscaleForward with splitForward: one tile index of all images a call', async () => {
    const calls: number[] = [];
    const model = await onnxModel(golden.modelPath, calls);
    expectGolden(
      await multiscaleForward(model, inputTensor(golden), { ...golden.options, splitForward: true }),
      golden,
    );
    const tiles = plan({ height, width }, golden.options).scales.reduce(
      (sum, scale) => sum + scale.rows * scale.columns,
      0,
    );
    expect(calls).toEqual(new Array(tiles).fill(batch));
  });

  test('the parts: plan, split, the model, pool', async () => {
    const model = await onnxModel(golden.modelPath);
    const steps = plan({ height, width }, golden.options);
    expect(steps.scales.map((scale) => [scale.height, scale.width])).toEqual(golden.sizes);
    const tiles = await split(inputTensor(golden), steps, { rescale: 1 });
    const features: Tensor[] = [];
    for (const scaleTiles of tiles) features.push(await model(scaleTiles));
    const { numPrefixTokens, outputShape } = golden.options;
    expectGolden(await pool(features, steps, { numPrefixTokens, outputShape }), golden);
  });

  const { scales } = plan({ height, width }, golden.options);
  const [first] = scales;
  const isOneTileSize = scales.every(
    ({ tileHeight, tileWidth }) => tileHeight === first?.tileHeight && tileWidth === first.tileWidth,
  );
  // An Extractor has one tile size: cases with several have no counterpart.
  test.runIf(isOneTileSize)('Extractor agrees on an image, where pixels and tensor say the same', async () => {
    const image = { data: randomBytes(height * width * 3, makeRandom(1)), width, height, channels: 3 as const };
    const pixels = toPlanes(image).data.map((value) => value / 255);
    const model = await onnxModel(golden.modelPath);
    const expected = await multiscaleForward(
      model,
      new Tensor('float32', pixels, [1, 3, height, width]),
      golden.options,
    );
    const { resizeOutputToIndex } = golden.options;
    await using extractor = await Extractor.load(golden.modelPath, {
      tileSize: [first?.tileHeight ?? 0, first?.tileWidth ?? 0],
      imageSizes: golden.sizes,
      preprocess: { mean: [0], std: [1], resize: 'torch-bicubic' },
      ...(resizeOutputToIndex === undefined ? {} : { resizeOutputToIndex }),
    });
    const features = await extractor.extract(image);
    expect(features.numPrefixTokens).toBe(golden.options.numPrefixTokens);
    expect([features.grid.height, features.grid.width]).toEqual(golden.grid);
    expect(features.tensor.dims).toEqual(expected.dims.slice(1));
    expectClose(features.tensor.data as Float32Array, expected.data as Float32Array, TOLERANCE, 'features');
  });
});
