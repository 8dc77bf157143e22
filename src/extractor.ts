// Extractor: a model, loaded once, that turns images into multi-scale features.

import { availableParallelism } from 'node:os';
import { abortable } from './abort.js';
import { copyBytes } from './copy.js';
import { type Decoding, decodeImage, planDecoding } from './decode.js';
import { openImage, ownSource } from './encoded.js';
import { invalid, ManyscaleError } from './errors.js';
import { Features } from './features.js';
import { centredCrop, type Geometry, geometryFor, isTwiceAsLarge, type ModelFacts } from './geometry.js';
import { type ImageInput, type ImageSource, recogniseImage } from './image.js';
import { ImageRun } from './image-run.js';
import { describeModel, type ExtractorInfo } from './info.js';
import { type ExtractResult, extractEach } from './many.js';
import { candidateOutputs, chooseInput, chooseOutput, choosePreprocess } from './model.js';
import { checkModelSource } from './model-source.js';
import type {
  NativeImage,
  NativeModelConfiguration,
  NativePreprocess,
  NativeSession,
  NativeStats,
} from './native/addon.js';
import {
  configureSession,
  disposedMeanwhile,
  loadSession,
  probeSession,
  readStats,
  reserve,
  shrinkSession,
  startExtract,
  tryReserve,
} from './native/calls.js';
import {
  type CheckedExtractorOptions,
  checkExtractManyOptions,
  checkExtractOptions,
  checkExtractorOptions,
  type ExtractManyOptions,
  type ExtractOptions,
  type ExtractorOptions,
  fillPreprocess,
  type Layout,
  mergeScaleOptions,
  size,
} from './options.js';
import { type Plan, type Size, sealPlan } from './plan.js';
import { findRuntime } from './runtime.js';
import { decodingPlaces, Slots } from './slots.js';
import { type ExtractorStats, Recorder } from './stats.js';
import { Tensor } from './tensor.js';

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

interface Loaded {
  session: NativeSession;
  options: CheckedExtractorOptions;
  facts: ModelFacts;
  preprocess: NativePreprocess;
  info: ExtractorInfo;
}

/** What one call asks for. */
interface Job {
  geometry: Geometry;
  fit: 'stretch' | 'crop';
}

type Run = ImageRun<Features>;

/** Milliseconds without an image after which memory that is kept for the next one is given back. */
const IDLE = 2000;

export class Extractor implements AsyncDisposable {
  /** What was loaded: the model, the runtime and the device, the preprocessing in force, and where each fact is from. */
  readonly info: ExtractorInfo;

  readonly #loaded: Loaded;
  readonly #runs = new Set<Run>();
  readonly #recorder = new Recorder();
  /** Image files that are read, or were and wait for a ticket: few, so that those that wait take little memory. */
  readonly #openings = new Slots(availableParallelism());
  /** Aborts at disposal. */
  readonly #ending = new AbortController();
  #disposal: Promise<void> | undefined;
  #lastStats: NativeStats | undefined;
  #idle: NodeJS.Timeout | undefined;

  private constructor(loaded: Loaded) {
    if (loaded === undefined) {
      // JavaScript does not know that this is private.
      throw invalid('Extractor.load()', 'making an Extractor', loaded, 'loading a model takes a while: await it');
    }
    this.#loaded = loaded;
    this.info = loaded.info;
  }

  /**
   * Loads an ONNX model of images, from a path or from its bytes (copied), and finds out how it wants its tiles. A few
   * tiles of noise are run, so that the first image is not slow.
   * @throws {ManyscaleError} ERR_INVALID_ARGUMENT, ERR_RUNTIME_UNAVAILABLE (no ONNX Runtime: the message has the command
   * that installs it), ERR_MODEL_LOAD, ERR_MODEL_SHAPE (not a model of images, or none of its outputs has places),
   * ERR_MODEL_RUN, ERR_DEVICE_UNAVAILABLE, ERR_PLAN_TOO_LARGE, ERR_OUT_OF_MEMORY. The signal's reason when it aborts.
   */
  static async load(model: string | Uint8Array, options?: ExtractorOptions): Promise<Extractor> {
    const checked = checkExtractorOptions(options);
    const { signal, threads, maxBatch, maxDelay, deterministic, maxBytes } = checked;
    signal?.throwIfAborted();
    const source = await abortable(checkModelSource(model), signal);
    const runtime = findRuntime(checked.runtimeLibrary);
    const session = await loadSession(
      { ...source, runtime: runtime.path, threads, maxBatch, maxDelay, deterministic, maxBytes },
      signal,
    );
    try {
      const input = chooseInput(session.inputs, checked.tileSize);
      const configuration: NativeModelConfiguration = {
        input: input.index,
        output: 0,
        tile: input.tile,
        fixedBatch: input.fixedBatch,
      };
      const candidates = candidateOutputs(session.outputs, checked.output);
      const probes = await probeSession(session, configuration, candidates, signal);
      const probed = probes.map(({ dims }) => dims);
      const { scale, patchSize, dtype } = checked;
      const output = chooseOutput(session.outputs, candidates, probed, input, {
        named: checked.output !== undefined,
        ...(scale.numPrefixTokens !== undefined && { numPrefixTokens: scale.numPrefixTokens }),
        ...(patchSize !== undefined && { patchSize }),
      });
      const { preprocess, sources } = choosePreprocess(checked.preprocess, session.metadata);
      const filled = fillPreprocess(preprocess, 'uint8', checked.background);
      const facts: ModelFacts = { input, output, dtype, ...(patchSize !== undefined && { patchSize }) };
      geometryFor(facts, scale); // options that cannot work with this model are refused now, not with the first image
      const dims = output.dims.slice(1);
      const batching = await configureSession(session, { ...configuration, output: output.index }, dims, signal);
      const info = describeModel({
        model: source.model,
        session,
        batching,
        runtime,
        options: checked,
        input,
        output,
        preprocess,
        sources,
      });
      return new Extractor({ session, options: checked, facts, preprocess: filled, info });
    } catch (error) {
      void session.dispose().catch(() => {});
      throw error;
    }
  }

  /**
   * Multi-scale features of one image. Pixels and encoded bytes are copied before the call returns. Beyond the limit on
   * memory in flight (maxBytes) it waits.
   * @throws {ManyscaleError} ERR_INVALID_ARGUMENT, ERR_IMAGE_READ, ERR_IMAGE_DECODE, ERR_IMAGE_UNSUPPORTED,
   * ERR_IMAGE_TOO_LARGE, ERR_PLAN_TOO_LARGE, ERR_MODEL_SHAPE, ERR_MODEL_RUN, ERR_OUT_OF_MEMORY, ERR_DISPOSED. The
   * signal's reason when it aborts.
   */
  async extract(image: ImageInput, options?: ExtractOptions): Promise<Features> {
    const { scale, fit = this.#loaded.options.fit, signal } = checkExtractOptions(options);
    this.#checkUsable();
    signal?.throwIfAborted();
    const { facts, options: loaded } = this.#loaded;
    const run = this.#start(image, { geometry: geometryFor(facts, mergeScaleOptions(loaded.scale, scale)), fit });
    return abortable(run.result, signal, () => run.cancel(signal?.reason));
  }

  /**
   * Features of many images, each { index, features } or { index, error }: an image that fails does not end the rest. The
   * next image is taken from `images` only when there is room for it in memory and the caller keeps up, so that the source
   * may be endless; how many are worked on at once is chosen for the machine. Ending the loop early, an aborted signal and
   * disposal cancel what is in flight and close the source; the latter two throw, the signal's reason or ERR_DISPOSED. What the
   * source throws is thrown after the results of the images before it.
   * @throws {ManyscaleError} ERR_INVALID_ARGUMENT, ERR_PLAN_TOO_LARGE, ERR_DISPOSED; when it is first asked for a result.
   */
  async *extractMany(
    images: Iterable<ImageInput> | AsyncIterable<ImageInput>,
    options?: ExtractManyOptions,
  ): AsyncGenerator<ExtractResult, void, void> {
    const { scale, fit = this.#loaded.options.fit, signal, ordered } = checkExtractManyOptions(options);
    this.#checkUsable();
    signal?.throwIfAborted();
    const { facts, options: loaded } = this.#loaded;
    const job = { geometry: geometryFor(facts, mergeScaleOptions(loaded.scale, scale)), fit };
    yield* extractEach(images, {
      ordered,
      limit: this.#imagesAtOnce(job.geometry),
      signals: signal ? [signal, this.#ending.signal] : [this.#ending.signal],
      start: (image) => this.#start(image, job),
    });
  }

  /** Enough for two full batches per worker while as many images as can be are decoded: the model never waits for images. */
  #imagesAtOnce({ tiles }: Geometry): number {
    const { workers, maxBatch } = this.info.batching;
    return availableParallelism() + Math.ceil((2 * workers * maxBatch) / tiles) + 1;
  }

  /** What was done since the load and what goes on now. After disposal: as it was at its end. */
  stats(): ExtractorStats {
    return this.#recorder.snapshot(this.#lastStats ?? readStats(this.#loaded.session), this.info.batching.maxBatch);
  }

  /**
   * The plan of an image of this size, decoded and turned upright, with the load's options. split() and pool() with it
   * and `info.preprocess` do what extract() does.
   * @throws {ManyscaleError} ERR_INVALID_ARGUMENT, ERR_PLAN_TOO_LARGE, ERR_DISPOSED.
   */
  plan(imageSize: Size): ExtractorPlan {
    this.#checkUsable();
    const { options, facts } = this.#loaded;
    const image = size(imageSize, 'the image');
    const { plan, shape, numPrefixTokens, outputShape, grid, channels, dims } = geometryFor(
      facts,
      options.scale,
      image,
    );
    const grids = plan.scales.map(({ rows, columns }) => ({
      height: rows * shape.grid.height,
      width: columns * shape.grid.width,
    }));
    const crop = options.fit === 'crop' && { crop: centredCrop(image, facts.input.tile) };
    return sealPlan(plan, { ...crop, numPrefixTokens, outputShape, grid, channels, dims, grids });
  }

  /** Ends what runs or waits (those calls reject with ERR_DISPOSED at once) and frees the model. Later calls wait for the same end. */
  dispose(): Promise<void> {
    this.#disposal ??= this.#dispose();
    return this.#disposal;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #dispose(): Promise<void> {
    clearTimeout(this.#idle);
    const { session } = this.#loaded;
    const { tiles, batches, bytes } = readStats(session);
    this.#lastStats = {
      tiles: { queued: 0, running: 0, done: tiles.done },
      batches,
      bytes: { inFlight: 0, limit: bytes.limit, waiting: 0 },
    };
    const reason = disposedMeanwhile();
    this.#ending.abort(reason);
    for (const run of this.#runs) run.cancel(reason);
    return session.dispose();
  }

  #checkUsable(): void {
    if (this.#disposal)
      throw new ManyscaleError(
        'ERR_DISPOSED',
        'Expected an Extractor in use but received one that was disposed; load another',
      );
  }

  /** Begins now, on this stack: what the caller may change afterwards has been copied when this returns. */
  #start(image: unknown, job: Job): Run {
    const recorder = this.#recorder;
    recorder.started();
    const run: Run = new ImageRun(
      (self) => this.#work(self, image, job),
      () => recorder.admitted(),
    );
    this.#runs.add(run);
    const end = (how: 'done' | 'failed') => {
      recorder.ended(run.signal.aborted ? 'cancelled' : how, run.wasAdmitted);
      this.#runs.delete(run);
      if (this.#runs.size === 0) this.#restOnceIdle();
    };
    run.result.then(
      () => end('done'),
      () => end('failed'),
    );
    return run;
  }

  async #work(run: Run, image: unknown, job: Job): Promise<Features> {
    const started = performance.now();
    const source = recogniseImage(image);
    return source.kind === 'pixels'
      ? this.#workOnPixels(run, source.image, job, started)
      : this.#workOnEncoded(run, source, job, started);
  }

  async #workOnPixels(run: Run, given: NativeImage, job: Job, started: number): Promise<Features> {
    const { session } = this.#loaded;
    const bytes = given.data.byteLength + job.geometry.featureBytes;
    const ticket = tryReserve(session, bytes);
    let image = given;
    if (ticket) run.admit(ticket);
    else {
      // The caller may change its buffer once the call has returned.
      if (!given.owned) image = { ...given, data: copyBytes(given.data as Uint8Array), owned: true };
      run.admit(await reserve(session, bytes, run.signal));
    }
    const wait = ticket ? 0 : performance.now() - started;
    return this.#extract(run, image, job, { started, wait, decode: 0 });
  }

  async #workOnEncoded(
    run: Run,
    source: Exclude<ImageSource, { kind: 'pixels' }>,
    job: Job,
    started: number,
  ): Promise<Features> {
    const { signal } = run;
    const own = await abortable(ownSource(source), signal); // before any place is taken: a Blob may never end
    const asked = performance.now();
    let decode = 0;
    const timed = async <T>(work: Promise<T>): Promise<T> => {
      const begin = performance.now();
      try {
        return await work;
      } finally {
        decode += performance.now() - begin;
      }
    };
    const open = async () => {
      const image = await timed(openImage(own, this.#loaded.options));
      const decoding = this.#planDecoding(image, job);
      await this.#admit(run, decoding.peak + job.geometry.featureBytes, image.what);
      return { image, decoding };
    };
    const opened = await abortable(this.#openings.run(open, signal), signal);
    const pixels = await abortable(
      decodingPlaces.run(() => run.use(timed(decodeImage(opened.image, opened.decoding))), signal),
      signal,
    );
    return this.#extract(run, pixels, job, { started, wait: performance.now() - asked - decode, decode });
  }

  #planDecoding(image: Parameters<typeof planDecoding>[0], { geometry, fit }: Job): Decoding {
    const { options, facts } = this.#loaded;
    if (!options.fastDecode) return planDecoding(image);
    return planDecoding(image, (smaller) =>
      isTwiceAsLarge(geometry, fit === 'crop' ? centredCrop(smaller, facts.input.tile) : smaller),
    );
  }

  async #admit(run: Run, bytes: number, what: string): Promise<void> {
    const { session } = this.#loaded;
    try {
      run.admit(tryReserve(session, bytes) ?? (await reserve(session, bytes, run.signal)));
    } catch (error) {
      if (!(error instanceof ManyscaleError) || error.code !== 'ERR_IMAGE_TOO_LARGE') throw error;
      throw new ManyscaleError(
        error.code,
        error.message.replace('an image in work', () => what),
        { cause: error.cause },
      );
    }
  }

  /** From pixels to features. The run has its ticket. */
  async #extract(
    run: Run,
    image: NativeImage,
    { geometry, fit }: Job,
    { started, wait, decode }: { started: number; wait: number; decode: number },
  ): Promise<Features> {
    const { session, facts, preprocess } = this.#loaded;
    const { plan, shape, numPrefixTokens, outputShape, grid, channels, dims } = geometry;
    const { input, output, dtype } = facts;
    run.signal.throwIfAborted();
    const crop = fit === 'crop' ? centredCrop(image, input.tile) : undefined;
    const { result, ended } = startExtract(
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
        dtype,
      },
      run.signal,
    );
    run.useNative(ended);
    const { data, timings } = await result;
    const { queue, split, model, pool } = timings;
    const features = new Features({
      tensor:
        dtype === 'float16'
          ? new Tensor(dtype, data as Uint16Array, dims)
          : new Tensor(dtype, data as Float32Array, dims),
      grid,
      numPrefixTokens: outputShape === 'bnc' ? numPrefixTokens : 0,
      scales: plan.scales.map(({ height, width, rows, columns }, index) => ({
        height,
        width,
        rows,
        columns,
        channels: channels[index] ?? [0, 0],
      })),
      timings: { wait, decode, queue, split, model, pool, total: performance.now() - started },
    });
    this.#recorder.timed(features.timings, decode > 0);
    return features;
  }

  /** Never keeps the process alive. */
  #restOnceIdle(): void {
    if (this.#disposal) return;
    if (this.#idle) this.#idle.refresh();
    else {
      this.#idle = setTimeout(() => {
        if (this.#runs.size === 0 && !this.#disposal) void shrinkSession(this.#loaded.session);
      }, IDLE).unref();
    }
  }
}
