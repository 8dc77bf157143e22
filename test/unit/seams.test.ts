// Seams: exact on grids that are made by hand, and on a real photo what overlap is for.
import { describe, expect, test } from 'vitest';
import { Features, type FeaturesInit } from '../../src/features.js';
import { Extractor, measureSeams, Tensor } from '../../src/index.js';
import { photo, vitModel } from '../helpers/paths.js';
import { expectCode } from './rejection.js';

const timings = { wait: 0, decode: 0, queue: 0, split: 0, model: 0, pool: 0, total: 0 };
const scale = (from: number, to: number, grid = { height: 1, width: 4 }) => ({
  height: 8 * grid.height,
  width: 8 * grid.width,
  rows: 1,
  columns: 2,
  channels: [from, to] as [number, number],
});

/** Cells of two channels, as angles in degrees; one row of four, in tiles of two. */
function features(angles: number[], more: Partial<FeaturesInit> = {}, before: number[] = []): Features {
  const values = angles.flatMap((angle) => [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)]);
  return new Features({
    tensor: new Tensor('float32', Float32Array.from([...before, ...values]), [before.length / 2 + angles.length, 2]),
    grid: { height: 1, width: angles.length },
    numPrefixTokens: before.length / 2,
    scales: [scale(0, 2, more.grid ?? { height: 1, width: angles.length })],
    grids: (more.scales ?? [0]).map(() => more.grid ?? { height: 1, width: angles.length }),
    timings,
    ...more,
  });
}
const tile = { height: 1, width: 2 };

describe('by hand', () => {
  test('cells at a right angle across the border, and at 60 degrees inside', () => {
    const { across, inside, ratio } = measureSeams(features([0, 60, 150, 210]), tile);
    expect(across).toBeCloseTo(1, 6); // 1 - cos 90
    expect(inside).toBeCloseTo(0.5, 6); // 1 - cos 60
    expect(ratio).toBeCloseTo(2, 5);
  });

  test('prefix tokens are no neighbours', () => {
    const plain = measureSeams(features([0, 60, 150, 210]), tile);
    expect(measureSeams(features([0, 60, 150, 210], {}, [9, 9, 9, 9]), tile)).toEqual(plain);
  });

  test("a scale's own channels, of tokens and of a feature map", () => {
    const angles = [0, 60, 150, 210];
    const rows = angles.map((angle) => [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)]);
    const scales = [scale(0, 1), scale(1, 3)];
    const tokens = features(angles, {
      tensor: new Tensor('float32', Float32Array.from(rows.flatMap((row, i) => [i * i - 3, ...row])), [4, 3]),
      scales,
    });
    const map = features(angles, {
      tensor: new Tensor(
        'float32',
        Float32Array.from(
          [0, 1, 2].flatMap((c) => rows.map((row, i) => (c === 0 ? i * i - 3 : (row[c - 1] as number)))),
        ),
        [3, 1, 4],
      ),
      scales,
    });
    expect(measureSeams(tokens, tile).ratio).toBeCloseTo(2, 5);
    expect(measureSeams(map, tile)).toEqual(measureSeams(tokens, tile));
    expect(measureSeams(tokens, tile, 0).ratio).not.toBeCloseTo(2, 1);
  });

  test('each axis for itself, and both together', () => {
    // Rows turn by 60 degrees inside of tiles and by 90 across, columns by 60 everywhere.
    const rows = [0, 60, 150, 210];
    const grid = { height: 4, width: 4 };
    const angles = rows.flatMap((row) => [0, 60, 120, 180].map((column) => row + column));
    const seams = measureSeams(features(angles, { grid }), { height: 2, width: 2 });
    expect(seams.height?.across).toBeCloseTo(1, 6);
    expect(seams.height?.ratio).toBeCloseTo(2, 5);
    expect(seams.width?.across).toBeCloseTo(0.5, 6);
    expect(seams.width?.ratio).toBeCloseTo(1, 5);
    expect(seams.across).toBeCloseTo((4 * 1 + 4 * 0.5) / 8, 6);
    expect(seams.inside).toBeCloseTo(0.5, 6);
    expect(seams.ratio).toBeCloseTo(1.5, 5);
  });

  test('an axis without borders has no numbers, but counts inside', () => {
    const grid = { height: 2, width: 4 };
    const angles = [0, 60, 150, 210, 90, 150, 240, 300];
    const seams = measureSeams(features(angles, { grid }), { height: 2, width: 2 });
    expect(seams).not.toHaveProperty('height');
    expect(seams.width?.ratio).toBeCloseTo(2, 5);
    expect(seams.inside).toBeCloseTo((4 * 0.5 + 4 * 1) / 8, 6);
  });

  test('where the last tile of a padded scale is cut short', () => {
    const seams = measureSeams(features([0, 60, 150, 210, 300]), tile);
    expect(seams.across).toBeCloseTo(1, 6); // after the second and the fourth
    expect(seams.inside).toBeCloseTo(0.5, 6);
  });

  test('nothing has no direction', () => {
    const tensor = new Tensor('float32', Float32Array.from([0, 0, 0, 0, 1, 0, 1, 0]), [4, 2]);
    const torn = { across: 1, inside: 0, ratio: Number.POSITIVE_INFINITY };
    expect(measureSeams(features([0, 0, 0, 0], { tensor }), tile)).toEqual({ ...torn, width: torn });
    const same = new Tensor('float32', new Float32Array(8).fill(1), [4, 2]);
    const whole = { across: 0, inside: 0, ratio: 1 };
    expect(measureSeams(features([0, 0, 0, 0], { tensor: same }), tile)).toEqual({ ...whole, width: whole });
  });

  test('what has no borders is refused', async () => {
    const one = features([0, 1]);
    await expectCode(() => measureSeams(one, tile), 'ERR_INVALID_ARGUMENT', /more than one tile/);
    const four = features([0, 1, 2, 3]);
    await expectCode(() => measureSeams(four, tile, 1), 'ERR_INVALID_ARGUMENT', /scale/);
    await expectCode(() => measureSeams(four, { height: 0, width: 2 }), 'ERR_INVALID_ARGUMENT', /tile/);
    const sequence = features([0, 1, 2, 3], { isSequence: true });
    await expectCode(() => measureSeams(sequence, tile), 'ERR_INVALID_ARGUMENT', /merged/);
    const single = { height: 1, width: 1 };
    await expectCode(() => measureSeams(four, single), 'ERR_INVALID_ARGUMENT', /more than one cell along each side/);
  });

  test('what is no features of ours, or has none left, is refused', async () => {
    for (const value of [undefined, null, 3, {}, { tensor: new Tensor('float32', new Float32Array(4), [2, 2]) }])
      await expectCode(() => measureSeams(value as never, tile), 'ERR_INVALID_ARGUMENT', /features of an Extractor/);
    const gone = features([0, 60, 150, 210]);
    structuredClone(gone.tensor.data, { transfer: [(gone.tensor.data as Float32Array<ArrayBuffer>).buffer] });
    await expectCode(() => measureSeams(gone, tile), 'ERR_INVALID_ARGUMENT', /transferred/);
  });
});

test.each(['float32', 'float16'] as const)('overlap removes the seams of a real photo, %s', async (dtype) => {
  await using extractor = await Extractor.load(vitModel, { scales: [3], dtype });
  const { grid } = extractor.info.output;
  const without = measureSeams(await extractor.extract(photo('temple.jpg')), grid);
  const blended = measureSeams(await extractor.extract(photo('temple.jpg'), { overlap: 0.25 }), grid);
  expect(without.ratio).toBeGreaterThan(1.5);
  expect(blended.ratio).toBeLessThan(1.15);
  expect(blended.inside).toBeLessThan(1.2 * without.inside); // and not because everything was blurred away
  expect(blended.inside).toBeGreaterThan(0.8 * without.inside);
});

test("features on another scale's grid are refused, whichever way round", async () => {
  await using extractor = await Extractor.load(vitModel, { scales: [1, 2, 3], overlap: 0.25 });
  const { grid } = extractor.info.output;
  for (const [index, side] of [12, 24, 36].entries()) {
    const found = await extractor.extract(photo('temple.jpg'), { resizeOutputToIndex: index });
    expect(found.grid).toEqual({ height: side, width: side });
    for (const [scale, own] of [12, 24, 36].entries()) {
      expect(found.grids[scale]).toEqual({ height: own, width: own });
      if (scale === index && index > 0) expect(measureSeams(found, grid, scale).ratio).toBeGreaterThan(0);
      else
        await expectCode(
          () => measureSeams(found, grid, scale),
          'ERR_INVALID_ARGUMENT',
          scale === index ? /more than one tile/ : /own grid/,
        );
    }
  }
});
