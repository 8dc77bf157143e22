// manyscale extract: images to a file of features.

import { basename, extname, normalize } from 'node:path';
import { type Command, Option } from 'commander';
import type { Features } from '../../features.js';
import { DEFAULTS } from '../../options/defaults.js';
import { CommandError, report } from '../errors.js';
import { type OutputFile, writeAtomically } from '../files.js';
import { npyWriter } from '../npy.js';
import {
  addCuttingOptions,
  addDeviceOptions,
  addImageOptions,
  addModelOption,
  addReadingOptions,
  addScaleOptions,
  loadOptions,
  type ModelFlags,
  type ScaleFlags,
  scaleOptions,
} from '../options.js';
import { loadProgress, Progress } from '../progress.js';
import { safetensorsWriter } from '../safetensors.js';
import type { Dtype, NamedTensor, TensorWriter } from '../tensorfile.js';

interface ExtractFlags extends ModelFlags, ScaleFlags {
  out: string;
  model: string;
  dtype: Dtype;
  fastDecode?: boolean;
  keepGoing?: boolean;
  json?: boolean;
}

const FORMATS = ['.npy', '.safetensors'] as const;
type Format = (typeof FORMATS)[number];

export function addExtract(program: Command, signal: AbortSignal): void {
  const command = program
    .command('extract')
    .summary('write multi-scale features of images to a .npy or .safetensors file')
    .description(
      'Runs the model over each image at several scales and writes the joined features.\n\n' +
        'FILE.npy: one array, for NumPy. One image keeps its shape; several are stacked along a new first axis.\n' +
        'FILE.safetensors: one tensor per image, named by its file, and what they were made with as metadata.',
    )
    .argument('<image...>', 'JPEG, PNG, WebP, AVIF, TIFF or GIF files')
    .requiredOption('-o, --out <file>', 'where to write: .npy or .safetensors; replaced only when all is done')
    .addOption(
      new Option('--dtype <type>', 'of the features; float16 takes half the space')
        .choices(['float32', 'float16'])
        .default(DEFAULTS.dtype),
    )
    .option('--keep-going', 'leave out images that fail instead of stopping at the first (the exit code is still 1)')
    .option('--json', 'describe what was written as JSON on the standard output');
  addScaleOptions(command, DEFAULTS.scales).addOption(
    new Option(
      '--output-shape <layout>',
      'bchw: channels x rows x columns; bnc: cells x channels (default: as the model has it)',
    ).choices(['bchw', 'bnc']),
  );
  addModelOption(command);
  addReadingOptions(command);
  addDeviceOptions(command);
  addCuttingOptions(command);
  addImageOptions(command).option(
    '--fast-decode',
    'decode large JPEG images at a reduced size of at least twice the largest scale: faster, slightly other features',
  );
  command
    .addHelpText(
      'after',
      `
Examples:
  Features of a photo at scales 1 and 2, read back in Python with numpy.load('photo.npy'):
    $ manyscale extract photo.jpg -o photo.npy

  A folder, at three scales, one named tensor per image:
    $ manyscale extract photos/*.jpg --scales 1,2,3 -o photos.safetensors

  Your own model, on the grid of the largest scale:
    $ manyscale extract photo.jpg --model vit.onnx --scales 1,3 --resize-output-to-index -1 -o photo.npy`,
    )
    .action((images: string[], flags: ExtractFlags) => extract(images, flags, signal));
}

/** One line of the JSON description. */
interface ImageRecord {
  path: string;
  name: string;
  shape: readonly number[];
  grid: Features['grid'];
  numPrefixTokens: number;
  scales: Features['scales'];
  milliseconds: number;
}

async function extract(images: readonly string[], flags: ExtractFlags, signal: AbortSignal): Promise<void> {
  const format = formatOf(flags.out);
  const names = tensorNames(images);
  const { Extractor } = await import('../../index.js');
  await using extractor = await Extractor.load(flags.model, {
    ...loadOptions(flags),
    ...scaleOptions(flags, DEFAULTS.scales),
    dtype: flags.dtype,
    fastDecode: flags.fastDecode ?? false,
    onProgress: loadProgress(),
    signal,
  });
  const { device, model, outputsInUse, provider } = extractor.info;
  const layout = flags.outputShape ?? extractor.info.output.layout;
  const output = outputsInUse.map(({ name }) => name).join(',');
  const started = performance.now();
  const records: ImageRecord[] = [];
  const failed: { path: string; error: unknown }[] = [];

  await writeAtomically(flags.out, async (file) => {
    const writer = writerOf(format, file, names, flags.dtype);
    const progress = new Progress(images.length);
    try {
      for await (const result of extractor.extractMany(images, { signal })) {
        const path = images[result.index] as string;
        const name = names[result.index] as string;
        if ('error' in result) {
          if (!flags.keepGoing) throw result.error;
          failed.push({ path, error: result.error });
        } else {
          const { tensor, grid, numPrefixTokens, scales, timings } = result.features;
          await writer.append({ name, dims: tensor.dims, data: tensor.data as NamedTensor['data'] });
          records.push({ path, name, shape: tensor.dims, grid, numPrefixTokens, scales, milliseconds: timings.total });
        }
        progress.advance();
      }
    } finally {
      progress.end();
    }
    const [first] = records;
    if (!first) throw failed[0]?.error;
    await writer.finish({
      format: 'manyscale',
      model: basename(flags.model),
      output,
      layout,
      num_prefix_tokens: String(first.numPrefixTokens),
      grid: alike(records, ({ grid }) => grid),
      scales: alike(records, ({ scales }) => scales),
    });
  });

  for (const { error } of failed) report(error);
  if (failed.length > 0) process.exitCode = 1;
  const milliseconds = performance.now() - started;
  const summary = {
    file: flags.out,
    dtype: flags.dtype,
    layout,
    model: model.path,
    output,
    device,
    provider,
    images: records,
    failed: failed.map(({ path, error }) => ({
      path,
      code: (error as { code?: string }).code,
      message: error instanceof Error ? error.message : String(error),
    })),
    milliseconds,
  };
  process.stdout.write(
    flags.json ? `${JSON.stringify(summary, undefined, 2)}\n` : describe(flags, records, milliseconds),
  );
}

function formatOf(path: string): Format {
  const extension = extname(path).toLowerCase();
  const format = FORMATS.find((known) => known === extension);
  if (format) return format;
  throw new CommandError(
    'ERR_USAGE',
    `Expected a file that ends in ${FORMATS.join(' or ')} for --out but received '${path}'`,
  );
}

function writerOf(format: Format, file: OutputFile, names: readonly string[], dtype: Dtype): TensorWriter {
  return format === '.npy' ? npyWriter(file, names.length > 1, dtype) : safetensorsWriter(file, names, dtype);
}

/** File names where they differ, else paths, else paths with a number: every tensor can be told from the others. */
export function tensorNames(paths: readonly string[]): string[] {
  const count = (values: readonly string[]) => {
    const counts = new Map<string, number>();
    for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
    return counts;
  };
  const files = count(paths.map((path) => basename(path)));
  const taken = new Set<string>();
  return paths.map((path) => {
    const file = basename(path);
    const wanted = files.get(file) === 1 && file !== '__metadata__' ? file : normalize(path);
    let name = wanted;
    for (let number = 2; taken.has(name) || name === '__metadata__'; number++) name = `${wanted}#${number}`;
    taken.add(name);
    return name;
  });
}

/** As JSON: what all images have or, where they differ (with --fit keep, say), what each has, by its name. */
function alike(records: readonly ImageRecord[], of: (record: ImageRecord) => unknown): string {
  const [first = '', ...others] = records.map((record) => JSON.stringify(of(record)));
  if (others.every((other) => other === first)) return first;
  return JSON.stringify(Object.fromEntries(records.map((record) => [record.name, of(record)])));
}

function describe({ out, dtype }: ExtractFlags, records: readonly ImageRecord[], milliseconds: number): string {
  const [first] = records;
  if (!first) return '';
  const shapes = new Set(records.map(({ shape }) => shape.join(' x ')));
  const counts = records.map(({ scales }) => scales.reduce((sum, { rows, columns }) => sum + rows * columns, 0));
  const took = `in ${Math.round(milliseconds)} ms`;
  if (shapes.size > 1) {
    const tiles = counts.reduce((sum, count) => sum + count, 0);
    return `${out}: ${records.length} tensors of ${shapes.size} shapes, such as ${first.shape.join(' x ')}, ${dtype}, from ${tiles} tiles ${took}\n`;
  }
  const [shape] = shapes;
  const [tiles] = counts;
  const sizes = first.scales.map(({ height, width }) => `${width} x ${height}`).join(', ');
  const what = records.length === 1 ? `${shape} ${dtype}` : `${records.length} x ${shape} ${dtype}`;
  return `${out}: ${what} from ${tiles} tile${tiles === 1 ? '' : 's'} (${sizes}) ${took}\n`;
}
