// The images that benchmarks run on.

import { readFile } from 'node:fs/promises';
import sharp from 'sharp';

const photo = (name) => readFile(new URL(`../../examples/photos/${name}`, import.meta.url));

/** JPEG, 1778 x 1000. */
export const photoBytes = () => photo('dandelions.jpg');

/** JPEG, 5000 x 3000. */
export const largePhotoBytes = () => photo('dandelions-large.jpg');

/** The large photo as RGB pixels of another size, its aspect ratio ignored. */
export async function rawPhoto(width, height) {
  const { data } = await sharp(await largePhotoBytes())
    .resize(width, height, { fit: 'fill' })
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data, width, height, channels: 3 };
}

/** The large photo as a JPEG of another size. */
export async function jpegPhoto(width, height) {
  return sharp(await largePhotoBytes())
    .resize(width, height, { fit: 'fill' })
    .jpeg({ quality: 90 })
    .toBuffer();
}
