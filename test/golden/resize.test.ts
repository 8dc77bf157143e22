// Protects the meaning of the nine resize modes: what PyTorch and Pillow compute, through the public split().
import { plan, split } from 'manyscale';
import { expect, test } from 'vitest';
import { expectClose, largestDifference } from '../helpers/compare.js';
import { type Mode, pillowModes, type ResizeCase, resizeCases, toInterleaved, torchModes } from '../helpers/golden.js';

// On the 0..1 scale: float32 sums of up to 100 taps in another order than PyTorch's.
const TORCH_TOLERANCE = 2e-6;

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

for (const resizeCase of resizeCases()) {
  for (const mode of torchModes) {
    test(`${mode} is PyTorch's: ${resizeCase.name}`, async () => {
      expectClose(await resized(resizeCase, mode, 1 / 255), resizeCase.expected(mode), TORCH_TOLERANCE, mode);
    });
  }
  for (const mode of pillowModes) {
    test(`${mode} is Pillow's to the bit: ${resizeCase.name}`, async () => {
      expectClose(await resized(resizeCase, mode, 1), resizeCase.expected(mode), 0, mode);
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
