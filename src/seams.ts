// How much features differ across the borders of tiles, where the picture itself does not.

import { invalid } from './errors.js';
import type { Features } from './features.js';
import { toFloat32 } from './float16.js';
import type { Size } from './geometry/plan.js';
import { integer, size } from './options/values.js';

/** Mean cosine distances of neighbouring cells, 0 for cells of one direction. */
export interface SeamDistances {
  /** Where the border of two tiles lies between them. */
  readonly across: number;
  /** Everywhere else. */
  readonly inside: number;
  /** across / inside: 1 where borders do not show. */
  readonly ratio: number;
}

/** Of one scale, all neighbours together. */
export interface Seams extends SeamDistances {
  /** Of neighbours one below the other; absent where the scale is one tile high. */
  readonly height?: SeamDistances;
  /** Of neighbours side by side; absent where it is one tile wide. */
  readonly width?: SeamDistances;
}

/**
 * Measures the seams of one scale: how unlike neighbouring cells are across the borders that tiles have without overlap, at every multiple of
 * `tile`, against those that have no border between them. With and without overlap the same places are compared.
 * `features`: on that scale's own grid (resizeOutputToIndex). `tile`: the cells of one tile, more than one along each axis that has borders
 * (`extractor.info.output.grid`). `scale`: its index in features.scales, default the last.
 * @throws {ManyscaleError} ERR_INVALID_ARGUMENT for a scale that has no borders, a grid that is another scale's, a sequence of tiles, a tensor
 * whose data was transferred away.
 */
export function measureSeams(features: Features, tile: Size, scale?: number): Seams {
  const { tensor, grid, isSequence, scales, grids } = checkFeatures(features);
  if (isSequence) throw invalid('merged tiles', 'measureSeams', tensor.dims, 'tiles of a sequence have no neighbours');
  const cells = size(tile, 'tile');
  const index = integer(scale ?? scales.length - 1, 0, 'scale');
  const [measured, own] = [scales[index], grids[index]];
  if (!measured || !own) throw invalid(`an index below ${scales.length}`, 'scale', index);
  if (grid.height !== own.height || grid.width !== own.width) {
    const advice = 'extract with its index as resizeOutputToIndex';
    throw invalid(
      `features on scale ${index}'s own grid (${own.height} x ${own.width} cells)`,
      'measureSeams',
      [grid.height, grid.width],
      advice,
    );
  }
  const borders = { height: grid.height > cells.height, width: grid.width > cells.width };
  if (!borders.height && !borders.width)
    throw invalid(
      `a scale of more than one tile (${cells.height} x ${cells.width} cells)`,
      'measureSeams',
      [grid.height, grid.width],
      'take a larger scale',
    );
  if ((borders.height && cells.height === 1) || (borders.width && cells.width === 1))
    throw invalid('more than one cell along each side', 'tile', [cells.height, cells.width], 'all else are borders');

  const distance = distances(features, measured.channels);
  const height = { across: new Mean(), inside: new Mean() };
  const width = { across: new Mean(), inside: new Mean() };
  for (let y = 0; y < grid.height; y++) {
    for (let x = 0; x < grid.width; x++) {
      const at = y * grid.width + x;
      if (x + 1 < grid.width) width[(x + 1) % cells.width === 0 ? 'across' : 'inside'].add(distance(at, at + 1));
      if (y + 1 < grid.height)
        height[(y + 1) % cells.height === 0 ? 'across' : 'inside'].add(distance(at, at + grid.width));
    }
  }
  return {
    ...compare(height.across.with(width.across), height.inside.with(width.inside)),
    ...(borders.height && { height: compare(height.across, height.inside) }),
    ...(borders.width && { width: compare(width.across, width.inside) }),
  };
}

function compare({ value: across }: Mean, { value: inside }: Mean): SeamDistances {
  return { across, inside, ratio: across === inside ? 1 : across / inside };
}

function checkFeatures(value: Features): Features {
  const { tensor, grid, scales, grids } = (value ?? {}) as Partial<Features>;
  if (!tensor || !grid || !Array.isArray(scales) || !Array.isArray(grids))
    throw invalid('features of an Extractor', 'measureSeams', value);
  if ((tensor.data as Float32Array).length !== tensor.dims.reduce((a, b) => a * b, 1))
    throw invalid('the whole tensor', 'measureSeams', tensor.data, 'its data was transferred away');
  return value;
}

/** The cosine distance of two cells, of the channels from .. to. */
export function distances(
  { tensor, grid, numPrefixTokens }: Features,
  [from, to]: readonly [from: number, to: number],
): (a: number, b: number) => number {
  const isMap = tensor.dims.length === 3;
  const data = toFloat32(tensor.data);
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

  /** Of both, each value weighing the same. */
  with(other: Mean): Mean {
    const both = new Mean();
    both.#sum = this.#sum + other.#sum;
    both.#count = this.#count + other.#count;
    return both;
  }

  get value(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count;
  }
}
