// Options: their types. What each means and its default; checks and defaults stand beside.

import type { RESIZE_MODES } from './defaults.js';
import type { CudaOptions, LoadProgress, Provider, TensorRtOptions } from './gpu.js';

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

/** What plan() takes. */
export interface PlanOptions extends ScaleOptions {
  /** Pixels along a side of a token's patch: overlapping tiles then begin at whole patches. pool() takes it too. */
  patchSize?: number;
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
  /**
   * Pixels along a side of a token's patch; only where the grid that is found is wrong, and with `overlap`: tiles then begin at whole
   * patches. Default: found from the tile's aspect ratio.
   */
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
  /**
   * Where pixels and features live, and what computes. 'auto' (default): the best that proves to work, of TensorRT (only where an engine
   * is there already), CUDA and the CPU. 'cuda': GPUs. 'tensorrt': GPUs with TensorRT, whose engine is built first where there is none, in minutes.
   * Where a GPU does not work the CPU serves, unless `strict`; `info.unavailable` says why. docs/gpu.md is the guide.
   */
  device?: Device;
  /** Beside device 'cuda': what ONNX Runtime computes on. Default: the best that proves to work. 'cpu' leaves only pixels and features on the GPU. */
  provider?: Provider;
  /** GPUs that are used side by side, as the driver numbers them. Default [0]. */
  devices?: readonly number[];
  /**
   * Refuse to fall back: ERR_DEVICE_UNAVAILABLE with the reasons where the GPUs that were asked for do not all work, or where a part of
   * the model would be left to the CPU. Default false.
   */
  strict?: boolean;
  cuda?: CudaOptions;
  tensorrt?: TensorRtOptions;
  /** Told of what takes long: the build of a TensorRT engine, when it begins, every second, and when it is done. */
  onProgress?: (progress: LoadProgress) => void;
  /** How many batches of tiles run through the model at once on the CPU. Default: one per processor core. */
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
