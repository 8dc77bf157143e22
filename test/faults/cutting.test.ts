// Protects against bad requests for cutting: options that contradict each other or have no sense, presets that do not fit the model, and
// plans from outside with anything in them give a ManyscaleError; the process lives, and its memory comes back.
import { Extractor, type ExtractorOptions, ManyscaleError, type Plan, plan, pool, split, Tensor } from 'manyscale';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectManyscaleError } from '../helpers/errors.js';
import { patchModel } from '../helpers/models.js';
import { makeRandom, makeSeed, type Random } from '../helpers/random.js';

const seed = makeSeed();
const image = { data: new Uint8Array(40 * 50 * 3), width: 40, height: 50, channels: 3 as const };
/** Of 32 x 32 pixels and 4 x 4 cells. */
const square = patchModel();
const wide = patchModel({ tile: [24, 40], layout: 'bchw' });

/** Refused at load, before any image; what is loaded by mistake is given back. */
async function refused(options: object, ...mentions: RegExp[]): Promise<void> {
  const loadOnly = () => Extractor.load(square, options as ExtractorOptions).then((extractor) => extractor.dispose());
  await expectManyscaleError(loadOnly, 'ERR_INVALID_ARGUMENT', ...mentions);
}

describe('options that contradict each other', () => {
  const presets = ['llava-s2', 'dynamic-s2', 'internvl', 'anyres'] as const;
  test.each(presets)('%s has its own way with these', async (preset) => {
    const pairs: ExtractorOptions[] = [
      { fit: 'stretch' },
      { fit: 'keep' },
      { uneven: 'resize' },
      { overlap: 8 },
      { overlap: 0 },
      { blend: 'linear' },
      { maxSplitSize: 32 },
      ...(preset === 'anyres' ? [] : [{ imageSizes: [64] }]),
      ...(preset === 'llava-s2' ? [{ maxTiles: 4 }] : []),
      ...(preset === 'internvl' || preset === 'anyres' ? [{ scales: [1, 2] }, { resizeOutputToIndex: 0 }] : []),
    ];
    for (const options of pairs) {
      const [name] = Object.keys(options) as [string];
      await refused({ ...options, preset }, new RegExp(`'${preset}'`), new RegExp(name));
    }
  });

  test('a preset at load and another way at the call', async () => {
    await using extractor = await Extractor.load(square, { preset: 'internvl' });
    for (const options of [{ fit: 'keep' }, { overlap: 8 }, { scales: [1] }, { uneven: 'pad' }] as const) {
      await expectManyscaleError(() => extractor.extract(image, options), 'ERR_INVALID_ARGUMENT', /'internvl'/);
    }
    expect((await extractor.extract(image)).tensor.dims).toHaveLength(3);
  });

  test('maxTiles without a preset, two kinds of scales, tiles of another size than the model', async () => {
    await refused({ maxTiles: 4 }, /maxTiles/, /preset/);
    await refused({ scales: [1], imageSizes: [32] }, /scales/);
    await refused({ maxSplitSize: 64 }, /maxSplitSize/, /32 x 32/);
  });
});

describe('values without sense', () => {
  const nonsense: [name: string, values: unknown[]][] = [
    ['preset', ['llava', 'LLAVA-S2', '', 0, null, {}]],
    ['uneven', ['crop', 'Pad', 1, true, null]],
    ['blend', ['cubic', '', 0, null]],
    ['fit', ['contain', null, 1]],
    ['overlap', [-1, -0.25, 1.5, 32, 33, 1e9, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY, '8', [8], null]],
    ['dropPrefixTokens', [1, 'true', null]],
  ];
  test.each(nonsense)('%s', async (name, values) => {
    for (const value of values) await refused({ scales: [2], [name]: value }, new RegExp(name, 'i'));
    const plain = { imageSizes: [64], maxSplitSize: 32 };
    if (name === 'preset' || name === 'fit') return; // of an Extractor only
    for (const value of values) {
      const options = { ...plain, [name]: value } as object as { imageSizes: number[] };
      await expectManyscaleError(() => plan({ height: 64, width: 64 }, options), 'ERR_INVALID_ARGUMENT');
    }
  });

  test('maxTiles', async () => {
    for (const maxTiles of [0, -1, 1.5, Number.NaN, '12', 2 ** 60, null]) {
      for (const preset of ['dynamic-s2', 'internvl', 'anyres']) await refused({ preset, maxTiles }, /maxTiles/);
    }
    await refused({ preset: 'dynamic-s2', maxTiles: 8 }, /at least 9/, /maxTiles/); // three by three is its last scale
    for (const preset of ['dynamic-s2', 'internvl']) await refused({ preset, maxTiles: 1e9 }, /at most 128/);
  });

  test('scales and sizes of presets', async () => {
    for (const scales of [[2, 3], [1, 1], [1, 3, 2], [1, 1.5], [0], [-1], [1, Number.NaN], [1, 2 ** 40], []]) {
      for (const preset of ['llava-s2', 'dynamic-s2']) await refused({ preset, scales }, /scales/);
    }
    for (const imageSizes of [[33], [0], [-32], [32.5], [[32, 40]], []])
      await refused({ preset: 'anyres', imageSizes }, /imageSizes|resolutions/);
  });

  test('presets with a model of non-square tiles', async () => {
    for (const preset of ['llava-s2', 'dynamic-s2', 'internvl', 'anyres'] as const) {
      const load = () => Extractor.load(wide, { preset }).then((extractor) => extractor.dispose());
      await expectManyscaleError(load, 'ERR_INVALID_ARGUMENT', /square/, /24 x 40/, /'keep'/);
    }
  });

  test('tiles that cannot overlap by whole cells', async () => {
    const oneCell = patchModel({ patch: 32, prefix: 1 });
    const options = { overlap: 8, output: 'tokens' };
    const load = () => Extractor.load(oneCell, options).then((extractor) => extractor.dispose());
    await expectManyscaleError(load, 'ERR_INVALID_ARGUMENT', /overlap/);
  });

  test('sizes of the image', async () => {
    await using extractor = await Extractor.load(square, { fit: 'keep' });
    const sides = [0, -5, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '32', null, undefined, [32]];
    for (const side of sides) {
      for (const size of [
        { height: side, width: 32 },
        { height: 32, width: side },
      ])
        await expectManyscaleError(() => extractor.plan(size as never), 'ERR_INVALID_ARGUMENT');
    }
    await expectManyscaleError(() => extractor.plan({ height: 2 ** 40, width: 1 }), 'ERR_PLAN_TOO_LARGE');
  });
});

describe('what would take memory or time is refused without', () => {
  test('lists that are mostly holes', async () => {
    const endless = new Array(2 ** 32 - 1);
    const steps = plan({ height: 50, width: 40 }, { scales: [1] });
    const [scale] = structuredClone(steps.scales);
    const begin = performance.now();
    for (const options of [{ scales: endless }, { imageSizes: endless }]) {
      await expectManyscaleError(() => plan(steps.image, options), 'ERR_INVALID_ARGUMENT', /at most/);
      await refused(options, /at most/);
    }
    await refused({ output: endless }, /at most/);
    await refused({ preprocess: { mean: endless } }, /at most/);
    for (const scales of [endless, [{ ...scale, tops: endless }], [{ ...scale, lefts: endless }]]) {
      const foreign = { ...steps, scales } as Plan;
      await expectManyscaleError(() => split(image, foreign), 'ERR_INVALID_ARGUMENT', /at most/);
    }
    expect(performance.now() - begin).toBeLessThan(2000);
  });

  test('more overlapping tiles than any plan has', async () => {
    const begin = performance.now();
    const scales = new Array(1000).fill(1);
    const options = { scales, maxSplitSize: [32, 1] as const, overlap: 16 };
    await expectManyscaleError(() => plan({ height: 2 ** 24, width: 1 }, options), 'ERR_PLAN_TOO_LARGE', /tiles/);
    expect(performance.now() - begin).toBeLessThan(2000);
  });
});

describe(`plans from outside (seed ${seed})`, () => {
  let extractors: Extractor[];
  /** One of each kind: overlap, padding, a crop, something between, a sequence. */
  let good: Plan[];
  beforeAll(async () => {
    const options: ExtractorOptions[] = [
      { overlap: 8, scales: [1, 3] },
      { fit: 'keep', uneven: 'pad' },
      { fit: 'crop' },
      { preset: 'llava-s2' },
      { preset: 'internvl' },
      { preset: 'anyres' },
    ];
    extractors = await Promise.all(options.map((each) => Extractor.load(square, each)));
    good = extractors.map((extractor) => extractor.plan(image));
  });
  afterAll(() => Promise.all(extractors.map((extractor) => extractor.dispose())));

  /** What pool() takes for this plan. */
  const featuresOf = ({ scales }: Plan) =>
    scales.map(({ rows, columns }) => {
      const tiles = rows * columns;
      return new Tensor('float32', new Float32Array(tiles * 16 * 6), [tiles, 16, 6]);
    });

  /** Their own features are no fault of theirs: those that a hostile plan wants are unknown. */
  async function offer(hostile: unknown, original: Plan, what: string): Promise<number> {
    let refusals = 0;
    for (const act of [() => split(image, hostile as Plan), () => pool(featuresOf(original), hostile as Plan)]) {
      try {
        await act();
      } catch (error) {
        if (!(error instanceof ManyscaleError)) throw new Error(`${what}: not a ManyscaleError`, { cause: error });
        expect(error.message, what).toMatch(/^Expected .* but (received|JavaScript)/s);
        refusals++;
      }
    }
    return refusals;
  }

  test('good ones work as copies', async () => {
    for (const original of good) {
      expect(await offer(JSON.parse(JSON.stringify(original)), original, JSON.stringify(original))).toBe(0);
    }
  });

  const wrong: [what: string, change: (scale: Record<string, unknown>, plan: Record<string, unknown>) => void][] = [
    ['positions that leave the scale', (scale) => Object.assign(scale, { tops: [0, 1e6] })],
    ['positions that leave a gap', (scale) => Object.assign(scale, { height: 200, rows: 2, tops: [0, 168] })],
    ['positions that go back', (scale) => Object.assign(scale, { height: 64, rows: 3, tops: [0, 40, 32] })],
    ['one position too few', (scale) => Object.assign(scale, { height: 64, rows: 3, tops: [0, 32] })],
    ['negative positions', (scale) => Object.assign(scale, { lefts: [-8] })],
    ['positions that are no numbers', (scale) => Object.assign(scale, { tops: ['0'] })],
    ['NaN among positions', (scale) => Object.assign(scale, { tops: [Number.NaN] })],
    ['positions with a hole', (scale) => Object.assign(scale, { tops: new Array(1) })],
    ['no positions', (scale) => Object.assign(scale, { tops: [] })],
    ['typed positions', (scale) => Object.assign(scale, { tops: new Int32Array(1) })],
    [
      'content beside the scale',
      (scale) => Object.assign(scale, { content: { top: 1e4, left: 0, height: 5, width: 5 } }),
    ],
    ['content above it', (scale) => Object.assign(scale, { content: { top: -5, left: 0, height: 5, width: 5 } })],
    ['empty content', (scale) => Object.assign(scale, { content: { top: 0, left: 0, height: 0, width: 5 } })],
    ['endless content', (scale) => Object.assign(scale, { content: { top: 0, left: 0, height: 2 ** 50, width: 5 } })],
    ['fractional content', (scale) => Object.assign(scale, { content: { top: 0.5, left: 0, height: 5, width: 5 } })],
    ['content that is null', (scale) => Object.assign(scale, { content: null })],
    [
      'content that is far away',
      (scale) => Object.assign(scale, { content: { top: -(2 ** 53) + 1, left: 0, height: 5, width: 5 } }),
    ],
    ['unknown padding', (scale) => Object.assign(scale, { padding: 'mirror' })],
    ['padding that is null', (scale) => Object.assign(scale, { padding: null })],
    [
      'via of several tiles',
      (_, all) =>
        Object.assign(all, { via: { height: 64, width: 64, rows: 2, columns: 2, tileHeight: 32, tileWidth: 32 } }),
    ],
    ['via that is no scale', (_, all) => Object.assign(all, { via: 'scale' })],
    ['via that is null', (_, all) => Object.assign(all, { via: null })],
    [
      'via without end',
      (_, all) =>
        Object.assign(all, { via: { height: 1e9, width: 1e9, rows: 1, columns: 1, tileHeight: 1e9, tileWidth: 1e9 } }),
    ],
    ['a sequence that is not true', (_, all) => Object.assign(all, { sequence: 1 })],
    ['an unknown blend', (_, all) => Object.assign(all, { blend: 'cubic' })],
    ['a crop outside', (_, all) => Object.assign(all, { crop: { top: 1, left: 0, height: 50, width: 40 } })],
    ['no image', (_, all) => Object.assign(all, { image: null })],
    ['no scales', (_, all) => Object.assign(all, { scales: [] })],
    ['scales with a hole', (_, all) => Object.assign(all, { scales: new Array(2) })],
    ['an index beyond', (_, all) => Object.assign(all, { outputIndex: 9 })],
  ];
  test.each(wrong)('%s', async (what, change) => {
    for (const original of good) {
      for (const frozen of [false, true]) {
        const copy = structuredClone(original) as unknown as Record<string, unknown>;
        change((copy['scales'] as Record<string, unknown>[])[0] ?? {}, copy);
        expect(await offer(frozen ? Object.freeze(copy) : copy, original, what), what).toBe(2);
      }
    }
  });

  test('whatever throws when it is read', async () => {
    const thrown = new TypeError('mine');
    const throws = {
      get() {
        throw thrown;
      },
      enumerable: true,
    };
    const revoked = Proxy.revocable([], {});
    revoked.revoke();
    for (const original of good) {
      const copy = () => structuredClone(original) as unknown as { scales: object[]; image: object };
      const hostile = [
        ...Object.keys(original).map((name) => Object.defineProperty(copy(), name, throws)),
        ...['height', 'tops', 'content'].map((name) => {
          const changed = copy();
          Object.defineProperty(changed.scales[0], name, throws);
          return changed;
        }),
        { ...copy(), image: Object.defineProperty({}, 'height', throws) },
        { ...copy(), scales: revoked.proxy },
        new Proxy(copy(), throws),
      ];
      for (const each of hostile) {
        const error = await expectManyscaleError(() => split(image, each as never), 'ERR_INVALID_ARGUMENT', /plan/);
        expect(error.cause).toBeInstanceOf(TypeError);
      }
    }
  });

  test('what changes while it is read is what was checked, or an error', async () => {
    const [original] = good as [Plan];
    for (const later of [1, 41, 1e6, 2 ** 50, -1, Number.NaN, 'wide']) {
      for (const after of [1, 2, 3]) {
        let reads = 0;
        const size = {
          height: 50,
          get width() {
            return reads++ < after ? 40 : later;
          },
        };
        const changing = {
          ...structuredClone(original),
          image: size,
          crop: { top: 0, left: 0, height: 50, width: 40 },
        };
        await offer(changing, original, `width ${later} after ${after} reads`);
      }
    }
  });

  test('junk in any place', async () => {
    const random = makeRandom(seed);
    let refusals = 0;
    for (let round = 0; round < 1500; round++) {
      const original = random.pick(good);
      const copy = structuredClone(original) as unknown as Record<string, unknown>;
      const place = corrupt(copy, random);
      refusals += await offer(copy, original, `seed ${seed}, round ${round}: ${place}`);
    }
    expect(refusals).toBeGreaterThan(1000);
  });

  test('memory comes back', async () => {
    const random = makeRandom(seed);
    const round = async () => {
      for (let i = 0; i < 300; i++) {
        const original = random.pick(good);
        const copy = structuredClone(original) as unknown as Record<string, unknown>;
        corrupt(copy, random);
        await offer(copy, original, `seed ${seed}`);
      }
    };
    const megabytes = () => process.memoryUsage().rss / 2 ** 20;
    for (let i = 0; i < 3; i++) await round();
    const before = megabytes();
    for (let i = 0; i < 5; i++) await round();
    expect(megabytes() - before).toBeLessThan(100);
  });

  test('and afterwards good requests work', async () => {
    for (const [at, extractor] of extractors.entries()) {
      const original = good[at] as Plan;
      const batches = await split(image, original);
      expect(batches.map(({ dims }) => dims[0])).toEqual(featuresOf(original).map(({ dims }) => dims[0]));
      expect((await extractor.extract(image)).tensor.dims).toEqual(extractor.plan(image).dims);
    }
  });
});

/** Puts something wrong into one place, however deep; returns which and what. */
function corrupt(plain: Record<string, unknown>, random: Random): string {
  let at = plain;
  let path = 'plan';
  for (;;) {
    const names = Object.keys(at);
    const name = random.pick(names);
    path += `.${name}`;
    const inner = at[name];
    const isDeeper = typeof inner === 'object' && inner !== null && Object.keys(inner).length > 0;
    if (isDeeper && random.next() < 0.85) {
      at = inner as Record<string, unknown>;
      continue;
    }
    const value = random.pick<() => unknown>([
      () => -1,
      () => 0,
      () => 0.5,
      () => (typeof inner === 'number' ? inner + random.pick([1, -1, 7]) : 1),
      () => 2 ** 24 + 1,
      () => 2 ** 40,
      () => 2 ** 53,
      () => -(2 ** 31),
      () => Number.NaN,
      () => Number.NEGATIVE_INFINITY,
      () => '1',
      () => null,
      () => 7n,
      () => Symbol('junk'),
      () => [],
      () => [null],
      () => ({}),
      () => ({ height: 1, width: 1, top: 0, left: 0 }),
      () => () => 1,
      () => new Proxy({}, {}),
    ])();
    at[name] = value;
    return `${path} = ${typeof value} ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`;
  }
}
