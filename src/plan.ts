// The plan: pure geometry. Native code computes and checks it; here it gets its options' types and is frozen.

import { invalid } from './errors.js';
import { deepFreeze } from './freeze.js';
import type { NativeCrop, NativePlan, NativePlanOptions, NativeSize } from './native/addon.js';
import { checkPlan, makePlan } from './native/calls.js';
import {
  type CheckedScaleOptions,
  checkOptions,
  checkScaleOptions,
  integer,
  type Layout,
  planOptions,
  type ScaleOptions,
  size,
} from './options.js';

/** Pixels, or cells of a grid. */
export interface Size {
  readonly height: number;
  readonly width: number;
}

/** A part of an image, in pixels. */
export interface Crop extends Size {
  readonly top: number;
  readonly left: number;
}

/** One resized copy of the image, height x width pixels, cut into rows x columns tiles of tileHeight x tileWidth. */
export interface PlanScale extends Size {
  readonly rows: number;
  readonly columns: number;
  readonly tileHeight: number;
  readonly tileWidth: number;
}

/** From an image size to scales and tiles. Plain data, deeply frozen: it can be cloned, sent and stored as JSON. */
export interface Plan {
  /** The size of the images that it serves, in pixels. */
  readonly image: Size;
  readonly scales: readonly PlanScale[];
  /** The scale whose grid the result has. */
  readonly outputIndex: number;
  /** The part of the image that every scale is made of; absent: all of it. */
  readonly crop?: Crop;
  /** What pool() takes when its own options do not say. */
  readonly numPrefixTokens?: number;
  readonly outputShape?: Layout;
}

/** Plans made here: frozen, so they need no second check. */
const made = new WeakSet<Plan>();

/** Freezes a plan of native code's, with what pool() needs and whatever `more` adds. */
export function sealPlan<T extends object>(native: NativePlan, more: T): Plan & T {
  const plan = deepFreeze({ image: native.image, scales: native.scales, outputIndex: native.outputIndex, ...more });
  made.add(plan);
  return plan;
}

function toNative(plan: Plan): NativePlan {
  return {
    image: { height: plan.image.height, width: plan.image.width },
    scales: plan.scales.map(({ height, width, rows, columns, tileHeight, tileWidth }) => ({
      height,
      width,
      rows,
      columns,
      tileHeight,
      tileWidth,
    })),
    outputIndex: plan.outputIndex,
  };
}

/** A plan ready for native code, with what else it carries; one that did not come from here is checked first. */
export interface OpenedPlan {
  native: NativePlan;
  crop?: NativeCrop;
  numPrefixTokens?: number;
  outputShape?: Layout;
}

export function openPlan(value: Plan): OpenedPlan {
  const plan = made.has(value) ? value : checkForeignPlan(value);
  const { crop, numPrefixTokens, outputShape } = plan;
  return {
    native: toNative(plan),
    ...(crop && { crop: { top: crop.top, left: crop.left, height: crop.height, width: crop.width } }),
    ...(numPrefixTokens !== undefined && { numPrefixTokens }),
    ...(outputShape !== undefined && { outputShape }),
  };
}

function checkForeignPlan(value: unknown): Plan {
  if (typeof value !== 'object' || value === null) throw invalid('a plan made by plan()', 'plan', value);
  const { image, scales, outputIndex, crop, numPrefixTokens, outputShape } = value as Partial<Plan>;
  if (!Array.isArray(scales)) throw invalid('an array', 'plan.scales', scales, 'make the plan with plan()');
  const { numPrefixTokens: prefix, outputShape: shape } = checkScaleOptions({
    ...(numPrefixTokens !== undefined && { numPrefixTokens }),
    ...(outputShape !== undefined && { outputShape }),
  });
  const plan: Plan = {
    image: size(image, 'plan.image'),
    scales: scales.map((scale: unknown, index) => checkScale(scale, `plan.scales[${index}]`)),
    outputIndex: integer(outputIndex, 0, 'plan.outputIndex'),
    ...(crop !== undefined && { crop: checkCrop(crop, size(image, 'plan.image')) }),
    ...(prefix !== undefined && { numPrefixTokens: prefix }),
    ...(shape !== undefined && { outputShape: shape }),
  };
  checkPlan(toNative(plan));
  return plan;
}

function checkScale(value: unknown, what: string): PlanScale {
  const { rows, columns, tileHeight, tileWidth } = (value ?? {}) as Partial<PlanScale>;
  return {
    ...size(value, what),
    rows: integer(rows, 1, `${what}.rows`),
    columns: integer(columns, 1, `${what}.columns`),
    tileHeight: integer(tileHeight, 1, `${what}.tileHeight`),
    tileWidth: integer(tileWidth, 1, `${what}.tileWidth`),
  };
}

function checkCrop(value: unknown, image: Size): Crop {
  const { top, left } = (value ?? {}) as Partial<Crop>;
  const crop = {
    ...size(value, 'plan.crop'),
    top: integer(top, 0, 'plan.crop.top'),
    left: integer(left, 0, 'plan.crop.left'),
  };
  if (crop.top + crop.height > image.height || crop.left + crop.width > image.width) {
    const { height, width } = crop;
    throw invalid(`a part of the image (${image.height} x ${image.width})`, 'plan.crop', [
      crop.top,
      crop.left,
      height,
      width,
    ]);
  }
  return crop;
}

/** The plan of checked options; `place` says what scales are relative to and which tile they must fit. */
export function planFor(
  image: NativeSize,
  options: CheckedScaleOptions,
  place: Pick<NativePlanOptions, 'base' | 'tile'> = {},
): NativePlan {
  return makePlan(image, { ...planOptions(options), ...place });
}

/**
 * Which scales and tiles an image of `image.height` x `image.width` pixels gives: size = floor(side * scale), cut into
 * ceil(size / maxSplitSize) equal tiles per axis.
 * @throws {ManyscaleError} ERR_INVALID_ARGUMENT (sizes that do not divide: the message names the nearest that do),
 * ERR_PLAN_TOO_LARGE.
 */
export function plan(image: Size, options: ScaleOptions): Plan {
  const checked = checkScaleOptions(checkOptions(options, 'the options of plan'));
  const { numPrefixTokens, outputShape } = checked;
  return sealPlan(planFor(size(image, 'the image'), checked), {
    ...(numPrefixTokens !== undefined && { numPrefixTokens }),
    ...(outputShape !== undefined && { outputShape }),
  });
}
