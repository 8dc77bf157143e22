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
    // Both handlers are attached first, so that a late rejection never counts as unhandled.
    work.then(
      (value) => {
        signal.removeEventListener('abort', onAbort);
        resolve(value);
      },
      (error: unknown) => {
        signal.removeEventListener('abort', onAbort);
        reject(error);
      },
    );
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}
