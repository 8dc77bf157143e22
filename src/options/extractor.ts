// Checks of what an Extractor's load, extract, extractMany and estimate take.

import { checkSignal } from '../abort.js';
import { invalid } from '../errors.js';
import type { NativeSize } from '../native/addon.js';
import { COLOR_PROFILES, DEFAULTS, DTYPES, FITS, IMAGE_CHANNELS, PRESETS } from './defaults.js';
import { type CheckedDevice, checkDevice } from './gpu.js';
import type {
  Budget,
  EstimateOptions,
  ExtractManyOptions,
  ExtractOptions,
  ExtractorOptions,
  Fit,
  Preprocess,
  Preset,
} from './options.js';
import { checkBackground, checkPreprocess } from './preprocess.js';
import { type CheckedScaleOptions, checkScaleOptions } from './scale.js';
import { checkOptions, checkPatchSize, finite, flag, integer, list, oneOf, sideLengths, text } from './values.js';

export interface CheckedExtractOptions {
  scale: CheckedScaleOptions;
  fit?: Fit;
  signal?: AbortSignal;
}

export function checkExtractOptions(value: unknown): CheckedExtractOptions {
  const options = checkOptions(value as ExtractOptions | undefined, 'the options of extract');
  const checked: CheckedExtractOptions = { scale: checkScaleOptions(options) };
  if (options.fit !== undefined) checked.fit = oneOf(options.fit, FITS, 'fit');
  checkSignal(options.signal);
  if (options.signal) checked.signal = options.signal;
  return checked;
}

/** The options of extractMany: those of extract for every image, and the order. */
export function checkExtractManyOptions(value: unknown): CheckedExtractOptions & { ordered: boolean } {
  const options = checkOptions(value as ExtractManyOptions | undefined, 'the options of extractMany');
  return { ...checkExtractOptions(options), ordered: flag(options.ordered, DEFAULTS.ordered, 'ordered') };
}

const LIMITS: ReadonlySet<string> = new Set(
  Object.keys({ milliseconds: 0, bytes: 0, multiplyAdds: 0 } satisfies Record<keyof Budget, 0>),
);

/** The options of estimate: those of extract, and limits, none of them where no budget is given. */
export function checkEstimateOptions(value: unknown): CheckedExtractOptions & { budget?: Budget } {
  const options = checkOptions(value as EstimateOptions | undefined, 'the options of estimate');
  const { budget } = options;
  if (budget === undefined) return checkExtractOptions(options);
  if (typeof budget !== 'object' || budget === null || Array.isArray(budget))
    throw invalid('an object', 'budget', budget, 'for example { milliseconds: 200 }');
  const checked = Object.entries(budget).flatMap(([name, limit]) => {
    if (!LIMITS.has(name)) throw invalid(`${[...LIMITS].join(', ')}`, 'a limit of the budget', name);
    if (limit === undefined) return [];
    const number = finite(limit, `budget.${name}`);
    if (number <= 0) throw invalid('a number above 0', `budget.${name}`, limit);
    return [[name, number]];
  });
  return { ...checkExtractOptions(options), budget: Object.fromEntries(checked) };
}

export interface CheckedExtractorOptions {
  scale: CheckedScaleOptions;
  /** The caller named scales or sizes: they are no default. */
  namesScales: boolean;
  fit?: Fit;
  preset?: Preset;
  maxTiles?: number;
  /** At least one. */
  output?: string[];
  tileSize?: NativeSize;
  patchSize?: number;
  preprocess: Preprocess;
  configuration?: string | false;
  device: CheckedDevice;
  /** 0: one per thread of the executor. */
  threads: number;
  /** 0: the engine's choice. */
  maxBatch: number;
  /** -1: the engine's choice. */
  maxDelay: number;
  deterministic: boolean;
  /** 0: the process's common limit. */
  maxBytes: number;
  maxPixels: number;
  background: [red: number, green: number, blue: number];
  colorProfile: 'ignore' | 'convert';
  fastDecode: boolean;
  dtype: 'float32' | 'float16';
  runtimeLibrary?: string;
  signal?: AbortSignal;
}

/** Names of outputs that are to be joined. */
export function checkOutputNames(value: unknown, what: string): string[] {
  const names = list(value, 'the name of an output, or an array of at least one,', what).map((name) =>
    text(name, what),
  );
  if (new Set(names).size !== names.length) throw invalid('each name once', what, value);
  return names;
}

export function checkExtractorOptions(value: unknown): CheckedExtractorOptions {
  const options = checkOptions(value as ExtractorOptions | undefined, 'the options of Extractor.load');
  const namesScales = options.scales !== undefined || options.imageSizes !== undefined;
  const preset = options.preset === undefined ? undefined : oneOf(options.preset, PRESETS, 'preset');
  // A preset has scales of its own.
  const { scale, fit, signal } = checkExtractOptions({
    ...options,
    ...(!namesScales && preset === undefined && { scales: DEFAULTS.scales }),
  });
  const patchSize = checkPatchSize(options.patchSize);
  return {
    scale,
    namesScales,
    ...(fit !== undefined && { fit }),
    ...(preset !== undefined && { preset }),
    ...(options.maxTiles !== undefined && { maxTiles: integer(options.maxTiles, 1, 'maxTiles') }),
    ...(options.output !== undefined && {
      output: checkOutputNames(typeof options.output === 'string' ? [options.output] : options.output, 'output'),
    }),
    ...(options.tileSize !== undefined && { tileSize: sideLengths(options.tileSize, 'tileSize') }),
    ...(patchSize !== undefined && { patchSize }),
    preprocess: checkPreprocess(options.preprocess, IMAGE_CHANNELS),
    ...(options.configuration !== undefined && { configuration: checkConfiguration(options.configuration) }),
    device: checkDevice(options),
    threads: options.threads === undefined ? 0 : integer(options.threads, 1, 'threads'),
    maxBatch: options.maxBatch === undefined ? 0 : integer(options.maxBatch, 1, 'maxBatch'),
    maxDelay: options.maxDelay === undefined ? -1 : delay(options.maxDelay),
    deterministic: flag(options.deterministic, false, 'deterministic'),
    maxBytes: options.maxBytes === undefined ? 0 : integer(options.maxBytes, 1, 'maxBytes'),
    maxPixels: options.maxPixels === undefined ? DEFAULTS.maxPixels : integer(options.maxPixels, 1, 'maxPixels'),
    background: checkBackground(options.background),
    colorProfile:
      options.colorProfile === undefined
        ? DEFAULTS.colorProfile
        : oneOf(options.colorProfile, COLOR_PROFILES, 'colorProfile'),
    fastDecode: flag(options.fastDecode, false, 'fastDecode'),
    dtype: options.dtype === undefined ? DEFAULTS.dtype : oneOf(options.dtype, DTYPES, 'dtype'),
    ...(options.runtimeLibrary !== undefined && { runtimeLibrary: text(options.runtimeLibrary, 'runtimeLibrary') }),
    ...(signal && { signal }),
  };
}

/** As of Node.js's own timers. */
const LONGEST_DELAY = 2 ** 31 - 1;

function delay(value: unknown): number {
  const milliseconds = finite(value, 'maxDelay');
  if (milliseconds < 0 || milliseconds > LONGEST_DELAY) {
    throw invalid(`a number from 0 to ${LONGEST_DELAY} (milliseconds)`, 'maxDelay', value);
  }
  return milliseconds;
}

function checkConfiguration(value: unknown): string | false {
  if (value === false) return false;
  if (typeof value === 'string') return text(value, 'configuration');
  throw invalid('the path of a folder, or false,', 'configuration', value);
}
