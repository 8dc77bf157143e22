// Many images at once: memory in flight stays below its limit, whatever waits can be cancelled, nothing is lost, and what
// stats() says is so.
import { readFileSync } from 'node:fs';
import { Extractor, type Features } from 'manyscale';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadAddon } from '../../dist/native/load.js';
import { halfToNumber } from '../../src/float16.js';
import { expectClose, magnitude } from '../helpers/compare.js';
import { expectManyscaleError, failure } from '../helpers/errors.js';
import { patchModel, slowModel } from '../helpers/models.js';
import { photo, vitModel } from '../helpers/paths.js';
import { runFixture } from '../helpers/process.js';
import { makeRandom, makeSeed } from '../helpers/random.js';

const [height, width] = [100, 120];
const image = {
  data: new Uint8Array(height * width * 3).map((_, i) => (i * 31) & 255),
  width,
  height,
  channels: 3 as const,
};
const jpeg = readFileSync(photo('temple.jpg'));
/** What an image takes with patchModel and scales 1 and 2: pixels, 5 tiles of 16 tokens of 6 channels, 16 tokens of 12. */
const ONE = height * width * 3 + 4 * (5 * 16 * 6 + 16 * 12);

const floats = ({ tensor }: Features) => tensor.data as Float32Array;

async function expectAllGivenBack(extractor: Extractor): Promise<void> {
  await expect.poll(() => extractor.stats().bytes.inFlight, { timeout: 5000 }).toBe(0);
  expect(extractor.stats().images).toMatchObject({ inFlight: 0, waiting: 0 });
}

describe('the limit on memory', () => {
  test('is kept: images wait, and all are done', async () => {
    await using extractor = await Extractor.load(patchModel(), { maxBytes: 2 * ONE });
    const expected = floats(await extractor.extract(image));
    const pending = Array.from({ length: 50 }, () => extractor.extract(image));
    const { images, bytes } = extractor.stats();
    expect(images).toMatchObject({ inFlight: 2, waiting: 48 });
    expect(bytes).toEqual({ inFlight: 2 * ONE, limit: 2 * ONE });
    for (const features of await Promise.all(pending)) expectClose(floats(features), expected, 0, 'features');
    await expectAllGivenBack(extractor);
    expect(extractor.stats().latency.wait.max).toBeGreaterThan(0);
  });

  test('is kept by encoded images, and by images of all kinds at once', async () => {
    const limit = 8 * 2 ** 20;
    await using extractor = await Extractor.load(patchModel(), { maxBytes: limit });
    const kinds = [jpeg, photo('astronaut.png'), new Blob([jpeg]), image, photo('temple.jpg')];
    const pending = Array.from({ length: 40 }, (_, index) => extractor.extract(kinds[index % kinds.length] as Buffer));
    const all = Promise.all(pending);
    let done = false;
    all.finally(() => {
      done = true;
    });
    let most = 0;
    while (!done) {
      most = Math.max(most, extractor.stats().bytes.inFlight);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await all;
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(limit);
    await expectAllGivenBack(extractor);
  });

  test('an image that alone exceeds it is refused with its sizes, a file by its name', async () => {
    const limit = 1_500_000;
    await using extractor = await Extractor.load(patchModel(), { maxBytes: limit });
    const large = { data: new Uint8Array(1000 * 1000 * 3), width: 1000, height: 1000, channels: 3 as const };
    const needs = /at most 1\.5 MB \(maxBytes\) for .* received one that needs 3\.1 MB/;
    await expectManyscaleError(() => extractor.extract(large), 'ERR_IMAGE_TOO_LARGE', needs);
    const path = photo('two-dogs.jpg');
    await expectManyscaleError(
      () => extractor.extract(path),
      'ERR_IMAGE_TOO_LARGE',
      `for the image '${path}' but received`,
    );
    const small = { ...image, data: image.data.subarray(0, 30), width: 5, height: 2 };
    await extractor.extract(small);
    expect(extractor.stats().images).toMatchObject({ done: 1, failed: 2 });
    await expectAllGivenBack(extractor);
  });

  test("pixels that wait are the caller's as they were at the call", async () => {
    await using extractor = await Extractor.load(patchModel(), { maxBytes: ONE });
    const expected = floats(await extractor.extract(image));
    const pending = Array.from({ length: 6 }, (_, index) => {
      const mine = { ...image, data: image.data.slice() };
      const call = extractor.extract(mine);
      if (index % 2) mine.data.fill(index);
      else structuredClone(mine.data, { transfer: [mine.data.buffer] });
      return call;
    });
    for (const features of await Promise.all(pending)) expectClose(floats(features), expected, 0, 'features');
  });
});

test('decoded pixels are freed when they were read, not when they are collected', async () => {
  await using extractor = await Extractor.load(patchModel());
  const path = photo('dandelions-large.jpg'); // 45 MB of pixels
  await extractor.extract(path);
  const before = process.memoryUsage().external;
  for (let i = 0; i < 3; i++) await extractor.extract(path);
  await expect.poll(() => process.memoryUsage().external - before).toBeLessThan(20e6);
  // The caller's own stay.
  await extractor.extract(image);
  expect(image.data.length).toBe(height * width * 3);
});

describe('cancelling', () => {
  let slow: Extractor;
  /** What one image takes of it. */
  const one = height * width * 3 + 2 * 256 * 512 * 4;
  beforeAll(async () => {
    slow = await Extractor.load(slowModel(100), { scales: [1], maxBatch: 1, maxBytes: one + 1000 });
  });
  afterAll(() => slow.dispose());

  test('what waits for memory: at once, and others keep their turn', async () => {
    const controllers = Array.from({ length: 5 }, () => new AbortController());
    const pending = controllers.map(({ signal }) => slow.extract(image, { signal }));
    const settled = Promise.allSettled(pending);
    expect(slow.stats().images).toMatchObject({ inFlight: 1, waiting: 4 });
    const begin = performance.now();
    for (const index of [1, 2, 3]) controllers[index]?.abort(index);
    for (const index of [1, 2, 3]) expect(await failure(() => pending[index])).toBe(index);
    expect(performance.now() - begin).toBeLessThan(100);
    await new Promise((turn) => setImmediate(turn)); // the calls end in this turn of the loop
    expect(slow.stats().images).toMatchObject({ inFlight: 1, waiting: 1 });
    controllers[0]?.abort(0);
    expect((await settled)[4]?.status).toBe('fulfilled');
    await expectAllGivenBack(slow);
  });

  test('a Blob that never ends takes no room', async () => {
    const endless = new Blob([]);
    endless.arrayBuffer = () => new Promise(() => {});
    const controller = new AbortController();
    const waiting = slow.extract(endless, { signal: controller.signal });
    const rejected = expect(waiting).rejects.toBe('enough');
    await slow.extract(image);
    expect(slow.stats().images).toMatchObject({ inFlight: 0, waiting: 1 });
    controller.abort('enough');
    await rejected;
    await expectAllGivenBack(slow);
  });

  test('at random moments, images of all kinds: nothing is lost', async () => {
    const seed = makeSeed();
    const random = makeRandom(seed);
    await using extractor = await Extractor.load(patchModel(), { maxBytes: 4 * 2 ** 20 });
    const kinds = [
      jpeg,
      photo('astronaut.png'),
      new Blob([jpeg]),
      image,
      photo('temple.jpg'),
      '/nonexistent',
      jpeg.subarray(0, 999),
    ];
    const before = extractor.stats().images;
    const counts = { done: 0, failed: 0, cancelled: 0 };
    for (let round = 0; round < 8; round++) {
      await Promise.all(
        Array.from({ length: 40 }, async () => {
          const controller = new AbortController();
          const wait = random.pick([0, 0, 1, 2, 5, 20, 1000]);
          const timer = wait === 1000 ? undefined : setTimeout(() => controller.abort(seed), wait);
          try {
            await extractor.extract(random.pick(kinds) as Buffer, { signal: controller.signal });
            counts.done++;
          } catch (error) {
            if (error === seed) counts.cancelled++;
            else counts.failed++;
          } finally {
            clearTimeout(timer);
          }
        }),
      );
    }
    await expectAllGivenBack(extractor);
    const { done, failed, cancelled } = extractor.stats().images;
    expect(
      { done: done - before.done, failed: failed - before.failed, cancelled: cancelled - before.cancelled },
      `seed ${seed}`,
    ).toEqual(counts);
    expect((await extractor.extract(image)).tensor.dims).toEqual([16, 12]);
  });
});

describe('disposal', () => {
  test('ends at once what waits for memory, for decoding and for a Blob', async () => {
    const one = height * width * 3 + 2 * 256 * 512 * 4;
    const extractor = await Extractor.load(slowModel(200), { scales: [1], maxBatch: 1, maxBytes: 8 * one });
    const endless = new Blob([]);
    endless.arrayBuffer = () => new Promise(() => {});
    const kinds = [...new Array(10).fill(image), endless, jpeg, photo('dandelions.jpg'), photo('temple.jpg')];
    const settled: unknown[] = [];
    const pending = kinds.map((kind) => failure(() => extractor.extract(kind)).then((error) => settled.push(error)));
    await new Promise((resolve) => setTimeout(resolve, 30));
    const disposal = extractor.dispose();
    await new Promise((resolve) => setImmediate(resolve));
    expect(settled).toHaveLength(kinds.length);
    for (const error of settled) expect(error).toMatchObject({ code: 'ERR_DISPOSED' });
    await disposal;
    await Promise.all(pending);
    expect(extractor.stats().images).toMatchObject({ inFlight: 0, waiting: 0, cancelled: kinds.length });
  });

  test('await using', async () => {
    let kept: Extractor;
    let pending: Promise<unknown>;
    {
      await using extractor = await Extractor.load(slowModel(100), { scales: [1], maxBatch: 1 });
      pending = failure(() => extractor.extract(image));
      kept = extractor;
    }
    expect(await pending).toMatchObject({ code: 'ERR_DISPOSED' });
    await expectManyscaleError(() => kept.extract(image), 'ERR_DISPOSED');
  });
});

describe('stats', () => {
  test('count what was done', async () => {
    await using extractor = await Extractor.load(patchModel(), { maxBatch: 4 });
    expect(extractor.stats().images).toEqual({ done: 0, failed: 0, cancelled: 0, inFlight: 0, waiting: 0 });
    const tilesBefore = extractor.stats().tiles.done;
    await Promise.all([extractor.extract(image), extractor.extract(jpeg), extractor.extract(image, { scales: [1] })]);
    await failure(() => extractor.extract('/nonexistent'));
    await failure(() => extractor.extract(image, { signal: AbortSignal.abort() })); // never began
    const stats = extractor.stats();
    expect(stats.images).toEqual({ done: 3, failed: 1, cancelled: 0, inFlight: 0, waiting: 0 });
    expect(stats.tiles).toEqual({ queued: 0, running: 0, done: tilesBefore + 11 });
    expect(stats.batches.done).toBeGreaterThan(0);
    expect(stats.batches.fill).toBeCloseTo(stats.batches.meanTiles / 4);
    expect(stats.latency.total.count).toBe(3);
    expect(stats.latency.decode.count).toBe(1);
    expect(stats.latency.total.max).toBeGreaterThan(stats.latency.pool.max);
    expect(Object.isFrozen(stats.latency)).toBe(true);
  });

  test('after disposal are as they were', async () => {
    const extractor = await Extractor.load(patchModel());
    await extractor.extract(image);
    const before = extractor.stats();
    await extractor.dispose();
    expect(extractor.stats()).toMatchObject({ images: before.images, tiles: before.tiles, batches: before.batches });
  });

  test("every result's timings", async () => {
    await using extractor = await Extractor.load(patchModel());
    const { timings } = await extractor.extract(jpeg);
    expect(Object.keys(timings)).toEqual(['wait', 'decode', 'queue', 'split', 'model', 'pool', 'total']);
    for (const value of Object.values(timings)) expect(value).toBeGreaterThanOrEqual(0);
    expect(timings.decode).toBeGreaterThan(0);
    expect(timings.total).toBeGreaterThanOrEqual(timings.wait + timings.decode);
  });
});

describe('batches', () => {
  test('are described', async () => {
    await using extractor = await Extractor.load(patchModel(), { maxBatch: 3, threads: 1 });
    expect(extractor.info.batchInvariant).toBe(true);
    expect(extractor.info.batching).toEqual({ maxBatch: 3, fixed: false, workers: 1 });
    await using fixed = await Extractor.load(patchModel({ batch: 2 }));
    expect(fixed.info.batching).toMatchObject({ maxBatch: 2, fixed: true });
  });

  test('of one size by choice: the same features, alone and beside others', async () => {
    await using extractor = await Extractor.load(vitModel, { deterministic: true, maxBatch: 4 });
    expect(extractor.info.batching).toMatchObject({ maxBatch: 4, fixed: true });
    const alone = floats(await extractor.extract(image));
    for (const features of await Promise.all(Array.from({ length: 9 }, () => extractor.extract(image)))) {
      expectClose(floats(features), alone, 0, 'features');
    }
  });

  test('that wait for others are fuller', async () => {
    await using extractor = await Extractor.load(patchModel(), { maxDelay: 50, maxBatch: 4, threads: 1, scales: [1] });
    await Promise.all(Array.from({ length: 4 }, () => extractor.extract(image)));
    const begin = performance.now();
    await extractor.extract(image); // alone: waits, and ends all the same
    expect(performance.now() - begin).toBeLessThan(5000);
  });
});

describe('half precision', () => {
  test.each(['bnc', 'bchw'] as const)('%s: the nearest numbers to those of single precision', async (outputShape) => {
    await using single = await Extractor.load(vitModel, { outputShape });
    await using half = await Extractor.load(vitModel, { outputShape, dtype: 'float16' });
    const [expected, { tensor, grid, scales, vector: _ }] = [await single.extract(jpeg), await half.extract(jpeg)];
    expect(tensor.type).toBe('float16');
    expect(tensor.dims).toEqual(expected.tensor.dims);
    expect({ grid, scales }).toEqual({ grid: expected.grid, scales: expected.scales });
    const values = Array.from(tensor.data as Uint16Array, (value) =>
      tensor.data instanceof Uint16Array ? halfToNumber(value) : value,
    );
    floats(expected).forEach((value, index) => {
      // Half a unit in the last of 11 bits, or of the smallest numbers that there are.
      const tolerance = Math.max(Math.abs(value) * 2 ** -11, 2 ** -25);
      if (Math.abs((values[index] as number) - value) > tolerance)
        throw new Error(`${values[index]} for ${value} at ${index}`);
    });
    const features = await half.extract(jpeg);
    expect(features.vector()).toBeInstanceOf(Float32Array);
    const scale = magnitude(expected.vector());
    expectClose(features.vector(), expected.vector(), 1e-3 * scale, 'the mean');
  });
});

describe('an idle Extractor', () => {
  test('gives memory back once, and again after more work; and keeps no process alive', async () => {
    // A spy on the real session: what it does cannot be seen from outside otherwise.
    const addon = loadAddon();
    const { loadSession } = addon;
    let calls = 0;
    addon.loadSession = (options) => {
      const job = loadSession.call(addon, options);
      const promise = job.promise.then((session) => {
        const { shrink } = session;
        session.shrink = () => {
          calls++;
          return shrink.call(session);
        };
        return session;
      });
      return { promise, cancel: () => job.cancel() };
    };
    try {
      await using extractor = await Extractor.load(patchModel());
      await extractor.extract(image);
      await new Promise((resolve) => setTimeout(resolve, 1200));
      await extractor.extract(image);
      await new Promise((resolve) => setTimeout(resolve, 1200));
      expect(calls).toBe(0);
      await expect.poll(() => calls, { timeout: 3000 }).toBe(1);
      await new Promise((resolve) => setTimeout(resolve, 2500));
      expect(calls).toBe(1);
      const [before, after] = [await extractor.extract(image), await extractor.extract(image)];
      expectClose(floats(after), floats(before), 0, 'features');
      await expect.poll(() => calls, { timeout: 3000 }).toBe(2);
    } finally {
      addon.loadSession = loadSession;
    }
    const child = await runFixture('ends-by-itself', ['extract'], { timeout: 30_000 });
    expect(child.code).toBe(0);
  });
});
