// manyscale quantize: a model with int8 weights and int8 products, and what that gains and costs.

import { extname, resolve } from 'node:path';
import type { Command } from 'commander';
import { DEFAULTS } from '../../options/defaults.js';
import type { ScaleSimilarity, Speeds } from '../../quantize/measure.js';
import type { LayerCounts } from '../../quantize/quantize.js';
import { CommandError } from '../errors.js';
import { writeAtomically } from '../files.js';
import {
  addCuttingOptions,
  addImageOptions,
  addReadingOptions,
  addScaleOptions,
  loadOptions,
  type ModelFlags,
  type ScaleFlags,
  scaleOptions,
} from '../options.js';
import { StatusLine } from '../status.js';
import { facts } from '../table.js';

interface QuantizeFlags extends ModelFlags, ScaleFlags {
  out: string;
  images?: string[];
  calibrate?: boolean;
  json?: boolean;
}

export function addQuantize(program: Command, signal: AbortSignal): void {
  const command = program
    .command('quantize')
    .summary('write a smaller, faster model with int8 weights, and measure what it gains and costs')
    .description(
      'Turns products of activations and constant matrices (MatMul, Gemm) into int8: weights with a scale per output channel, activations ' +
        'with a scale per token, found as the model runs, so that an image never depends on the others of its batch. Convolutions and all ' +
        'else stay float32. Reports sizes, the speed of both models, measured side by side, and how alike their features are.',
    )
    .argument('<model>', 'an ONNX vision model')
    .requiredOption('-o, --out <file>', 'where to write: .onnx; replaced only when all is done')
    .option('--images <file...>', 'measure likeness on these images (default: noise, which says little about photos)')
    .option(
      '--calibrate',
      'find fixed ranges for activations on these images: faster still, as good as they are typical',
    )
    .option('--json', 'the report as JSON on the standard output');
  addScaleOptions(command, DEFAULTS.scales);
  addReadingOptions(command);
  addCuttingOptions(command);
  addImageOptions(command);
  command
    .addHelpText(
      'after',
      `
Examples:
  Without images at hand:
    $ manyscale quantize vit.onnx -o vit-int8.onnx

  How like the original are its features on your photos, at your scales?
    $ manyscale quantize vit.onnx -o vit-int8.onnx --images photos/*.jpg --scales 1,2,3

  The fastest, with ranges from photos like those that it will see:
    $ manyscale quantize vit.onnx -o vit-int8.onnx --images photos/*.jpg --calibrate`,
    )
    .action((model: string, flags: QuantizeFlags) => quantize(model, flags, signal));
}

/** What the command prints, as --json has it. */
interface Report {
  file: string;
  model: string;
  megabytes: { float32: number; int8: number };
  /** How many layers are computed how. */
  layers: LayerCounts;
  tilesPerSecond: Speeds;
  /** Of the images that the likeness was measured on; empty: noise. */
  images: string[];
  scales: ScaleSimilarity[];
}

function check(model: string, { out, images, calibrate }: QuantizeFlags): void {
  if (extname(out).toLowerCase() !== '.onnx')
    throw new CommandError('ERR_USAGE', `Expected a file that ends in .onnx for --out but received '${out}'`);
  if (resolve(out) === resolve(model))
    throw new CommandError('ERR_USAGE', `Expected another file than the model itself for --out but received '${out}'`);
  if (calibrate && !images)
    throw new CommandError(
      'ERR_USAGE',
      'Expected --images for --calibrate but received none; name photos like those of use',
    );
}

async function quantize(path: string, flags: QuantizeFlags, signal: AbortSignal): Promise<void> {
  check(path, flags);
  const { Extractor } = await import('../../index.js');
  const { metadataOf } = await import('../../model/info.js');
  const { addMetadata } = await import('../../onnx/build.js');
  const { readModel, wholeModel } = await import('../../onnx/file.js');
  const { calibrate } = await import('../../quantize/calibrate.js');
  const { noiseImage } = await import('../../images/noise.js');
  const { compareFeatures, measureSpeed } = await import('../../quantize/measure.js');
  const { quantizableLayers, quantizeLayers, rowSchemes } = await import('../../quantize/quantize.js');
  const { out, images = [] } = flags;
  const load = loadOptions(flags);
  const scale = scaleOptions(flags, DEFAULTS.scales);
  const status = new StatusLine();
  const counting = (what: string, total: number) => {
    let done = 0;
    const show = () => status.show(`${what} ${Math.min(done + 1, total)}/${total}`);
    show();
    return () => {
      done++;
      show();
    };
  };

  const report = await writeAtomically(out, async (file): Promise<Report> => {
    try {
      status.show(`reading ${path}`);
      await using float32 = await Extractor.load(path, { ...load, ...scale, signal });
      const { model, bytes: before } = await readModel(path);
      const layers = quantizableLayers(model);
      // The copies are loaded from their bytes, and the result may go to another folder than the configuration files.
      addMetadata(model, metadataOf(float32.info));
      const schemes = flags.calibrate
        ? await calibrate(
            model,
            layers,
            float32,
            images,
            { load, scale, signal },
            counting('calibrating on image', images.length),
          )
        : rowSchemes(layers);
      status.show(`quantizing ${layers.length} layers`);
      const counts = quantizeLayers(model, layers, schemes);
      const bytes = wholeModel(model);
      await using int8 = await Extractor.load(bytes, { ...load, ...scale, signal });
      const tilesPerSecond = await measureSpeed({ float32, int8 }, signal, (done, rounds) =>
        status.show(`measuring speed, round ${done}/${rounds}`),
      );
      const inputs = images.length > 0 ? images : [noiseImage(float32.info.input.tileSize)];
      const compared = counting('comparing features of image', inputs.length);
      const scales = await compareFeatures(float32, int8, inputs, { ...scale, signal }, compared);
      await file.write(bytes, 0);
      const megabytes = { float32: before / 1e6, int8: bytes.length / 1e6 };
      return { file: out, model: resolve(path), megabytes, layers: counts, tilesPerSecond, images, scales };
    } finally {
      status.end();
    }
  });
  process.stdout.write(flags.json ? `${JSON.stringify(report, undefined, 2)}\n` : describe(report));
}

function describe({ file, megabytes, layers, tilesPerSecond, images, scales }: Report): string {
  const ratio = tilesPerSecond.int8 / tilesPerSecond.float32;
  const kinds: [count: number, what: string][] = [
    [layers.row, 'int8 by row'],
    [layers.static, 'int8 by fixed ranges'],
    [layers.float32, 'float32, where int8 would lose too much'],
  ];
  const on =
    images.length === 0
      ? 'noise (give --images for photos)'
      : `${images.length} image${images.length === 1 ? '' : 's'}`;
  return `${file}\n${facts([
    ['size', `${megabytes.float32.toFixed(1)} -> ${megabytes.int8.toFixed(1)} MB`],
    ['layers', kinds.flatMap(([count, what]) => (count > 0 ? [`${count} ${what}`] : [])).join(', ')],
    [
      'speed',
      `${tilesPerSecond.float32.toFixed(1)} -> ${tilesPerSecond.int8.toFixed(1)} tiles/s on this machine, ${ratio.toFixed(2)} times as fast`,
    ],
  ])}cosine similarity of features to float32, on ${on}\n${facts(
    scales.map(({ height, width, cosine, lowest }) => [
      `${width} x ${height}`,
      `${cosine.toFixed(5)} (least alike cell: ${lowest.toFixed(5)})`,
    ]),
  )}`;
}
