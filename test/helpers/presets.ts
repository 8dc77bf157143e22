// The features of the presets, of 'keep' and of overlapping tiles, in plain TypeScript: the geometry of tiling.ts, then pixels,
// the model tile by tile, and pooling or one sequence.
import type { Blend, ScaleTiles } from './merge.js';
import { crop, cutAt, normalise, type Planes, poolScales, resize, type Size, type TileFeatures } from './reference.js';
import { runTiles, type TileModel } from './s2.js';
import {
  anyresScales,
  type Box,
  contentCells,
  dynamicS2Scales,
  internvlScales,
  keepOverlappedScales,
  keepScales,
  llavaS2Scales,
  llavaS2Source,
  overlappedScales,
  type Scale,
  type Uneven,
} from './tiling.js';

export interface PlainFeatures {
  dims: number[];
  data: Float32Array;
}

/** Zeros around a picture; what reaches outside is cut off. */
export function place(picture: Planes, frame: Size, { top, left }: Box): Planes {
  const { channels, height, width } = picture;
  const data = new Float32Array(channels * frame.height * frame.width);
  for (let c = 0; c < channels; c++) {
    for (let y = Math.max(0, -top); y < Math.min(height, frame.height - top); y++) {
      for (let x = Math.max(0, -left); x < Math.min(width, frame.width - left); x++) {
        data[(c * frame.height + top + y) * frame.width + left + x] = picture.data[
          (c * height + y) * width + x
        ] as number;
      }
    }
  }
  return { channels, height: frame.height, width: frame.width, data };
}

const tilesOf = (picture: Planes, { tops, lefts }: Scale, model: TileModel): Promise<TileFeatures[]> =>
  runTiles(cutAt(picture, model.tile, tops, lefts), model);

/** Default: the first scale's grid, blended by 'linear'. */
interface PoolOptions {
  outputIndex?: number;
  blend?: Blend;
}

/** Height and width of a cell in pixels. */
function cellOf({ tile, grid }: TileModel): Size {
  return { height: tile.height / grid.height, width: tile.width / grid.width };
}

/** The S2 pass over the scales' pictures: merged, averaged to the output scale's grid, joined. */
async function pooled(
  pictures: Planes[],
  scales: Scale[],
  model: TileModel,
  { outputIndex = 0, blend = 'linear' }: PoolOptions,
): Promise<PlainFeatures> {
  const unit = cellOf(model);
  const parts: ScaleTiles[] = [];
  for (const [index, scale] of scales.entries()) {
    const { tops, lefts, content } = scale;
    const tiles = await tilesOf(pictures[index] as Planes, scale, model);
    const cells = (shown: number, side: number, cell: number) => contentCells(shown, side, side / cell);
    parts.push({
      rows: tops.length,
      columns: lefts.length,
      tiles,
      blend,
      tops: tops.map((top) => top / unit.height),
      lefts: lefts.map((left) => left / unit.width),
      content: {
        height: cells(content.height, scale.height, unit.height),
        width: cells(content.width, scale.width, unit.width),
      },
    });
  }
  const { content: grid } = parts.at(outputIndex) as ScaleTiles & { content: Size };
  const data = poolScales(parts, outputIndex, model.layout);
  const channels = parts.reduce((sum, { tiles }) => sum + (tiles[0] as TileFeatures).grid.channels, 0);
  const dims =
    model.layout === 'bchw'
      ? [channels, grid.height, grid.width]
      : [(model.prefix ?? 0) + grid.height * grid.width, channels];
  return { dims, data };
}

/** Every tile's tokens in order: [tiles, prefix + cells, channels], nothing merged. */
async function sequence(pictures: Planes[], scales: Scale[], model: TileModel): Promise<PlainFeatures> {
  const values: number[] = [];
  let tileCount = 0;
  for (const [index, scale] of scales.entries()) {
    for (const { prefix, grid } of await tilesOf(pictures[index] as Planes, scale, model)) {
      tileCount++;
      for (const row of prefix) values.push(...row);
      const cells = grid.height * grid.width;
      for (let cell = 0; cell < cells; cell++) {
        for (let c = 0; c < grid.channels; c++) values.push(grid.data[c * cells + cell] as number);
      }
    }
  }
  const tokens = (model.prefix ?? 0) + model.grid.height * model.grid.width;
  return { dims: [tileCount, tokens, values.length / tileCount / tokens], data: Float32Array.from(values) };
}

const filled = (image: Planes, scale: Size, mode: string, model: TileModel) =>
  normalise(resize(image, scale, mode), model);

export async function dynamicS2(
  image: Planes,
  model: TileModel,
  scales: number[],
  maxTiles: number,
): Promise<PlainFeatures> {
  const planned = dynamicS2Scales(image, model.tile.height, scales, maxTiles);
  const pictures = planned.map((scale) => filled(image, scale, 'pillow-bicubic', model));
  return pooled(pictures, planned, model, { outputIndex: -1 });
}

export async function internvl(image: Planes, model: TileModel, maxTiles: number): Promise<PlainFeatures> {
  const planned = internvlScales(image, model.tile.height, maxTiles);
  const pictures = planned.map((scale) => filled(image, scale, 'pillow-bicubic', model));
  return sequence(pictures, planned, model);
}

export async function anyres(image: Planes, model: TileModel): Promise<PlainFeatures> {
  const planned = anyresScales(image, model.tile.height);
  // Black is normalised like any pixel.
  const pictures = planned.map((scale) =>
    normalise(place(resize(image, scale.content, 'pillow-bicubic'), scale, scale.content), model),
  );
  return sequence(pictures, planned, model);
}

export async function llavaS2(image: Planes, model: TileModel, scales: number[]): Promise<PlainFeatures> {
  const planned = llavaS2Scales(model.tile.height, scales);
  const source = llavaS2Source(image, model.tile.height, scales);
  const resized = resize(image, source.content, 'pillow-bicubic');
  const largest = normalise(crop(resized, -source.content.top, -source.content.left, source), model);
  const pictures = planned.map((scale) => resize(largest, scale, 'torch-bicubic'));
  return pooled(pictures, planned, model, { outputIndex: 0 });
}

export interface KeepOptions extends PoolOptions {
  scales: number[];
  mode: string;
  uneven: Uneven;
  /** Pixels or a part of the tile; default none. */
  overlap?: number;
}

export async function keep(image: Planes, model: TileModel, options: KeepOptions): Promise<PlainFeatures> {
  const { scales, mode, uneven, overlap } = options;
  const planned = overlap
    ? keepOverlappedScales(image, model.tile, scales, { overlap, unit: cellOf(model) }, uneven)
    : keepScales(image, model.tile, scales, uneven);
  // Padding is zero after normalisation.
  const pictures = planned.map((scale) => place(filled(image, scale.content, mode, model), scale, scale.content));
  return pooled(pictures, planned, model, options);
}

export interface OverlapOptions extends PoolOptions {
  scales: number[];
  mode: string;
  /** Pixels or a part of the tile. */
  overlap: number;
}

/** fit: 'stretch' with tiles that overlap. */
export async function overlapped(image: Planes, model: TileModel, options: OverlapOptions): Promise<PlainFeatures> {
  const { scales, mode, overlap } = options;
  const planned = overlappedScales(model.tile, scales, { overlap, unit: cellOf(model) });
  const pictures = planned.map((scale) => filled(image, scale, mode, model));
  return pooled(pictures, planned, model, options);
}

/** Without the rows that belong to no place. */
export function withoutPrefix({ dims, data }: PlainFeatures, prefix: number): PlainFeatures {
  const [tokens, channels] = dims.slice(-2) as [number, number];
  const kept = data.filter((_, index) => Math.floor(index / channels) % tokens >= prefix);
  return { dims: [...dims.slice(0, -2), tokens - prefix, channels], data: kept };
}
