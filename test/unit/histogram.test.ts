// Histograms of durations: counts, exact parts, and percentiles within the error that is promised.

import { describe, expect, test } from 'vitest';
import { Histogram } from '../../src/pipeline/histogram.js';
import { makeRandom, makeSeed } from '../helpers/random.js';

function filled(values: Iterable<number>): Histogram {
  const histogram = new Histogram();
  for (const value of values) histogram.record(value);
  return histogram;
}

test('of nothing', () => {
  expect(new Histogram().summary()).toEqual({ count: 0, mean: 0, p50: 0, p90: 0, p99: 0, max: 0, buckets: [] });
});

test('count, mean and largest are exact', () => {
  const { count, mean, max } = filled([1, 2, 3, 10]).summary();
  expect({ count, mean, max }).toEqual({ count: 4, mean: 4, max: 10 });
});

test('percentiles are within 5 % of the exact ones', () => {
  const seed = makeSeed();
  const random = makeRandom(seed);
  for (let round = 0; round < 50; round++) {
    // From microseconds to minutes, spread evenly over their magnitudes.
    const values = Array.from({ length: random.integer(1, 2000) }, () => 10 ** (random.next() * 8 - 3));
    const sorted = values.toSorted((a, b) => a - b);
    const summary = filled(values).summary();
    for (const [name, part] of [
      ['p50', 0.5],
      ['p90', 0.9],
      ['p99', 0.99],
    ] as const) {
      const exact = sorted[Math.ceil(values.length * part) - 1] as number;
      expect(Math.abs(summary[name] / exact - 1), `${name}, seed ${seed}, round ${round}`).toBeLessThan(0.05);
    }
  }
});

test('every value is in the bucket whose bounds hold it', () => {
  const seed = makeSeed();
  const random = makeRandom(seed);
  for (let round = 0; round < 500; round++) {
    const value = 10 ** (random.next() * 8 - 3);
    const [bucket] = filled([value]).summary().buckets;
    expect(bucket?.count).toBe(1);
    const upTo = bucket?.upTo ?? 0;
    expect(value, `seed ${seed}`).toBeLessThanOrEqual(upTo * (1 + 1e-12));
    expect(value * 2 ** (1 / 8), `seed ${seed}`).toBeGreaterThan(upTo * (1 - 1e-12));
  }
});

test('buckets are in order, without empty ones, and hold everything', () => {
  const { buckets } = filled([5, 0.1, 5, 300]).summary();
  expect(buckets.map(({ count }) => count)).toEqual([1, 2, 1]);
  expect(buckets.map(({ upTo }) => upTo)).toEqual(buckets.map(({ upTo }) => upTo).toSorted((a, b) => a - b));
});

describe('at the ends of the range', () => {
  test('nothing at all and less', () => {
    const { count, mean, max, p50, p99, buckets } = filled([0, -1e-6, 1e-9]).summary();
    expect({ count, p50, p99, max }).toEqual({ count: 3, p50: 1e-9, p99: 1e-9, max: 1e-9 });
    expect(mean).toBeCloseTo(0);
    expect(buckets).toEqual([{ upTo: 2 ** -10, count: 3 }]);
  });

  test('hours', () => {
    const { p50, max, buckets } = filled([1e7, 2e7]).summary();
    expect({ p50, max }).toEqual({ p50: 2e7, max: 2e7 });
    expect(buckets).toEqual([{ upTo: 2e7, count: 2 }]);
  });
});
