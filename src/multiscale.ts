// multiscaleForward: the whole S2 pass around any model function.

import { abortable, checkSignal } from './abort.js';
import { describe, invalid, ManyscaleError } from './errors.js';
import { overlapPlace, planFor, plannedPool } from './geometry/plan.js';
import type { NativePlan, NativeScale } from './native/addon.js';
import { runSplit } from './native/calls.js';
import { DEFAULTS } from './options/defaults.js';
import type { Layout, MultiscaleOptions } from './options/options.js';
import { checkScaleOptions } from './options/scale.js';
import { checkOptions, checkPatchSize } from './options/values.js';
import { FEATURE_DIMS, poolFeatures, refusePrefixOfMaps, type TileShape, tileShape } from './pool.js';
import { floatImage, hasOneTileShape, RESIZE_ONLY } from './split.js';
import { checkFloatTensor, isUnstable, Tensor, type TensorLike } from './tensor.js';

/** A tile batch [n, channels, height, width] to tile features [n, tokens, channels] or [n, channels, height, width]. */
export type ModelFunction = (tiles: Tensor) => TensorLike | Promise<TensorLike>;

/**
 * Runs a model over an input at several scales, with the same results as the PyTorch S2 wrapper.
 * `input`: float32 [B, C, H, W], preprocessed as the model wants it. The model is called with tiles of one shape at a
 * time, one call after another; the tensors that it is given are its own.
 * @returns [B, prefix + gridH * gridW, C_total] or [B, C_total, gridH, gridW].
 * @throws {ManyscaleError} ERR_INVALID_ARGUMENT, ERR_PLAN_TOO_LARGE, ERR_MODEL_SHAPE (what the model returned does not
 * fit), ERR_OUT_OF_MEMORY. What the model throws, and the signal's reason, reach the caller unchanged.
 */
export async function multiscaleForward(
  model: ModelFunction,
  input: TensorLike,
  options: MultiscaleOptions,
): Promise<Tensor> {
  if (typeof model !== 'function') throw invalid('a function', 'model', model);
  const given = checkOptions(options, 'the options of multiscaleForward');
  checkSignal(given.signal);
  const { signal } = given;
  signal?.throwIfAborted();
  if (given.splitForward !== undefined && typeof given.splitForward !== 'boolean')
    throw invalid('true or false', 'splitForward', given.splitForward);
  const checked = checkScaleOptions(given);
  const { numPrefixTokens = DEFAULTS.numPrefixTokens, outputShape: layout = DEFAULTS.outputShape } = checked;
  refusePrefixOfMaps(numPrefixTokens, layout);
  const patchSize = checkPatchSize(given.patchSize);
  const image = floatImage(
    checkFloatTensor(input, 'the input of multiscaleForward', [['batch', 'channels', 'height', 'width']]),
  );
  const { batch, channels, height, width } = image;
  const plan = planFor({ height, width }, checked, overlapPlace(checked, patchSize));

  const calls = modelCalls(plan, batch, given.splitForward ?? false);
  const joined = hasOneTileShape(plan);
  const buffers = await runSplit({ image, plan, preprocess: RESIZE_ONLY, joined }, signal);

  const collected = new Collector(plan, batch, layout, numPrefixTokens, patchSize, calls.length);
  for (const call of calls) {
    signal?.throwIfAborted();
    const tiles = callTiles(buffers, call, joined, channels);
    // Also what the model throws before it returns a promise is the promise's.
    const returned = await abortable(
      new Promise<TensorLike>((resolve) => {
        resolve(model(tiles));
      }),
      signal,
    );
    collected.add(returned, call);
  }
  signal?.throwIfAborted();
  return poolFeatures(
    {
      plan,
      batch,
      features: collected.features,
      shapes: collected.shapes,
      layout,
      pool: { ...plannedPool(checked), numPrefixTokens, outputShape: layout },
    },
    signal,
  );
}

/** One call of the model: `rows` tiles of one shape, from row `from` of its scale's (or the joined) tile batch. */
interface ModelCall {
  /** The first scale that it has tiles of. */
  scale: number;
  from: number;
  rows: number;
  tile: NativeScale;
  /** The whole of its buffer, which is then the model's to keep. */
  whole: boolean;
}

function modelCalls(plan: NativePlan, batch: number, splitForward: boolean): ModelCall[] {
  const joined = hasOneTileShape(plan);
  const calls: ModelCall[] = [];
  let offset = 0;
  plan.scales.forEach((tile, scale) => {
    const tiles = tile.rows * tile.columns;
    if (splitForward) {
      for (let index = 0; index < tiles; index++)
        calls.push({ scale, from: offset + index * batch, rows: batch, tile, whole: false });
    } else if (!joined) {
      calls.push({ scale, from: 0, rows: tiles * batch, tile, whole: true });
    }
    if (joined) offset += tiles * batch;
  });
  const [first] = plan.scales;
  if (joined && !splitForward && first) calls.push({ scale: 0, from: 0, rows: offset, tile: first, whole: true });
  return calls;
}

/** The tensor for a call: fresh memory that nothing else refers to. */
function callTiles(buffers: Float32Array[], call: ModelCall, joined: boolean, channels: number): Tensor {
  const { tile, from, rows } = call;
  const buffer = buffers[joined ? 0 : call.scale];
  if (!buffer) throw new RangeError('a scale without tiles');
  const elements = channels * tile.tileHeight * tile.tileWidth;
  const data = call.whole ? buffer : buffer.slice(from * elements, (from + rows) * elements);
  return new Tensor('float32', data, [rows, channels, tile.tileHeight, tile.tileWidth]);
}

/** Checks what the model returned and keeps it until all scales are there. */
class Collector {
  /** One buffer per scale, or one for all. */
  readonly features: Float32Array[] = [];
  /** Per scale. */
  readonly shapes: TileShape[] = [];
  readonly #filled: number[] = [];
  #channels: number | undefined;

  constructor(
    private readonly plan: NativePlan,
    private readonly batch: number,
    private readonly layout: Layout,
    private readonly numPrefixTokens: number,
    private readonly patchSize: number | undefined,
    private readonly calls: number,
  ) {}

  add(returned: unknown, call: ModelCall): void {
    const { dims, data } = checkFloatTensor(
      returned,
      `what the model returned (outputShape '${this.layout}')`,
      [FEATURE_DIMS[this.layout]],
      'ERR_MODEL_SHAPE',
    );
    if (dims[0] !== call.rows) throw shapeError(`${call.rows} rows, one per tile`, dims);
    const shape = tileShape(dims, call.tile, this.layout, this.numPrefixTokens, this.patchSize);
    this.#channels ??= shape.channels;
    if (shape.channels !== this.#channels) throw shapeError(`${this.#channels} channels, as in the calls before`, dims);

    if (this.calls === 1) {
      // Read before control goes back to the model, so not copied here.
      this.features.push(isUnstable(data) ? new Float32Array(data) : data);
      for (const _ of this.plan.scales) this.shapes.push(shape);
      return;
    }
    // The model may use its memory again for the next call.
    const { scale } = call;
    const known = this.shapes[scale];
    if (known && (known.grid.height !== shape.grid.height || known.grid.width !== shape.grid.width)) {
      throw shapeError(
        `a grid of ${known.grid.height} x ${known.grid.width}, as for the other tiles of the scale`,
        dims,
      );
    }
    this.shapes[scale] = shape;
    const { rows, columns } = call.tile;
    const buffer = this.features[scale] ?? new Float32Array((rows * columns * this.batch * data.length) / call.rows);
    this.features[scale] = buffer;
    const at = this.#filled[scale] ?? 0;
    buffer.set(data, at);
    this.#filled[scale] = at + data.length;
  }
}

function shapeError(expected: string, dims: readonly number[]): ManyscaleError {
  return new ManyscaleError(
    'ERR_MODEL_SHAPE',
    `Expected ${expected} for what the model returned but received ${describe(dims)}`,
  );
}
