// What an Extractor may be told of GPUs: the types, and their checks.

import { isAbsolute } from 'node:path';
import { invalid } from '../errors.js';
import { CONV_ALGORITHM_SEARCHES, DEFAULTS, DEVICES, PROVIDERS } from './defaults.js';
import { nearestName } from './names.js';
import { finite, flag, integer, list, oneOf, text } from './values.js';

/** What ONNX Runtime computes on. */
export type Provider = (typeof PROVIDERS)[number];

/** How ONNX Runtime's CUDA provider works. */
export interface CudaOptions {
  /** Most bytes of a GPU's memory that ONNX Runtime takes for weights and work; pixels and features come beside. Default: no limit. */
  memoryLimit?: number;
  /** Products in TensorFloat-32: faster, with 11 significant bits instead of 24. Default false. ONNX Runtime 1.18 or newer. */
  tf32?: boolean;
  /**
   * Each batch size is captured once, at load, and replayed: less work for the host where the model is small. Not every model can be
   * captured. Default false. ONNX Runtime 1.18 or newer.
   */
  graphs?: boolean;
  /**
   * How cuDNN's convolutions are chosen. 'heuristic' (default) chooses alike every time; 'exhaustive' times them all, so that results may
   * differ in the last bits from load to load; 'default' takes one algorithm for all.
   */
  convAlgorithmSearch?: 'heuristic' | 'exhaustive' | 'default';
  /** Further options of the provider, by ONNX Runtime's own names: { cudnn_conv_use_max_workspace: '0' }. */
  options?: Readonly<Record<string, string>>;
}

/** How ONNX Runtime's TensorRT provider works. All but buildTimeout and engineCache belong to what an engine is made for. */
export interface TensorRtOptions {
  /** Products in float16: faster, with 11 significant bits. Default false. */
  fp16?: boolean;
  /** Products in int8, with the ranges of `calibrationTable` or of the model's own quantisation. Default false. */
  int8?: boolean;
  /** Path of ONNX Runtime's calibration table, for a model that is not quantised itself; with `int8`. */
  calibrationTable?: string;
  /** Most bytes of a GPU's memory that TensorRT may work in. Default: TensorRT's own choice. */
  workspace?: number;
  /** 0 (built fast) to 5 (runs fast). Default: TensorRT's own, 3. */
  optimizationLevel?: number;
  /**
   * The folder of engines, absolute, one folder in it for each. An engine is code: only its user may be able to write there. Default:
   * $XDG_CACHE_HOME/manyscale/tensorrt, else ~/.cache/manyscale/tensorrt.
   */
  engineCache?: string;
  /** Milliseconds that building an engine may take. Default 1,800,000: half an hour. */
  buildTimeout?: number;
  /** Further options of the provider, by ONNX Runtime's own names: { trt_dla_enable: '1' }. */
  options?: Readonly<Record<string, string>>;
}

/** How far a load is that takes long: the build of a TensorRT engine. */
export interface LoadProgress {
  step: 'tensorrt-engine';
  state: 'started' | 'running' | 'done';
  /** A sentence for people. */
  message: string;
  /** Since the step began, in milliseconds. */
  elapsed: number;
}

/** ONNX Runtime's names and values. */
export type ProviderOptions = Record<string, string>;

export interface CheckedDevice {
  kind: 'auto' | 'cpu' | 'cuda';
  /** As it was asked for, for messages. */
  asked: string;
  provider?: Provider;
  ordinals: number[];
  strict: boolean;
  cuda: ProviderOptions;
  /** Without what depends on the model. */
  tensorrt: ProviderOptions;
  calibrationTable?: string;
  engineCache?: string;
  buildTimeout: number;
  onProgress?: (progress: LoadProgress) => void;
}

export interface DeviceOptions {
  device?: unknown;
  provider?: unknown;
  devices?: unknown;
  strict?: unknown;
  cuda?: unknown;
  tensorrt?: unknown;
  onProgress?: unknown;
}

/** The options that say where an Extractor computes. */
export function checkDevice(options: DeviceOptions): CheckedDevice {
  const device = options.device === undefined ? DEFAULTS.device : oneOf(options.device, DEVICES, 'device');
  const given = options.provider === undefined ? undefined : oneOf(options.provider, PROVIDERS, 'provider');
  if (given !== undefined && device !== 'cuda')
    throw invalid("device: 'cuda' beside it", 'provider', given, `device is '${device}'`);
  const provider = device === 'tensorrt' ? 'tensorrt' : given;
  const tensorrt = checkTensorRt(options.tensorrt);
  const { onProgress } = options;
  if (onProgress !== undefined && typeof onProgress !== 'function')
    throw invalid('a function', 'onProgress', onProgress);
  return {
    kind: device === 'tensorrt' ? 'cuda' : device,
    asked: given === undefined ? `device '${device}'` : `device '${device}' with provider '${given}'`,
    ...(provider !== undefined && { provider }),
    ordinals: checkOrdinals(options.devices),
    strict: flag(options.strict, false, 'strict'),
    cuda: checkCuda(options.cuda),
    ...tensorrt,
    ...(onProgress !== undefined && { onProgress: onProgress as (progress: LoadProgress) => void }),
  };
}

function checkOrdinals(value: unknown): number[] {
  if (value === undefined) return [...DEFAULTS.devices];
  const ordinals = list(value, 'an array of at least one GPU number', 'devices').map((ordinal) =>
    integer(ordinal, 0, 'a GPU of devices'),
  );
  if (new Set(ordinals).size !== ordinals.length) throw invalid('each GPU once', 'devices', value);
  return ordinals;
}

function checkCuda(value: unknown): ProviderOptions {
  const names = { memoryLimit: 0, tf32: 0, graphs: 0, convAlgorithmSearch: 0, options: 0 } as const;
  const cuda = members<CudaOptions>(value, names, 'cuda');
  const { memoryLimit, tf32, graphs, convAlgorithmSearch: search } = cuda;
  const own: ProviderOptions = {
    ...(memoryLimit !== undefined && { gpu_mem_limit: String(integer(memoryLimit, 1, 'cuda.memoryLimit')) }),
    ...(tf32 !== undefined && { use_tf32: bit(tf32, 'cuda.tf32') }),
    ...(graphs !== undefined && { enable_cuda_graph: bit(graphs, 'cuda.graphs') }),
    ...(search !== undefined && {
      cudnn_conv_algo_search: oneOf(search, CONV_ALGORITHM_SEARCHES, 'cuda.convAlgorithmSearch').toUpperCase(),
    }),
  };
  return withFurther(own, cuda.options, 'cuda');
}

function checkTensorRt(
  value: unknown,
): Pick<CheckedDevice, 'tensorrt' | 'calibrationTable' | 'engineCache' | 'buildTimeout'> {
  const names = {
    fp16: 0,
    int8: 0,
    calibrationTable: 0,
    workspace: 0,
    optimizationLevel: 0,
    engineCache: 0,
    buildTimeout: 0,
    options: 0,
  } as const;
  const tensorrt = members<TensorRtOptions>(value, names, 'tensorrt');
  const { fp16, int8, calibrationTable, workspace, optimizationLevel: level, engineCache, buildTimeout } = tensorrt;
  if (calibrationTable !== undefined && int8 !== true)
    throw invalid('int8: true beside it', 'tensorrt.calibrationTable', calibrationTable);
  if (level !== undefined && integer(level, 0, 'tensorrt.optimizationLevel') > 5)
    throw invalid('an integer from 0 to 5', 'tensorrt.optimizationLevel', level);
  const own: ProviderOptions = {
    ...(fp16 !== undefined && { trt_fp16_enable: bit(fp16, 'tensorrt.fp16') }),
    ...(int8 !== undefined && { trt_int8_enable: bit(int8, 'tensorrt.int8') }),
    ...(workspace !== undefined && { trt_max_workspace_size: String(integer(workspace, 1, 'tensorrt.workspace')) }),
    ...(level !== undefined && { trt_builder_optimization_level: String(level) }),
  };
  return {
    tensorrt: withFurther(own, tensorrt.options, 'tensorrt'),
    ...(calibrationTable !== undefined && { calibrationTable: text(calibrationTable, 'tensorrt.calibrationTable') }),
    ...(engineCache !== undefined && { engineCache: absolute(engineCache, 'tensorrt.engineCache') }),
    buildTimeout: buildTimeout === undefined ? DEFAULTS.buildTimeout : timeout(buildTimeout),
  };
}

/** Of an object of options with these names; without any, {}. */
function members<T extends object>(value: unknown, names: Record<keyof T, 0>, what: string): T {
  if (value === undefined) return {} as T;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('an object', what, value);
  const known = Object.keys(names);
  for (const [name, member] of Object.entries(value)) {
    if (known.includes(name) || member === undefined) continue;
    const meant = nearestName(name, known);
    throw invalid(meant === undefined ? `one of ${known.join(', ')}` : `'${meant}'`, `a name in ${what}`, name);
  }
  return value as T;
}

/** What is set from the device, the model and the cache: giving it as well would contradict it. */
const RESERVED: ReadonlySet<string> = new Set([
  'device_id',
  'has_user_compute_stream',
  'user_compute_stream',
  'trt_engine_cache_enable',
  'trt_engine_cache_path',
  'trt_engine_cache_prefix',
  'trt_profile_min_shapes',
  'trt_profile_opt_shapes',
  'trt_profile_max_shapes',
  'trt_int8_calibration_table_name',
  'trt_cuda_graph_enable',
]);

function withFurther(own: ProviderOptions, further: unknown, what: string): ProviderOptions {
  if (further === undefined) return own;
  if (typeof further !== 'object' || further === null || Array.isArray(further))
    throw invalid('an object of strings', `${what}.options`, further);
  const all = { ...own };
  for (const [name, value] of Object.entries(further)) {
    if (name in own || RESERVED.has(name))
      throw invalid('options without names of their own', `${what}.options`, name, 'it follows from the other options');
    all[text(name, `a name in ${what}.options`)] = text(value, `${what}.options.${name}`);
  }
  return all;
}

const bit = (value: unknown, what: string) => (flag(value, false, what) ? '1' : '0');

function absolute(value: unknown, what: string): string {
  const path = text(value, what);
  if (!isAbsolute(path)) throw invalid('an absolute path', what, value);
  return path;
}

/** As of Node.js's own timers. */
const LONGEST_TIMEOUT = 2 ** 31 - 1;

function timeout(value: unknown): number {
  const milliseconds = finite(value, 'tensorrt.buildTimeout');
  if (milliseconds <= 0 || milliseconds > LONGEST_TIMEOUT)
    throw invalid(`a number above 0, to ${LONGEST_TIMEOUT} (milliseconds),`, 'tensorrt.buildTimeout', value);
  return milliseconds;
}
