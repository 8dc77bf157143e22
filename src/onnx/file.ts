// .onnx files, with or without values in other files.

import { type FileHandle, open, readFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, normalize, sep } from 'node:path';
import { ManyscaleError } from '../errors.js';
import { decodeModel, encodeModel } from './codec.js';
import { allTensors } from './graph.js';
import { EXTERNAL, type GraphModel, type TensorProto } from './schema.js';

/** A protobuf message cannot be larger; some room for what is not values. */
const MOST_BYTES = 2 ** 31 - 2 ** 24;

function loadError(expected: string, received: string, advice: string, cause?: unknown): ManyscaleError {
  return new ManyscaleError('ERR_MODEL_LOAD', `Expected ${expected} but received ${received}; ${advice}`, { cause });
}

/** A model, and the bytes that it takes in its files. */
export interface ModelFile {
  model: GraphModel;
  bytes: number;
}

/**
 * Reads a model; values that lie in other files of its folder are read too, so that the model is whole.
 * @throws {ManyscaleError} ERR_MODEL_LOAD
 */
export async function readModel(path: string): Promise<ModelFile> {
  const { model, bytes } = await readModelAlone(path);
  return { model, bytes: bytes + (await readExternal(allTensors(model.graph), dirname(path))) };
}

/**
 * Reads a model as its file has it; values that lie in other files stay there.
 * @throws {ManyscaleError} ERR_MODEL_LOAD
 */
export async function readModelAlone(path: string): Promise<ModelFile> {
  const bytes = await readModelBytes(path);
  return { model: decodeGraph(bytes, `'${path}'`), bytes: bytes.length };
}

/** @throws {ManyscaleError} ERR_MODEL_LOAD */
export async function readModelBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw loadError(
      'the path of an ONNX file for model',
      `'${path}', which cannot be read (${code})`,
      'check it',
      cause,
    );
  }
}

/**
 * A model of the bytes of its file. `what`: the file, for messages.
 * @throws {ManyscaleError} ERR_MODEL_LOAD
 */
export function decodeGraph(bytes: Uint8Array, what: string): GraphModel {
  let cause: unknown;
  try {
    const model = decodeModel(bytes);
    const { graph } = model;
    if (graph && graph.node.length > 0) return Object.assign(model, { graph });
  } catch (error) {
    cause = error;
  }
  throw loadError('an ONNX model for model', `${what}, which is none`, 'export the model as .onnx', cause);
}

/** Replaces references to other files by the values; returns how many bytes they are. */
async function readExternal(tensors: readonly TensorProto[], folder: string): Promise<number> {
  let bytes = 0;
  const files = new Map<string, FileHandle>();
  try {
    for (const tensor of tensors) {
      if (tensor.dataLocation !== EXTERNAL) continue;
      const {
        location = '',
        offset = '0',
        length,
      } = Object.fromEntries(tensor.externalData.map(({ key, value }) => [key, value]));
      const path = join(folder, location);
      try {
        const file = files.get(path) ?? (await openBeside(folder, location));
        files.set(path, file);
        tensor.rawData = await readPart(file, Number(offset), length === undefined ? undefined : Number(length));
      } catch (cause) {
        if (cause instanceof ManyscaleError) throw cause;
        const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
        const expected = `the values of '${tensor.name}' in '${path}'`;
        throw loadError(expected, `none (${reason})`, 'put the file of values beside the model', cause);
      }
      tensor.externalData = [];
      tensor.dataLocation = 0;
      bytes += tensor.rawData.length;
    }
    return bytes;
  } finally {
    for (const file of files.values()) await file.close();
  }
}

/** A model names its files itself: one that reaches out of its own folder is refused, as the runtime does. */
async function openBeside(folder: string, location: string): Promise<FileHandle> {
  const name = normalize(location);
  if (location === '' || isAbsolute(name) || name === '..' || name.startsWith(`..${sep}`)) {
    const expected = "a file in the model's folder for its values";
    throw loadError(expected, `'${location}'`, 'save the model with its values beside it');
  }
  return open(join(folder, name));
}

async function readPart(file: FileHandle, offset: number, length: number | undefined): Promise<Uint8Array> {
  const size = length ?? (await file.stat()).size - offset;
  if (!Number.isSafeInteger(size) || size < 0 || !Number.isSafeInteger(offset) || offset < 0)
    throw new RangeError(`offset ${offset}, length ${length}`);
  const bytes = new Uint8Array(size);
  for (let done = 0; done < size; ) {
    const { bytesRead } = await file.read(bytes, done, size - done, offset + done);
    if (bytesRead === 0) throw new RangeError(`${size} bytes at ${offset} are not there`);
    done += bytesRead;
  }
  return bytes;
}

/**
 * The bytes of an .onnx file that holds all of the model's values.
 * @throws {ManyscaleError} ERR_MODEL_LOAD for a model that is too large for one file.
 */
export function wholeModel(model: GraphModel): Uint8Array {
  const size = allTensors(model.graph).reduce((sum, { rawData }) => sum + rawData.length, 0);
  if (size > MOST_BYTES) {
    const received = `one whose values still take ${(size / 1e9).toFixed(1)} GB`;
    throw loadError(
      'a model of less than 2 GB',
      received,
      'ONNX files cannot be larger; --calibrate needs the float32 model as one, without it only the int8 one must be',
    );
  }
  return encodeModel(model);
}
