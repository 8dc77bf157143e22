// The stream of extractMany without its images: what is pulled and when, in which order results come, how it ends.

import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManyscaleError } from '../../src/errors.js';
import type { Features } from '../../src/features.js';
import { type ExtractResult, extractEach, type StartedImage } from '../../src/pipeline/many.js';
import { expectCode } from './rejection.js';

const unhandled: unknown[] = [];
const note = (error: unknown) => unhandled.push(error);
beforeEach(() => process.on('unhandledRejection', note));
afterEach(async () => {
  await settle();
  process.off('unhandledRejection', note);
  expect(unhandled.splice(0)).toEqual([]);
});

/** Longer than any chain of promises. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 5));

/** An image that is admitted, ends and is left by native code when the test says so. */
class Work implements StartedImage {
  readonly result: Promise<Features>;
  readonly admitted: Promise<void>;
  readonly native: Promise<void>;
  admit: () => void = () => {};
  leave: () => void = () => {};
  finish: () => void = () => {};
  fail: (error: unknown) => void = () => {};
  cancelled: unknown[] = [];

  constructor(readonly image: unknown) {
    this.admitted = new Promise((resolve) => (this.admit = resolve));
    this.native = new Promise((resolve) => (this.leave = resolve));
    this.result = new Promise((resolve, reject) => {
      this.finish = () => resolve(image as Features);
      this.fail = reject;
    });
  }

  cancel(reason: unknown): void {
    this.cancelled.push(reason);
    this.fail(reason ?? new Error('cancelled'));
    this.leave();
  }
}

interface Options {
  ordered?: boolean;
  limit?: number;
  signals?: AbortSignal[];
  /** Admits images at once. */
  admitting?: boolean;
}

function start(images: unknown, { ordered = true, limit = 100, signals = [], admitting = true }: Options = {}) {
  const works: Work[] = [];
  const results = extractEach(images, {
    ordered,
    limit,
    signals,
    start: (image) => {
      const work = new Work(image);
      works.push(work);
      if (admitting) work.admit();
      return work;
    },
  });
  return { works, results };
}

/** Numbers from 0, which counts its calls; `end` of them, or for ever. */
function counter(end = Number.POSITIVE_INFINITY) {
  const calls = { next: 0, atOnce: 0, most: 0, returned: 0 };
  const source = {
    calls,
    [Symbol.asyncIterator]: () => source,
    async next(): Promise<IteratorResult<number>> {
      calls.most = Math.max(calls.most, ++calls.atOnce);
      await Promise.resolve();
      calls.atOnce--;
      return calls.next < end ? { done: false, value: calls.next++ } : { done: true, value: undefined };
    },
    async return(): Promise<IteratorResult<number>> {
      calls.returned++;
      return { done: true, value: undefined };
    },
  };
  return source;
}

const indices = (results: ExtractResult[]) => results.map(({ index }) => index);

async function collect(results: AsyncIterable<ExtractResult>): Promise<ExtractResult[]> {
  const all: ExtractResult[] = [];
  for await (const result of results) all.push(result);
  return all;
}

describe('order', () => {
  test.each([
    [true, [0, 1, 2]],
    [false, [2, 0, 1]],
  ])('ordered: %s', async (ordered, expected) => {
    const { works, results } = start(['a', 'b', 'c'], { ordered });
    const all = collect(results);
    await settle();
    for (const index of [2, 0, 1]) {
      works[index]?.finish();
      await settle();
    }
    expect(indices(await all)).toEqual(expected);
  });

  test('results keep the place of their image', async () => {
    const { works, results } = start(['a', 'b'], { ordered: false });
    const all = collect(results);
    await settle();
    works[1]?.finish();
    works[0]?.finish();
    expect(await all).toEqual([
      { index: 1, features: 'b' },
      { index: 0, features: 'a' },
    ]);
  });
});

describe('the source', () => {
  test.each<[string, () => unknown]>([
    ['an array', () => ['a', 'b', 'c']],
    ['an array of promises', () => ['a', Promise.resolve('b'), 'c']],
    ['a set', () => new Set(['a', 'b', 'c'])],
    [
      'a generator',
      () =>
        (function* () {
          yield* ['a', 'b', 'c'];
        })(),
    ],
    [
      'an async generator',
      () =>
        (async function* () {
          yield* ['a', 'b', 'c'];
        })(),
    ],
    ['a stream', () => ReadableStream.from(['a', 'b', 'c'])],
    [
      'an iterator without return',
      () => ({
        [Symbol.iterator]: () => {
          const rest = ['a', 'b', 'c'];
          return { next: () => ({ done: rest.length === 0, value: rest.shift() }) };
        },
      }),
    ],
  ])('may be %s', async (_, images) => {
    const { works, results } = start(images());
    const all = collect(results);
    await settle();
    expect(works.map(({ image }) => image)).toEqual(['a', 'b', 'c']);
    for (const work of works) work.finish();
    expect(indices(await all)).toEqual([0, 1, 2]);
  });

  test('may be empty', async () => {
    expect(await collect(start([]).results)).toEqual([]);
  });

  test.each([undefined, null, 7, 'photo.jpg', new Uint8Array(3), Buffer.from('x'), {}, new Blob([])])(
    'may not be %o',
    async (images) => {
      const message = /an iterable or async iterable of images for the images of extractMany .* into an array/;
      await expectCode(() => start(images).results.next(), 'ERR_INVALID_ARGUMENT', message);
    },
  );

  test('is not touched before the first result is asked for', async () => {
    const source = counter(3);
    const { results } = start(source);
    await settle();
    expect(source.calls.next).toBe(0);
    await results.return();
    expect(source.calls).toMatchObject({ next: 0, returned: 0 });
  });

  test('is never asked twice at once, and not beyond the limit on what is in flight', async () => {
    const source = counter();
    const { works, results } = start(source, { limit: 4 });
    const first = results.next();
    await settle();
    expect(source.calls.next).toBe(4);
    works[0]?.finish();
    await first;
    await settle();
    expect(source.calls).toMatchObject({ next: 5, most: 1 });
    await results.return();
  });

  test('is held back by a caller that does not take its results', async () => {
    const source = counter();
    const { works, results } = start(source, { limit: 4 });
    const first = results.next();
    await settle();
    for (const work of works) work.finish();
    await first;
    await settle();
    // One was taken; three are ready, and one more came in.
    expect(source.calls.next).toBe(5);
    works[4]?.finish();
    await settle();
    expect(source.calls.next).toBe(5);
    await results.return();
  });

  test('is held back by an image that waits for memory', async () => {
    const source = counter();
    const { works, results } = start(source, { admitting: false });
    const first = results.next();
    await settle();
    expect(works).toHaveLength(1);
    works[0]?.admit();
    await settle();
    expect(works).toHaveLength(2);
    works[0]?.finish();
    await first;
    await results.return();
  });

  test.each([true, false])('that throws: first what is in flight, then its error (ordered: %s)', async (ordered) => {
    const reason = new Error('the camera is gone');
    const images = async function* () {
      yield* ['a', 'b'];
      throw reason;
    };
    const { works, results } = start(images(), { ordered });
    const seen: number[] = [];
    const all = (async () => {
      for await (const { index } of results) seen.push(index);
    })();
    const rejected = expect(all).rejects.toBe(reason);
    await settle();
    expect(seen).toEqual([]);
    for (const work of works) work.finish();
    await rejected;
    expect(seen).toEqual([0, 1]);
  });

  test('that throws at once', async () => {
    const images = {
      [Symbol.iterator]() {
        throw new RangeError('closed');
      },
    };
    await expect(start(images).results.next()).rejects.toThrow('closed');
  });
});

describe('failures of single images', () => {
  test('are reported in their place', async () => {
    const { works, results } = start(['a', 'b', 'c']);
    const all = collect(results);
    await settle();
    const error = new ManyscaleError('ERR_IMAGE_DECODE', 'Expected an image but received noise');
    works[2]?.finish();
    works[1]?.fail(error);
    works[0]?.finish();
    expect(await all).toEqual([
      { index: 0, features: 'a' },
      { index: 1, error },
      { index: 2, features: 'c' },
    ]);
  });

  test('are ManyscaleErrors, whatever they were', async () => {
    const { works, results } = start(['a', 'b']);
    const all = collect(results);
    await settle();
    const cause = new TypeError('a getter threw');
    works[0]?.fail(cause);
    works[1]?.fail('text');
    const [first, second] = (await all) as { error: ManyscaleError }[];
    expect(first?.error).toBeInstanceOf(ManyscaleError);
    expect(first?.error).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', cause });
    expect(first?.error.message).toMatch(/element 0 of extractMany .*a getter threw/);
    expect(second?.error.cause).toBe('text');
  });
});

describe('an early end', () => {
  test('by break: the rest is cancelled, the source closed once, native work waited for', async () => {
    const source = counter();
    const { works, results } = start(source, { limit: 3 });
    let ended = false;
    const loop = (async () => {
      for await (const _ of results) break;
      ended = true;
    })();
    await settle();
    const [first, second, third] = works as [Work, Work, Work];
    second.cancel = () => second.fail(new Error('cancelled')); // its native work goes on
    first.finish();
    await settle();
    expect(third.cancelled).toHaveLength(1);
    expect(ended).toBe(false);
    second.leave();
    await settle();
    works.at(-1)?.leave();
    await loop;
    expect(source.calls.returned).toBe(1);
    expect(await results.next()).toEqual({ done: true, value: undefined });
  });

  test('by throw: the same, and the error comes out', async () => {
    const source = counter();
    const { works, results } = start(source, { limit: 2 });
    const first = results.next();
    await settle();
    works[0]?.finish();
    await first;
    await expect(results.throw(new Error('enough'))).rejects.toThrow('enough');
    expect(works[1]?.cancelled).toHaveLength(1);
    expect(source.calls.returned).toBe(1);
  });

  test("by break: what the source's end throws comes out", async () => {
    const source = { ...counter(), return: () => Promise.reject(new Error('cannot close')) };
    const { works, results } = start({ [Symbol.asyncIterator]: () => source });
    const first = results.next();
    await settle();
    works[0]?.finish();
    await first;
    await expect(results.return()).rejects.toThrow('cannot close');
  });

  test('while the source is asked for an element that never comes: it is told, not waited for', async () => {
    let returned = 0;
    let asked = 0;
    const source = {
      [Symbol.asyncIterator]: () => source,
      next: () => (asked++ === 0 ? Promise.resolve({ done: false, value: 'a' }) : new Promise<never>(() => {})),
      return: () => {
        returned++;
        return new Promise<never>(() => {});
      },
    };
    const { works, results } = start(source);
    const first = results.next();
    await settle();
    works[0]?.finish();
    await first;
    await results.return();
    expect({ asked, returned }).toEqual({ asked: 2, returned: 1 });
  });

  test('an element that comes too late is not started', async () => {
    let give: (step: IteratorResult<string>) => void = () => {};
    const source = {
      [Symbol.asyncIterator]: () => source,
      next: () => new Promise<IteratorResult<string>>((resolve) => (give = resolve)),
    };
    const controller = new AbortController();
    const { works, results } = start(source, { signals: [controller.signal] });
    const first = results.next();
    const rejected = expect(first).rejects.toBe('late');
    await settle();
    controller.abort('late');
    await rejected;
    give({ done: false, value: 'a' });
    await settle();
    expect(works).toEqual([]);
  });

  test('a source that fails after the end disturbs nobody', async () => {
    let fail: (error: Error) => void = () => {};
    const source = {
      [Symbol.asyncIterator]: () => source,
      next: () => new Promise<never>((_, reject) => (fail = reject)),
    };
    const controller = new AbortController();
    const { results } = start(source, { signals: [controller.signal] });
    const rejected = expect(results.next()).rejects.toBe('stop');
    await settle();
    controller.abort('stop');
    await rejected;
    fail(new Error('too late'));
  });
});

describe('signals', () => {
  test('any of them ends it with its reason, and no listener stays', async () => {
    const [one, two] = [new AbortController(), new AbortController()];
    const source = counter();
    const { works, results } = start(source, { limit: 3, signals: [one.signal, two.signal] });
    const reason = { why: 'enough' };
    const rejected = expect(results.next()).rejects.toBe(reason);
    await settle();
    two.abort(reason);
    await rejected;
    expect(works.map(({ cancelled }) => cancelled)).toEqual([[reason], [reason], [reason]]);
    expect(source.calls.returned).toBe(1);
    for (const { signal } of [one, two]) expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  test('that was aborted before: nothing begins', async () => {
    const source = counter();
    const { works, results } = start(source, { signals: [AbortSignal.abort('no')] });
    await expect(results.next()).rejects.toBe('no');
    expect(works).toEqual([]);
    expect(source.calls).toMatchObject({ next: 0, returned: 1 });
  });

  test('between two results: the next one is refused, though more are ready', async () => {
    const controller = new AbortController();
    const { works, results } = start(['a', 'b', 'c'], { signals: [controller.signal] });
    const first = results.next();
    await settle();
    for (const work of works) work.finish();
    await first;
    controller.abort('stop');
    await expect(results.next()).rejects.toBe('stop');
    expect(await results.next()).toMatchObject({ done: true });
  });

  test('no listener stays after an ordinary end', async () => {
    const { signal } = new AbortController();
    const { works, results } = start(['a'], { signals: [signal] });
    const all = collect(results);
    await settle();
    works[0]?.finish();
    await all;
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });
});
