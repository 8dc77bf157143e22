// manyscale view: a picture of what the model sees at each scale and what it makes of it.

import { extname } from 'node:path';
import type { Command } from 'commander';
import type { ExtractorOptions } from '../../options/options.js';
import { CommandError } from '../errors.js';
import { writeAtomically } from '../files.js';
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
import { loadProgress } from '../progress.js';
import { StatusLine } from '../status.js';
import { columns } from '../table.js';
import type { ScaleSeams } from '../view/seams.js';

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
      `draw the largest scale without overlap and with it (--overlap, default ${OVERLAP}) and how unlike neighbouring cells are; print numbers for the seams of each scale`,
    )
    .option('--json', 'with --seams: the numbers as JSON on the standard output');
  addScaleOptions(command, SCALES);
  addModelOption(command);
  addReadingOptions(command);
  addDeviceOptions(command);
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
  const { overlap, ...load } = loadOptions(flags);
  const options = { ...load, ...scaleOptions(flags, SCALES), onProgress: loadProgress(), signal };
  if (flags.seams) return viewSeams(image, options, overlap ?? OVERLAP, flags, signal);
  if (flags.json) throw new CommandError('ERR_USAGE', 'Expected --seams for --json but received --json alone');
  const { Extractor } = await import('../../index.js');
  const { makeView } = await import('../view/view.js');
  const { drawView } = await import('../view/picture.js');
  await drawing(flags.out, async (onStep) => {
    await using extractor = await Extractor.load(flags.model, {
      ...options,
      ...(overlap !== undefined && { overlap }),
    });
    return drawView(await makeView(extractor, image, flags, { signal, onStep }));
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
  if (overlap === 0)
    throw new CommandError(
      'ERR_USAGE',
      'Expected an --overlap above 0 for --seams but received 0: both ways would be one',
    );
  const { Extractor } = await import('../../index.js');
  const { makeSeams } = await import('../view/seams.js');
  const { drawSeams } = await import('../view/seams-picture.js');
  let found: ScaleSeams[] = [];
  await drawing(flags.out, async (onStep) => {
    await using extractor = await Extractor.load(flags.model, options);
    const { scales, view } = await makeSeams(extractor, image, overlap, flags, { signal, onStep });
    found = scales;
    return drawSeams(view);
  });
  process.stdout.write(
    flags.json
      ? `${JSON.stringify({ file: flags.out, scales: found }, undefined, 2)}\n`
      : `${flags.out}\n${seamTable(found)}`,
  );
}

/** Writes what `draw` gives, with its steps on the status line. */
async function drawing(out: string, draw: (onStep: (what: string) => void) => Promise<Buffer>): Promise<void> {
  const status = new StatusLine();
  try {
    status.show('loading the model');
    await writeAtomically(out, async (file) => {
      await file.write(await draw((what) => status.show(what)), 0);
    });
  } finally {
    status.end();
  }
}

function seamTable(scales: readonly ScaleSeams[]): string {
  const rows = scales.flatMap(({ name, ways }) =>
    ways.map(({ overlap, rows, columns: across, seams }) => [
      name,
      overlap === 0 ? 'none' : String(overlap),
      `${across} x ${rows}`,
      seams.across.toFixed(3),
      seams.inside.toFixed(3),
      seams.ratio.toFixed(2),
    ]),
  );
  return columns(['scale', 'overlap', 'tiles', 'across', 'inside', 'ratio'], rows, 3);
}
