// What the configuration files beside a model say of it.

import { basename } from 'node:path';
import type { NativeSize } from '../../native/addon.js';
import type { Preprocess } from '../../options/options.js';
import { type ArchitectureConfiguration, readArchitecture } from './architecture.js';
import { Fields } from './fields.js';
import type { ConfigurationFiles } from './files.js';
import { readProcessor } from './processor.js';

export interface Configuration
  extends Pick<ArchitectureConfiguration, 'modelType' | 'patchSize' | 'numRegisterTokens'> {
  /** Absolute paths of what was read. */
  files: string[];
  /** The image processor's type, as the file has it. */
  processor?: string;
  tileSize?: NativeSize;
  /** Name of the file that `tileSize` is from. */
  tileFile?: string;
  fit?: 'stretch' | 'crop';
  preprocess: Preprocess;
  notes: string[];
}

/**
 * `given`: the parts of preprocess that the caller's options or the model's metadata give, whose values are not looked at.
 * @throws {ManyscaleError} ERR_MODEL_LOAD that names the file, the key, what was expected and what was found.
 */
export function readConfiguration(files: ConfigurationFiles, given: Preprocess): Configuration {
  const names = new Set(Object.keys(given).map((name) => `preprocess.${name}`));
  const processor = files.processor && readProcessor(new Fields(files.processor, names));
  const architecture = files.architecture && readArchitecture(new Fields(files.architecture, names));
  const tileSize = processor?.tileSize ?? architecture?.imageSize;
  const tileFile = processor?.tileSize ? files.processor : files.architecture;
  const { modelType, patchSize, numRegisterTokens } = architecture ?? {};
  return {
    files: [files.processor, files.architecture].flatMap((file) => (file ? [file.path] : [])),
    ...(processor?.type !== undefined && { processor: processor.type }),
    ...(modelType !== undefined && { modelType }),
    ...(tileSize && tileFile && { tileSize, tileFile: basename(tileFile.path) }),
    ...(patchSize !== undefined && { patchSize }),
    ...(numRegisterTokens !== undefined && { numRegisterTokens }),
    ...(processor?.fit && { fit: processor.fit }),
    preprocess: processor?.preprocess ?? {},
    notes: [...(processor?.notes ?? []), ...(architecture?.notes ?? [])],
  };
}
