// manyscale view: a picture of what the model sees at each scale and what it makes of it.

import { extname } from 'node:path';
import type { Command } from 'commander';
import type { ExtractorOptions } from '../../options/options.js';
import { CommandError } from '../errors.js';
import { writeAtomically } from '../files.js';
import {
  addCuttingOptions,
  addImageOptions,
  addModelOption,
  addReadingOptions,
  addScaleOptions,
  loadOptions,
  type ModelFlags,
  type ScaleFlags,
  scaleOptions,
} from '../options.js';
import { facts } from '../table.js';

interface ViewFlags extends ModelFlags, ScaleFlags {
  out: string;
  model: string;
  seams?: boolean;
  json?: boolean;
}

// More than the library's default, so that the picture shows what larger scales add.
const SCALES = [1, 2, 3];

/** For --seams where none is given: enough that borders vanish, at about twice the tiles. */
const OVERLAP = 0.25;

export function addView(program: Command, signal: AbortSignal): void {
  const command = program
    .command('view')
    .summary('draw what the model sees at each scale, and its features as colours')
    .description(
      'Draws one PNG: the photo at each scale with the tiles that the model gets, the features of each scale alone, and ' +
        'the joined features. Cells of like colour have like features (red, green and blue are the first three principal ' +
        'components).',
    )
    .argument('<image>', 'a JPEG, PNG, WebP, AVIF, TIFF or GIF file')
    .requiredOption('-o, --out <file>', 'where to write: .png')
    .option(
      '--seams',
      `show the largest scale without overlap and with it (--overlap, default ${OVERLAP}), how unlike neighbouring cells are, and a number for the seams`,
    )
    .option('--json', 'with --seams: the numbers as JSON on the standard output');
  addScaleOptions(command, SCALES);
  addModelOption(command);
  addReadingOptions(command);
  addCuttingOptions(command);
  addImageOptions(command);
  command
    .addHelpText(
      'after',
      `
Examples:
  Scales 1, 2 and 3 with the embedded model:
    $ manyscale view photo.jpg -o view.png

  What scale 4 would add to scale 1 with your own model:
    $ manyscale view photo.jpg --model vit.onnx --scales 1,4 -o view.png

  As InternVL cuts it:
    $ manyscale view photo.jpg --preset internvl -o view.png

  Do the borders of tiles show in the features, and does overlap help?
    $ manyscale view photo.jpg --seams -o seams.png`,
    )
    .action((image: string, flags: ViewFlags) => view(image, flags, signal));
}

async function view(image: string, flags: ViewFlags, signal: AbortSignal): Promise<void> {
  if (extname(flags.out).toLowerCase() !== '.png') {
    throw new CommandError('ERR_USAGE', `Expected a file that ends in .png for --out but received '${flags.out}'`);
  }
  const { Extractor } = await import('../../index.js');
  const { overlap, ...load } = loadOptions(flags);
  const scales = scaleOptions(flags, SCALES);
  if (flags.seams) return viewSeams(image, { ...load, ...scales }, overlap ?? OVERLAP, flags, signal);
  if (flags.json) throw new CommandError('ERR_USAGE', 'Expected --seams for --json but received --json alone');
  const { makeView } = await import('../view/view.js');
  const { drawView } = await import('../view/picture.js');
  await using extractor = await Extractor.load(flags.model, {
    ...load,
    ...(overlap !== undefined && { overlap }),
    ...scales,
    signal,
  });
  await writeAtomically(flags.out, async (file) => {
    await file.write(await drawView(await makeView(extractor, image, flags, signal)), 0);
  });
  process.stdout.write(`${flags.out}\n`);
}

async function viewSeams(
  image: string,
  options: ExtractorOptions,
  overlap: number,
  flags: ViewFlags,
  signal: AbortSignal,
): Promise<void> {
  if (flags.preset !== undefined)
    throw new CommandError(
      'ERR_USAGE',
      `Expected no preset beside --seams but received '${flags.preset}': presets do not overlap`,
    );
  const { Extractor } = await import('../../index.js');
  const { makeSeams } = await import('../view/seams.js');
  const { describeSeams, drawSeams } = await import('../view/seams-picture.js');
  await using extractor = await Extractor.load(flags.model, { ...options, signal });
  const view = await makeSeams(extractor, image, overlap, flags, signal);
  await writeAtomically(flags.out, async (file) => {
    await file.write(await drawSeams(view), 0);
  });
  const lines = view.views.map(({ name, seams }) => [name, describeSeams(seams)] as const);
  const found = view.views.map(({ name, scale, seams }) => ({ name, tiles: scale.rows * scale.columns, ...seams }));
  process.stdout.write(
    flags.json
      ? `${JSON.stringify({ file: flags.out, ways: found }, undefined, 2)}\n`
      : `${flags.out}\n${facts(lines)}`,
  );
}
