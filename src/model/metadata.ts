// What a model says of itself in its ONNX metadata, under manyscale.*: checked like a caller's options.

import { ManyscaleError } from '../errors.js';
import { parseSides } from '../geometry/sides.js';
import type { NativeSize } from '../native/addon.js';
import { IMAGE_CHANNELS } from '../options/defaults.js';
import { checkExtractOptions, checkOutputNames } from '../options/extractor.js';
import type { Fit, Preprocess } from '../options/options.js';
import { checkPreprocess } from '../options/preprocess.js';
import { integer, sideLengths } from '../options/values.js';

/** Absent where the model says nothing. */
export interface CarriedOptions {
  tileSize?: NativeSize;
  patchSize?: number;
  numPrefixTokens?: number;
  /** Names of outputs, at least one. */
  outputs?: string[];
  fit?: Fit;
  preprocess: Preprocess;
}

/** Of all keys. */
export const PREFIX = 'manyscale.';
/** Of its keys, for messages. */
const PLACE = "the model's metadata manyscale";

/** @throws {ManyscaleError} ERR_MODEL_LOAD, for values that an option could not have either. */
export function readMetadata(metadata: Readonly<Record<string, string>>): CarriedOptions {
  const read = <T>(key: string, check: (value: string, what: string) => T): T | undefined => {
    const value = Object.hasOwn(metadata, PREFIX + key) ? metadata[PREFIX + key]?.trim() : undefined;
    return value === undefined ? undefined : fromMetadata(key, () => check(value, `${PLACE}.${key}`));
  };
  const trimmed = (value: string) => value.split(',').map((name) => name.trim());
  const numbers = (value: string) => value.split(',').map(number);
  const carried = {
    tileSize: read('tileSize', (value, what) => sideLengths(parseSides(value) ?? value, what)),
    patchSize: read('patchSize', (value, what) => integer(count(value), 1, what)),
    numPrefixTokens: read('numPrefixTokens', (value, what) => integer(count(value), 0, what)),
    outputs: read('output', (value, what) => checkOutputNames(trimmed(value), what)),
    fit: read('fit', (fit) => checkExtractOptions({ fit }).fit),
  };
  const preprocess = {
    mean: read('mean', numbers),
    std: read('std', numbers),
    rescale: read('rescale', number),
    resize: read('resize', (value) => value),
    channelOrder: read('channelOrder', (value) => value),
  };
  return {
    ...withoutAbsent(carried),
    preprocess: fromMetadata('*', () => checkPreprocess(preprocess, IMAGE_CHANNELS, PLACE)),
  };
}

/** Runs a check of what the metadata say of `key`: what would be the caller's error is the file's. */
export function fromMetadata<T>(key: string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof ManyscaleError)) throw error;
    const advice = `correct the model's metadata (${PREFIX}${key})`;
    throw new ManyscaleError('ERR_MODEL_LOAD', `${error.message}; ${advice}`, { cause: error });
  }
}

/** Number('') would be 0. */
function number(value: string): number {
  return value.trim() === '' ? Number.NaN : Number(value);
}

/** The text itself where it is no whole number, for the message. */
function count(value: string): number | string {
  return /^\d+$/.test(value) ? Number(value) : value;
}

type Present<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

function withoutAbsent<T extends object>(values: T): Present<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Present<T>;
}
