// Options that several commands take, and how their texts become values. What the values may be is checked by the library;
// here only what a text can mean.

import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseSides } from '../geometry/sides.js';
import { defaultModel } from '../model/default-model.js';
import { BLENDS, DEFAULTS, DEVICES, FITS, PRESETS, PROVIDERS, RESIZE_MODES, UNEVEN } from '../options/defaults.js';
import type { Provider } from '../options/gpu.js';
import type {
  Blend,
  Device,
  ExtractorOptions,
  Fit,
  Layout,
  Preset,
  ResizeMode,
  ScaleOptions,
  SideLengths,
  Uneven,
} from '../options/options.js';

/** '1,2,3' */
export function parseNumbers(text: string): number[] {
  return text.split(',').map((part) => parseNumber(part));
}

function parseNumber(text: string): number {
  // Number('') is 0 and Number('0x10') is 16: neither is meant.
  if (!/^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i.test(text))
    throw new InvalidArgumentError(`'${text}' is not a number.`);
  return Number(text);
}

function parseInteger(text: string): number {
  if (!/^[+-]?\d+$/.test(text)) throw new InvalidArgumentError(`'${text}' is not a whole number.`);
  return Number(text);
}

/** '224' or '336x448', height first. */
function parseSize(text: string): SideLengths {
  const sides = parseSides(text);
  if (sides === undefined)
    throw new InvalidArgumentError(`'${text}' is not a size: write 224 for a square, 336x448 for height x width.`);
  return sides;
}

/** '224,448' or '336x448,672x896' */
export function parseSizes(text: string): SideLengths[] {
  return text.split(',').map(parseSize);
}

/** 'feat_s16,feat_s32' */
function parseNames(text: string): string[] {
  return text.split(',').map((name) => name.trim());
}

/** What commander makes of the options below. */
export interface ModelFlags {
  output?: string[];
  tileSize?: SideLengths;
  patchSize?: number;
  prefixTokens?: number;
  fit?: Fit;
  uneven?: Uneven;
  overlap?: number;
  blend?: Blend;
  preset?: Preset;
  maxTiles?: number;
  dropPrefixTokens?: boolean;
  resize?: ResizeMode;
  mean?: number[];
  std?: number[];
  rescale?: number;
  channelOrder?: 'rgb' | 'bgr';
  background?: number[];
  colorProfile?: 'ignore' | 'convert';
  maxPixels?: number;
  threads?: number;
  runtimeLibrary?: string;
  configuration?: string | false;
  device?: Device;
  provider?: Provider;
  devices?: number[];
  strict?: boolean;
  fp16?: boolean;
}

/** Which model. */
export function addModelOption(command: Command): Command {
  return command
    .optionsGroup('Model:')
    .addOption(
      new Option('-m, --model <path>', 'an ONNX vision model').default(defaultModel, 'the embedded MobileNetV3'),
    );
}

/** How the model is to be read. */
export function addReadingOptions(command: Command): Command {
  return command
    .optionsGroup('Model:')
    .option(
      '--output <names>',
      "which of the model's outputs, several joined: a,b (default: the first with a place for every cell; see 'manyscale inspect')",
      parseNames,
    )
    .option(
      '--tile-size <size>',
      "the model's input size, if it leaves it open: 224, or 336x448 for height x width",
      parseSize,
    )
    .option('--patch-size <pixels>', 'side of a patch, if tokens fit several grids', parseInteger)
    .option(
      '--prefix-tokens <n>',
      'tokens that belong to no place, such as CLS (default: found from the model)',
      parseInteger,
    )
    .option(
      '--configuration <folder>',
      "of preprocessor_config.json and config.json (default: the model's, or the one above if that is named onnx)",
    )
    .option('--no-configuration', 'do not look for them')
    .option(
      '--runtime-library <path>',
      "a libonnxruntime (default: MANYSCALE_RUNTIME_LIBRARY, else onnxruntime-node's)",
    )
    .option(
      '--threads <n>',
      'batches that run through the model at once (default: one per processor core)',
      parseInteger,
    );
}

/** What computes. */
export function addDeviceOptions(command: Command): Command {
  return command
    .optionsGroup('Device:')
    .addOption(
      new Option(
        '--device <name>',
        'auto: the best that works; tensorrt builds its engine first where there is none, in minutes',
      )
        .choices([...DEVICES])
        .default(undefined, DEFAULTS.device),
    )
    .addOption(
      new Option('--provider <name>', 'with --device cuda: what ONNX Runtime computes on (default: the best)').choices([
        ...PROVIDERS,
      ]),
    )
    .option('--devices <list>', 'GPUs to use side by side: 0,1 (default: 0)', parseNumbers)
    .option('--strict', 'refuse to fall back to another device')
    .option('--fp16', 'with TensorRT: compute in float16');
}

/** How pixels become the model's input. */
export function addImageOptions(command: Command): Command {
  return command
    .optionsGroup('Image:')
    .addOption(new Option('--resize <mode>', "how to resize (default: the model's own)").choices([...RESIZE_MODES]))
    .option(
      '--mean <list>',
      "subtracted after rescaling, one number per channel (default: the model's own)",
      parseNumbers,
    )
    .option('--std <list>', "divisors after that, one number per channel (default: the model's own)", parseNumbers)
    .option('--rescale <factor>', "multiplies pixels of 0 to 255 (default: the model's own)", parseNumber)
    .addOption(
      new Option('--channel-order <order>', "of the model's input (default: the model's own)").choices(['rgb', 'bgr']),
    )
    .option(
      '--background <r,g,b>',
      `under transparent pixels (default: ${DEFAULTS.background.join(',')})`,
      parseNumbers,
    )
    .addOption(
      new Option('--color-profile <what>', `embedded colour profiles (default: ${DEFAULTS.colorProfile})`).choices([
        'ignore',
        'convert',
      ]),
    )
    .option('--max-pixels <n>', `refuse larger images (default: ${DEFAULTS.maxPixels})`, parseInteger);
}

/** An overlap, in pixels or as a part of the tile: '32', '0.25' or '25%'. */
function parseOverlap(text: string): number {
  const [, percent] = /^\s*(\d+\.?\d*)%\s*$/.exec(text) ?? [];
  if (percent === undefined) return parseNumber(text);
  const part = Number(percent) / 100;
  // The library would take it for pixels.
  if (part >= 1) throw new InvalidArgumentError(`'${text}' is not less than a tile.`);
  return part;
}

/** How images become tiles. */
export function addCuttingOptions(command: Command): Command {
  return command
    .optionsGroup('Cutting:')
    .addOption(
      new Option(
        '--fit <how>',
        "stretch: the whole image, aspect ratio ignored; crop: its largest centred part of the right aspect; keep: the image's own aspect",
      )
        .choices([...FITS])
        .default(undefined, "the model's own, else stretch"),
    )
    .addOption(
      new Option(
        '--uneven <what>',
        'where tiles do not fill a scale: refuse, resize it or pad it (default: refuse; with --fit keep: resize)',
      ).choices([...UNEVEN]),
    )
    .option(
      '--overlap <how much>',
      'of neighbouring tiles, at least: pixels, or a part of the tile: 32, 0.25, 25%',
      parseOverlap,
    )
    .addOption(new Option('--blend <how>', 'how overlapping tiles share a cell (default: linear)').choices([...BLENDS]))
    .addOption(
      new Option('--preset <name>', 'cut as known systems do, instead of the four options above').choices([...PRESETS]),
    )
    .option('--max-tiles <n>', 'with a preset: tiles of the scale that follows the aspect ratio, at most', parseInteger)
    .option('--drop-prefix-tokens', 'leave CLS and register tokens out of the features');
}

/** What Extractor.load takes, of the flags that are given. */
export function loadOptions(flags: ModelFlags): ExtractorOptions {
  const preprocess = {
    ...(flags.resize !== undefined && { resize: flags.resize }),
    ...(flags.mean !== undefined && { mean: flags.mean }),
    ...(flags.std !== undefined && { std: flags.std }),
    ...(flags.rescale !== undefined && { rescale: flags.rescale }),
    ...(flags.channelOrder !== undefined && { channelOrder: flags.channelOrder }),
  };
  return {
    preprocess,
    ...(flags.output !== undefined && { output: flags.output }),
    ...(flags.tileSize !== undefined && { tileSize: flags.tileSize }),
    ...(flags.patchSize !== undefined && { patchSize: flags.patchSize }),
    ...(flags.prefixTokens !== undefined && { numPrefixTokens: flags.prefixTokens }),
    ...(flags.fit !== undefined && { fit: flags.fit }),
    ...(flags.uneven !== undefined && { uneven: flags.uneven }),
    ...(flags.overlap !== undefined && { overlap: flags.overlap }),
    ...(flags.blend !== undefined && { blend: flags.blend }),
    ...(flags.preset !== undefined && { preset: flags.preset }),
    ...(flags.maxTiles !== undefined && { maxTiles: flags.maxTiles }),
    ...(flags.dropPrefixTokens !== undefined && { dropPrefixTokens: flags.dropPrefixTokens }),
    // The library says what is wrong with a list of another length.
    ...(flags.background !== undefined && {
      background: flags.background as [red: number, green: number, blue: number],
    }),
    ...(flags.colorProfile !== undefined && { colorProfile: flags.colorProfile }),
    ...(flags.maxPixels !== undefined && { maxPixels: flags.maxPixels }),
    ...(flags.threads !== undefined && { threads: flags.threads }),
    ...(flags.configuration !== undefined && { configuration: flags.configuration }),
    ...(flags.device !== undefined && { device: flags.device }),
    ...(flags.provider !== undefined && { provider: flags.provider }),
    ...(flags.devices !== undefined && { devices: flags.devices }),
    ...(flags.strict !== undefined && { strict: flags.strict }),
    ...(flags.fp16 !== undefined && { tensorrt: { fp16: flags.fp16 } }),
    ...(flags.runtimeLibrary !== undefined && { runtimeLibrary: resolve(flags.runtimeLibrary) }),
  };
}

export interface ScaleFlags {
  /** It has scales of its own. */
  preset?: Preset;
  scales?: number[];
  imageSizes?: SideLengths[];
  resizeOutputToIndex?: number;
  outputShape?: Layout;
}

/** Which scales, and the grid of the result. `defaults`: what is used when neither scales nor sizes are given. */
export function addScaleOptions(command: Command, defaults: readonly number[]): Command {
  return command
    .optionsGroup('Scales:')
    .option('-s, --scales <list>', `relative to the model's tile size (default: ${defaults.join(',')})`, parseNumbers)
    .addOption(
      new Option(
        '--image-sizes <list>',
        'instead of scales: sizes in pixels, 224,448 or 336x448,672x896 (height x width)',
      )
        .argParser(parseSizes)
        .conflicts('scales'),
    )
    .option(
      '--resize-output-to-index <n>',
      `whose grid the result has: 0 the first scale, -1 the last (default: ${DEFAULTS.resizeOutputToIndex})`,
      parseInteger,
    );
}

export function scaleOptions(flags: ScaleFlags, defaults: readonly number[]): ScaleOptions {
  return {
    ...(flags.imageSizes && { imageSizes: flags.imageSizes }),
    ...(flags.scales && { scales: flags.scales }),
    ...(!flags.imageSizes && !flags.scales && flags.preset === undefined && { scales: defaults }),
    ...(flags.resizeOutputToIndex !== undefined && { resizeOutputToIndex: flags.resizeOutputToIndex }),
    ...(flags.outputShape !== undefined && { outputShape: flags.outputShape }),
  };
}
