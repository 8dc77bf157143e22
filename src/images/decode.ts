// From an opened image to pixels, and how much memory that takes.

import type { NativeImage, NativeSize } from '../native/addon.js';
import type { EncodedImage } from './encoded.js';
import { damaged, reason, unsupported } from './image-errors.js';

/** How an image will be decoded. */
export interface Decoding extends NativeSize {
  /** Largest memory during it, in bytes, with the encoded image and the pixels. */
  peak: number;
  /** Decode at about this size, which height and width are then. */
  reduced: boolean;
}

/**
 * Bytes per pixel that a decoder holds beside the pixels that it gives, where it does not work line by line. Measured as
 * the growth of a process's largest memory with sharp 0.35 (libvips 8.17) on an image of 24 megapixels.
 */
const FRAME_BYTES: Readonly<Record<string, number>> = { webp: 8, heif: 16, gif: 5 };

/**
 * libjpeg decodes at 1/8, 1/4 and 1/2 for a small part of the time. sharp uses that only where some resizing remains for
 * itself, and so the largest sizes that are had this way are 1/9, 1/5 and 1/3.
 */
const REDUCTIONS = [9, 5, 3] as const;

/** `isEnough`: whether an image of this size may stand for the whole one; absent: the whole one is wanted. */
export function planDecoding(image: EncodedImage, isEnough?: (size: NativeSize) => boolean): Decoding {
  const { height, width, header } = image;
  const reduced =
    isEnough && header.format === 'jpeg'
      ? REDUCTIONS.map((by) => ({ height: Math.floor(height / by), width: Math.floor(width / by) })).find(isEnough)
      : undefined;
  const size = reduced ?? { height, width };
  const samples = header.channels * (header.depth === 'ushort' ? 2 : 1);
  const pixels = size.height * size.width;
  let peak = image.bytes.length + pixels * (header.hasAlpha ? 4 : 3) + height * width * frameBytes(image, samples);
  // Turning needs the whole image before its first row; mirroring left to right (2) does not.
  if ((header.orientation ?? 1) > 2) peak += pixels * samples;
  return { ...size, peak, reduced: reduced !== undefined };
}

function frameBytes({ header }: EncodedImage, samples: number): number {
  const { format, isProgressive, chromaSubsampling } = header;
  if (isProgressive && format === 'jpeg') {
    // All coefficients, 16 bits each; of subsampled colours at most half as many.
    return 2 * (chromaSubsampling === '4:4:4' || samples !== 3 ? samples : 2);
  }
  if (isProgressive && format === 'png') return samples;
  return FRAME_BYTES[format] ?? 0;
}

/** The pixels, upright, 8 bits, red, green, blue(, alpha); they are new memory that only the caller knows. */
export async function decodeImage(image: EncodedImage, { height, width, reduced }: Decoding): Promise<NativeImage> {
  const { what } = image;
  // Colours become sRGB and 16 bits 8; what is left is grey, RGB or RGBA.
  const pipeline = image.sharp.toColourspace('srgb').raw({ depth: 'uchar' });
  // From 1/2, 1/4 or 1/8: the cubic kernel is as near to the whole image as sharp's own choice, and faster.
  if (reduced) pipeline.resize({ height, width, fit: 'fill', fastShrinkOnLoad: true, kernel: 'cubic' });
  const { data, info } = await pipeline.toBuffer({ resolveWithObject: true }).catch((cause: unknown) => {
    throw damaged(what, `one that cannot be decoded (${reason(cause)})`, cause);
  });
  const { channels } = info;
  if (channels !== 1 && channels !== 3 && channels !== 4) {
    throw unsupported(what, `${channels} channels`, 'convert it to RGB');
  }
  return { data, owned: true, batch: 1, channels, height: info.height, width: info.width, stride: 0 };
}
