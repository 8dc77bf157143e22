// Work on many items, a few at a time, with results in the items' order.

/**
 * Runs `work` on up to `limit` items at once and yields the results in order. The first failure ends it; `work` gets a signal
 * that aborts then, and when the caller stops listening.
 */
export async function* ordered<T, R>(
  items: readonly T[],
  limit: number,
  signal: AbortSignal,
  work: (item: T, index: number, signal: AbortSignal) => Promise<R>,
): AsyncGenerator<R, void, void> {
  const stop = new AbortController();
  const both = AbortSignal.any([signal, stop.signal]);
  const running: Promise<R>[] = [];
  let next = 0;
  const start = () => {
    while (next < items.length && running.length < limit) {
      const result = work(items[next] as T, next, both);
      // Its failure is met when its turn comes; until then it must not count as unhandled.
      result.catch(() => undefined);
      running.push(result);
      next++;
    }
  };
  try {
    for (start(); running.length > 0; start()) {
      const result = await (running[0] as Promise<R>);
      running.shift();
      yield result;
    }
  } finally {
    stop.abort();
    await Promise.allSettled(running);
  }
}
