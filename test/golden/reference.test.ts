// Protects the tests themselves: the plain TypeScript S2 pass that the parity tests trust agrees with PyTorch and Pillow.
import { expect, test } from 'vitest';
import { expectClose } from '../helpers/compare.js';
import { multiscaleCases, pillowModes, resizeCases, toInterleaved, torchModes } from '../helpers/golden.js';
import { resize, toPlanes } from '../helpers/reference.js';

const source = (shape: number[], data: Uint8Array) =>
  toPlanes({ height: shape[0] as number, width: shape[1] as number, channels: 3, data });

test('the golden data is complete', () => {
  expect(resizeCases()).toHaveLength(9);
  expect(multiscaleCases()).toHaveLength(13);
});

test.each(resizeCases())('plain resize agrees with PyTorch and Pillow: $name', (resizeCase) => {
  const { input, size, expected, expectedOfFloats } = resizeCase;
  for (const mode of torchModes) {
    const planes = resize(source(input.shape, input.data), size, mode);
    expectClose(
      toInterleaved(planes.data, size).map((value) => value / 255),
      expected(mode),
      2e-6,
      mode,
    );
  }
  for (const mode of pillowModes) {
    const planes = resize(source(input.shape, input.data), size, mode);
    expectClose(toInterleaved(planes.data, size), expected(mode), 0, mode);
    const floats = source(input.shape, input.data);
    floats.data = floats.data.map((value) => value / 255);
    const resized = toInterleaved(resize(floats, size, mode, 'float32').data, size);
    expectClose(resized, expectedOfFloats(mode), 2e-6, `${mode} of floats`);
  }
});
