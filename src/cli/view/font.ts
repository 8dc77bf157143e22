// Text as lines: a clean machine has no fonts, so the picture brings its own. Each glyph is the path of a pen with a round tip,
// in SVG's path language; the baseline is y = 0 and y grows downward. Capitals are 20 units high, small letters 14, descenders reach 6.

interface Glyph {
  /** Width of the drawn part, without the space around it. */
  width: number;
  path: string;
}

const BOWL = 'M5.5 -14A5.5 7 0 1 0 5.5 0A5.5 7 0 1 0 5.5 -14Z';

const GLYPHS: Readonly<Record<string, readonly [width: number, path: string]>> = {
  ' ': [3, ''],
  '!': [0, 'M0 -20V-6M0 -0.5V0'],
  '"': [5, 'M0 -20V-14.5M5 -20V-14.5'],
  '#': [13, 'M4.5 -20L2 0M11 -20L8.5 0M0.5 -13.5H13M0 -6.5H12.5'],
  $: [
    12.4,
    'M12 -16.8C11 -19 9 -20 6.3 -20C3 -20 0.6 -18 0.6 -15.2C0.6 -12.2 3 -11.2 6.3 -10.3C9.8 -9.4 12.4 -8.2 12.4 -5C12.4 -2 9.8 0 6.4 0' +
      'C3.4 0 1 -1.3 0 -3.8M6.3 -23V3',
  ],
  '%': [
    19,
    'M4 -20A4 4.8 0 1 0 4 -10.4A4 4.8 0 1 0 4 -20ZM15 -9.6A4 4.8 0 1 0 15 0A4 4.8 0 1 0 15 -9.6ZM15.5 -20L3.5 0',
  ],
  '&': [
    14.5,
    'M14.5 0L3.6 -13.4C1.4 -16.2 2.6 -20 6 -20C9.4 -20 10.6 -16.2 8.2 -13.9L4 -10.6C-1.6 -6.4 0.4 0 5.8 0C9.8 0 12.8 -3 13.6 -8',
  ],
  "'": [0, 'M0 -20V-14.5'],
  '(': [4, 'M4 -23C-1.3 -15 -1.3 -3 4 5'],
  ')': [4, 'M0 -23C5.3 -15 5.3 -3 0 5'],
  '*': [9, 'M4.5 -20V-10M0 -17.5L9 -12.5M9 -17.5L0 -12.5'],
  '+': [12, 'M6 -16V-4M0 -10H12'],
  ',': [1.2, 'M1.2 -0.6V0L0 3.6'],
  '-': [7, 'M0 -8.5H7'],
  '.': [0, 'M0 -0.5V0'],
  '/': [9, 'M0 3L9 -22'],
  '0': [11.5, 'M5.75 -20A5.75 10 0 1 0 5.75 0A5.75 10 0 1 0 5.75 -20Z'],
  '1': [11.5, 'M2 -16.4L7 -20V0'],
  '2': [11.5, 'M0.6 -15C0.9 -18.2 3 -20 5.9 -20C9 -20 11 -18 11 -15C11 -12.6 9.6 -10.8 7.4 -8.4L0.2 0H11.3'],
  '3': [
    11.5,
    'M0.6 -16.6C1.4 -18.8 3.2 -20 5.6 -20C8.6 -20 10.5 -18.1 10.5 -15.5C10.5 -12.6 8.4 -10.7 5 -10.7C8.8 -10.7 11.2 -8.7 11.2 -5.4' +
      'C11.2 -2.2 8.8 0 5.5 0C2.7 0 0.8 -1.4 0 -3.9',
  ],
  '4': [11.5, 'M8.6 0V-20L0 -6H11.5'],
  '5': [
    11.5,
    'M10.3 -20H2L1.1 -10.9C2.3 -12.2 3.9 -12.8 5.7 -12.8C9 -12.8 11.2 -10.2 11.2 -6.5C11.2 -2.6 8.8 0 5.4 0C2.7 0 0.8 -1.3 0 -3.6',
  ],
  '6': [
    11.5,
    'M9.6 -18.2C8.6 -19.4 7.3 -20 5.9 -20C2 -20 0.2 -15.5 0.2 -9C0.2 -3.2 2.2 0 5.8 0C9 0 11.3 -2.6 11.3 -6.2C11.3 -9.8 9 -12.2 5.9 -12.2' +
      'C2.8 -12.2 0.3 -9.8 0.3 -6.4',
  ],
  '7': [11.5, 'M0.2 -20H11.3L4 0'],
  '8': [
    11.5,
    'M5.75 -20A4.7 4.8 0 1 0 5.75 -10.4A4.7 4.8 0 1 0 5.75 -20ZM5.75 -10.4A5.6 5.2 0 1 0 5.75 0A5.6 5.2 0 1 0 5.75 -10.4Z',
  ],
  '9': [
    11.5,
    'M1.9 -1.8C2.9 -0.6 4.2 0 5.6 0C9.5 0 11.3 -4.5 11.3 -11C11.3 -16.8 9.3 -20 5.7 -20C2.5 -20 0.2 -17.4 0.2 -13.8' +
      'C0.2 -10.2 2.5 -7.8 5.6 -7.8C8.7 -7.8 11.2 -10.2 11.2 -13.6',
  ],
  ':': [0, 'M0 -12.5V-12M0 -0.5V0'],
  ';': [1.2, 'M1.2 -12.5V-12M1.2 -0.6V0L0 3.6'],
  '<': [11, 'M11 -17L0 -10L11 -3'],
  '=': [12, 'M0 -13H12M0 -7H12'],
  '>': [11, 'M0 -17L11 -10L0 -3'],
  '?': [10, 'M0 -16.2C0.6 -18.6 2.4 -20 5 -20C8 -20 10 -18.2 10 -15.4C10 -11.8 5.2 -11.2 5.2 -6.4M5.2 -0.5V0'],
  '@': [
    20,
    'M14 -13.5V-7.5C14 -5 15.2 -3.8 16.8 -3.8C18.8 -3.8 20 -6 20 -9.6C20 -15.8 16 -20 10.2 -20C4.2 -20 0 -15.6 0 -8.8' +
      'C0 -2 4.2 2.6 10.2 2.6C12.6 2.6 14.6 2 16.2 1M14 -8.8A4.2 5 0 1 0 5.6 -8.8A4.2 5 0 1 0 14 -8.8Z',
  ],
  A: [16, 'M0 0L8 -20L16 0M2.8 -7H13.2'],
  B: [12.75, 'M0 -10.5H6.5A4.75 4.75 0 0 0 6.5 -20H0V0H7.5A5.25 5.25 0 0 0 7.5 -10.5'],
  C: [15, 'M15 -16.5A8.5 10 0 1 0 15 -3.5'],
  D: [15, 'M0 -20V0H6A9 10 0 0 0 6 -20Z'],
  E: [11.5, 'M11.5 -20H0V0H11.5M0 -10.5H9.5'],
  F: [11, 'M11 -20H0V0M0 -10H9'],
  G: [15.6, 'M15.3 -16.3A8.6 10 0 1 0 15.6 -4.2V-9.5H9.5'],
  H: [14, 'M0 -20V0M14 -20V0M0 -10.5H14'],
  I: [0, 'M0 -20V0'],
  J: [9, 'M9 -20V-5.5A4.5 5.5 0 0 1 0 -5.5'],
  K: [13.5, 'M0 -20V0M13 -20L0 -7.5M4.7 -12L13.5 0'],
  L: [11, 'M0 -20V0H11'],
  M: [18, 'M0 0V-20L9 -6L18 -20V0'],
  N: [15, 'M0 0V-20L15 0V-20'],
  O: [17, 'M8.5 -20A8.5 10 0 1 0 8.5 0A8.5 10 0 1 0 8.5 -20Z'],
  P: [12.5, 'M0 0V-20H7A5.5 5.5 0 0 1 7 -9H0'],
  Q: [17, 'M8.5 -20A8.5 10 0 1 0 8.5 0A8.5 10 0 1 0 8.5 -20ZM11 -5L17 1'],
  R: [13.5, 'M0 0V-20H7A5.4 5.4 0 0 1 7 -9.2H0M7 -9.2L13.5 0'],
  S: [
    12.4,
    'M12 -16.8C11 -19 9 -20 6.3 -20C3 -20 0.6 -18 0.6 -15.2C0.6 -12.2 3 -11.2 6.3 -10.3C9.8 -9.4 12.4 -8.2 12.4 -5C12.4 -2 9.8 0 6.4 0' +
      'C3.4 0 1 -1.3 0 -3.8',
  ],
  T: [14, 'M0 -20H14M7 -20V0'],
  U: [14, 'M0 -20V-7A7 7 0 0 0 14 -7V-20'],
  V: [16, 'M0 -20L8 0L16 -20'],
  W: [22, 'M0 -20L5.5 0L11 -18L16.5 0L22 -20'],
  X: [14, 'M0 -20L14 0M14 -20L0 0'],
  Y: [14, 'M0 -20L7 -10L14 -20M7 -10V0'],
  Z: [13, 'M0 -20H13L0 0H13'],
  '[': [5, 'M5 -23H0V5H5'],
  '\\': [9, 'M0 -22L9 3'],
  ']': [5, 'M0 -23H5V5H0'],
  '^': [10, 'M0 -12L5 -20L10 -12'],
  _: [12, 'M0 4H12'],
  '`': [4, 'M0 -21L4 -17'],
  a: [
    10.3,
    'M1 -11.5C2 -13.2 3.6 -14 5.6 -14C8.6 -14 10.3 -12.4 10.3 -9.4V0M10.3 -8.2H5.4C2 -8.2 0 -6.8 0 -4.2C0 -1.6 2 0 4.6 0' +
      'C7.8 0 10.3 -2 10.3 -5',
  ],
  b: [11, `M0 -20V0${BOWL}`],
  c: [9.8, 'M9.8 -11.4A5.5 7 0 1 0 9.8 -2.6'],
  d: [11, `${BOWL}M11 -20V0`],
  e: [11, 'M0 -7H11A5.5 7 0 1 0 9.8 -2.6'],
  f: [7.5, 'M8 -20H6.8C4.4 -20 3.5 -18.6 3.5 -16.5V0M0 -14H7.5'],
  g: [11, `${BOWL}M11 -14V0.5C11 4.2 8.8 6 5.6 6C3.4 6 1.8 5.2 0.8 3.6`],
  h: [10.5, 'M0 -20V0M0 -8.5A5.25 5.5 0 0 1 10.5 -8.5V0'],
  i: [0, 'M0 -14V0M0 -19.6V-19'],
  j: [2, 'M2 -14V2C2 4.8 0.8 6 -1.5 6M2 -19.6V-19'],
  k: [10, 'M0 -20V0M9.5 -14L0 -5M3.8 -8.5L10 0'],
  l: [2.6, 'M0 -20V-3.2C0 -1 0.8 0 2.6 0'],
  m: [17, 'M0 -14V0M0 -9A4.25 5 0 0 1 8.5 -9V0M8.5 -9A4.25 5 0 0 1 17 -9V0'],
  n: [10.5, 'M0 -14V0M0 -8.5A5.25 5.5 0 0 1 10.5 -8.5V0'],
  o: [11, BOWL],
  p: [11, `M0 -14V6${BOWL}`],
  q: [11, `${BOWL}M11 -14V6`],
  r: [6.5, 'M0 -14V0M0 -8.5C0.3 -12 2.6 -14 6.5 -13.9'],
  s: [
    9.2,
    'M8.8 -11.8C8 -13.3 6.6 -14 4.7 -14C2.2 -14 0.5 -12.7 0.5 -10.7C0.5 -8.5 2.4 -7.9 4.7 -7.3C7.2 -6.7 9.2 -5.9 9.2 -3.5' +
      'C9.2 -1.3 7.2 0 4.7 0C2.4 0 0.8 -0.9 0 -2.7',
  ],
  t: [7.5, 'M3.5 -18.5V-3.6C3.5 -1.2 4.6 0 6.6 0H7.5M0 -14H7.5'],
  u: [10.5, 'M0 -14V-5.5A5.25 5.5 0 0 0 10.5 -5.5M10.5 -14V0'],
  v: [11, 'M0 -14L5.5 0L11 -14'],
  w: [16, 'M0 -14L4 0L8 -12.5L12 0L16 -14'],
  x: [10, 'M0 -14L10 0M10 -14L0 0'],
  y: [11, 'M0 -14L5.5 0M11 -14L5.2 1.4C4.2 4.4 3 6 0.5 6'],
  z: [9.5, 'M0 -14H9.5L0 0H9.5'],
  '{': [6, 'M6 -23C3 -23 3 -21.5 3 -19V-13C3 -10.5 2.4 -9 0 -9C2.4 -9 3 -7.5 3 -5V1C3 3.5 3 5 6 5'],
  '|': [0, 'M0 -23V5'],
  '}': [6, 'M0 -23C3 -23 3 -21.5 3 -19V-13C3 -10.5 3.6 -9 6 -9C3.6 -9 3 -7.5 3 -5V1C3 3.5 3 5 0 5'],
  '~': [12, 'M0 -8.5C2 -11.5 4 -11.5 6 -10C8 -8.5 10 -8.5 12 -11.5'],
};

/** Units from baseline to the top of capitals; a text of `size` pixels has capitals of that height. */
const CAPITAL = 20;
/** Units between two glyphs. */
const SPACING = 5.4;
// An empty box stands for what has no glyph.
const UNKNOWN: Glyph = { width: 11, path: 'M0 -20H11V0H0Z' };

/** The glyph of one character, or undefined if the font has none. */
export function glyphOf(character: string): Glyph | undefined {
  if (!Object.hasOwn(GLYPHS, character)) return undefined;
  const [width, path] = GLYPHS[character] as readonly [number, string];
  return { width, path };
}

/** Characters as a reader counts them: an accent composes with its letter where the font has the letter alone. */
function glyphsOf(text: string): Glyph[] {
  const bare = text.normalize('NFD').replace(/\p{Mn}/gu, '');
  return [...bare].map((character) => glyphOf(character) ?? UNKNOWN);
}

/** Width in pixels of `text` with capitals of `size` pixels. */
export function textWidth(text: string, size: number): number {
  const units = glyphsOf(text).reduce((sum, { width }) => sum + width + SPACING, 0);
  return (Math.max(0, units - SPACING) * size) / CAPITAL;
}

/** `text`, shortened by an ellipsis at its end to fit into `width` pixels. */
export function fitText(text: string, size: number, width: number): string {
  if (textWidth(text, size) <= width) return text;
  const characters = [...text];
  while (characters.length > 0 && textWidth(`${characters.join('')}...`, size) > width) characters.pop();
  return `${characters.join('')}...`;
}

/** Lines of whole words that fit into `width` pixels. */
export function wrapText(text: string, size: number, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const line = lines.at(-1);
    if (line !== undefined && textWidth(`${line} ${word}`, size) <= width) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/**
 * An SVG element that draws `text` from (x, y), y being the baseline.
 * @param size height of capitals in pixels.
 * @param weight thickness of the line in the font's units; 2 is light, 3 bold.
 */
export function drawText(text: string, x: number, y: number, size: number, colour: string, weight: number): string {
  let at = 0;
  const paths = glyphsOf(text).map(({ width, path }) => {
    const placed = path && `<path transform="translate(${at.toFixed(2)})" d="${path}"/>`;
    at += width + SPACING;
    return placed;
  });
  const scale = (size / CAPITAL).toFixed(4);
  return (
    `<g transform="translate(${x.toFixed(2)} ${y.toFixed(2)}) scale(${scale})" fill="none" stroke="${colour}" ` +
    `stroke-width="${weight}" stroke-linecap="round" stroke-linejoin="round">${paths.join('')}</g>`
  );
}
