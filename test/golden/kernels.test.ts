// Protects the proof of isa.test.ts: the kernels that the golden tests of this run used are those that were asked for.
import { expect, test } from 'vitest';
import { loadAddon } from '../../dist/native/load.js';

test('the forced instruction set is the one that runs', () => {
  const addon = loadAddon();
  const expected = process.env['MANYSCALE_FORCE_ISA'] ?? addon.buildInfo().isas.at(-1);
  expect(addon.kernels()).toEqual({ split: expected, pool: expected });
});
