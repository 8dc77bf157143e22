// Protects the promise that an image's features do not depend on what its tiles were batched with: whichever tiles are made
// together, each is the same to the bit. The model passes pixels through, so nothing of ONNX Runtime's hides a difference.
import { Extractor, plan, split } from 'manyscale';
import { expect, test } from 'vitest';
import { expectClose } from '../helpers/compare.js';
import { pillowModes, torchModes } from '../helpers/golden.js';
import { encodeModel } from '../helpers/onnx.js';
import { makeRandom, makeSeed, randomBytes } from '../helpers/random.js';

const seed = makeSeed();
const passThrough = encodeModel({
  inputs: [{ name: 'pixels', dims: ['batch', 3, 32, 32] }],
  outputs: [{ name: 'map', dims: ['batch', 3, 32, 32] }],
  nodes: [{ op: 'Identity', inputs: ['pixels'], outputs: ['map'] }],
});

// Long windows (30000 pixels to 96), gaps between windows (640 to 96 without antialias) and enlarging.
const sizes = [
  { width: 30_000, height: 1 },
  { width: 3, height: 9000 },
  { width: 640, height: 427 },
  { width: 31, height: 17 },
];

test.each([...torchModes, ...pillowModes])(`%s (seed ${seed})`, async (resize) => {
  const random = makeRandom(seed);
  for (const size of sizes) {
    for (const channels of [1, 3, 4] as const) {
      const image = { ...size, channels, data: randomBytes(size.width * size.height * channels, random) };
      const [whole] = await split(image, plan(size, { imageSizes: [96], maxSplitSize: 96 }), { resize });
      for (const maxBatch of [1, 2, 4, 9]) {
        await using extractor = await Extractor.load(passThrough, { maxBatch, scales: [3], preprocess: { resize } });
        const all = await Promise.all(Array.from({ length: 3 }, () => extractor.extract(image)));
        for (const { tensor } of all) {
          expect(tensor.dims).toEqual([3, 96, 96]);
          const what = `${size.width} x ${size.height}, ${channels} channels, maxBatch ${maxBatch}`;
          expectClose(tensor.data as Float32Array, whole?.data as Float32Array, 0, what);
        }
      }
    }
  }
});
