// One plan per shape and options: the same request gives the plan that is at hand, and a stream of shapes keeps no more than the last few.
import { Extractor, plan } from 'manyscale';
import { expect, test } from 'vitest';
import { patchModel } from '../helpers/models.js';
import { expectExit, runFixture } from '../helpers/process.js';

/** Plans are frozen, so that one list of scales serves all of one shape: how the cache shows, and no promise of the interface. */
test('the same shape and options share their scales', async () => {
  const image = { height: 480, width: 640 };
  const options = { scales: [1, 2], maxSplitSize: 480, uneven: 'pad' } as const;
  expect(plan(image, options).scales).toBe(plan({ ...image }, { ...options, scales: [1, 2] }).scales);
  expect(plan(image, options).scales).not.toBe(plan(image, { ...options, uneven: 'resize' }).scales);
  // What pool() takes is no geometry.
  expect(plan(image, options).scales).toBe(plan(image, { ...options, numPrefixTokens: 1, blend: 'average' }).scales);
  for (const way of [{ fit: 'keep', overlap: 8 }, { preset: 'llava-s2' }] as const) {
    await using extractor = await Extractor.load(patchModel(), way);
    expect(extractor.plan(image).scales).toBe(extractor.plan({ ...image }).scales);
    expect(extractor.plan(image).via).toBe(extractor.plan(image).via);
    expect(extractor.plan(image).scales).not.toBe(extractor.plan({ height: 1480, width: 640 }).scales);
  }
});

test('a stream of different shapes does not grow memory', async () => {
  const child = await runFixture('plan-stream', ['100000'], { flags: ['--expose-gc'] });
  expectExit(child, 0);
  const { shapes, before, after } = JSON.parse(child.stdout) as Record<
    'before' | 'after',
    Record<'rss' | 'heap', number>
  > & {
    shapes: number;
  };
  const grown = { rss: after.rss - before.rss, heap: after.heap - before.heap };
  console.log(
    `${shapes} shapes: heap ${grown.heap.toFixed(1)} MB, resident ${grown.rss.toFixed(1)} MB more than after the first tenth`,
  );
  expect(shapes).toBe(100_000);
  // A plan of two scales is about a kilobyte: kept, these would be 90 MB.
  expect(grown.heap, child.stdout).toBeLessThan(8);
  expect(grown.rss, child.stdout).toBeLessThan(60);
});
