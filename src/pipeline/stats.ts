// What an Extractor did and does: counts, and how long the stages of an image's way take. Cheap enough to be always on.

import type { Timings } from '../features.js';
import { deepFreeze } from '../freeze.js';
import type { ExtractorInfo } from '../model/info.js';
import type { NativeStats } from '../native/addon.js';
import { Histogram, type Latency } from './histogram.js';

/** The stages of an image's way, and `total` from the call to its result. */
export const STAGES = ['wait', 'decode', 'queue', 'split', 'model', 'pool', 'total'] as const;

export type Stage = (typeof STAGES)[number];

/** Since the load, and now. Frozen plain data. Extractors that share a model share its tiles and batches, and count them together. */
export interface ExtractorStats {
  readonly images: {
    /** Given to the caller. */
    readonly done: number;
    /** Ended by an error. */
    readonly failed: number;
    /** Ended by a signal, an early end of extractMany, or disposal. */
    readonly cancelled: number;
    /** Now: those that hold a ticket for their memory, from decoding to pooling. */
    readonly inFlight: number;
    /** Now: those that are read, or wait for a ticket. */
    readonly waiting: number;
  };
  readonly tiles: {
    /** Now. */
    readonly queued: number;
    /** Now: in the batches that run. */
    readonly running: number;
    readonly done: number;
  };
  readonly batches: {
    readonly done: number;
    /** Tiles per batch, without padding. */
    readonly meanTiles: number;
    /** meanTiles as a part of the largest batch (info.batching.maxBatch), 0 to 1. */
    readonly fill: number;
  };
  /** Memory that tickets stand for: pixels, tile features and results of images in flight. */
  readonly bytes: {
    /** Now; of all Extractors that share the limit. */
    readonly inFlight: number;
    readonly limit: number;
  };
  /** What computes now, as info says it of the load: a GPU that failed is set aside, with its reason. */
  readonly placement: Pick<ExtractorInfo, 'device' | 'provider' | 'gpus' | 'unavailable'>;
  /** Of images that are done; `decode` only of those that were decoded. */
  readonly latency: { readonly [stage in Stage]: Latency };
}

/** Counts images and their stages. */
export class Recorder {
  #done = 0;
  #failed = 0;
  #cancelled = 0;
  /** Started and not ended. */
  #started = 0;
  /** Of those, with a ticket. */
  #admitted = 0;
  readonly #latency: { readonly [stage in Stage]: Histogram } = {
    wait: new Histogram(),
    decode: new Histogram(),
    queue: new Histogram(),
    split: new Histogram(),
    model: new Histogram(),
    pool: new Histogram(),
    total: new Histogram(),
  };

  started(): void {
    this.#started++;
  }

  admitted(): void {
    this.#admitted++;
  }

  ended(how: 'done' | 'failed' | 'cancelled', wasAdmitted: boolean): void {
    this.#started--;
    if (wasAdmitted) this.#admitted--;
    if (how === 'done') this.#done++;
    else if (how === 'failed') this.#failed++;
    else this.#cancelled++;
  }

  /** `decoded`: the image came encoded. */
  timed(timings: Timings, decoded: boolean): void {
    for (const stage of STAGES) if (decoded || stage !== 'decode') this.#latency[stage].record(timings[stage]);
  }

  /** `largest`: tiles of a full batch. */
  snapshot(
    { tiles, batches, bytes }: NativeStats,
    largest: number,
    placement: ExtractorStats['placement'],
  ): ExtractorStats {
    const meanTiles = batches.done === 0 ? 0 : tiles.done / batches.done;
    const latency = {} as { [stage in Stage]: Latency };
    for (const stage of STAGES) latency[stage] = this.#latency[stage].summary();
    return deepFreeze({
      images: {
        done: this.#done,
        failed: this.#failed,
        cancelled: this.#cancelled,
        inFlight: this.#admitted,
        waiting: this.#started - this.#admitted,
      },
      tiles: { queued: tiles.queued, running: tiles.running, done: tiles.done },
      batches: { done: batches.done, meanTiles, fill: Math.min(1, meanTiles / largest) },
      bytes: { inFlight: bytes.inFlight, limit: bytes.limit },
      placement: {
        ...placement,
        gpus: placement.gpus.map((gpu) => ({ ...gpu })),
        unavailable: { ...placement.unavailable },
      },
      latency,
    });
  }
}
