// Where an Extractor computes, and what it says of it.

import { describe, expect, test } from 'vitest';
import { CPU_ALONE, checkPlacement, chooseDevice, type DeviceChoice, ON_CPU } from '../../src/device.js';
import { Extractor } from '../../src/extractor.js';
import type { NativePlacement } from '../../src/native/addon.js';
import { readDriver } from '../../src/native/calls.js';
import { checkDevice } from '../../src/options/gpu.js';
import type { EngineModel } from '../../src/tensorrt/engine.js';
import { patchModel } from '../helpers/models.js';
import { expectCode } from './rejection.js';

const model: EngineModel = {
  session: {
    runtime: '/nowhere',
    model: patchModel(),
    identity: '',
    threads: 0,
    maxBatch: 0,
    maxDelay: -1,
    deterministic: false,
    maxBytes: 0,
  },
  configuration: { input: 0, outputs: [0], tile: { height: 32, width: 32 }, fixedBatch: 0, layout: 'nchw' },
  outputDims: [[16, 6]],
  profile: { input: 'pixel_values', dims: [3, 32, 32], batches: () => [1] },
  isDynamic: true,
};

const gpu = { ordinal: 0, name: 'Some GPU', computeCapability: '8.7', memory: 2 ** 33, integrated: true };
const onCuda: NativePlacement = {
  device: 'cuda',
  provider: 'cuda',
  gpus: [gpu],
  unavailable: { tensorrt: 'no engine' },
};

describe('after the proof', () => {
  const asked: DeviceChoice = {
    request: { ...ON_CPU, kind: 'cuda' },
    unavailable: { tensorrt: 'no engine is there' },
    notes: [],
  };

  test('a GPU in use is told, and that estimates are rough there', () => {
    const choice = checkPlacement(checkDevice({ device: 'cuda', strict: true }), asked, onCuda);
    expect(choice.unavailable).toEqual({ tensorrt: 'no engine' });
    expect(choice.notes).toEqual([expect.stringMatching(/estimate\(\)/)]);
  });

  test('a fall-back is told with its reasons', () => {
    const placement: NativePlacement = { ...CPU_ALONE, unavailable: { cuda: 'features differ by 0.1' } };
    const choice = checkPlacement(checkDevice({ device: 'cuda' }), asked, placement);
    expect(choice.unavailable).toEqual({ tensorrt: 'no engine is there', cuda: 'features differ by 0.1' });
    expect(choice.notes).toEqual([
      expect.stringMatching(/'cuda' was asked for, but the CPU is used: .*differ by 0\.1/),
    ]);
    // With 'auto' nothing was promised.
    expect(checkPlacement(checkDevice({}), asked, placement).notes).toEqual([]);
  });

  test.each([
    [
      { device: 'cuda', strict: true },
      { ...CPU_ALONE, unavailable: { cuda: 'because' } },
      /device 'cuda' to work .*cuda: because/,
    ],
    [{ device: 'tensorrt', strict: true }, onCuda, /device 'tensorrt' to work .*tensorrt: no engine/],
    [
      { device: 'cuda', devices: [0, 1], strict: true },
      { ...onCuda, unavailable: { 'cuda:1': 'it is hot' } },
      /cuda:1: it is hot/,
    ],
    [{ device: 'cuda', provider: 'cpu', strict: true }, onCuda, /with provider 'cpu' to work/],
  ])('%j is refused where something else is used', async (options, placement, message) => {
    const act = () => checkPlacement(checkDevice(options), asked, placement as NativePlacement);
    await expectCode(act, 'ERR_DEVICE_UNAVAILABLE', message);
  });
});

describe('without a GPU', async () => {
  const { reason } = await readDriver();
  const there = reason === '';
  const choose = (options: object) => chooseDevice(checkDevice(options), model, undefined);

  test('the CPU is used without a question when it is asked for', async () => {
    const choice = await choose({ device: 'cpu', strict: true });
    expect(choice.request).toBeUndefined();
    expect(choice.unavailable).toEqual({
      cuda: "device 'cpu' was asked for",
      tensorrt: "device 'cpu' was asked for",
    });
  });

  test.skipIf(there)("'auto' takes it and says why", async () => {
    expect(await choose({ strict: true })).toEqual({ unavailable: { cuda: reason, tensorrt: reason }, notes: [] });
  });

  test.skipIf(there).each(['cuda', 'tensorrt'])("'%s' falls back with a note, or refuses", async (device) => {
    const { request, notes } = await choose({ device });
    expect(request).toBeUndefined();
    expect(notes).toEqual([`device '${device}' was asked for, but the CPU is used: ${reason}.`]);
    await expectCode(
      () => choose({ device, strict: true }),
      'ERR_DEVICE_UNAVAILABLE',
      /see docs\/gpu\.md, or leave strict out/,
    );
  });

  test.skipIf(there)('an Extractor works, and its info has it all', async () => {
    await using extractor = await Extractor.load(patchModel(), { device: 'cuda', cuda: { tf32: true } });
    const { info } = extractor;
    expect(info).toMatchObject({ device: 'cpu', provider: 'cpu', gpus: [], unavailable: { cuda: reason } });
    expect(info.notes).toContainEqual(expect.stringContaining("device 'cuda' was asked for"));
    await expectCode(
      () => Extractor.load(patchModel(), { device: 'tensorrt', strict: true }),
      'ERR_DEVICE_UNAVAILABLE',
      /device 'tensorrt' to work/,
    );
  });
});
