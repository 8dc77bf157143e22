// Features of an Extractor against those of the plain implementation.
import { Extractor, type ExtractorOptions } from 'manyscale';
import sharp from 'sharp';
import { expect } from 'vitest';
import { expectClose, magnitude } from './compare.js';
import { patchModel } from './models.js';
import { photo, vitModel } from './paths.js';
import type { PlainFeatures } from './presets.js';
import { makeRandom, randomBytes } from './random.js';
import type { Size } from './reference.js';
import type { TileModel } from './s2.js';

/** With a CLS token; preprocessing as in its metadata. */
export const vit: TileModel = {
  model: vitModel,
  tile: { height: 96, width: 96 },
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
  layout: 'bnc',
  output: 'last_hidden_state',
  grid: { height: 12, width: 12 },
  prefix: 1,
};

/** Of the features' root mean square. The transformer makes 0.8e-5 of float32 rounding of its pixels. */
export const tolerance = { vit: 2e-5, patches: 1e-5 };

const MEAN = [0.5, 0.25, 0.125];
const STD = [0.5, 1, 2];

/** Two prefix tokens, and a mean that tells black from zero. */
export const tokens: TileModel = {
  model: patchModel({
    prefix: 2,
    metadata: { 'manyscale.mean': MEAN.join(), 'manyscale.std': STD.join() },
  }),
  tile: { height: 32, width: 32 },
  mean: MEAN,
  std: STD,
  layout: 'bnc',
  grid: { height: 4, width: 4 },
  prefix: 2,
};

/** A feature map of wide tiles. */
export const wideMap: TileModel = {
  model: patchModel({
    layout: 'bchw',
    tile: [24, 40],
    metadata: { 'manyscale.mean': MEAN.join(), 'manyscale.std': STD.join() },
  }),
  tile: { height: 24, width: 40 },
  mean: MEAN,
  std: STD,
  layout: 'bchw',
  grid: { height: 3, width: 5 },
};

/** A RawImage that toPlanes takes too. */
export interface Picture extends Size {
  channels: 3;
  data: Uint8Array;
}

/** A part of a photo, wider than high, whose sides are no multiples of anything. */
export async function photoCrop(): Promise<Picture> {
  const { data, info } = await sharp(photo('temple.jpg'))
    .extract({ left: 61, top: 33, width: 411, height: 258 })
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data: new Uint8Array(data), width: info.width, height: info.height, channels: 3 };
}

/** Wide, tall, square, one tile, a single pixel, and what is stretched or padded far. */
export const oddSizes: Size[] = [
  { height: 31, width: 97 },
  { height: 150, width: 33 },
  { height: 64, width: 64 },
  { height: 32, width: 32 },
  { height: 1, width: 1 },
  { height: 300, width: 17 },
  { height: 20, width: 640 },
];

export function noise({ height, width }: Size, seed: number): Picture {
  return { height, width, channels: 3, data: randomBytes(height * width * 3, makeRandom(seed)) };
}

export interface Comparison {
  image: Picture;
  expected: PlainFeatures;
  /** Of the features' root mean square. */
  within: number;
  what: string;
}

/** The features, their shape, and the shape that the plan foretold. */
export async function expectExtracted(extractor: Extractor, comparison: Comparison): Promise<void> {
  const { image, expected, within, what } = comparison;
  const { tensor } = await extractor.extract(image);
  expect(tensor.dims, what).toEqual(expected.dims);
  const { height, width } = image;
  expect(extractor.plan({ height, width }).dims, what).toEqual(expected.dims);
  expectClose(tensor.data as Float32Array, expected.data, within * magnitude(expected.data), what);
}

/** Loads with options that are spelt out in the tests, whose types may lie ahead of what is in src/options.ts. */
export function load(model: TileModel, options: object): Promise<Extractor> {
  const { output } = model;
  return Extractor.load(model.model, { ...(output && { output }), ...options } as ExtractorOptions);
}
