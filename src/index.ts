// Everything that the package offers.

export type { Concession } from './cost/budget.js';
export type { Estimate, EstimatedScale } from './cost/estimate.js';
export { type ErrorCode, ManyscaleError } from './errors.js';
export { Extractor } from './extractor.js';
export type { FeatureScale, Features, Timings } from './features.js';
export type { ExtractorPlan } from './geometry/geometry.js';
export { type Crop, type Plan, type PlannedPool, type PlanScale, plan, type Size } from './geometry/plan.js';
export type { ImageDataLike, ImageInput, RawImage, SharpOutput } from './images/image.js';
export { defaultModel } from './model/default-model.js';
export type { ExtractorInfo, Gpu, OutputInfo, ValueInfo } from './model/info.js';
export { type ModelFunction, multiscaleForward } from './multiscale.js';
export type { CudaOptions, LoadProgress, Provider, TensorRtOptions } from './options/gpu.js';
export type {
  Blend,
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
  PlanOptions,
  PoolOptions,
  Preprocess,
  Preset,
  ResizeMode,
  ScaleOptions,
  SideLengths,
  SplitOptions,
  Uneven,
} from './options/options.js';
export type { Latency } from './pipeline/histogram.js';
export type { ExtractResult } from './pipeline/many.js';
export type { ExtractorStats, Stage } from './pipeline/stats.js';
export { pool } from './pool.js';
export { measureSeams, type SeamDistances, type Seams } from './seams.js';
export { split } from './split.js';
export { Tensor, type TensorLike } from './tensor.js';
export { version } from './version.js';
