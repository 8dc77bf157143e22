// extractMany: many images, from a source that is read no faster than they are worked on and taken away.

import { onceAborted } from '../abort.js';
import { invalid, ManyscaleError } from '../errors.js';
import type { Features } from '../features.js';

/** One image of extractMany, with its place in the source. */
export type ExtractResult = { index: number; features: Features } | { index: number; error: ManyscaleError };

/** An image that was started. */
export interface StartedImage {
  readonly result: Promise<Features>;
  /** Resolves when it has its ticket, or has ended without one: the next may come. */
  readonly admitted: Promise<void>;
  /** Resolves when no native code works on it any more. */
  readonly native: Promise<unknown>;
  cancel(reason?: unknown): void;
}

export interface ManyOptions {
  ordered: boolean;
  /** Images that are in flight or wait to be taken by the caller, at most. */
  limit: number;
  /** Any of them ends it, with its reason. */
  signals: readonly AbortSignal[];
  /** Never throws. */
  start: (image: unknown) => StartedImage;
}

/**
 * The results, in the images' order or as they come. An image's own failure is a result. When the source throws, what is in
 * flight is delivered first, then the source's error is thrown. When a signal aborts, its reason is thrown. Whenever it
 * ends early, what is in flight is cancelled, the source closed, and the end of native work waited for.
 */
export async function* extractEach(images: unknown, options: ManyOptions): AsyncGenerator<ExtractResult, void, void> {
  const { ordered, limit, signals, start } = options;
  const source = new Source(images);
  const inFlight = new Set<StartedImage>();
  const finished = new Map<number, ExtractResult>();
  let taken = 0;
  let exhausted: { error?: { cause: unknown } } | undefined;
  let stopped: { reason: unknown } | undefined;
  let isOver = false;
  let wakeCaller = () => {};
  let wakePull = () => {};

  const pull = async () => {
    for (let index = 0; !isOver; index++) {
      while (inFlight.size + finished.size >= limit && !isOver) {
        await new Promise<void>((resolve) => {
          wakePull = resolve;
        });
      }
      if (isOver) return;
      const image = await source.next();
      if (isOver || !image) return;
      const started = start(image.value);
      inFlight.add(started);
      const end = (result: ExtractResult) => {
        inFlight.delete(started);
        finished.set(index, result);
        wakeCaller();
      };
      started.result.then(
        (features) => end({ index, features }),
        (error: unknown) => end({ index, error: asManyscaleError(error, index) }),
      );
      // Images that wait for memory hold their source back.
      await started.admitted;
    }
  };

  const take = (): ExtractResult | undefined => {
    const index = ordered ? taken : finished.keys().next().value;
    const result = index === undefined ? undefined : finished.get(index);
    if (result) {
      finished.delete(result.index);
      taken++;
      wakePull();
    }
    return result;
  };

  const forget = signals.map((signal) => {
    const stop = () => {
      stopped ??= { reason: signal.reason };
      isOver = true;
      // Now, and not when the caller comes back for its next result: it may be busy with the last one.
      for (const image of inFlight) image.cancel(stopped.reason);
      wakeCaller();
    };
    if (!signal.aborted) return onceAborted(signal, stop);
    stop();
    return () => {};
  });

  let threw = false;
  try {
    if (!stopped) {
      pull().then(
        () => {
          exhausted = {};
          wakeCaller();
        },
        (cause: unknown) => {
          exhausted = { error: { cause } };
          wakeCaller();
        },
      );
    }
    for (;;) {
      if (stopped) throw stopped.reason;
      const result = take();
      if (result) {
        yield result;
        continue;
      }
      if (exhausted && inFlight.size === 0) {
        if (exhausted.error) throw exhausted.error.cause;
        return;
      }
      await new Promise<void>((resolve) => {
        wakeCaller = resolve;
      });
    }
  } catch (error) {
    threw = true;
    throw error;
  } finally {
    isOver = true;
    wakePull();
    for (const each of forget) each();
    const rest = [...inFlight];
    for (const image of rest) image.cancel(stopped?.reason);
    const closing = source.close();
    // A cancelled caller is told at once: a batch that has others' images too still runs to its end.
    if (stopped) closing.catch(() => {});
    else {
      try {
        await closing;
      } catch (error) {
        // As in a for-await loop: what ended it comes before what its end gave.
        // biome-ignore lint/correctness/noUnsafeFinally: it replaces nothing
        if (!threw) throw error;
      } finally {
        await Promise.all(rest.map((image) => image.native));
      }
    }
  }
}

/** An iterator that is asked for one element after the other and closed at most once. */
class Source {
  readonly #iterator: Iterator<unknown> | AsyncIterator<unknown>;
  readonly #isAsync: boolean;
  #isAsked = false;
  #hasEnded = false;

  constructor(images: unknown) {
    const iterable = images as Partial<Iterable<unknown> & AsyncIterable<unknown>> | null | undefined;
    const isObject = typeof images === 'object' && images !== null && !ArrayBuffer.isView(images);
    if (isObject && typeof iterable?.[Symbol.asyncIterator] === 'function') {
      this.#iterator = (images as AsyncIterable<unknown>)[Symbol.asyncIterator]();
      this.#isAsync = true;
    } else if (isObject && typeof iterable?.[Symbol.iterator] === 'function') {
      this.#iterator = (images as Iterable<unknown>)[Symbol.iterator]();
      this.#isAsync = false;
    } else {
      // Text and bytes are iterable too, but nobody means their characters.
      const advice = 'put a single image into an array';
      throw invalid('an iterable or async iterable of images', 'the images of extractMany', images, advice);
    }
  }

  /** undefined at the end. */
  async next(): Promise<{ value: unknown } | undefined> {
    this.#isAsked = true;
    let isLast = true; // also when it throws: a source that has thrown has ended
    try {
      const step: IteratorResult<unknown> = await this.#iterator.next();
      isLast = step.done === true;
      if (isLast) return undefined;
      // Elements of an array may be promises, as in a for-await loop.
      return { value: this.#isAsync ? step.value : await step.value };
    } finally {
      this.#isAsked = false;
      this.#hasEnded ||= isLast;
    }
  }

  /** Tells the source that no more is wanted. A source that is still asked for its next element is told, but not waited for. */
  async close(): Promise<void> {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    const closing = this.#iterator.return?.();
    if (!this.#isAsked) await closing;
    else Promise.resolve(closing).catch(() => {});
  }
}

function asManyscaleError(error: unknown, index: number): ManyscaleError {
  if (error instanceof ManyscaleError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new ManyscaleError(
    'ERR_INVALID_ARGUMENT',
    `Expected an image that can be looked at for element ${index} of extractMany but received one that fails (${message}); correct it`,
    { cause: error },
  );
}
