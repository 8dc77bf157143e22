// What goes wrong in the middle of many images stays with the image that it belongs to.

import { Extractor, type ExtractorOptions, type Features } from 'manyscale';
import { afterEach, describe, expect, test } from 'vitest';
import { expectManyscaleError } from '../helpers/errors.js';
import { failsOnBrightModel, looksAroundModel, patchModel, secretlyFixedBatchModel } from '../helpers/models.js';
import { makeRandom, makeSeed } from '../helpers/random.js';

const open: Extractor[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((extractor) => extractor.dispose()));
});

async function load(model: Uint8Array, options: ExtractorOptions = {}): Promise<Extractor> {
  const extractor = await Extractor.load(model, options);
  open.push(extractor);
  return extractor;
}

const plain = (value: number) => ({
  data: new Uint8Array(40 * 50 * 3).fill(value),
  width: 40,
  height: 50,
  channels: 3 as const,
});
const numbers = (features: Features) => features.tensor.data as Float32Array;

describe('a model that fails on one image', () => {
  test('ends that image, also when its tiles share batches with others', async () => {
    // One worker, one tile an image, tiles that wait for each other: batches of four different images.
    const extractor = await load(failsOnBrightModel(), { scales: [1], threads: 1, maxDelay: 20 });
    const expected = numbers(await extractor.extract(plain(0)));
    const images = Array.from({ length: 24 }, (_, index) => plain(index % 7 === 6 ? 200 : 0));
    const results = await Promise.allSettled(images.map((image) => extractor.extract(image)));
    for (const [index, result] of results.entries()) {
      if (index % 7 === 6) {
        expect(result).toMatchObject({ status: 'rejected', reason: { code: 'ERR_MODEL_RUN' } });
      } else {
        expect(result.status).toBe('fulfilled');
        expect(numbers((result as PromiseFulfilledResult<Features>).value)).toEqual(expected);
      }
    }
    const { images: count, tiles, bytes, batches } = extractor.stats();
    expect(count).toMatchObject({ done: 22, failed: 3, inFlight: 0 });
    expect(batches.meanTiles).toBeGreaterThan(1); // they did share
    expect(tiles).toMatchObject({ queued: 0, running: 0 });
    expect(bytes.inFlight).toBe(0);
  });

  test('in a stream, at its seventh image: an error in its place, and the stream goes on', async () => {
    const extractor = await load(failsOnBrightModel(), { scales: [1, 2] });
    const found: (string | number)[] = [];
    const images = Array.from({ length: 12 }, (_, index) => plain(index === 6 ? 200 : 0));
    for await (const result of extractor.extractMany(images)) {
      found.push('error' in result ? result.error.code : result.index);
    }
    expect(found).toEqual([0, 1, 2, 3, 4, 5, 'ERR_MODEL_RUN', 7, 8, 9, 10, 11]);
  });
});

describe('a model whose features depend on the batch', () => {
  test('is told from one whose features do not', async () => {
    expect((await load(patchModel())).info.batchInvariant).toBe(true);
    expect((await load(looksAroundModel())).info.batchInvariant).toBe(false);
  });

  test('gets its tiles one at a time when results must not depend on others', async () => {
    const extractor = await load(looksAroundModel(), { deterministic: true, scales: [1, 2] });
    expect(extractor.info.batchInvariant).toBe(true);
    expect(extractor.info.batching.maxBatch).toBe(1);
    const random = makeRandom(makeSeed());
    const values = Array.from({ length: 12 }, () => random.integer(0, 255));
    const alone: Float32Array[] = [];
    for (const value of values) alone.push(numbers(await extractor.extract(plain(value))));
    const together = await Promise.all(values.map((value) => extractor.extract(plain(value))));
    for (const [index, features] of together.entries()) expect(numbers(features)).toEqual(alone[index]);
  });

  test('that works with one tile only is run so', async () => {
    const extractor = await load(secretlyFixedBatchModel(), { scales: [1, 2] });
    expect(extractor.info.batching.maxBatch).toBe(1);
    const expected = await (await load(patchModel(), { scales: [1, 2] })).extract(plain(77));
    expect(numbers(await extractor.extract(plain(77)))).toEqual(numbers(expected));
  });
});

test('a storm of aborts: those that stay get their features, and nothing stays in flight', async () => {
  const seed = makeSeed();
  const random = makeRandom(seed);
  const extractor = await load(patchModel(), { scales: [1, 2] });
  const expected = numbers(await extractor.extract(plain(9)));
  const calls = Array.from({ length: 200 }, (_, index) => {
    const controller = new AbortController();
    const leaves = index % 2 === 1;
    if (leaves) setTimeout(() => controller.abort(new Error(`left ${index}`)), random.integer(0, 60));
    return extractor.extract(plain(9), { signal: controller.signal }).then(
      (features) => expect(numbers(features), `seed ${seed}`).toEqual(expected),
      (error: Error) => expect(leaves && error.message, `seed ${seed}`).toBe(`left ${index}`),
    );
  });
  await Promise.all(calls);
  const until = performance.now() + 5000;
  while (extractor.stats().bytes.inFlight > 0 && performance.now() < until)
    await new Promise((wake) => setTimeout(wake, 5));
  expect(extractor.stats()).toMatchObject({
    images: { inFlight: 0 },
    tiles: { queued: 0, running: 0 },
    bytes: { inFlight: 0 },
  });
});

test('disposal under load ends its own images; another Extractor of the model goes on, and a third loads it again', async () => {
  const model = patchModel();
  const first = await load(model, { scales: [1, 2] });
  const second = await load(model, { scales: [1, 2] });
  const expected = numbers(await second.extract(plain(3)));
  const ended = Array.from({ length: 50 }, () => first.extract(plain(3)));
  const kept = Array.from({ length: 50 }, () => second.extract(plain(3)));
  const outcomes = Promise.allSettled(ended);
  await first.dispose();
  for (const outcome of await outcomes) {
    if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'ERR_DISPOSED' });
  }
  for (const features of await Promise.all(kept)) expect(numbers(features)).toEqual(expected);
  await second.dispose();
  const third = await load(model, { scales: [1, 2] });
  expect(numbers(await third.extract(plain(3)))).toEqual(expected);
  await expectManyscaleError(() => second.extract(plain(3)), 'ERR_DISPOSED');
});

test('images of one Extractor that wait for each other do not hold up another Extractor', async () => {
  const patient = await load(patchModel(), { scales: [1], maxBatch: 64, maxDelay: 3000 });
  const other = await load(failsOnBrightModel(), { scales: [1] });
  const waiting = Promise.allSettled(Array.from({ length: 40 }, () => patient.extract(plain(1))));
  const begin = performance.now();
  await other.extract(plain(0));
  expect(performance.now() - begin).toBeLessThan(1500);
  await patient.dispose();
  await waiting;
});

test('a stream whose caller is busy with a result ends what is in flight as soon as its signal aborts', async () => {
  const extractor = await load(patchModel(), { scales: [1, 2], maxDelay: 10_000, maxBatch: 64 });
  const controller = new AbortController();
  const stream = extractor.extractMany(
    (function* () {
      yield { data: new Uint8Array(0), width: 0, height: 0, channels: 3 as const }; // refused at once: the first result
      for (;;) yield plain(1);
    })(),
    { ordered: false, signal: controller.signal },
  );
  expect((await stream.next()).value).toMatchObject({ index: 0 });
  while (extractor.stats().tiles.queued === 0) await new Promise((wake) => setTimeout(wake, 1));
  controller.abort(new Error('enough'));
  await new Promise((wake) => setTimeout(wake, 50));
  expect(extractor.stats()).toMatchObject({ images: { inFlight: 0 }, tiles: { queued: 0 } });
  await expect(stream.next()).rejects.toThrow('enough');
});
