// manyscale view: a picture of what the model sees at each scale and what it makes of it.

import { extname } from 'node:path';
import type { Command } from 'commander';
import { CommandError } from '../errors.js';
import { writeAtomically } from '../files.js';
import {
  addImageOptions,
  addModelOption,
  addReadingOptions,
  addScaleOptions,
  loadOptions,
  type ModelFlags,
  type ScaleFlags,
  scaleOptions,
} from '../options.js';

interface ViewFlags extends ModelFlags, ScaleFlags {
  out: string;
  model: string;
}

// More than the library's default, so that the picture shows what larger scales add.
const SCALES = [1, 2, 3];

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
    .requiredOption('-o, --out <file>', 'where to write: .png');
  addScaleOptions(command, SCALES);
  addModelOption(command);
  addReadingOptions(command);
  addImageOptions(command);
  command
    .addHelpText(
      'after',
      `
Examples:
  Scales 1, 2 and 3 with the embedded model:
    $ manyscale view photo.jpg -o view.png

  What scale 4 would add to scale 1 with your own model:
    $ manyscale view photo.jpg --model vit.onnx --scales 1,4 -o view.png`,
    )
    .action((image: string, flags: ViewFlags) => view(image, flags, signal));
}

async function view(image: string, flags: ViewFlags, signal: AbortSignal): Promise<void> {
  if (extname(flags.out).toLowerCase() !== '.png') {
    throw new CommandError('ERR_USAGE', `Expected a file that ends in .png for --out but received '${flags.out}'`);
  }
  const { Extractor } = await import('../../index.js');
  const { makeView } = await import('../view/view.js');
  const { drawView } = await import('../view/picture.js');
  const options = scaleOptions(flags, SCALES);
  await using extractor = await Extractor.load(flags.model, { ...loadOptions(flags), ...options, signal });
  await writeAtomically(flags.out, async (file) => {
    await file.write(await drawView(await makeView(extractor, image, flags, signal)), 0);
  });
  process.stdout.write(`${flags.out}\n`);
}
