// What an image goes through with a loaded model: its ticket, decoding, and native work from pixels to features.

import { availableParallelism } from 'node:os';
import { abortable } from './abort.js';
import { Admission } from './admission.js';
import { copyBytes } from './copy.js';
import type { WeightlessModel } from './cost/products.js';
import { type Decoding, decodeImage, planDecoding } from './decode.js';
import { type EncodedImage, openImage, ownSource } from './encoded.js';
import { ManyscaleError } from './errors.js';
import { Features } from './features.js';
import { centredCrop, type Geometry, geometryFor, isTwiceAsLarge, type ModelFacts } from './geometry.js';
import { type ImageSource, recogniseImage } from './image.js';
import { ImageRun } from './image-run.js';
import type {
  NativeBatching,
  NativeImage,
  NativeModelConfiguration,
  NativePreprocess,
  NativeSession,
} from './native/addon.js';
import { discardPixels, returnFreeMemory, shrinkSession, startExtract } from './native/calls.js';
import type { CheckedExtractorOptions } from './options.js';
import { decodingPlaces, Slots } from './slots.js';
import { Recorder } from './stats.js';
import { Tensor } from './tensor.js';

export interface LoadedModel {
  session: NativeSession;
  options: CheckedExtractorOptions & { fit: Job['fit'] };
  facts: ModelFacts;
  preprocess: NativePreprocess;
  batching: NativeBatching;
  configuration: NativeModelConfiguration;
  /** Of a model that was given as bytes, where it could be read. */
  weightless: WeightlessModel | undefined;
}

/** What is wanted of an image. */
export interface Job {
  geometry: Geometry;
  fit: 'stretch' | 'crop';
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
    const images = Math.max(LEAST_AT_ONCE, this.imagesAtOnce(geometryFor(loaded.facts, loaded.options.scale)));
    this.#admission = new Admission(loaded.session, images);
  }

  /** Enough for two full batches per worker while as many images as can be are decoded: the model never waits for images. */
  imagesAtOnce({ tiles }: Geometry): number {
    const { workers, size } = this.#loaded.batching;
    return availableParallelism() + Math.ceil((2 * workers * size) / tiles) + 1;
  }

  /** Begins now, on this stack: what the caller may change afterwards has been copied when this returns. Never throws. */
  start(image: unknown, job: Job): Run {
    const { recorder } = this;
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

  /** Cancels all that is under way, with this reason. Nothing is started afterwards. */
  end(reason: ManyscaleError): void {
    this.#hasEnded = true;
    clearTimeout(this.#pause);
    clearTimeout(this.#idle);
    for (const run of this.#runs) run.cancel(reason);
  }

  async #work(run: Run, image: unknown, job: Job): Promise<Features> {
    const started = performance.now();
    const source = recogniseImage(image);
    return source.kind === 'pixels'
      ? this.#workOnPixels(run, source.image, job, started)
      : this.#workOnEncoded(run, source, job, started);
  }

  async #workOnPixels(run: Run, given: NativeImage, job: Job, started: number): Promise<Features> {
    const bytes = given.data.byteLength + job.geometry.featureBytes;
    const ticket = this.#admission.tryReserve(bytes);
    let image = given;
    if (ticket) run.admit(ticket);
    else {
      // The caller may change its buffer once the call has returned.
      if (!given.owned) image = { ...given, data: copyBytes(given.data as Uint8Array), owned: true };
      run.admit(await this.#admission.reserve(bytes, run.signal));
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
    const decodeNow = async () => {
      const pixels = await timed(decodeImage(opened.image, opened.decoding));
      if (signal.aborted) discardPixels(pixels); // nobody waits for them any more
      return pixels;
    };
    const pixels = await abortable(
      decodingPlaces.run(() => run.use(decodeNow()), signal),
      signal,
    );
    return this.#extract(run, pixels, job, { started, wait: performance.now() - asked - decode, decode });
  }

  #planDecoding(image: EncodedImage, { geometry, fit }: Job): Decoding {
    const { options, facts } = this.#loaded;
    if (!options.fastDecode) return planDecoding(image);
    return planDecoding(image, (smaller) =>
      isTwiceAsLarge(geometry, fit === 'crop' ? centredCrop(smaller, facts.input.tile) : smaller),
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
    image: NativeImage,
    { geometry, fit }: Job,
    { started, wait, decode }: { started: number; wait: number; decode: number },
  ): Promise<Features> {
    const { session, facts, preprocess } = this.#loaded;
    const { plan, shapes, numPrefixTokens, outputShape, grid, channels, dims } = geometry;
    const { input, outputs, dtype } = facts;
    run.signal.throwIfAborted();
    const crop = fit === 'crop' ? centredCrop(image, input.tile) : undefined;
    const { result, ended } = startExtract(
      session,
      {
        image,
        plan: { ...plan, image: { height: image.height, width: image.width } },
        ...(crop && { crop }),
        preprocess,
        layout: outputs[0].layout,
        outputLayout: outputShape,
        numPrefixTokens,
        grids: shapes.map((shape) => shape.grid),
        channels: shapes.map((shape) => shape.channels),
        dtype,
      },
      run.signal,
    );
    run.useNative(ended.then(() => discardPixels(image)));
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
    this.recorder.timed(features.timings, decode > 0);
    return features;
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
