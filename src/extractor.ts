// Extractor: a model, loaded once, that turns images into multi-scale features.

import { stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { abortable } from './abort.js';
import { decodeImage, ownSource } from './decode.js';
import { invalid, ManyscaleError } from './errors.js';
import { Features } from './features.js';
import { type ImageInput, recogniseImage } from './image.js';
import { describeModel, type ExtractorInfo } from './info.js';
import {
  candidateOutputs,
  chooseInput,
  chooseOutput,
  choosePreprocess,
  type ModelInput,
  type ModelOutput,
  singleTile,
} from './model.js';
import type {
  NativeCrop,
  NativeImage,
  NativeModelConfiguration,
  NativePlan,
  NativePreprocess,
  NativeSession,
  NativeSize,
} from './native/addon.js';
import { configureSession, loadSession, probeSession, runExtract } from './native/calls.js';
import {
  type CheckedExtractorOptions,
  type CheckedScaleOptions,
  checkExtractOptions,
  checkExtractorOptions,
  type ExtractOptions,
  type ExtractorOptions,
  fillPreprocess,
  type Layout,
  mergeScaleOptions,
  size,
} from './options.js';
import { type Plan, planFor, type Size, sealPlan } from './plan.js';
import { refusePrefixOfMaps, type TileShape, tileShape } from './pool.js';
import { findRuntime } from './runtime.js';
import { Slots } from './slots.js';
import { isDetached, isUnstable, Tensor } from './tensor.js';

/** An Extractor's plan: the geometry, and the shape of the features that it leads to. */
export interface ExtractorPlan extends Plan {
  readonly numPrefixTokens: number;
  readonly outputShape: Layout;
  /** Of the features, in cells. */
  readonly grid: Size;
  /** Of each scale after merging its tiles, in cells. */
  readonly grids: readonly Size[];
  /** Each scale's channels of the features: from the first to before the second. */
  readonly channels: readonly (readonly [from: number, to: number])[];
  /** Of the features' tensor. */
  readonly dims: readonly number[];
}

/** One image of extractMany. */
export type ExtractResult = { index: number; features: Features } | { index: number; error: ManyscaleError };

export interface ExtractManyOptions {
  ordered?: boolean;
  signal?: AbortSignal;
}

interface Loaded {
  session: NativeSession;
  options: CheckedExtractorOptions;
  input: ModelInput;
  output: ModelOutput;
  preprocess: NativePreprocess;
  info: ExtractorInfo;
}

/** What scale options lead to with this model, for images of any size. */
interface Geometry {
  /** Of an image of one tile's size; the scales are the same for every image. */
  plan: NativePlan;
  shape: TileShape;
  /** Of a tile. The features have them too unless they are a feature map, which has no place for them. */
  numPrefixTokens: number;
  outputShape: Layout;
  grid: Size;
  channels: [from: number, to: number][];
  dims: number[];
}

/**
 * Images that are being decoded or hold decoded pixels, of all Extractors: enough that the processors always have work,
 * few enough that a burst of images takes the memory of a handful and that the decoder's threads do not crowd out the
 * JavaScript thread.
 */
const decodedImages = new Slots(availableParallelism());

export class Extractor implements AsyncDisposable {
  /** What was loaded: the model, the runtime and the device, the preprocessing in force, and where each fact is from. */
  readonly info: ExtractorInfo;

  readonly #loaded: Loaded;
  #disposal: Promise<void> | undefined;

  private constructor(loaded: Loaded) {
    if (loaded === undefined) {
      // JavaScript does not know that this is private.
      throw invalid('Extractor.load()', 'making an Extractor', loaded, 'loading a model takes a while: await it');
    }
    this.#loaded = loaded;
    this.info = loaded.info;
  }

  /**
   * Loads an ONNX model of images, from a path or from its bytes (copied), and finds out how it wants its tiles.
   * @throws {ManyscaleError} ERR_INVALID_ARGUMENT, ERR_RUNTIME_UNAVAILABLE (no ONNX Runtime: the message has the command
   * that installs it), ERR_MODEL_LOAD, ERR_MODEL_SHAPE (not a model of images, or none of its outputs has places),
   * ERR_MODEL_RUN, ERR_DEVICE_UNAVAILABLE, ERR_PLAN_TOO_LARGE, ERR_OUT_OF_MEMORY. The signal's reason when it aborts.
   */
  static async load(model: string | Uint8Array, options?: ExtractorOptions): Promise<Extractor> {
    const checked = checkExtractorOptions(options);
    const { signal } = checked;
    signal?.throwIfAborted();
    const source = await checkModelSource(model);
    const runtime = findRuntime(checked.runtimeLibrary);
    const session = await loadSession({ runtime: runtime.path, model: source, threads: checked.threads }, signal);
    try {
      const input = chooseInput(session.inputs, checked.tileSize);
      const configuration: NativeModelConfiguration = {
        input: input.index,
        output: 0,
        tile: input.tile,
        fixedBatch: input.fixedBatch,
        maxBatch: checked.maxBatch,
      };
      const candidates = candidateOutputs(session.outputs, checked.output);
      const probes = await probeSession(session, configuration, candidates, signal);
      const probed = probes.map(({ dims }) => dims);
      const { scale, patchSize } = checked;
      const output = chooseOutput(session.outputs, candidates, probed, input, {
        named: checked.output !== undefined,
        ...(scale.numPrefixTokens !== undefined && { numPrefixTokens: scale.numPrefixTokens }),
        ...(patchSize !== undefined && { patchSize }),
      });
      const { preprocess, sources } = choosePreprocess(checked.preprocess, session.metadata);
      const filled = fillPreprocess(preprocess, 'uint8', checked.background);
      configureSession(session, { ...configuration, output: output.index });
      const info = describeModel({
        model: source,
        session,
        runtime,
        options: checked,
        input,
        output,
        preprocess,
        sources,
      });
      const extractor = new Extractor({ session, options: checked, input, output, preprocess: filled, info });
      extractor.#geometry(scale); // options that cannot work with this model are refused now, not with the first image
      return extractor;
    } catch (error) {
      void session.dispose().catch(() => {});
      throw error;
    }
  }

  /**
   * Multi-scale features of one image. Pixels and encoded bytes are copied before the call returns.
   * @throws {ManyscaleError} ERR_INVALID_ARGUMENT, ERR_IMAGE_READ, ERR_IMAGE_DECODE, ERR_IMAGE_UNSUPPORTED,
   * ERR_IMAGE_TOO_LARGE, ERR_PLAN_TOO_LARGE, ERR_MODEL_SHAPE, ERR_MODEL_RUN, ERR_OUT_OF_MEMORY, ERR_DISPOSED. The
   * signal's reason when it aborts.
   */
  async extract(image: ImageInput, options?: ExtractOptions): Promise<Features> {
    const started = performance.now();
    const { scale, fit = this.#loaded.options.fit, signal } = checkExtractOptions(options);
    this.#checkUsable();
    signal?.throwIfAborted();
    const geometry = this.#geometry(mergeScaleOptions(this.#loaded.options.scale, scale));
    const source = recogniseImage(image);
    if (source.kind === 'pixels') return this.#run(source.image, geometry, fit, started, 0, signal);
    const own = await abortable(ownSource(source), signal); // outside a slot: a Blob may never end
    const work = async () => {
      this.#checkUsable();
      const decoding = performance.now();
      const pixels = await decodeImage(own, this.#loaded.options);
      signal?.throwIfAborted();
      this.#checkUsable();
      return this.#run(pixels, geometry, fit, started, performance.now() - decoding, signal);
    };
    return abortable(decodedImages.run(work, signal), signal);
  }

  async #run(
    image: NativeImage,
    geometry: Geometry,
    fit: 'stretch' | 'crop',
    started: number,
    decode: number,
    signal: AbortSignal | undefined,
  ): Promise<Features> {
    const { session, input, output, preprocess } = this.#loaded;
    const { plan, shape, numPrefixTokens, outputShape, grid, channels, dims } = geometry;
    const crop = fit === 'crop' ? centredCrop(image, input.tile) : undefined;
    const { data, timings } = await runExtract(
      session,
      {
        image,
        plan: { ...plan, image: { height: image.height, width: image.width } },
        ...(crop && { crop }),
        preprocess,
        layout: output.layout,
        outputLayout: outputShape,
        numPrefixTokens,
        grid: shape.grid,
        channels: shape.channels,
      },
      signal,
    );
    return new Features({
      tensor: new Tensor('float32', data, dims),
      grid,
      numPrefixTokens: outputShape === 'bnc' ? numPrefixTokens : 0,
      scales: plan.scales.map(({ height, width, rows, columns }, index) => ({
        height,
        width,
        rows,
        columns,
        channels: channels[index] ?? [0, 0],
      })),
      timings: {
        decode,
        queue: timings.queue,
        split: timings.split,
        model: timings.model,
        pool: timings.pool,
        total: performance.now() - started,
      },
    });
  }

  /** Not available in this version: call extract() for each image. The first result is the refusal. */
  // biome-ignore lint/correctness/useYield: it ends before it could
  async *extractMany(
    _images: Iterable<ImageInput> | AsyncIterable<ImageInput>,
    _options?: ExtractManyOptions,
  ): AsyncGenerator<ExtractResult> {
    throw notYet('extractMany', 'calls of extract(), which may run side by side,', 'many images');
  }

  /** Not available in this version: every result has its own timings. */
  stats(): Record<string, number> {
    throw notYet('stats', "each result's timings", 'measurements');
  }

  /**
   * The plan of an image of this size, decoded and turned upright, with the load's options. split() and pool() with it
   * and `info.preprocess` do what extract() does.
   * @throws {ManyscaleError} ERR_INVALID_ARGUMENT, ERR_PLAN_TOO_LARGE, ERR_DISPOSED.
   */
  plan(imageSize: Size): ExtractorPlan {
    this.#checkUsable();
    const { options, input } = this.#loaded;
    const image = size(imageSize, 'the image');
    const { plan, shape, ...more } = this.#geometry(options.scale, image);
    const grids = plan.scales.map(({ rows, columns }) => ({
      height: rows * shape.grid.height,
      width: columns * shape.grid.width,
    }));
    return sealPlan(plan, { ...(options.fit === 'crop' && { crop: centredCrop(image, input.tile) }), ...more, grids });
  }

  /** Ends what runs (those calls reject with ERR_DISPOSED) and frees the model. Later calls wait for the same end. */
  dispose(): Promise<void> {
    this.#disposal ??= this.#loaded.session.dispose();
    return this.#disposal;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #checkUsable(): void {
    if (this.#disposal)
      throw new ManyscaleError(
        'ERR_DISPOSED',
        'Expected an Extractor in use but received one that was disposed; load another',
      );
  }

  #geometry(scale: CheckedScaleOptions, image: NativeSize = this.#loaded.input.tile): Geometry {
    const { input, output, options } = this.#loaded;
    const { tile } = input;
    const { maxSplitSize, numPrefixTokens = output.numPrefixTokens, outputShape = output.layout } = scale;
    if (maxSplitSize && (maxSplitSize.height !== tile.height || maxSplitSize.width !== tile.width)) {
      throw invalid(
        `the model's tile size (${tile.height} x ${tile.width})`,
        'maxSplitSize',
        [maxSplitSize.height, maxSplitSize.width],
        'leave it out: an Extractor cuts tiles of that size',
      );
    }
    refusePrefixOfMaps(numPrefixTokens, output.layout);
    const plan = planFor(image, scale, { base: tile, tile });
    const shape =
      numPrefixTokens === output.numPrefixTokens
        ? { grid: output.grid, channels: output.channels }
        : tileShape(output.dims, singleTile(tile), output.layout, numPrefixTokens, options.patchSize);
    const { rows = 0, columns = 0 } = plan.scales[plan.outputIndex] ?? {};
    const grid = { height: rows * shape.grid.height, width: columns * shape.grid.width };
    const total = shape.channels * plan.scales.length;
    return {
      plan,
      shape,
      numPrefixTokens,
      outputShape,
      grid,
      channels: plan.scales.map((_, index) => [index * shape.channels, (index + 1) * shape.channels]),
      dims:
        outputShape === 'bnc' ? [numPrefixTokens + grid.height * grid.width, total] : [total, grid.height, grid.width],
    };
  }
}

/** The largest rectangle of the tile's aspect ratio, in the middle of the image. */
function centredCrop(image: NativeSize, tile: NativeSize): NativeCrop {
  const isWide = image.width * tile.height > image.height * tile.width;
  const height = isWide ? image.height : Math.max(1, Math.floor((image.width * tile.height) / tile.width));
  const width = isWide ? Math.max(1, Math.floor((image.height * tile.width) / tile.height)) : image.width;
  return { top: Math.floor((image.height - height) / 2), left: Math.floor((image.width - width) / 2), height, width };
}

async function checkModelSource(model: unknown): Promise<string | Uint8Array> {
  if (typeof model === 'string' && model !== '') return checkModelPath(model);
  if (!ArrayBuffer.isView(model) || (model as Uint8Array)[Symbol.toStringTag] !== 'Uint8Array') {
    throw invalid('the path of an ONNX file or its bytes (Uint8Array)', 'model', model);
  }
  const bytes = model as Uint8Array;
  if (isDetached(bytes)) throw invalid('bytes', 'model', bytes, 'the buffer was transferred away');
  if (bytes.length === 0)
    throw new ManyscaleError('ERR_MODEL_LOAD', 'Expected the bytes of an ONNX file for model but received 0 bytes');
  return isUnstable(bytes) ? new Uint8Array(bytes) : bytes;
}

/** Absolute path of a file that is there and not empty: the runtime's own messages for the others name its source files. */
async function checkModelPath(path: string): Promise<string> {
  const refuse = (received: string, cause?: unknown) =>
    new ManyscaleError(
      'ERR_MODEL_LOAD',
      `Expected the path of an ONNX file for model but received '${path}'${received}; check the path`,
      { cause },
    );
  const file = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw refuse(`, which cannot be read (${cause.code})`, cause);
  });
  if (!file.isFile()) throw refuse(', which is not a file');
  if (file.size === 0) throw refuse(', which is empty');
  return resolve(path);
}

function notYet(what: string, instead: string, purpose: string): ManyscaleError {
  return new ManyscaleError(
    'ERR_INVALID_ARGUMENT',
    `Expected ${instead} for ${purpose} but received a call of ${what}; it is not available in this version of manyscale`,
  );
}
