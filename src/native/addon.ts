// What the native addon offers, as TypeScript sees it. Thin and 1:1: no defaults and no checks of JavaScript types here
// beyond what memory safety needs; src/options has those. Only src/native/ touches the addon.

/** A failure in native code: one of the stable codes and a message ready for a user. */
export interface NativeError extends Error {
  code: string;
}

/** Work that runs off the JavaScript thread. */
export interface NativeJob<T> {
  readonly promise: Promise<T>;
  /** Ask for an early end. The promise then rejects with code ERR_CANCELLED unless the work was already done. */
  cancel(): void;
}

export interface NativeSize {
  height: number;
  width: number;
}

export interface NativeScale extends NativeSize {
  rows: number;
  columns: number;
  tileHeight: number;
  tileWidth: number;
  /** Where the resized image lies, relative to the scale; absent: it is the scale. */
  content?: NativeCrop;
  /** What the tiles have beside the content; present where it leaves something. */
  padding?: 'zero' | 'background';
  /** The first pixel of each row and column of tiles, where they overlap. */
  tops?: number[];
  lefts?: number[];
}

export interface NativePlan {
  image: NativeSize;
  scales: NativeScale[];
  /** Which scale's grid the output has; already resolved, 0 <= outputIndex < scales.length. */
  outputIndex: number;
  /** One tile that the image is made into first: the scales are then made of it. */
  via?: NativeScale;
}

export interface NativePlanOptions {
  scales?: number[];
  imageSizes?: NativeSize[];
  /** What scales are relative to; default the image. */
  base?: NativeSize;
  /** Default: the base. */
  maxSplitSize?: NativeSize;
  /** Every scale's sides must be multiples of it. */
  tile?: NativeSize;
  /** Scales have the image's aspect ratio and about the area of base * scale, or of their image size. Default false. */
  keepAspect?: boolean;
  /** What happens to sides that tiles do not fill. Default 'refuse'. */
  uneven?: 'refuse' | 'resize' | 'pad';
  /** Of neighbouring tiles, at least: pixels or, below 1, a part of the tile. Default 0. */
  overlap?: number;
  /** Overlapping tiles begin at multiples of it. Default: any that tile, overlap and side share. */
  overlapUnit?: NativeSize;
  /** May be negative: from the end. */
  resizeOutputToIndex: number;
}

export interface NativePresetOptions {
  preset: string;
  /** Square. */
  tile: NativeSize;
  /** Whole numbers, ascending from 1. */
  scales?: number[];
  maxTiles?: number;
  /** 'anyres': candidates, in pixels. */
  resolutions?: NativeSize[];
  resizeOutputToIndex?: number;
}

/** uint8: [height, stride] interleaved, 1, 3 or 4 channels. float32: [batch, channels, height, width] dense. */
export interface NativeImage extends NativeSize {
  data: Uint8Array | Float32Array;
  /**
   * true: nobody else can reach `data`; it is read in place and must not be handed out.
   * false: it is copied before the call returns.
   */
  owned: boolean;
  batch: number;
  channels: number;
  /** Bytes from one row to the next (uint8 only); 0: width * channels. */
  stride: number;
}

export interface NativeCrop extends NativeSize {
  top: number;
  left: number;
}

export interface NativePreprocess {
  /** One number, or one per channel in the order in which the model wants them. */
  mean: number[];
  std: number[];
  rescale: number;
  resize: string;
  bgr: boolean;
  background: [red: number, green: number, blue: number];
}

export interface NativeSplitRequest {
  image: NativeImage;
  plan: NativePlan;
  crop?: NativeCrop;
  preprocess: NativePreprocess;
  /** One buffer with all scales in order (they must share a tile shape) instead of one per scale. */
  joined: boolean;
}

export type NativeLayout = 'bnc' | 'bchw';

/** How tile features become features. */
export interface NativePoolOptions {
  /** Of the tile features. */
  layout: NativeLayout;
  outputLayout: NativeLayout;
  numPrefixTokens: number;
  /** Leave the prefix tokens out of the result. Default false. */
  dropPrefixTokens?: boolean;
  /** How overlapping tiles share a cell. Default 'linear'. */
  blend?: 'linear' | 'average';
  /** Tiles one after another instead of merged. */
  sequence: boolean;
}

export interface NativePoolRequest extends NativePoolOptions {
  plan: NativePlan;
  batch: number;
  /** One buffer per scale, or one with all scales in order (of a sequence always). Copied before the call returns. */
  features: Float32Array[];
  /** Of one tile, per scale. */
  grids: NativeSize[];
  /** Per scale. */
  channels: number[];
}

export interface NativeRuntimeInfo {
  path: string;
  version: string;
  /** What a user should know about this choice of library, or ''. */
  notice: string;
  /** What the library was compiled with; says nothing about what works on this machine. */
  providers: string[];
  /** Why each provider other than the CPU's cannot be used, where asked. */
  unavailable: Record<string, string>;
  /** Of the TensorRT that the library's provider has loaded, such as '10.3.0'; '' where it has none, or was not asked. */
  tensorrt: string;
}

export interface NativeValueInfo {
  name: string;
  /** 'float32', 'float16', 'uint8', 'int64' ... */
  type: string;
  /** -1: dynamic. */
  dims: number[];
  /** Names of dynamic dimensions, '' where fixed or unnamed. */
  symbols: string[];
}

/** Where a session is to compute. */
export interface NativeDeviceRequest {
  /**
   * 'auto': the best that proves to work. 'cuda': pixels and features in the memory of GPUs; without `strict` the CPU serves
   * where that does not work.
   */
  kind: 'auto' | 'cpu' | 'cuda';
  /** What ONNX Runtime is to compute on, beside 'cuda'. Absent: the best that proves to work of tensorrt (with `engineReady`) and cuda. */
  provider?: NativeProvider;
  /** GPUs to use side by side, at least one, as the driver counts them. */
  ordinals: number[];
  /** Refuse instead of falling back; no node of the graph may go to the CPU either. */
  strict: boolean;
  /** ONNX Runtime's own names and values, over the native defaults. */
  cuda: Record<string, string>;
  /** Likewise; they have the folder of the engine and its profile. */
  tensorrt: Record<string, string>;
  /** An engine for this model and GPU lies in the folder that `tensorrt` names: TensorRT need not build one. */
  engineReady: boolean;
}

export type NativeProvider = 'cpu' | 'cuda' | 'tensorrt';

export interface NativeGpu {
  ordinal: number;
  name: string;
  /** Such as '8.7'. */
  computeCapability: string;
  /** Bytes. */
  memory: number;
  /** It shares the host's memory, as a Jetson's does. */
  integrated: boolean;
}

/** What the CUDA driver says. */
export interface NativeDriverInfo {
  /** As the driver counts: 13000 is CUDA 13.0; 0 without one. */
  version: number;
  /** Of the library that was opened, or ''. */
  path: string;
  /** Why no GPU can be used (no driver, one that is too old, no device, an addon built without kernels), or ''. */
  reason: string;
  devices: NativeGpu[];
}

/** What a session computes on now. */
export interface NativePlacement {
  /** Where pixels and features are. */
  device: 'cpu' | 'cuda';
  provider: NativeProvider;
  /** Those in use; a GPU that failed is set aside. */
  gpus: NativeGpu[];
  /** Why others are not used: 'cuda', 'tensorrt', and 'cuda:1' for one of several GPUs. */
  unavailable: Record<string, string>;
}

export interface NativeSessionOptions {
  /** Absolute path of the ONNX Runtime library. */
  runtime: string;
  /** A path, or the model's bytes (copied). */
  model: string | Uint8Array;
  /** Tells models apart by what they are: sessions of one identity share the model, and with equal batching options also the queue. */
  identity: string;
  /** At most so many batches at once; 0: one per thread of the executor. */
  threads: number;
  /** Largest batch; 0: the engine's choice. */
  maxBatch: number;
  /** Milliseconds that tiles may wait for others to share a batch with; -1: the engine's choice. */
  maxDelay: number;
  /** Every batch has one size, so that a result does not depend on what else is in flight. */
  deterministic: boolean;
  /** Limit on the bytes in flight of this session; 0: the process's common limit. */
  maxBytes: number;
  device: NativeDeviceRequest;
}

export interface NativeModelConfiguration {
  /** Index of the model's image input. */
  input: number;
  /** Indices of the outputs to use. */
  outputs: number[];
  tile: NativeSize;
  /** Batch size that the model demands; 0: any. */
  fixedBatch: number;
  /** Of the tiles: [batch, 3, height, width] or [batch, height, width, 3]. Their type is the input's. */
  layout: 'nchw' | 'nhwc';
}

/** How tiles are batched. */
export interface NativeBatching {
  /** A tile's features were the same, bit by bit, alone and in every batch that was tried. */
  invariant: boolean;
  /** Largest batch, in tiles. */
  size: number;
  /** Every batch has exactly `size` rows: the model demands it, or the option `deterministic`. */
  fixed: boolean;
  /** Batches that may run at once. */
  workers: number;
}

/** Bytes in flight that an image may take. Given back by release() or when it is collected. */
export interface NativeTicket {
  /** Later calls do nothing. */
  release(): void;
}

/** Now, and since the load. Extractors that share a queue have their tiles and batches in common. */
export interface NativeStats {
  tiles: { queued: number; running: number; done: number };
  /** Runs of the model, and the rows that they had: more than tiles where batches are padded. */
  batches: { done: number; rows: number };
  /** In flight by tickets; `waiting`: tickets that are asked for and not yet given. */
  bytes: { inFlight: number; limit: number; waiting: number };
}

/** What one tile gave: the output's dims with a leading batch of 1. */
export interface NativeProbe {
  dims: number[];
}

export interface NativeExtractRequest extends NativePoolOptions {
  image: NativeImage;
  plan: NativePlan;
  crop?: NativeCrop;
  preprocess: NativePreprocess;
  /** Of one tile, per output. */
  grids: NativeSize[];
  /** Per output. */
  channels: number[];
  /** Of the features. */
  dtype: 'float32' | 'float16';
}

export interface NativeTimings {
  /** Milliseconds. split and model are summed over threads; total and queue are by the clock. */
  queue: number;
  split: number;
  model: number;
  pool: number;
  total: number;
}

export interface NativeExtractResult {
  /** Uint16Array: the bits of float16 numbers. */
  data: Float32Array | Uint16Array;
  timings: NativeTimings;
}

export interface NativeSession {
  readonly inputs: NativeValueInfo[];
  readonly outputs: NativeValueInfo[];
  /** The model's own key-value metadata, and producer and graph name. */
  readonly metadata: Record<string, string>;
  readonly producer: string;
  readonly graphName: string;
  readonly runtime: NativeRuntimeInfo;
  /** Runs one tile of zeros; what each of the configuration's outputs gives, in the same order. */
  probe(configuration: NativeModelConfiguration): NativeJob<NativeProbe[]>;
  /**
   * Before the first extract, once. `outputDims`: of each output for one tile, as probed, without the batch. Runs tiles of
   * noise alone and together, which also warms the model up, and proves each GPU with one tile against the CPU's features.
   * Rejects with ERR_DEVICE_UNAVAILABLE and all reasons where the request is strict and its device fails that.
   */
  configure(configuration: NativeModelConfiguration, outputDims: number[][]): NativeJob<NativeBatching>;
  /** A ticket if there is room and nobody waits, else undefined. Throws ERR_IMAGE_TOO_LARGE when it could never be given. */
  tryReserve(bytes: number): NativeTicket | undefined;
  /** First come, first served. Rejects like tryReserve. */
  reserve(bytes: number): NativeJob<NativeTicket>;
  /** The caller holds a ticket for it. */
  extract(request: NativeExtractRequest): NativeJob<NativeExtractResult>;
  stats(): NativeStats;
  /** After configure(). It changes when a GPU fails. */
  placement(): NativePlacement;
  /** Gives back memory that is kept for the next image: reused buffers, the runtime's arena. Nothing while images are in flight. */
  shrink(): NativeJob<void>;
  /** Cancels this session's images, waits for them and frees what no other session shares. Calls after the first wait for the same end. */
  dispose(): Promise<void>;
}

export interface NativeBuildInfo {
  version: string;
  compiler: string;
  architecture: string;
  /** What this build and this processor can run, slowest first. */
  isas: string[];
  /** Numbers of threads that the executor has. */
  threads: number;
  cuda: boolean;
  sanitizers: string;
}

export interface Addon {
  buildInfo(): NativeBuildInfo;
  /** The instruction sets that the kernels in use were compiled for, as they themselves say. Throws for a bad MANYSCALE_FORCE_ISA. */
  kernels(): { split: string; pool: string };
  /** Asks all work of this thread's environment for an early end and waits for it, so long at most; false: some goes on. */
  stop(milliseconds: number): boolean;
  /** Detaches it, which frees its memory now and not only when it is collected. No job may be reading it. */
  discard(buffer: ArrayBuffer): void;
  /** Gives memory that the process has freed back to the system, where the C library keeps it for later. */
  returnFreeMemory(): NativeJob<void>;
  plan(image: NativeSize, options: NativePlanOptions): NativePlan;
  presetPlan(image: NativeSize, options: NativePresetOptions): NativePlan;
  /** Recomputes a plan that came from outside; throws when it is not one. */
  checkPlan(plan: NativePlan): void;
  /** Each scale's cells after merging, when a tile has `grid`. Throws when tiles overlap by other than whole cells. */
  mergedGrids(plan: NativePlan, grid: NativeSize): NativeSize[];
  /** patchSize 0: found from the tile's aspect ratio. */
  findGrid(tile: NativeSize, cells: number, patchSize: number): NativeSize;
  findTokenLayout(tile: NativeSize, tokens: number, patchSize: number): { numPrefixTokens: number; grid: NativeSize };
  split(request: NativeSplitRequest): NativeJob<Float32Array[]>;
  pool(request: NativePoolRequest): NativeJob<Float32Array>;
  /** Loads the library (once per path and process) and says what it has; `probe`: also why providers do not work, and TensorRT's version. */
  runtimeInfo(path: string, probe: boolean): NativeJob<NativeRuntimeInfo>;
  loadSession(options: NativeSessionOptions): NativeJob<NativeSession>;
  /** Opens the driver (once per process). */
  driverInfo(): NativeJob<NativeDriverInfo>;
  /** The batch sizes that a GPU's session is prepared for, ascending, for a largest batch of `maxBatch` (0: the engine's choice). */
  gpuBuckets(maxBatch: number): number[];
}
