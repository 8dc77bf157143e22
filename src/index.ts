// Everything that the package offers.

export type { Concession } from './cost/budget.js';
export type { Estimate, EstimatedScale } from './cost/estimate.js';
export { defaultModel } from './default-model.js';
export { type ErrorCode, ManyscaleError } from './errors.js';
export { Extractor, type ExtractorPlan } from './extractor.js';
export type { FeatureScale, Features, Timings } from './features.js';
export type { Latency } from './histogram.js';
export type { ImageDataLike, ImageInput, RawImage, SharpOutput } from './image.js';
export type { ExtractorInfo, OutputInfo, ValueInfo } from './info.js';
export type { ExtractResult } from './many.js';
export { type ModelFunction, multiscaleForward } from './multiscale.js';
export type {
  Budget,
  ChannelOrder,
  Device,
  EstimateOptions,
  ExtractManyOptions,
  ExtractOptions,
  ExtractorOptions,
  Fit,
  Layout,
  MultiscaleOptions,
  PoolOptions,
  Preprocess,
  ResizeMode,
  ScaleOptions,
  SideLengths,
  SplitOptions,
} from './options.js';
export { type Crop, type Plan, type PlanScale, plan, type Size } from './plan.js';
export { pool } from './pool.js';
export { split } from './split.js';
export type { ExtractorStats, Stage } from './stats.js';
export { Tensor, type TensorLike } from './tensor.js';
export { version } from './version.js';
