// What an Extractor tells of itself.

import { deepFreeze } from './freeze.js';
import type { ModelInput, ModelOutput, PreprocessSources, Source } from './model.js';
import type { NativeBatching, NativeSession, NativeValueInfo } from './native/addon.js';
import { type CheckedExtractorOptions, IMAGE_CHANNELS, type Layout, type Preprocess } from './options.js';
import type { Size } from './plan.js';
import type { RuntimeLocation } from './runtime.js';

/** A model's input or output as its file declares it. */
export interface ValueInfo {
  readonly name: string;
  /** 'float32', 'int64' ... */
  readonly type: string;
  /** A number, or the name of a dimension that is left open ('' when it has none). */
  readonly dims: readonly (number | string)[];
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
  /** What computes. */
  readonly device: 'cpu';
  /** Why the other devices are not used. */
  readonly unavailable: Readonly<Record<string, string>>;
  readonly input: {
    readonly name: string;
    /** Pixels. */
    readonly tileSize: Size;
    readonly layout: 'nchw';
    readonly channels: number;
    /** Rows that the model demands in every call; 0: any. */
    readonly fixedBatch: number;
  };
  /** The output in use. */
  readonly output: {
    readonly name: string;
    readonly layout: Layout;
    /** Of one tile, in cells. */
    readonly grid: Size;
    readonly channels: number;
    readonly numPrefixTokens: number;
  };
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
  /** Where each fact is from: the caller's options, the model's metadata or shapes, or a default. */
  readonly sources: {
    readonly tileSize: Source;
    readonly output: Source;
    readonly numPrefixTokens: Source;
    readonly preprocess: Readonly<PreprocessSources>;
  };
}

export interface Description {
  model: string | Uint8Array;
  session: NativeSession;
  batching: NativeBatching;
  runtime: RuntimeLocation;
  options: CheckedExtractorOptions;
  input: ModelInput;
  output: ModelOutput;
  preprocess: Required<Preprocess>;
  sources: PreprocessSources;
}

/** Frozen, plain data. */
export function describeModel({
  model,
  session,
  batching,
  runtime,
  options,
  input,
  output,
  preprocess,
  sources,
}: Description): ExtractorInfo {
  const later = 'not available in this version of manyscale';
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
    device: 'cpu',
    unavailable: { cuda: later, tensorrt: later, ...session.runtime.unavailable },
    input: {
      name: input.name,
      tileSize: { ...input.tile },
      layout: 'nchw',
      channels: IMAGE_CHANNELS,
      fixedBatch: input.fixedBatch,
    },
    output: {
      name: output.name,
      layout: output.layout,
      grid: { ...output.grid },
      channels: output.channels,
      numPrefixTokens: output.numPrefixTokens,
    },
    batchInvariant: batching.invariant,
    batching: { maxBatch: batching.size, fixed: batching.fixed, workers: batching.workers },
    inputs: session.inputs.map(valueInfo),
    outputs: session.outputs.map(valueInfo),
    preprocess,
    sources: {
      tileSize: input.tileSource,
      output: options.output === undefined ? 'model' : 'option',
      numPrefixTokens: options.scale.numPrefixTokens === undefined ? 'model' : 'option',
      preprocess: sources,
    },
  } satisfies ExtractorInfo);
}

/** The runtime's description as a user reads it. */
export function valueInfo({ name, type, dims, symbols }: NativeValueInfo): ValueInfo {
  return { name, type, dims: dims.map((dim, index) => (dim >= 0 ? dim : (symbols[index] ?? ''))) };
}
