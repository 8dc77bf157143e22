// What an image leads to with a model: the plan, the shape of the features, and the memory that it takes.

import { invalid } from '../errors.js';
import { deepFreeze } from '../freeze.js';
import type { ModelInput } from '../model/input.js';
import { type ModelOutputs, shapeOfOutput } from '../model/outputs.js';
import type { NativeCrop, NativePlan, NativeScale, NativeSize } from '../native/addon.js';
import { mergedGrids } from '../native/calls.js';
import { IMAGE_CHANNELS } from '../options/defaults.js';
import type { Layout } from '../options/options.js';
import { featureDims, type PoolJob, refusePrefixOfMaps, type TileShape, tilesOf } from '../pool.js';
import { BoundedCache } from './bounded-cache.js';
import { type Cutting, isSequence, planCutting } from './cutting.js';
import { type Plan, plannedPool, type Size } from './plan.js';

/** What is known of a loaded model. */
export interface ModelFacts {
  input: ModelInput;
  outputs: ModelOutputs;
  patchSize?: number;
  dtype: 'float32' | 'float16';
}

/** Frozen: images of one shape share it. */
export interface Geometry {
  plan: NativePlan;
  /** Every scale is made from the largest centred part of the tile's aspect ratio. */
  crops: boolean;
  /** Of each output. */
  shapes: [TileShape, ...TileShape[]];
  /** How tile features become features. */
  pool: PoolJob['pool'];
  /** Of the features; those of a map have no place for them. */
  numPrefixTokens: number;
  /** Of the features, in cells; of a sequence, of one tile. */
  grid: NativeSize;
  /** Of each scale after merging its tiles, in cells; of several outputs, the first one's. */
  grids: NativeSize[];
  /** Each scale's: from the first to before the second. */
  channels: [from: number, to: number][];
  /** Of the features' tensor. */
  dims: number[];
  /** Of all scales. */
  tiles: number;
  /** Memory of an image's features. */
  resultBytes: number;
  /** Memory of an image's tile features, of its features, and of what it is made into first. */
  featureBytes: number;
}

/** An Extractor's plan: the geometry, and the shape of the features that it leads to. */
export interface ExtractorPlan extends Plan {
  readonly numPrefixTokens: number;
  readonly outputShape: Layout;
  /** Of the features, in cells. */
  readonly grid: Size;
  /** Of each scale after merging its tiles, in cells; of several outputs, the first one's. */
  readonly grids: readonly Size[];
  /** Each scale's channels of the features: from the first to before the second. */
  readonly channels: readonly (readonly [from: number, to: number])[];
  /** Of the features' tensor. */
  readonly dims: readonly number[];
}

/** The geometries of one model, with those that were asked for last at hand. */
export class Geometries {
  readonly #facts: ModelFacts;
  readonly #known = new BoundedCache<Geometry>(256);

  constructor(facts: ModelFacts) {
    this.#facts = facts;
  }

  /** Of an image of this size; by default of one tile's. */
  of(cutting: Cutting, image: Size = this.#facts.input.tile): Geometry {
    const key = `${image.height} ${image.width} ${JSON.stringify(cutting)}`;
    return this.#known.get(
      key,
      () => deepFreeze(geometryFor(this.#facts, cutting, image)),
      ({ tiles }) => tiles < 10_000,
    );
  }
}

function geometryFor({ input, outputs, patchSize, dtype }: ModelFacts, cutting: Cutting, image: Size): Geometry {
  const { tile } = input;
  const { scale } = cutting;
  const [output, ...others] = outputs;
  const { maxSplitSize, numPrefixTokens = output.numPrefixTokens, outputShape = output.layout } = scale;
  if (maxSplitSize && (maxSplitSize.height !== tile.height || maxSplitSize.width !== tile.width)) {
    throw invalid(
      `the model's tile size (${tile.height} x ${tile.width})`,
      'maxSplitSize',
      [maxSplitSize.height, maxSplitSize.width],
      'leave it out: an Extractor cuts tiles of that size',
    );
  }
  refusePrefixOfMaps(numPrefixTokens, output.layout);
  const shapeOf = (each: ModelOutputs[number]) => shapeOfOutput(each, tile, numPrefixTokens, patchSize);
  const shapes: Geometry['shapes'] = [shapeOf(output), ...others.map(shapeOf)];
  const sequence = isSequence(cutting);
  const plan = planCutting(image, cutting, tile, shapes);
  const pool = {
    ...plannedPool(scale),
    numPrefixTokens,
    outputShape,
    ...(sequence && { sequence }),
    ...(patchSize !== undefined && { patchSize }),
  };
  const grids = mergedGrids(plan, shapes[0].grid);
  const grid = sequence ? shapes[0].grid : (grids[plan.outputIndex] as NativeSize);
  const ofScale = shapes.reduce((sum, each) => sum + each.channels, 0);
  const tiles = tilesOf(plan);
  const dims = sequence
    ? featureDims(pool, tiles, grid, ofScale)
    : featureDims(pool, 1, grid, ofScale * plan.scales.length).slice(1);
  const resultBytes = (dtype === 'float16' ? 2 : 4) * product(dims);
  const batch = Math.max(1, input.fixedBatch); // filled up with empty tiles
  return {
    plan,
    crops: cutting.preset === undefined && cutting.fit === 'crop',
    shapes,
    pool,
    numPrefixTokens: outputShape === 'bnc' && !scale.dropPrefixTokens ? numPrefixTokens : 0,
    grid,
    grids,
    channels: plan.scales.map((_, index) => (sequence ? [0, ofScale] : [index * ofScale, (index + 1) * ofScale])),
    dims,
    tiles,
    resultBytes,
    featureBytes: 4 * batch * Math.ceil(tiles / batch) * tileElements(outputs) + resultBytes + bytesVia(plan.via),
  };
}

function bytesVia(via: NativeScale | undefined): number {
  return via ? 4 * IMAGE_CHANNELS * via.height * via.width : 0;
}

/** The largest rectangle of the tile's aspect ratio, in the middle of the image. */
export function centredCrop(image: NativeSize, tile: NativeSize): NativeCrop {
  const isWide = image.width * tile.height > image.height * tile.width;
  const height = isWide ? image.height : Math.max(1, Math.floor((image.width * tile.height) / tile.width));
  const width = isWide ? Math.max(1, Math.floor((image.height * tile.width) / tile.height)) : image.width;
  return { top: Math.floor((image.height - height) / 2), left: Math.floor((image.width - width) / 2), height, width };
}

/** Whether what the scales are made from has at least twice the height and width of each of them. */
export function isTwiceAsLarge({ plan }: Geometry, { height, width }: NativeSize): boolean {
  return (plan.via ? [plan.via] : plan.scales).every((scale) => {
    const resized = scale.content ?? scale;
    return height >= 2 * resized.height && width >= 2 * resized.width;
  });
}

/** Numbers that all outputs in use give for one tile. */
export function tileElements(outputs: ModelOutputs): number {
  return outputs.reduce((sum, { dims }) => sum + product(dims.slice(1)), 0);
}

function product(dims: readonly number[]): number {
  return dims.reduce((result, dim) => result * dim, 1);
}
