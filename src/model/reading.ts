// How a model is read: the caller's options over the model's metadata over its configuration files over the defaults. What the model
// itself fixes, its axes and the shape of its outputs, no file can change.

import { ManyscaleError } from '../errors.js';
import { showSides } from '../geometry/sides.js';
import type { NativeSize } from '../native/addon.js';
import { DEFAULTS } from '../options/defaults.js';
import type { CheckedExtractorOptions } from '../options/extractor.js';
import type { Fit, Preprocess, Preset } from '../options/options.js';
import type { Configuration } from './configuration/configuration.js';
import { choosePreprocess, type ModelInput, type PreprocessSources, type Source, type Sourced } from './input.js';
import { type CarriedOptions, fromMetadata } from './metadata.js';
import { MOST_PREFIX_TOKENS, type ModelOutputs } from './outputs.js';

export interface Reading {
  tileSize?: Sourced<NativeSize>;
  patchSize?: Sourced<number>;
  numPrefixTokens?: Sourced<number>;
  /** Names; at least one. */
  outputs?: Sourced<string[]>;
  fit: Sourced<Fit>;
  preset?: Preset;
  preprocess: Required<Preprocess>;
  preprocessSources: PreprocessSources;
}

/** All presets' systems resize with Pillow, whatever the model's own processor would do. */
const PRESET_RESIZE = 'pillow-bicubic';

/** `inputType`: of what the model takes. */
export function chooseReading(
  options: CheckedExtractorOptions,
  carried: CarriedOptions,
  configuration: Configuration,
  inputType: string | undefined,
): Reading {
  const tileSize = first(options.tileSize, carried.tileSize, configuration.tileSize);
  const patchSize = first(options.patchSize, carried.patchSize, configuration.patchSize);
  const numPrefixTokens = first(options.scale.numPrefixTokens, carried.numPrefixTokens);
  const outputs = first(options.output, carried.outputs);
  const { preprocess, sources } = choosePreprocess(
    options.preprocess,
    carried.preprocess,
    configuration.preprocess,
    inputType,
  );
  if (options.preset !== undefined && options.preprocess.resize === undefined) {
    preprocess.resize = PRESET_RESIZE;
    sources.resize = 'preset';
  }
  return {
    ...(tileSize && { tileSize }),
    ...(patchSize && { patchSize }),
    ...(numPrefixTokens && { numPrefixTokens }),
    ...(outputs && { outputs }),
    ...(options.preset !== undefined && { preset: options.preset }),
    fit: first(options.fit, carried.fit, configuration.fit) ?? { value: DEFAULTS.fit, source: 'default' },
    preprocess,
    preprocessSources: sources,
  };
}

function first<T>(option?: T, metadata?: T, configuration?: T): Sourced<T> | undefined {
  const candidates: [Source, T | undefined][] = [
    ['option', option],
    ['metadata', metadata],
    ['configuration', configuration],
  ];
  for (const [source, value] of candidates) if (value !== undefined) return { value, source };
  return undefined;
}

/** A model whose metadata contradict its own axes is damaged. */
export function refuseContradiction({ tileSize }: CarriedOptions, input: ModelInput): void {
  if (!tileSize || input.tileSource === 'option') return;
  if (tileSize.height === input.tile.height && tileSize.width === input.tile.width) return;
  fromMetadata('tileSize', () => {
    throw new ManyscaleError(
      'ERR_MODEL_LOAD',
      `Expected the model's own input size (${showSides(input.tile)}) for the model's metadata manyscale.tileSize but received ${showSides(tileSize)}`,
    );
  });
}

/** What `choose` finds with the patch size, and the patch size that it holds for. */
export interface PatchReading {
  outputs: ModelOutputs;
  patchSize?: Sourced<number>;
  notes: string[];
}

/**
 * Chooses the outputs with the patch size that is known. One from a configuration file may be another thing than pixels per token
 * (a window, a stem's stride): where it does not fit the tokens that the model gives, the model is read without it.
 */
export function choosePatches(
  patchSize: Sourced<number> | undefined,
  tile: NativeSize,
  choose: (patchSize: number | undefined) => ModelOutputs,
): PatchReading {
  if (patchSize?.source !== 'configuration') {
    return { outputs: choose(patchSize?.value), ...(patchSize && { patchSize }), notes: [] };
  }
  try {
    const outputs = choose(patchSize.value);
    if (outputs[0].layout === 'bchw') return { outputs, notes: [] };
    if (outputs[0].numPrefixTokens <= MOST_PREFIX_TOKENS) return { outputs, patchSize, notes: [] };
  } catch (error) {
    if (!(error instanceof ManyscaleError)) throw error;
  }
  const outputs = choose(undefined);
  const [{ dims, layout }] = outputs;
  const note = `config.json has a patch_size of ${patchSize.value}, but the model gives ${dims[1]} tokens for a tile of ${showSides(tile)}: it is not used.`;
  return { outputs, notes: layout === 'bchw' ? [] : [note] };
}

/** Says of a model that fails with a tile size that it does not fix itself, that this may be why. */
export function explainFailure(error: unknown, input: ModelInput, reading: Reading): unknown {
  const isTheModels = error instanceof ManyscaleError && /^ERR_MODEL_(?:RUN|SHAPE)$/.test(error.code);
  if (!isTheModels || input.tileSource === 'model') return error;
  const patch = reading.patchSize?.value;
  const { height, width } = input.tile;
  const received = `${showSides(input.tile)} (${FROM[input.tileSource]})`;
  if (patch !== undefined && (height % patch !== 0 || width % patch !== 0)) {
    const [h, w] = [height, width].map((side) => Math.max(1, Math.round(side / patch)) * patch);
    return new ManyscaleError(
      'ERR_MODEL_SHAPE',
      `Expected multiples of the model's patch size, ${patch}, for tileSize but received ${received}, with which the model fails (${error.message}); give tileSize: ${h === w ? h : `[${h}, ${w}]`}`,
      { cause: error },
    );
  }
  return new ManyscaleError(
    error.code,
    `Expected a size that the model runs with for tileSize but received ${received} (${error.message}); give the size that it was trained with`,
    { cause: error },
  );
}

/** Where a fact is from, in words. */
export const FROM: Readonly<Record<Source, string>> = {
  option: 'from the options',
  metadata: "from the model's metadata",
  model: 'found from the model',
  configuration: 'from the configuration files',
  preset: 'from the preset',
  default: 'by default',
};
