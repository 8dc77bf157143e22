// What an image may be, and which of those a value is. Nothing is read or decoded here.

import { fileURLToPath } from 'node:url';
import { copyBytes } from '../copy.js';
import { invalid } from '../errors.js';
import type { NativeImage } from '../native/addon.js';
import { integer } from '../options/values.js';
import { isDetached, isTensorLike, isUnstable } from '../tensor.js';

/** Interleaved 8-bit pixels in R, G, B(, A) order. Grey is replicated to three channels, alpha is composed on the background. */
export interface RawImage {
  data: Uint8Array | Uint8ClampedArray;
  /** Pixels. */
  width: number;
  height: number;
  channels: 1 | 3 | 4;
  /** Bytes from one row to the next; default width * channels. */
  stride?: number;
}

/** The web's ImageData: four channels. */
export interface ImageDataLike {
  readonly data: Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
}

/** What sharp's toBuffer({ resolveWithObject: true }) gives, raw or encoded. */
export interface SharpOutput {
  data: Uint8Array;
  info: { width: number; height: number; channels: number; format?: string };
}

/** A path, a file URL, a Blob, encoded bytes (JPEG, PNG, WebP, AVIF, TIFF, GIF), or pixels. */
export type ImageInput = string | URL | Blob | Uint8Array | ArrayBuffer | RawImage | ImageDataLike | SharpOutput;

export type ImageSource =
  | { kind: 'file'; path: string }
  | { kind: 'blob'; blob: Blob }
  | { kind: 'bytes'; bytes: Uint8Array }
  | { kind: 'pixels'; image: NativeImage };

const ACCEPTED = 'a path, file URL, Blob, encoded bytes, RawImage, ImageData or { data, info } of sharp';

/**
 * Says what kind of image a value is.
 * @throws {ManyscaleError} ERR_INVALID_ARGUMENT for anything else, and for pixels whose sizes and data do not agree.
 */
export function recogniseImage(value: unknown): ImageSource {
  if (typeof value === 'string') return recognisePath(value);
  if (typeof value !== 'object' || value === null) throw invalid(ACCEPTED, 'the image', value);
  const tag = Object.prototype.toString.call(value);
  if (tag === '[object URL]') return recogniseUrl(value as URL);
  if (tag === '[object Blob]' || tag === '[object File]') return { kind: 'blob', blob: value as Blob };
  if (tag === '[object ArrayBuffer]' || tag === '[object SharedArrayBuffer]') {
    return { kind: 'bytes', bytes: viewOf(value as ArrayBufferLike) };
  }
  if (isBytes(value)) return { kind: 'bytes', bytes: checkAttached(asBytes(value), 'the image') };
  if (isTensorLike(value)) throw invalid(ACCEPTED, 'the image', value, 'give tensors to multiscaleForward or split');
  if ('data' in value) {
    if ('info' in value) return recogniseSharp(value as SharpOutput);
    return { kind: 'pixels', image: checkPixels(value as Partial<RawImage>) };
  }
  throw invalid(ACCEPTED, 'the image', value);
}

/** The pixels of a RawImage, ImageData or sharp's raw { data, info } for split(); encoded images are refused. */
export function recognisePixels(value: unknown): NativeImage {
  const source = recogniseImage(value);
  if (source.kind !== 'pixels') {
    throw invalid(
      'pixels (RawImage, ImageData or raw { data, info }) or a float32 tensor',
      'the image of split',
      value,
      'decode it first, for example with sharp, or give it to an Extractor',
    );
  }
  return source.image;
}

function recognisePath(value: string): ImageSource {
  if (value === '') throw invalid(ACCEPTED, 'the image', value);
  const scheme =
    /^([a-z][a-z0-9+.-]+):\/\//i.exec(value)?.[1]?.toLowerCase() ?? (/^data:/i.test(value) ? 'data' : undefined);
  if (scheme === undefined) return { kind: 'file', path: value };
  let url: URL;
  try {
    url = new URL(value);
  } catch {
    throw invalid('a path or file URL', 'the image', value);
  }
  return recogniseUrl(url);
}

function recogniseUrl(url: URL): ImageSource {
  if (url.protocol !== 'file:') throw invalid('a file URL', 'the image', url.href, 'fetch it and give its bytes');
  try {
    return { kind: 'file', path: fileURLToPath(url) };
  } catch (cause) {
    throw invalid(
      'a file URL of this machine',
      'the image',
      url.href,
      cause instanceof Error ? cause.message : undefined,
    );
  }
}

function recogniseSharp(value: SharpOutput): ImageSource {
  const { data, info } = value;
  if (!isBytes(data)) throw invalid('a Uint8Array', "data of sharp's { data, info }", data);
  if (typeof info !== 'object' || info === null) throw invalid('an object', "info of sharp's { data, info }", info);
  // Without .raw() sharp's output is an encoded image that carries its own size.
  if (info.format !== undefined && info.format !== 'raw')
    return { kind: 'bytes', bytes: checkAttached(asBytes(data), 'the image') };
  return {
    kind: 'pixels',
    image: checkPixels({
      data,
      width: info.width,
      height: info.height,
      channels: info.channels as RawImage['channels'],
    }),
  };
}

function checkPixels(value: Partial<RawImage>): NativeImage {
  const { data } = value;
  if (!isBytes(data)) throw invalid('a Uint8Array', 'data of the image', data);
  const width = integer(value.width, 1, 'width of the image');
  const height = integer(value.height, 1, 'height of the image');
  // ImageData has no channels: always red, green, blue, alpha.
  const channels = value.channels ?? (data[Symbol.toStringTag] === 'Uint8ClampedArray' ? 4 : undefined);
  if (channels !== 1 && channels !== 3 && channels !== 4) throw invalid('1, 3 or 4', 'channels of the image', channels);
  const row = width * channels;
  const stride = value.stride === undefined ? 0 : integer(value.stride, row, 'stride of the image (bytes)');
  const bytes = checkAttached(asBytes(data), 'data of the image');
  // With a stride the last row needs no padding, and a buffer may have more behind it.
  const needed = stride === 0 ? height * row : (height - 1) * stride + row;
  if (stride === 0 ? bytes.length !== needed : bytes.length < needed) {
    const expected = `${stride === 0 ? '' : 'at least '}${needed} bytes (${height} x ${width} pixels of ${channels} channel${channels === 1 ? '' : 's'}${stride === 0 ? '' : `, stride ${stride}`})`;
    throw invalid(expected, 'data of the image', bytes);
  }
  const unstable = isUnstable(bytes);
  return { data: unstable ? copyBytes(bytes) : bytes, owned: unstable, batch: 1, channels, height, width, stride };
}

/** Uint8Array (Buffer too) or Uint8ClampedArray of any realm. */
function isBytes(value: unknown): value is Uint8Array | Uint8ClampedArray {
  if (!ArrayBuffer.isView(value)) return false;
  const tag = (value as Uint8Array)[Symbol.toStringTag];
  return tag === 'Uint8Array' || tag === 'Uint8ClampedArray';
}

function asBytes(view: Uint8Array | Uint8ClampedArray): Uint8Array {
  return view[Symbol.toStringTag] === 'Uint8Array'
    ? (view as Uint8Array)
    : new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function viewOf(buffer: ArrayBufferLike): Uint8Array {
  try {
    return new Uint8Array(buffer);
  } catch {
    throw invalid('bytes', 'the image', buffer, 'the buffer was transferred away');
  }
}

function checkAttached(bytes: Uint8Array, what: string): Uint8Array {
  if (isDetached(bytes)) throw invalid('bytes', what, bytes, 'the buffer was transferred away');
  return bytes;
}
