// What scale options lead to with a model: the plan, the shape of the features, and the memory that an image takes.

import { invalid } from './errors.js';
import type { ModelInput } from './model.js';
import type { NativeCrop, NativePlan, NativeSize } from './native/addon.js';
import type { CheckedScaleOptions, Layout } from './options.js';
import { type ModelOutputs, shapeOfOutput } from './outputs.js';
import { planFor, type Size } from './plan.js';
import { refusePrefixOfMaps, type TileShape } from './pool.js';

/** What is known of a loaded model. */
export interface ModelFacts {
  input: ModelInput;
  outputs: ModelOutputs;
  patchSize?: number;
  dtype: 'float32' | 'float16';
}

export interface Geometry {
  plan: NativePlan;
  /** Of each output. */
  shapes: [TileShape, ...TileShape[]];
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
  /** Memory of an image's tile features and of its features. */
  featureBytes: number;
}

/** Of an image of this size; by default of one tile's, whose scales are the same as those of every other image. */
export function geometryFor(
  { input, outputs, patchSize, dtype }: ModelFacts,
  scale: CheckedScaleOptions,
  image: Size = input.tile,
): Geometry {
  const { tile } = input;
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
  const plan = planFor(image, scale, { base: tile, tile });
  const shapeOf = (each: ModelOutputs[number]) => shapeOfOutput(each, tile, numPrefixTokens, patchSize);
  const shapes: Geometry['shapes'] = [shapeOf(output), ...others.map(shapeOf)];
  const { rows = 0, columns = 0 } = plan.scales[plan.outputIndex] ?? {};
  const grid = { height: rows * shapes[0].grid.height, width: columns * shapes[0].grid.width };
  const scaleChannels = shapes.reduce((sum, each) => sum + each.channels, 0);
  const total = scaleChannels * plan.scales.length;
  const dims =
    outputShape === 'bnc' ? [numPrefixTokens + grid.height * grid.width, total] : [total, grid.height, grid.width];
  const tiles = plan.scales.reduce((sum, each) => sum + each.rows * each.columns, 0);
  return {
    plan,
    shapes,
    numPrefixTokens,
    outputShape,
    grid,
    channels: plan.scales.map((_, index) => [index * scaleChannels, (index + 1) * scaleChannels]),
    dims,
    tiles,
    featureBytes:
      4 * tiles * outputs.reduce((sum, each) => sum + product(each.dims), 0) +
      (dtype === 'float16' ? 2 : 4) * product(dims),
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
