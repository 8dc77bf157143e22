// The engine of a model on a GPU: found in the folder of engines, or built there.

import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ManyscaleError } from '../errors.js';
import type { NativeGpu, NativeModelConfiguration, NativeSessionOptions } from '../native/addon.js';
import { readRuntimeInfo } from '../native/calls.js';
import type { CheckedDevice, LoadProgress, ProviderOptions } from '../options/gpu.js';
import { runBuild, writeModelBytes } from './child.js';
import {
  abandonEngine,
  beginEngine,
  defaultFolder,
  finishEngine,
  hasEngine,
  hasEngines,
  openFolder,
} from './folder.js';
import { type EngineFacts, engineName, fileDigest, modelDigest, type Profile, profileOptions } from './key.js';

const CALIBRATION = 'calibration.table';

/** What an engine is wanted for. */
export interface EngineModel {
  session: Omit<NativeSessionOptions, 'device'>;
  configuration: NativeModelConfiguration;
  outputDims: number[][];
  profile: Profile;
  /** The model leaves a size of its input open. */
  isDynamic: boolean;
}

export interface Engine {
  folder: string;
  root: string;
  facts: EngineFacts;
  isReady: boolean;
}

/** @throws {ManyscaleError} ERR_DEVICE_UNAVAILABLE: there is no TensorRT, or its folder is not safe. */
async function locate(device: CheckedDevice, gpus: readonly NativeGpu[], model: EngineModel): Promise<Engine> {
  const root = device.engineCache ?? defaultFolder();
  await openFolder(root);
  const { runtime, model: source } = model.session;
  const { unavailable, version, tensorrt } = await readRuntimeInfo(runtime, true);
  const reason = unavailable['tensorrt'];
  if (reason !== undefined) throw unusable(`ONNX Runtime ${version} cannot use it: ${reason}`);
  const [gpu] = gpus;
  if (gpu === undefined) throw unusable('there is no GPU');
  if (gpus.some(({ name, computeCapability }) => name !== gpu.name || computeCapability !== gpu.computeCapability))
    throw unusable('an engine is made for one kind of GPU, and these differ', 'give devices of one kind');
  const facts: EngineFacts = {
    gpu: gpu.name,
    computeCapability: gpu.computeCapability,
    tensorrt,
    onnxruntime: version,
    model: await modelDigest(source),
    calibration: device.calibrationTable ? await fileDigest(device.calibrationTable, 'tensorrt.calibrationTable') : '',
    options: { ...device.tensorrt, ...profileOptions(model.profile, model.isDynamic) },
  };
  const folder = join(root, engineName(facts));
  return { folder, root, facts, isReady: await hasEngine(folder) };
}

/** An engine that is there already; undefined where none is. */
export async function findEngine(
  device: CheckedDevice,
  gpus: readonly NativeGpu[],
  model: EngineModel,
): Promise<Engine | undefined> {
  if (!(await hasEngines(device.engineCache ?? defaultFolder()))) return undefined;
  const engine = await locate(device, gpus, model);
  return engine.isReady ? engine : undefined;
}

/** The engine, built where there is none; `seconds` says how long that took. */
export async function provideEngine(
  device: CheckedDevice,
  gpus: readonly NativeGpu[],
  model: EngineModel,
  signal: AbortSignal | undefined,
): Promise<{ engine: Engine; seconds?: number }> {
  const engine = await locate(device, gpus, model);
  if (engine.isReady) return { engine };
  const { facts, root, folder } = engine;
  const start = performance.now();
  const tell = progressOf(device, facts);
  tell('started', 0);
  const building = await beginEngine(root);
  try {
    if (device.calibrationTable) await copyFile(device.calibrationTable, join(building, CALIBRATION));
    const { session, configuration, outputDims } = model;
    const isBytes = typeof session.model !== 'string';
    const path = typeof session.model === 'string' ? session.model : await writeModelBytes(building, session.model);
    const request = {
      kind: 'cuda' as const,
      provider: 'tensorrt' as const,
      ordinals: device.ordinals.slice(0, 1),
      strict: false,
      cuda: device.cuda,
      tensorrt: engineOptions({ folder: building, facts }),
      engineReady: true,
    };
    await runBuild(
      { session: { ...session, model: path, device: request }, modelBytes: isBytes, configuration, outputDims },
      { timeout: device.buildTimeout, signal, onTick: (elapsed) => tell('running', elapsed) },
    );
    await finishEngine(building, folder, facts);
  } catch (error) {
    await abandonEngine(building);
    throw error;
  }
  const elapsed = performance.now() - start;
  tell('done', elapsed);
  return { engine: { ...engine, isReady: true }, seconds: elapsed / 1000 };
}

/** What the provider is told to use an engine, or to put one there. */
export function engineOptions({ folder, facts }: Pick<Engine, 'folder' | 'facts'>): ProviderOptions {
  return {
    ...facts.options,
    trt_engine_cache_enable: '1',
    trt_engine_cache_path: folder,
    ...(facts.calibration !== '' && { trt_int8_calibration_table_name: CALIBRATION }),
  };
}

/** Nobody should wait for minutes without knowing why: where nobody listens, Node.js's own way of warning does. */
function progressOf({ onProgress, buildTimeout }: CheckedDevice, { gpu }: EngineFacts) {
  return (state: LoadProgress['state'], elapsed: number) => {
    const seconds = Math.round(elapsed / 1000);
    const message = {
      started: `Building a TensorRT engine for ${gpu}: this takes minutes, once (at most ${Math.round(buildTimeout / 1000)} s).`,
      running: `Building a TensorRT engine for ${gpu}: ${seconds} s.`,
      done: `Built a TensorRT engine for ${gpu} in ${seconds} s.`,
    }[state];
    if (onProgress) onProgress({ step: 'tensorrt-engine', state, message, elapsed });
    else if (state === 'started') process.emitWarning(message, { code: 'MANYSCALE_TENSORRT_ENGINE' });
  };
}

function unusable(reason: string, advice = 'see docs/gpu.md'): ManyscaleError {
  return new ManyscaleError('ERR_DEVICE_UNAVAILABLE', `Expected TensorRT but received: ${reason}; ${advice}`);
}
