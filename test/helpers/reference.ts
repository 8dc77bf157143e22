// The S2 pass in plain TypeScript, written from the definitions (docs/resize.md, the PyTorch wrapper's behaviour) and not
// from the native code, so that both can be compared. Slow and obvious on purpose.

import { merge, type ScaleTiles } from './merge.js';

export interface Size {
  height: number;
  width: number;
}

/** Planes [channels, height, width]. */
export interface Planes extends Size {
  channels: number;
  data: Float32Array;
}

interface Window {
  first: number;
  weights: number[];
}

const f = Math.fround;

function keys(x: number, a: number): number {
  const t = Math.abs(x);
  if (t <= 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  if (t < 2) return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a;
  return 0;
}

const triangle = (x: number) => Math.max(0, 1 - Math.abs(x));
const sinc = (x: number) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
const filters: Record<string, { filter: (x: number) => number; support: number }> = {
  bicubic: { filter: (x) => keys(x, -0.5), support: 2 },
  bilinear: { filter: triangle, support: 1 },
  lanczos: { filter: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0), support: 3 },
  box: { filter: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0), support: 0.5 },
};

/** What PyTorch (coordinates in float32) and Pillow (double) do when they antialias. */
function antialiased(name: string, input: number, output: number, single: boolean): Window[] {
  const round = single ? f : (x: number) => x;
  const { filter, support: reach } = filters[name] as (typeof filters)[string];
  const scale = round(input / output);
  const stretch = Math.max(scale, 1);
  const support = round(reach * stretch);
  const inverse = round(1 / stretch);
  return Array.from({ length: output }, (_, i) => {
    const centre = round(scale * (i + 0.5));
    const first = Math.max(0, Math.trunc(round(centre - support) + 0.5));
    const end = Math.min(input, Math.trunc(round(centre + support) + 0.5));
    const raw = Array.from({ length: end - first }, (_unused, k) =>
      filter(round((round(k + first - centre) + 0.5) * inverse)),
    );
    const total = raw.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: raw.map((weight) => (total === 0 ? weight : weight / total)) };
  });
}

/**
 * PyTorch without antialias: the scale is float32, coordinates are double. Taps outside
 * the picture repeat its edge, so windows may reach outside.
 */
function direct(name: string, input: number, output: number): Window[] {
  const scale = f(input / output);
  return Array.from({ length: output }, (_, i) => {
    const centre = scale * (i + 0.5) - 0.5;
    if (name === 'bilinear') {
      const coordinate = Math.max(0, centre);
      const first = Math.min(Math.floor(coordinate), input - 1);
      const t = coordinate - first;
      return { first, weights: [1 - t, t] };
    }
    const base = Math.floor(centre);
    const t = centre - base;
    return { first: base - 1, weights: [keys(t + 1, -0.75), keys(t, -0.75), keys(1 - t, -0.75), keys(2 - t, -0.75)] };
  });
}

function area(input: number, output: number): Window[] {
  return Array.from({ length: output }, (_, i) => {
    const first = Math.floor((i * input) / output);
    const count = Math.ceil(((i + 1) * input) / output) - first;
    return { first, weights: new Array<number>(count).fill(1 / count) };
  });
}

function windows(mode: string, input: number, output: number): Window[] {
  const [definer, name, antialias] = mode.split('-') as [string, string, string | undefined];
  if (name === 'area') return area(input, output);
  if (definer === 'pillow') return antialiased(name, input, output, false);
  return antialias ? antialiased(name, input, output, true) : direct(name, input, output);
}

type Weigh = (table: Window, at: (index: number) => number) => number;

const floatSum: Weigh = ({ first, weights }, at) => weights.reduce((sum, weight, k) => sum + weight * at(first + k), 0);

/** Pillow's: weights with 22 fractional bits, an accumulator from one half, clipped to a byte. */
const byteSum: Weigh = ({ first, weights }, at) => {
  const fixed = (weight: number) => Math.trunc(weight * 2 ** 22 + (weight < 0 ? -0.5 : 0.5));
  const sum = weights.reduce((total, weight, k) => total + fixed(weight) * at(first + k), 2 ** 21);
  return Math.min(255, Math.max(0, Math.floor(sum / 2 ** 22)));
};

/** Every mode. The planes of a uint8 image have whole numbers 0..255, which Pillow's modes round to after each pass. */
export function resize(source: Planes, size: Size, mode: string, type: 'uint8' | 'float32' = 'uint8'): Planes {
  const { channels, height, width, data } = source;
  const weigh = mode.startsWith('pillow') && type === 'uint8' ? byteSum : floatSum;
  const clamp = (index: number, count: number) => Math.min(Math.max(index, 0), count - 1);
  const horizontal = windows(mode, width, size.width);
  const vertical = windows(mode, height, size.height);
  const wide = new Float32Array(channels * height * size.width);
  for (let row = 0; row < channels * height; row++) {
    for (let x = 0; x < size.width; x++) {
      wide[row * size.width + x] =
        width === size.width
          ? (data[row * width + x] as number)
          : weigh(horizontal[x] as Window, (k) => data[row * width + clamp(k, width)] as number);
    }
  }
  const result = new Float32Array(channels * size.height * size.width);
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < size.height; y++) {
      for (let x = 0; x < size.width; x++) {
        const at = (k: number) => wide[(c * height + clamp(k, height)) * size.width + x] as number;
        result[(c * size.height + y) * size.width + x] =
          height === size.height ? at(y) : weigh(vertical[y] as Window, at);
      }
    }
  }
  return { channels, ...size, data: result };
}

/** Interleaved bytes to planes: grey is replicated, alpha is composed on the background. */
export function toPlanes(
  image: Size & { data: Uint8Array; channels: number; stride?: number },
  background: readonly number[] = [0, 0, 0],
): Planes {
  const { height, width, channels, data } = image;
  const stride = image.stride ?? width * channels;
  const planes = new Float32Array(3 * height * width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = y * stride + x * channels;
      const alpha = channels === 4 ? (data[at + 3] as number) / 255 : 1;
      for (let c = 0; c < 3; c++) {
        const value = data[at + (channels === 1 ? 0 : c)] as number;
        const composed = alpha === 1 ? value : Math.round(value * alpha + (background[c] as number) * (1 - alpha));
        planes[(c * height + y) * width + x] = composed;
      }
    }
  }
  return { channels: 3, height, width, data: planes };
}

export function crop(source: Planes, top: number, left: number, size: Size): Planes {
  const { channels, height, width, data } = source;
  const result = new Float32Array(channels * size.height * size.width);
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < size.height; y++) {
      const from = (c * height + top + y) * width + left;
      result.set(data.subarray(from, from + size.width), (c * size.height + y) * size.width);
    }
  }
  return { channels, ...size, data: result };
}

export interface Normalise {
  mean?: readonly number[];
  std?: readonly number[];
  rescale?: number;
}

/** value = (pixel * rescale - mean) / std. */
export function normalise(source: Planes, { mean = [0], std = [1], rescale = 1 / 255 }: Normalise): Planes {
  const plane = source.height * source.width;
  const pick = (values: readonly number[], c: number) => values[values.length === 1 ? 0 : c] as number;
  const data = source.data.map((value, index) => {
    const c = Math.floor(index / plane);
    return (value * rescale - pick(mean, c)) / pick(std, c);
  });
  return { ...source, data };
}

/** The tiles that begin at these rows and columns, row-major. */
export function cutAt(source: Planes, tile: Size, tops: number[], lefts: number[]): Planes[] {
  return tops.flatMap((top) => lefts.map((left) => crop(source, top, left, tile)));
}

/** A picture cut into rows x columns tiles, row-major. */
export function cut(source: Planes, tile: Size): Planes[] {
  const starts = (side: number, step: number) => Array.from({ length: side / step }, (_, i) => i * step);
  return cutAt(source, tile, starts(source.height, tile.height), starts(source.width, tile.width));
}

/** What a model made of one tile: prefix rows, then one row of channels per cell. */
export interface TileFeatures {
  prefix: Float32Array[];
  grid: Planes;
}

/** Model output of one tile in either layout. */
export function tileFeatures(data: Float32Array, layout: 'bnc' | 'bchw', grid: Size, prefix: number): TileFeatures {
  const cells = grid.height * grid.width;
  const channels = data.length / (layout === 'bnc' ? prefix + cells : cells);
  if (layout === 'bchw') return { prefix: [], grid: { channels, ...grid, data: data.slice() } };
  const planes = new Float32Array(channels * cells);
  for (let cell = 0; cell < cells; cell++) {
    for (let c = 0; c < channels; c++) planes[c * cells + cell] = data[(prefix + cell) * channels + c] as number;
  }
  const rows = Array.from({ length: prefix }, (_, row) => data.slice(row * channels, (row + 1) * channels));
  return { prefix: rows, grid: { channels, ...grid, data: planes } };
}

function averageRows(tiles: TileFeatures[], row: number): number[] {
  const rows = tiles.map(({ prefix }) => prefix[row] as Float32Array);
  return Array.from(
    rows[0] as Float32Array,
    (_, c) => rows.reduce((sum, values) => sum + (values[c] as number), 0) / rows.length,
  );
}

/** Merge, area average, join, of one image. */
export function poolScales(scales: ScaleTiles[], outputIndex: number, layout: 'bnc' | 'bchw'): Float32Array {
  const merged = scales.map(merge);
  const { height, width } = merged.at(outputIndex) as Planes;
  const resized = merged.map((planes) => resize(planes, { height, width }, 'torch-area'));
  const prefixCount = ((scales[0] as ScaleTiles).tiles[0] as TileFeatures).prefix.length;
  if (layout === 'bchw') return Float32Array.from(resized.flatMap(({ data }) => Array.from(data)));
  const result: number[] = [];
  for (let row = 0; row < prefixCount; row++) result.push(...scales.flatMap(({ tiles }) => averageRows(tiles, row)));
  for (let cell = 0; cell < height * width; cell++) {
    for (const { channels, data } of resized) {
      for (let c = 0; c < channels; c++) result.push(data[c * height * width + cell] as number);
    }
  }
  return Float32Array.from(result);
}
