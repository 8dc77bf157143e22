// Finds and reads the files that Hugging Face puts beside a model. They are nobody's code but anybody's input: regular files of a
// bounded size, and nothing of them is believed before src/configuration/fields.ts has looked at it.

import { constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ManyscaleError } from '../../errors.js';

const PROCESSOR_FILE = 'preprocessor_config.json';
const ARCHITECTURE_FILE = 'config.json';

/** Folders of this name hold a repository's ONNX files, and the configuration lies in the folder above. */
const ONNX_FOLDER = 'onnx';

/** The largest that are known have some hundred thousand bytes: the names of their classes. */
const MOST_BYTES = 1_000_000;

export const IGNORE_FILES = 'configuration: false (--no-configuration) ignores such files';

export interface JsonFile {
  /** Absolute. */
  path: string;
  values: object;
}

export interface ConfigurationFiles {
  processor?: JsonFile;
  architecture?: JsonFile;
}

/**
 * The configuration files of a model. `model`: its absolute path or its bytes. `folder`: where to look instead of beside the
 * model; false: nowhere.
 * @throws {ManyscaleError} ERR_MODEL_LOAD for files that cannot be read, are too large, or are no JSON objects, and for a
 * `folder` without any.
 */
export async function readConfigurationFiles(
  model: string | Uint8Array,
  folder: string | false | undefined,
): Promise<ConfigurationFiles> {
  if (folder !== undefined && folder !== false) return readNamedFolder(resolve(folder));
  if (folder === false || typeof model !== 'string') return {};
  const beside = dirname(model);
  return readFirst(basename(beside) === ONNX_FOLDER ? [beside, dirname(beside)] : [beside]);
}

async function readNamedFolder(folder: string): Promise<ConfigurationFiles> {
  const refuse = (received: string, cause?: unknown) =>
    new ManyscaleError(
      'ERR_MODEL_LOAD',
      `Expected a folder with ${PROCESSOR_FILE} or ${ARCHITECTURE_FILE} for configuration but received '${folder}', ${received}; check the path`,
      { cause },
    );
  const status = await stat(folder).catch((cause: NodeJS.ErrnoException) => {
    throw refuse(`which cannot be read (${cause.code})`, cause);
  });
  if (!status.isDirectory()) throw refuse('which is not a folder');
  const files = await readFirst([folder]);
  if (!files.processor && !files.architecture) throw refuse('which has neither');
  return files;
}

/** Of each file the first that is there. */
async function readFirst(folders: readonly string[]): Promise<ConfigurationFiles> {
  let processor: JsonFile | undefined;
  let architecture: JsonFile | undefined;
  for (const folder of folders) {
    processor ??= await readJson(join(folder, PROCESSOR_FILE));
    architecture ??= await readJson(join(folder, ARCHITECTURE_FILE));
  }
  return { ...(processor && { processor }), ...(architecture && { architecture }) };
}

function refuseFile(expected: string, path: string, received: string, cause?: unknown): ManyscaleError {
  return new ManyscaleError(
    'ERR_MODEL_LOAD',
    `Expected ${expected} for the model's configuration but received '${path}', ${received}; correct it or take it away, or ${IGNORE_FILES}`,
    { cause },
  );
}

async function readJson(path: string): Promise<JsonFile | undefined> {
  const bytes = await readBounded(path);
  if (!bytes) return undefined;
  let values: unknown;
  try {
    values = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw refuseFile('JSON', path, `which cannot be parsed (${(cause as Error).message})`, cause);
  }
  if (typeof values !== 'object' || values === null || Array.isArray(values))
    throw refuseFile('a JSON object', path, 'which has something else');
  return { path, values };
}

async function readBounded(path: string): Promise<Uint8Array | undefined> {
  const expected = `a readable file of at most ${MOST_BYTES} bytes`;
  try {
    // A pipe or a device may never end, and opening a pipe may wait for its writer.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      if (!(await file.stat()).isFile()) throw refuseFile(expected, path, 'which is not a file');
      // Not by the size that is told: a file may grow meanwhile, and some systems' files tell 0.
      const bytes = new Uint8Array(MOST_BYTES + 1);
      let length = 0;
      while (length < bytes.length) {
        const { bytesRead } = await file.read(bytes, length);
        if (bytesRead === 0) return bytes.subarray(0, length);
        length += bytesRead;
      }
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (cause instanceof ManyscaleError) throw cause;
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw refuseFile(expected, path, `which cannot be read (${code})`, cause);
  }
  throw refuseFile(expected, path, 'which is larger');
}
