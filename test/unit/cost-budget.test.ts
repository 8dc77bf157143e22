// Which scales a budget leaves, what is said to be given up, and how time is made from a measured speed: no clock, no model.
import { describe, expect, it } from 'vitest';
import { type Cost, chooseWithin, excess, scalesUpTo, type Wish } from '../../src/cost/budget.js';
import { predictTime, type Speed } from '../../src/cost/speed.js';
import { checkEstimateOptions } from '../../src/options/extractor.js';
import type { Budget } from '../../src/options/options.js';
import { makeRandom, makeSeed } from '../helpers/random.js';
import { expectCode } from './rejection.js';

/** Tiles of a wish where a scale's are its square. */
function tilesOf({ scales = [], imageSizes = [] }: Wish): number {
  const tiles = [...scales.map((scale) => scale ** 2), ...imageSizes.map(({ height, width }) => height * width)];
  return tiles.reduce((sum, each) => sum + each, 0);
}

const byTiles = (wish: Wish) => ({ cost: { milliseconds: tilesOf(wish), bytes: 1, multiplyAdds: 1 } });
const choose = (scales: number[], milliseconds: number, resizeOutputToIndex = 0) =>
  chooseWithin({ scales, resizeOutputToIndex }, { milliseconds }, byTiles);

describe('scales within a budget', () => {
  it.each([
    ['all of them', [1, 2, 3], 14, [1, 2, 3]],
    ['without the largest', [1, 2, 3], 13, [1, 2]],
    ['without the two largest', [1, 2, 3], 4, [1]],
    ['in the order that they were given in', [3, 1, 2], 5, [1, 2]],
    ['a smaller one in place of the larger of two', [1, 4], 10, [1, 3]],
    ['and smaller still', [1, 4], 5, [1, 2]],
    ['none beside scale 1', [1, 4], 4, [1]],
    ['a single scale, smaller', [4], 9, [3]],
    ['scale 1 where none was wished for', [4, 3], 1, [1]],
    ['one of two equal ones', [2, 2], 4, [2]],
    ['a whole one in place of a broken one', [2.5], 4, [2]],
  ])('%s', (_, scales, milliseconds, expected) => {
    const { wish, over } = choose(scales, milliseconds);
    expect({ scales: wish.scales, over }).toEqual({ scales: expected, over: undefined });
  });

  it('says what was given up, the largest first', () => {
    expect(choose([1, 2, 3, 4], 5).gaveUp).toEqual([
      { what: 'scale', from: 4, sentence: 'scale 4 was left out' },
      { what: 'scale', from: 3, sentence: 'scale 3 was left out' },
    ]);
    expect(choose([1, 4], 5).gaveUp).toEqual([
      { what: 'scale', from: 4, to: 2, sentence: 'scale 4 was replaced by scale 2' },
    ]);
    expect(choose([1, 2], 5).gaveUp).toEqual([]);
  });

  it('keeps the smallest of sizes', () => {
    const imageSizes = [2, 1, 3].map((side) => ({ height: side, width: side }));
    const chosen = chooseWithin({ imageSizes, resizeOutputToIndex: 0 }, { milliseconds: 1 }, byTiles);
    expect(chosen.wish).toEqual({ imageSizes: [{ height: 1, width: 1 }], resizeOutputToIndex: 0 });
    expect(chosen.gaveUp.map(({ sentence }) => sentence)).toEqual([
      'the scale of 3 x 3 pixels was left out',
      'the scale of 2 x 2 pixels was left out',
      'the features have the grid of the largest scale left',
    ]);
  });

  it('says by how much not even the least fits', () => {
    const { wish, over } = chooseWithin(
      { scales: [1, 2], resizeOutputToIndex: 0 },
      { milliseconds: 0.25, bytes: 2 },
      byTiles,
    );
    expect({ scales: wish.scales, over }).toEqual({ scales: [1], over: { milliseconds: 0.75 } });
  });

  it.each([
    ['stays with its scale', [1, 2, 3], 1, 5, 1],
    ['stays with its scale when those before it go', [3, 1, 2], 2, 5, 1],
    ['stays with one that was made smaller', [1, 4], -1, 5, -1],
    ['goes to the largest that is left', [1, 2, 3], -1, 5, 1],
  ])('the grid %s', (_, scales, index, milliseconds, expected) => {
    expect(choose(scales, milliseconds, index).wish.resizeOutputToIndex).toBe(expected);
  });

  it('refuses a limit on what is not known', async () => {
    await expectCode(
      () => excess({ milliseconds: 1, bytes: 1, multiplyAdds: undefined }, { multiplyAdds: 5 }),
      'ERR_INVALID_ARGUMENT',
      /for budget.multiplyAdds but received 5.*notes of estimate/,
    );
  });

  it('for any wish and budget: fits, or has come to the least; a larger budget never gives less', () => {
    const seed = makeSeed();
    const random = makeRandom(seed);
    for (let round = 0; round < 500; round++) {
      const scales = Array.from({ length: random.integer(1, 6) }, () => random.integer(1, 9));
      const index = random.integer(-scales.length, scales.length - 1);
      const wish: Wish = { scales, resizeOutputToIndex: index };
      const budget: Budget = { milliseconds: 300 * random.next(), multiplyAdds: 300 * random.next() };
      const looked: Wish[] = [];
      const look = (wished: Wish): { cost: Cost } => {
        looked.push(wished);
        return { cost: { milliseconds: tilesOf(wished), bytes: 0, multiplyAdds: 2 * tilesOf(wished) } };
      };
      const { found, wish: left, over, gaveUp } = chooseWithin(wish, budget, look);
      const story = `seed ${seed}, round ${round}: ${scales} at ${index}, ${JSON.stringify(budget)} -> ${left.scales}`;
      const kept = left.scales as number[];
      expect(excess(found.cost, budget), story).toEqual(over);
      if (over) expect(kept, story).toEqual([1]);
      expect(looked[0]?.scales, story).toEqual(scales);
      const costs = looked.map(tilesOf);
      expect(costs, story).toEqual([...costs].sort((a, b) => b - a));
      // What is left and what is given up make up what was wished for.
      const gone = gaveUp.flatMap((one) => (one.what === 'scale' ? [one] : []));
      const before = [...kept, ...gone.map(({ from }) => from)];
      for (const { to } of gone) if (to !== undefined) before.splice(before.indexOf(to), 1);
      expect(before.sort(), story).toEqual([...scales].sort());
      const at = left.resizeOutputToIndex;
      expect(at < 0 ? kept.length + at : at, story).toBeLessThan(kept.length);
      const more = chooseWithin(wish, { milliseconds: 1e9, multiplyAdds: (budget.multiplyAdds as number) * 1.5 }, look);
      expect(tilesOf(more.wish), story).toBeGreaterThanOrEqual(tilesOf(left));
    }
  });
});

describe('the wish without any', () => {
  it.each([
    [3000, 4000, [1, 2, 3, 4, 5, 6, 7, 8]],
    [480, 640, [1, 2]],
    [100, 1000, [1, 2, 3, 4]],
    [1, 1, [1]],
  ])('of an image %i high and %i wide', (height, width, scales) => {
    expect(scalesUpTo({ height, width }, { height: 224, width: 224 })).toEqual(scales);
  });
});

describe('budgets are checked', () => {
  it.each([
    [{ milliseconds: 0 }, /above 0 for budget.milliseconds/],
    [{ bytes: -1 }, /above 0 for budget.bytes/],
    [{ multiplyAdds: Number.NaN }, /a finite number for budget.multiplyAdds/],
    [{ milliseconds: '200' }, /a finite number for budget.milliseconds/],
    [{ seconds: 1 }, /milliseconds, bytes, multiplyAdds for a limit of the budget but received 'seconds'/],
    [200, /an object for budget/],
    [null, /an object for budget/],
    [[200], /an object for budget/],
  ])('%j', async (budget, message) => {
    await expectCode(() => checkEstimateOptions({ budget }), 'ERR_INVALID_ARGUMENT', message);
  });

  it('a misspelt one is refused too', async () => {
    await expectCode(() => checkEstimateOptions({ budgets: { bytes: 1 } }), 'ERR_INVALID_ARGUMENT', /'budget'/);
  });

  it('limits that are undefined are none', () => {
    expect(checkEstimateOptions({ budget: { bytes: undefined, milliseconds: 2 } }).budget).toEqual({ milliseconds: 2 });
    expect(checkEstimateOptions({}).budget).toBeUndefined();
  });
});

describe('time', () => {
  const tile = { height: 10, width: 10 };
  const speed: Speed = {
    tile,
    unit: 1,
    workers: 4,
    tileBytes: 100,
    readsAll: true,
    mostBytes: 1e9,
    alone: 5,
    full: 8,
    turn: 6,
    pixel: 0.001,
    read: 0.01,
    byte: 0.1,
  };
  const work = (tiles: number) => ({ image: tile, source: tile, scales: [{ size: tile, tiles }], bytes: 0 });
  const time = (tiles: number, more: Partial<Speed> = {}) => predictTime({ ...speed, ...more }, work(tiles)).total;

  it.each([
    ['one tile', 1, 5],
    ['some workers', 2, 6],
    ['all workers', 4, 8],
    ['a second turn', 8, 14],
    ['a part of a second turn', 5, 8 + (6 * 5) / 8],
  ])('of %s', (_, tiles, expected) => {
    expect(time(tiles)).toBeCloseTo(expected, 12);
  });

  it('of one worker, and of batches of one size', () => {
    expect(time(3, { workers: 1, full: 5, turn: 4 })).toBe(13);
    expect(time(9, { unit: 4 })).toBe(time(3));
  });

  it('pixels are taken once and read for every scale; a larger result is written', () => {
    const large = { height: 100, width: 200 };
    const scales = [
      { size: tile, tiles: 1 },
      { size: tile, tiles: 1 },
    ];
    const { total, scales: each } = predictTime(speed, { image: large, source: large, scales, bytes: 250 });
    const read = 0.01 * (20_000 - 100);
    expect(each).toEqual([3 + read, 3 + read]);
    expect(total).toBeCloseTo(6 + 2 * read + 0.001 * (20_000 - 100) + 0.1 * 50, 9);
    // Without antialiasing only the rows near a scale's own are read.
    const near = predictTime({ ...speed, readsAll: false }, { image: large, source: large, scales, bytes: 0 });
    expect(near.scales[0]).toBeCloseTo(3 + 0.01 * (10 * 200 - 100), 9);
  });

  it('more tiles never take less', () => {
    const seed = makeSeed();
    const random = makeRandom(seed);
    for (let round = 0; round < 200; round++) {
      const alone = 10 * random.next();
      const full = alone + 10 * random.next();
      const some = {
        workers: random.integer(1, 9),
        unit: random.integer(1, 3),
        alone,
        full,
        turn: full * random.next(),
      };
      if (some.workers === 1) some.full = alone;
      const times = Array.from({ length: 40 }, (_, index) => time(index + 1, some));
      const story = `seed ${seed}, round ${round}, ${JSON.stringify(some)}`;
      for (let i = 1; i < times.length; i++)
        expect(times[i], story).toBeGreaterThanOrEqual((times[i - 1] as number) * (1 - 1e-12));
    }
  });
});
