// manyscale plan: what an image will cost, and the scales that fit a budget.

import type { Command } from 'commander';
import type { Estimate } from '../../cost/estimate.js';
import type { Size } from '../../geometry/plan.js';
import { DEFAULTS } from '../../options/defaults.js';
import type { Budget } from '../../options/options.js';
import { EXIT } from '../errors.js';
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
import { StatusLine } from '../status.js';
import { columns, facts } from '../table.js';
import { formatAmount, parseBudget, WORDS } from '../units.js';

interface PlanFlags extends ModelFlags, ScaleFlags {
  image: string;
  model: string;
  budget?: Budget;
  json?: boolean;
}

export function addPlan(program: Command, signal: AbortSignal): void {
  const command = program
    .command('plan')
    .summary('predict what an image will cost, and choose the scales that fit a budget')
    .description(
      "Prints an image's scales, tiles, tokens, multiply-adds (counted in the model's graph), memory, and the time that extracting its " +
        'features will take on this machine, predicted from a measurement of a second or two. Decoding is not part of the time.\n\n' +
        'With a budget it chooses the scales that fit and says what it gave up. It wishes for --scales, or else for scales 1, 2 ... up to ' +
        "the image's own resolution, at most 8. The largest scale is given up first. When not even the smallest fits, the exit code is 1.",
    )
    .requiredOption(
      '--image <size or file>',
      'WIDTHxHEIGHT in pixels, as cameras say it (4000x3000), or an image file, of which only the header is used',
    )
    .option(
      '--budget <limit>',
      'a limit on time (200ms, 1.5s), memory (512MiB, 4GB) or multiply-adds (50GMAC); may be given once for each',
      parseBudget,
    )
    .option('--json', 'as JSON on the standard output');
  addScaleOptions(command, DEFAULTS.scales);
  addModelOption(command);
  addReadingOptions(command);
  addCuttingOptions(command);
  addImageOptions(command);
  command
    .addHelpText(
      'after',
      `
Examples:
  What does a photo of 12 megapixels cost at scales 1, 2 and 3?
    $ manyscale plan --image 4000x3000 --scales 1,2,3

  As many scales as 200 ms allow:
    $ manyscale plan --image photo.jpg --budget 200ms

  Your own model, within limits on memory and multiply-adds:
    $ manyscale plan --image 1920x1080 --model vit.onnx --budget 1GiB --budget 50GMAC`,
    )
    .action((flags: PlanFlags) => plan(flags, signal));
}

async function plan(flags: PlanFlags, signal: AbortSignal): Promise<void> {
  const { Extractor } = await import('../../index.js');
  const image = await readSize(flags);
  const { scales, ...grid } = scaleOptions(flags, DEFAULTS.scales);
  // Without scales the library's own wish counts.
  const wish = flags.scales ? { scales: flags.scales, ...grid } : grid;
  const status = new StatusLine();
  let estimate: Estimate;
  let name: string;
  let tile: Size;
  try {
    status.show('loading the model');
    await using extractor = await Extractor.load(flags.model, { ...loadOptions(flags), signal });
    name = extractor.info.model.path ?? flags.model;
    tile = extractor.info.input.tileSize;
    status.show('counting products and measuring the speed');
    estimate = await extractor.estimate(image, { ...wish, signal, ...(flags.budget && { budget: flags.budget }) });
  } finally {
    status.end();
  }
  if (!estimate.fits) process.exitCode = EXIT.failure;
  process.stdout.write(
    flags.json
      ? `${JSON.stringify({ model: name, ...estimate }, undefined, 2)}\n`
      : describe(estimate, name, tile, flags.budget),
  );
}

/** Of the upright image. */
async function readSize({ image, maxPixels, colorProfile }: PlanFlags): Promise<Size> {
  const [, width, height] = /^(\d+)x(\d+)$/i.exec(image) ?? [];
  if (width !== undefined) return { height: Number(height), width: Number(width) };
  const { openImage } = await import('../../images/encoded.js');
  const options = {
    maxPixels: maxPixels ?? DEFAULTS.maxPixels,
    colorProfile: colorProfile ?? DEFAULTS.colorProfile,
  };
  return openImage({ kind: 'file', path: image }, options);
}

const side = ({ height, width }: Size) => `${width} x ${height}`;

function describe(estimate: Estimate, model: string, tile: Size, budget: Budget | undefined): string {
  const { plan: geometry, scales, tiles, tokens, multiplyAdds, milliseconds, bytes, gaveUp, notes } = estimate;
  const products = (value: number | undefined) =>
    value === undefined ? 'unknown' : formatAmount('multiplyAdds', value);
  const time = (value: number) => formatAmount('milliseconds', value);
  const memory = (value: number) => formatAmount('bytes', value);
  const rows = scales.map((scale) => [
    scale.scale === undefined ? '' : String(Number(scale.scale.toFixed(3))),
    side(scale),
    `${scale.columns} x ${scale.rows}`,
    String(scale.tiles),
    String(scale.tokens),
    products(scale.multiplyAdds),
    time(scale.milliseconds),
  ]);
  const total = ['all', '', '', String(tiles), String(tokens), products(multiplyAdds), time(milliseconds)];
  const table = columns(
    ['scale', 'width x height', 'tiles', 'in all', 'tokens', 'multiply-adds', 'time'],
    [...rows, total],
    2,
  );
  const parts: [name: string, value: string][] = [
    ['image', `${memory(bytes.image)}, as RGB`],
    ['tiles', `${memory(bytes.tiles)}, those in work and the features of all`],
    ['features', `${memory(bytes.features)}, ${geometry.dims.join(' x ')}`],
    ...(bytes.model === undefined ? [] : [['model', `${memory(bytes.model)} of weights`] as [string, string]]),
    ...(bytes.activations === undefined
      ? []
      : [['activations', `${memory(bytes.activations)} at least`] as [string, string]]),
    ['all', memory(bytes.total)],
  ];
  return [
    `an image of ${side(geometry.image)} pixels through ${model}, in tiles of ${side(tile)}\n`,
    table,
    'the tokens of all are those of the features; the time of all has that of taking the image, not of decoding it\n',
    `memory\n${facts(parts)}`,
    budget ? `budget\n${facts(limits(estimate, budget))}` : '',
    gaveUp.length > 0 ? `given up\n${gaveUp.map(({ sentence }) => `  ${sentence}\n`).join('')}` : '',
    notes.length > 0 ? `notes\n${notes.map((note) => `  ${note}\n`).join('')}` : '',
  ].join('');
}

function limits({ milliseconds, multiplyAdds, bytes, over }: Estimate, budget: Budget): [string, string][] {
  const has = { milliseconds, multiplyAdds, bytes: bytes.total };
  return (Object.keys(budget) as (keyof Budget)[]).map((limit) => {
    const amount = (value: number | undefined) => formatAmount(limit, value ?? 0);
    const more = over?.[limit];
    const verdict = more === undefined ? 'kept' : `EXCEEDED by ${amount(more)}, even by the least that can be done`;
    return [WORDS[limit], `${amount(has[limit])} of ${amount(budget[limit])}: ${verdict}`];
  });
}
