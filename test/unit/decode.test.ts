// Fast decoding: which reduced size is chosen, that it comes out exactly, upright and near the whole image; and the memory that
// decoding is said to take.

import { readFileSync } from 'node:fs';
import sharp, { type Sharp } from 'sharp';
import { expect, test } from 'vitest';
import { type Decoding, decodeImage, planDecoding } from '../../src/images/decode.js';
import { type EncodedImage, openImage } from '../../src/images/encoded.js';
import type { NativeImage, NativeSize } from '../../src/native/addon.js';
import { photo } from '../helpers/paths.js';

const open = (bytes: Uint8Array): Promise<EncodedImage> =>
  openImage({ kind: 'bytes', bytes }, { maxPixels: 2 ** 27, colorProfile: 'ignore' });

const atLeast = (least: NativeSize) => (size: NativeSize) => size.height >= least.height && size.width >= least.width;

/** Smooth, with every corner of its own colour, so that a turn is seen. */
async function picture(width: number, height: number): Promise<Sharp> {
  const corners = Uint8Array.of(255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 0);
  const raw = { width: 2, height: 2, channels: 3 } as const;
  const data = await sharp(corners, { raw }).resize(width, height, { fit: 'fill', kernel: 'linear' }).raw().toBuffer();
  return sharp(data, { raw: { width, height, channels: 3 } });
}

function expectLike(actual: NativeImage, whole: NativeImage): void {
  // At the same places, as parts of the sides: corners, edges and the middle.
  for (const y of [0.02, 0.25, 0.5, 0.98]) {
    for (const x of [0.02, 0.25, 0.5, 0.98]) {
      const at = ({ data, height, width, channels }: NativeImage) => {
        const start = (Math.floor(y * height) * width + Math.floor(x * width)) * channels;
        return [...data.subarray(start, start + 3)];
      };
      at(actual).forEach((value, channel) => {
        expect(Math.abs(value - (at(whole)[channel] as number)), `${x}, ${y}`).toBeLessThan(12);
      });
    }
  }
}

test.each([
  // By how much, from the size of the image and the least that is wanted.
  [1800, 1200, { height: 401, width: 100 }, 1],
  [1800, 1200, { height: 400, width: 600 }, 3],
  [1800, 1200, { height: 241, width: 100 }, 3],
  [1800, 1200, { height: 240, width: 360 }, 5],
  [1800, 1200, { height: 134, width: 1 }, 5],
  [1800, 1200, { height: 133, width: 200 }, 9],
  [1801, 1199, { height: 1, width: 1 }, 9],
  [1801, 1199, { height: 200, width: 360 }, 5],
  [1801, 1199, { height: 399, width: 600 }, 3],
  [2, 2, { height: 1, width: 1 }, 1],
  [9, 9, { height: 1, width: 1 }, 9],
])('%i x %i, at least %o: 1/%i', async (width, height, least, by) => {
  const image = await open(await (await picture(width, height)).jpeg({ quality: 95 }).toBuffer());
  const decoding = planDecoding(image, atLeast(least));
  expect(decoding).toMatchObject({ height: Math.floor(height / by), width: Math.floor(width / by), reduced: by > 1 });
  const pixels = await decodeImage(image, decoding);
  expect([pixels.height, pixels.width]).toEqual([decoding.height, decoding.width]);
  if (width > 9) expectLike(pixels, await decodeImage(await open(image.bytes), planDecoding(image)));
});

test.each([1, 2, 3, 4, 5, 6, 7, 8])('EXIF orientation %i', async (orientation) => {
  const bytes = await (await picture(1001, 703)).jpeg({ quality: 95 }).withMetadata({ orientation }).toBuffer();
  const image = await open(bytes);
  const [height, width] = orientation > 4 ? [1001, 703] : [703, 1001];
  expect([image.height, image.width]).toEqual([height, width]);
  const least = { height: Math.floor(height / 5), width: Math.floor(width / 5) };
  const pixels = await decodeImage(image, planDecoding(image, atLeast(least)));
  expect([pixels.height, pixels.width]).toEqual([least.height, least.width]);
  expectLike(pixels, await decodeImage(await open(bytes), planDecoding(image)));
});

test.each([3, 5, 9])("1/%i is decoded by libjpeg's own reduction", async (by) => {
  const bytes = readFileSync(photo('dandelions-large.jpg'));
  const image = await open(bytes);
  const size = { height: Math.floor(image.height / by), width: Math.floor(image.width / by) };
  const pixels = await decodeImage(image, planDecoding(image, atLeast(size)));
  const options = { ...size, fit: 'fill' as const, fastShrinkOnLoad: false };
  const slow = await sharp(bytes, { autoOrient: true }).resize(options).raw().toBuffer();
  expect(pixels.data.length).toBe(slow.length);
  expect(Buffer.compare(pixels.data as Uint8Array, slow)).not.toBe(0); // larger reductions leave other pixels
});

test.each(['png', 'webp', 'tiff', 'gif', 'avif'] as const)('%s is decoded whole', async (format) => {
  const image = await open(await (await picture(180, 120)).toFormat(format).toBuffer());
  const whole = { height: 120, width: 180, reduced: false };
  expect(planDecoding(image, () => true)).toMatchObject(whole);
  expect(
    await decodeImage(
      image,
      planDecoding(image, () => true),
    ),
  ).toMatchObject({ height: 120, width: 180 });
});

test('grey, CMYK and progressive images can be reduced', async () => {
  const source = await picture(903, 600);
  for (const pipeline of [
    source.clone().greyscale().jpeg(),
    source.clone().toColourspace('cmyk').jpeg(),
    source.clone().jpeg({ progressive: true }),
  ]) {
    const image = await open(await pipeline.toBuffer());
    const pixels = await decodeImage(image, planDecoding(image, atLeast({ height: 200, width: 301 })));
    expect([pixels.height, pixels.width]).toEqual([200, 301]);
  }
});

test('the memory that decoding takes', async () => {
  const source = await picture(300, 200);
  const pixels = 300 * 200;
  const extra = async (pipeline: Sharp, change: (image: EncodedImage) => Decoding = planDecoding) => {
    const image = await open(await pipeline.toBuffer());
    return (change(image).peak - image.bytes.length) / pixels;
  };
  const jpeg = () => source.clone().jpeg();
  expect(await extra(jpeg())).toBe(3);
  expect(await extra(source.clone().png())).toBe(3);
  expect(await extra(source.clone().ensureAlpha(0.5).png())).toBe(4);
  expect(await extra(jpeg().withMetadata({ orientation: 2 }))).toBe(3);
  expect(await extra(jpeg().withMetadata({ orientation: 6 }))).toBe(6); // before and after the turn
  expect(await extra(source.clone().jpeg({ progressive: true }))).toBe(7); // 4:2:0
  expect(await extra(source.clone().jpeg({ progressive: true, chromaSubsampling: '4:4:4' }))).toBe(9);
  expect(await extra(source.clone().png({ progressive: true }))).toBe(6);
  expect(await extra(source.clone().webp())).toBe(11);
  const reduced = await extra(jpeg(), (image) => planDecoding(image, atLeast({ height: 66, width: 100 })));
  expect(reduced).toBeCloseTo((3 * 66 * 100) / pixels);
});
