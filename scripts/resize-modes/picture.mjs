// Draws a detail of a photo as each resize mode leaves it at 224 x 224, and where it differs from 'pillow-bicubic': the picture of
// docs/resize.md. LEFT, TOP and SIDE are pixels of the 224; another ending of FILE than .webp gives that format.
//
//   npm run build:ts && node scripts/resize-modes/picture.mjs PHOTO LEFT,TOP,SIDE FILE.webp

import sharp from 'sharp';
import { drawText } from '../../dist/cli/view/font.js';
import { centreSquare, MODES, resizeBy, STANDARD } from './modes.mjs';

const TILE = 224;
const PANEL = 240;
const GAP = 20;
const MARGIN = 32;
const LABEL = 36; // above a detail
const COLUMNS = 5;
const DIFFERENCE_GAIN = 8;
const COLOURS = { page: '#11141a', text: '#eceef2', soft: '#9ba5b5', frame: '#ffffff' };
const SMALL = 11;
const LIGHT = 2.2;
const BOLD = 3;

const [photo, region, file] = process.argv.slice(2);
const [left, top, side] = (region ?? '').split(',').map(Number);
if (!file || ![left, top, left + side, top + side].every((at) => at >= 0 && at <= TILE) || !(side >= 1)) {
  console.error('usage: node scripts/resize-modes/picture.mjs PHOTO LEFT,TOP,SIDE FILE.webp');
  process.exit(2);
}

/** A panel's pixels: `colour(x, y, channel)` of each pixel of the detail, enlarged. */
function panel(colour) {
  const rgb = Buffer.alloc(PANEL * PANEL * 3);
  for (let y = 0; y < PANEL; y++) {
    for (let x = 0; x < PANEL; x++) {
      const [column, row] = [x, y].map((at) => Math.floor((at * side) / PANEL));
      for (let c = 0; c < 3; c++) {
        rgb[(y * PANEL + x) * 3 + c] = Math.min(255, Math.max(0, Math.round(colour(left + column, top + row, c))));
      }
    }
  }
  return { input: rgb, raw: { width: PANEL, height: PANEL, channels: 3 } };
}

const at = (pixels, x, y, channel) => pixels[channel * TILE * TILE + y * TILE + x];

/** Black, through red and yellow, to white. */
const heat = (share, channel) => 255 * (share * 3 - channel);

const image = await centreSquare(photo);
const details = await Promise.all(MODES.map(async (mode) => ({ mode, pixels: await resizeBy(image, mode, TILE) })));
const standard = details.find(({ mode }) => mode === STANDARD).pixels;

const panels = [];
const shapes = [];
const blockHeight = LABEL + 2 * PANEL + 2 * GAP;
const place = (column, block, row) => ({
  left: MARGIN + column * (PANEL + GAP),
  top: MARGIN + block * blockHeight + LABEL + row * (PANEL + GAP / 2),
});
const label = (text, where, colour = COLOURS.text, weight = BOLD) =>
  shapes.push(drawText(text, where.left, where.top - 12, SMALL, colour, weight));

// Pillow's modes above, with the whole photo at their end; PyTorch's below.
const blocks = ['pillow-', 'torch-'].map((definer) => details.filter(({ mode }) => mode.startsWith(definer)));
for (const [block, row] of blocks.entries()) {
  for (const [column, { mode, pixels }] of row.entries()) {
    const above = place(column, block, 0);
    const below = place(column, block, 1);
    label(mode, above);
    panels.push({ ...panel((x, y, c) => at(pixels, x, y, c)), ...above });
    if (mode === STANDARD) {
      const most = Math.round(255 / DIFFERENCE_GAIN);
      const lines = [
        'Below the others: how far',
        'each pixel is from this.',
        'Black: equal.',
        `White: ${most} of 255 or more.`,
      ];
      for (const [line, text] of lines.entries()) {
        shapes.push(drawText(text, below.left, below.top + 20 + line * 24, SMALL, COLOURS.soft, LIGHT));
      }
      continue;
    }
    const apart = (x, y) =>
      [0, 1, 2].reduce((sum, c) => sum + Math.abs(at(pixels, x, y, c) - at(standard, x, y, c)), 0) / 3;
    panels.push({ ...panel((x, y, c) => heat((apart(x, y) * DIFFERENCE_GAIN) / 255, c)), ...below });
  }
}

const whole = place(COLUMNS - 1, 0, 0);
const photoPanel = await sharp(image.data, { raw: { width: image.width, height: image.height, channels: 3 } })
  .resize(PANEL, PANEL)
  .raw()
  .toBuffer();
label(`the photo, ${image.width} x ${image.height}`, whole, COLOURS.soft, LIGHT);
panels.push({ input: photoPanel, raw: { width: PANEL, height: PANEL, channels: 3 }, ...whole });
const [frameLeft, frameTop, frameSide] = [left, top, side].map((value) => (value * PANEL) / TILE);
shapes.push(
  `<rect x="${whole.left + frameLeft}" y="${whole.top + frameTop}" width="${frameSide}" height="${frameSide}" ` +
    `fill="none" stroke="${COLOURS.frame}" stroke-width="2"/>`,
);

const width = 2 * MARGIN + COLUMNS * PANEL + (COLUMNS - 1) * GAP;
const height = 2 * MARGIN + 2 * blockHeight - GAP;
const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${shapes.join('')}</svg>`;
await sharp({ create: { width, height, channels: 3, background: COLOURS.page } })
  .composite([...panels, { input: Buffer.from(svg), left: 0, top: 0 }])
  .removeAlpha()
  .webp({ lossless: true, force: file.endsWith('.webp') })
  .toFile(file);
