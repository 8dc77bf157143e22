// The photo that a picture shows, and what the library takes of it.

import sharp from 'sharp';
import type { Crop, Plan } from '../../geometry/plan.js';
import { decodeImage, planDecoding } from '../../images/decode.js';
import { openImage, ownSource } from '../../images/encoded.js';
import { type RawImage, recogniseImage } from '../../images/image.js';
import { DEFAULTS } from '../../options/defaults.js';
import type { Photo } from './page.js';

/** How the image file is decoded. */
export interface DecodeFlags {
  maxPixels?: number;
  colorProfile?: 'ignore' | 'convert';
  background?: number[];
}

export async function decodePhoto(path: string, flags: DecodeFlags): Promise<RawImage> {
  const source = recogniseImage(path);
  if (source.kind === 'pixels') throw new TypeError('a path is not pixels');
  const { maxPixels = DEFAULTS.maxPixels, colorProfile = DEFAULTS.colorProfile } = flags;
  const opened = await openImage(await ownSource(source), { maxPixels, colorProfile });
  const { data, height, width, channels } = await decodeImage(opened, planDecoding(opened));
  return { data: data as Uint8Array, height, width, channels: channels as 1 | 3 | 4 };
}

/** The part of the image that the scales cover, as red, green and blue. */
export async function photoOf(
  { data, height, width, channels }: RawImage,
  plan: Plan,
  background: readonly number[] = DEFAULTS.background,
): Promise<Photo> {
  const crop: Crop = plan.crop ?? { top: 0, left: 0, height, width };
  const [r = 0, g = 0, b = 0] = background;
  const pixels = await sharp(data, { raw: { height, width, channels }, limitInputPixels: false })
    .extract({ left: crop.left, top: crop.top, width: crop.width, height: crop.height })
    .flatten({ background: { r, g, b } })
    .toColourspace('srgb')
    .raw()
    .toBuffer();
  return { data: pixels, height: crop.height, width: crop.width };
}
