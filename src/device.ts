// From what was asked for to where an Extractor computes: what the driver, the runtime and the folder of engines say. Whether it really
// works, native code proves with a tile.

import { ManyscaleError } from './errors.js';
import type { ModelInput } from './model/input.js';
import type { NativeDeviceRequest, NativeGpu, NativePlacement, NativeSession } from './native/addon.js';
import { readDriver, readGpuBuckets } from './native/calls.js';
import { IMAGE_CHANNELS } from './options/defaults.js';
import type { CheckedDevice, ProviderOptions } from './options/gpu.js';
import { type EngineModel, engineOptions, findEngine, provideEngine } from './tensorrt/engine.js';

/** What computes where nothing else was found, and what reads a model first. */
export const ON_CPU: NativeDeviceRequest = {
  kind: 'cpu',
  ordinals: [0],
  strict: false,
  cuda: {},
  tensorrt: {},
  engineReady: false,
};

/** The placement of a session that was asked for no GPU. */
export const CPU_ALONE: NativePlacement = { device: 'cpu', provider: 'cpu', gpus: [], unavailable: {} };

export interface DeviceChoice {
  /** Absent: the CPU. */
  request?: NativeDeviceRequest;
  /** Why others are not used, by provider. */
  unavailable: Record<string, string>;
  /** Sentences for people. */
  notes: string[];
}

/**
 * Where to compute. A TensorRT engine that is asked for is built here.
 * @throws {ManyscaleError} ERR_DEVICE_UNAVAILABLE where `strict` forbids to fall back. The signal's reason when it aborts.
 */
export async function chooseDevice(
  device: CheckedDevice,
  model: EngineModel,
  signal: AbortSignal | undefined,
): Promise<DeviceChoice> {
  const { kind, provider, ordinals, strict, cuda } = device;
  if (kind === 'cpu') {
    const asked = "device 'cpu' was asked for";
    return { unavailable: { cuda: asked, tensorrt: asked }, notes: [] };
  }
  const { reason, gpus } = await findGpus(ordinals);
  if (reason !== undefined) {
    const unavailable = { cuda: reason, tensorrt: reason };
    if (isBinding(device)) throw refusal(device, unavailable);
    return { unavailable, notes: fallenBack(device, reason) };
  }
  const request = { kind, ...(provider && { provider }), ordinals, strict: isBinding(device), cuda };
  const tensorrt = await chooseTensorRt(device, gpus, model, signal);
  if ('reason' in tensorrt) {
    if (provider === 'tensorrt') {
      if (strict) throw refusal(device, { tensorrt: tensorrt.reason }, tensorrt.cause);
      delete request.provider; // the best of the others
    }
    const unavailable = { tensorrt: tensorrt.reason };
    return { request: { ...request, tensorrt: {}, engineReady: false }, unavailable, notes: [] };
  }
  return {
    request: { ...request, tensorrt: tensorrt.options, engineReady: true },
    unavailable: {},
    notes: tensorrt.notes,
  };
}

/** The shapes that a GPU's sessions run. */
export function profileOf(
  session: NativeSession,
  { index, name, tile: { height, width }, layout, fixedBatch }: ModelInput,
  maxBatch: number,
): Pick<EngineModel, 'profile' | 'isDynamic'> {
  return {
    profile: {
      input: name,
      dims: layout === 'nchw' ? [IMAGE_CHANNELS, height, width] : [height, width, IMAGE_CHANNELS],
      batches: () => (fixedBatch > 0 ? [fixedBatch] : readGpuBuckets(maxBatch)),
    },
    isDynamic: session.inputs[index]?.dims.some((dim) => dim < 0) ?? true,
  };
}

/** What is said of where a session computes after its proof; refused where that is not what was asked for and it is strict. */
export function checkPlacement(device: CheckedDevice, choice: DeviceChoice, placement: NativePlacement): DeviceChoice {
  const unavailable = { ...choice.unavailable, ...placement.unavailable };
  const isAsked =
    placement.device === 'cuda' &&
    placement.gpus.length === device.ordinals.length &&
    (device.provider === undefined || placement.provider === device.provider);
  if (isBinding(device) && !isAsked) throw refusal(device, unavailable);
  const notes = [...choice.notes];
  if (placement.device === 'cpu' && choice.request) notes.push(...fallenBack(device, describe(unavailable)));
  if (placement.device === 'cuda') notes.push(ESTIMATES);
  return { ...choice, unavailable, notes };
}

const ESTIMATES =
  "On a GPU the milliseconds and bytes of estimate() are rough: its model of batches and memory is the CPU's.";

/** The caller named a device and wants no other. */
const isBinding = ({ kind, strict }: CheckedDevice) => strict && kind === 'cuda';

async function findGpus(ordinals: readonly number[]): Promise<{ reason?: string; gpus: NativeGpu[] }> {
  const { reason, devices } = await readDriver();
  if (reason !== '') return { reason, gpus: [] };
  const gpus = ordinals.map((ordinal) => devices.find((gpu) => gpu.ordinal === ordinal));
  const missing = ordinals.filter((_, index) => gpus[index] === undefined);
  if (missing.length > 0) {
    const there = devices.map(({ ordinal, name }) => `${ordinal} (${name})`).join(', ') || 'none';
    return { reason: `there is no GPU ${missing.join(', ')}; the driver has: ${there}`, gpus: [] };
  }
  return { gpus: gpus.filter((gpu) => gpu !== undefined) };
}

type TensorRtChoice = { options: ProviderOptions; notes: string[] } | { reason: string; cause?: unknown };

async function chooseTensorRt(
  device: CheckedDevice,
  gpus: readonly NativeGpu[],
  model: EngineModel,
  signal: AbortSignal | undefined,
): Promise<TensorRtChoice> {
  const { provider } = device;
  if (provider !== undefined && provider !== 'tensorrt') return { reason: `provider '${provider}' was asked for` };
  try {
    if (provider === undefined) {
      const engine = await findEngine(device, gpus, model);
      if (engine) return { options: engineOptions(engine), notes: [] };
      return { reason: "no engine is there for this model and GPU; device: 'tensorrt' builds one" };
    }
    const { engine, seconds } = await provideEngine(device, gpus, model, signal);
    const built = `A TensorRT engine was built in ${seconds?.toFixed(0)} s and is kept in ${engine.folder}.`;
    return { options: engineOptions(engine), notes: seconds === undefined ? [] : [built] };
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof ManyscaleError) || error.code === 'ERR_INVALID_ARGUMENT') throw error;
    return { reason: error.message, cause: error };
  }
}

const describe = (unavailable: Record<string, string>) =>
  Object.entries(unavailable)
    .map(([name, reason]) => `${name}: ${reason}`)
    .join('; ');

function fallenBack({ kind, asked }: CheckedDevice, reason: string): string[] {
  return kind === 'auto' ? [] : [`${asked} was asked for, but the CPU is used: ${reason}.`];
}

function refusal({ asked }: CheckedDevice, unavailable: Record<string, string>, cause?: unknown): ManyscaleError {
  return new ManyscaleError(
    'ERR_DEVICE_UNAVAILABLE',
    `Expected ${asked} to work but received reasons why not: ${describe(unavailable)}; see docs/gpu.md, or leave strict out to fall back`,
    cause === undefined ? undefined : { cause },
  );
}
