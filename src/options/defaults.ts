// What options may be, and in one place each their defaults.

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

export const LAYOUTS = ['bnc', 'bchw'] as const;
export const CHANNEL_ORDERS = ['rgb', 'bgr'] as const;
export const FITS = ['stretch', 'crop', 'keep'] as const;
export const DEVICES = ['auto', 'cpu', 'cuda', 'tensorrt'] as const;
export const PROVIDERS = ['cpu', 'cuda', 'tensorrt'] as const;
export const CONV_ALGORITHM_SEARCHES = ['heuristic', 'exhaustive', 'default'] as const;
export const UNEVEN = ['refuse', 'resize', 'pad'] as const;
export const BLENDS = ['linear', 'average'] as const;
export const PRESETS = ['llava-s2', 'dynamic-s2', 'internvl', 'anyres'] as const;
export const COLOR_PROFILES = ['ignore', 'convert'] as const;
export const DTYPES = ['float32', 'float16'] as const;

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
  devices: [0],
  /** An engine of TensorRT takes minutes; reports are of nine on a small GPU. */
  buildTimeout: 30 * 60 * 1000,
  colorProfile: 'ignore',
  dtype: 'float32',
  ordered: true,
  /** 400 MB as RGB: more than a camera of 108 megapixels makes, less than most bombs. */
  maxPixels: 2 ** 27,
} as const;
