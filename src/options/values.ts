// Checks of single values, and of the names of options.

import { invalid } from '../errors.js';
import type { NativeSize } from '../native/addon.js';
import { refuseMisspelt } from './names.js';
import type {
  EstimateOptions,
  ExtractManyOptions,
  ExtractorOptions,
  MultiscaleOptions,
  PoolOptions,
  SplitOptions,
} from './options.js';

type AnyOptions = ExtractorOptions &
  ExtractManyOptions &
  EstimateOptions &
  MultiscaleOptions &
  SplitOptions &
  PoolOptions;

const NAMES: ReadonlySet<string> = new Set(
  Object.keys({
    scales: 0,
    imageSizes: 0,
    maxSplitSize: 0,
    resizeOutputToIndex: 0,
    numPrefixTokens: 0,
    outputShape: 0,
    dropPrefixTokens: 0,
    uneven: 0,
    blend: 0,
    mean: 0,
    std: 0,
    rescale: 0,
    resize: 0,
    channelOrder: 0,
    background: 0,
    patchSize: 0,
    splitForward: 0,
    signal: 0,
    fit: 0,
    ordered: 0,
    budget: 0,
    output: 0,
    tileSize: 0,
    preset: 0,
    maxTiles: 0,
    overlap: 0,
    preprocess: 0,
    configuration: 0,
    device: 0,
    strict: 0,
    provider: 0,
    devices: 0,
    cuda: 0,
    tensorrt: 0,
    onProgress: 0,
    threads: 0,
    maxBatch: 0,
    maxDelay: 0,
    deterministic: 0,
    maxBytes: 0,
    maxPixels: 0,
    colorProfile: 0,
    fastDecode: 0,
    dtype: 0,
    runtimeLibrary: 0,
  } satisfies Record<keyof AnyOptions, 0>),
);

/** Absent options: a key that is undefined counts as absent. */
export function checkOptions<T extends object>(options: T | undefined, what: string): T {
  if (options === undefined) return {} as T;
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw invalid('an object', what, options);
  refuseMisspelt(options, NAMES, what);
  return options;
}

export function flag(value: unknown, otherwise: boolean, what: string): boolean {
  if (value === undefined) return otherwise;
  if (typeof value !== 'boolean') throw invalid('true or false', what, value);
  return value;
}

export function oneOf<T extends string>(value: unknown, allowed: readonly T[], what: string): T {
  if (!allowed.includes(value as T))
    throw invalid(`one of ${allowed.map((name) => `'${name}'`).join(', ')}`, what, value);
  return value as T;
}

export function finite(value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw invalid('a finite number', what, value);
  return value;
}

export function integer(value: unknown, least: number, what: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < least) {
    const isTooLarge = typeof value === 'number' && value > Number.MAX_SAFE_INTEGER;
    throw invalid(`an integer of at least ${least}${isTooLarge ? ' and below 2^53' : ''}`, what, value);
  }
  return value as number;
}

/** As long as the longest that native code takes: the positions of a plan's most tiles. What is longer would take its time to walk through. */
const LONGEST_LIST = 2 ** 20;

/** A copy with holes filled by undefined, so that checks of the entries see them. */
export function list(value: unknown, expected: string, what: string): unknown[] {
  if (!Array.isArray(value) || value.length === 0) throw invalid(expected, what, value);
  const { length } = value;
  if (length > LONGEST_LIST) throw invalid(`at most ${LONGEST_LIST} entries`, what, value);
  return Array.from({ length }, (_, index) => value[index] as unknown);
}

/** A number (square) or [height, width] as a size. */
export function sideLengths(value: unknown, what: string): NativeSize {
  if (typeof value === 'number') {
    const side = integer(value, 1, what);
    return { height: side, width: side };
  }
  if (!Array.isArray(value) || value.length !== 2) throw invalid('an integer or [height, width]', what, value);
  return { height: integer(value[0], 1, `the height of ${what}`), width: integer(value[1], 1, `the width of ${what}`) };
}

/** { height, width } in whole pixels. */
export function size(value: unknown, what: string): NativeSize {
  if (typeof value !== 'object' || value === null) throw invalid('{ height, width }', what, value);
  const { height, width } = value as { height?: unknown; width?: unknown };
  return { height: integer(height, 1, `the height of ${what}`), width: integer(width, 1, `the width of ${what}`) };
}

export function checkPatchSize(value: unknown): number | undefined {
  return value === undefined ? undefined : integer(value, 1, 'patchSize');
}

export function text(value: unknown, what: string): string {
  if (typeof value !== 'string' || value === '' || value.includes('\0')) {
    throw invalid('a string, not empty and without NUL,', what, value);
  }
  return value;
}
