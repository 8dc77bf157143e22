// The picture of `manyscale view --seams`: one scale's features without and with overlap, and how unlike neighbouring cells are.

import type { Seams } from '../../seams.js';
import type { ColourGrid } from './colours.js';
import { fitText } from './font.js';
import {
  COLOURS,
  enlarge,
  GAP,
  gridLines,
  MARGIN,
  Page,
  type Photo,
  panelSize,
  photoAt,
  type ScaleView,
  TEXT,
  tilesOf,
  WEIGHT,
} from './page.js';

/** One of the ways that are compared. */
export interface SeamView {
  name: string;
  scale: ScaleView;
  colours: ColourGrid;
  /** Of each cell to its right and lower neighbour, all views by the same measure: brighter is more unlike. */
  differences: ColourGrid;
  seams: Seams;
}

export interface SeamsView {
  title: string;
  subtitle: string;
  photo: Photo;
  views: SeamView[];
}

const COLUMN_WIDTH = 520;

/** Draws the picture and returns it as a PNG file. */
export async function drawSeams({ title, subtitle, photo, views }: SeamsView): Promise<Buffer> {
  const { height, width } = panelSize(photo, views.length);
  const columnWidth = Math.max(width, COLUMN_WIDTH);
  const page = new Page(2 * MARGIN + views.length * columnWidth + (views.length - 1) * GAP);
  const leftOf = (column: number) => MARGIN + column * (columnWidth + GAP);
  const labels = (text: (view: SeamView) => string) => {
    for (const [column, view] of views.entries()) {
      const [x, y] = [leftOf(column), page.y + TEXT.label];
      page.text(fitText(text(view), TEXT.label, columnWidth), x, y, TEXT.label, COLOURS.soft, WEIGHT.light);
    }
    page.y += TEXT.label + 14;
  };
  const panels = (grid: (view: SeamView) => ColourGrid) => {
    for (const [column, view] of views.entries()) {
      page.panel({ left: leftOf(column), top: page.y, height, width, rgb: enlarge(grid(view), height, width) });
    }
    page.y += height;
  };

  page.text(
    fitText(title, TEXT.title, page.innerWidth),
    MARGIN,
    page.y + TEXT.title,
    TEXT.title,
    COLOURS.text,
    WEIGHT.bold,
  );
  page.y = page.paragraph(subtitle, MARGIN, page.y + TEXT.title + 20, page.innerWidth, TEXT.label, COLOURS.soft);

  page.heading('1', 'The photo and the tiles that the model gets');
  labels(({ name, scale }) => `${name}: ${tilesOf(scale)}${scale.padded ? ', padded' : ''}`);
  for (const [column, { scale }] of views.entries()) {
    const [left, top] = [leftOf(column), page.y];
    page.panel({ left, top, height, width, rgb: await photoAt(photo, scale, height, width) });
    page.shapes.push(gridLines(left, top, height, width, scale));
  }
  page.y += height;

  page.heading('2', 'Its features as colours');
  labels(({ name, colours }) => `${name}: ${colours.width} x ${colours.height} cells`);
  panels(({ colours }) => colours);

  page.heading('3', 'How unlike neighbouring cells are');
  labels(
    ({ name, seams: { across, inside, ratio } }) =>
      `${name}: ${across.toFixed(3)} across, ${inside.toFixed(3)} inside, ratio ${ratio.toFixed(2)}`,
  );
  panels(({ differences }) => differences);
  const explanation =
    'Row 3: cosine distance of each cell to its right and lower neighbour. Where tiles only touch, their borders show as lines that the photo does not have. ' +
    'The ratio is the mean distance across these places over the mean inside: 1 where there is no seam.';
  page.y = page.paragraph(explanation, MARGIN, page.y + 24, page.innerWidth, TEXT.small, COLOURS.soft);
  return page.render();
}
