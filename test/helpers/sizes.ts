// Image sizes that decide something: thousands of aspect ratios, and those where two tile layouts are exactly as near.
import { makeRandom } from './random.js';
import type { Size } from './reference.js';
import type { Layout } from './tiling.js';

const LONGEST = 20_000;

/** Every ratio of small numbers, small and as large as photos, common sizes, extremes, and random ones. */
export function aspectSweep(seed: number): Size[] {
  const sizes: Size[] = [];
  for (let height = 1; height <= 40; height++) {
    for (let width = 1; width <= 40; width++) {
      sizes.push({ height, width }, { height: height * 37, width: width * 37 });
    }
  }
  for (const side of [31, 32, 33, 64, 95, 96, 97, 336, 447, 448, 449, 1344]) sizes.push({ height: side, width: side });
  const common = [
    [480, 640],
    [1080, 1920],
    [3000, 4000],
    [3024, 4032],
    [2160, 3840],
    [1179, 2556],
    [1, 20_000],
    [19_999, 20_000],
    [20_000, 20_000],
    [7, 4999],
  ] as const;
  for (const [a, b] of common) sizes.push({ height: a, width: b }, { height: b, width: a });
  const random = makeRandom(seed);
  const side = () => Math.ceil(2 ** (random.next() * Math.log2(LONGEST)));
  for (let i = 0; i < 800; i++) sizes.push({ height: side(), width: side() });
  return sizes;
}

const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));

/**
 * For any two layouts the sizes whose ratio lies exactly between theirs (or is theirs, where they have the same): the smallest,
 * and those whose area is nearest the one that decides for either, just below, at and just above.
 */
export function tieSweep(base: number, layouts: Layout[]): Size[] {
  const sizes = new Map<string, Size>();
  for (const [index, a] of layouts.entries()) {
    for (const b of layouts.slice(index + 1)) {
      // (a.columns / a.rows + b.columns / b.rows) / 2
      const over = a.columns * b.rows + b.columns * a.rows;
      const under = 2 * a.rows * b.rows;
      const shared = divisor(over, under);
      const [width, height] = [over / shared, under / shared];
      const times = [a, b].flatMap((layout) => {
        const exact = base * Math.sqrt((layout.columns * layout.rows) / (2 * width * height));
        return [Math.floor(exact), Math.floor(exact) + 1, Math.ceil(exact) - 1];
      });
      for (const k of [1, ...times]) {
        const size = { height: height * k, width: width * k };
        if (k > 0 && Math.max(size.height, size.width) <= LONGEST) sizes.set(`${size.width}x${size.height}`, size);
      }
    }
  }
  return [...sizes.values()];
}
