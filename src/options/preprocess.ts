// Checks of preprocessing, and its form for native code.

import { invalid } from '../errors.js';
import type { NativePreprocess } from '../native/addon.js';
import { CHANNEL_ORDERS, DEFAULTS, RESIZE_MODES } from './defaults.js';
import type { Preprocess, ResizeMode } from './options.js';
import { checkOptions, finite, list, oneOf } from './values.js';

function perChannel(value: unknown, what: string): number[] {
  return list(value, 'an array of numbers, one per channel,', what).map((entry, index) =>
    finite(entry, `${what}[${index}]`),
  );
}

function checkCount(values: readonly number[] | undefined, channels: number, what: string): void {
  if (values && values.length !== 1 && values.length !== channels) {
    throw invalid(channels === 1 ? '1 number' : `1 or ${channels} numbers`, what, values);
  }
}

/** Checked copies of what is given; nothing is filled in. `channels`: of the tiles. */
export function checkPreprocess(value: unknown, channels: number, what = 'preprocess'): Preprocess {
  const given = checkOptions(value as Preprocess | undefined, what);
  const checked: Preprocess = {};
  if (given.mean !== undefined) checked.mean = perChannel(given.mean, `${what}.mean`);
  if (given.std !== undefined) {
    checked.std = perChannel(given.std, `${what}.std`);
    if (checked.std.includes(0)) throw invalid('numbers other than 0', `${what}.std`, given.std);
  }
  checkCount(checked.mean, channels, `${what}.mean`);
  checkCount(checked.std, channels, `${what}.std`);
  if (given.rescale !== undefined) checked.rescale = finite(given.rescale, `${what}.rescale`);
  if (given.resize !== undefined) checked.resize = oneOf(given.resize, RESIZE_MODES, `${what}.resize`);
  if (given.channelOrder !== undefined) {
    checked.channelOrder = oneOf(given.channelOrder, CHANNEL_ORDERS, `${what}.channelOrder`);
  }
  return checked;
}

export function checkBackground(value: unknown): [red: number, green: number, blue: number] {
  if (value === undefined) return [...DEFAULTS.background];
  const works =
    Array.isArray(value) &&
    value.length === 3 &&
    value.every((part) => Number.isInteger(part) && part >= 0 && part <= 255);
  if (!works) throw invalid('[red, green, blue], each an integer from 0 to 255,', 'background', value);
  return value as [number, number, number];
}

/** Everything filled in, for native code. */
export function fillPreprocess(
  given: Preprocess,
  pixels: 'uint8' | 'float32',
  background: [red: number, green: number, blue: number],
): NativePreprocess {
  const { mean, std } = given;
  return {
    // The defaults are the same for every channel, and so serve tensors of any number of channels.
    mean: mean ? [...mean] : [DEFAULTS.mean[0]],
    std: std ? [...std] : [DEFAULTS.std[0]],
    rescale: given.rescale ?? DEFAULTS.rescale,
    resize: given.resize ?? (pixels === 'uint8' ? DEFAULTS.resizeUint8 : DEFAULTS.resizeFloat),
    bgr: (given.channelOrder ?? DEFAULTS.channelOrder) === 'bgr',
    background,
  };
}

/** Whether shrinking reads all pixels and not only those nearest to where a new one lies. */
export function readsAllPixels(resize: ResizeMode): boolean {
  return resize !== 'torch-bicubic' && resize !== 'torch-bilinear';
}
