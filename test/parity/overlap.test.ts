// Protects overlapping tiles: where they lie and how their features are blended is what an independent plain implementation
// (test/helpers/tiling.ts, merge.ts) gives. MANYSCALE_TEST_SEED=n repeats a failure.
import { expect, test } from 'vitest';
import { expectClose } from '../helpers/compare.js';
import {
  expectExtracted,
  load,
  noise,
  oddSizes,
  photoCrop,
  tokens,
  tolerance,
  vit,
  wideMap,
} from '../helpers/extracted.js';
import { expectPlans } from '../helpers/planned.js';
import { keep, overlapped } from '../helpers/presets.js';
import { makeSeed } from '../helpers/random.js';
import { type Size, toPlanes } from '../helpers/reference.js';
import type { TileModel } from '../helpers/s2.js';
import { aspectSweep } from '../helpers/sizes.js';
import { keepOverlappedScales, overlappedScales } from '../helpers/tiling.js';

const seed = makeSeed();
const MODE = 'torch-bicubic-antialias';
/** Of all models here, in pixels. */
const unit: Size = { height: 8, width: 8 };

interface OverlapCase {
  name: string;
  model: TileModel;
  overlap: number;
  scales: number[];
}

const cases: OverlapCase[] = [
  { name: 'one cell', model: tokens, overlap: 8, scales: [1, 2, 3, 7] },
  { name: 'half a tile', model: tokens, overlap: 0.5, scales: [1, 2, 5] },
  { name: 'so much that three tiles share a cell', model: tokens, overlap: 24, scales: [1, 3] },
  { name: 'less than a cell, which is rounded up', model: tokens, overlap: 3, scales: [2, 3] },
  { name: 'nothing', model: tokens, overlap: 0, scales: [1, 2] },
  { name: 'two cells of wide tiles', model: wideMap, overlap: 16, scales: [1, 2, 4] },
  { name: 'other overlaps down than across', model: wideMap, overlap: 0.4, scales: [1, 2, 4] },
];

test.each([
  ...cases,
  { name: 'a quarter of a tile', model: vit, overlap: 0.25, scales: [1, 2, 3, 5, 8] },
  { name: 'what does not spread evenly', model: vit, overlap: 40, scales: [2, 3, 5, 9] },
])('tiles that share $name', async ({ model, overlap, scales }) => {
  await using extractor = await load(model, { overlap, scales });
  expectPlans(
    [
      { height: 300, width: 400 },
      { height: 1, width: 1 },
    ],
    (image) => extractor.plan(image),
    // Without overlap a scale is what it always was.
    () => overlappedScales(model.tile, scales, { overlap, unit }),
    'scales',
  );
});

test.each(cases)(`features of tiles that share $name (seed ${seed})`, async ({ model, overlap, scales }) => {
  const image = noise({ height: 131, width: 77 }, seed);
  for (const outputIndex of [0, -1]) {
    for (const blend of ['linear', 'average'] as const) {
      await using extractor = await load(model, { overlap, scales, blend, resizeOutputToIndex: outputIndex });
      const expected = await overlapped(toPlanes(image), model, { scales, mode: MODE, overlap, outputIndex, blend });
      const what = `overlap ${overlap}, blended by '${blend}', grid of scale ${outputIndex}`;
      await expectExtracted(extractor, { image, expected, within: tolerance.patches, what });
    }
  }
});

test('a photo through a vision transformer, a quarter of each tile shared', async () => {
  const image = await photoCrop();
  const expected = await overlapped(toPlanes(image), vit, { scales: [1, 2], mode: MODE, overlap: 24 });
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

test.each([
  { model: tokens, scales: [1, 2], overlap: 8, uneven: 'resize' },
  { model: tokens, scales: [1.5, 0.5], overlap: 0.5, uneven: 'pad' },
  { model: wideMap, scales: [1, 2], overlap: 0.4, uneven: 'pad' },
] as const)(
  `overlap $overlap with fit 'keep', uneven $uneven, at $scales (seed ${seed})`,
  async ({ model, overlap, uneven, ...options }) => {
    const scales = [...options.scales];
    await using extractor = await load(model, { fit: 'keep', scales, overlap, uneven });
    expectPlans(
      aspectSweep(seed),
      (image) => extractor.plan(image),
      (image) => keepOverlappedScales(image, model.tile, scales, { overlap, unit }, uneven),
      'scales',
    );
    for (const size of oddSizes) {
      const image = noise(size, seed);
      const expected = await keep(toPlanes(image), model, { scales, mode: MODE, uneven, overlap });
      const what = `${size.width} x ${size.height}`;
      await expectExtracted(extractor, { image, expected, within: tolerance.patches, what });
    }
  },
);
