// Options: their types, their checks and, in one place each, their defaults. Geometry that needs arithmetic (scales that
// divide, limits) is checked by native/core when it makes the plan.

import { checkSignal } from './abort.js';
import { invalid, ManyscaleError } from './errors.js';
import type { NativePlanOptions, NativePreprocess, NativeSize } from './native/addon.js';
import { refuseMisspelt } from './option-names.js';

/** Layout of tile features and of the result: tokens [n, tokens, channels] or a feature map [n, channels, height, width]. */
export type Layout = 'bnc' | 'bchw';

/** How pixels are resized. docs/resize.md defines each mode. */
export type ResizeMode = (typeof RESIZE_MODES)[number];

export type ChannelOrder = 'rgb' | 'bgr';

/** How an image of another aspect ratio than the tile's is fitted: see ExtractorOptions.fit. */
export type Fit = 'stretch' | 'crop' | 'keep';

/** What happens to sides that tiles do not fill: see ScaleOptions.uneven. */
export type Uneven = 'refuse' | 'resize' | 'pad';

/** How overlapping tiles share a cell: see ScaleOptions.blend. */
export type Blend = 'linear' | 'average';

/** A way of cutting that known models were trained with: see ExtractorOptions.preset. */
export type Preset = 'llava-s2' | 'dynamic-s2' | 'internvl' | 'anyres';

export type Device = 'auto' | 'cpu' | 'cuda' | 'tensorrt';

/** One number for a square, or [height, width]; pixels. */
export type SideLengths = number | readonly [height: number, width: number];

/** Which scales an image is seen at, and the shape of the result. */
export interface ScaleOptions {
  /**
   * Extractor: relative to the model's tile size, default [1, 2]. plan() and multiscaleForward: relative to the input's
   * own height and width, no default. size = floor(side * scale).
   */
  scales?: readonly number[];
  /** Instead of scales: sizes in pixels. */
  imageSizes?: readonly SideLengths[];
  /**
   * plan() and multiscaleForward: largest tile, in pixels; default the input's height and width. A scale is cut into
   * ceil(side / maxSplitSize) tiles per axis and must divide evenly. With an Extractor tiles have the model's size.
   */
  maxSplitSize?: SideLengths;
  /** Which scale's grid the result has; negative counts from the end. Default 0. */
  resizeOutputToIndex?: number;
  /** How many rows of a tile's tokens belong to no place (CLS, registers). Default 0; Extractor: found from the model. */
  numPrefixTokens?: number;
  /**
   * Default 'bnc'; Extractor: the model's own layout. multiscaleForward: also the layout of what the model returns; elsewhere
   * tokens become a feature map (without the prefix tokens, which belong to no place) and the other way round.
   */
  outputShape?: Layout;
  /** Leave the prefix tokens out of the result. Default false. */
  dropPrefixTokens?: boolean;
  /**
   * What happens to sides that tiles do not fill. 'refuse': an error that names the nearest that work. 'resize': the scale is made as large
   * as the next that works. 'pad': it keeps its size and is padded to there, right and below, with zeros after normalisation; the padding's
   * features are left out. Default 'refuse'; Extractor with fit 'keep': 'resize'.
   */
  uneven?: Uneven;
  /**
   * How much neighbouring tiles overlap, at least: whole pixels or, below 1, a part of the tile. Tiles are spread evenly, as few as that
   * takes; with an Extractor overlaps are whole cells. Default 0.
   */
  overlap?: number;
  /**
   * How overlapping tiles share a cell. 'linear' (default): a tile's weight falls to its edge in a straight line over what it shares with its
   * neighbour. 'average': all alike.
   */
  blend?: Blend;
}

/** Pixels to model input: value = (pixel * rescale - mean) / std. */
export interface Preprocess {
  /** One number for all channels or one each, in the model's channel order, after rescaling. Default [0, 0, 0]. */
  mean?: readonly number[];
  /** Like mean. Default [1, 1, 1]. */
  std?: readonly number[];
  /** Default 1 / 255. */
  rescale?: number;
  /** Default 'torch-bicubic-antialias' for uint8 images, 'torch-bicubic' for float tensors. */
  resize?: ResizeMode;
  /** Order in which the model takes the colours. Default 'rgb'. */
  channelOrder?: ChannelOrder;
}

/** What split() takes beside the plan. */
export interface SplitOptions extends Preprocess {
  /** [red, green, blue], 0 to 255, under transparent pixels of 4-channel images. Default black. */
  background?: readonly [red: number, green: number, blue: number];
}

/** What pool() takes beside the plan; each overrides what the plan carries. */
export interface PoolOptions
  extends Pick<ScaleOptions, 'numPrefixTokens' | 'outputShape' | 'resizeOutputToIndex' | 'dropPrefixTokens' | 'blend'> {
  /** Pixels along a side of a token's patch; only where the grid that is found is wrong. Default: found from the tile's aspect ratio. */
  patchSize?: number;
}

export interface MultiscaleOptions extends ScaleOptions {
  /** Give the model one tile of every image of the input at a time (B rows) instead of all tiles. Default false. */
  splitForward?: boolean;
  /** Pixels along a side of a token's patch; only where the grid that is found is wrong. Default: found from the tile's aspect ratio. */
  patchSize?: number;
  signal?: AbortSignal;
}

/** What extract() takes; each overrides what load() was given. */
export interface ExtractOptions extends ScaleOptions {
  fit?: Fit;
  signal?: AbortSignal;
}

/** Limits on what one image may cost. */
export interface Budget {
  /** From the call of extract() with its pixels to its features, with nothing else in flight. */
  milliseconds?: number;
  /** Memory with the model's, as Estimate.bytes.total counts it. */
  bytes?: number;
  multiplyAdds?: number;
}

/** What estimate() takes: what extract() would, and a budget. */
export interface EstimateOptions extends ExtractOptions {
  budget?: Budget;
}

/** What extractMany() takes; the same for every image. */
export interface ExtractManyOptions extends ExtractOptions {
  /** Results in the images' order (default), or each as soon as it is there. */
  ordered?: boolean;
}

export interface ExtractorOptions extends ScaleOptions {
  /**
   * Name of the model output to use. Default: the first that has a place for every cell of a tile. Several, all feature maps or all
   * tokens with as many prefix tokens, are joined along the channels, on the grid of the first one.
   */
  output?: string | readonly string[];
  /** The model's input size in pixels; needed only if the model leaves it open and no metadata or configuration file has it. */
  tileSize?: SideLengths;
  /** Pixels along a side of a token's patch; needed only where the prefix tokens or the grid that are found are wrong. */
  patchSize?: number;
  /**
   * 'stretch': the whole image, its aspect ratio ignored. 'crop': first the largest centred rectangle of the
   * tile's aspect ratio, then every scale from it. 'keep': every scale has the image's aspect ratio and about as many pixels as a
   * stretched one, (scale * tile height) * (scale * tile width); its sides are then rounded or padded as `uneven` says. Default: what
   * the model's metadata or configuration files say, else 'stretch'.
   */
  fit?: Fit;
  /**
   * A way of cutting that known models were trained with, in place of fit, uneven and overlap (docs/cutting.md). 'llava-s2' and
   * 'dynamic-s2' join scales, default [1, 2, 3]; 'internvl' and 'anyres' give tiles one after another: [tiles, tokens, channels].
   */
  preset?: Preset;
  /**
   * Presets: most tiles of the scale that follows the image's aspect ratio. Default 12; 'anyres': as many as its resolutions have, which
   * `imageSizes` may name.
   */
  maxTiles?: number;
  /** Over the model's metadata, over its configuration files, over the defaults. */
  preprocess?: Preprocess;
  /**
   * The folder of the model's preprocessor_config.json and config.json; false: they are not looked for. Default: beside the
   * model, or in the folder above where the model's is named 'onnx'; none for models given as bytes.
   */
  configuration?: string | false;
  /** 'auto' (default) and 'cpu' compute on the CPU; 'cuda' and 'tensorrt' are not available in this version. */
  device?: Device;
  /** Refuse to fall back to another device than the one asked for. Default false. */
  strict?: boolean;
  /** How many batches of tiles run through the model at once. Default: one per processor core. */
  threads?: number;
  /** Largest number of tiles in one model call. Default: chosen by the engine. */
  maxBatch?: number;
  /**
   * Milliseconds that tiles may wait for others, so that batches are fuller where few images are in flight. Default: chosen by the
   * engine, which does not wait on the CPU.
   */
  maxDelay?: number;
  /**
   * Every batch has one size, filled up with empty tiles where needed, so that an image's features never depend on what
   * else is in flight: for models where info.batchInvariant is false. Default false.
   */
  deterministic?: boolean;
  /**
   * Limit on the memory of images in flight (encoded bytes, pixels, tile features, results); beyond it images wait, and
   * one that alone exceeds it is refused. Default: a quarter of the machine's memory or of its container's limit, for all
   * Extractors of the process together.
   */
  maxBytes?: number;
  /** Largest width x height of an encoded image; more is refused before decoding. Default 134,217,728 (2^27). */
  maxPixels?: number;
  /** [red, green, blue], 0 to 255, under transparent pixels. Default black. */
  background?: readonly [red: number, green: number, blue: number];
  /** 'ignore' (default) takes pixel values as they are, as the Python processors do; 'convert' applies an embedded ICC profile. */
  colorProfile?: 'ignore' | 'convert';
  /**
   * Decodes large JPEG images at a third, a fifth or a ninth of their size, where at least twice the height and width of
   * the largest scale is left: faster, with slightly different features (docs/api.md says by how much). Default false.
   */
  fastDecode?: boolean;
  /** Of the features; 'float16' takes half the memory, with 11 significant bits. Default 'float32'. */
  dtype?: 'float32' | 'float16';
  /** Absolute path of a libonnxruntime; over the environment variable MANYSCALE_RUNTIME_LIBRARY, over onnxruntime-node's. */
  runtimeLibrary?: string;
  /** Cancels the loading. */
  signal?: AbortSignal;
}

export const RESIZE_MODES = [
  'torch-bicubic',
  'torch-bilinear',
  'torch-bicubic-antialias',
  'torch-bilinear-antialias',
  'torch-area',
  'pillow-bicubic',
  'pillow-bilinear',
  'pillow-lanczos',
  'pillow-box',
] as const;

/** Tiles of 8-bit images have red, green and blue, whatever the image had. */
export const IMAGE_CHANNELS = 3;

const LAYOUTS = ['bnc', 'bchw'] as const;
const CHANNEL_ORDERS = ['rgb', 'bgr'] as const;
const FITS = ['stretch', 'crop', 'keep'] as const;
const DEVICES = ['auto', 'cpu', 'cuda', 'tensorrt'] as const;
const UNEVEN = ['refuse', 'resize', 'pad'] as const;
const BLENDS = ['linear', 'average'] as const;
export const PRESETS = ['llava-s2', 'dynamic-s2', 'internvl', 'anyres'] as const;
const COLOR_PROFILES = ['ignore', 'convert'] as const;
const DTYPES = ['float32', 'float16'] as const;

export const DEFAULTS = {
  /** Extractor only. */
  scales: [1, 2],
  resizeOutputToIndex: 0,
  /** multiscaleForward and pool; an Extractor finds it. */
  numPrefixTokens: 0,
  /** multiscaleForward only; an Extractor and pool take the features' own layout. */
  outputShape: 'bnc',
  mean: [0, 0, 0],
  std: [1, 1, 1],
  rescale: 1 / 255,
  resizeUint8: 'torch-bicubic-antialias',
  resizeFloat: 'torch-bicubic',
  channelOrder: 'rgb',
  background: [0, 0, 0],
  fit: 'stretch',
  device: 'auto',
  colorProfile: 'ignore',
  dtype: 'float32',
  ordered: true,
  /** 400 MB as RGB: more than a camera of 108 megapixels makes, less than most bombs. */
  maxPixels: 2 ** 27,
} as const;

type AnyOptions = ExtractorOptions &
  ExtractManyOptions &
  EstimateOptions &
  MultiscaleOptions &
  SplitOptions &
  PoolOptions;

const NAMES: ReadonlySet<string> = new Set(
  Object.keys({
    scales: 0,
    imageSizes: 0,
    maxSplitSize: 0,
    resizeOutputToIndex: 0,
    numPrefixTokens: 0,
    outputShape: 0,
    dropPrefixTokens: 0,
    uneven: 0,
    blend: 0,
    mean: 0,
    std: 0,
    rescale: 0,
    resize: 0,
    channelOrder: 0,
    background: 0,
    patchSize: 0,
    splitForward: 0,
    signal: 0,
    fit: 0,
    ordered: 0,
    budget: 0,
    output: 0,
    tileSize: 0,
    preset: 0,
    maxTiles: 0,
    overlap: 0,
    preprocess: 0,
    configuration: 0,
    device: 0,
    strict: 0,
    threads: 0,
    maxBatch: 0,
    maxDelay: 0,
    deterministic: 0,
    maxBytes: 0,
    maxPixels: 0,
    colorProfile: 0,
    fastDecode: 0,
    dtype: 0,
    runtimeLibrary: 0,
  } satisfies Record<keyof AnyOptions, 0>),
);

/** Absent options: a key that is undefined counts as absent. */
export function checkOptions<T extends object>(options: T | undefined, what: string): T {
  if (options === undefined) return {} as T;
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw invalid('an object', what, options);
  refuseMisspelt(options, NAMES, what);
  return options;
}

function flag(value: unknown, otherwise: boolean, what: string): boolean {
  if (value === undefined) return otherwise;
  if (typeof value !== 'boolean') throw invalid('true or false', what, value);
  return value;
}

function oneOf<T extends string>(value: unknown, allowed: readonly T[], what: string): T {
  if (!allowed.includes(value as T))
    throw invalid(`one of ${allowed.map((name) => `'${name}'`).join(', ')}`, what, value);
  return value as T;
}

function finite(value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw invalid('a finite number', what, value);
  return value;
}

export function integer(value: unknown, least: number, what: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < least) {
    const isTooLarge = typeof value === 'number' && value > Number.MAX_SAFE_INTEGER;
    throw invalid(`an integer of at least ${least}${isTooLarge ? ' and below 2^53' : ''}`, what, value);
  }
  return value as number;
}

/** A number (square) or [height, width] as a size. */
export function sideLengths(value: unknown, what: string): NativeSize {
  if (typeof value === 'number') {
    const side = integer(value, 1, what);
    return { height: side, width: side };
  }
  if (!Array.isArray(value) || value.length !== 2) throw invalid('an integer or [height, width]', what, value);
  return { height: integer(value[0], 1, `the height of ${what}`), width: integer(value[1], 1, `the width of ${what}`) };
}

/** { height, width } in whole pixels. */
export function size(value: unknown, what: string): NativeSize {
  if (typeof value !== 'object' || value === null) throw invalid('{ height, width }', what, value);
  const { height, width } = value as { height?: unknown; width?: unknown };
  return { height: integer(height, 1, `the height of ${what}`), width: integer(width, 1, `the width of ${what}`) };
}

function scaleList(value: unknown): number[] {
  if (!Array.isArray(value) || value.length === 0) throw invalid('an array of at least one number', 'scales', value);
  return value.map((scale: unknown, index) => {
    const number = finite(scale, `scales[${index}]`);
    if (number <= 0) throw invalid('a number above 0', `scales[${index}]`, scale);
    return number;
  });
}

function imageSizeList(value: unknown): NativeSize[] {
  if (!Array.isArray(value) || value.length === 0) throw invalid('an array of at least one size', 'imageSizes', value);
  return value.map((entry: unknown, index) => sideLengths(entry, `imageSizes[${index}]`));
}

/** ScaleOptions, checked; absent where not given. */
export interface CheckedScaleOptions {
  scales?: number[];
  imageSizes?: NativeSize[];
  maxSplitSize?: NativeSize;
  resizeOutputToIndex?: number;
  numPrefixTokens?: number;
  outputShape?: Layout;
  dropPrefixTokens?: boolean;
  uneven?: Uneven;
  overlap?: number;
  blend?: Blend;
}

function overlapOf(value: unknown): number {
  const overlap = finite(value, 'overlap');
  if (overlap < 0 || (overlap >= 1 && !Number.isSafeInteger(overlap)))
    throw invalid('whole pixels, or a part of the tile from 0 to below 1,', 'overlap', value);
  return overlap;
}

export function checkScaleOptions(options: ScaleOptions): CheckedScaleOptions {
  const checked: CheckedScaleOptions = {};
  if (options.scales !== undefined && options.imageSizes !== undefined) {
    throw invalid('scales or imageSizes, not both,', 'the scales', options.imageSizes, 'leave one of them out');
  }
  if (options.scales !== undefined) checked.scales = scaleList(options.scales);
  if (options.imageSizes !== undefined) checked.imageSizes = imageSizeList(options.imageSizes);
  if (options.maxSplitSize !== undefined) checked.maxSplitSize = sideLengths(options.maxSplitSize, 'maxSplitSize');
  if (options.resizeOutputToIndex !== undefined) {
    checked.resizeOutputToIndex = integer(options.resizeOutputToIndex, Number.MIN_SAFE_INTEGER, 'resizeOutputToIndex');
  }
  if (options.numPrefixTokens !== undefined)
    checked.numPrefixTokens = integer(options.numPrefixTokens, 0, 'numPrefixTokens');
  if (options.outputShape !== undefined) checked.outputShape = oneOf(options.outputShape, LAYOUTS, 'outputShape');
  if (options.dropPrefixTokens !== undefined)
    checked.dropPrefixTokens = flag(options.dropPrefixTokens, false, 'dropPrefixTokens');
  if (options.uneven !== undefined) checked.uneven = oneOf(options.uneven, UNEVEN, 'uneven');
  if (options.overlap !== undefined) checked.overlap = overlapOf(options.overlap);
  if (options.blend !== undefined) checked.blend = oneOf(options.blend, BLENDS, 'blend');
  return checked;
}

/** `over`'s options where given, else `under`'s; scales and imageSizes replace each other. */
export function mergeScaleOptions(under: CheckedScaleOptions, over: CheckedScaleOptions): CheckedScaleOptions {
  const merged = { ...under, ...over };
  if (over.scales) delete merged.imageSizes;
  if (over.imageSizes) delete merged.scales;
  return merged;
}

/** What the native planner wants, without base and tile. */
export function planOptions(options: CheckedScaleOptions): NativePlanOptions {
  const { scales, imageSizes, maxSplitSize, uneven, overlap } = options;
  if (!scales && !imageSizes)
    throw invalid('an array', 'scales or imageSizes', undefined, 'for example scales: [1, 2]');
  return {
    ...(scales && { scales }),
    ...(imageSizes && { imageSizes }),
    ...(maxSplitSize && { maxSplitSize }),
    ...(uneven && { uneven }),
    ...(overlap && { overlap }),
    resizeOutputToIndex: options.resizeOutputToIndex ?? DEFAULTS.resizeOutputToIndex,
  };
}

export function checkPatchSize(value: unknown): number | undefined {
  return value === undefined ? undefined : integer(value, 1, 'patchSize');
}

function perChannel(value: unknown, what: string): number[] {
  if (!Array.isArray(value) || value.length === 0) throw invalid('an array of numbers, one per channel,', what, value);
  return value.map((entry: unknown, index) => finite(entry, `${what}[${index}]`));
}

function checkCount(values: readonly number[] | undefined, channels: number, what: string): void {
  if (values && values.length !== 1 && values.length !== channels) {
    throw invalid(channels === 1 ? '1 number' : `1 or ${channels} numbers`, what, values);
  }
}

/** Checked copies of what is given; nothing is filled in. `channels`: of the tiles. */
export function checkPreprocess(value: unknown, channels: number, what = 'preprocess'): Preprocess {
  const given = checkOptions(value as Preprocess | undefined, what);
  const checked: Preprocess = {};
  if (given.mean !== undefined) checked.mean = perChannel(given.mean, `${what}.mean`);
  if (given.std !== undefined) {
    checked.std = perChannel(given.std, `${what}.std`);
    if (checked.std.includes(0)) throw invalid('numbers other than 0', `${what}.std`, given.std);
  }
  checkCount(checked.mean, channels, `${what}.mean`);
  checkCount(checked.std, channels, `${what}.std`);
  if (given.rescale !== undefined) checked.rescale = finite(given.rescale, `${what}.rescale`);
  if (given.resize !== undefined) checked.resize = oneOf(given.resize, RESIZE_MODES, `${what}.resize`);
  if (given.channelOrder !== undefined) {
    checked.channelOrder = oneOf(given.channelOrder, CHANNEL_ORDERS, `${what}.channelOrder`);
  }
  return checked;
}

export function checkBackground(value: unknown): [red: number, green: number, blue: number] {
  if (value === undefined) return [...DEFAULTS.background];
  const works =
    Array.isArray(value) &&
    value.length === 3 &&
    value.every((part) => Number.isInteger(part) && part >= 0 && part <= 255);
  if (!works) throw invalid('[red, green, blue], each an integer from 0 to 255,', 'background', value);
  return value as [number, number, number];
}

/** Everything filled in, for native code. */
export function fillPreprocess(
  given: Preprocess,
  pixels: 'uint8' | 'float32',
  background: [red: number, green: number, blue: number],
): NativePreprocess {
  const { mean, std } = given;
  return {
    // The defaults are the same for every channel, and so serve tensors of any number of channels.
    mean: mean ? [...mean] : [DEFAULTS.mean[0]],
    std: std ? [...std] : [DEFAULTS.std[0]],
    rescale: given.rescale ?? DEFAULTS.rescale,
    resize: given.resize ?? (pixels === 'uint8' ? DEFAULTS.resizeUint8 : DEFAULTS.resizeFloat),
    bgr: (given.channelOrder ?? DEFAULTS.channelOrder) === 'bgr',
    background,
  };
}

export interface CheckedExtractOptions {
  scale: CheckedScaleOptions;
  fit?: Fit;
  signal?: AbortSignal;
}

/** Whether shrinking reads all pixels and not only those nearest to where a new one lies. */
export function readsAllPixels(resize: ResizeMode): boolean {
  return resize !== 'torch-bicubic' && resize !== 'torch-bilinear';
}

export function checkExtractOptions(value: unknown): CheckedExtractOptions {
  const options = checkOptions(value as ExtractOptions | undefined, 'the options of extract');
  const checked: CheckedExtractOptions = { scale: checkScaleOptions(options) };
  if (options.fit !== undefined) checked.fit = oneOf(options.fit, FITS, 'fit');
  checkSignal(options.signal);
  if (options.signal) checked.signal = options.signal;
  return checked;
}

/** The options of extractMany: those of extract for every image, and the order. */
export function checkExtractManyOptions(value: unknown): CheckedExtractOptions & { ordered: boolean } {
  const options = checkOptions(value as ExtractManyOptions | undefined, 'the options of extractMany');
  return { ...checkExtractOptions(options), ordered: flag(options.ordered, DEFAULTS.ordered, 'ordered') };
}

const LIMITS: ReadonlySet<string> = new Set(
  Object.keys({ milliseconds: 0, bytes: 0, multiplyAdds: 0 } satisfies Record<keyof Budget, 0>),
);

/** The options of estimate: those of extract, and limits, none of them where no budget is given. */
export function checkEstimateOptions(value: unknown): CheckedExtractOptions & { budget?: Budget } {
  const options = checkOptions(value as EstimateOptions | undefined, 'the options of estimate');
  const { budget } = options;
  if (budget === undefined) return checkExtractOptions(options);
  if (typeof budget !== 'object' || budget === null || Array.isArray(budget))
    throw invalid('an object', 'budget', budget, 'for example { milliseconds: 200 }');
  const checked = Object.entries(budget).flatMap(([name, limit]) => {
    if (!LIMITS.has(name)) throw invalid(`${[...LIMITS].join(', ')}`, 'a limit of the budget', name);
    if (limit === undefined) return [];
    const number = finite(limit, `budget.${name}`);
    if (number <= 0) throw invalid('a number above 0', `budget.${name}`, limit);
    return [[name, number]];
  });
  return { ...checkExtractOptions(options), budget: Object.fromEntries(checked) };
}

export interface CheckedExtractorOptions {
  scale: CheckedScaleOptions;
  /** The caller named scales or sizes: they are no default. */
  namesScales: boolean;
  fit?: Fit;
  preset?: Preset;
  maxTiles?: number;
  /** At least one. */
  output?: string[];
  tileSize?: NativeSize;
  patchSize?: number;
  preprocess: Preprocess;
  configuration?: string | false;
  device: 'auto' | 'cpu';
  strict: boolean;
  /** 0: one per thread of the executor. */
  threads: number;
  /** 0: the engine's choice. */
  maxBatch: number;
  /** -1: the engine's choice. */
  maxDelay: number;
  deterministic: boolean;
  /** 0: the process's common limit. */
  maxBytes: number;
  maxPixels: number;
  background: [red: number, green: number, blue: number];
  colorProfile: 'ignore' | 'convert';
  fastDecode: boolean;
  dtype: 'float32' | 'float16';
  runtimeLibrary?: string;
  signal?: AbortSignal;
}

/** Names of outputs that are to be joined. */
export function checkOutputNames(value: unknown, what: string): string[] {
  if (!Array.isArray(value) || value.length === 0)
    throw invalid('the name of an output, or an array of at least one,', what, value);
  const names = value.map((name: unknown) => text(name, what));
  if (new Set(names).size !== names.length) throw invalid('each name once', what, value);
  return names;
}

export function checkExtractorOptions(value: unknown): CheckedExtractorOptions {
  const options = checkOptions(value as ExtractorOptions | undefined, 'the options of Extractor.load');
  const namesScales = options.scales !== undefined || options.imageSizes !== undefined;
  const preset = options.preset === undefined ? undefined : oneOf(options.preset, PRESETS, 'preset');
  // A preset has scales of its own.
  const { scale, fit, signal } = checkExtractOptions({
    ...options,
    ...(!namesScales && preset === undefined && { scales: DEFAULTS.scales }),
  });
  const device = options.device === undefined ? DEFAULTS.device : oneOf(options.device, DEVICES, 'device');
  if (device === 'cuda' || device === 'tensorrt') {
    throw new ManyscaleError(
      'ERR_DEVICE_UNAVAILABLE',
      `Expected 'auto' or 'cpu' for device but received '${device}'; it is not available in this version of manyscale`,
    );
  }
  const patchSize = checkPatchSize(options.patchSize);
  return {
    scale,
    namesScales,
    ...(fit !== undefined && { fit }),
    ...(preset !== undefined && { preset }),
    ...(options.maxTiles !== undefined && { maxTiles: integer(options.maxTiles, 1, 'maxTiles') }),
    ...(options.output !== undefined && {
      output: checkOutputNames(typeof options.output === 'string' ? [options.output] : options.output, 'output'),
    }),
    ...(options.tileSize !== undefined && { tileSize: sideLengths(options.tileSize, 'tileSize') }),
    ...(patchSize !== undefined && { patchSize }),
    preprocess: checkPreprocess(options.preprocess, IMAGE_CHANNELS),
    ...(options.configuration !== undefined && { configuration: checkConfiguration(options.configuration) }),
    device,
    strict: flag(options.strict, false, 'strict'),
    threads: options.threads === undefined ? 0 : integer(options.threads, 1, 'threads'),
    maxBatch: options.maxBatch === undefined ? 0 : integer(options.maxBatch, 1, 'maxBatch'),
    maxDelay: options.maxDelay === undefined ? -1 : delay(options.maxDelay),
    deterministic: flag(options.deterministic, false, 'deterministic'),
    maxBytes: options.maxBytes === undefined ? 0 : integer(options.maxBytes, 1, 'maxBytes'),
    maxPixels: options.maxPixels === undefined ? DEFAULTS.maxPixels : integer(options.maxPixels, 1, 'maxPixels'),
    background: checkBackground(options.background),
    colorProfile:
      options.colorProfile === undefined
        ? DEFAULTS.colorProfile
        : oneOf(options.colorProfile, COLOR_PROFILES, 'colorProfile'),
    fastDecode: flag(options.fastDecode, false, 'fastDecode'),
    dtype: options.dtype === undefined ? DEFAULTS.dtype : oneOf(options.dtype, DTYPES, 'dtype'),
    ...(options.runtimeLibrary !== undefined && { runtimeLibrary: text(options.runtimeLibrary, 'runtimeLibrary') }),
    ...(signal && { signal }),
  };
}

/** As of Node.js's own timers. */
const LONGEST_DELAY = 2 ** 31 - 1;

function delay(value: unknown): number {
  const milliseconds = finite(value, 'maxDelay');
  if (milliseconds < 0 || milliseconds > LONGEST_DELAY) {
    throw invalid(`a number from 0 to ${LONGEST_DELAY} (milliseconds)`, 'maxDelay', value);
  }
  return milliseconds;
}

function checkConfiguration(value: unknown): string | false {
  if (value === false) return false;
  if (typeof value === 'string') return text(value, 'configuration');
  throw invalid('the path of a folder, or false,', 'configuration', value);
}

function text(value: unknown, what: string): string {
  if (typeof value !== 'string' || value === '' || value.includes('\0')) {
    throw invalid('a string, not empty and without NUL,', what, value);
  }
  return value;
}
