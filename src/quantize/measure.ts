// What a quantized model gives and costs, beside the model that it was made from.

import type { Extractor } from '../extractor.js';
import type { Features } from '../features.js';
import type { Size } from '../geometry/plan.js';
import type { ImageInput } from '../images/image.js';
import { noiseImage } from '../images/noise.js';
import { median } from '../median.js';
import type { ScaleOptions } from '../options/options.js';
import { tilesOf } from '../pool.js';

/** How alike the features of one scale are, over all images. Its size is the first image's: others may give others. */
export interface ScaleSimilarity extends Size {
  /** Cosine of an image's features as one vector, averaged over images. */
  cosine: number;
  /** Of the least alike cell (or prefix token) of all images. */
  lowest: number;
}

function cosine(dot: number, a: number, b: number): number {
  // Nothing is as like nothing as can be.
  return a === 0 && b === 0 ? 1 : dot / Math.sqrt(a * b);
}

/** Some rows and channels of features, from the first to before the second. */
interface Part {
  rows: readonly [from: number, to: number];
  channels: readonly [from: number, to: number];
}

/** What of features in layout bnc is each scale's: its channels or, of a sequence, its tiles. */
function partsOf({ tensor, isSequence, scales }: Features): Part[] {
  const [rows = 0, tokens = 0] = tensor.dims;
  if (!isSequence) return scales.map(({ channels }) => ({ rows: [0, rows], channels }));
  let first = 0;
  return scales.map(({ rows: high, columns: wide, channels }) => {
    const from = first;
    first += high * wide * tokens;
    return { rows: [from, first], channels };
  });
}

/** Features of two models for one image, in layout bnc: cosines of a part. */
function compare(
  a: Features,
  b: Features,
  { rows: [first, end], channels: [from, to] }: Part,
): { cosine: number; lowest: number } {
  const channels = a.tensor.dims.at(-1) ?? 0;
  const left = a.tensor.data as Float32Array;
  const right = b.tensor.data as Float32Array;
  let lowest = 1;
  const all = { dot: 0, left: 0, right: 0 };
  for (let row = first; row < end; row++) {
    const one = { dot: 0, left: 0, right: 0 };
    for (let i = row * channels + from; i < row * channels + to; i++) {
      const x = left[i] as number;
      const y = right[i] as number;
      one.dot += x * y;
      one.left += x * x;
      one.right += y * y;
    }
    lowest = Math.min(lowest, cosine(one.dot, one.left, one.right));
    all.dot += one.dot;
    all.left += one.left;
    all.right += one.right;
  }
  return { cosine: cosine(all.dot, all.left, all.right), lowest };
}

/** Cosine similarity of two models' features per scale. `onImage` is called after each image. */
export async function compareFeatures(
  float32: Extractor,
  int8: Extractor,
  images: readonly ImageInput[],
  options: ScaleOptions & { signal?: AbortSignal },
  onImage: () => void,
): Promise<ScaleSimilarity[]> {
  const found: (ScaleSimilarity & { images: number })[] = [];
  for (const image of images) {
    const rows = { ...options, outputShape: 'bnc' } as const;
    const a = await float32.extract(image, rows);
    const b = await int8.extract(image, rows);
    for (const [index, part] of partsOf(a).entries()) {
      const { height, width } = a.scales[index] as Size;
      const similarity = compare(a, b, part);
      const { images: before, ...sums } = found[index] ?? { height, width, cosine: 0, lowest: 1, images: 0 };
      found[index] = {
        ...sums,
        cosine: sums.cosine + similarity.cosine,
        lowest: Math.min(sums.lowest, similarity.lowest),
        images: before + 1,
      };
    }
    onImage();
  }
  // Not every image has every scale: presets leave out what one tile would repeat.
  return found.map(({ images: count, cosine: sum, ...rest }) => ({ ...rest, cosine: sum / count }));
}

/** Tiles per second. */
export interface Speeds {
  float32: number;
  int8: number;
}

const IMAGES_IN_FLIGHT = 4;
const ROUNDS = { fewest: 3, most: 15, milliseconds: 8000 };

/**
 * Speed of two models, as an Extractor runs them: images of noise in four tiles, or as the preset cuts them, four in flight, the models in turn
 * so that a busy moment of the machine hits both alike. The median of several rounds. `onRound` is called after each with its number and how many there will be.
 */
export async function measureSpeed(
  models: { float32: Extractor; int8: Extractor },
  signal: AbortSignal,
  onRound: (done: number, rounds: number) => void,
): Promise<Speeds> {
  const { input, preset } = models.float32.info;
  const { height, width } = input.tileSize;
  const image = noiseImage({ height: height * 2, width: width * 2 });
  const four = { scales: [2], resizeOutputToIndex: 0, fit: 'stretch', overlap: 0 } as const;
  const options = { ...(preset === undefined && four), signal };
  let tiles = 0;
  const run = async (extractor: Extractor) => {
    const started = performance.now();
    const all = await Promise.all(Array.from({ length: IMAGES_IN_FLIGHT }, () => extractor.extract(image, options)));
    const milliseconds = performance.now() - started;
    tiles = all.reduce((sum, { scales }) => sum + tilesOf({ scales }), 0);
    return milliseconds;
  };
  const once = (await run(models.float32)) + (await run(models.int8));
  const rounds = Math.max(ROUNDS.fewest, Math.min(ROUNDS.most, Math.floor(ROUNDS.milliseconds / once)));
  const times: Record<keyof Speeds, number[]> = { float32: [], int8: [] };
  for (let round = 1; round <= rounds; round++) {
    times.float32.push(await run(models.float32));
    times.int8.push(await run(models.int8));
    onRound(round, rounds);
  }
  const speed = (milliseconds: number[]) => (tiles * 1000) / median(milliseconds);
  return { float32: speed(times.float32), int8: speed(times.int8) };
}
