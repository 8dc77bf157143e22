// What a TensorRT engine is made for. An engine serves one GPU model, one TensorRT, one model and the shapes of its profile: whatever
// of that changes makes another key, and so another folder.

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ManyscaleError } from '../errors.js';
import { decodeGraph, readModelBytes } from '../onnx/file.js';
import { allTensors } from '../onnx/graph.js';
import { EXTERNAL, type GraphModel } from '../onnx/schema.js';
import { stripWeights } from '../onnx/strip.js';
import type { ProviderOptions } from '../options/gpu.js';

export interface EngineFacts {
  gpu: string;
  computeCapability: string;
  /** '' where it is not known. */
  tensorrt: string;
  onnxruntime: string;
  /** Digest of the model. */
  model: string;
  /** Digest of the calibration table, or ''. */
  calibration: string;
  /** The provider's options, with the profile. */
  options: ProviderOptions;
}

/** The name of an engine's folder. */
export function engineName(facts: EngineFacts): string {
  const { gpu, computeCapability, tensorrt, onnxruntime, model, calibration, options } = facts;
  const sorted = Object.entries(options).sort(([a], [b]) => (a < b ? -1 : 1));
  const all = JSON.stringify([gpu, computeCapability, tensorrt, onnxruntime, model, calibration, sorted]);
  const digest = createHash('sha256').update(all).digest('hex').slice(0, 32);
  const readable = gpu.replace(/[^a-zA-Z0-9]+/g, '-').slice(0, 32);
  return `${readable}-${computeCapability}-${digest}`;
}

/** Shapes of the tiles that an engine takes. */
export interface Profile {
  input: string;
  /** Of one tile, without the batch. */
  dims: readonly number[];
  /** Batch sizes that the engine of manyscale runs, ascending. Asked for only on a GPU. */
  batches: () => readonly number[];
}

/** The provider's options for a profile; none for a model whose input's sizes are all fixed. */
export function profileOptions({ input, dims, batches }: Profile, isDynamic: boolean): ProviderOptions {
  if (!isDynamic) return {};
  const shape = (batch: number) => `${input}:${[batch, ...dims].join('x')}`;
  const most = Math.max(...batches());
  return {
    trt_profile_min_shapes: shape(1),
    // The batch that most tiles go through when there is work.
    trt_profile_opt_shapes: shape(most),
    trt_profile_max_shapes: shape(most),
  };
}

/** What a model is, wherever it lies: so that a copy in another container finds its engine. */
export async function modelDigest(model: string | Uint8Array): Promise<string> {
  const hash = createHash('sha256');
  if (typeof model !== 'string') return hash.update(model).digest('hex');
  const bytes = await readModelBytes(model);
  hash.update(bytes);
  // Values in files beside it are gigabytes: their sizes and last changes stand for them.
  for (const location of externalFiles(bytes)) {
    const { size, mtimeNs } = await stat(join(dirname(model), location), { bigint: true });
    hash.update(`\n${location}:${size}:${mtimeNs}`);
  }
  return hash.digest('hex');
}

function externalFiles(bytes: Uint8Array): string[] {
  let graph: GraphModel;
  try {
    graph = decodeGraph(stripWeights(bytes) ?? bytes, 'a model');
  } catch {
    return []; // in a form that only the runtime knows, which has loaded it
  }
  const external = allTensors(graph.graph).filter(({ dataLocation }) => dataLocation === EXTERNAL);
  const locations = external.map(({ externalData }) => externalData.find(({ key }) => key === 'location')?.value ?? '');
  return [...new Set(locations)].sort();
}

/** @throws {ManyscaleError} ERR_INVALID_ARGUMENT */
export async function fileDigest(path: string, what: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const message = `Expected a file that can be read for ${what} but received '${path}' (${code}); check the path`;
    throw new ManyscaleError('ERR_INVALID_ARGUMENT', message, { cause });
  }
  return hash.digest('hex');
}
