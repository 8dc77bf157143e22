// What a model takes: its input for tiles, and how pixels are made ready for it. outputs.ts has what it gives.

import { ManyscaleError } from '../errors.js';
import type { NativeSize, NativeValueInfo } from '../native/addon.js';
import { DEFAULTS, IMAGE_CHANNELS } from '../options/defaults.js';
import type { Preprocess } from '../options/options.js';

/**
 * Where a fact about a model comes from: the caller's options, the model's metadata or shapes, the configuration files beside it, the
 * preset, or a default.
 */
export type Source = 'option' | 'metadata' | 'model' | 'configuration' | 'preset' | 'default';

/** What holds, and who says so. */
export interface Sourced<T> {
  value: T;
  source: Source;
}

/** Element types that tiles can have. uint8 models normalise pixels themselves. */
const TILE_TYPES = ['float32', 'float16', 'uint8'] as const;
export type TileType = (typeof TILE_TYPES)[number];
/** Of one element. */
export const TILE_TYPE_BYTES: Readonly<Record<TileType, number>> = { float32: 4, float16: 2, uint8: 1 };

/** [batch, 3, height, width] or [batch, height, width, 3]. */
export type TileLayout = 'nchw' | 'nhwc';

export interface ModelInput {
  index: number;
  name: string;
  type: TileType;
  layout: TileLayout;
  tile: NativeSize;
  tileSource: Source;
  /** 0: any. */
  fixedBatch: number;
}

export function shapeError(message: string): ManyscaleError {
  return new ManyscaleError('ERR_MODEL_SHAPE', message);
}

/** 'pixel_values float32 [batch, 3, 224, 224]' */
export function describeValue(value: NativeValueInfo): string {
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
  const type = TILE_TYPES.find((each) => each === input.type);
  if (!type)
    throw refuse(TILE_TYPES.join(', '), `${input.type} inputs are not supported, export the model with one of those`);
  if (input.dims.length !== 4)
    throw refuse(
      '[batch, 3, height, width] or [batch, height, width, 3]',
      'only models that take images of this rank are supported',
    );
  const [batch = -1, second = -1, third = -1, fourth = -1] = input.dims;
  const layout: TileLayout = second !== IMAGE_CHANNELS && fourth === IMAGE_CHANNELS ? 'nhwc' : 'nchw';
  const [channels, height, width] = layout === 'nhwc' ? [fourth, second, third] : [second, third, fourth];
  if (channels === 1 || (channels > IMAGE_CHANNELS && fourth === 1))
    throw refuse('3 channels', 'grey-only models are not supported');
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
    type,
    layout,
    tile: tileSize ?? {
      height: height >= 0 ? height : (guess?.value.height ?? height),
      width: width >= 0 ? width : (guess?.value.width ?? width),
    },
    tileSource: !isOpen ? 'model' : tileSize ? 'option' : (guess?.source ?? 'model'),
    fixedBatch: Math.max(batch, 0),
  };
}

export type PreprocessSources = Record<keyof Preprocess, Source>;

/** The part of the preprocessing that leaves pixels at 0 to 255. */
export const RAW_PIXELS = { mean: [0], std: [1], rescale: 1 } as const;

/**
 * Options over the model's metadata over its configuration files over the defaults, and which of them each value is from. A model
 * whose `inputType` is uint8 gets pixels as they are, whatever the files say of their normalisation: it has its own inside.
 */
export function choosePreprocess(
  options: Preprocess,
  carried: Preprocess,
  configured: Preprocess,
  inputType: string = 'float32',
): { preprocess: Required<Preprocess>; sources: PreprocessSources } {
  const own: Preprocess = inputType === 'uint8' ? RAW_PIXELS : {};
  const given: Preprocess = { ...configured, ...own, ...carried, ...options };
  const source = (key: keyof Preprocess): Source => {
    if (options[key] !== undefined) return 'option';
    if (carried[key] !== undefined) return 'metadata';
    if (own[key] !== undefined) return 'model';
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
