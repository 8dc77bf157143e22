// What should be known of how a model was read: what was guessed, and what contradicts what. Plain sentences.

import { showSides } from '../geometry/sides.js';
import type { Configuration } from './configuration/configuration.js';
import { type ModelInput, RAW_PIXELS } from './input.js';
import type { PatchReading, Reading } from './reading.js';

/** A model, and all that was read of it. */
export interface ReadModel {
  configuration: Configuration;
  reading: Reading;
  input: ModelInput;
  /** The outputs in use. */
  patches: PatchReading;
  /** Outputs that may have features. */
  candidates: number;
  /** What is to be said of where it computes. */
  deviceNotes: readonly string[];
}

export function notesOf(read: ReadModel): string[] {
  const { configuration, patches, reading } = read;
  return [
    ...configuration.notes,
    ...tileNotes(read),
    ...patches.notes,
    ...outputNotes(read),
    ...rawNotes(read),
    ...preprocessNotes(reading),
    ...read.deviceNotes,
  ];
}

function tileNotes({ configuration: { tileSize, tileFile }, input }: ReadModel): string[] {
  if (!tileSize || input.tileSource === 'option') return [];
  const isSame = tileSize.height === input.tile.height && tileSize.width === input.tile.width;
  const tiles = `tiles are ${showSides(input.tile)}`;
  if (input.tileSource === 'configuration')
    return [`The model leaves its input size open: ${tiles}, as ${tileFile} has it.`];
  if (isSame) return [];
  const who = input.tileSource === 'metadata' ? "the model's metadata say" : "the model's input is";
  return [`${tileFile} asks for ${showSides(tileSize)} but ${who} ${showSides(input.tile)}: ${tiles}.`];
}

function outputNotes({ configuration, reading, patches, candidates }: ReadModel): string[] {
  const notes: string[] = [];
  const { patchSize } = patches;
  const { name, layout, dims, grid, numPrefixTokens } = patches.outputs[0];
  if (!reading.outputs && candidates > 1)
    notes.push(`${name} was taken among ${candidates} outputs: the first with a place for every cell of a tile.`);
  if (layout === 'bchw' || reading.numPrefixTokens) return notes;
  const prefix = `${numPrefixTokens} prefix token${numPrefixTokens === 1 ? '' : 's'}`;
  if (numPrefixTokens > 0 && patchSize === undefined)
    notes.push(
      `Of ${dims[1]} tokens ${numPrefixTokens} were taken as prefix tokens, since the rest are a grid of ${showSides(grid)}.`,
    );
  const { numRegisterTokens: registers } = configuration;
  // Beside the registers there is one token, CLS, or none.
  if (registers !== undefined && numPrefixTokens !== registers && numPrefixTokens !== registers + 1)
    notes.push(
      `config.json has num_register_tokens ${registers} but ${prefix} were found: give numPrefixTokens if that is wrong.`,
    );
  return notes;
}

function rawNotes({ configuration, input, reading }: ReadModel): string[] {
  if (input.type !== 'uint8') return [];
  const unused = (Object.keys(RAW_PIXELS) as (keyof typeof RAW_PIXELS)[]).filter(
    (key) => configuration.preprocess[key] !== undefined && reading.preprocessSources[key] === 'model',
  );
  return unused.length === 0
    ? []
    : [
        `The model takes uint8 pixels, which it normalises itself: ${unused.join(', ')} of the configuration are not used.`,
      ];
}

function preprocessNotes({ preprocess, preprocessSources: from }: Reading): string[] {
  const notes: string[] = [];
  if (from.resize === 'default')
    notes.push(`Nothing says how images are to be resized: ${preprocess.resize} was assumed (preprocess.resize).`);
  if (from.mean === 'default' && from.std === 'default')
    notes.push(
      'Nothing says how pixels are to be normalised: mean 0 and std 1 were assumed (preprocess.mean, preprocess.std).',
    );
  return notes;
}
