// extractMany with real images: results and failures in their place, pulling bounded by memory and by the caller, every
// way to end early.
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { Extractor, type ExtractResult, type ImageInput, ManyscaleError } from 'manyscale';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { expectClose } from '../helpers/compare.js';
import { expectManyscaleError, failure } from '../helpers/errors.js';
import { patchModel, slowModel } from '../helpers/models.js';
import { photo } from '../helpers/paths.js';

const unhandled: unknown[] = [];
const note = (error: unknown) => unhandled.push(error);
beforeEach(() => process.on('unhandledRejection', note));
afterEach(async () => {
  await new Promise((resolve) => setTimeout(resolve, 10));
  process.off('unhandledRejection', note);
  expect(unhandled.splice(0)).toEqual([]);
});

const [height, width] = [100, 120];
const raw = (seed: number) => ({
  data: new Uint8Array(height * width * 3).map((_, i) => (i * 31 + seed * 17) & 255),
  width,
  height,
  channels: 3 as const,
});

/** Images for ever, which notes what happens to it. */
function endless() {
  const state = { pulled: 0, closed: 0 };
  const images = (function* () {
    try {
      for (;;) yield raw(state.pulled++);
    } finally {
      state.closed++;
    }
  })();
  return { state, images };
}

async function collect(results: AsyncIterable<ExtractResult>): Promise<ExtractResult[]> {
  const all: ExtractResult[] = [];
  for await (const result of results) all.push(result);
  return all;
}

const idle = { inFlight: 0, waiting: 0 };

/** Once the caller is told of an end, decoding may still hold memory for a moment. */
async function expectAllGivenBack(extractor: Extractor): Promise<void> {
  await expect.poll(() => extractor.stats().bytes.inFlight, { timeout: 5000 }).toBe(0);
  expect(extractor.stats().images).toMatchObject(idle);
  expect(extractor.stats().tiles).toMatchObject({ queued: 0, running: 0 });
}

describe('results', () => {
  let extractor: Extractor;
  beforeAll(async () => {
    extractor = await Extractor.load(patchModel(), { maxBytes: 64 * 2 ** 20 });
  });
  afterAll(() => extractor.dispose());

  test('are those of extract, in order', async () => {
    const images: ImageInput[] = [
      photo('temple.jpg'),
      raw(1),
      readFileSync(photo('astronaut.png')),
      new Blob([readFileSync(photo('two-dogs.jpg'))]),
      raw(2),
    ];
    const results = await collect(extractor.extractMany(images));
    expect(results.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4]);
    for (const result of results) {
      if ('error' in result) throw result.error;
      const { tensor } = await extractor.extract(images[result.index] as ImageInput);
      expectClose(result.features.tensor.data as Float32Array, tensor.data as Float32Array, 0, `image ${result.index}`);
    }
  });

  test('as they come: every image once', async () => {
    const images = Array.from({ length: 40 }, (_, index) => (index % 4 ? raw(index) : photo('temple.jpg')));
    const results = await collect(extractor.extractMany(images, { ordered: false }));
    expect(results.map(({ index }) => index).toSorted((a, b) => a - b)).toEqual(images.map((_, index) => index));
    expect(results.every((result) => 'features' in result)).toBe(true);
  });

  test('take the options of extract', async () => {
    const [result] = await collect(extractor.extractMany([raw(1)], { scales: [2], outputShape: 'bchw', fit: 'crop' }));
    if (!result || 'error' in result) throw result?.error;
    const expected = await extractor.extract(raw(1), { scales: [2], outputShape: 'bchw', fit: 'crop' });
    expect(result.features.tensor.dims).toEqual([6, 8, 8]);
    expectClose(result.features.tensor.data as Float32Array, expected.tensor.data as Float32Array, 0, 'features');
  });

  test('bad images are reported in their place and do not end the rest', async () => {
    const images = [
      raw(0),
      photo('temple.jpg').replace('temple', 'none'),
      readFileSync(photo('temple.jpg')).subarray(0, 5000),
      42,
      { ...raw(3), channels: 2 },
      {
        get data(): Uint8Array {
          throw new TypeError('hands off');
        },
      },
      Promise.resolve(raw(5)),
    ] as ImageInput[];
    const results = await collect(extractor.extractMany(images));
    const codes = results.map((result) => ('error' in result ? result.error.code : 'ok'));
    expect(codes).toEqual([
      'ok',
      'ERR_IMAGE_READ',
      'ERR_IMAGE_DECODE',
      'ERR_INVALID_ARGUMENT',
      'ERR_INVALID_ARGUMENT',
      'ERR_INVALID_ARGUMENT',
      'ok',
    ]);
    for (const result of results) if ('error' in result) expect(result.error).toBeInstanceOf(ManyscaleError);
    expect(results[5]).toMatchObject({ error: { cause: { message: 'hands off' } } });
    await expectAllGivenBack(extractor);
  });

  test('from a stream', async () => {
    const paths = ['temple.jpg', 'astronaut.png', 'temple.jpg'].map(photo);
    const results = await collect(extractor.extractMany(Readable.from(paths)));
    expect(results.map(({ index }) => index)).toEqual([0, 1, 2]);
  });

  test('wrong options and sources are refused with the first result', async () => {
    const next = (images: unknown, options?: object) => () =>
      extractor.extractMany(images as ImageInput[], options).next();
    await expectManyscaleError(next('photo.jpg'), 'ERR_INVALID_ARGUMENT', /iterable of images .* into an array/);
    await expectManyscaleError(next([], { ordered: 1 }), 'ERR_INVALID_ARGUMENT', /for ordered/);
    await expectManyscaleError(next([], { scales: [0.3] }), 'ERR_INVALID_ARGUMENT', /scale/);
    await expectManyscaleError(next([], { signal: 1 }), 'ERR_INVALID_ARGUMENT', /for signal/);
    const reason = { why: 'before' };
    expect(await failure(next([], { signal: AbortSignal.abort(reason) }))).toBe(reason);
  });
});

describe('pulling', () => {
  test('stops where memory does', async () => {
    // Of slow tiles, so that nothing ends while this is looked at: room for two images and a half.
    const tokens = 256 * 512 * 4;
    const one = height * width * 3 + 2 * tokens;
    await using small = await Extractor.load(slowModel(100), {
      scales: [1],
      maxBatch: 1,
      maxBytes: Math.floor(one * 2.5),
    });
    const { state, images } = endless();
    const results = small.extractMany(images);
    const first = results.next();
    await expect.poll(() => small.stats().images, { timeout: 10_000 }).toMatchObject({ inFlight: 2, waiting: 1 });
    expect(state.pulled).toBe(3);
    expect(small.stats().bytes).toEqual({ inFlight: 2 * one, limit: Math.floor(one * 2.5) });
    await first;
    await results.return();
    expect(state.closed).toBe(1);
    await expectAllGivenBack(small);
  });

  test('stops where the caller does', async () => {
    await using extractor = await Extractor.load(patchModel());
    const { state, images } = endless();
    const results = extractor.extractMany(images);
    await results.next();
    await expect.poll(() => extractor.stats().images, { interval: 50 }).toMatchObject(idle);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const { pulled } = state;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(state.pulled).toBe(pulled);
    for (let i = 0; i < 20; i++) await results.next();
    await expect.poll(() => state.pulled).toBe(pulled + 20);
    await results.return();
  });

  test('goes on for as long as it is asked to', async () => {
    await using extractor = await Extractor.load(patchModel());
    const { state, images } = endless();
    let count = 0;
    for await (const result of extractor.extractMany(images)) {
      expect(result.index).toBe(count);
      expect('features' in result).toBe(true);
      if (++count === 300) break;
    }
    expect(state.closed).toBe(1);
    await expectAllGivenBack(extractor);
  });
});

describe('an early end', () => {
  let slow: Extractor;
  beforeAll(async () => {
    slow = await Extractor.load(slowModel(100), { scales: [1], maxBatch: 1, maxBytes: 2 ** 30 });
  });
  afterAll(() => slow.dispose());

  test('by break', async () => {
    const { state, images } = endless();
    const before = slow.stats().images;
    for await (const _ of slow.extractMany(images)) break;
    expect(state.closed).toBe(1);
    // Native work has ended when the loop has.
    expect(slow.stats().images).toMatchObject({ ...idle, done: before.done + 1 });
    expect(slow.stats().images.cancelled).toBeGreaterThan(before.cancelled);
    await expectAllGivenBack(slow);
  });

  test('by a failure inside the loop', async () => {
    const { state, images } = endless();
    const act = async () => {
      for await (const _ of slow.extractMany(images)) throw new RangeError('on purpose');
    };
    await expect(act()).rejects.toThrow('on purpose');
    expect(state.closed).toBe(1);
    await expectAllGivenBack(slow);
  });

  test('by a signal: its reason, soon', async () => {
    const { state, images } = endless();
    const controller = new AbortController();
    const all = failure(() => collect(slow.extractMany(images, { signal: controller.signal })));
    await expect.poll(() => slow.stats().tiles.running, { timeout: 10_000 }).toBeGreaterThan(0);
    const begin = performance.now();
    const reason = { why: 'enough' };
    controller.abort(reason);
    expect(await all).toBe(reason);
    expect(performance.now() - begin).toBeLessThan(1000);
    expect(state.closed).toBe(1);
    await expectAllGivenBack(slow);
  });

  test('by disposal: ERR_DISPOSED', async () => {
    const extractor = await Extractor.load(slowModel(100), { scales: [1], maxBatch: 1 });
    const { state, images } = endless();
    const all = failure(() => collect(extractor.extractMany(images)));
    await expect.poll(() => extractor.stats().tiles.running, { timeout: 10_000 }).toBeGreaterThan(0);
    await extractor.dispose();
    expect(await all).toMatchObject({ code: 'ERR_DISPOSED' });
    expect(state.closed).toBe(1);
    await expectManyscaleError(() => extractor.extractMany([raw(0)]).next(), 'ERR_DISPOSED');
  });

  test('by the source: first what is in flight', async () => {
    const reason = new Error('the camera is gone');
    const images = async function* () {
      yield raw(0);
      yield raw(1);
      throw reason;
    };
    const seen: number[] = [];
    const act = async () => {
      for await (const { index } of slow.extractMany(images())) seen.push(index);
    };
    await expect(act()).rejects.toBe(reason);
    expect(seen).toEqual([0, 1]);
    await expectAllGivenBack(slow);
  });
});
