// How long an image takes: what a short measurement of an Extractor finds, and what follows from it for any plan.

import type { Features, Timings } from '../features.js';
import type { Size } from '../geometry/plan.js';
import type { RawImage } from '../images/image.js';
import { noiseImage } from '../images/noise.js';
import { median } from '../median.js';

/** What is known of an Extractor before it is measured. */
export interface SpeedFacts {
  tile: Size;
  /** Tiles of one batch where every batch has one size, else 1. */
  unit: number;
  /** Batches that may run at once. */
  workers: number;
  /** Bytes of a tile's features. */
  tileBytes: number;
  /** Shrinking reads every pixel of the image, not only those near the pixels that it makes. */
  readsAll: boolean;
  /** Bytes that an image may take. */
  mostBytes: number;
}

/** In milliseconds, of images that are alone in an Extractor. */
export interface Speed extends SpeedFacts {
  /** An image of the size of a tile made into one unit of tiles, all in all. */
  alone: number;
  /** The same into a unit for each worker. */
  full: number;
  /** A further unit for each worker. */
  turn: number;
  /** A further pixel of the image, whatever is done with it. */
  pixel: number;
  /** A further pixel that is read to make a scale. */
  read: number;
  /** A further byte of the result. */
  byte: number;
}

/** Turns of all workers in the image of many tiles. */
const TURNS = 4;
/** Pixels of the large image, which is made into one tile. */
const LARGE = 2 ** 22;
/** Of the large image's sides to the tile's: with less it shows nothing. */
const LEAST_RATIO = 2;
const MILLISECONDS = 1400;
const ROUNDS = { fewest: 3, most: 12 };
/** Milliseconds of a round from which on the first one counts too. */
const SLOW = 600;

/**
 * Measures an Extractor that has nothing else to do by running images of noise, for a second or two; longer where a tile takes more than
 * a tenth of that. `run` makes an image into one scale of `size`.
 */
export async function measureSpeed(
  run: (image: RawImage, size: Size) => Promise<Features>,
  facts: SpeedFacts,
): Promise<Speed> {
  const { tile, unit, workers, tileBytes, readsAll, mostBytes } = facts;
  const small = noiseImage(tile);
  const room = mostBytes - small.data.length;
  const row = (tiles: number): Size => ({ height: tile.height, width: tile.width * tiles });
  // The features of a tile, and as much of the result.
  const most = Math.max(1, Math.floor(room / (2 * tileBytes)));
  const atOnce = Math.min(workers * unit, most);
  const many = Math.min(TURNS * atOnce, most);
  const large = largeImage(tile, Math.min(LARGE, (mostBytes - 2 * tileBytes) / 3));
  const runs = {
    alone: () => run(small, row(Math.min(unit, most))),
    full: () => run(small, row(atOnce)),
    many: () => run(small, row(many)),
    ...(large && { large: () => run(large, row(1)) }),
  };
  const found = await repeat(runs);

  const middle = (name: keyof Timings, of: string) => median((found.get(of) ?? []).map((timings) => timings[name]));
  // Beside what is done with tiles. Of one batch, whose parts follow each other.
  const beside = (of: string) =>
    median((found.get(of) ?? []).map(({ total, split, model, pool }) => total - split - model - pool));
  const alone = middle('total', 'alone');
  const full = Math.max(alone, middle('total', 'full'));
  const turns = many / atOnce;
  const common = {
    ...facts,
    alone,
    full,
    turn: turns > 1 ? Math.max(0, middle('total', 'many') - full) / (turns - 1) : full,
  };
  const byte = middle('pool', 'many') / (many * tileBytes);
  if (!large) return { ...common, pixel: 0, read: 0, byte };
  const split = Math.max(0, middle('split', 'large') - middle('split', 'alone') / unit);
  return {
    ...common,
    pixel: Math.max(0, beside('large') - beside('alone')) / (pixelsOf(large) - pixelsOf(tile)),
    read: split / (pixelsRead(large, tile, readsAll) - pixelsRead(tile, tile, readsAll)),
    byte,
  };
}

/** As the tile, but larger. Its values change nothing but the model's time, which is not taken from it. */
function largeImage({ height, width }: Size, pixels: number): RawImage | undefined {
  const ratio = Math.floor(Math.sqrt(pixels / (height * width)));
  if (ratio < LEAST_RATIO) return undefined;
  const size = { height: height * ratio, width: width * ratio };
  return { ...size, data: new Uint8Array(pixelsOf(size) * 3).fill(127), channels: 3 };
}

/** Runs all in turn, so that a busy moment of the machine hits all alike. */
async function repeat(runs: Readonly<Record<string, () => Promise<Features>>>): Promise<Map<string, Timings[]>> {
  const found = new Map<string, Timings[]>();
  const round = async () => {
    const started = performance.now();
    for (const [name, run] of Object.entries(runs)) {
      const { timings } = await run();
      found.set(name, [...(found.get(name) ?? []), timings]);
    }
    return performance.now() - started;
  };
  let took = await round();
  let rounds = 1;
  if (took < SLOW) {
    found.clear();
    took = await round();
  }
  const wanted = Math.max(ROUNDS.fewest, Math.min(ROUNDS.most, Math.floor(MILLISECONDS / took)));
  for (; rounds < wanted; rounds++) await round();
  return found;
}

function pixelsOf({ height, width }: Size): number {
  return height * width;
}

/** Pixels of `image` that are read to make `scale`, as often as they are. */
function pixelsRead(image: Size, scale: Size, readsAll: boolean): number {
  return (readsAll ? Math.max(image.height, scale.height) : scale.height) * image.width;
}

/** What the time of an image depends on. */
export interface Work {
  image: Size;
  /** The part of the image that scales are made from. */
  source: Size;
  scales: readonly { size: Size; tiles: number }[];
  /** Of the result. */
  bytes: number;
}

/** Milliseconds from the call of extract() with the pixels of an image to its features, with nothing else in flight. */
export function predictTime(speed: Speed, { image, source, scales, bytes }: Work): { total: number; scales: number[] } {
  const { tile, readsAll, tileBytes } = speed;
  const tiles = scales.reduce((sum, scale) => sum + scale.tiles, 0);
  const ofTiles = timeOfTiles(speed, tiles);
  const ofScales = scales.map(({ size, tiles: own }) => {
    const more = pixelsRead(source, size, readsAll) - pixelsRead(tile, size, readsAll);
    return (ofTiles * own) / tiles + speed.read * Math.max(0, more);
  });
  const ofPixels = speed.pixel * Math.max(0, pixelsOf(image) - pixelsOf(tile));
  const ofResult = speed.byte * Math.max(0, bytes - tiles * tileBytes);
  return { total: ofScales.reduce((sum, time) => sum + time, 0) + ofPixels + ofResult, scales: ofScales };
}

/** Whole turns of all workers, and one of some of them, which is shorter: they share caches and cores with fewer. */
function timeOfTiles({ unit, workers, alone, full, turn }: Speed, tiles: number): number {
  const units = Math.ceil(tiles / unit);
  const rest = units % workers;
  const ofRest = rest === 0 ? 0 : alone + (workers === 1 ? 0 : ((full - alone) * (rest - 1)) / (workers - 1));
  const turns = Math.floor(units / workers);
  return turns === 0 ? ofRest : full + (turns - 1) * turn + (turn * ofRest) / full;
}
