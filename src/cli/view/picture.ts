// The picture of `manyscale view`: what the model sees at each scale, what it makes of each, and the joined features.

import type { Colouring } from './colours.js';
import { fitText, textWidth } from './font.js';
import {
  COLOURS,
  detailOf,
  enlarge,
  GAP,
  gridLines,
  MARGIN,
  Page,
  type Photo,
  panelSize,
  photoAt,
  plural,
  type ScaleView,
  TEXT,
  WEIGHT,
} from './page.js';

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

const MIN_PAGE_WIDTH = 1000;

const percent = (share: number) => `${Math.round(share * 100)}%`;

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
  labels(scales.map((scale) => [scale.name, detailOf(scale)]));
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
