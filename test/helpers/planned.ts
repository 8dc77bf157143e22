// A plan's scales in the words of tiling.ts, with what a plan leaves out where it is ordinary filled in.
import type { Plan, PlanScale } from 'manyscale';
import type { Box, Scale } from './tiling.js';

/** Where a scale is not exactly the resized image, or its tiles are not side by side. */
interface Uncommon {
  readonly content?: Box;
  readonly tops?: readonly number[];
  readonly lefts?: readonly number[];
}

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
