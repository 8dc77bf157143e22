// What a model is: which input takes the tiles, which output has the features, and the preprocessing that it carries.

import { describe, ManyscaleError } from './errors.js';
import type { NativeScale, NativeSize, NativeValueInfo } from './native/addon.js';
import { findTokenLayout } from './native/calls.js';
import { DEFAULTS, IMAGE_CHANNELS, type Layout, type Preprocess } from './options.js';
import { tileShape } from './pool.js';

/**
 * Where a fact about a model comes from: the caller's options, the model's metadata or shapes, the configuration files beside it, or
 * a default.
 */
export type Source = 'option' | 'metadata' | 'model' | 'configuration' | 'default';

/** What holds, and who says so. */
export interface Sourced<T> {
  value: T;
  source: Source;
}

/** More prefix tokens than any model in use has: an output that would need more is something else (a text, say). */
export const MOST_PREFIX_TOKENS = 16;

export interface ModelInput {
  index: number;
  name: string;
  tile: NativeSize;
  tileSource: Source;
  /** 0: any. */
  fixedBatch: number;
}

export interface ModelOutput {
  index: number;
  name: string;
  layout: Layout;
  /** Of one tile. */
  grid: NativeSize;
  channels: number;
  numPrefixTokens: number;
  /** Of one tile, with a batch first. */
  dims: number[];
}

function shapeError(message: string): ManyscaleError {
  return new ManyscaleError('ERR_MODEL_SHAPE', message);
}

/** 'pixel_values float32 [batch, 3, 224, 224]' */
function describeValue(value: NativeValueInfo): string {
  const dims = value.dims.map((dim, index) => (dim >= 0 ? dim : value.symbols[index] || '?'));
  return `${value.name} ${value.type} [${dims.join(', ')}]`;
}

/**
 * The model's one image input and the tile size that it takes. `tileSize`: the caller's, which must agree with the model. `guess`: the
 * size of sides that neither the model nor the caller fixes.
 * @throws {ManyscaleError} ERR_MODEL_SHAPE for models that take something else, ERR_INVALID_ARGUMENT when the tile size
 * must be given.
 */
export function chooseInput(
  inputs: readonly NativeValueInfo[],
  tileSize: NativeSize | undefined,
  guess?: Sourced<NativeSize>,
): ModelInput {
  const [input] = inputs;
  if (!input || inputs.length > 1) {
    const names = inputs.map(describeValue).join('; ') || 'none';
    throw shapeError(
      `Expected a model with one input, the image, but received one that needs ${inputs.length}: ${names}; export the vision part alone (of a CLIP its vision model)`,
    );
  }
  const refuse = (expected: string, advice: string) =>
    shapeError(`Expected ${expected} for the model's input but received ${describeValue(input)}; ${advice}`);
  if (input.type !== 'float32')
    throw refuse('float32', `${input.type} inputs are not supported, export the model with float32 inputs and outputs`);
  if (input.dims.length !== 4)
    throw refuse('[batch, 3, height, width]', 'only models that take images of this rank are supported');
  const [batch = -1, channels = -1, height = -1, width = -1] = input.dims;
  if (channels !== IMAGE_CHANNELS && width === IMAGE_CHANNELS)
    throw refuse('[batch, 3, height, width] (NCHW)', 'NHWC is not supported, export the model with channels first');
  if (channels === 1) throw refuse('3 channels', 'grey-only models are not supported');
  if (channels !== IMAGE_CHANNELS && channels >= 0)
    throw refuse('3 channels', 'only models of RGB images are supported');

  if (tileSize && ((height >= 0 && height !== tileSize.height) || (width >= 0 && width !== tileSize.width))) {
    throw shapeError(
      `Expected the model's own input size for tileSize (${describeValue(input)}) but received ${tileSize.height} x ${tileSize.width}; leave tileSize out`,
    );
  }
  const isOpen = height < 0 || width < 0;
  if (!tileSize && !guess && isOpen) {
    throw new ManyscaleError(
      'ERR_INVALID_ARGUMENT',
      `Expected tileSize for a model that leaves its input size open (${describeValue(input)}) but received undefined; give the size it was trained with, for example tileSize: 224`,
    );
  }
  return {
    index: 0,
    name: input.name,
    tile: tileSize ?? {
      height: height >= 0 ? height : (guess?.value.height ?? height),
      width: width >= 0 ? width : (guess?.value.width ?? width),
    },
    tileSource: !isOpen ? 'model' : tileSize ? 'option' : (guess?.source ?? 'model'),
    fixedBatch: Math.max(batch, 0),
  };
}

/**
 * Indices of the outputs that may have features for every place: float32, rank 3 or 4 (or not known before a run). With
 * `name` that one only.
 */
export function candidateOutputs(outputs: readonly NativeValueInfo[], name: string | undefined): number[] {
  const all = outputs.map(describeValue).join('; ');
  if (name !== undefined) {
    const index = outputs.findIndex((output) => output.name === name);
    if (index < 0)
      throw new ManyscaleError(
        'ERR_INVALID_ARGUMENT',
        `Expected the name of a model output for output but received ${describe(name)}; the model has: ${all}`,
      );
    if (!mayHavePlaces(outputs[index]))
      throw shapeError(
        `Expected a float32 output of rank 3 or 4 for output but received ${all.split('; ')[index]}; the model has: ${all}`,
      );
    return [index];
  }
  const candidates = outputs.flatMap((output, index) => (mayHavePlaces(output) ? [index] : []));
  if (candidates.length === 0) {
    throw shapeError(
      `Expected a model with a float32 output [batch, tokens, channels] or [batch, channels, height, width] but received one with: ${all}; export it without its pooling and its head`,
    );
  }
  return candidates;
}

function mayHavePlaces(output: NativeValueInfo | undefined): boolean {
  return output?.type === 'float32' && [0, 3, 4].includes(output.dims.length);
}

export interface OutputOptions {
  /** The caller named the output. */
  named: boolean;
  numPrefixTokens?: number;
  patchSize?: number;
}

/**
 * The first output that has a place for every cell of a tile. `probed`: what one tile gave at each candidate.
 * @throws {ManyscaleError} ERR_MODEL_SHAPE that says of each output why it does not serve.
 */
export function chooseOutput(
  outputs: readonly NativeValueInfo[],
  candidates: readonly number[],
  probed: readonly (readonly number[])[],
  input: ModelInput,
  options: OutputOptions,
): ModelOutput {
  const reasons: string[] = [];
  for (const [position, index] of candidates.entries()) {
    const name = outputs[index]?.name ?? '';
    const dims = [...(probed[position] ?? [])];
    try {
      return { index, name, dims, ...readOutput(dims, input, options) };
    } catch (error) {
      if (!(error instanceof ManyscaleError)) throw error;
      reasons.push(`${name} [${dims.join(', ')}]: ${error.message}`);
    }
  }
  throw shapeError(
    `Expected an output with a place for every cell of a tile of ${input.tile.height} x ${input.tile.width} for the features but received a model without one. ${reasons.join('. ')}`,
  );
}

/** The tile as a scale of its own, for what is asked about a single tile. */
export function singleTile({ height, width }: NativeSize): NativeScale {
  return { height, width, rows: 1, columns: 1, tileHeight: height, tileWidth: width };
}

function readOutput(
  dims: readonly number[],
  input: ModelInput,
  options: OutputOptions,
): Omit<ModelOutput, 'index' | 'name' | 'dims'> {
  const { tile } = input;
  const received = `[${dims.join(', ')}]`;
  if (dims.length !== 3 && dims.length !== 4) throw shapeError(`Expected rank 3 or 4 but received ${received}`);
  const rows = Math.max(input.fixedBatch, 1);
  if (dims[0] !== rows)
    throw shapeError(`Expected ${rows} row${rows === 1 ? '' : 's'}, one per tile, but received ${received}`);
  const layout: Layout = dims.length === 4 ? 'bchw' : 'bnc';
  let numPrefixTokens = options.numPrefixTokens ?? 0;
  if (layout === 'bchw' && numPrefixTokens > 0)
    throw shapeError(`Expected tokens for numPrefixTokens ${numPrefixTokens} but received a feature map`);
  if (layout === 'bnc' && options.numPrefixTokens === undefined) {
    numPrefixTokens = findTokenLayout(tile, dims[1] ?? 0, options.patchSize ?? 0).numPrefixTokens;
    if (!options.named && numPrefixTokens > MOST_PREFIX_TOKENS) {
      throw shapeError(
        `Expected at most ${MOST_PREFIX_TOKENS} prefix tokens but found ${numPrefixTokens}; if it is so, give output or numPrefixTokens`,
      );
    }
  }
  const { grid, channels } = tileShape(dims, singleTile(tile), layout, numPrefixTokens, options.patchSize);
  if (!options.named && grid.height * grid.width === 1)
    throw shapeError('Expected several places but received one for the whole tile; if it is to be so, give output');
  // Within a cell the grid has the tile's aspect ratio; [batch, height, width, channels] has not.
  const offset = Math.abs(grid.height * tile.width - grid.width * tile.height);
  if (offset > Math.max(tile.height, tile.width) || grid.height > tile.height || grid.width > tile.width) {
    throw shapeError(
      `Expected a grid of the tile's aspect ratio but received ${grid.height} x ${grid.width}; feature maps are [batch, channels, height, width]`,
    );
  }
  return { layout, grid, channels, numPrefixTokens };
}

export type PreprocessSources = Record<keyof Preprocess, Source>;

/** Options over the model's metadata over its configuration files over the defaults, and which of them each value is from. */
export function choosePreprocess(
  options: Preprocess,
  carried: Preprocess,
  configured: Preprocess,
): { preprocess: Required<Preprocess>; sources: PreprocessSources } {
  const given: Preprocess = { ...configured, ...carried, ...options };
  const source = (key: keyof Preprocess): Source => {
    if (options[key] !== undefined) return 'option';
    if (carried[key] !== undefined) return 'metadata';
    return configured[key] !== undefined ? 'configuration' : 'default';
  };
  return {
    preprocess: {
      mean: perChannel(given.mean ?? DEFAULTS.mean),
      std: perChannel(given.std ?? DEFAULTS.std),
      rescale: given.rescale ?? DEFAULTS.rescale,
      resize: given.resize ?? DEFAULTS.resizeUint8,
      channelOrder: given.channelOrder ?? DEFAULTS.channelOrder,
    },
    sources: {
      mean: source('mean'),
      std: source('std'),
      rescale: source('rescale'),
      resize: source('resize'),
      channelOrder: source('channelOrder'),
    },
  };
}

/** One number stands for all channels. */
function perChannel(values: readonly number[]): number[] {
  const [first = 0] = values;
  return values.length === 1 ? new Array<number>(IMAGE_CHANNELS).fill(first) : [...values];
}
