// A photo's centre square, resized by every mode and by sharp, and the default model's features of it.

import { defaultModel, Extractor, plan, split } from 'manyscale';
import sharp from 'sharp';

/** The one that the others are compared with: what most models' image processors do. */
export const STANDARD = 'pillow-bicubic';

export const MODES = [
  STANDARD,
  'pillow-bilinear',
  'pillow-lanczos',
  'pillow-box',
  'torch-bicubic',
  'torch-bilinear',
  'torch-bicubic-antialias',
  'torch-bilinear-antialias',
  'torch-area',
];

// sharp's default, the kernel of Pillow's bicubic, and what transformers.js asks of sharp for `resample` 3.
const SHARP_WAYS = {
  'sharp, lanczos3': (image, { side }) => image.resize(side, side, { fit: 'fill', kernel: 'lanczos3' }),
  'sharp, cubic': (image, { side }) => image.resize(side, side, { fit: 'fill', kernel: 'cubic' }),
  'sharp, affine bicubic': (image, { factor }) => image.affine([factor, 0, 0, factor], { interpolator: 'bicubic' }),
};

/** The largest centred square of a photo, { data, width, height, channels: 3 }. */
export async function centreSquare(path) {
  const { width, height } = await sharp(path).metadata();
  const side = Math.min(width, height);
  const { data } = await sharp(path)
    .extract({ left: (width - side) >> 1, top: (height - side) >> 1, width: side, height: side })
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data, width: side, height: side, channels: 3 };
}

/** [3, side, side] on the 0..255 scale, as the mode defines it: torch modes neither round nor clamp. */
export async function resizeBy(image, mode, side) {
  const whole = plan(image, { imageSizes: [side], maxSplitSize: side });
  const [tile] = await split(image, whole, { rescale: 1, resize: mode });
  return tile.data;
}

/** The image as sharp resizes it, of the same kind. */
async function resizeBySharp({ data, ...raw }, way, side) {
  const resized = way(sharp(data, { raw }), { side, factor: side / raw.width });
  const { data: pixels, info } = await resized.raw().toBuffer({ resolveWithObject: true });
  if (info.width !== side || info.height !== side)
    throw new Error(`sharp made ${info.width} x ${info.height} of ${side}`);
  return { data: pixels, width: side, height: side, channels: 3 };
}

/** The default model's features of each image at its side, [cells, channels]: as many tensors. */
async function featuresOf(images, resize) {
  const extractor = await Extractor.load(defaultModel, { outputShape: 'bnc', preprocess: { resize } });
  const tensors = [];
  for (const { image, side } of images) {
    const { tensor } = await extractor.extract(image, { imageSizes: [side], resizeOutputToIndex: 0 });
    tensors.push(tensor);
  }
  await extractor.dispose();
  return tensors;
}

/** What each mode and sharp make of an image at each of `sides`: { name, pixels of the first, features of each }. */
export async function resizeByAll(image, sides) {
  const results = [];
  for (const mode of MODES) {
    const features = await featuresOf(
      sides.map((side) => ({ image, side })),
      mode,
    );
    results.push({ name: mode, pixels: await resizeBy(image, mode, sides[0]), features });
  }
  for (const [name, way] of Object.entries(SHARP_WAYS)) {
    const resized = await Promise.all(sides.map((side) => resizeBySharp(image, way, side)));
    // A size that stays is copied, whatever the mode.
    const features = await featuresOf(
      resized.map((same) => ({ image: same, side: same.width })),
      STANDARD,
    );
    results.push({ name, pixels: await resizeBy(resized[0], STANDARD, sides[0]), features });
  }
  return results;
}
