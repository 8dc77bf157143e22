// What an Extractor tells of itself.

import { deepFreeze } from '../freeze.js';
import type { Size } from '../geometry/plan.js';
import type { NativeBatching, NativePlacement, NativeSession, NativeValueInfo } from '../native/addon.js';
import { IMAGE_CHANNELS } from '../options/defaults.js';
import type { Provider } from '../options/gpu.js';
import type { Fit, Layout, Preprocess, Preset } from '../options/options.js';
import type { RuntimeLocation } from '../runtime.js';
import type { PreprocessSources, Source, TileLayout, TileType } from './input.js';
import { PREFIX } from './metadata.js';
import { notesOf, type ReadModel } from './notes.js';
import type { ModelOutput } from './outputs.js';

/** A model's input or output as its file declares it. */
export interface ValueInfo {
  readonly name: string;
  /** 'float32', 'int64' ... */
  readonly type: string;
  /** A number, or the name of a dimension that is left open ('' when it has none). */
  readonly dims: readonly (number | string)[];
}

/** A model's output as it is read. */
export interface OutputInfo {
  readonly name: string;
  readonly layout: Layout;
  /** Of one tile, in cells. */
  readonly grid: Size;
  readonly channels: number;
  readonly numPrefixTokens: number;
}

export interface Gpu {
  /** As the driver numbers it. */
  readonly ordinal: number;
  readonly name: string;
  /** Such as '8.7'. */
  readonly computeCapability: string;
  /** Bytes. */
  readonly memory: number;
  /** It shares the host's memory, as a Jetson's does. */
  readonly integrated: boolean;
}

export interface ExtractorInfo {
  readonly model: {
    /** Absolute; absent when the model was given as bytes. */
    readonly path?: string;
    readonly name: string;
    readonly producer: string;
    readonly metadata: Readonly<Record<string, string>>;
  };
  readonly runtime: {
    readonly path: string;
    /** What named the library. */
    readonly from: 'option' | 'environment' | 'onnxruntime-node';
    readonly version: string;
    /** What should be known about this choice of library, or ''. */
    readonly notice: string;
    /** What the library was compiled with; says nothing about what works on this machine. */
    readonly providers: readonly string[];
  };
  /** Where pixels and features are. Of the load: a GPU that fails later is set aside, and stats() has what is in use then. */
  readonly device: 'cpu' | 'cuda';
  /** What ONNX Runtime computes on. */
  readonly provider: Provider;
  /** GPUs in use. */
  readonly gpus: readonly Gpu[];
  /** Why others are not used: 'cuda', 'tensorrt', and 'cuda:1' for one of several GPUs. */
  readonly unavailable: Readonly<Record<string, string>>;
  readonly input: {
    readonly name: string;
    /** Pixels. */
    readonly tileSize: Size;
    /** [batch, 3, height, width] or [batch, height, width, 3]. */
    readonly layout: TileLayout;
    readonly type: TileType;
    readonly channels: number;
    /** Rows that the model demands in every call; 0: any. */
    readonly fixedBatch: number;
  };
  /** The output in use; of several, the first, whose grid the features have. */
  readonly output: OutputInfo & {
    /** Pixels along a side of a token's patch, where something told it; else the grid was found from the tokens alone. */
    readonly patchSize?: number;
  };
  /** All outputs in use: those whose features are joined, in order. */
  readonly outputsInUse: readonly OutputInfo[];
  /** How images of another aspect ratio are fitted, unless extract() is told otherwise; of no meaning beside a preset. */
  readonly fit: Fit;
  readonly preset?: Preset;
  /**
   * Whether an image's features are the same, bit by bit, alone and beside others: a tile's were, in every batch that was
   * tried at load. Some models' are not (a product with one row may be summed in another order, dynamic int8 takes one
   * range per batch); the option `deterministic` makes theirs too.
   */
  readonly batchInvariant: boolean;
  readonly batching: {
    /** Tiles in one run of the model, at most. */
    readonly maxBatch: number;
    /** Every batch has exactly that many rows, filled up with empty tiles: the model or `deterministic` demands it. */
    readonly fixed: boolean;
    /** Batches that may run at once. */
    readonly workers: number;
  };
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  /** In force. */
  readonly preprocess: Readonly<Required<Preprocess>>;
  /** What was read beside the model. */
  readonly configuration: {
    /** Absolute paths. */
    readonly files: readonly string[];
    /** The type of the image processor, as preprocessor_config.json has it. */
    readonly processor?: string;
    /** As config.json has it. */
    readonly modelType?: string;
  };
  /**
   * Where each fact is from: the caller's options, the model's metadata or shapes, the configuration files beside it, or a
   * default.
   */
  readonly sources: {
    readonly tileSize: Source;
    readonly patchSize: Source;
    readonly output: Source;
    readonly numPrefixTokens: Source;
    readonly fit: Source;
    readonly preprocess: Readonly<PreprocessSources>;
  };
  /** What was guessed, and what contradicts what: sentences for people. */
  readonly notes: readonly string[];
}

export interface Description {
  model: string | Uint8Array;
  session: NativeSession;
  batching: NativeBatching;
  runtime: RuntimeLocation;
  placement: NativePlacement;
  read: ReadModel;
}

/** Frozen, plain data. */
export function describeModel({ model, session, batching, runtime, placement, read }: Description): ExtractorInfo {
  const { input, reading } = read;
  const { outputs, patchSize } = read.patches;
  const { files, processor, modelType } = read.configuration;
  return deepFreeze({
    model: {
      ...(typeof model === 'string' && { path: model }),
      name: session.graphName,
      producer: session.producer,
      metadata: { ...session.metadata },
    },
    runtime: {
      path: session.runtime.path,
      from: runtime.from,
      version: session.runtime.version,
      notice: session.runtime.notice,
      providers: [...session.runtime.providers],
    },
    device: placement.device,
    provider: placement.provider,
    gpus: placement.gpus.map((gpu) => ({ ...gpu })),
    unavailable: { ...placement.unavailable },
    input: {
      name: input.name,
      tileSize: { ...input.tile },
      layout: input.layout,
      type: input.type,
      channels: IMAGE_CHANNELS,
      fixedBatch: input.fixedBatch,
    },
    output: { ...outputInfo(outputs[0]), ...(patchSize && { patchSize: patchSize.value }) },
    outputsInUse: outputs.map(outputInfo),
    fit: reading.fit.value,
    ...(reading.preset !== undefined && { preset: reading.preset }),
    batchInvariant: batching.invariant,
    batching: { maxBatch: batching.size, fixed: batching.fixed, workers: batching.workers },
    inputs: session.inputs.map(valueInfo),
    outputs: session.outputs.map(valueInfo),
    preprocess: reading.preprocess,
    configuration: {
      files,
      ...(processor !== undefined && { processor }),
      ...(modelType !== undefined && { modelType }),
    },
    sources: {
      tileSize: input.tileSource,
      patchSize: patchSize?.source ?? 'model',
      output: reading.outputs?.source ?? 'model',
      numPrefixTokens: reading.numPrefixTokens?.source ?? 'model',
      fit: reading.fit.source,
      preprocess: reading.preprocessSources,
    },
    notes: notesOf(read),
  } satisfies ExtractorInfo);
}

function outputInfo({ name, layout, grid, channels, numPrefixTokens }: ModelOutput): OutputInfo {
  return { name, layout, grid: { ...grid }, channels, numPrefixTokens };
}

/** The runtime's description as a user reads it. */
export function valueInfo({ name, type, dims, symbols }: NativeValueInfo): ValueInfo {
  return { name, type, dims: dims.map((dim, index) => (dim >= 0 ? dim : (symbols[index] ?? ''))) };
}

/** What an Extractor took from configuration files, as metadata: for a copy of the model that is to be read alike elsewhere. */
export function metadataOf({ input, output, fit, preprocess, sources }: ExtractorInfo): Record<string, string> {
  const { height, width } = input.tileSize;
  const facts: Record<string, [Source, unknown]> = {
    tileSize: [sources.tileSize, `${height}x${width}`],
    patchSize: [sources.patchSize, output.patchSize],
    fit: [sources.fit, fit],
    mean: [sources.preprocess.mean, preprocess.mean],
    std: [sources.preprocess.std, preprocess.std],
    rescale: [sources.preprocess.rescale, preprocess.rescale],
    resize: [sources.preprocess.resize, preprocess.resize],
    channelOrder: [sources.preprocess.channelOrder, preprocess.channelOrder],
  };
  const found = Object.entries(facts).filter(([, [source]]) => source === 'configuration');
  return Object.fromEntries(found.map(([key, [, value]]) => [`${PREFIX}${key}`, String(value)]));
}
