// Protects overlapping tiles: where they lie and how their features are blended is what an independent plain implementation
// (test/helpers/tiling.ts, merge.ts) gives. MANYSCALE_TEST_SEED=n repeats a failure.
import { expect, test } from 'vitest';
import { expectClose } from '../helpers/compare.js';
import { expectExtracted, load, noise, photoCrop, tokens, tolerance, vit, wideMap } from '../helpers/extracted.js';
import { expectPlans } from '../helpers/planned.js';
import { overlapped } from '../helpers/presets.js';
import { makeSeed } from '../helpers/random.js';
import { type Size, toPlanes } from '../helpers/reference.js';
import type { TileModel } from '../helpers/s2.js';
import { overlappedScales } from '../helpers/tiling.js';

const seed = makeSeed();
const MODE = 'torch-bicubic-antialias';
const both = (pixels: number): Size => ({ height: pixels, width: pixels });

interface OverlapCase {
  name: string;
  model: TileModel;
  overlap: number;
  pixels: Size;
  scales: number[];
}

const cases: OverlapCase[] = [
  { name: 'one cell', model: tokens, overlap: 8, pixels: both(8), scales: [1, 2, 3, 7] },
  { name: 'half a tile', model: tokens, overlap: 0.5, pixels: both(16), scales: [1, 2, 5] },
  {
    name: 'more than half, so that three tiles share a cell',
    model: tokens,
    overlap: 24,
    pixels: both(24),
    scales: [1, 3],
  },
  { name: 'none', model: tokens, overlap: 0, pixels: both(0), scales: [1, 2] },
  { name: 'wide tiles', model: wideMap, overlap: 16, pixels: both(16), scales: [1, 2, 4] },
];

test.each([
  ...cases,
  { name: 'a quarter of a tile', model: vit, overlap: 0.25, pixels: both(24), scales: [1, 2, 3, 5, 8] },
  { name: 'what does not spread evenly', model: vit, overlap: 40, pixels: both(40), scales: [2, 3, 5, 9] },
])('tiles that share $name', async ({ model, overlap, pixels, scales }) => {
  await using extractor = await load(model, { overlap, scales });
  const unit = model.tile.height / model.grid.height;
  expectPlans(
    [
      { height: 300, width: 400 },
      { height: 1, width: 1 },
    ],
    (image) => extractor.plan(image),
    () => overlappedScales(model.tile, both(unit), scales, pixels),
    'scales',
  );
});

test.each(cases)(`features of tiles that share $name (seed ${seed})`, async ({ model, overlap, pixels, scales }) => {
  const image = noise({ height: 131, width: 77 }, seed);
  for (const outputIndex of [0, -1]) {
    await using extractor = await load(model, { overlap, scales, resizeOutputToIndex: outputIndex });
    const expected = await overlapped(toPlanes(image), model, { scales, mode: MODE, overlap: pixels, outputIndex });
    const what = `overlap ${overlap}, grid of scale ${outputIndex}`;
    await expectExtracted(extractor, { image, expected, within: tolerance.patches, what });
  }
});

test('a photo through a vision transformer, a quarter of each tile shared', async () => {
  const image = await photoCrop();
  const expected = await overlapped(toPlanes(image), vit, { scales: [1, 2], mode: MODE, overlap: both(24) });
  await using extractor = await load(vit, { overlap: 24, scales: [1, 2] });
  await expectExtracted(extractor, { image, expected, within: tolerance.vit, what: 'overlap 24' });
  // A fraction of the tile says the same.
  await using fraction = await load(vit, { overlap: 0.25, scales: [1, 2] });
  const same = await fraction.extract(image);
  expect(same.tensor.dims).toEqual(expected.dims);
  expectClose(
    same.tensor.data as Float32Array,
    (await extractor.extract(image)).tensor.data as Float32Array,
    0,
    '0.25',
  );
});
