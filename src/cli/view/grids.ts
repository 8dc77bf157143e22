// Features as grids of cells, for pictures: of all scales joined, of one scale alone, of tiles that stand one after another.

import type { Features } from '../../features.js';
import { toFloat32 } from '../../float16.js';
import type { PlanScale } from '../../geometry/plan.js';
import type { FeatureGrid } from './colours.js';

/** The cells' features, without what belongs to no place. `channels`: from the first to before the second; default all. */
export function featureGrid(features: Features, channels?: readonly [from: number, to: number]): FeatureGrid {
  const { tensor, grid, numPrefixTokens } = features;
  const { height, width } = grid;
  const cells = height * width;
  const data = toFloat32(tensor.data as Float32Array | Uint16Array);
  const isMap = tensor.dims.length === 3;
  const total = data.length / (numPrefixTokens + cells);
  const [from, to] = channels ?? [0, total];
  const taken = to - from;
  const out = new Float32Array(cells * taken);
  for (let cell = 0; cell < cells; cell++) {
    for (let c = 0; c < taken; c++) {
      const at = isMap ? (from + c) * cells + cell : (numPrefixTokens + cell) * total + from + c;
      out[cell * taken + c] = data[at] as number;
    }
  }
  return { data: out, rows: cells, channels: taken, height, width };
}

/** The grid of each scale of a sequence, its tiles put in place. */
export function sequenceGrids(features: Features, scales: readonly PlanScale[]): FeatureGrid[] {
  const { tensor, grid, numPrefixTokens } = features;
  const data = toFloat32(tensor.data as Float32Array | Uint16Array);
  const cells = grid.height * grid.width;
  const isMap = tensor.dims.length === 4;
  const ofTile = data.length / (tensor.dims[0] as number);
  const channels = ofTile / (numPrefixTokens + cells);
  let first = 0;
  return scales.map(({ rows, columns }) => {
    const [height, width] = [rows * grid.height, columns * grid.width];
    const out = new Float32Array(height * width * channels);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const tile = first + Math.floor(y / grid.height) * columns + Math.floor(x / grid.width);
        const cell = (y % grid.height) * grid.width + (x % grid.width);
        for (let c = 0; c < channels; c++) {
          const at = isMap ? c * cells + cell : (numPrefixTokens + cell) * channels + c;
          out[(y * width + x) * channels + c] = data[tile * ofTile + at] as number;
        }
      }
    }
    first += rows * columns;
    return { data: out, rows: height * width, channels, height, width };
  });
}
