// Protects the presets: tiles and features are those of an independent plain implementation (test/helpers/tiling.ts, presets.ts)
// over thousands of aspect ratios, exact ties included. MANYSCALE_TEST_SEED=n repeats a failure.
import type { Plan, PlanScale } from 'manyscale';
import { beforeAll, describe, expect, test } from 'vitest';
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
} from '../helpers/extracted.js';
import { patchModel } from '../helpers/models.js';
import { expectPlans } from '../helpers/planned.js';
import { anyres, dynamicS2, internvl, llavaS2, type PlainFeatures, withoutPrefix } from '../helpers/presets.js';
import { makeSeed } from '../helpers/random.js';
import { type Planes, toPlanes } from '../helpers/reference.js';
import type { TileModel } from '../helpers/s2.js';
import { aspectSweep, tieSweep } from '../helpers/sizes.js';
import {
  anyresCandidates,
  anyresScales,
  dynamicS2Scales,
  internvlScales,
  layouts,
  llavaS2Scales,
  llavaS2Source,
} from '../helpers/tiling.js';

const seed = makeSeed();

/** Only its tile size counts: the layouts' area threshold depends on it. */
function squares(side: number): TileModel {
  return {
    model: patchModel({ tile: [side, side], patch: side / 4 }),
    tile: { height: side, width: side },
    layout: 'bnc',
    grid: { height: 4, width: 4 },
  };
}

describe('tiles', () => {
  const sweep = aspectSweep(seed);

  test.each([
    { side: 448, scales: [1, 2, 3], maxTiles: undefined },
    { side: 448, scales: [1, 2, 3], maxTiles: 9 },
    { side: 32, scales: [1, 2, 3], maxTiles: 24 },
    { side: 32, scales: [1, 2], maxTiles: 12 },
    { side: 32, scales: [1, 2], maxTiles: 6 },
    { side: 96, scales: [1, 4], maxTiles: 20 },
    { side: 96, scales: [1], maxTiles: 24 },
  ])(`dynamic-s2 of $side at $scales, at most $maxTiles tiles (seed ${seed})`, async ({ side, scales, maxTiles }) => {
    await using extractor = await load(squares(side), { preset: 'dynamic-s2', scales, maxTiles });
    const most = maxTiles ?? 12;
    const ties = tieSweep(side, layouts((scales.at(-1) as number) ** 2, most));
    expectPlans(
      [...sweep, ...ties],
      (image) => extractor.plan(image),
      (image) => dynamicS2Scales(image, side, scales, most),
      `dynamic-s2, at most ${most} tiles`,
    );
  });

  test('dynamic-s2 by default: scales 1, 2, 3 and at most 12 tiles, the output on the last', async () => {
    await using extractor = await load(squares(32), { preset: 'dynamic-s2' });
    const plan = extractor.plan({ height: 300, width: 400 });
    expectPlans(
      sweep.slice(0, 500),
      (image) => extractor.plan(image),
      (image) => dynamicS2Scales(image, 32, [1, 2, 3], 12),
      'dynamic-s2',
    );
    expect(plan.outputIndex).toBe(2);
    expect(plan.grid).toEqual({ height: 12, width: 16 });
  });

  test(`internvl, every limit on tiles (seed ${seed})`, async () => {
    const sparse = sweep.filter((_, index) => index % 5 === 0);
    for (const maxTiles of [...Array.from({ length: 24 }, (_, i) => i + 1), 40]) {
      await using extractor = await load(squares(32), { preset: 'internvl', maxTiles });
      const ties = tieSweep(32, layouts(1, Math.min(maxTiles, 16)));
      expectPlans(
        [...sparse, ...ties],
        (image) => extractor.plan(image),
        (image) => internvlScales(image, 32, maxTiles),
        `internvl, at most ${maxTiles} tiles`,
      );
    }
  });

  test(`internvl by default: at most 12 tiles of 448 (seed ${seed})`, async () => {
    await using extractor = await load(squares(448), { preset: 'internvl' });
    expectPlans(
      [...sweep, ...tieSweep(448, layouts(1, 12))],
      (image) => extractor.plan(image),
      (image) => internvlScales(image, 448, 12),
      'internvl',
    );
  });

  test.each([32, 336])(`anyres of %i (seed ${seed})`, async (side) => {
    await using extractor = await load(squares(side), { preset: 'anyres' });
    expectPlans(
      [...sweep, ...tieSweep(side, anyresCandidates)],
      (image) => extractor.plan(image),
      (image) => anyresScales(image, side),
      'anyres',
    );
  });

  test(`anyres of other resolutions (seed ${seed})`, async () => {
    const candidates = layouts(1, 9);
    const imageSizes = candidates.map(({ columns, rows }) => [rows * 32, columns * 32]);
    await using extractor = await load(squares(32), { preset: 'anyres', imageSizes });
    expectPlans(
      [...sweep, ...tieSweep(32, candidates)],
      (image) => extractor.plan(image),
      (image) => anyresScales(image, 32, candidates),
      'anyres',
    );
  });

  test.each([
    { side: 336, scales: undefined },
    { side: 32, scales: [1, 2] },
  ])(`llava-s2 of $side at $scales (seed ${seed})`, async ({ side, scales = [1, 2, 3] }) => {
    await using extractor = await load(squares(side), { preset: 'llava-s2', scales });
    // A line of pixels would first become a picture of millions by a thousand pixels.
    const sane = sweep.filter(({ height, width }) => Math.max(height, width) <= 100 * Math.min(height, width));
    expect(sane.length).toBeGreaterThan(3000);
    expectPlans(
      sane,
      (image) => {
        const { via, ...plan }: Plan & { via?: PlanScale } = extractor.plan(image);
        return { ...plan, scales: [...(via ? [via] : []), ...plan.scales] };
      },
      (image) => [llavaS2Source(image, side, scales), ...llavaS2Scales(side, scales)],
      'what the scales are made from, and the scales',
    );
    expect(extractor.plan({ height: 480, width: 640 }).outputIndex).toBe(0);
  });
});

interface Preset {
  name: string;
  options: object;
  plain: (image: Planes, model: TileModel) => Promise<PlainFeatures>;
}

const presets: Preset[] = [
  {
    name: 'dynamic-s2',
    options: { preset: 'dynamic-s2', scales: [1, 2], maxTiles: 6 },
    plain: (image, model) => dynamicS2(image, model, [1, 2], 6),
  },
  {
    name: 'internvl',
    options: { preset: 'internvl', maxTiles: 6 },
    plain: (image, model) => internvl(image, model, 6),
  },
  { name: 'anyres', options: { preset: 'anyres' }, plain: (image, model) => anyres(image, model) },
  {
    name: 'llava-s2',
    options: { preset: 'llava-s2' },
    plain: (image, model) => llavaS2(image, model, [1, 2, 3]),
  },
];

describe.each(presets)('features of $name', ({ name, options, plain }) => {
  let crop: Picture;
  beforeAll(async () => {
    crop = await photoCrop();
  });

  test('a photo through a vision transformer, with and without its CLS token', async () => {
    const expected = await plain(toPlanes(crop), vit);
    await using extractor = await load(vit, options);
    await expectExtracted(extractor, { image: crop, expected, within: tolerance.vit, what: name });
    expect((await extractor.extract(crop)).numPrefixTokens).toBe(1);
    await using without = await load(vit, { ...options, dropPrefixTokens: true });
    const dropped = withoutPrefix(expected, 1);
    await expectExtracted(without, { image: crop, expected: dropped, within: tolerance.vit, what: 'without CLS' });
    expect((await without.extract(crop)).numPrefixTokens).toBe(0);
  });

  test(`odd shapes (seed ${seed})`, async () => {
    await using extractor = await load(tokens, options);
    for (const size of oddSizes) {
      const image = noise(size, seed);
      const expected = await plain(toPlanes(image), tokens);
      const what = `${name} of ${size.width} x ${size.height}`;
      await expectExtracted(extractor, { image, expected, within: tolerance.patches, what });
    }
  });
});

test(`dynamic-s2 and llava-s2 of a feature map (seed ${seed})`, async () => {
  const map: TileModel = {
    model: patchModel({ layout: 'bchw' }),
    tile: { height: 32, width: 32 },
    layout: 'bchw',
    grid: { height: 4, width: 4 },
  };
  const image = noise({ height: 131, width: 77 }, seed);
  for (const { options, plain, name } of presets.filter(({ name }) => name.endsWith('-s2'))) {
    await using extractor = await load(map, options);
    const expected = await plain(toPlanes(image), map);
    await expectExtracted(extractor, { image, expected, within: tolerance.patches, what: name });
  }
});
