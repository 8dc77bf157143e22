// pool: tile features + plan -> multi-scale features (merge, area average, join).

import { invalid, ManyscaleError } from './errors.js';
import type { NativePlan, NativeScale, NativeSize } from './native/addon.js';
import { findGrid, runPool } from './native/calls.js';
import { checkOptions, checkPatchSize, checkScaleOptions, DEFAULTS, type Layout, type PoolOptions } from './options.js';
import { openPlan, type Plan } from './plan.js';
import { checkFloatTensor, type FloatTensor, isUnstable, Tensor, type TensorLike } from './tensor.js';

/** Names of the dimensions of tile features, for messages. */
export const FEATURE_DIMS: Readonly<Record<Layout, readonly string[]>> = {
  bnc: ['tiles', 'tokens', 'channels'],
  bchw: ['tiles', 'channels', 'height', 'width'],
};

/** The shape of one tile's features. */
export interface TileShape {
  grid: NativeSize;
  channels: number;
}

/**
 * The grid and channels of tile features with these dims (a batch first).
 * @throws {ManyscaleError} ERR_MODEL_SHAPE when the tokens beside the prefix form no grid of the tile's aspect ratio.
 */
export function tileShape(
  dims: readonly number[],
  scale: NativeScale,
  layout: Layout,
  numPrefixTokens: number,
  patchSize = 0,
): TileShape {
  if (layout === 'bchw') {
    const [, channels = 0, height = 0, width = 0] = dims;
    return { grid: { height, width }, channels };
  }
  const [, tokens = 0, channels = 0] = dims;
  if (tokens <= numPrefixTokens) {
    throw new ManyscaleError(
      'ERR_MODEL_SHAPE',
      `Expected more than ${numPrefixTokens} tokens (numPrefixTokens) for every tile but received ${tokens}; check numPrefixTokens`,
    );
  }
  return {
    grid: findGrid({ height: scale.tileHeight, width: scale.tileWidth }, tokens - numPrefixTokens, patchSize),
    channels,
  };
}

/** What pooling needs to know of a plan and its tile features. */
export interface PoolJob {
  plan: NativePlan;
  batch: number;
  features: Float32Array[];
  shapes: TileShape[];
  input: Layout;
  output: Layout;
  numPrefixTokens: number;
}

/** Prefix tokens are rows of tokens; tile features that are maps have none. */
export function refusePrefixOfMaps(numPrefixTokens: number, layout: Layout): void {
  if (numPrefixTokens > 0 && layout === 'bchw')
    throw invalid("0 for feature maps ('bchw')", 'numPrefixTokens', numPrefixTokens, 'leave it out');
}

/** Pools and gives the result its shape: [B, prefix + gridH * gridW, C_total] or [B, C_total, gridH, gridW]. */
export async function poolFeatures(job: PoolJob, signal?: AbortSignal): Promise<Tensor> {
  const { plan, batch, features, shapes, input, output, numPrefixTokens } = job;
  const grids = shapes.map(({ grid }) => grid);
  const channels = shapes.map((shape) => shape.channels);
  const data = await runPool({ plan, batch, features, input, output, numPrefixTokens, grids, channels }, signal);
  const scale = plan.scales[plan.outputIndex];
  const grid = grids[plan.outputIndex];
  if (!scale || !grid) throw new RangeError('the output index is outside the plan');
  const [height, width] = [scale.rows * grid.height, scale.columns * grid.width];
  const total = channels.reduce((sum, count) => sum + count, 0);
  const dims = output === 'bnc' ? [batch, numPrefixTokens + height * width, total] : [batch, total, height, width];
  return new Tensor('float32', data, dims);
}

/**
 * Merges each scale's tiles, averages every scale to the grid of one scale and joins the scales along the channels.
 * `tileFeatures`: one float32 tensor per scale of the plan, [tiles * B, tokens, channels] or [tiles * B, channels,
 * height, width], rows as split() makes them. The features are copied before the call returns.
 * @throws {ManyscaleError} ERR_INVALID_ARGUMENT, ERR_MODEL_SHAPE (tokens that form no grid), ERR_OUT_OF_MEMORY.
 */
export async function pool(tileFeatures: readonly TensorLike[], plan: Plan, options?: PoolOptions): Promise<Tensor> {
  const opened = openPlan(plan);
  const given = checkOptions(options, 'the options of pool');
  const checked = checkScaleOptions({
    ...(given.numPrefixTokens !== undefined && { numPrefixTokens: given.numPrefixTokens }),
    ...(given.outputShape !== undefined && { outputShape: given.outputShape }),
    ...(given.resizeOutputToIndex !== undefined && { resizeOutputToIndex: given.resizeOutputToIndex }),
  });
  const patchSize = checkPatchSize(given.patchSize);
  const scales = opened.native.scales;
  if (!Array.isArray(tileFeatures) || tileFeatures.length !== scales.length) {
    throw invalid(`${scales.length} tensors, one per scale of the plan,`, 'tileFeatures', tileFeatures);
  }
  const numPrefixTokens = checked.numPrefixTokens ?? opened.numPrefixTokens ?? DEFAULTS.numPrefixTokens;

  const tensors = tileFeatures.map((tensor, index) =>
    checkFloatTensor(tensor, `tileFeatures[${index}]`, [FEATURE_DIMS.bnc, FEATURE_DIMS.bchw]),
  );
  const input: Layout = tensors[0]?.dims.length === 4 ? 'bchw' : 'bnc';
  const output = checked.outputShape ?? opened.outputShape ?? input;
  refusePrefixOfMaps(numPrefixTokens, input);
  const batch = (tensors[0]?.dims[0] ?? 0) / ((scales[0]?.rows ?? 1) * (scales[0]?.columns ?? 1));
  const shapes = scales.map((scale, index) => {
    const tensor = tensors[index] as FloatTensor;
    checkRows(tensor, scale, batch, FEATURE_DIMS[input].length, index);
    return tileShape(tensor.dims, scale, input, numPrefixTokens, patchSize);
  });
  const index = checked.resizeOutputToIndex;
  return poolFeatures({
    plan: index === undefined ? opened.native : { ...opened.native, outputIndex: outputIndex(index, scales.length) },
    batch,
    features: tensors.map(({ data }) => (isUnstable(data) ? new Float32Array(data) : data)),
    shapes,
    input,
    output,
    numPrefixTokens,
  });
}

function checkRows(tensor: FloatTensor, scale: NativeScale, batch: number, rank: number, index: number): void {
  const tiles = scale.rows * scale.columns;
  if (tensor.dims.length !== rank)
    throw invalid(`rank ${rank}, like tileFeatures[0],`, `tileFeatures[${index}]`, tensor.dims);
  if (!Number.isInteger(batch))
    throw invalid(`a multiple of the scale's ${tiles} tiles`, `the rows of tileFeatures[${index}]`, tensor.dims[0]);
  if (tensor.dims[0] !== tiles * batch) {
    throw invalid(
      `${tiles * batch} rows (${scale.rows} x ${scale.columns} tiles of ${batch} image${batch === 1 ? '' : 's'})`,
      `tileFeatures[${index}]`,
      tensor.dims,
    );
  }
}

/** resizeOutputToIndex as an index into the scales. */
function outputIndex(index: number, scales: number): number {
  if (index < -scales || index >= scales)
    throw invalid(`an integer from ${-scales} to ${scales - 1}`, 'resizeOutputToIndex', index);
  return index < 0 ? index + scales : index;
}
