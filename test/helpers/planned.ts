// Plans against plain geometry.
import type { Plan, PlanScale } from 'manyscale';
import { expect } from 'vitest';
import type { Size } from './reference.js';
import type { Box, Scale } from './tiling.js';

/** Where a scale is not exactly the resized image, or its tiles are not side by side. */
interface Uncommon {
  readonly content?: Box;
  readonly tops?: readonly number[];
  readonly lefts?: readonly number[];
}

/** A plan's scales in the words of tiling.ts, with what a plan leaves out where it is ordinary filled in. */
export function plannedScales(plan: Plan): Scale[] {
  return plan.scales.map((scale: PlanScale & Uncommon) => {
    const { height, width, rows, columns, tileHeight, tileWidth } = scale;
    const { content = { top: 0, left: 0, height, width }, tops, lefts } = scale;
    const starts = (given: readonly number[] | undefined, count: number, stride: number) =>
      given ? [...given] : Array.from({ length: count }, (_, i) => i * stride);
    return {
      height,
      width,
      content: { top: content.top, left: content.left, height: content.height, width: content.width },
      tops: starts(tops, rows, tileHeight),
      lefts: starts(lefts, columns, tileWidth),
    };
  });
}

/** A plan made of other sizes than expected is told with the image's; of thousands, the first few. */
export function expectPlans(
  images: readonly Size[],
  planned: (image: Size) => Plan,
  expected: (image: Size) => Scale[],
  what: string,
): void {
  const wrong: { image: Size; planned: Scale[]; expected: Scale[] }[] = [];
  for (const image of images) {
    const pair = { planned: plannedScales(planned(image)), expected: expected(image).map(geometryOnly) };
    if (JSON.stringify(pair.planned) !== JSON.stringify(pair.expected)) wrong.push({ image, ...pair });
    if (wrong.length === 3) break;
  }
  expect(wrong, what).toEqual([]);
}

/** In one order of keys, so that equal scales are equal texts. */
function geometryOnly({ height, width, content, tops, lefts }: Scale): Scale {
  const { top, left } = content;
  return { height, width, content: { top, left, height: content.height, width: content.width }, tops, lefts };
}
