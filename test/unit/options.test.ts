// Options: what is accepted, what is refused and with which words, and how they override each other.
import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { abortable, checkSignal } from '../../src/abort.js';
import { describe as show } from '../../src/errors.js';
import { checkExtractManyOptions, checkExtractOptions, checkExtractorOptions } from '../../src/options/extractor.js';
import { checkBackground, checkPreprocess, fillPreprocess } from '../../src/options/preprocess.js';
import { checkScaleOptions, mergeScaleOptions, planOptions } from '../../src/options/scale.js';
import { expectCode } from './rejection.js';

describe('scale options', () => {
  test('sizes become height and width', () => {
    expect(checkScaleOptions({ imageSizes: [32, [48, 64]], maxSplitSize: 32 })).toEqual({
      imageSizes: [
        { height: 32, width: 32 },
        { height: 48, width: 64 },
      ],
      maxSplitSize: { height: 32, width: 32 },
    });
  });

  test('a key that is undefined counts as absent', () => {
    const options = { scales: [1], imageSizes: undefined, outputShape: undefined } as unknown as { scales: number[] };
    expect(checkScaleOptions(options)).toEqual({ scales: [1] });
  });

  test.each<[string, object, RegExp]>([
    ['no scales', { scales: [] }, /at least one number for scales but received \[\] of type Array/],
    ['a number', { scales: 2 }, /array of at least one number for scales but received 2 of type number/],
    ['NaN', { scales: [1, Number.NaN] }, /finite number for scales\[1\] but received NaN of type number/],
    ['infinity', { scales: [Number.POSITIVE_INFINITY] }, /finite number for scales\[0\] but received Infinity/],
    ['zero', { scales: [0] }, /above 0 for scales\[0\] but received 0/],
    ['a negative scale', { scales: [-1] }, /above 0 for scales\[0\] but received -1/],
    ['text', { scales: ['2'] }, /finite number for scales\[0\] but received '2' of type string/],
    ['null', { scales: null }, /for scales but received null/],
    ['scales and sizes', { scales: [1], imageSizes: [32] }, /scales or imageSizes, not both/],
    ['a fraction of a pixel', { imageSizes: [32.5] }, /integer of at least 1 for imageSizes\[0\] but received 32.5/],
    ['three sides', { imageSizes: [[1, 2, 3]] }, /\[height, width\] for imageSizes\[0\]/],
    ['no width', { imageSizes: [[32, 0]] }, /the width of imageSizes\[0\] but received 0/],
    ['no tile', { maxSplitSize: 0 }, /for maxSplitSize but received 0/],
    ['half an index', { resizeOutputToIndex: 0.5 }, /integer .* for resizeOutputToIndex/],
    ['prefix below 0', { numPrefixTokens: -1 }, /integer of at least 0 for numPrefixTokens but received -1/],
    [
      'another layout',
      { outputShape: 'nchw' },
      /one of 'bnc', 'bchw' for outputShape but received 'nchw' of type string/,
    ],
  ])('refuses %s', async (_, options, message) => {
    await expectCode(() => checkScaleOptions(options), 'ERR_INVALID_ARGUMENT', message);
  });

  test('scales and imageSizes replace each other', () => {
    const under = checkScaleOptions({ scales: [1, 2], resizeOutputToIndex: 1 });
    expect(mergeScaleOptions(under, checkScaleOptions({ imageSizes: [64] }))).toEqual({
      imageSizes: [{ height: 64, width: 64 }],
      resizeOutputToIndex: 1,
    });
    expect(mergeScaleOptions(under, {})).toEqual({ scales: [1, 2], resizeOutputToIndex: 1 });
  });

  test('something must say which scales', async () => {
    await expectCode(() => planOptions({}), 'ERR_INVALID_ARGUMENT', /scales or imageSizes but received undefined/);
    expect(planOptions({ scales: [1] })).toEqual({ scales: [1], resizeOutputToIndex: 0 });
  });
});

describe('preprocess', () => {
  const black: [number, number, number] = [0, 0, 0];

  test('defaults depend on the kind of pixels', () => {
    const filled = fillPreprocess({}, 'uint8', black);
    expect(filled).toEqual({
      mean: [0],
      std: [1],
      rescale: 1 / 255,
      resize: 'torch-bicubic-antialias',
      bgr: false,
      background: black,
    });
    expect(fillPreprocess({}, 'float32', black).resize).toBe('torch-bicubic');
  });

  test.each<[string, object, RegExp]>([
    ['a number as mean', { mean: 0.5 }, /array of numbers, one per channel, for preprocess.mean but received 0.5/],
    ['NaN', { mean: [0, Number.NaN, 0] }, /for preprocess.mean\[1\] but received NaN/],
    [
      'a standard deviation of 0',
      { std: [1, 0, 1] },
      /numbers other than 0 for preprocess.std but received \[1, 0, 1\]/,
    ],
    ['infinity', { rescale: Number.POSITIVE_INFINITY }, /for preprocess.rescale/],
    [
      'a mode of its own',
      { resize: 'bicubic' },
      /one of 'torch-bicubic', .* for preprocess.resize but received 'bicubic'/,
    ],
    ['an order of its own', { channelOrder: 'RGB' }, /'rgb', 'bgr' for preprocess.channelOrder/],
  ])('refuses %s', async (_, options, message) => {
    await expectCode(() => checkPreprocess(options, 3), 'ERR_INVALID_ARGUMENT', message);
  });

  test('as many means as channels', async () => {
    const act = () => checkPreprocess({ mean: [0, 0] }, 3);
    await expectCode(act, 'ERR_INVALID_ARGUMENT', /1 or 3 numbers for preprocess.mean but received \[0, 0\]/);
    expect(checkPreprocess({ mean: [0.5] }, 3).mean).toEqual([0.5]);
    expect(checkPreprocess({ std: [1, 2, 3, 4] }, 4).std).toEqual([1, 2, 3, 4]);
  });

  test('a background is three bytes', async () => {
    expect(checkBackground(undefined)).toEqual([0, 0, 0]);
    expect(checkBackground([1, 2, 255])).toEqual([1, 2, 255]);
    for (const value of [[1, 2], [1, 2, 256], [0, 0, 0.5], 'white']) {
      await expectCode(() => checkBackground(value), 'ERR_INVALID_ARGUMENT', /\[red, green, blue\].* for background/);
    }
  });
});

describe("the Extractor's options", () => {
  test('defaults', () => {
    expect(checkExtractorOptions(undefined)).toEqual({
      scale: { scales: [1, 2] },
      namesScales: false,
      preprocess: {},
      device: {
        kind: 'auto',
        asked: "device 'auto'",
        ordinals: [0],
        strict: false,
        cuda: {},
        tensorrt: {},
        buildTimeout: 1_800_000,
      },
      threads: 0,
      maxBatch: 0,
      maxDelay: -1,
      deterministic: false,
      maxBytes: 0,
      maxPixels: 2 ** 27,
      background: [0, 0, 0],
      colorProfile: 'ignore',
      fastDecode: false,
      dtype: 'float32',
    });
    expect(checkExtractorOptions({ imageSizes: [448] }).scale).toEqual({ imageSizes: [{ height: 448, width: 448 }] });
  });

  test.each<[object, RegExp]>([
    [{ device: 'gpu' }, /one of 'auto', 'cpu', .* for device/],
    [{ fit: 'cover' }, /one of 'stretch', 'crop', 'keep' for fit/],
    [{ preset: 'other' }, /for preset/],
    [{ threads: 0 }, /at least 1 for threads/],
    [{ maxBatch: 1.5 }, /at least 1 for maxBatch/],
    [{ maxPixels: '1' }, /at least 1 for maxPixels/],
    [{ maxPixels: 1e18 }, /at least 1 and below 2\^53 for maxPixels/],
    [{ patchSize: 0 }, /at least 1 for patchSize/],
    [{ tileSize: [224] }, /for tileSize/],
    [{ output: [] }, /the name of an output, or an array of at least one, for output/],
    [{ output: ['a', ''] }, /a string, not empty and without NUL, for output/],
    [{ output: ['a', 'b', 'a'] }, /each name once for output/],
    [{ output: '' }, /a string, not empty and without NUL, for output/],
    [{ strict: 1 }, /true or false for strict/],
    [{ signal: {} }, /an AbortSignal for signal/],
    [{ runtimeLibrary: 7 }, /a string, not empty and without NUL, for runtimeLibrary/],
    [{ colorProfile: 'srgb' }, /for colorProfile/],
    [{ configuration: true }, /the path of a folder, or false, for configuration/],
    [{ configuration: '' }, /a string, not empty and without NUL, for configuration/],
    [{ maxDelay: -1 }, /a number from 0 to 2147483647 \(milliseconds\) for maxDelay but received -1/],
    [{ maxDelay: 1e300 }, /a number from 0 to 2147483647/],
    [{ maxDelay: Number.POSITIVE_INFINITY }, /a finite number for maxDelay/],
    [{ maxBytes: 0 }, /at least 1 for maxBytes/],
    [{ maxBytes: '2GB' }, /at least 1 for maxBytes/],
    [{ deterministic: 'yes' }, /true or false for deterministic/],
    [{ fastDecode: 1 }, /true or false for fastDecode/],
    [{ dtype: 'int8' }, /one of 'float32', 'float16' for dtype/],
  ])('refuses %o', async (options, message) => {
    await expectCode(() => checkExtractorOptions(options), 'ERR_INVALID_ARGUMENT', message);
  });

  test('of memory, batches and types are kept', () => {
    const options = { maxDelay: 0.5, maxBytes: 1e9, deterministic: true, fastDecode: true, dtype: 'float16' } as const;
    expect(checkExtractorOptions(options)).toMatchObject(options);
  });

  test('of extractMany: those of extract, and the order', async () => {
    expect(checkExtractManyOptions(undefined)).toEqual({ scale: {}, ordered: true });
    expect(checkExtractManyOptions({ ordered: false, fit: 'crop', scales: [1] })).toEqual({
      scale: { scales: [1] },
      fit: 'crop',
      ordered: false,
    });
    const act = () => checkExtractManyOptions({ ordered: 'no' });
    await expectCode(act, 'ERR_INVALID_ARGUMENT', /true or false for ordered but received 'no'/);
  });

  test('options are an object', async () => {
    for (const value of [null, 1, 'fast', []]) {
      await expectCode(
        () => checkExtractOptions(value),
        'ERR_INVALID_ARGUMENT',
        /an object for the options of extract/,
      );
    }
  });
});

describe('names', () => {
  test.each([
    ['scale', 'scales'],
    ['imageSize', 'imageSizes'],
    ['image_sizes', 'imageSizes'],
    ['maxbatch', 'maxBatch'],
    ['colourProfile', 'colorProfile'],
    ['resizeOuptutToIndex', 'resizeOutputToIndex'],
    ['backgrounds', 'background'],
    ['thread', 'threads'],
    ['dtypo', 'dtype'],
  ])('%s is refused: %s is meant', async (name, meant) => {
    const message = new RegExp(`\\('${meant}'\\) for the options of extract but received '${name}'`);
    await expectCode(() => checkExtractOptions({ [name]: 1 }), 'ERR_INVALID_ARGUMENT', message);
    checkExtractOptions({ [name]: undefined });
  });

  test('others may be there, for other readers', () => {
    checkExtractOptions({ id: 7, user: 'me', min: 0, stdin: true, scaleFactor: 2, minBatch: 1, size: 224, order: 1 });
    checkExtractOptions({ threads: 4, ordered: false }); // options of other calls
  });
});

describe('messages', () => {
  test('of values that throw when looked at', () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    expect(show(proxy)).toBe('an object of type object');
    const tagged = {
      get [Symbol.toStringTag]() {
        throw new Error('hands off');
      },
    };
    expect(show([tagged])).toBe('[{...}] of type Array');
    expect(show(tagged)).toBe('an object of type object');
  });

  test.each<[unknown, string]>([
    [undefined, 'undefined'],
    [null, 'null'],
    [3, '3 of type number'],
    ['x'.repeat(100), `'${'x'.repeat(77)}...' of type string`],
    [[1, 'a', [2, 3]], "[1, 'a', [2, 3]] of type Array"],
    [new Uint8Array(5), '5 bytes of type Uint8Array'],
    [{ a: 1 }, 'an object of type Object'],
    [[{}, null, undefined, [[1]]], '[{...}, null, undefined, [[...]]] of type Array'],
    [Object.create(null), 'an object of type Object'],
    [[Object.create(null), Symbol('s')], '[{...}, Symbol(s)] of type Array'],
    [Symbol('s'), 'Symbol(s) of type symbol'],
    [() => 1, 'a function of type function'],
  ])('%o is shown as %s', (value, text) => {
    expect(show(value)).toBe(text);
  });
});

describe('a signal', () => {
  test('must be one', async () => {
    checkSignal(undefined);
    checkSignal(new AbortController().signal);
    await expectCode(() => checkSignal(null), 'ERR_INVALID_ARGUMENT', /an AbortSignal for signal but received null/);
  });

  test('rejects at once with its reason, cancels the work and leaves no listener', async () => {
    const controller = new AbortController();
    const reason = { why: 'enough' };
    let cancelled = 0;
    const never = new Promise<void>(() => {});
    const result = abortable(never, controller.signal, () => cancelled++);
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1);
    controller.abort(reason);
    await expect(result).rejects.toBe(reason);
    expect(cancelled).toBe(1);
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
  });

  test.each(['resolves', 'rejects'])('leaves no listener when the work %s', async (how) => {
    const { signal } = new AbortController();
    const work = how === 'resolves' ? Promise.resolve(1) : Promise.reject(new Error('broken'));
    await abortable(work, signal).catch((error: Error) => expect(error.message).toBe('broken'));
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  test('work that fails after the abort is not an unhandled rejection', async () => {
    const unhandled: unknown[] = [];
    const listen = (error: unknown) => unhandled.push(error);
    process.on('unhandledRejection', listen);
    const controller = new AbortController();
    let fail: (error: Error) => void = () => {};
    const result = abortable(new Promise<void>((_, reject) => (fail = reject)), controller.signal);
    controller.abort('stop');
    await expect(result).rejects.toBe('stop');
    fail(new Error('too late'));
    await new Promise((resolve) => setTimeout(resolve, 10));
    process.off('unhandledRejection', listen);
    expect(unhandled).toEqual([]);
  });

  test('that many wait for has one listener, and tells all of them, but not those that have left', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const never = new Promise<void>(() => {});
    const left = abortable(Promise.resolve('left'), signal);
    const rest = Array.from({ length: 50 }, () => abortable(never, signal));
    expect(await left).toBe('left');
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    controller.abort('stop');
    for (const outcome of await Promise.allSettled(rest)) {
      expect(outcome).toEqual({ status: 'rejected', reason: 'stop' });
    }
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  test('that was aborted before still cancels', async () => {
    let cancelled = false;
    const result = abortable(Promise.resolve(1), AbortSignal.abort('early'), () => {
      cancelled = true;
    });
    await expect(result).rejects.toBe('early');
    expect(cancelled).toBe(true);
  });
});
