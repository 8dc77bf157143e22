// How an Extractor cuts an image: by fit or preset, into which scales, with how much overlap.

import { invalid } from '../errors.js';
import type { NativePlan, NativeSize } from '../native/addon.js';
import type { CheckedExtractOptions } from '../options/extractor.js';
import type { Fit, Preset } from '../options/options.js';
import { type CheckedScaleOptions, mergeScaleOptions } from '../options/scale.js';
import type { TileShape } from '../pool.js';
import { planFor, presetPlanFor, type Size } from './plan.js';

export interface Cutting {
  scale: CheckedScaleOptions;
  /** Of no meaning beside a preset. */
  fit: Fit;
  preset?: Preset;
  maxTiles?: number;
}

/** Presets whose result is tiles one after another. */
const SEQUENCES: ReadonlySet<Preset> = new Set<Preset>(['internvl', 'anyres']);

export function isSequence({ preset }: Pick<Cutting, 'preset'>): boolean {
  return preset !== undefined && SEQUENCES.has(preset);
}

/**
 * Refuses options that contradict each other.
 * @throws {ManyscaleError} ERR_INVALID_ARGUMENT
 */
export function refuseContradictions({
  scale,
  fit,
  preset,
  maxTiles,
}: Omit<Cutting, 'fit'> & { fit?: Fit | undefined }): void {
  if (preset === undefined) {
    if (maxTiles !== undefined)
      throw invalid('a preset', 'maxTiles', maxTiles, "it belongs to preset: 'dynamic-s2' and others");
    return;
  }
  const refuse = (name: string, value: unknown) => {
    if (value !== undefined) throw invalid(`nothing beside preset '${preset}'`, name, value, 'leave one of them out');
  };
  refuse('fit', fit);
  refuse('uneven', scale.uneven);
  refuse('overlap', scale.overlap);
  refuse('blend', scale.blend);
  refuse('maxSplitSize', scale.maxSplitSize);
  if (preset !== 'anyres') refuse('imageSizes', scale.imageSizes);
  if (preset === 'llava-s2') refuse('maxTiles', maxTiles);
  if (SEQUENCES.has(preset)) {
    refuse('scales', scale.scales);
    refuse('resizeOutputToIndex', scale.resizeOutputToIndex);
  }
}

/** What load() was told, with what a call says instead. */
export function mergeCutting(loaded: Cutting, { scale, fit }: CheckedExtractOptions): Cutting {
  const merged: Cutting = { ...loaded, scale: mergeScaleOptions(loaded.scale, scale) };
  refuseContradictions({ ...merged, fit });
  return fit === undefined ? merged : { ...merged, fit };
}

/** The plan of an image for a model of this tile; `shapes`: of its outputs. */
export function planCutting(image: Size, cutting: Cutting, tile: NativeSize, shapes: readonly TileShape[]): NativePlan {
  const { scale, fit, preset, maxTiles } = cutting;
  const { scales, imageSizes, resizeOutputToIndex, overlap } = scale;
  if (preset !== undefined) {
    return presetPlanFor(image, {
      preset,
      tile,
      ...(scales && { scales }),
      ...(imageSizes && { resolutions: imageSizes }),
      ...(maxTiles !== undefined && { maxTiles }),
      ...(resizeOutputToIndex !== undefined && { resizeOutputToIndex }),
    });
  }
  const keep = fit === 'keep';
  const place = {
    base: tile,
    tile,
    ...(keep && { keepAspect: true }),
    ...(overlap && { overlapUnit: overlapUnit(tile, shapes) }),
  };
  return planFor(image, { ...(keep && { uneven: 'resize' }), ...scale }, place);
}

/** Tiles whose positions are multiples of it have cells at the same places, in every output. */
function overlapUnit(tile: NativeSize, shapes: readonly TileShape[]): NativeSize {
  const unit = (side: number, cells: readonly number[]) =>
    cells.map((count) => side / commonDivisor(side, count)).reduce((a, b) => (a / commonDivisor(a, b)) * b, 1);
  return {
    height: unit(
      tile.height,
      shapes.map(({ grid }) => grid.height),
    ),
    width: unit(
      tile.width,
      shapes.map(({ grid }) => grid.width),
    ),
  };
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}
