// The picture of `manyscale view`: what the model sees at each scale, what it makes of each, and the joined features.

import sharp from 'sharp';
import type { ColourGrid, Colouring } from './colours.js';
import { drawText, fitText, textWidth, wrapText } from './font.js';

/** Interleaved red, green and blue. */
export interface Photo {
  data: Uint8Array;
  height: number;
  width: number;
}

export interface ScaleView {
  /** As the user gave it: 'scale 2'. */
  name: string;
  height: number;
  width: number;
  rows: number;
  columns: number;
}

export interface View {
  title: string;
  subtitle: string;
  /** The part of the image that the scales cover. */
  photo: Photo;
  scales: ScaleView[];
  /** One grid per scale. */
  alone: Colouring;
  /** Without it, because there is one scale only, the third row is left out. */
  joined?: Colouring;
  /** One per grid of `joined`. */
  joinedNames: string[];
  /** Of one scale, and of all joined. */
  channels: { alone: number; joined: number };
}

const COLOURS = {
  page: '#11141a',
  edge: '#2a303b',
  text: '#eceef2',
  soft: '#9ba5b5',
  line: '#ffffff',
  accent: '#7fb4ff',
};
const MARGIN = 48;
const GAP = 28;
const TEXT = { title: 27, heading: 18, label: 15, small: 13 };
const WEIGHT = { light: 2.2, bold: 3 };
const MIN_PAGE_WIDTH = 1000;

/** A picture at a place on the page. */
interface Panel {
  left: number;
  top: number;
  height: number;
  width: number;
  rgb: Buffer;
}

/** Collects what is drawn from top to bottom. */
class Page {
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

/** The photo as the model gets it at one scale, enlarged or reduced to the panel. */
async function photoAt(photo: Photo, scale: ScaleView, height: number, width: number): Promise<Buffer> {
  const raw = (size: { height: number; width: number }) => ({
    raw: { height: size.height, width: size.width, channels: 3 as const },
  });
  const seen = await sharp(photo.data, { ...raw(photo), limitInputPixels: false })
    .resize(scale.width, scale.height, { fit: 'fill' })
    .raw()
    .toBuffer();
  return sharp(seen, { ...raw(scale), limitInputPixels: false })
    .resize(width, height, { fit: 'fill' })
    .raw()
    .toBuffer();
}

/** Every cell as a rectangle of one colour: nothing is shown that the features do not have. */
function enlarge({ rgb, height, width }: ColourGrid, toHeight: number, toWidth: number): Buffer {
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

/** Lines between tiles, light with a dark rim so that they show on any photo. */
function gridLines(left: number, top: number, height: number, width: number, { rows, columns }: ScaleView): string {
  const lines: string[] = [];
  for (let column = 1; column < columns; column++) lines.push(`M${left + (column * width) / columns} ${top}v${height}`);
  for (let row = 1; row < rows; row++) lines.push(`M${left} ${top + (row * height) / rows}h${width}`);
  const frame = `M${left + 1} ${top + 1}h${width - 2}v${height - 2}h${2 - width}z`;
  const stroke = (colour: string, opacity: number, thickness: number) =>
    `<path d="${frame}${lines.join('')}" fill="none" stroke="${colour}" stroke-opacity="${opacity}" stroke-width="${thickness}"/>`;
  return stroke('#000000', 0.45, 4) + stroke(COLOURS.line, 0.95, 2);
}

const percent = (share: number) => `${Math.round(share * 100)}%`;
const plural = (count: number, word: string) => `${count} ${word}${count === 1 ? '' : 's'}`;

function tilesOf({ height, width, rows, columns }: ScaleView): string {
  const [tileHeight, tileWidth] = [height / rows, width / columns];
  const size = tileHeight === tileWidth ? `${tileWidth}` : `${tileWidth} x ${tileHeight}`;
  return rows * columns === 1 ? '1 tile' : `${columns} x ${rows} tiles of ${size}`;
}

/** A panel's size: the photo's aspect ratio within a box, and never too thin to see. */
function panelSize(photo: Photo, count: number): { height: number; width: number } {
  const box = count <= 2 ? 600 : count === 3 ? 480 : 400;
  const factor = Math.min(box / photo.width, (box * 1.2) / photo.height);
  const side = (pixels: number) => Math.max(24, Math.round(pixels * factor));
  return { height: side(photo.height), width: side(photo.width) };
}

/** Draws the picture and returns it as a PNG file. */
export async function drawView(view: View): Promise<Buffer> {
  const { photo, scales, alone, joined, channels } = view;
  const columns = Math.max(scales.length, 2);
  const { height, width } = panelSize(photo, columns);
  const columnWidth = Math.max(width, Math.floor((MIN_PAGE_WIDTH - 2 * MARGIN - (columns - 1) * GAP) / columns));
  const page = new Page(2 * MARGIN + columns * columnWidth + (columns - 1) * GAP);
  const several = scales.length > 1;
  const leftOf = (column: number) => MARGIN + column * (columnWidth + GAP);

  page.text(
    fitText(view.title, TEXT.title, page.innerWidth),
    MARGIN,
    page.y + TEXT.title,
    TEXT.title,
    COLOURS.text,
    WEIGHT.bold,
  );
  page.y = page.paragraph(view.subtitle, MARGIN, page.y + TEXT.title + 20, page.innerWidth, TEXT.label, COLOURS.soft);

  // Beside the name where every label of the row has room for it, else all of the row on a second line.
  const labels = (items: readonly (readonly [name: string, detail: string])[]) => {
    const space = 14;
    const besides = items.every(
      ([name, detail]) => textWidth(name, TEXT.label) + space + textWidth(detail, TEXT.label) <= columnWidth,
    );
    const line = TEXT.label + 11;
    for (const [column, [name, detail]] of items.entries()) {
      const [left, baseline] = [leftOf(column), page.y + TEXT.label];
      page.text(fitText(name, TEXT.label, columnWidth), left, baseline, TEXT.label, COLOURS.text, WEIGHT.bold);
      const shift = besides ? [textWidth(name, TEXT.label) + space, 0] : [0, line];
      const [x, y] = [left + (shift[0] as number), baseline + (shift[1] as number)];
      page.text(fitText(detail, TEXT.label, columnWidth), x, y, TEXT.label, COLOURS.soft, WEIGHT.light);
    }
    page.y += (besides ? 0 : line) + TEXT.label + 14;
  };
  const features = ({ grids }: Colouring, names: readonly string[], count: number) => {
    labels(
      grids.map((grid, column) => [
        names[column] ?? '',
        `${grid.width} x ${grid.height} cells, ${plural(count, 'channel')}`,
      ]),
    );
    for (const [column, grid] of grids.entries()) {
      page.panel({ left: leftOf(column), top: page.y, height, width, rgb: enlarge(grid, height, width) });
    }
    page.y += height;
  };

  page.heading(
    '1',
    several
      ? 'The photo at each scale, cut into tiles of the size that the model takes'
      : 'The photo as the model sees it',
  );
  labels(scales.map((scale) => [scale.name, `${scale.width} x ${scale.height}, ${tilesOf(scale)}`]));
  for (const [column, scale] of scales.entries()) {
    const [left, top] = [leftOf(column), page.y];
    page.panel({ left, top, height, width, rgb: await photoAt(photo, scale, height, width) });
    page.shapes.push(gridLines(left, top, height, width, scale));
  }
  page.y += height;

  page.heading('2', several ? 'Features of each scale alone' : 'Features');
  features(
    alone,
    scales.map(({ name }) => name),
    channels.alone,
  );

  const legend =
    'Colours: the first three principal components of the features as red, green and blue. Cells of like colour have like features.';
  if (!joined) {
    const shown = `The colours show ${percent(alone.explained)} of the features' variance.`;
    page.y = page.paragraph(`${legend} ${shown}`, MARGIN, page.y + 30, page.innerWidth, TEXT.small, COLOURS.soft);
    return page.render();
  }

  page.heading('3', 'Features of all scales, joined along the channels');
  const top = page.y;
  features(joined, view.joinedNames, channels.joined);
  const explanation = [
    legend,
    `Row 2: one basis for all scales, so that colours compare; it shows ${percent(alone.explained)} of the variance. ` +
      `Larger scales place things more exactly.`,
    `Row 3: a basis of its own, turned to match; it shows ${percent(joined.explained)}. Every scale is brought to one grid: this is what extract writes. ` +
      `A cell knows its surroundings from the small scales and its detail from the large ones.`,
  ];
  // Beside the joined features where there is room, else below.
  const free = columns - joined.grids.length;
  if (free > 0) {
    const left = leftOf(joined.grids.length);
    page.text('How to read this', left, top + TEXT.label, TEXT.label, COLOURS.text, WEIGHT.bold);
    const room = Math.min(640, free * columnWidth + (free - 1) * GAP);
    let y = top + TEXT.label + 22;
    for (const text of explanation) y = page.paragraph(text, left, y, room, TEXT.small, COLOURS.soft) + 12;
    page.y = Math.max(page.y, y - 12);
  } else {
    page.y = page.paragraph(explanation.join(' '), MARGIN, page.y + 30, page.innerWidth, TEXT.small, COLOURS.soft);
  }
  return page.render();
}
