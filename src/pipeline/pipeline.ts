// What an image goes through with a loaded model: its ticket, decoding, and native work from pixels to features.

import { availableParallelism } from 'node:os';
import { abortable } from '../abort.js';
import { copyBytes } from '../copy.js';
import { ManyscaleError } from '../errors.js';
import { Features } from '../features.js';
import type { Cutting } from '../geometry/cutting.js';
import { centredCrop, Geometries, type Geometry, isTwiceAsLarge, type ModelFacts } from '../geometry/geometry.js';
import { type Decoding, decodeImage, planDecoding } from '../images/decode.js';
import { type EncodedImage, openImage, ownSource } from '../images/encoded.js';
import { type ImageSource, recogniseImage } from '../images/image.js';
import type {
  NativeBatching,
  NativeImage,
  NativeModelConfiguration,
  NativePlan,
  NativePreprocess,
  NativeScale,
  NativeSession,
} from '../native/addon.js';
import { discardPixels, returnFreeMemory, shrinkSession, startExtract, startSplit } from '../native/calls.js';
import { IMAGE_CHANNELS } from '../options/defaults.js';
import type { CheckedExtractorOptions } from '../options/extractor.js';
import { imageVia, planVia, RESIZE_ONLY, requestVia } from '../split.js';
import { Tensor } from '../tensor.js';
import { Admission } from './admission.js';
import { ImageRun } from './image-run.js';
import { decodingPlaces, Slots } from './slots.js';
import { Recorder } from './stats.js';

export interface LoadedModel {
  session: NativeSession;
  /** A GPU was asked for. */
  wantsGpu: boolean;
  options: CheckedExtractorOptions;
  /** What load() was told. */
  cutting: Cutting;
  facts: ModelFacts;
  preprocess: NativePreprocess;
  batching: NativeBatching;
  configuration: NativeModelConfiguration;
  /** The graph of a model that was given as bytes, for estimate(): those are not kept. Undefined: of a file, or not to be read. */
  weightless: Uint8Array | undefined;
}

type Run = ImageRun<Features>;

/**
 * Milliseconds without an image after which memory is given back: first what the C library keeps of what was freed, which costs the
 * next image nothing, and after a while also the buffers and the runtime's arena, which it would use again.
 */
const PAUSE = 200;
const IDLE = 2000;

/** Images that may hold memory at once, at least: one of many tiles is not to keep the small ones behind it from being begun. */
const LEAST_AT_ONCE = 8;

export class Pipeline {
  readonly recorder = new Recorder();
  readonly geometries: Geometries;
  readonly #loaded: LoadedModel;
  /** Under way. */
  readonly #runs = new Set<Run>();
  /** Images that are opened, or were and wait for a ticket: few, so that files that wait take no memory. */
  readonly #openings = new Slots(availableParallelism());
  readonly #admission: Admission;
  #pause: NodeJS.Timeout | undefined;
  #idle: NodeJS.Timeout | undefined;
  #hasEnded = false;

  constructor(loaded: LoadedModel) {
    this.#loaded = loaded;
    this.geometries = new Geometries(loaded.facts);
    const images = Math.max(LEAST_AT_ONCE, this.imagesAtOnce(loaded.cutting));
    this.#admission = new Admission(loaded.session, images);
  }

  /** Enough for two full batches per worker while as many images as can be are decoded: the model never waits for images. */
  imagesAtOnce(cutting: Cutting): number {
    const { workers, size } = this.#loaded.batching;
    const { tiles } = this.geometries.of(cutting);
    return availableParallelism() + Math.ceil((2 * workers * size) / tiles) + 1;
  }

  /** Begins now, on this stack: what the caller may change afterwards has been copied when this returns. Never throws. */
  start(image: unknown, cutting: Cutting): Run {
    const { recorder } = this;
    recorder.started();
    const run: Run = new ImageRun(
      (self) => this.#work(self, image, cutting),
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

  /** Cancels all that is under way, with this reason. Nothing is started afterwards. */
  end(reason: ManyscaleError): void {
    this.#hasEnded = true;
    clearTimeout(this.#pause);
    clearTimeout(this.#idle);
    for (const run of this.#runs) run.cancel(reason);
  }

  async #work(run: Run, image: unknown, cutting: Cutting): Promise<Features> {
    const started = performance.now();
    const source = recogniseImage(image);
    return source.kind === 'pixels'
      ? this.#workOnPixels(run, source.image, cutting, started)
      : this.#workOnEncoded(run, source, cutting, started);
  }

  async #workOnPixels(run: Run, given: NativeImage, cutting: Cutting, started: number): Promise<Features> {
    const geometry = this.geometries.of(cutting, given);
    const bytes = given.data.byteLength + geometry.featureBytes;
    const ticket = this.#admission.tryReserve(bytes);
    let image = given;
    if (ticket) run.admit(ticket);
    else {
      // The caller may change its buffer once the call has returned.
      if (!given.owned) image = { ...given, data: copyBytes(given.data as Uint8Array), owned: true };
      run.admit(await this.#admission.reserve(bytes, run.signal));
    }
    const wait = ticket ? 0 : performance.now() - started;
    return this.#extract(run, image, geometry, { started, wait, decode: 0 });
  }

  async #workOnEncoded(
    run: Run,
    source: Exclude<ImageSource, { kind: 'pixels' }>,
    cutting: Cutting,
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
      const geometry = this.geometries.of(cutting, image);
      const decoding = this.#planDecoding(image, geometry);
      await this.#admit(run, decoding.peak + geometry.featureBytes, image.what);
      return { image, decoding, geometry };
    };
    const opened = await abortable(this.#openings.run(open, signal), signal);
    const decodeNow = async () => {
      const pixels = await timed(decodeImage(opened.image, opened.decoding));
      if (signal.aborted) discardPixels(pixels); // nobody waits for them any more
      return pixels;
    };
    const pixels = await abortable(
      decodingPlaces.run(() => run.use(decodeNow()), signal),
      signal,
    );
    return this.#extract(run, pixels, opened.geometry, { started, wait: performance.now() - asked - decode, decode });
  }

  #planDecoding(image: EncodedImage, geometry: Geometry): Decoding {
    const { options, facts } = this.#loaded;
    if (!options.fastDecode) return planDecoding(image);
    return planDecoding(image, (smaller) =>
      isTwiceAsLarge(geometry, geometry.crops ? centredCrop(smaller, facts.input.tile) : smaller),
    );
  }

  async #admit(run: Run, bytes: number, what: string): Promise<void> {
    try {
      run.admit(this.#admission.tryReserve(bytes) ?? (await this.#admission.reserve(bytes, run.signal)));
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
    given: NativeImage,
    geometry: Geometry,
    { started, wait, decode }: { started: number; wait: number; decode: number },
  ): Promise<Features> {
    const { session, facts } = this.#loaded;
    const { shapes, pool, channels, grid, dims } = geometry;
    const { input, outputs, dtype } = facts;
    run.signal.throwIfAborted();
    // The image may have been decoded at a smaller size than it was planned for.
    const planned = { ...geometry.plan, image: { height: given.height, width: given.width } };
    // Without waiting where there is nothing to wait for: the caller's pixels are copied on its own stack.
    const { image, plan, preprocess, took } = planned.via
      ? await this.#makeVia(run, given, planned, planned.via)
      : { image: given, plan: planned, preprocess: this.#loaded.preprocess, took: 0 };
    const crop = geometry.crops ? centredCrop(image, input.tile) : undefined;
    const { sequence = false, outputShape: outputLayout, ...how } = pool;
    const { result, ended } = startExtract(
      session,
      {
        image,
        plan,
        ...(crop && { crop }),
        preprocess,
        layout: outputs[0].layout,
        outputLayout,
        sequence,
        ...how,
        grids: shapes.map((shape) => shape.grid),
        channels: shapes.map((shape) => shape.channels),
        dtype,
      },
      run.signal,
    );
    run.useNative(ended.then(() => discardPixels(image)));
    const { data, timings } = await result;
    const { queue, split, model, pool: pooling } = timings;
    const features = new Features({
      tensor:
        dtype === 'float16'
          ? new Tensor(dtype, data as Uint16Array, [...dims])
          : new Tensor(dtype, data as Float32Array, [...dims]),
      grid: { ...grid },
      numPrefixTokens: geometry.numPrefixTokens,
      isSequence: sequence,
      scales: plan.scales.map(({ height, width, rows, columns }, index) => ({
        height,
        width,
        rows,
        columns,
        channels: [...(channels[index] ?? [0, 0])],
      })),
      grids: geometry.grids.map((own) => ({ ...own })),
      timings: { wait, decode, queue, split: split + took, model, pool: pooling, total: performance.now() - started },
    });
    this.recorder.timed(features.timings, decode > 0);
    return features;
  }

  /** What the image is made into first, where its plan says so: the scales are then made of it. */
  async #makeVia(
    run: Run,
    given: NativeImage,
    plan: NativePlan,
    via: NativeScale,
  ): Promise<{ image: NativeImage; plan: NativePlan; preprocess: NativePreprocess; took: number }> {
    const begin = performance.now();
    const request = requestVia({ image: given, plan, preprocess: this.#loaded.preprocess, joined: true }, via);
    const { result, ended } = startSplit(request, run.signal);
    run.useNative(ended.then(() => discardPixels(given)));
    const [data] = await result;
    if (!data) throw new RangeError('a split without a tile');
    const image = imageVia(data, 1, IMAGE_CHANNELS, via);
    return { image, plan: planVia(plan, via), preprocess: RESIZE_ONLY, took: performance.now() - begin };
  }

  /** Never keeps the process alive. */
  #restOnceIdle(): void {
    if (this.#hasEnded) return;
    const whenIdle = (giveBack: () => Promise<void>) => () => {
      if (this.#runs.size === 0) void giveBack();
    };
    this.#pause ??= setTimeout(whenIdle(returnFreeMemory), PAUSE).unref();
    this.#idle ??= setTimeout(
      whenIdle(() => shrinkSession(this.#loaded.session)),
      IDLE,
    ).unref();
    this.#pause.refresh();
    this.#idle.refresh();
  }
}
