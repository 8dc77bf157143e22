// Protects any way of cutting any image: a plan keeps its promises or is refused, foretells the shape of what extract() gives, and with
// split(), the model and pool() gives the same features. MANYSCALE_TEST_SEED=n repeats a failure.
import {
  Extractor,
  type ExtractorOptions,
  type ExtractorPlan,
  type Features,
  ManyscaleError,
  plan,
  pool,
  split,
  type Tensor,
} from 'manyscale';
import * as ort from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectClose, magnitude } from '../helpers/compare.js';
import { anyCutting, anyScaleOptions, anySide, brokenPromise } from '../helpers/cuttings.js';
import { failure } from '../helpers/errors.js';
import { noise, tokens, tolerance, wideMap } from '../helpers/extracted.js';
import { pyramidModel } from '../helpers/models.js';
import { makeRandom, makeSeed, type Random } from '../helpers/random.js';
import type { Size } from '../helpers/reference.js';

const seed = makeSeed();

interface Kind {
  name: string;
  model: Uint8Array;
  tile: Size;
  /** Where several are joined. */
  outputs: string[];
}

const kinds: Kind[] = [
  {
    name: 'tokens behind two prefix tokens',
    model: tokens.model as Uint8Array,
    tile: tokens.tile,
    outputs: ['tokens'],
  },
  { name: 'maps of wide tiles', model: wideMap.model as Uint8Array, tile: wideMap.tile, outputs: ['map'] },
  {
    name: 'two outputs of one grid',
    model: pyramidModel(),
    tile: { height: 32, width: 32 },
    outputs: ['tokens', 'doubled'],
  },
  {
    name: 'two outputs of two grids',
    model: pyramidModel(),
    tile: { height: 32, width: 32 },
    outputs: ['fine', 'coarse'],
  },
];

/** Undefined when it is refused, as it should be: with a ManyscaleError. */
async function accepted<T>(act: () => T | Promise<T>, what: string): Promise<T | undefined> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof ManyscaleError) return undefined;
    throw new Error(`${what}: not a ManyscaleError`, { cause: error });
  }
}

function load(kind: Kind, options: ExtractorOptions): Promise<Extractor> {
  return Extractor.load(kind.model, { ...options, output: kind.outputs });
}

/** A good part of what is asked for must work, else nothing is tested. */
function expectMost(made: number, asked: number, share: number): void {
  expect(made, `plans of ${asked} requests, seed ${seed}`).toBeGreaterThan(asked * share);
}

describe(`plans of images of up to 20000 x 20000 (seed ${seed})`, () => {
  test.each(kinds)('of an Extractor: $name', async (kind) => {
    const random = makeRandom(seed);
    let asked = 0;
    let made = 0;
    for (let round = 0; round < 60; round++) {
      const options = anyCutting(random, kind.tile);
      const text = `seed ${seed}, round ${round}: ${JSON.stringify(options)}`;
      const extractor = await accepted(() => load(kind, options), text);
      for (let i = 0; i < 40 && extractor; i++) {
        const image = { height: anySide(random), width: anySide(random) };
        const what = `${image.height} x ${image.width} with ${text}`;
        const planned = await accepted(() => extractor.plan(image), what);
        asked++;
        if (!planned) continue;
        made++;
        expect(brokenPromise(planned), what).toBeUndefined();
        expect(planned.image, what).toEqual(image);
        expect(planned.dims, what).toEqual(foretold(planned));
      }
      await extractor?.dispose();
    }
    expectMost(made, asked, 0.5);
  });

  test('of plan()', async () => {
    const random = makeRandom(seed);
    let made = 0;
    for (let round = 0; round < 4000; round++) {
      const image = { height: anySide(random), width: anySide(random) };
      const options = anyScaleOptions(random, image);
      const what = `seed ${seed}, round ${round}: ${image.height} x ${image.width} with ${JSON.stringify(options)}`;
      const planned = await accepted(() => plan(image, options), what);
      if (!planned) continue;
      made++;
      const broken = brokenPromise(planned);
      if (broken) throw new Error(`${what}: ${broken}`);
    }
    expectMost(made, 4000, 0.3);
  });
});

/** From the plan's own words to the shape of the features. */
function foretold(planned: ExtractorPlan): number[] {
  const { grid, grids, channels, outputShape, numPrefixTokens, dropPrefixTokens, sequence, scales, outputIndex } =
    planned;
  if (!sequence) expect(grid).toEqual(grids[outputIndex]);
  const depth = Math.max(...channels.map(([, to]) => to));
  const tiles = scales.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
  const places = grid.height * grid.width + (dropPrefixTokens ? 0 : numPrefixTokens);
  const one = outputShape === 'bchw' ? [depth, grid.height, grid.width] : [places, depth];
  return sequence ? [tiles, ...one] : one;
}

describe.each(kinds)(`small images, $name (seed ${seed})`, (kind) => {
  let session: ort.InferenceSession;
  beforeAll(async () => {
    session = await ort.InferenceSession.create(kind.model, { intraOpNumThreads: 1 });
  });
  afterAll(() => session.release());

  async function tileFeatures(batches: Tensor[], name: string): Promise<Tensor[]> {
    const results: Tensor[] = [];
    const input = session.inputNames[0] as string;
    for (const tiles of batches) results.push((await session.run({ [input]: tiles }, [name]))[name] as Tensor);
    return results;
  }

  test('extract() gives what the plan foretells, and what split(), the model and pool() give', async () => {
    const random = makeRandom(seed + 1);
    let asked = 0;
    let made = 0;
    for (let round = 0; round < 40; round++) {
      const options = anyCutting(random, kind.tile);
      const text = `seed ${seed}, round ${round}: ${JSON.stringify(options)}`;
      const extractor = await accepted(() => load(kind, options), text);
      for (let i = 0; i < 3 && extractor; i++) {
        const image = noise(smallSize(random), random.integer(0, 1e6));
        const { height, width } = image;
        const what = `${height} x ${width} with ${text}`;
        asked++;
        const planned = await accepted(() => extractor.plan({ height, width }), what);
        if (!planned) {
          expect(await failure(() => extractor.extract(image)), what).toBeInstanceOf(ManyscaleError);
          continue;
        }
        made++;
        const features = await extractor.extract(image);
        expectForetold(features, planned, what);
        const batches = await split(image, planned, extractor.info.preprocess);
        for (const [at, name] of kind.outputs.entries()) {
          if (at > 0 && kind.outputs[1] === 'coarse') break; // pool() knows one grid, the first output's
          const pooled = await pool(await tileFeatures(batches, name), planned);
          expectPart(features, pooled, at, kind.outputs.length, `${name} of ${what}`);
        }
      }
      await extractor?.dispose();
    }
    expectMost(made, asked, 0.5);
  });
});

/** Down to a single pixel, and as long and thin as 90 to 1. */
function smallSize(random: Random): Size {
  return { height: anySide(random, 90), width: anySide(random, 90) };
}

function expectForetold(features: Features, planned: ExtractorPlan, what: string): void {
  expect(features.tensor.dims, what).toEqual(planned.dims);
  expect(features.grid, what).toEqual(planned.grid);
  expect(
    features.scales.map(({ channels }) => channels),
    what,
  ).toEqual(planned.channels);
  expect((features.tensor.data as Float32Array).length, what).toBe(planned.dims.reduce((a, b) => a * b, 1));
}

/** What pool() made of one output is that output's channels of the features. */
function expectPart({ tensor, scales }: Features, pooled: Tensor, output: number, outputs: number, what: string): void {
  const rank = tensor.dims.length;
  const sequence = pooled.dims.length === rank;
  // The features of one image; pool() makes those of a batch of one.
  expect(pooled.dims.length - rank, what).toBe(sequence ? 0 : 1);
  const isMap = pooled.dims.length === 4;
  const all = tensor.data as Float32Array;
  const part = pooled.data as Float32Array;
  const dims = sequence ? pooled.dims : pooled.dims.slice(1);
  const channelAxis = isMap ? dims.length - 3 : dims.length - 1;
  const count = tensor.dims[channelAxis] as number;
  const own = dims[channelAxis] as number;
  expect(own * outputs, what).toBe(count);
  expect(dims.with(channelAxis, count), what).toEqual(tensor.dims);
  const inner = dims.slice(channelAxis + 1).reduce((a, b) => a * b, 1);
  const groups = sequence ? 1 : scales.length; // channels are scale after scale, and in a scale output after output
  const each = own / groups;
  const expected = part.map((_, at) => {
    const channel = Math.floor(at / inner) % own;
    const outer = Math.floor(at / inner / own);
    const group = Math.floor(channel / each);
    const from = (group * outputs + output) * each + (channel % each);
    return all[(outer * count + from) * inner + (at % inner)] as number;
  });
  expectClose(part, expected, tolerance.patches * magnitude(expected), what);
}
