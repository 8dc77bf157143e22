// Protects the meaning of the nine resize modes: what PyTorch and Pillow compute, through the public split().
import { plan, split, Tensor } from 'manyscale';
import { expect, test } from 'vitest';
import { expectClose, largestDifference } from '../helpers/compare.js';
import { type Mode, pillowModes, type ResizeCase, resizeCases, toInterleaved, torchModes } from '../helpers/golden.js';

// On the 0..1 scale: float32 sums of up to 140 taps in another order than PyTorch's, or where Pillow adds up doubles.
const FLOAT_TOLERANCE = 2e-6;

/** The whole picture as one tile: what split() makes of it is the resized picture. */
async function resized(
  { input, size }: ResizeCase,
  mode: Mode,
  rescale: number,
  stride?: number,
): Promise<Float32Array> {
  const [height, width] = input.shape as [number, number, number];
  const whole: [number, number] = [size.height, size.width];
  const onePlan = plan({ height, width }, { imageSizes: [whole], maxSplitSize: whole });
  const image = { data: input.data, width, height, channels: 3 as const, ...(stride === undefined ? {} : { stride }) };
  const [tiles, ...others] = await split(image, onePlan, { mean: [0, 0, 0], std: [1, 1, 1], rescale, resize: mode });
  expect(others).toHaveLength(0);
  expect(tiles?.type).toBe('float32');
  expect(tiles?.dims).toEqual([1, 3, size.height, size.width]);
  return toInterleaved(tiles?.data as Float32Array, size);
}

/** The same from the picture as a float32 tensor in 0..1. */
async function resizedFloats({ input, size }: ResizeCase, mode: Mode): Promise<Float32Array> {
  const [height, width] = input.shape as [number, number, number];
  const whole: [number, number] = [size.height, size.width];
  const onePlan = plan({ height, width }, { imageSizes: [whole], maxSplitSize: whole });
  const area = height * width;
  const planes = Float32Array.from({ length: area * 3 }, (_, i) => {
    return (input.data[(i % area) * 3 + Math.floor(i / area)] as number) / 255;
  });
  const tensor = new Tensor('float32', planes, [1, 3, height, width]);
  const [tiles] = await split(tensor, onePlan, { mean: [0], std: [1], rescale: 1, resize: mode });
  return toInterleaved(tiles?.data as Float32Array, size);
}

for (const resizeCase of resizeCases()) {
  for (const mode of torchModes) {
    test(`${mode} is PyTorch's: ${resizeCase.name}`, async () => {
      expectClose(await resized(resizeCase, mode, 1 / 255), resizeCase.expected(mode), FLOAT_TOLERANCE, mode);
    });
  }
  for (const mode of pillowModes) {
    test(`${mode} is Pillow's to the bit: ${resizeCase.name}`, async () => {
      expectClose(await resized(resizeCase, mode, 1), resizeCase.expected(mode), 0, mode);
    });
  }
  for (const mode of [...torchModes, ...pillowModes]) {
    test(`${mode} of floats is its definer's: ${resizeCase.name}`, async () => {
      const expected = resizeCase.expectedOfFloats(mode);
      expectClose(await resizedFloats(resizeCase, mode), expected, FLOAT_TOLERANCE, mode);
    });
  }
}

test('rows further apart than they are long give the same picture', async () => {
  for (const resizeCase of resizeCases()) {
    const [height, width] = resizeCase.input.shape as [number, number, number];
    const stride = width * 3 + 13;
    const padded = new Uint8Array((height - 1) * stride + width * 3).fill(201);
    for (let y = 0; y < height; y++)
      padded.set(resizeCase.input.data.subarray(y * width * 3, (y + 1) * width * 3), y * stride);
    const strided = { ...resizeCase, input: { ...resizeCase.input, data: padded } };
    const actual = await resized(strided, 'torch-bicubic-antialias', 1, stride);
    const { error } = largestDifference(actual, await resized(resizeCase, 'torch-bicubic-antialias', 1));
    expect(error, resizeCase.name).toBe(0);
  }
});
