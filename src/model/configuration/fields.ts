// The values of a configuration file, each checked when it is asked for. Keys that are absent or null give undefined.

import { basename } from 'node:path';
import { describe, ManyscaleError } from '../../errors.js';
import type { NativeSize } from '../../native/addon.js';
import { IGNORE_FILES, type JsonFile } from './files.js';

/** No model has sides, patches or counts beyond this; larger values are mistakes. */
const MOST = 2 ** 16;

/** A size as image processors write it. */
export interface WrittenSize extends NativeSize {
  /** Only the shorter side gets its length; the aspect ratio is kept. */
  isShortestEdge: boolean;
}

export class Fields {
  /** Of the file, for notes. */
  readonly name: string;
  readonly #path: string;
  readonly #values: object;
  readonly #given: ReadonlySet<string>;
  /** Of the object inside the file: 'vision_config.' or ''. */
  readonly #prefix: string;

  /** `given`: options that the caller or the model's metadata give: what they override is not looked at. */
  constructor({ path, values }: JsonFile, given: ReadonlySet<string>, prefix = '') {
    this.name = basename(path);
    this.#path = path;
    this.#values = values;
    this.#given = given;
    this.#prefix = prefix;
  }

  /** `option`: the name of the option that overrides the value. */
  #read(key: string, option?: string): unknown {
    if (option !== undefined && this.#given.has(option)) return undefined;
    // Not by the prototype: 'constructor' is no key of theirs, and '__proto__' is one like any other.
    return Object.hasOwn(this.#values, key) ? ((this.#values as Record<string, unknown>)[key] ?? undefined) : undefined;
  }

  /** For values that are of the right type but cannot be. */
  refuse(key: string, expected: string, received: unknown, option?: string): ManyscaleError {
    const remedy = option === undefined ? 'correct the file' : `correct the file or give ${option}`;
    return new ManyscaleError(
      'ERR_MODEL_LOAD',
      `Expected ${expected} for ${this.#prefix}${key} in '${this.#path}' but received ${describe(received)}; ${remedy}, or ${IGNORE_FILES}`,
    );
  }

  boolean(key: string): boolean | undefined {
    const value = this.#read(key);
    if (value === undefined || typeof value === 'boolean') return value;
    throw this.refuse(key, 'true or false', value);
  }

  text(key: string): string | undefined {
    const value = this.#read(key);
    if (value === undefined || typeof value === 'string') return value;
    throw this.refuse(key, 'a string', value);
  }

  number(key: string, option?: string): number | undefined {
    const value = this.#read(key, option);
    if (value === undefined || isNumber(value)) return value;
    throw this.refuse(key, 'a finite number', value, option);
  }

  integer(key: string, least: number): number | undefined {
    const value = this.#read(key);
    if (value === undefined || isCount(value, least)) return value;
    throw this.refuse(key, `an integer from ${least} to ${MOST}`, value);
  }

  /** One number for each of red, green and blue. */
  colours(key: string, option: string): number[] | undefined {
    const value = this.#read(key, option);
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.length === 3 && value.every(isNumber)) return value;
    throw this.refuse(key, '3 finite numbers', value, option);
  }

  /** A side, [height, width], { height, width } or { shortest_edge }. 'unknown': an object of another form. */
  size(key: string): WrittenSize | 'unknown' | undefined {
    const value = this.#read(key);
    if (value === undefined) return undefined;
    const size = readSize(value);
    if (size !== undefined) return size;
    const forms = 'a side, [height, width], { height, width } or { shortest_edge }';
    throw this.refuse(key, `${forms}, integers from 1 to ${MOST},`, value);
  }

  object(key: string): Fields | undefined {
    const value = this.#read(key);
    if (value === undefined) return undefined;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw this.refuse(key, 'an object', value);
    return new Fields({ path: this.#path, values: value }, this.#given, `${this.#prefix}${key}.`);
  }
}

function isNumber(value: unknown): value is number {
  return Number.isFinite(value);
}

function isCount(value: unknown, least: number): value is number {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= MOST;
}

/** undefined: no size at all. */
function readSize(value: unknown): WrittenSize | 'unknown' | undefined {
  if (isCount(value, 1)) return { height: value, width: value, isShortestEdge: false };
  if (Array.isArray(value)) {
    const [height, width] = value;
    return value.length === 2 ? exactly(height, width) : undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const own = (key: string): unknown =>
    Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined;
  const keys = Object.keys(value).filter((key) => own(key) !== null);
  if (keys.length === 1 && keys[0] === 'shortest_edge') {
    const side = own('shortest_edge');
    return isCount(side, 1) ? { height: side, width: side, isShortestEdge: true } : undefined;
  }
  if (keys.includes('height') || keys.includes('width')) return exactly(own('height'), own('width'));
  return keys.length === 0 ? undefined : 'unknown';
}

function exactly(height: unknown, width: unknown): WrittenSize | undefined {
  return isCount(height, 1) && isCount(width, 1) ? { height, width, isShortestEdge: false } : undefined;
}
