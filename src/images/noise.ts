// What stands in for an image where there is none.

import type { Size } from '../geometry/plan.js';
import type { RawImage } from './image.js';

/** Noise of uniform distribution. */
export function noiseImage({ height, width }: Size): RawImage {
  const data = new Uint8Array(height * width * 3);
  // Xorshift (Marsaglia 2003); always the same.
  let state = 0x9e3779b9;
  for (let i = 0; i < data.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    data[i] = state >>> 24;
  }
  return { data, height, width, channels: 3 };
}
