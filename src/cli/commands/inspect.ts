// manyscale inspect: what a model is and how manyscale would use it.

import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { ManyscaleError } from '../../errors.js';
import { showSides } from '../../geometry/sides.js';
import { type ExtractorInfo, type Gpu, type OutputInfo, type ValueInfo, valueInfo } from '../../model/info.js';
import { FROM } from '../../model/reading.js';
import { EXIT, report } from '../errors.js';
import {
  addCuttingOptions,
  addDeviceOptions,
  addImageOptions,
  addReadingOptions,
  loadOptions,
  type ModelFlags,
} from '../options.js';
import { loadProgress } from '../progress.js';
import { facts } from '../table.js';

interface InspectFlags extends ModelFlags {
  json?: boolean;
}

export function addInspect(program: Command, signal: AbortSignal): void {
  const command = program
    .command('inspect')
    .summary("show a model's inputs and outputs, and how manyscale would use them")
    .description(
      'Loads a model, runs one empty tile through it, and prints what the file declares, what was found out, and where each ' +
        'fact is from. A model that manyscale cannot use is shown too, with the reason. Paste this into bug reports.',
    )
    .argument('[model]', 'an ONNX file (default: the embedded model)')
    .option('--json', 'as JSON');
  addReadingOptions(command);
  addDeviceOptions(command);
  addCuttingOptions(command);
  addImageOptions(command);
  command
    .addHelpText(
      'after',
      `
Examples:
  The embedded model:
    $ manyscale inspect

  Would this one work, and with which output?
    $ manyscale inspect clip-vision.onnx
    $ manyscale inspect clip-vision.onnx --output last_hidden_state`,
    )
    .action((path: string | undefined, flags: InspectFlags) => inspect(path, flags, signal));
}

async function inspect(path: string | undefined, flags: InspectFlags, signal: AbortSignal): Promise<void> {
  const { defaultModel, Extractor } = await import('../../index.js');
  const model = resolve(path ?? defaultModel);
  let refusal: ManyscaleError;
  try {
    await using extractor = await Extractor.load(model, { ...loadOptions(flags), onProgress: loadProgress(), signal });
    const { info } = extractor;
    const bytes = (await stat(model)).size;
    process.stdout.write(flags.json ? json({ usable: true, bytes, ...info }) : describeUsable(info, bytes));
    return;
  } catch (error) {
    if (!(error instanceof ManyscaleError) || !REFUSALS.has(error.code)) throw error;
    refusal = error;
  }
  // The runtime reads it, so what the file declares can be shown.
  const { findRuntime } = await import('../../runtime.js');
  const { ON_CPU } = await import('../../device.js');
  const { loadSession } = await import('../../native/calls.js');
  const { checkModelSource } = await import('../../model/source.js');
  const { path: runtime } = findRuntime(loadOptions(flags).runtimeLibrary);
  const defaults = { maxBatch: 0, maxDelay: -1, deterministic: false, maxBytes: 0, device: ON_CPU };
  const source = await checkModelSource(model);
  const session = await loadSession({ ...source, runtime, threads: 1, ...defaults }, signal);
  try {
    const bytes = (await stat(model)).size;
    const { inputs, outputs, metadata, producer, graphName: name } = session;
    const file = { path: model, name, producer, metadata };
    const error = { code: refusal.code, message: refusal.message };
    const values = { inputs: inputs.map(valueInfo), outputs: outputs.map(valueInfo) };
    if (flags.json) process.stdout.write(json({ usable: false, error, bytes, model: file, ...values }));
    else process.stdout.write(describeFile(file, bytes) + describeValues(values));
    report(refusal);
    process.exitCode = EXIT.failure;
  } finally {
    await session.dispose();
  }
}

/** The model loads, but cannot be used, or not without further options. */
const REFUSALS: ReadonlySet<string> = new Set([
  'ERR_MODEL_SHAPE',
  'ERR_MODEL_RUN',
  'ERR_INVALID_ARGUMENT',
  'ERR_MODEL_LOAD',
]);

/** By characters, not by halves of them. */
function shorten(text: string): string {
  const characters = [...text];
  return characters.length > 100 ? `${characters.slice(0, 97).join('')}...` : text;
}

const json = (value: unknown) => `${JSON.stringify(value, undefined, 2)}\n`;

function describeFile({ path, name, producer, metadata }: ExtractorInfo['model'], bytes: number): string {
  const entries = Object.entries(metadata).map(([key, value]) => `${key} = ${shorten(value)}`);
  return `model\n${facts([
    ['file', `${path} (${(bytes / 1e6).toFixed(1)} MB)`],
    ['graph', name || '(no name)'],
    ['producer', producer || '(not told)'],
    ['metadata', entries.join('\n') || '(none)'],
  ])}`;
}

function describeValues(
  { inputs, outputs }: Pick<ExtractorInfo, 'inputs' | 'outputs'>,
  used?: { input: string; outputs: readonly string[] },
): string {
  const rows = (values: readonly ValueInfo[], use: readonly string[], mark: string) =>
    facts(
      values.map(({ name, type, dims }) => [
        name,
        `${type} [${dims.map((dim) => (dim === '' ? '?' : dim)).join(', ')}]${use.includes(name) ? mark : ''}`,
      ]),
    );
  return `\ninputs\n${rows(inputs, used ? [used.input] : [], '  <- the tiles')}\noutputs\n${rows(outputs, used?.outputs ?? [], '  <- the features')}`;
}

function describeOutput({ grid, layout, channels, numPrefixTokens }: OutputInfo): string {
  return layout === 'bnc'
    ? `tokens (bnc): ${numPrefixTokens} prefix + ${showSides(grid)} cells, ${channels} channels`
    : `feature map (bchw): ${showSides(grid)} cells, ${channels} channels`;
}

function describeUsable(info: ExtractorInfo, bytes: number): string {
  const { input, output, outputsInUse, preprocess, runtime, sources } = info;
  const names = outputsInUse.map(({ name }) => name);
  const from = sources.preprocess;
  return `${describeFile(info.model, bytes)}${describeConfiguration(info.configuration)}${describeValues(info, { input: input.name, outputs: names })}
use
${facts([
  ['tile size', `${showSides(input.tileSize)} (height x width), ${FROM[sources.tileSize]}`],
  [
    'tiles per call',
    `${info.batching.fixed ? '' : 'up to '}${info.batching.maxBatch}, ${
      input.fixedBatch === 0 ? 'the model takes any number' : 'the model demands it'
    }`,
  ],
  ['calls at once', `up to ${info.batching.workers}`],
  ['batch invariant', info.batchInvariant ? 'yes' : 'no: see the option deterministic'],
  [
    'output',
    `${names.join(', ')}, ${sources.output === 'model' ? 'the first with a place for every cell of a tile' : FROM[sources.output]}`,
  ],
  ['of one tile', outputsInUse.map(describeOutput).join('\n')],
  ['prefix tokens', `${output.numPrefixTokens}, ${FROM[sources.numPrefixTokens]}`],
  ['patch size', output.patchSize === undefined ? '(not needed)' : `${output.patchSize}, ${FROM[sources.patchSize]}`],
  info.preset === undefined ? ['fit', `${info.fit}, ${FROM[sources.fit]}`] : ['preset', info.preset],
])}
preprocessing: value = (pixel * rescale - mean) / std
${facts([
  ['resize', `${preprocess.resize}, ${FROM[from.resize]}`],
  ['rescale', `${preprocess.rescale}, ${FROM[from.rescale]}`],
  ['mean', `${preprocess.mean.join(', ')}, ${FROM[from.mean]}`],
  ['std', `${preprocess.std.join(', ')}, ${FROM[from.std]}`],
  ['channel order', `${preprocess.channelOrder}, ${FROM[from.channelOrder]}`],
])}
runtime
${facts([
  ['ONNX Runtime', `${runtime.version}, ${runtime.path}${runtime.notice && `\n${runtime.notice}`}`],
  ['device', info.device],
  ['provider', info.provider],
  ...(info.gpus.length > 0 ? [['GPUs', info.gpus.map(describeGpu).join('\n')] as const] : []),
  [
    'not used',
    Object.entries(info.unavailable)
      .map(([name, reason]) => `${name}: ${reason}`)
      .join('\n'),
  ],
])}${describeNotes(info.notes)}`;
}

function describeConfiguration({ files, processor, modelType }: ExtractorInfo['configuration']): string {
  if (files.length === 0) return '';
  return `\nconfiguration\n${facts([
    ['files', files.join('\n')],
    ['image processor', processor ?? '(not told)'],
    ['model type', modelType ?? '(not told)'],
  ])}`;
}

function describeGpu({ ordinal, name, computeCapability, memory }: Gpu): string {
  return `${ordinal}: ${name}, compute capability ${computeCapability}, ${(memory / 1e9).toFixed(1)} GB`;
}

function describeNotes(notes: ExtractorInfo['notes']): string {
  return notes.length === 0 ? '' : `\nnotes\n${notes.map((note) => `  ${note}\n`).join('')}`;
}
