// What a model gives: which outputs have the features, and where in them every cell of a tile is.

import { describe, invalid, ManyscaleError } from '../errors.js';
import { showSides } from '../geometry/sides.js';
import type { NativeScale, NativeSize, NativeValueInfo } from '../native/addon.js';
import { findTokenLayout } from '../native/calls.js';
import type { Layout } from '../options/options.js';
import { type TileShape, tileShape } from '../pool.js';
import { describeValue, type ModelInput, shapeError } from './input.js';

/** More prefix tokens than any model in use has: an output that would need more is something else (a text, say). */
export const MOST_PREFIX_TOKENS = 16;

export interface ModelOutput {
  index: number;
  name: string;
  /** How its memory is read: [batch, height, width, channels] is tokens without prefix, and [batch, channels] is one token. */
  layout: Layout;
  /** Of one tile. */
  grid: NativeSize;
  channels: number;
  numPrefixTokens: number;
  /** Of one tile, with a batch first. */
  dims: number[];
}

/** Outputs whose features are joined, in order: of one layout, with as many prefix tokens. */
export type ModelOutputs = readonly [ModelOutput, ...ModelOutput[]];

const FEATURE_TYPES: ReadonlySet<string> = new Set(['float32', 'float16']);

/**
 * Indices of the outputs that may have features for every place: float32 or float16, rank 3 or 4 (or not known before a run). With
 * `names` those, in that order; they may also be of rank 2, one vector for a tile.
 */
export function candidateOutputs(outputs: readonly NativeValueInfo[], names: readonly string[] | undefined): number[] {
  const all = outputs.map(describeValue).join('; ');
  if (names) {
    return names.map((name) => {
      const index = outputs.findIndex((output) => output.name === name);
      const output = outputs[index];
      if (!output)
        throw new ManyscaleError(
          'ERR_INVALID_ARGUMENT',
          `Expected the name of a model output for output but received ${describe(name)}; the model has: ${all}`,
        );
      if (!FEATURE_TYPES.has(output.type) || ![0, 2, 3, 4].includes(output.dims.length))
        throw shapeError(
          `Expected a float32 or float16 output of rank 2, 3 or 4 for output but received ${describeValue(output)}; the model has: ${all}`,
        );
      return index;
    });
  }
  const candidates = outputs.flatMap(({ type, dims }, index) =>
    FEATURE_TYPES.has(type) && [0, 3, 4].includes(dims.length) ? [index] : [],
  );
  if (candidates.length === 0) {
    throw shapeError(
      `Expected a model with a float32 or float16 output [batch, tokens, channels] or [batch, channels, height, width] but received one with: ${all}; export it without its pooling and its head, or name one of these as output: it gives one vector for a tile`,
    );
  }
  return candidates;
}

export interface OutputOptions {
  /** The outputs were named: all of them are taken. */
  named: boolean;
  numPrefixTokens?: number;
  patchSize?: number;
}

/**
 * The first output that has a place for every cell of a tile, or all that were named. `probed`: what one tile gave at each candidate.
 * @throws {ManyscaleError} ERR_MODEL_SHAPE that says of each output why it does not serve, or which cannot be joined.
 */
export function chooseOutputs(
  outputs: readonly NativeValueInfo[],
  candidates: readonly number[],
  probed: readonly (readonly number[])[],
  input: ModelInput,
  options: OutputOptions,
): ModelOutputs {
  const reasons: string[] = [];
  const served: ModelOutput[] = [];
  for (const [position, index] of candidates.entries()) {
    const name = outputs[index]?.name ?? '';
    const dims = [...(probed[position] ?? [])];
    try {
      served.push({ index, name, dims, ...readOutput(dims, input, options) });
      if (!options.named) break;
    } catch (error) {
      if (!(error instanceof ManyscaleError)) throw error;
      reasons.push(`${name} [${dims.join(', ')}]: ${error.message}`);
    }
  }
  const [first, ...others] = served;
  if (!first || (options.named && reasons.length > 0)) {
    const which = options.named && candidates.length > 1 ? 'outputs' : 'an output';
    throw shapeError(
      `Expected ${which} with a place for every cell of a tile of ${showSides(input.tile)} for the features but received a model without one. ${reasons.join('. ')}`,
    );
  }
  return inOneLayout([first, ...others]);
}

function inOneLayout(outputs: ModelOutputs): ModelOutputs {
  const { layout, numPrefixTokens } = outputs.find(({ dims }) => dims.length !== 2) ?? outputs[0];
  const follow = (output: ModelOutput): ModelOutput => {
    if (output.layout === layout && output.numPrefixTokens === numPrefixTokens) return output;
    // One vector for a tile is also a feature map of one cell.
    if (output.dims.length === 2 && numPrefixTokens === 0) return { ...output, layout };
    const kinds = outputs.map((each) => {
      const prefix = `${each.numPrefixTokens} prefix token${each.numPrefixTokens === 1 ? '' : 's'}`;
      return `${each.name} (${each.layout === 'bchw' ? 'a feature map' : `tokens, ${prefix}`})`;
    });
    throw shapeError(
      `Expected feature maps only, or tokens with as many prefix tokens each, for outputs that are joined but received ${kinds.join(', ')}; name outputs of one kind`,
    );
  };
  const [first, ...others] = outputs;
  return [follow(first), ...others.map(follow)];
}

/** The tile as a scale of its own, for what is asked about a single tile. */
export function singleTile({ height, width }: NativeSize): NativeScale {
  return { height, width, rows: 1, columns: 1, tileHeight: height, tileWidth: width };
}

/**
 * The output's grid and channels when so many of its tokens belong to no place.
 * @throws {ManyscaleError} ERR_MODEL_SHAPE when the others form no grid, ERR_INVALID_ARGUMENT for an output that has no rows of tokens.
 */
export function shapeOfOutput(
  output: ModelOutput,
  tile: NativeSize,
  numPrefixTokens: number,
  patchSize: number | undefined,
): TileShape {
  if (numPrefixTokens === output.numPrefixTokens) return { grid: output.grid, channels: output.channels };
  if (output.dims.length !== 3) {
    const advice = `${output.name} [${output.dims.join(', ')}] has a place for everything`;
    throw invalid('0', 'numPrefixTokens', numPrefixTokens, advice);
  }
  return tileShape(output.dims, singleTile(tile), output.layout, numPrefixTokens, patchSize);
}

type Reading = Omit<ModelOutput, 'index' | 'name' | 'dims'>;

function readOutput(dims: readonly number[], input: ModelInput, options: OutputOptions): Reading {
  const received = `[${dims.join(', ')}]`;
  const ranks = options.named ? [2, 3, 4] : [3, 4];
  if (!ranks.includes(dims.length))
    throw shapeError(`Expected rank ${ranks.slice(0, -1).join(', ')} or 4 but received ${received}`);
  const rows = Math.max(input.fixedBatch, 1);
  if (dims[0] !== rows)
    throw shapeError(`Expected ${rows} row${rows === 1 ? '' : 's'}, one per tile, but received ${received}`);
  if (dims.length !== 3 && options.numPrefixTokens)
    throw shapeError(`Expected tokens for numPrefixTokens ${options.numPrefixTokens} but received ${received}`);
  const reading = dims.length === 4 ? readMap(dims, input) : readTokens(dims, input.tile, options);
  const { grid } = reading;
  if (!options.named && grid.height * grid.width === 1)
    throw shapeError('Expected several places but received one for the whole tile; if it is to be so, give output');
  if (!isGridOf(input.tile, grid)) throw notOfTheTile(grid);
  return reading;
}

/** [batch, channels, height, width] or, of a model whose tiles have channels last, [batch, height, width, channels]. */
function readMap(dims: readonly number[], { tile, layout }: ModelInput): Reading {
  const { grid, channels } = tileShape(dims, singleTile(tile), 'bchw', 0);
  if (layout === 'nhwc' && !isGridOf(tile, grid)) {
    const [, height = 0, width = 0, last = 0] = dims;
    if (isGridOf(tile, { height, width }))
      return { layout: 'bnc', grid: { height, width }, channels: last, numPrefixTokens: 0 };
  }
  return { layout: 'bchw', grid, channels, numPrefixTokens: 0 };
}

function readTokens(dims: readonly number[], tile: NativeSize, options: OutputOptions): Reading {
  if (dims.length === 2)
    return { layout: 'bnc', grid: { height: 1, width: 1 }, channels: dims[1] ?? 0, numPrefixTokens: 0 };
  const { named, patchSize } = options;
  const numPrefixTokens =
    options.numPrefixTokens ?? findTokenLayout(tile, dims[1] ?? 0, patchSize ?? 0).numPrefixTokens;
  if (options.numPrefixTokens === undefined && !named && numPrefixTokens > MOST_PREFIX_TOKENS) {
    throw shapeError(
      `Expected at most ${MOST_PREFIX_TOKENS} prefix tokens but found ${numPrefixTokens}; if it is so, give output or numPrefixTokens`,
    );
  }
  return {
    layout: 'bnc',
    numPrefixTokens,
    ...tileShape(dims, singleTile(tile), 'bnc', numPrefixTokens, patchSize),
  };
}

/** Within a cell a grid has the tile's aspect ratio. */
function isGridOf(tile: NativeSize, grid: NativeSize): boolean {
  const offset = Math.abs(grid.height * tile.width - grid.width * tile.height);
  return offset <= Math.max(tile.height, tile.width) && grid.height <= tile.height && grid.width <= tile.width;
}

function notOfTheTile(grid: NativeSize): ManyscaleError {
  return shapeError(
    `Expected a grid of the tile's aspect ratio but received ${showSides(grid)}; feature maps are [batch, channels, height, width], or [batch, height, width, channels] of models whose input has its channels last`,
  );
}
