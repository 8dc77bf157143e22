// Encoded images up to their pixels: reading them, and checking the first bytes and the header. Only the listed formats are
// decoded, decided by the bytes before a decoder sees them and by sharp's own reading of the header.

import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Metadata, Sharp, SharpOptions } from 'sharp';
import { copyBytes } from '../copy.js';
import type { NativeSize } from '../native/addon.js';
import type { ImageSource } from './image.js';
import { damaged, imageError, reason, unsupported } from './image-errors.js';
import { loadSharp } from './sharp.js';

export interface OpenOptions {
  maxPixels: number;
  colorProfile: 'ignore' | 'convert';
}

/** An image whose header was read and accepted. Height and width are those of the upright image. */
export interface EncodedImage extends NativeSize {
  bytes: Uint8Array;
  header: Metadata;
  /** Not used yet. */
  sharp: Sharp;
  /** The image, for messages. */
  what: string;
}

/** sharp's names of the formats, by how a file starts. */
const SIGNATURES: readonly { format: string; bytes: string }[] = [
  { format: 'jpeg', bytes: '\xff\xd8\xff' },
  { format: 'png', bytes: '\x89PNG\r\n\x1a\n' },
  { format: 'gif', bytes: 'GIF87a' },
  { format: 'gif', bytes: 'GIF89a' },
  { format: 'tiff', bytes: 'II*\0' },
  { format: 'tiff', bytes: 'MM\0*' },
  { format: 'tiff', bytes: 'II+\0' },
  { format: 'tiff', bytes: 'MM\0+' },
];

/** An image that has to be decoded, and that nobody else changes. */
export type OwnSource = Extract<ImageSource, { kind: 'bytes' | 'file' }>;

/**
 * The source with bytes of its own. The caller's are copied before the call returns: decoding begins later and on another
 * thread, and they may be gone then. A Blob is read, however long that takes; a file is left to openImage, so that many
 * images take no memory before their turn.
 */
export async function ownSource(source: Exclude<ImageSource, { kind: 'pixels' }>): Promise<OwnSource> {
  switch (source.kind) {
    case 'bytes':
      return { kind: 'bytes', bytes: copyBytes(source.bytes) };
    case 'blob':
      return { kind: 'bytes', bytes: await readBlob(source.blob) };
    case 'file':
      return source;
  }
}

/** Reads the file or takes the bytes, and reads the header. */
export async function openImage(source: OwnSource, options: OpenOptions): Promise<EncodedImage> {
  if (source.kind === 'bytes') return openBytes(source.bytes, 'the image', options);
  return openBytes(await readImageFile(source.path), `the image '${source.path}'`, options);
}

async function readImageFile(path: string): Promise<Uint8Array> {
  const what = 'a readable image file';
  try {
    // A pipe or a device may never end, and opening a pipe may wait for its writer.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      if ((await file.stat()).isFile()) return await file.readFile();
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw imageError('ERR_IMAGE_READ', what, 'the image', `'${path}' (${reason(cause)})`, 'check the path', cause);
  }
  throw imageError('ERR_IMAGE_READ', what, 'the image', `'${path}', which is not a file`, 'read it and give its bytes');
}

async function readBlob(blob: Blob): Promise<Uint8Array> {
  try {
    return new Uint8Array(await blob.arrayBuffer());
  } catch (cause) {
    const received = `one that fails (${reason(cause)})`;
    throw imageError('ERR_IMAGE_READ', 'a readable Blob', 'the image', received, 'check where it is from', cause);
  }
}

/** sharp's name of the format that the first bytes announce. */
function sniff(bytes: Uint8Array): string | undefined {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 4096)).toString('latin1');
  const known = SIGNATURES.find((signature) => head.startsWith(signature.bytes));
  if (known) return known.format;
  if (head.startsWith('RIFF') && head.startsWith('WEBP', 8)) return 'webp';
  // AVIF is one brand of the ISO container: the box 'ftyp' lists a major brand, a version and compatible brands.
  if (head.startsWith('ftyp', 4)) {
    const end = Math.min(new DataView(bytes.buffer, bytes.byteOffset).getUint32(0), head.length);
    for (let at = 8; at + 4 <= end; at += 4) if (at !== 12 && /^avi[fs]$/.test(head.slice(at, at + 4))) return 'heif';
  }
  return undefined;
}

/** `what`: the image, for messages. */
async function openBytes(bytes: Uint8Array, what: string, options: OpenOptions): Promise<EncodedImage> {
  if (bytes.length === 0) throw damaged(what, '0 bytes');
  const format = sniff(bytes);
  if (format === undefined) {
    if (bytes.length < 12 && startsLikeAnImage(bytes)) throw damaged(what, `${bytes.length} bytes, the start of one`);
    throw unsupported(what, `bytes that start with ${printable(bytes)}`);
  }
  const sharp = await loadSharp();
  const settings: SharpOptions = {
    failOn: 'error', // also truncated files, but not the harmless warnings that many cameras' files give
    limitInputPixels: false, // checked below, with a message and a limit of our own
    ignoreIcc: options.colorProfile === 'ignore',
    autoOrient: true,
  };
  const image = sharp(bytes, settings);
  const header = await checkHeader(image, format, what, options.maxPixels);
  const { height, width } = header.autoOrient;
  return { bytes, header, sharp: image, what, height, width };
}

/** Format, sizes and sample type from the header, before any pixel is decoded. */
async function checkHeader(image: Sharp, expected: string, what: string, maxPixels: number): Promise<Metadata> {
  const header = await image.metadata().catch((cause: unknown) => {
    throw damaged(what, `one whose header cannot be read (${reason(cause)})`, cause);
  });
  const { format, compression, width, height, depth, channels } = header;
  if (format !== expected || (format === 'heif' && compression !== 'av1')) {
    throw unsupported(what, `${format}${compression ? ` (${compression})` : ''}`);
  }
  if (width * height > maxPixels) {
    const limit = `at most ${maxPixels} pixels (maxPixels)`;
    throw imageError(
      'ERR_IMAGE_TOO_LARGE',
      limit,
      what,
      `${width} x ${height}`,
      'raise maxPixels if it is to be trusted',
    );
  }
  if (depth !== 'uchar' && depth !== 'ushort') {
    throw unsupported(what, `samples of type ${depth}`, 'convert them to 8 or 16 bit');
  }
  // CMYK with alpha is the most that is understood; more are measurements, not colours.
  if (channels > 5) throw unsupported(what, `${channels} channels`, 'choose three of them');
  return header;
}

/** Whether a few bytes are the start of a supported format that was cut off. */
function startsLikeAnImage(bytes: Uint8Array): boolean {
  const head = Buffer.from(bytes).toString('latin1');
  return 'RIFF'.startsWith(head.slice(0, 4)) || SIGNATURES.some((signature) => signature.bytes.startsWith(head));
}

function printable(bytes: Uint8Array): string {
  const head = Buffer.from(bytes.subarray(0, 12));
  return /^[\x20-\x7e]*$/.test(head.toString('latin1')) ? `'${head.toString('latin1')}'` : head.toString('hex');
}
