// pool: tile features + plan -> multi-scale features (merge, area average, join).

import { invalid, ManyscaleError } from './errors.js';
import { openPlan, type Plan, type PlannedPool, plannedPool } from './geometry/plan.js';
import type { NativePlan, NativeScale, NativeSize } from './native/addon.js';
import { findGrid, mergedGrids, runPool } from './native/calls.js';
import { DEFAULTS } from './options/defaults.js';
import type { Layout, PoolOptions } from './options/options.js';
import { checkScaleOptions } from './options/scale.js';
import { checkOptions, checkPatchSize } from './options/values.js';
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
  /** One buffer per scale, or one with all scales in order. */
  features: Float32Array[];
  /** Per scale. */
  shapes: TileShape[];
  /** Of the tile features. */
  layout: Layout;
  pool: PlannedPool & { numPrefixTokens: number; outputShape: Layout };
}

/** Prefix tokens are rows of tokens; tile features that are maps have none. */
export function refusePrefixOfMaps(numPrefixTokens: number, layout: Layout): void {
  if (numPrefixTokens > 0 && layout === 'bchw')
    throw invalid("0 for feature maps ('bchw')", 'numPrefixTokens', numPrefixTokens, 'leave it out');
}

/** The shape of features: [B, prefix + gridH * gridW, C_total] or [B, C_total, gridH, gridW]; of a sequence B is its tiles. */
export function featureDims(
  { numPrefixTokens, outputShape, dropPrefixTokens = false }: PoolJob['pool'],
  batch: number,
  { height, width }: NativeSize,
  channels: number,
): number[] {
  if (outputShape === 'bchw') return [batch, channels, height, width];
  return [batch, (dropPrefixTokens ? 0 : numPrefixTokens) + height * width, channels];
}

/** Pools and gives the result its shape. */
export async function poolFeatures(job: PoolJob, signal?: AbortSignal): Promise<Tensor> {
  const { plan, batch, shapes, layout, pool: how } = job;
  const { sequence = false, outputShape: outputLayout, ...rest } = how;
  const used = sequence ? shapes.slice(0, 1) : shapes;
  const grids = used.map(({ grid }) => grid);
  const channels = used.map((shape) => shape.channels);
  const features = sequence ? [joinBuffers(job.features)] : job.features;
  const data = await runPool(
    { plan, batch, features, grids, channels, layout, outputLayout, sequence, ...rest },
    signal,
  );
  if (sequence) {
    const [{ grid, channels: count } = { grid: { height: 0, width: 0 }, channels: 0 }] = shapes;
    return new Tensor('float32', data, featureDims(how, tilesOf(plan), grid, count));
  }
  const shape = shapes[plan.outputIndex];
  const grid = shape && mergedGrids(plan, shape.grid)[plan.outputIndex];
  if (!grid) throw new RangeError('the output index is outside the plan');
  const total = channels.reduce((sum, count) => sum + count, 0);
  return new Tensor('float32', data, featureDims(how, batch, grid, total));
}

/** Of one image. */
export function tilesOf({ scales }: { readonly scales: readonly { rows: number; columns: number }[] }): number {
  return scales.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
}

function joinBuffers(buffers: readonly Float32Array[]): Float32Array {
  const [first] = buffers;
  if (first && buffers.length === 1) return first;
  const joined = new Float32Array(buffers.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const buffer of buffers) {
    joined.set(buffer, at);
    at += buffer.length;
  }
  return joined;
}

/**
 * Merges each scale's tiles, averages every scale to the grid of one scale and joins the scales along the channels. Cells that several
 * overlapping tiles have are blended, those of zero padding left out. With the plan of a sequence tiles stay one after another.
 * `tileFeatures`: one float32 tensor per scale of the plan, [tiles * B, tokens, channels] or [tiles * B, channels,
 * height, width], rows as split() makes them. The features are copied before the call returns.
 * @throws {ManyscaleError} ERR_INVALID_ARGUMENT, ERR_MODEL_SHAPE (tokens that form no grid), ERR_OUT_OF_MEMORY.
 */
export async function pool(tileFeatures: readonly TensorLike[], plan: Plan, options?: PoolOptions): Promise<Tensor> {
  const opened = openPlan(plan);
  const given = checkOptions(options, 'the options of pool');
  const { patchSize: _, ...planned } = plannedPool(given);
  const { resizeOutputToIndex, ...rest } = checkScaleOptions({
    ...planned,
    ...(given.resizeOutputToIndex !== undefined && { resizeOutputToIndex: given.resizeOutputToIndex }),
  });
  const patchSize = checkPatchSize(given.patchSize) ?? opened.pool.patchSize;
  const scales = opened.native.scales;
  if (!Array.isArray(tileFeatures) || tileFeatures.length !== scales.length) {
    throw invalid(`${scales.length} tensors, one per scale of the plan,`, 'tileFeatures', tileFeatures);
  }
  const { numPrefixTokens = DEFAULTS.numPrefixTokens, ...how } = { ...opened.pool, ...plannedPool(rest) };

  const tensors = tileFeatures.map((tensor, index) =>
    checkFloatTensor(tensor, `tileFeatures[${index}]`, [FEATURE_DIMS.bnc, FEATURE_DIMS.bchw]),
  );
  const input: Layout = tensors[0]?.dims.length === 4 ? 'bchw' : 'bnc';
  refusePrefixOfMaps(numPrefixTokens, input);
  const batch = (tensors[0]?.dims[0] ?? 0) / ((scales[0]?.rows ?? 1) * (scales[0]?.columns ?? 1));
  const shapes = scales.map((scale, index) => {
    const tensor = tensors[index] as FloatTensor;
    checkRows(tensor, scale, batch, FEATURE_DIMS[input].length, index);
    return tileShape(tensor.dims, scale, input, numPrefixTokens, patchSize);
  });
  if (how.sequence) checkSequence(shapes, batch);
  const outputIndex =
    resizeOutputToIndex === undefined ? opened.native.outputIndex : indexOf(resizeOutputToIndex, scales.length);
  return poolFeatures({
    plan: { ...opened.native, outputIndex },
    batch,
    features: tensors.map(({ data }) => (isUnstable(data) ? new Float32Array(data) : data)),
    shapes,
    layout: input,
    pool: { ...how, numPrefixTokens, outputShape: how.outputShape ?? input },
  });
}

/** Tiles that stand one after another have one shape. */
function checkSequence(shapes: readonly TileShape[], batch: number): void {
  if (batch !== 1) throw invalid('the tiles of one image', 'pool with a plan of a sequence', batch);
  const [first] = shapes;
  const differs = shapes.find(
    ({ grid, channels }) =>
      channels !== first?.channels || grid.height !== first.grid.height || grid.width !== first.grid.width,
  );
  if (differs) throw invalid('tiles of one shape', 'pool with a plan of a sequence', differs.grid);
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
function indexOf(index: number, scales: number): number {
  if (index < -scales || index >= scales)
    throw invalid(`an integer from ${-scales} to ${scales - 1}`, 'resizeOutputToIndex', index);
  return index < 0 ? index + scales : index;
}
