// The plan: pure geometry. Native code computes and checks it; here it gets its options' types and is frozen.

import { invalid, ManyscaleError } from '../errors.js';
import { deepFreeze } from '../freeze.js';
import type {
  NativeCrop,
  NativePlan,
  NativePlanOptions,
  NativePresetOptions,
  NativeScale,
  NativeSize,
} from '../native/addon.js';
import { checkPlan, makePlan, makePresetPlan } from '../native/calls.js';
import type { Blend, Layout, PlanOptions } from '../options/options.js';
import { type CheckedScaleOptions, checkScaleOptions, planOptions } from '../options/scale.js';
import { checkOptions, checkPatchSize, integer, list, size } from '../options/values.js';
import { BoundedCache } from './bounded-cache.js';

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
  /**
   * Where the resized image lies, relative to the scale's upper left corner: smaller than the scale where that is padded, reaching
   * beyond it where the resized image is cropped. Absent: it is the scale.
   */
  readonly content?: Crop;
  /**
   * What the tiles have beside the content, where it leaves something: 0 after normalisation, whose features are left out of the grid, or
   * pixels of the background, whose features stay.
   */
  readonly padding?: 'zero' | 'background';
  /** The first pixel of each row of tiles, where they overlap. Absent: one begins where the one before ends. */
  readonly tops?: readonly number[];
  /** The same of each column. */
  readonly lefts?: readonly number[];
}

/** What pool() takes when its own options do not say. */
export interface PlannedPool {
  readonly numPrefixTokens?: number;
  readonly outputShape?: Layout;
  readonly dropPrefixTokens?: boolean;
  readonly blend?: Blend;
  /** Pixels along a side of a token's patch. */
  readonly patchSize?: number;
  /** Tiles one after another, in the order of the scales, instead of merged: [tiles, tokens, channels]. */
  readonly sequence?: boolean;
}

/** From an image size to scales and tiles. Plain data, deeply frozen: it can be cloned, sent and stored as JSON. */
export interface Plan extends PlannedPool {
  /** The size of the images that it serves, in pixels. */
  readonly image: Size;
  readonly scales: readonly PlanScale[];
  /** The scale whose grid the result has. */
  readonly outputIndex: number;
  /** The part of the image that every scale is made of; absent: all of it. */
  readonly crop?: Crop;
  /**
   * What the image is made into first, one tile: the scales are then made of its normalised pixels, by 'torch-bicubic'. Absent: they are
   * made of the image.
   */
  readonly via?: PlanScale;
}

/** Plans made here: frozen, so they need no second check. */
const made = new WeakSet<Plan>();

/** Freezes a plan of native code's, with what pool() needs and whatever `more` adds. */
export function sealPlan<T extends object>(native: NativePlan, more: T): Plan & T {
  const { image, scales, outputIndex, via } = native;
  const plan = deepFreeze({ image, scales, outputIndex, ...(via && { via }), ...more });
  made.add(plan);
  return plan;
}

function scaleToNative(scale: PlanScale): NativeScale {
  const { height, width, rows, columns, tileHeight, tileWidth, content, padding, tops, lefts } = scale;
  return {
    height,
    width,
    rows,
    columns,
    tileHeight,
    tileWidth,
    ...(content && { content: { ...content } }),
    ...(padding && { padding }),
    ...(tops && { tops: [...tops] }),
    ...(lefts && { lefts: [...lefts] }),
  };
}

function toNative(plan: Plan): NativePlan {
  return {
    image: { height: plan.image.height, width: plan.image.width },
    scales: plan.scales.map(scaleToNative),
    outputIndex: plan.outputIndex,
    ...(plan.via && { via: scaleToNative(plan.via) }),
  };
}

/** A plan ready for native code, with what else it carries; one that did not come from here is checked first. */
export interface OpenedPlan {
  native: NativePlan;
  crop?: NativeCrop;
  pool: PlannedPool;
}

export function openPlan(value: Plan): OpenedPlan {
  const plan = made.has(value) ? value : readForeignPlan(value);
  const { crop } = plan;
  return {
    native: toNative(plan),
    ...(crop && { crop: { top: crop.top, left: crop.left, height: crop.height, width: crop.width } }),
    pool: plannedPool(plan),
  };
}

/** Of what may carry more, absent where absent. */
export function plannedPool(from: PlannedPool): PlannedPool {
  const { numPrefixTokens, outputShape, dropPrefixTokens, blend, patchSize, sequence } = from;
  return {
    ...(numPrefixTokens !== undefined && { numPrefixTokens }),
    ...(outputShape !== undefined && { outputShape }),
    ...(dropPrefixTokens !== undefined && { dropPrefixTokens }),
    ...(blend !== undefined && { blend }),
    ...(patchSize !== undefined && { patchSize }),
    ...(sequence !== undefined && { sequence }),
  };
}

/** Getters and proxies may throw anything. */
function readForeignPlan(value: unknown): Plan {
  try {
    return checkForeignPlan(value);
  } catch (cause) {
    if (cause instanceof ManyscaleError) throw cause;
    const message = 'Expected plain data for the plan but received an object that throws when it is read';
    throw new ManyscaleError('ERR_INVALID_ARGUMENT', `${message}; make the plan with plan()`, { cause });
  }
}

function checkForeignPlan(value: unknown): Plan {
  if (typeof value !== 'object' || value === null) throw invalid('a plan made by plan()', 'plan', value);
  const { image, scales, outputIndex, crop, via, sequence, patchSize, ...rest } = value as Partial<Plan>;
  if (sequence !== undefined && typeof sequence !== 'boolean')
    throw invalid('true or false', 'plan.sequence', sequence);
  const plan: Plan = {
    image: size(image, 'plan.image'),
    scales: list(scales, 'an array of at least one scale', 'plan.scales').map((scale, index) =>
      checkPlanScale(scale, `plan.scales[${index}]`),
    ),
    outputIndex: integer(outputIndex, 0, 'plan.outputIndex'),
    ...(crop !== undefined && { crop: checkCrop(crop, size(image, 'plan.image')) }),
    ...(via !== undefined && { via: checkPlanScale(via, 'plan.via') }),
    ...plannedPool(checkScaleOptions(plannedPool(rest))),
    ...(sequence !== undefined && { sequence }),
    ...(patchSize !== undefined && { patchSize: integer(patchSize, 1, 'plan.patchSize') }),
  };
  checkPlan(toNative(plan));
  if (plan.via) checkVia(plan, plan.via);
  return plan;
}

/** The scales are made of its one tile. */
function checkVia(plan: Plan, via: PlanScale): void {
  checkPlan({ image: plan.image, scales: [scaleToNative(via)], outputIndex: 0 });
  if (via.rows !== 1 || via.columns !== 1) throw invalid('one tile', 'plan.via', [via.rows, via.columns]);
}

function checkPlanScale(value: unknown, what: string): PlanScale {
  const { rows, columns, tileHeight, tileWidth, content, padding, tops, lefts } = (value ?? {}) as Partial<PlanScale>;
  if (padding !== undefined && padding !== 'zero' && padding !== 'background')
    throw invalid("'zero' or 'background'", `${what}.padding`, padding);
  return {
    ...size(value, what),
    rows: integer(rows, 1, `${what}.rows`),
    columns: integer(columns, 1, `${what}.columns`),
    tileHeight: integer(tileHeight, 1, `${what}.tileHeight`),
    tileWidth: integer(tileWidth, 1, `${what}.tileWidth`),
    ...(content !== undefined && { content: rectangle(content, Number.MIN_SAFE_INTEGER, `${what}.content`) }),
    ...(padding !== undefined && { padding }),
    ...(tops !== undefined && { tops: positions(tops, `${what}.tops`) }),
    ...(lefts !== undefined && { lefts: positions(lefts, `${what}.lefts`) }),
  };
}

function positions(value: unknown, what: string): number[] {
  return list(value, 'an array of positions', what).map((position, index) => integer(position, 0, `${what}[${index}]`));
}

function rectangle(value: unknown, least: number, what: string): NativeCrop {
  const { top, left } = (value ?? {}) as Partial<Crop>;
  return {
    ...size(value, what),
    top: integer(top, least, `${what}.top`),
    left: integer(left, least, `${what}.left`),
  };
}

function checkCrop(value: unknown, image: Size): Crop {
  const crop = rectangle(value, 0, 'plan.crop');
  if (crop.top + crop.height > image.height || crop.left + crop.width > image.width) {
    const { top, left, height, width } = crop;
    throw invalid(`a part of the image (${image.height} x ${image.width})`, 'plan.crop', [top, left, height, width]);
  }
  return crop;
}

/** What an Extractor knows beside the scale options. */
export type Place = Pick<NativePlanOptions, 'base' | 'tile' | 'keepAspect' | 'overlapUnit'>;

/** The plans that were asked for last, frozen: a stream has few shapes, or so many that none comes back. */
const plans = new BoundedCache<NativePlan>(256);

/** A plan is small unless it lists the positions of very many overlapping tiles. */
const isSmall = ({ scales }: NativePlan) =>
  scales.reduce((sum, { tops = [], lefts = [] }) => sum + 10 + tops.length + lefts.length, 0) < 10_000;

/** The plan of checked options; `place` says what scales are relative to and which tile they must fit. */
export function planFor(image: NativeSize, options: CheckedScaleOptions, place: Place = {}): NativePlan {
  const wanted = { ...planOptions(options), ...place };
  return plans.get(keyOf(image, wanted), () => deepFreeze(makePlan(image, wanted)), isSmall);
}

/** The plan of a preset. */
export function presetPlanFor(image: NativeSize, options: NativePresetOptions): NativePlan {
  return plans.get(keyOf(image, options), () => deepFreeze(makePresetPlan(image, options)), isSmall);
}

/** JSON has no infinities; such options were refused before. */
function keyOf({ height, width }: NativeSize, options: object): string {
  return `${height} ${width} ${JSON.stringify(options)}`;
}

/**
 * Which scales and tiles an image of `image.height` x `image.width` pixels gives: size = floor(side * scale), cut into
 * ceil(size / maxSplitSize) equal tiles per axis; with `overlap` into tiles of maxSplitSize.
 * @throws {ManyscaleError} ERR_INVALID_ARGUMENT (sizes that do not divide: the message names the nearest that do),
 * ERR_PLAN_TOO_LARGE.
 */
export function plan(image: Size, options: PlanOptions): Plan {
  const given = checkOptions(options, 'the options of plan');
  const checked = checkScaleOptions(given);
  const patchSize = checkPatchSize(given.patchSize);
  const patch = patchSize !== undefined && { patchSize };
  return sealPlan(planFor(size(image, 'the image'), checked, overlapPlace(checked, patchSize)), {
    ...plannedPool(checked),
    ...patch,
  });
}

/** Overlapping tiles begin at whole patches, where the patch is known. */
export function overlapPlace({ overlap }: CheckedScaleOptions, patchSize: number | undefined): Place {
  return overlap && patchSize !== undefined ? { overlapUnit: { height: patchSize, width: patchSize } } : {};
}
