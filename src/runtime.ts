// Where the ONNX Runtime library is. Only its path is found here; native code opens it.

import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, isAbsolute, join } from 'node:path';
import { invalid, ManyscaleError } from './errors.js';

/** Absolute path of a libonnxruntime to use; the option runtimeLibrary comes first. */
const RUNTIME_VARIABLE = 'MANYSCALE_RUNTIME_LIBRARY';

/** onnxruntime-node without the CUDA files that its install script would download. */
const RUNTIME_INSTALL_COMMAND = 'npm install onnxruntime-node --onnxruntime-node-install=skip';

export interface RuntimeLocation {
  /** Absolute. */
  path: string;
  from: 'option' | 'environment' | 'onnxruntime-node';
}

/**
 * The ONNX Runtime library to open: `option`, else the environment's MANYSCALE_RUNTIME_LIBRARY, else onnxruntime-node's.
 * @throws {ManyscaleError} ERR_RUNTIME_UNAVAILABLE with the command that mends it; ERR_INVALID_ARGUMENT for a relative path.
 */
export function findRuntime(option?: string): RuntimeLocation {
  if (option !== undefined) return given(option, 'runtimeLibrary', 'option');
  const variable = process.env[RUNTIME_VARIABLE];
  if (variable) return given(variable, RUNTIME_VARIABLE, 'environment');
  return { path: ownLibrary(), from: 'onnxruntime-node' };
}

function given(path: string, what: string, from: RuntimeLocation['from']): RuntimeLocation {
  // The dynamic loader would look a bare name up elsewhere than the caller thinks.
  if (!isAbsolute(path)) throw invalid('the absolute path of a libonnxruntime', what, path);
  if (!existsSync(path)) {
    throw new ManyscaleError(
      'ERR_RUNTIME_UNAVAILABLE',
      `Expected the path of a libonnxruntime for ${what} but received '${path}', where there is no file; correct it, or leave it out and run: ${RUNTIME_INSTALL_COMMAND}`,
    );
  }
  return { path, from };
}

/** The file in onnxruntime-node's package. The package itself is not imported: it would load its own binding. */
function ownLibrary(): string {
  let folder: string;
  try {
    folder = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  } catch (cause) {
    throw unavailable('onnxruntime-node is not installed', cause);
  }
  const bin = join(folder, 'bin');
  const versions = existsSync(bin) ? readdirSync(bin).filter((name) => /^napi-v\d+$/.test(name)) : [];
  const places = versions.map((name) => join(bin, name, process.platform, process.arch, 'libonnxruntime.so.1'));
  const found = places.find((path) => existsSync(path));
  if (!found) throw unavailable(`${folder} has no library for ${process.platform}-${process.arch}`);
  return found;
}

function unavailable(reason: string, cause?: unknown): ManyscaleError {
  return new ManyscaleError(
    'ERR_RUNTIME_UNAVAILABLE',
    `Expected an ONNX Runtime library for running models but found none: ${reason}; run: ${RUNTIME_INSTALL_COMMAND} (or give the option runtimeLibrary, or set ${RUNTIME_VARIABLE}, to the absolute path of a libonnxruntime)`,
    cause === undefined ? undefined : { cause },
  );
}
