// Checks of scale options. Geometry that needs arithmetic (scales that divide, limits) is checked by native/core when it makes the plan.

import { invalid } from '../errors.js';
import type { NativePlanOptions, NativeSize } from '../native/addon.js';
import { BLENDS, DEFAULTS, LAYOUTS, UNEVEN } from './defaults.js';
import type { Blend, Layout, ScaleOptions, Uneven } from './options.js';
import { finite, flag, integer, list, oneOf, sideLengths } from './values.js';

function scaleList(value: unknown): number[] {
  return list(value, 'an array of at least one number', 'scales').map((scale, index) => {
    const number = finite(scale, `scales[${index}]`);
    if (number <= 0) throw invalid('a number above 0', `scales[${index}]`, scale);
    return number;
  });
}

function imageSizeList(value: unknown): NativeSize[] {
  const sizes = list(value, 'an array of at least one size', 'imageSizes');
  return sizes.map((entry, index) => sideLengths(entry, `imageSizes[${index}]`));
}

/** ScaleOptions, checked; absent where not given. */
export interface CheckedScaleOptions {
  scales?: number[];
  imageSizes?: NativeSize[];
  maxSplitSize?: NativeSize;
  resizeOutputToIndex?: number;
  numPrefixTokens?: number;
  outputShape?: Layout;
  dropPrefixTokens?: boolean;
  uneven?: Uneven;
  overlap?: number;
  blend?: Blend;
}

function overlapOf(value: unknown): number {
  const overlap = finite(value, 'overlap');
  if (overlap < 0 || (overlap >= 1 && !Number.isSafeInteger(overlap)))
    throw invalid('whole pixels, or a part of the tile from 0 to below 1,', 'overlap', value);
  return overlap;
}

export function checkScaleOptions(options: ScaleOptions): CheckedScaleOptions {
  const checked: CheckedScaleOptions = {};
  if (options.scales !== undefined && options.imageSizes !== undefined) {
    throw invalid('scales or imageSizes, not both,', 'the scales', options.imageSizes, 'leave one of them out');
  }
  if (options.scales !== undefined) checked.scales = scaleList(options.scales);
  if (options.imageSizes !== undefined) checked.imageSizes = imageSizeList(options.imageSizes);
  if (options.maxSplitSize !== undefined) checked.maxSplitSize = sideLengths(options.maxSplitSize, 'maxSplitSize');
  if (options.resizeOutputToIndex !== undefined) {
    checked.resizeOutputToIndex = integer(options.resizeOutputToIndex, Number.MIN_SAFE_INTEGER, 'resizeOutputToIndex');
  }
  if (options.numPrefixTokens !== undefined)
    checked.numPrefixTokens = integer(options.numPrefixTokens, 0, 'numPrefixTokens');
  if (options.outputShape !== undefined) checked.outputShape = oneOf(options.outputShape, LAYOUTS, 'outputShape');
  if (options.dropPrefixTokens !== undefined)
    checked.dropPrefixTokens = flag(options.dropPrefixTokens, false, 'dropPrefixTokens');
  if (options.uneven !== undefined) checked.uneven = oneOf(options.uneven, UNEVEN, 'uneven');
  if (options.overlap !== undefined) checked.overlap = overlapOf(options.overlap);
  if (options.blend !== undefined) checked.blend = oneOf(options.blend, BLENDS, 'blend');
  return checked;
}

/** `over`'s options where given, else `under`'s; scales and imageSizes replace each other. */
export function mergeScaleOptions(under: CheckedScaleOptions, over: CheckedScaleOptions): CheckedScaleOptions {
  const merged = { ...under, ...over };
  if (over.scales) delete merged.imageSizes;
  if (over.imageSizes) delete merged.scales;
  return merged;
}

/** What the native planner wants, without base and tile. */
export function planOptions(options: CheckedScaleOptions): NativePlanOptions {
  const { scales, imageSizes, maxSplitSize, uneven, overlap } = options;
  if (!scales && !imageSizes)
    throw invalid('an array', 'scales or imageSizes', undefined, 'for example scales: [1, 2]');
  return {
    ...(scales && { scales }),
    ...(imageSizes && { imageSizes }),
    ...(maxSplitSize && { maxSplitSize }),
    ...(uneven && { uneven }),
    ...(overlap && { overlap }),
    resizeOutputToIndex: options.resizeOutputToIndex ?? DEFAULTS.resizeOutputToIndex,
  };
}
