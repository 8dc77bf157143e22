// A limit on how much goes on at once: never more than there are places, in order, and no place is lost.

import { expect, test } from 'vitest';
import { Slots } from '../../dist/pipeline/slots.js';

test('never more at once than there are places, first come, first served', async () => {
  const slots = new Slots(2);
  const order: number[] = [];
  let running = 0;
  let most = 0;
  const work = async (id: number) => {
    order.push(id);
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, 2));
    running--;
    return id;
  };
  const results = await Promise.all([1, 2, 3, 4, 5].map((id) => slots.run(() => work(id), undefined)));
  expect(results).toEqual([1, 2, 3, 4, 5]);
  expect(order).toEqual([1, 2, 3, 4, 5]);
  expect(most).toBe(2);
});

test('work that fails and work that was aborted while it waited give their places back', async () => {
  const slots = new Slots(1);
  const controller = new AbortController();
  const reason = new Error('enough');
  const failing = slots.run(() => Promise.reject(new Error('broken')), undefined);
  const aborted = slots.run(() => Promise.resolve('never'), controller.signal);
  const last = slots.run(() => Promise.resolve('done'), undefined);
  controller.abort(reason);
  await expect(failing).rejects.toThrow('broken');
  await expect(aborted).rejects.toBe(reason);
  expect(await last).toBe('done');
  expect(await slots.run(() => Promise.resolve('again'), undefined)).toBe('again');
});
