// Plans that leave the library: as JSON, as clones, changed by others; and the promise that an Extractor's plan with
// split() and pool() does what extract() does.
import { readFileSync } from 'node:fs';
import { defaultModel, Extractor, type Plan, plan, pool, split, Tensor } from 'manyscale';
import * as ort from 'onnxruntime-node';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectClose } from '../helpers/compare.js';
import { expectManyscaleError } from '../helpers/errors.js';
import { photo } from '../helpers/paths.js';

const image = {
  data: Uint8Array.from({ length: 40 * 30 * 3 }, (_, i) => (i * 37) & 255),
  width: 40,
  height: 30,
  channels: 3 as const,
};

describe('a plan', () => {
  const geometry = plan({ height: 30, width: 40 }, { scales: [1, 2], numPrefixTokens: 1, outputShape: 'bnc' });

  test('is frozen all the way down and says what pool needs', () => {
    expect(geometry).toEqual({
      image: { height: 30, width: 40 },
      scales: [
        { height: 30, width: 40, rows: 1, columns: 1, tileHeight: 30, tileWidth: 40 },
        { height: 60, width: 80, rows: 2, columns: 2, tileHeight: 30, tileWidth: 40 },
      ],
      outputIndex: 0,
      numPrefixTokens: 1,
      outputShape: 'bnc',
    });
    for (const part of [geometry, geometry.image, geometry.scales, geometry.scales[1]]) {
      expect(Object.isFrozen(part)).toBe(true);
    }
  });

  test('works as JSON and as a clone', async () => {
    const [expected] = await split(image, geometry);
    for (const copy of [structuredClone(geometry), JSON.parse(JSON.stringify(geometry)) as Plan]) {
      const [tiles] = await split(image, copy);
      expectClose(tiles?.data as Float32Array, expected?.data as Float32Array, 0, 'tiles of a copied plan');
      const features = [1, 4].map((rows) => new Tensor('float32', new Float32Array(rows * 13 * 2), [rows, 13, 2]));
      expect((await pool(features, copy)).dims).toEqual([1, 13, 4]);
    }
  });

  test.each<[string, (copy: { [key: string]: unknown }) => void, RegExp]>([
    ['rows', (copy) => Object.assign((copy['scales'] as object[])[1] ?? {}, { rows: 3 }), /rows \* tileHeight/],
    [
      'no tiles',
      (copy) => Object.assign((copy['scales'] as object[])[1] ?? {}, { tileHeight: 0 }),
      /scales\[1\]\.tileHeight/,
    ],
    ['no scales', (copy) => Object.assign(copy, { scales: [] }), /at least one scale/],
    ['an index beyond', (copy) => Object.assign(copy, { outputIndex: 2 }), /resizeOutputToIndex|outputIndex/],
    [
      'a crop outside',
      (copy) => Object.assign(copy, { crop: { top: 0, left: 1, height: 30, width: 40 } }),
      /a part of the image .* for plan.crop/,
    ],
  ])('changed by others is refused: %s', async (_, change, message) => {
    const copy = structuredClone(geometry) as unknown as { [key: string]: unknown };
    change(copy);
    await expectManyscaleError(() => split(image, copy as unknown as Plan), 'ERR_INVALID_ARGUMENT', message);
  });
});

describe("an Extractor's plan", () => {
  let session: ort.InferenceSession;
  beforeAll(async () => {
    session = await ort.InferenceSession.create(readFileSync(defaultModel), { intraOpNumThreads: 1 });
  });
  afterAll(() => session.release());

  test.each(['stretch', 'crop'] as const)("with split and pool does what extract does: fit '%s'", async (fit) => {
    await using extractor = await Extractor.load(defaultModel, { scales: [1, 2], resizeOutputToIndex: -1, fit });
    const decoded = await sharp(photo('temple.jpg')).resize(420, 300).raw().toBuffer({ resolveWithObject: true });
    const features = await extractor.extract(decoded);
    const steps = extractor.plan({ height: 300, width: 420 });
    expect(steps.grid).toEqual(features.grid);
    expect(steps.dims).toEqual(features.tensor.dims);
    expect(steps.channels).toEqual(features.scales.map(({ channels }) => channels));
    if (fit === 'crop') expect(steps.crop).toEqual({ top: 0, left: 60, height: 300, width: 300 });

    const tileFeatures: Tensor[] = [];
    for (const tiles of await split(decoded, steps, extractor.info.preprocess)) {
      const { name } = extractor.info.output;
      const feeds = { [extractor.info.input.name]: tiles };
      tileFeatures.push((await session.run(feeds, [name]))[name] as Tensor);
    }
    const pooled = await pool(tileFeatures, steps);
    expect(pooled.dims).toEqual([1, ...features.tensor.dims]);
    expectClose(pooled.data as Float32Array, features.tensor.data as Float32Array, 1e-5, 'features');
  });
});
