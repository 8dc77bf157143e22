// Tiles of features side by side, or over one another with blended seams, in plain TypeScript.
import type { Planes, Size, TileFeatures } from './reference.js';

export type Blend = 'linear' | 'average';

export interface ScaleTiles {
  rows: number;
  columns: number;
  /** Row-major. */
  tiles: TileFeatures[];
  /** The first cell of every row and column of tiles, where they overlap; default one after the other. */
  tops?: number[];
  lefts?: number[];
  /** Default 'linear': weights are ramps over what tiles share. 'average': all alike. */
  blend?: Blend;
  /** The cells that show the image: those further right and below are cut off. Default: all. */
  content?: Size;
}

/** Cell by cell of one tile's side: a ramp over what it shares with the neighbour before and after it, 1 between. */
export function seamWeights(cells: number, sharedBefore: number, sharedAfter: number): number[] {
  const ramp = (distance: number, shared: number) => (distance < shared ? (distance + 0.5) / shared : 1);
  return Array.from({ length: cells }, (_, j) => Math.min(ramp(j, sharedBefore), ramp(cells - 1 - j, sharedAfter)));
}

/** The weights of every tile along one axis. */
function axisWeights(starts: number[], cells: number, blend: Blend): number[][] {
  const end = (index: number) => (starts[index] as number) + cells;
  return starts.map((start, i) => {
    if (blend === 'average') return new Array<number>(cells).fill(1);
    const before = i === 0 ? 0 : end(i - 1) - start;
    const after = i === starts.length - 1 ? 0 : end(i) - (starts[i + 1] as number);
    return seamWeights(cells, before, after);
  });
}

/** Every cell is the weighted mean of the tiles that have it. */
export function merge(scale: ScaleTiles): Planes {
  const { rows, columns, tiles } = scale;
  const { channels, height, width } = (tiles[0] as TileFeatures).grid;
  const tops = scale.tops ?? Array.from({ length: rows }, (_, row) => row * height);
  const lefts = scale.lefts ?? Array.from({ length: columns }, (_, column) => column * width);
  const down = axisWeights(tops, height, scale.blend ?? 'linear');
  const across = axisWeights(lefts, width, scale.blend ?? 'linear');
  const whole = { height: (tops.at(-1) as number) + height, width: (lefts.at(-1) as number) + width };
  const sums = new Float64Array(channels * whole.height * whole.width);
  const weights = new Float64Array(whole.height * whole.width);
  tiles.forEach(({ grid }, index) => {
    const row = Math.floor(index / columns);
    const column = index % columns;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const weight = (down[row]?.[y] as number) * (across[column]?.[x] as number);
        const cell = ((tops[row] as number) + y) * whole.width + (lefts[column] as number) + x;
        weights[cell] = (weights[cell] as number) + weight;
        for (let c = 0; c < channels; c++) {
          const at = c * weights.length + cell;
          sums[at] = (sums[at] as number) + weight * (grid.data[(c * height + y) * width + x] as number);
        }
      }
    }
  });
  const content = scale.content ?? whole;
  const data = new Float32Array(channels * content.height * content.width);
  for (let i = 0; i < data.length; i++) {
    const x = i % content.width;
    const y = Math.floor(i / content.width) % content.height;
    const c = Math.floor(i / (content.width * content.height));
    const cell = y * whole.width + x;
    data[i] = (sums[c * weights.length + cell] as number) / (weights[cell] as number);
  }
  return { channels, height: content.height, width: content.width, data };
}
