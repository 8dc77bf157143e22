// Protects an Extractor's life: disposal at any moment, cancellation before and during work, many calls at once.
import { Extractor, ManyscaleError, multiscaleForward, plan, pool, split, Tensor } from 'manyscale';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { expectClose } from '../helpers/compare.js';
import { expectManyscaleError, failure } from '../helpers/errors.js';
import { patchModel, slowModel } from '../helpers/models.js';
import { photo, vitModel } from '../helpers/paths.js';

const image = {
  data: new Uint8Array(120 * 100 * 3).map((_, i) => (i * 31) & 255),
  width: 120,
  height: 100,
  channels: 3 as const,
};
const features = async (extractor: Extractor) => (await extractor.extract(image)).tensor.data as Float32Array;

describe('disposal', () => {
  test('twice, and calls afterwards', async () => {
    const extractor = await Extractor.load(patchModel());
    await extractor.extract(image);
    await Promise.all([extractor.dispose(), extractor.dispose()]);
    await extractor.dispose();
    await expectManyscaleError(() => extractor.extract(image), 'ERR_DISPOSED');
    await expectManyscaleError(() => extractor.extract('no such file'), 'ERR_DISPOSED');
  });

  test('during work: every call finishes or is rejected with ERR_DISPOSED, and results outlive the extractor', async () => {
    const extractor = await Extractor.load(vitModel, { scales: [1, 2, 3] });
    const expected = await features(extractor);
    const pending = Array.from({ length: 24 }, () => extractor.extract(image));
    const settled = Promise.allSettled(pending);
    await Promise.race(pending);
    await extractor.dispose();
    const outcomes = await settled;
    for (const outcome of outcomes) {
      if (outcome.status === 'fulfilled') {
        expectClose(outcome.value.tensor.data as Float32Array, expected, 0, 'features');
      } else {
        expect(outcome.reason).toBeInstanceOf(ManyscaleError);
        expect(outcome.reason).toMatchObject({ code: 'ERR_DISPOSED' });
      }
    }
    expect(outcomes.some(({ status }) => status === 'rejected')).toBe(true);
  });

  test('during a long run: at the next operation of the model, not at its end', async () => {
    const extractor = await Extractor.load(slowModel(600), { scales: [1] });
    const pending = failure(() => extractor.extract(image));
    await new Promise((resolve) => setTimeout(resolve, 50));
    const begin = performance.now();
    await extractor.dispose();
    expect(performance.now() - begin).toBeLessThan(1500);
    expect(await pending).toMatchObject({ code: 'ERR_DISPOSED' });
  });

  test('await using', async () => {
    let kept: Extractor;
    {
      await using extractor = await Extractor.load(patchModel());
      await extractor.extract(image);
      kept = extractor;
    }
    await expectManyscaleError(() => kept.extract(image), 'ERR_DISPOSED');
  });

  test('one extractor does not disturb another of the same model', async () => {
    const [one, other] = await Promise.all([Extractor.load(vitModel), Extractor.load(vitModel)]);
    const expected = await features(one);
    const pending = Array.from({ length: 8 }, () => features(other));
    await one.dispose();
    for (const data of await Promise.all(pending)) expectClose(data, expected, 0, 'features');
    await other.dispose();
  });
});

describe('results', () => {
  test("are the caller's own: changing one changes no other of the same shape, and a plan freezes none", async () => {
    await using extractor = await Extractor.load(patchModel());
    const first = await extractor.extract(image);
    const { dims } = first.tensor;
    const expected = { dims: [...dims], grid: { ...first.grid }, scales: structuredClone(first.scales) };
    (dims as number[]).unshift(1);
    Object.assign(first.grid, { height: 99 });
    first.scales[0]?.channels.fill(55);
    expect(extractor.plan(image).dims).toEqual(expected.dims);
    const { tensor, grid, scales } = await extractor.extract(image);
    expect({ dims: tensor.dims, grid, scales }).toEqual(expected);
    (tensor.dims as number[]).unshift(1); // not frozen with the plan
  });
});

describe('cancellation', () => {
  let extractor: Extractor;
  let slow: Extractor;
  beforeAll(async () => {
    extractor = await Extractor.load(vitModel);
    slow = await Extractor.load(slowModel(400), { scales: [1] });
  });
  afterAll(() => Promise.all([extractor.dispose(), slow.dispose()]));

  test("before: no work, the signal's own reason", async () => {
    const reason = { why: 'not needed any more' };
    const signal = AbortSignal.abort(reason);
    expect(await failure(() => extractor.extract('/nonexistent', { signal }))).toBe(reason);
    expect(await failure(() => Extractor.load('/nonexistent', { signal }))).toBe(reason);
    const model = vi.fn();
    const input = new Tensor('float32', new Float32Array(3 * 64), [1, 3, 8, 8]);
    expect(await failure(() => multiscaleForward(model, input, { scales: [1], signal }))).toBe(reason);
    expect(model).not.toHaveBeenCalled();
  });

  test('during the decoding, splitting or running of ordinary work', async () => {
    const expected = await features(extractor);
    for (const wait of [0, 1, 3, 5, 10, 20]) {
      const controller = new AbortController();
      const reason = new Error(`after ${wait} ms`);
      const pending = Array.from({ length: 6 }, () =>
        extractor.extract(photo('two-dogs.jpg'), { signal: controller.signal, scales: [1, 2, 3] }),
      );
      const settled = Promise.allSettled(pending);
      setTimeout(() => controller.abort(reason), wait);
      for (const outcome of await settled) if (outcome.status === 'rejected') expect(outcome.reason).toBe(reason);
    }
    expectClose(await features(extractor), expected, 0, 'features after cancelled calls');
  });

  test('during a long run: at once, and others go on', async () => {
    const controller = new AbortController();
    const pending = failure(() => slow.extract(image, { signal: controller.signal }));
    await new Promise((resolve) => setTimeout(resolve, 50));
    const begin = performance.now();
    controller.abort();
    expect(await pending).toBe(controller.signal.reason);
    expect(performance.now() - begin).toBeLessThan(200);
    const { tensor } = await slow.extract(image);
    expect(tensor.dims).toEqual([256, 512]);
  });

  test('only the one that was asked for', async () => {
    const expected = await features(extractor);
    const controllers = Array.from({ length: 20 }, () => new AbortController());
    const pending = controllers.map(({ signal }) => extractor.extract(image, { signal }));
    const settled = Promise.allSettled(pending);
    controllers.forEach((controller, index) => {
      if (index % 2) controller.abort(index);
    });
    (await settled).forEach((outcome, index) => {
      if (index % 2) expect(outcome).toEqual({ status: 'rejected', reason: index });
      else if (outcome.status === 'rejected') throw outcome.reason;
      else expectClose(outcome.value.tensor.data as Float32Array, expected, 0, `image ${index}`);
    });
  });

  test('AbortSignal.timeout gives its own TimeoutError', async () => {
    const error = await failure(() => slow.extract(image, { signal: AbortSignal.timeout(20) }));
    expect(error).toMatchObject({ name: 'TimeoutError' });
  });

  test('a model function that never settles', async () => {
    const controller = new AbortController();
    const input = new Tensor('float32', new Float32Array(3 * 64), [1, 3, 8, 8]);
    for (const splitForward of [false, true]) {
      const pending = failure(() =>
        multiscaleForward(() => new Promise(() => {}), input, {
          scales: [1, 2],
          splitForward,
          signal: controller.signal,
        }),
      );
      setTimeout(() => controller.abort('enough'), 20);
      expect(await pending).toBe('enough');
    }
  });

  test('no listener stays on a signal that is used again and again', async () => {
    const { signal } = new AbortController();
    const add = vi.spyOn(signal, 'addEventListener');
    const remove = vi.spyOn(signal, 'removeEventListener');
    for (let i = 0; i < 20; i++) await extractor.extract(image, { signal });
    expect(remove.mock.calls.length).toBe(add.mock.calls.length);
  });
});

test('200 calls at once give 200 times the same features', async () => {
  const extractor = await Extractor.load(vitModel, { scales: [1] });
  const expected = await features(extractor);
  const all = await Promise.all(Array.from({ length: 200 }, () => features(extractor)));
  expect(all).toHaveLength(200);
  for (const data of all) expectClose(data, expected, 0, 'features');
  expect(new Set(all.map(({ buffer }) => buffer)).size).toBe(200);
  await extractor.dispose();
});

test('features do not depend on what an image was batched with', async () => {
  const extractor = await Extractor.load(vitModel, { maxBatch: 4 });
  const images = Array.from({ length: 12 }, (_, n) => ({
    ...image,
    data: image.data.map((value) => (value + n * 17) & 255),
  }));
  const alone: Float32Array[] = [];
  for (const one of images) alone.push((await extractor.extract(one)).tensor.data as Float32Array);
  const together = await Promise.all(images.map((one) => extractor.extract(one)));
  for (const [n, { tensor }] of together.entries())
    expectClose(tensor.data as Float32Array, alone[n] as Float32Array, 0, `image ${n}`);
  await extractor.dispose();
});

test('results are ordinary memory: transferable, kept after disposal, never reused', async () => {
  const extractor = await Extractor.load(vitModel);
  const [first, second] = [await features(extractor), await features(extractor)];
  const copy = first.slice();
  const moved = structuredClone(first, { transfer: [first.buffer as ArrayBuffer] });
  expect(first.length).toBe(0);
  await features(extractor);
  await extractor.dispose();
  expectClose(moved, copy, 0, 'transferred');
  expectClose(second, copy, 0, 'kept');
});

test('a plan survives structuredClone, and a changed one is refused', async () => {
  const original = plan({ height: 8, width: 8 }, { scales: [1, 2] });
  expect(Object.isFrozen(original)).toBe(true);
  expect(Object.isFrozen(original.scales)).toBe(true);
  const clone = structuredClone(original);
  const picture = { data: new Uint8Array(8 * 8 * 3), width: 8, height: 8, channels: 3 as const };
  const tiles = await split(picture, clone);
  expect(tiles.map(({ dims }) => dims)).toEqual([
    [1, 3, 8, 8],
    [4, 3, 8, 8],
  ]);
  const result = await pool(tiles, clone, { outputShape: 'bchw' });
  expect(result.dims).toEqual([1, 6, 8, 8]);
  const [first, second] = original.scales as [(typeof original.scales)[number], (typeof original.scales)[number]];
  for (const change of [
    { rows: 3 },
    { rows: 2 ** 31 },
    { tileHeight: 1 },
    { height: -8 },
    { columns: Number.NaN },
    { width: 1e15 },
  ]) {
    const changed = { ...original, scales: [first, { ...second, ...change }] } as typeof original;
    await expectManyscaleError(() => split(picture, changed), ['ERR_INVALID_ARGUMENT', 'ERR_PLAN_TOO_LARGE']);
    await expectManyscaleError(
      () => pool(tiles, changed, { outputShape: 'bchw' }),
      ['ERR_INVALID_ARGUMENT', 'ERR_PLAN_TOO_LARGE'],
    );
  }
});
