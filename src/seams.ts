// How much features differ across the borders of tiles, where the picture itself does not.

import { invalid } from './errors.js';
import type { Features } from './features.js';
import { toFloat32 } from './float16.js';
import type { Size } from './geometry/plan.js';
import { integer, size } from './options/values.js';

/** Of neighbouring cells of one scale: mean cosine distances, 0 for cells of one direction. */
export interface Seams {
  /** Where the border of two tiles lies between them. */
  readonly across: number;
  /** Everywhere else. */
  readonly inside: number;
  /** across / inside: 1 where borders do not show. */
  readonly ratio: number;
}

/**
 * Measures the seams of one scale: how unlike neighbouring cells are across the borders that tiles have without overlap, at every multiple of
 * `tile`, against those that have no border between them. With and without overlap the same places are compared.
 * `features`: on that scale's own grid (resizeOutputToIndex). `tile`: the cells of one tile (`extractor.info.output.grid`). `scale`: its index in
 * features.scales, default the last.
 * @throws {ManyscaleError} ERR_INVALID_ARGUMENT for a scale that has no borders, a grid that is another scale's, a sequence of tiles.
 */
export function measureSeams(features: Features, tile: Size, scale = features.scales.length - 1): Seams {
  const { grid, isSequence, scales } = features;
  if (isSequence) throw invalid('features that are merged', 'measureSeams', 'a sequence of tiles');
  const cells = size(tile, 'tile');
  const measured = scales[integer(scale, 0, 'scale')];
  if (!measured) throw invalid(`an index below ${scales.length}`, 'scale', scale);
  if (grid.height <= cells.height && grid.width <= cells.width) {
    const advice = 'take a scale of several tiles, and resizeOutputToIndex for its grid';
    throw invalid(
      `a grid of more than one tile (${cells.height} x ${cells.width} cells)`,
      'measureSeams',
      [grid.height, grid.width],
      advice,
    );
  }
  const distance = distances(features, measured.channels);
  const [across, inside] = [new Mean(), new Mean()];
  for (let y = 0; y < grid.height; y++) {
    for (let x = 0; x < grid.width; x++) {
      const at = y * grid.width + x;
      if (x + 1 < grid.width) ((x + 1) % cells.width === 0 ? across : inside).add(distance(at, at + 1));
      if (y + 1 < grid.height) ((y + 1) % cells.height === 0 ? across : inside).add(distance(at, at + grid.width));
    }
  }
  const ratio = across.value === inside.value ? 1 : across.value / inside.value;
  return { across: across.value, inside: inside.value, ratio };
}

/** The cosine distance of two cells, of the channels from .. to. */
export function distances(
  { tensor, grid, numPrefixTokens }: Features,
  [from, to]: readonly [from: number, to: number],
): (a: number, b: number) => number {
  const isMap = tensor.dims.length === 3;
  const data = toFloat32(tensor.data as Float32Array | Uint16Array);
  const count = grid.height * grid.width;
  const total = data.length / (numPrefixTokens + count);
  const at = (cell: number, channel: number) =>
    data[isMap ? channel * count + cell : (numPrefixTokens + cell) * total + channel] as number;
  return (a, b) => {
    let [product, ofA, ofB] = [0, 0, 0];
    for (let c = from; c < to; c++) {
      const [x, y] = [at(a, c), at(b, c)];
      product += x * y;
      ofA += x * x;
      ofB += y * y;
    }
    // Nothing has no direction: it is like nothing, and unlike all else.
    if (ofA === 0 || ofB === 0) return ofA === ofB ? 0 : 1;
    return Math.max(0, 1 - product / Math.sqrt(ofA * ofB));
  };
}

class Mean {
  #sum = 0;
  #count = 0;

  add(value: number): void {
    this.#sum += value;
    this.#count++;
  }

  get value(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count;
  }
}
