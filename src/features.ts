// The result of an extraction.

import { invalid, ManyscaleError } from './errors.js';
import { toFloat32 } from './float16.js';
import type { Size } from './geometry/plan.js';
import type { Tensor } from './tensor.js';

/** A scale that the features are made of. */
export interface FeatureScale {
  /** Of the resized image, in pixels. */
  readonly height: number;
  readonly width: number;
  /** How many tiles it was cut into. */
  readonly rows: number;
  readonly columns: number;
  /** Its channels of the tensor: from the first to before the second. */
  readonly channels: [from: number, to: number];
}

/** Milliseconds. split and model are summed over threads; the others are by the clock. */
export interface Timings {
  /** For room in memory (a ticket) and for a place to decode in. */
  readonly wait: number;
  /** Reading a file, its header and its pixels; 0 where the image came as pixels. */
  readonly decode: number;
  readonly queue: number;
  readonly split: number;
  readonly model: number;
  readonly pool: number;
  readonly total: number;
}

export interface FeaturesInit {
  tensor: Tensor;
  grid: Size;
  numPrefixTokens: number;
  isSequence?: boolean;
  scales: FeatureScale[];
  grids: Size[];
  timings: Timings;
}

/** Multi-scale features of one image. The tensor's memory is the caller's own. */
export class Features {
  /**
   * float32 or float16 [prefix + gridH * gridW, C_total] or [C_total, gridH, gridW]; C_total joins the scales' channels. A sequence has the
   * same of one scale for each tile: [tiles, prefix + gridH * gridW, C] or [tiles, C, gridH, gridW].
   */
  readonly tensor: Tensor;
  /** Cells; of a sequence, of one tile. */
  readonly grid: Size;
  /** The tensor's (of a sequence each tile's) first rows that belong to no place; 0 for feature maps. */
  readonly numPrefixTokens: number;
  /** The tensor has tiles one after another, in the order of the scales, and not the scales' channels joined. */
  readonly isSequence: boolean;
  readonly scales: FeatureScale[];
  /** Cells: each scale's own grid after merging its tiles, before it is brought to the features'; of several outputs, the first one's. */
  readonly grids: Size[];
  readonly timings: Timings;

  constructor(init: FeaturesInit) {
    this.tensor = init.tensor;
    this.grid = init.grid;
    this.numPrefixTokens = init.numPrefixTokens;
    this.isSequence = init.isSequence ?? false;
    this.scales = init.scales;
    this.grids = init.grids;
    this.timings = init.timings;
  }

  /**
   * One vector of C_total numbers for the image: 'mean' (default) averages the cells, 'cls' is the first prefix token. Of a sequence, the
   * average of its tiles' vectors.
   * @throws {ManyscaleError} ERR_INVALID_ARGUMENT for 'cls' without prefix tokens.
   */
  vector(how: 'mean' | 'cls' = 'mean'): Float32Array {
    if (how !== 'mean' && how !== 'cls') throw invalid("'mean' or 'cls'", 'vector', how);
    const [tiles = 1, ...dims] = this.isSequence ? this.tensor.dims : [1, ...this.tensor.dims];
    const { data } = this.tensor as { data: Float32Array | Uint16Array };
    const isMap = dims.length === 3;
    const channels = (isMap ? dims[0] : dims[1]) ?? 0;
    const cells = this.grid.height * this.grid.width;
    const ofTile = channels * (this.numPrefixTokens + cells);
    if (data.length !== tiles * ofTile) {
      throw new ManyscaleError(
        'ERR_INVALID_ARGUMENT',
        'Expected the whole tensor for vector but received one whose data was transferred away',
      );
    }
    if (how === 'cls' && this.numPrefixTokens === 0)
      throw invalid("'mean'", 'vector', how, 'these features have no prefix tokens');
    const sums = new Float64Array(channels);
    for (let tile = 0; tile < tiles; tile++) {
      const start = tile * ofTile;
      if (how === 'cls') addCells(toFloat32(data.slice(start, start + channels)), sums);
      else if (isMap) addMap(toFloat32(data.subarray(start, start + ofTile)), cells, sums);
      else addCells(toFloat32(data.subarray(start + this.numPrefixTokens * channels, start + ofTile)), sums);
    }
    const count = tiles * (how === 'cls' ? 1 : cells);
    return Float32Array.from(sums, (sum) => sum / count);
  }
}

/** [cells, channels] */
function addCells(values: Float32Array, sums: Float64Array): void {
  for (let i = 0, c = 0; i < values.length; i++) {
    sums[c] = (sums[c] as number) + (values[i] as number);
    if (++c === sums.length) c = 0;
  }
}

/** [channels, cells] */
function addMap(values: Float32Array, cells: number, sums: Float64Array): void {
  for (let c = 0; c < sums.length; c++) {
    let sum = 0;
    for (let i = c * cells; i < (c + 1) * cells; i++) sum += values[i] as number;
    sums[c] = (sums[c] as number) + sum;
  }
}
