// An image's run gives its ticket back exactly when nothing uses the memory that it stands for, however it ends.

import { expect, test, vi } from 'vitest';
import { ImageRun } from '../../src/pipeline/image-run.js';

const ticket = () => ({ release: vi.fn() });
const settle = () => new Promise((resolve) => setTimeout(resolve, 1));

/** A promise that the test settles. */
function later<T>() {
  let resolve: (value: T) => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<T>((...both) => {
    [resolve, reject] = both;
  });
  return { promise, resolve, reject };
}

test('the work begins at once; the ticket goes back at its end', async () => {
  const mine = ticket();
  const admitted = vi.fn();
  const work = later<string>();
  let begun = false;
  const run = new ImageRun<string>((self) => {
    begun = true;
    self.admit(mine);
    return work.promise;
  }, admitted);
  expect(begun).toBe(true);
  expect(run.wasAdmitted).toBe(true);
  expect(admitted).toHaveBeenCalledOnce();
  await run.admitted;
  expect(mine.release).not.toHaveBeenCalled();
  work.resolve('features');
  expect(await run.result).toBe('features');
  expect(mine.release).toHaveBeenCalledOnce();
});

test.each(['resolves', 'rejects'])('not before what uses the memory %s', async (how) => {
  const mine = ticket();
  const [decoding, native] = [later<void>(), later<void>()];
  const run = new ImageRun<string>(
    async (self) => {
      self.admit(mine);
      self.use(decoding.promise).catch(() => {});
      self.useNative(native.promise);
      throw new Error('cancelled');
    },
    () => {},
  );
  await expect(run.result).rejects.toThrow('cancelled');
  if (how === 'resolves') decoding.resolve();
  else decoding.reject(new Error('broken'));
  await settle();
  expect(mine.release).not.toHaveBeenCalled();
  native.resolve();
  await run.native;
  await settle();
  expect(mine.release).toHaveBeenCalledOnce();
});

test('a ticket that comes after the end goes back at once, and counts as none', async () => {
  const mine = ticket();
  const run = new ImageRun<string>(
    () => Promise.reject(new Error('early')),
    () => {},
  );
  await expect(run.result).rejects.toThrow('early');
  await run.admitted; // those who wait for it go on
  run.admit(mine);
  expect(mine.release).toHaveBeenCalledOnce();
  expect(run.wasAdmitted).toBe(false);
});

test('cancelling aborts its signal with the reason', async () => {
  const run = new ImageRun<string>(
    ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    () => {},
  );
  const reason = { why: 'enough' };
  run.cancel(reason);
  run.cancel('again');
  await expect(run.result).rejects.toBe(reason);
});
