// Protects against bad arguments: scales, tensors, model functions and junk in every option give a ManyscaleError with a
// message of one shape, and nothing else; afterwards good requests work.
import { type ErrorCode, Extractor, ManyscaleError, multiscaleForward, plan, pool, split, Tensor } from 'manyscale';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectManyscaleError, failure } from '../helpers/errors.js';
import { patchModel } from '../helpers/models.js';
import { makeRandom, makeSeed, type Random } from '../helpers/random.js';

const seed = makeSeed();
const image = { data: new Uint8Array(40 * 50 * 3), width: 40, height: 50, channels: 3 as const };
const input = () => new Tensor('float32', new Float32Array(2 * 3 * 16 * 16), [2, 3, 16, 16]);
const identity = (tiles: Tensor) => tiles;

let extractor: Extractor;
beforeAll(async () => {
  extractor = await Extractor.load(patchModel());
});
afterAll(() => extractor.dispose());

describe('scales', () => {
  const cases: [kind: string, scales: unknown, code: ErrorCode, ...mentions: RegExp[]][] = [
    ['empty', [], 'ERR_INVALID_ARGUMENT', /scales/],
    ['zero', [1, 0], 'ERR_INVALID_ARGUMENT', /0/],
    ['negative', [-1], 'ERR_INVALID_ARGUMENT', /-1/],
    ['not a number', [Number.NaN], 'ERR_INVALID_ARGUMENT', /NaN/],
    ['infinite', [Number.POSITIVE_INFINITY], 'ERR_INVALID_ARGUMENT', /Infinity/],
    ['a text', ['2'], 'ERR_INVALID_ARGUMENT', /'2'/],
    ['no array', 2, 'ERR_INVALID_ARGUMENT', /scales/],
    ['below a pixel', [1e-9], 'ERR_INVALID_ARGUMENT', /pixel/],
    ['1e12 pixels', [40_000], 'ERR_PLAN_TOO_LARGE'],
    ['beyond any number', [1e300], 'ERR_PLAN_TOO_LARGE'],
    ['many that are large together', new Array(1000).fill(100), 'ERR_PLAN_TOO_LARGE'],
    ['a hole', Object.assign(new Array(3), { 0: 1, 2: 2 }), 'ERR_INVALID_ARGUMENT'],
  ];
  test.each(cases)('%s', async (_kind, scales, code, ...mentions) => {
    const options = { scales } as { scales: number[] };
    await expectManyscaleError(
      () => plan({ height: 224, width: 224 }, { ...options, maxSplitSize: 224 }),
      code,
      ...mentions,
    );
    await expectManyscaleError(() => extractor.extract(image, options), code, ...mentions);
    await expectManyscaleError(() => Extractor.load(patchModel(), options), code, ...mentions);
    await expectManyscaleError(
      () => multiscaleForward(identity, input(), { ...options, outputShape: 'bchw' }),
      code,
      ...mentions,
    );
    expect((await extractor.extract(image)).tensor.dims).toEqual([16, 12]);
  });

  test('a limit is reached without much memory or time', async () => {
    const begin = performance.now();
    for (const scales of [[40_000], new Array(100_000).fill(1), [2 ** 18]]) {
      await expectManyscaleError(
        () => plan({ height: 224, width: 224 }, { scales, maxSplitSize: 1 }),
        'ERR_PLAN_TOO_LARGE',
      );
    }
    expect(performance.now() - begin).toBeLessThan(1000);
  });

  test('that do not divide: the nearest that do are named', async () => {
    // 51 pixels in 2 parts; 41 pixels for tiles of 32.
    await expectManyscaleError(
      () => plan({ height: 32, width: 32 }, { scales: [1.6], maxSplitSize: 32 }),
      'ERR_INVALID_ARGUMENT',
      /51/,
      /50/,
      /52/,
    );
    await expectManyscaleError(
      () => extractor.extract(image, { scales: [1.3] }),
      'ERR_INVALID_ARGUMENT',
      /41/,
      /32/,
      /64/,
    );
    await expectManyscaleError(
      () => extractor.extract(image, { imageSizes: [[32, 70]] }),
      'ERR_INVALID_ARGUMENT',
      /70/,
      /64/,
      /96/,
    );
    await expectManyscaleError(
      () => multiscaleForward(identity, input(), { scales: [1.2], outputShape: 'bchw' }),
      'ERR_INVALID_ARGUMENT',
      /19/,
      /18/,
      /20/,
    );
    await expectManyscaleError(() => extractor.extract(image, { scales: [0.5] }), 'ERR_INVALID_ARGUMENT', /16/, /32/);
  });

  test.each([
    [[]],
    [[0]],
    [[-3]],
    [[1.5]],
    [[[32]]],
    [[[32, 32, 32]]],
    [[Number.NaN]],
    [['32']],
    [32],
    [[[32, 0]]],
    [null],
  ])('imageSizes %j', async (imageSizes) => {
    await expectManyscaleError(() => plan({ height: 32, width: 32 }, { imageSizes } as never), 'ERR_INVALID_ARGUMENT');
    await expectManyscaleError(() => extractor.extract(image, { imageSizes } as never), 'ERR_INVALID_ARGUMENT');
  });

  test.each([[2], [-3], [0.5], [Number.NaN], ['0'], [2 ** 53]])(
    'resizeOutputToIndex %j of 2 scales',
    async (resizeOutputToIndex) => {
      const options = { scales: [1, 2], resizeOutputToIndex } as { scales: number[]; resizeOutputToIndex: number };
      await expectManyscaleError(
        () => plan({ height: 32, width: 32 }, options),
        'ERR_INVALID_ARGUMENT',
        /resizeOutputToIndex/,
      );
      await expectManyscaleError(
        () => extractor.extract(image, options),
        'ERR_INVALID_ARGUMENT',
        /resizeOutputToIndex/,
      );
    },
  );

  test('sizes of the image', async () => {
    for (const size of [
      { height: 0, width: 1 },
      { height: 1.5, width: 1 },
      { height: -1, width: 1 },
      { height: 1 },
      {},
      null,
      32,
      [32, 32],
    ]) {
      await expectManyscaleError(() => plan(size as never, { scales: [1] }), 'ERR_INVALID_ARGUMENT');
    }
    await expectManyscaleError(() => plan({ height: 2 ** 30, width: 2 ** 30 }, { scales: [1] }), 'ERR_PLAN_TOO_LARGE');
    await expectManyscaleError(() => plan({ height: 32, width: 32 }, {}), 'ERR_INVALID_ARGUMENT', /scales/);
  });
});

describe('tensors', () => {
  const data = new Float32Array(3 * 16 * 16);
  const cases: [kind: string, tensor: unknown][] = [
    ['rank 3', { type: 'float32', dims: [3, 16, 16], data }],
    ['rank 5', { type: 'float32', dims: [1, 1, 3, 16, 16], data }],
    ['rank 0', { type: 'float32', dims: [], data }],
    ['too few numbers', { type: 'float32', dims: [1, 3, 16, 16], data: data.subarray(1) }],
    ['too many numbers', { type: 'float32', dims: [1, 3, 16, 15], data }],
    ['another type', { type: 'float64', dims: [1, 3, 16, 16], data: new Float64Array(768) }],
    ['a type that its data contradicts', { type: 'float32', dims: [1, 3, 16, 16], data: new Float64Array(768) }],
    ['a dimension of 0', { type: 'float32', dims: [0, 3, 16, 16], data: new Float32Array(0) }],
    ['a negative dimension', { type: 'float32', dims: [-1, -3, 16, 16], data }],
    ['a fraction', { type: 'float32', dims: [1, 1.5, 16, 32], data }],
    ['dimensions that overflow', { type: 'float32', dims: [2 ** 32, 2 ** 32, 1, 1], data: new Float32Array(1) }],
    ['no dimensions', { type: 'float32', data }],
    ['an ordinary array', { type: 'float32', dims: [1, 3, 16, 16], data: Array.from(data) }],
    ['an array', [data]],
    ['nothing', undefined],
    ['null', null],
    ['a Float32Array', data],
  ];
  const steps = plan({ height: 16, width: 16 }, { scales: [1, 2], maxSplitSize: 16 });
  test.each(cases)('%s', async (_kind, tensor) => {
    await expectManyscaleError(
      () => multiscaleForward(identity, tensor as Tensor, { scales: [1], outputShape: 'bchw' }),
      'ERR_INVALID_ARGUMENT',
    );
    await expectManyscaleError(() => split(tensor as Tensor, steps), 'ERR_INVALID_ARGUMENT');
    await expectManyscaleError(() => pool([tensor as Tensor, tensor as Tensor], steps), 'ERR_INVALID_ARGUMENT');
  });

  test('the message names what was expected and received', async () => {
    const tensor = new Tensor('float32', new Float32Array(12), [3, 2, 2]);
    await expectManyscaleError(
      () => multiscaleForward(identity, tensor, { scales: [1] }),
      'ERR_INVALID_ARGUMENT',
      /batch, channels, height, width/,
      /3, 2, 2/,
    );
  });

  test('split: an image of another size than the plan', async () => {
    await expectManyscaleError(() => split(image, steps), 'ERR_INVALID_ARGUMENT', /16 x 16/, /50, 40/);
  });

  test('pool: tensors that do not fit the plan or each other', async () => {
    const tokens = (...dims: number[]) => new Tensor('float32', new Float32Array(dims.reduce((a, b) => a * b)), dims);
    const bad: Tensor[][] = [
      [],
      [tokens(1, 16, 4)],
      [tokens(1, 16, 4), tokens(4, 16, 4), tokens(4, 16, 4)],
      [tokens(1, 16, 4), tokens(3, 16, 4)], // 3 rows for 4 tiles
      [tokens(1, 16, 4), tokens(8, 16, 4)], // two images at one scale, one at the other
      [tokens(1, 15, 4), tokens(4, 15, 4)], // no grid of 15 in a square
      [tokens(1, 16, 4), tokens(4, 4, 4, 4)], // two layouts
    ];
    for (const tensors of bad)
      await expectManyscaleError(() => pool(tensors, steps), ['ERR_INVALID_ARGUMENT', 'ERR_MODEL_SHAPE']);
    for (const numPrefixTokens of [16, 17, 1e9, -1, 0.5]) {
      await expectManyscaleError(
        () => pool([tokens(1, 16, 4), tokens(4, 16, 4)], steps, { numPrefixTokens }),
        ['ERR_INVALID_ARGUMENT', 'ERR_MODEL_SHAPE'],
      );
    }
    expect((await pool([tokens(1, 16, 4), tokens(4, 16, 4)], steps)).dims).toEqual([1, 16, 8]);
  });
});

describe('model functions', () => {
  const forward = (model: unknown, options: object = {}) =>
    multiscaleForward(model as typeof identity, input(), {
      scales: [1, 2],
      outputShape: 'bchw',
      maxSplitSize: 16,
      ...options,
    });

  test('what it throws or rejects with reaches the caller unchanged', async () => {
    for (const thrown of [new Error('mine'), new TypeError('also mine'), 'a text', undefined, { any: 'thing' }]) {
      const throws = () => {
        throw thrown;
      };
      for (const splitForward of [false, true]) {
        expect(await failure(() => forward(throws, { splitForward }))).toBe(thrown);
        expect(await failure(() => forward(() => Promise.reject(thrown), { splitForward }))).toBe(thrown);
      }
    }
  });

  test('it throws at a later call', async () => {
    let calls = 0;
    const thrown = new Error('third call');
    const model = (tiles: Tensor) => {
      if (++calls === 3) throw thrown;
      return tiles;
    };
    expect(await failure(() => forward(model, { splitForward: true }))).toBe(thrown);
    expect(calls).toBe(3);
  });

  const tensor = (...dims: number[]) => new Tensor('float32', new Float32Array(dims.reduce((a, b) => a * b)), dims);
  test.each<[string, unknown, ...RegExp[]]>([
    ['too few rows', tensor(9, 3, 4, 4), /10/, /9/],
    ['too many rows', tensor(11, 3, 4, 4), /10/, /11/],
    ['another rank', tensor(10, 16, 6), /batch|tiles/, /10, 16, 6/],
    ['rank 2', tensor(10, 6)],
    ['nothing', undefined],
    ['null', null],
    ['a number', 5],
    ['the data alone', new Float32Array(10)],
    ['another type', new Tensor('float64', new Float64Array(10 * 48), [10, 3, 4, 4])],
    ['a length that does not match', { type: 'float32', dims: [10, 3, 4, 4], data: new Float32Array(7) }],
    ['a result map of onnxruntime-node', { output: tensor(10, 3, 4, 4) }],
  ])('it returns %s', async (_kind, returned, ...mentions) => {
    await expectManyscaleError(() => forward(() => returned), 'ERR_MODEL_SHAPE', ...mentions);
    await expectManyscaleError(() => forward(async () => returned), 'ERR_MODEL_SHAPE', ...mentions);
    expect((await forward(identity)).dims).toEqual([2, 6, 16, 16]);
  });

  test.each([
    ['tokens that form no grid', 15, 0],
    ['one token too many', 17, 0],
    ['fewer tokens than prefix tokens', 3, 5],
    ['nothing but prefix tokens', 5, 5],
  ])('it returns %s', async (_kind, tokens, numPrefixTokens) => {
    const model = () => tensor(10, tokens, 6);
    await expectManyscaleError(
      () => forward(model, { outputShape: 'bnc', numPrefixTokens }),
      'ERR_MODEL_SHAPE',
      new RegExp(String(tokens)),
    );
  });

  test('it returns another shape at a later call', async () => {
    for (const second of [tensor(2, 3, 8, 8), tensor(2, 4, 4, 4)]) {
      let calls = 0;
      await expectManyscaleError(
        () => forward(() => (calls++ === 2 ? second : tensor(2, 3, 4, 4)), { splitForward: true }),
        'ERR_MODEL_SHAPE',
      );
    }
  });

  test('it writes over what it was given and over what it returned before', async () => {
    const shared = new Float32Array(2 * 3 * 16 * 16);
    const reuses = (tiles: Tensor) => {
      shared.set(tiles.data as Float32Array);
      (tiles.data as Float32Array).fill(Number.NaN);
      return new Tensor('float32', shared, tiles.dims);
    };
    const given = new Tensor(
      'float32',
      new Float32Array(2 * 3 * 256).map((_, i) => Math.sin(i)),
      [2, 3, 16, 16],
    );
    const options = { scales: [1, 2], outputShape: 'bchw' as const, splitForward: true };
    const expected = await multiscaleForward(identity, given, options);
    const actual = await multiscaleForward(reuses, given, options);
    expect(actual.data).toEqual(expected.data);
  });

  test.each([[undefined], [null], [{}], ['model'], [5]])('%s is no function', async (model) => {
    await expectManyscaleError(() => forward(model), 'ERR_INVALID_ARGUMENT', /function/);
  });
});

test('a batch limit beyond any number of tiles is no limit, not a demand for memory', async () => {
  await using generous = await Extractor.load(patchModel(), { maxBatch: 2 ** 40 });
  const [one, two] = await Promise.all([generous.extract(image), generous.extract(image)]);
  expect(one.tensor.data).toEqual(two.tensor.data);
});

/** Values that are wrong almost everywhere. */
function junk(random: Random): unknown {
  const bare = Object.create(null) as object;
  const hostile = {
    get height() {
      return 'tall';
    },
    toString: () => 'hostile',
    valueOf: () => Number.NaN,
  };
  return random.pick<() => unknown>([
    () => null,
    () => Number.NaN,
    () => Number.POSITIVE_INFINITY,
    () => -1,
    () => 0,
    () => 0.5,
    () => 2 ** 31,
    () => 2 ** 53,
    () => -(2 ** 60),
    () => '',
    () => 'junk',
    () => '3',
    () => 'x'.repeat(1000),
    () => true,
    () => 7n,
    () => Symbol('junk'),
    () => [],
    () => [[]],
    () => [null],
    () => [bare],
    () => [[bare, bare]],
    () => [Symbol('in an array')],
    () => [[Symbol('deep')]],
    () => [1, Number.NaN],
    () => [0, 0, 0],
    () => [1e300, 1, 1],
    () => [256, -1, 0.5],
    () => new Array(1e6).fill(1),
    () => ({}),
    () => bare,
    () => hostile,
    () => new Date(Number.NaN),
    () => new Map(),
    () => () => {},
    () => new Uint8Array(3),
    () => new Proxy({}, {}),
    () => /junk/,
  ])();
}

describe(`junk in every option works or is a ManyscaleError (seed ${seed})`, () => {
  const scaleOptions = [
    'scales',
    'imageSizes',
    'maxSplitSize',
    'resizeOutputToIndex',
    'numPrefixTokens',
    'outputShape',
    'dropPrefixTokens',
    'uneven',
    'overlap',
    'blend',
  ];
  const preprocess = ['mean', 'std', 'rescale', 'resize', 'channelOrder', 'background'];
  const loadOptions = [
    ...scaleOptions,
    ...[
      'output',
      'tileSize',
      'patchSize',
      'fit',
      'preset',
      'maxTiles',
      'preprocess',
      'configuration',
      'device',
      'provider',
      'devices',
      'cuda',
      'tensorrt',
      'onProgress',
      'strict',
      'threads',
      'maxBatch',
    ],
    ...['maxDelay', 'maxBytes', 'maxPixels', 'background', 'colorProfile', 'dtype', 'runtimeLibrary', 'signal'],
  ];

  async function survives(act: (random: Random) => unknown, rounds: number, salt: number): Promise<void> {
    const random = makeRandom(seed + salt);
    for (let round = 0; round < rounds; round++) {
      let error: unknown;
      try {
        await act(random);
        continue;
      } catch (caught) {
        error = caught;
      }
      if (!(error instanceof ManyscaleError))
        throw new Error(`seed ${seed}, round ${round}: not a ManyscaleError`, { cause: error });
      expect(error.message.length, `seed ${seed}, round ${round}`).toBeLessThan(4000);
      expect(error.message).toMatch(/^Expected /);
    }
  }
  const options = (names: string[], random: Random, base: object = {}) => {
    const made: Record<string, unknown> = { ...base };
    for (let count = random.integer(1, 2); count > 0; count--) made[random.pick(names)] = junk(random);
    return made as never;
  };

  test('plan', () =>
    survives((random) => plan({ height: 16, width: 16 }, options(scaleOptions, random, { scales: [1, 2] })), 2000, 1));
  test("plan's image", () => survives((random) => plan(junk(random) as never, { scales: [1] }), 200, 2));
  test('split', () => {
    const steps = plan({ height: 50, width: 40 }, { scales: [1] });
    return survives((random) => split(image, steps, options(preprocess, random)), 500, 3);
  });
  test("split's image and plan", () =>
    survives(
      (random) =>
        split(
          random.pick([
            junk(random),
            { ...image, [random.pick(['data', 'width', 'height', 'channels', 'stride'])]: junk(random) },
          ]) as never,
          random.pick([plan({ height: 50, width: 40 }, { scales: [1] }), junk(random) as never]),
        ),
      500,
      4,
    ));
  test('pool', () => {
    const steps = plan({ height: 16, width: 16 }, { scales: [1] });
    const tokens = new Tensor('float32', new Float32Array(16 * 4), [1, 16, 4]);
    return survives(
      (random) =>
        pool(
          random.pick([[tokens], [tokens], junk(random) as Tensor[]]),
          steps,
          options([...scaleOptions, 'patchSize'], random),
        ),
      500,
      5,
    );
  });
  test('multiscaleForward', () =>
    survives(
      (random) =>
        multiscaleForward(
          identity,
          input(),
          options([...scaleOptions, 'splitForward', 'signal', 'patchSize'], random, {
            scales: [1, 2],
            outputShape: 'bchw',
          }),
        ),
      800,
      6,
    ));
  test('a tensor', () =>
    survives(
      (random) =>
        multiscaleForward(
          identity,
          {
            ...input(),
            type: 'float32',
            dims: [2, 3, 16, 16],
            data: new Float32Array(1536),
            [random.pick(['type', 'dims', 'data'])]: junk(random),
          } as never,
          { scales: [1], outputShape: 'bchw' },
        ),
      300,
      7,
    ));
  test('extract', () =>
    survives((random) => extractor.extract(image, options([...scaleOptions, 'fit', 'signal'], random)), 800, 8));
  test("extract's image", () => survives((random) => extractor.extract(junk(random) as never), 200, 9));
  test('Extractor.load', { timeout: 60_000 }, () =>
    survives(
      async (random) => {
        const model = patchModel();
        const loaded = await Extractor.load(model, options(loadOptions, random));
        await loaded.dispose();
      },
      300,
      10,
    ),
  );
  test("Extractor.load's preprocess", () =>
    survives(
      async (random) => {
        const loaded = await Extractor.load(patchModel(), { preprocess: options(preprocess, random) });
        await loaded.extract(image);
        await loaded.dispose();
      },
      150,
      11,
    ));
  test("a plan's parts", () => {
    const original = plan({ height: 50, width: 40 }, { scales: [1] });
    return survives(
      (random) => {
        const [scale] = original.scales;
        const changed = random.pick<() => unknown>([
          () => ({
            ...original,
            [random.pick(['image', 'scales', 'outputIndex', 'crop', 'numPrefixTokens', 'outputShape'])]: junk(random),
          }),
          () => ({
            ...original,
            scales: [
              {
                ...scale,
                [random.pick(['height', 'width', 'rows', 'columns', 'tileHeight', 'tileWidth'])]: junk(random),
              },
            ],
          }),
          () => ({ ...original, image: { height: junk(random), width: 40 } }),
          () => ({
            ...original,
            crop: {
              top: 0,
              left: 0,
              height: 50,
              width: 40,
              [random.pick(['top', 'left', 'height', 'width'])]: junk(random),
            },
          }),
        ])();
        return split(image, changed as typeof original);
      },
      800,
      12,
    );
  });
  test('and afterwards a good request works', async () => {
    expect((await extractor.extract(image)).tensor.dims).toEqual([16, 12]);
  });
});
