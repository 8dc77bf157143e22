// Extractor: a model, loaded once, that turns images into multi-scale features.

import { abortable } from './abort.js';
import type { CostModel, Estimate } from './cost/estimate.js';
import { CPU_ALONE, checkPlacement, chooseDevice, ON_CPU, profileOf } from './device.js';
import { invalid, ManyscaleError } from './errors.js';
import type { Features } from './features.js';
import { type Cutting, mergeCutting, refuseContradictions } from './geometry/cutting.js';
import {
  centredCrop,
  type ExtractorPlan,
  Geometries,
  type Geometry,
  type ModelFacts,
  tileElements,
} from './geometry/geometry.js';
import { type Size, sealPlan } from './geometry/plan.js';
import type { ImageInput } from './images/image.js';
import { readConfiguration } from './model/configuration/configuration.js';
import { readConfigurationFiles } from './model/configuration/files.js';
import { describeModel, type ExtractorInfo } from './model/info.js';
import { chooseInput, TILE_TYPE_BYTES } from './model/input.js';
import { fromMetadata, readMetadata } from './model/metadata.js';
import { candidateOutputs, chooseOutputs } from './model/outputs.js';
import { choosePatches, chooseReading, explainFailure, refuseContradiction } from './model/reading.js';
import { checkModelSource } from './model/source.js';
import type { NativeModelConfiguration, NativePlacement, NativeStats } from './native/addon.js';
import {
  configureSession,
  disposedMeanwhile,
  loadSession,
  probeSession,
  readPlacement,
  readStats,
} from './native/calls.js';
import { stripWeights } from './onnx/strip.js';
import {
  type CheckedExtractOptions,
  checkEstimateOptions,
  checkExtractManyOptions,
  checkExtractOptions,
  checkExtractorOptions,
} from './options/extractor.js';
import type { EstimateOptions, ExtractManyOptions, ExtractOptions, ExtractorOptions } from './options/options.js';
import { fillPreprocess, readsAllPixels } from './options/preprocess.js';
import type { CheckedScaleOptions } from './options/scale.js';
import { size } from './options/values.js';
import { type ExtractResult, extractEach } from './pipeline/many.js';
import { type LoadedModel, Pipeline } from './pipeline/pipeline.js';
import type { ExtractorStats } from './pipeline/stats.js';
import { findRuntime } from './runtime.js';

export class Extractor implements AsyncDisposable {
  /** What was loaded: the model, the runtime and the device, the preprocessing in force, and where each fact is from. */
  readonly info: ExtractorInfo;

  readonly #loaded: LoadedModel;
  readonly #pipeline: Pipeline;
  /** Aborts at disposal. */
  readonly #ending = new AbortController();
  #disposal: Promise<void> | undefined;
  #lastStats: NativeStats | undefined;
  #lastPlacement: NativePlacement | undefined;
  #costs: Promise<CostModel> | undefined;

  private constructor(loaded: LoadedModel, info: ExtractorInfo) {
    if (loaded === undefined) {
      // JavaScript does not know that this is private.
      throw invalid('Extractor.load()', 'making an Extractor', loaded, 'loading a model takes a while: await it');
    }
    this.#loaded = loaded;
    this.#pipeline = new Pipeline(loaded);
    this.info = info;
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
    const files = await abortable(readConfigurationFiles(source.model, checked.configuration), signal);
    const runtime = findRuntime(checked.runtimeLibrary);
    const common = { ...source, runtime: runtime.path, threads, maxBatch, maxDelay, deterministic, maxBytes };
    // What a GPU is to do follows from the model's input and outputs; on a GPU this one serves its proof and, where it fails, in its place.
    let session = await loadSession({ ...common, device: ON_CPU }, signal);
    try {
      const carried = readMetadata(session.metadata);
      const configuration = readConfiguration(files, { ...carried.preprocess, ...checked.preprocess });
      const reading = chooseReading(checked, carried, configuration, session.inputs[0]?.type);
      const input = chooseInput(session.inputs, checked.tileSize, reading.tileSize);
      refuseContradiction(carried, input);
      const choose = () => candidateOutputs(session.outputs, reading.outputs?.value);
      const candidates = reading.outputs?.source === 'metadata' ? fromMetadata('output', choose) : choose();
      const request: NativeModelConfiguration = {
        input: input.index,
        outputs: candidates,
        tile: input.tile,
        fixedBatch: input.fixedBatch,
        layout: input.layout,
      };
      const probes = await probeSession(session, request, signal).catch((error: unknown) => {
        throw explainFailure(error, input, reading);
      });
      const probed = probes.map(({ dims }) => dims);
      const { scale, dtype } = checked;
      const patches = choosePatches(reading.patchSize, input.tile, (patchSize) =>
        chooseOutputs(session.outputs, candidates, probed, input, {
          named: reading.outputs !== undefined,
          ...(reading.numPrefixTokens && { numPrefixTokens: reading.numPrefixTokens.value }),
          ...(patchSize !== undefined && { patchSize }),
        }),
      );
      const { outputs, patchSize } = patches;
      const filled = fillPreprocess(reading.preprocess, 'uint8', checked.background);
      const facts: ModelFacts = { input, outputs, dtype, ...(patchSize && { patchSize: patchSize.value }) };
      const cutting: Cutting = {
        scale,
        fit: reading.fit.value,
        ...(checked.preset !== undefined && { preset: checked.preset }),
        ...(checked.maxTiles !== undefined && { maxTiles: checked.maxTiles }),
      };
      refuseContradictions({ ...cutting, fit: checked.fit });
      new Geometries(facts).of(cutting); // options that cannot work with this model are refused now, not with the first image
      const dims = outputs.map((output) => output.dims.slice(1));
      const used = { ...request, outputs: outputs.map(({ index }) => index) };
      const model = { session: common, configuration: used, outputDims: dims, ...profileOf(session, input, maxBatch) };
      let choice = await abortable(chooseDevice(checked.device, model, signal), signal);
      if (choice.request) {
        const reader = session;
        session = await loadSession({ ...common, device: choice.request }, signal); // shares the model with the reader
        void reader.dispose().catch(() => {});
      }
      const batching = await configureSession(session, used, dims, signal);
      const placement = choice.request ? readPlacement(session) : CPU_ALONE;
      choice = checkPlacement(checked.device, choice, placement);
      const info = describeModel({
        model: source.model,
        session,
        batching,
        runtime,
        placement: { ...placement, unavailable: choice.unavailable },
        read: { configuration, reading, input, patches, candidates: candidates.length, deviceNotes: choice.notes },
      });
      const weightless = typeof source.model === 'string' ? undefined : stripWeights(source.model);
      return new Extractor(
        {
          session,
          wantsGpu: choice.request !== undefined,
          options: checked,
          cutting,
          facts,
          preprocess: filled,
          batching,
          configuration: used,
          weightless,
        },
        info,
      );
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
    const checked = checkExtractOptions(options);
    const { signal } = checked;
    this.#checkUsable();
    signal?.throwIfAborted();
    const run = this.#pipeline.start(image, this.#cuttingOf(checked));
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
    const checked = checkExtractManyOptions(options);
    const { signal, ordered } = checked;
    this.#checkUsable();
    signal?.throwIfAborted();
    const cutting = this.#cuttingOf(checked);
    yield* extractEach(images, {
      ordered,
      limit: this.#pipeline.imagesAtOnce(cutting),
      signals: signal ? [signal, this.#ending.signal] : [this.#ending.signal],
      start: (image) => this.#pipeline.start(image, cutting),
    });
  }

  /** What was done since the load and what goes on now. After disposal: as it was at its end. */
  stats(): ExtractorStats {
    const native = this.#lastStats ?? readStats(this.#loaded.session);
    return this.#pipeline.recorder.snapshot(native, this.info.batching.maxBatch, this.#placement());
  }

  /**
   * The plan of an image of this size, decoded and turned upright, with the load's options. split() and pool() with it
   * and `info.preprocess` do what extract() does.
   * @throws {ManyscaleError} ERR_INVALID_ARGUMENT, ERR_PLAN_TOO_LARGE, ERR_DISPOSED.
   */
  plan(imageSize: Size): ExtractorPlan {
    this.#checkUsable();
    const image = size(imageSize, 'the image');
    return this.#seal(this.#pipeline.geometries.of(this.#loaded.cutting, image), image);
  }

  /**
   * What extract() of an image of this size will cost: multiply-adds, memory and time. With a budget: the most of the scales that
   * keeps it, and what was given up. The wish is the options' scales, else the load's, else 1, 2 ... up to the image's own
   * resolution, at most 8; the largest goes first, the smallest stays. A budget that nothing keeps is no error: `fits` is false.
   *
   * The first call counts the model's products and measures for a second or two, running images of noise (which stats() counts
   * too): it should be made while nothing else is in flight. Milliseconds are those of this machine as it was then.
   * @throws {ManyscaleError} ERR_INVALID_ARGUMENT, ERR_PLAN_TOO_LARGE, ERR_IMAGE_TOO_LARGE (maxBytes is less than one tile needs),
   * ERR_MODEL_RUN, ERR_OUT_OF_MEMORY, ERR_DISPOSED. The signal's reason when it aborts.
   */
  async estimate(imageSize: Size, options?: EstimateOptions): Promise<Estimate> {
    const checked = checkEstimateOptions(options);
    const { signal, budget } = checked;
    this.#checkUsable();
    signal?.throwIfAborted();
    const image = size(imageSize, 'the image');
    const { facts, options: loaded } = this.#loaded;
    const cutting = this.#cuttingOf(checked);
    const look = (scale: CheckedScaleOptions) => {
      const geometry = this.#pipeline.geometries.of({ ...cutting, scale }, image);
      const { featureBytes, resultBytes } = geometry;
      return { plan: this.#seal(geometry, image), featureBytes, resultBytes };
    };
    const { wishFor } = await import('./cost/budget.js');
    const { estimateWithin, withWish } = await import('./cost/estimate.js');
    const namesScales =
      loaded.namesScales || checked.scale.scales !== undefined || checked.scale.imageSizes !== undefined;
    const isFree = budget !== undefined && !namesScales;
    const wish = wishFor(cutting, image, facts.input.tile, isFree, () => look(cutting.scale).plan);
    look(withWish(cutting.scale, wish)); // what cannot be planned is refused before anything is measured
    this.#costs ??= this.#measureCosts().catch((error: unknown) => {
      this.#costs = undefined;
      throw error;
    });
    const costs = await abortable(this.#costs, signal);
    return estimateWithin(costs, wish, budget ?? {}, cutting, look);
  }

  /** Ends what runs or waits (those calls reject with ERR_DISPOSED at once) and frees the model. Later calls wait for the same end. */
  dispose(): Promise<void> {
    this.#disposal ??= this.#dispose();
    return this.#disposal;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /** What is said of other devices is the load's, and what has happened since. */
  #placement(): ExtractorStats['placement'] {
    const { session, wantsGpu } = this.#loaded;
    if (!wantsGpu) {
      const { device, provider, gpus, unavailable } = this.info;
      return { device, provider, gpus, unavailable };
    }
    const { device, provider, gpus, unavailable } = this.#lastPlacement ?? readPlacement(session);
    return { device, provider, gpus, unavailable: { ...this.info.unavailable, ...unavailable } };
  }

  #dispose(): Promise<void> {
    const { session, wantsGpu } = this.#loaded;
    if (wantsGpu) this.#lastPlacement = readPlacement(session);
    const { tiles, batches, bytes } = readStats(session);
    this.#lastStats = {
      tiles: { queued: 0, running: 0, done: tiles.done },
      batches,
      bytes: { inFlight: 0, limit: bytes.limit, waiting: 0 },
    };
    const reason = disposedMeanwhile();
    this.#ending.abort(reason);
    this.#pipeline.end(reason);
    return session.dispose();
  }

  #cuttingOf(checked: CheckedExtractOptions): Cutting {
    const cutting = mergeCutting(this.#loaded.cutting, checked);
    this.#pipeline.geometries.of(cutting); // what cannot work with any image is the call's error
    return cutting;
  }

  #seal({ plan, crops, pool, grid, grids, channels, dims }: Geometry, image: Size): ExtractorPlan {
    const crop = crops && { crop: centredCrop(image, this.#loaded.facts.input.tile) };
    return sealPlan(plan, { ...crop, ...pool, grid, channels, dims, grids });
  }

  /** Goes on when who waits for it leaves: the next one wants it too. */
  async #measureCosts(): Promise<CostModel> {
    const { session, facts, batching, configuration, weightless } = this.#loaded;
    const { info } = this;
    const { signal } = this.#ending;
    const { measureSpeed } = await import('./cost/speed.js');
    const { countProductsOf } = await import('./cost/products.js');
    const products = await countProductsOf(info.model.path ?? weightless, info, configuration, signal);
    const { tile } = facts.input;
    const speed = await measureSpeed((image, { height, width }) => this.#extractOneScale(image, [height, width]), {
      tile,
      unit: batching.fixed ? batching.size : 1,
      workers: batching.workers,
      tileBytes: 4 * tileElements(facts.outputs),
      readsAll: readsAllPixels(info.preprocess.resize),
      mostBytes: readStats(session).bytes.limit,
    });
    const tileBytes = TILE_TYPE_BYTES[info.input.type] * info.input.channels * tile.height * tile.width;
    return { products, speed, inWork: { tiles: batching.workers * batching.size, tileBytes } };
  }

  #extractOneScale(image: ImageInput, imageSize: [height: number, width: number]): Promise<Features> {
    const [height, width] = imageSize;
    const cutting: Cutting = { scale: { imageSizes: [{ height, width }] }, fit: 'stretch' };
    return this.#pipeline.start(image, cutting).result;
  }

  #checkUsable(): void {
    if (this.#disposal)
      throw new ManyscaleError(
        'ERR_DISPOSED',
        'Expected an Extractor in use but received one that was disposed; load another',
      );
  }
}
