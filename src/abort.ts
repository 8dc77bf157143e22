// Cancelling: a cancelled call rejects at once with its signal's own reason, whatever the work behind it still does.

import { invalid } from './errors.js';

/** Refuses what is not an AbortSignal; other realms' and polyfilled signals pass. */
export function checkSignal(signal: unknown): asserts signal is AbortSignal | undefined {
  if (signal === undefined) return;
  const candidate = signal as Partial<AbortSignal> | null;
  if (typeof candidate?.aborted !== 'boolean' || typeof candidate.addEventListener !== 'function') {
    throw invalid('an AbortSignal', 'signal', signal);
  }
}

/** Who waits for each signal, in order. One listener stands for all: Node.js warns of more than ten on one signal. */
const waiting = new WeakMap<AbortSignal, Set<() => void>>();

function tellAll(event: Event): void {
  const signal = event.target as AbortSignal;
  const all = waiting.get(signal) ?? [];
  waiting.delete(signal);
  for (const tell of all) tell();
}

/** Calls `tell`, which must not throw, when the signal aborts. The listener is gone when what is returned was called for all. */
export function onceAborted(signal: AbortSignal, tell: () => void): () => void {
  // An object of its own, so that the same function may wait twice.
  const own = () => tell();
  let all = waiting.get(signal);
  if (!all) {
    all = new Set();
    waiting.set(signal, all);
    signal.addEventListener('abort', tellAll, { once: true });
  }
  all.add(own);
  return () => {
    all.delete(own);
    if (all.size > 0 || waiting.get(signal) !== all) return;
    waiting.delete(signal);
    signal.removeEventListener('abort', tellAll);
  };
}

/**
 * Settles as `work` does, or rejects with the signal's reason as soon as it aborts, after calling `cancel`. What `work`
 * does afterwards is ignored, also when it rejects. The listener is gone when the returned promise has settled.
 */
export function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined, cancel?: () => void): Promise<T> {
  if (!signal) return work;
  return new Promise<T>((resolve, reject) => {
    const onAbort = () => {
      reject(signal.reason);
      cancel?.();
    };
    const forget = signal.aborted ? () => {} : onceAborted(signal, onAbort);
    // Both handlers are attached first, so that a late rejection never counts as unhandled.
    work.then(
      (value) => {
        forget();
        resolve(value);
      },
      (error: unknown) => {
        forget();
        reject(error);
      },
    );
    if (signal.aborted) onAbort();
  });
}
