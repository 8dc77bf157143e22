// Sizes as texts.

import type { NativeSize } from '../native/addon.js';
import type { SideLengths } from '../options/options.js';

/** '224' or '336x448', height first; undefined for other texts. */
export function parseSides(text: string): SideLengths | undefined {
  const [, height, width] = /^\s*(\d+)(?:x(\d+))?\s*$/i.exec(text) ?? [];
  if (height === undefined) return undefined;
  return width === undefined ? Number(height) : [Number(height), Number(width)];
}

/** '336 x 448', height first. */
export function showSides({ height, width }: NativeSize): string {
  return `${height} x ${width}`;
}
