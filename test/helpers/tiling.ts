// Which scales and tiles the presets, 'keep' and overlap give: plain geometry, written from their descriptions and not from
// the native code, so that both can be compared. Slow and obvious on purpose.
import { readFileSync } from 'node:fs';
import { golden } from './paths.js';
import type { Size } from './reference.js';

export interface Box extends Size {
  top: number;
  left: number;
}

/** One resized copy of the image, cut into tiles. Pixels. */
export interface Scale extends Size {
  /** Where the resized image lies; the rest is padding. May reach outside, where it is cropped. */
  content: Box;
  /** The first row of every row of tiles. */
  tops: number[];
  /** The first column of every column of tiles. */
  lefts: number[];
}

/** How many tiles side by side and one below the other. */
export interface Layout {
  columns: number;
  rows: number;
}

/** One tile after the other, `stride` pixels apart. */
const regular = (count: number, stride: number) => Array.from({ length: count }, (_, i) => i * stride);

/** A scale that the resized image fills, in tiles side by side. */
function fullScale({ columns, rows }: Layout, tile: Size): Scale {
  const size = { height: rows * tile.height, width: columns * tile.width };
  return {
    ...size,
    content: { top: 0, left: 0, ...size },
    tops: regular(rows, tile.height),
    lefts: regular(columns, tile.width),
  };
}

const square = (side: number): Size => ({ height: side, width: side });

// ---- Dynamic tiling: the layout whose ratio is nearest the image's ----

const orders: Record<string, string> = JSON.parse(readFileSync(`${golden}ratios/orders.json`, 'utf8'));

/** Every layout of `least` to `most` tiles in the order in which they are tried (test/golden/ratios). */
export function layouts(least: number, most: number): Layout[] {
  const order = orders[`${least}-${most}`];
  if (order === undefined) throw new Error(`test/golden/ratios has no order for ${least} to ${most} tiles`);
  return order.split(' ').map((layout) => {
    const [columns, rows] = layout.split('x').map(Number) as [number, number];
    return { columns, rows };
  });
}

/** Whether an image has pixels enough for a layout to win over one whose ratio is just as near. */
export function isLargeFor({ height, width }: Size, base: number, { columns, rows }: Layout): boolean {
  return width * height > 0.5 * base * base * columns * rows;
}

export function nearestLayout(image: Size, base: number, candidates: Layout[]): Layout {
  let nearest = candidates[0] as Layout;
  let least = Number.POSITIVE_INFINITY;
  for (const layout of candidates) {
    const difference = Math.abs(image.width / image.height - layout.columns / layout.rows);
    if (difference < least || (difference === least && isLargeFor(image, base, layout))) {
      least = difference;
      nearest = layout;
    }
  }
  return nearest;
}

/** NVILA: squares for all scales but the last, whose layout follows the image. `scales` are relative to the tile. */
export function dynamicS2Scales(image: Size, base: number, scales: number[], maxTiles: number): Scale[] {
  const times = scales.map((scale) => Math.floor(scale / (scales[0] as number)));
  const last = nearestLayout(image, base, layouts((times.at(-1) as number) ** 2, maxTiles));
  const squares = times.slice(0, -1).map((count) => ({ columns: count, rows: count }));
  return [...squares, last].map((layout) => fullScale(layout, square(base)));
}

/** InternVL: the tiles, then a thumbnail when there is more than one. */
export function internvlScales(image: Size, base: number, maxTiles: number): Scale[] {
  const layout = nearestLayout(image, base, layouts(1, maxTiles));
  const thumbnail = layout.columns * layout.rows > 1 ? [{ columns: 1, rows: 1 }] : [];
  return [layout, ...thumbnail].map((each) => fullScale(each, square(base)));
}

// ---- LLaVA ----

export const anyresCandidates: Layout[] = [
  { columns: 1, rows: 2 },
  { columns: 2, rows: 1 },
  { columns: 2, rows: 2 },
  { columns: 3, rows: 1 },
  { columns: 1, rows: 3 },
];

/** The layout that keeps most of the image's pixels, then the one that wastes least, then the first. */
export function anyresLayout(image: Size, base: number, candidates = anyresCandidates): Layout {
  const rated = candidates.map((layout, index) => {
    const width = layout.columns * base;
    const height = layout.rows * base;
    const scale = Math.min(width / image.width, height / image.height);
    const scaled = Math.trunc(image.width * scale) * Math.trunc(image.height * scale);
    const effective = Math.min(scaled, image.width * image.height);
    return { layout, index, effective, wasted: width * height - effective };
  });
  rated.sort((a, b) => b.effective - a.effective || a.wasted - b.wasted || a.index - b.index);
  return (rated[0] as (typeof rated)[number]).layout;
}

/** Where the image lies in a frame of another ratio: as large as fits, in the middle. */
export function letterbox(image: Size, frame: Size): Box {
  const byWidth = frame.width / image.width;
  const byHeight = frame.height / image.height;
  const size =
    byWidth < byHeight
      ? { width: frame.width, height: Math.min(Math.ceil(image.height * byWidth), frame.height) }
      : { width: Math.min(Math.ceil(image.width * byHeight), frame.width), height: frame.height };
  return {
    top: Math.floor((frame.height - size.height) / 2),
    left: Math.floor((frame.width - size.width) / 2),
    ...size,
  };
}

/** The whole image in one square tile, then the letterboxed one in several. */
export function anyresScales(image: Size, base: number, candidates = anyresCandidates): Scale[] {
  const tiled = fullScale(anyresLayout(image, base, candidates), square(base));
  return [fullScale({ columns: 1, rows: 1 }, square(base)), { ...tiled, content: letterbox(image, tiled) }];
}

/** Squares of 1, 2, ... tiles a side. */
export function llavaS2Scales(base: number, scales: number[]): Scale[] {
  return scales.map((scale) => fullScale({ columns: scale, rows: scale }, square(base)));
}

/** What they are all made from: the shortest edge of the image fills the largest scale, whose middle is taken. */
export function llavaS2Source(image: Size, base: number, scales: number[]): Scale {
  const side = base * (scales.at(-1) as number);
  const short = Math.min(image.height, image.width);
  const length = (of: number) => (of === short ? side : Math.trunc((of * side) / short));
  const content = { height: length(image.height), width: length(image.width) };
  // 0 - x, not -x: no negative zero.
  const offset = (size: number) => 0 - Math.floor((size - side) / 2);
  return {
    ...fullScale({ columns: 1, rows: 1 }, square(side)),
    content: { top: offset(content.height), left: offset(content.width), ...content },
  };
}

// ---- Any shape ----

export type Uneven = 'resize' | 'pad';

/** A scale whose image has this size: resized to whole tiles or padded to them, right and below. */
function wholeTiles(size: Size, tile: Size, uneven: Uneven): Scale {
  const layout = { columns: Math.ceil(size.width / tile.width), rows: Math.ceil(size.height / tile.height) };
  const full = fullScale(layout, tile);
  return uneven === 'resize' ? full : { ...full, content: { top: 0, left: 0, height: size.height, width: size.width } };
}

/** Scale s has about s x s tiles' worth of pixels, in the image's aspect ratio. */
function keptSizes(image: Size, tile: Size, scales: number[]): Size[] {
  return scales.map((scale) => {
    const factor = scale * Math.sqrt((tile.height * tile.width) / (image.height * image.width));
    const side = (of: number) => Math.max(1, Math.floor(of * factor + 0.5));
    return { height: side(image.height), width: side(image.width) };
  });
}

/** fit: 'keep'. */
export function keepScales(image: Size, tile: Size, scales: number[], uneven: Uneven): Scale[] {
  return keptSizes(image, tile, scales).map((size) => wholeTiles(size, tile, uneven));
}

/** Sizes that need not divide: each goes to the next that ceil(size / most) equal tiles make up. */
export function unevenScales(sizes: Size[], most: Size, uneven: Uneven): (Scale & { tile: Size })[] {
  return sizes.map((size) => {
    const part = (side: number, limit: number) => Math.ceil(side / Math.ceil(side / limit));
    const tile = { height: part(size.height, most.height), width: part(size.width, most.width) };
    return { ...wholeTiles(size, tile, uneven), tile };
  });
}

/**
 * How many of a merged side's cells show the image: ceil(content / padded * cells), in whole numbers, where a rounded quotient
 * cannot make one cell too many.
 */
export function contentCells(content: number, padded: number, cells: number): number {
  return Math.ceil((content * cells) / padded);
}

// ---- Overlap ----

/** Where tiles of one side begin that share at least `overlap` pixels with the next, at multiples of `unit` (a cell's side). */
export function overlappedStarts(length: number, tile: number, overlap: number, unit: number): number[] {
  const count = Math.ceil((length - overlap) / (tile - overlap));
  if (count === 1) return [0];
  const slack = (length - tile) / unit;
  return Array.from({ length: count }, (_, i) => Math.floor((i * slack) / (count - 1)) * unit);
}

export interface Overlap {
  /** Of two neighbours, at least; pixels or, below 1, a part of the tile. */
  overlap: number;
  /** A cell's height and width. */
  unit: Size;
}

/** A scale whose image has this size, in tiles that overlap: whole cells, at least one tile. */
function overlappedScale(size: Size, tile: Size, { overlap, unit }: Overlap, uneven: Uneven): Scale {
  const cover = (side: 'height' | 'width') => Math.max(tile[side], Math.ceil(size[side] / unit[side]) * unit[side]);
  const full = { height: cover('height'), width: cover('width') };
  const starts = (side: 'height' | 'width') => {
    const pixels = overlap < 1 ? overlap * tile[side] : overlap;
    return overlappedStarts(full[side], tile[side], Math.ceil(pixels / unit[side]) * unit[side], unit[side]);
  };
  const shown = uneven === 'resize' ? full : size;
  return {
    ...full,
    content: { top: 0, left: 0, height: shown.height, width: shown.width },
    tops: starts('height'),
    lefts: starts('width'),
  };
}

/** fit: 'stretch' in tiles that overlap. */
export function overlappedScales(tile: Size, scales: number[], overlap: Overlap): Scale[] {
  return scales.map((scale) =>
    overlappedScale({ height: scale * tile.height, width: scale * tile.width }, tile, overlap, 'resize'),
  );
}

/** fit: 'keep' in tiles that overlap. */
export function keepOverlappedScales(
  image: Size,
  tile: Size,
  scales: number[],
  overlap: Overlap,
  uneven: Uneven,
): Scale[] {
  return keptSizes(image, tile, scales).map((size) => overlappedScale(size, tile, overlap, uneven));
}
