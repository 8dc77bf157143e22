// What scale options lead to with a model: the plan, the shape of the features, and the memory that an image takes.

import { invalid } from './errors.js';
import type { ModelInput, ModelOutput } from './model.js';
import { singleTile } from './model.js';
import type { NativeCrop, NativePlan, NativeSize } from './native/addon.js';
import type { CheckedScaleOptions, Layout } from './options.js';
import { planFor, type Size } from './plan.js';
import { refusePrefixOfMaps, type TileShape, tileShape } from './pool.js';

/** What is known of a loaded model. */
export interface ModelFacts {
  input: ModelInput;
  output: ModelOutput;
  patchSize?: number;
  dtype: 'float32' | 'float16';
}

export interface Geometry {
  plan: NativePlan;
  shape: TileShape;
  /** Of a tile. The features have them too unless they are a feature map, which has no place for them. */
  numPrefixTokens: number;
  outputShape: Layout;
  /** Of the features, in cells. */
  grid: NativeSize;
  /** Each scale's: from the first to before the second. */
  channels: [from: number, to: number][];
  /** Of the features' tensor. */
  dims: number[];
  /** Of all scales. */
  tiles: number;
  /** Memory of an image's features. */
  resultBytes: number;
  /** Memory of an image's tile features and of its features. */
  featureBytes: number;
}

/** Of an image of this size; by default of one tile's, whose scales are the same as those of every other image. */
export function geometryFor(
  { input, output, patchSize, dtype }: ModelFacts,
  scale: CheckedScaleOptions,
  image: Size = input.tile,
): Geometry {
  const { tile } = input;
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
  const plan = planFor(image, scale, { base: tile, tile });
  const shape =
    numPrefixTokens === output.numPrefixTokens
      ? { grid: output.grid, channels: output.channels }
      : tileShape(output.dims, singleTile(tile), output.layout, numPrefixTokens, patchSize);
  const { rows = 0, columns = 0 } = plan.scales[plan.outputIndex] ?? {};
  const grid = { height: rows * shape.grid.height, width: columns * shape.grid.width };
  const total = shape.channels * plan.scales.length;
  const dims =
    outputShape === 'bnc' ? [numPrefixTokens + grid.height * grid.width, total] : [total, grid.height, grid.width];
  const tiles = plan.scales.reduce((sum, each) => sum + each.rows * each.columns, 0);
  const resultBytes = (dtype === 'float16' ? 2 : 4) * product(dims);
  return {
    plan,
    shape,
    numPrefixTokens,
    outputShape,
    grid,
    channels: plan.scales.map((_, index) => [index * shape.channels, (index + 1) * shape.channels]),
    dims,
    tiles,
    resultBytes,
    featureBytes: 4 * tiles * product(output.dims) + resultBytes,
  };
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
  return plan.scales.every((scale) => height >= 2 * scale.height && width >= 2 * scale.width);
}

function product(dims: readonly number[]): number {
  return dims.reduce((result, dim) => result * dim, 1);
}
