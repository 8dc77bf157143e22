// What the pictures of `manyscale view` are made of: a page that is drawn from top to bottom, photos with tiles, grids of colours.

import sharp from 'sharp';
import type { Crop, PlanScale, Size } from '../../geometry/plan.js';
import type { ColourGrid } from './colours.js';
import { drawText, textWidth, wrapText } from './font.js';

/** Interleaved red, green and blue. */
export interface Photo {
  data: Uint8Array;
  height: number;
  width: number;
}

export interface ScaleView {
  /** As the user gave it: 'scale 2'. */
  name: string;
  /** Of what is drawn, in pixels: all of the scale or, where it is padded with what the features leave out, the part that they cover. */
  height: number;
  width: number;
  /** The scale's own size, where only a part is drawn. */
  padded?: Size;
  rows: number;
  columns: number;
  tileHeight: number;
  tileWidth: number;
  /** The first pixel of each row and column of tiles where they overlap. */
  tops?: readonly number[];
  lefts?: readonly number[];
  /** Where the resized photo lies, where that is not the whole of the scale. */
  content?: Crop;
}

export const COLOURS = {
  page: '#11141a',
  edge: '#2a303b',
  text: '#eceef2',
  soft: '#9ba5b5',
  line: '#ffffff',
  accent: '#7fb4ff',
};
export const MARGIN = 48;
export const GAP = 28;
export const TEXT = { title: 27, heading: 18, label: 15, small: 13 };
export const WEIGHT = { light: 2.2, bold: 3 };

/** A picture at a place on the page. */
interface Panel {
  left: number;
  top: number;
  height: number;
  width: number;
  rgb: Buffer;
}

/** Collects what is drawn from top to bottom. */
export class Page {
  readonly panels: Panel[] = [];
  readonly shapes: string[] = [];
  readonly width: number;
  y = MARGIN;

  constructor(width: number) {
    this.width = width;
  }

  get innerWidth(): number {
    return this.width - 2 * MARGIN;
  }

  text(text: string, left: number, baseline: number, size: number, colour: string, weight: number): void {
    this.shapes.push(drawText(text, left, baseline, size, colour, weight));
  }

  /** A paragraph under the last thing drawn, or at (left, top); returns where it ends. */
  paragraph(text: string, left: number, top: number, width: number, size: number, colour: string): number {
    let y = top;
    for (const line of wrapText(text, size, width)) {
      this.text(line, left, y + size, size, colour, WEIGHT.light);
      y += Math.round(size * 1.75);
    }
    return y;
  }

  heading(number: string, text: string): void {
    this.y += 38;
    this.text(number, MARGIN, this.y + TEXT.heading, TEXT.heading, COLOURS.accent, WEIGHT.bold);
    const left = MARGIN + textWidth(number, TEXT.heading) + 16;
    this.text(text, left, this.y + TEXT.heading, TEXT.heading, COLOURS.text, WEIGHT.bold);
    this.y += TEXT.heading + 22;
  }

  panel(panel: Panel): void {
    this.panels.push(panel);
    const { left, top, width, height } = panel;
    this.shapes.push(
      `<rect x="${left - 0.5}" y="${top - 0.5}" width="${width + 1}" height="${height + 1}" fill="none" stroke="${COLOURS.edge}"/>`,
    );
  }

  async render(): Promise<Buffer> {
    const height = Math.ceil(this.y + MARGIN - 10);
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${this.width}" height="${height}">${this.shapes.join('')}</svg>`;
    return sharp({ create: { width: this.width, height, channels: 3, background: COLOURS.page } })
      .composite([
        ...this.panels.map(({ left, top, ...panel }) => ({
          input: panel.rgb,
          raw: { height: panel.height, width: panel.width, channels: 3 as const },
          left,
          top,
        })),
        { input: Buffer.from(svg), left: 0, top: 0 },
      ])
      .removeAlpha() // compositing adds a channel that says nothing
      .png({ compressionLevel: 9 })
      .toBuffer();
  }
}

/** The photo as the model gets it at one scale, enlarged or reduced to the panel; padding is black. */
export async function photoAt(photo: Photo, scale: ScaleView, height: number, width: number): Promise<Buffer> {
  const raw = (size: { height: number; width: number }) => ({
    raw: { height: size.height, width: size.width, channels: 3 as const },
    limitInputPixels: false,
  });
  const { content = { top: 0, left: 0, height: scale.height, width: scale.width } } = scale;
  const resized = await sharp(photo.data, raw(photo))
    .resize(content.width, content.height, { fit: 'fill' })
    .raw()
    .toBuffer();
  // What lies in the scale of it, and the room around that.
  const [top, left] = [Math.max(0, -content.top), Math.max(0, -content.left)];
  const seen = {
    top,
    left,
    height: Math.min(content.height - top, scale.height - Math.max(0, content.top)),
    width: Math.min(content.width - left, scale.width - Math.max(0, content.left)),
  };
  const [above, before] = [Math.max(0, content.top), Math.max(0, content.left)];
  const placed = await sharp(resized, raw(content))
    .extract(seen)
    .extend({
      top: above,
      left: before,
      bottom: scale.height - above - seen.height,
      right: scale.width - before - seen.width,
      background: '#000000',
    })
    .raw()
    .toBuffer();
  return sharp(placed, raw(scale)).resize(width, height, { fit: 'fill' }).raw().toBuffer();
}

/** Every cell as a rectangle of one colour: nothing is shown that the features do not have. */
export function enlarge({ rgb, height, width }: ColourGrid, toHeight: number, toWidth: number): Buffer {
  const out = Buffer.alloc(toHeight * toWidth * 3);
  for (let y = 0; y < toHeight; y++) {
    const row = Math.floor((y * height) / toHeight) * width;
    for (let x = 0; x < toWidth; x++) {
      const from = (row + Math.floor((x * width) / toWidth)) * 3;
      out.set(rgb.subarray(from, from + 3), (y * toWidth + x) * 3);
    }
  }
  return out;
}

/** The borders of tiles, light with a dark rim so that they show on any photo. */
export function gridLines(left: number, top: number, height: number, width: number, scale: ScaleView): string {
  const { tops, lefts, rows, columns, tileHeight, tileWidth } = scale;
  const x = (pixels: number) => left + (pixels * width) / scale.width;
  const y = (pixels: number) => top + (pixels * height) / scale.height;
  const edges = (starts: readonly number[] | undefined, count: number, tile: number, side: number) =>
    (starts ?? Array.from({ length: count }, (_, index) => index * tile))
      .flatMap((start) => (starts ? [start, start + tile] : [start]))
      .filter((at) => at > 0 && at < side);
  const lines = [
    ...edges(lefts, columns, tileWidth, scale.width).map((at) => `M${x(at)} ${top}v${height}`),
    ...edges(tops, rows, tileHeight, scale.height).map((at) => `M${left} ${y(at)}h${width}`),
  ];
  const frame = `M${left + 1} ${top + 1}h${width - 2}v${height - 2}h${2 - width}z`;
  const stroke = (colour: string, opacity: number, thickness: number) =>
    `<path d="${frame}${lines.join('')}" fill="none" stroke="${colour}" stroke-opacity="${opacity}" stroke-width="${thickness}"/>`;
  return stroke('#000000', 0.45, 4) + stroke(COLOURS.line, 0.95, 2);
}

/**
 * As it is drawn. `grid`: its cells. `tile`: the cells of one tile. `via`: what the image is made into first.
 * Cells then have the same place in the photo's panel and in their own.
 */
export function viewOf(scale: PlanScale, grid: Size, tile: Size, via?: PlanScale): ScaleView {
  const name = nameOf(scale);
  const { content } = via ?? scale;
  if (!content) return { ...scale, name };
  if (scale.padding === 'zero') {
    const height = Math.round((grid.height * scale.tileHeight) / tile.height);
    const width = Math.round((grid.width * scale.tileWidth) / tile.width);
    return { ...scale, name, height, width, padded: { height: scale.height, width: scale.width } };
  }
  const factor = via ? scale.height / via.height : 1;
  const by = (pixels: number) => Math.round(pixels * factor);
  const { top, left, height, width } = content;
  return { ...scale, name, content: { top: by(top), left: by(left), height: by(height), width: by(width) } };
}

/** The part of a scale that the photo takes: without the padding that the features leave out. */
export function resizedSize({ height, width, padding, content }: PlanScale): Size {
  return padding === 'zero' && content ? { height: content.height, width: content.width } : { height, width };
}

/** 'scale 2', or the size where the sides' scales differ. */
export function nameOf(planned: PlanScale): string {
  const { height, width } = resizedSize(planned);
  const scale = height / planned.tileHeight;
  return scale === width / planned.tileWidth ? `scale ${Number(scale.toFixed(2))}` : `${width} x ${height}`;
}

/** The sizes that the name does not say, and the tiles. */
export function detailOf(scale: ScaleView): string {
  const { name, height, width, padded, content } = scale;
  const size = padded ? `${content?.width} x ${content?.height}` : `${width} x ${height}`;
  return [
    ...(size === name ? [] : [size]),
    ...(padded ? [`padded to ${padded.width} x ${padded.height}`] : []),
    tilesOf(scale),
  ].join(', ');
}

export const plural = (count: number, word: string) => `${count} ${word}${count === 1 ? '' : 's'}`;

export function tilesOf({ rows, columns, tileHeight, tileWidth }: ScaleView): string {
  const size = tileHeight === tileWidth ? `${tileWidth}` : `${tileWidth} x ${tileHeight}`;
  return rows * columns === 1 ? '1 tile' : `${columns} x ${rows} tiles of ${size}`;
}

/** A panel's size: the photo's aspect ratio within a box, and never too thin to see. */
export function panelSize(photo: Photo, count: number): { height: number; width: number } {
  const box = count <= 2 ? 600 : count === 3 ? 480 : 400;
  const factor = Math.min(box / photo.width, (box * 1.2) / photo.height);
  const side = (pixels: number) => Math.max(24, Math.round(pixels * factor));
  return { height: side(photo.height), width: side(photo.width) };
}
