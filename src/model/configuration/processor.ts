// preprocessor_config.json: how the images that a model was trained with were made.

import { showSides } from '../../geometry/sides.js';
import type { NativeSize } from '../../native/addon.js';
import { DEFAULTS } from '../../options/defaults.js';
import type { Preprocess, ResizeMode } from '../../options/options.js';
import { type Family, findFamily } from './families.js';
import type { Fields, WrittenSize } from './fields.js';

export interface ProcessorConfiguration {
  /** As the file has it. */
  type?: string;
  tileSize?: NativeSize;
  fit?: 'stretch' | 'crop';
  preprocess: Preprocess;
  notes: string[];
}

/** By Pillow's numbers; of 0 (nearest) and 5 (Hamming) there is no mode. */
const PILLOW_MODES: Readonly<Record<number, ResizeMode>> = {
  1: 'pillow-lanczos',
  2: 'pillow-bilinear',
  3: 'pillow-bicubic',
  4: 'pillow-box',
};
const TENSOR_MODES: Readonly<Record<number, ResizeMode>> = {
  2: 'torch-bilinear-antialias',
  3: 'torch-bicubic-antialias',
};

/** @throws {ManyscaleError} ERR_MODEL_LOAD for values that an image processor cannot have, or that have no equivalent. */
export function readProcessor(fields: Fields): ProcessorConfiguration {
  const type = fields.text('image_processor_type') ?? fields.text('feature_extractor_type');
  const family = type === undefined ? undefined : findFamily(type);
  const notes: string[] = [];
  if (!family) {
    const who = type === undefined ? 'names no image_processor_type' : `is of ${type}, which is not known`;
    notes.push(`${fields.name} ${who}: what it leaves out has manyscale's defaults.`);
  }
  return {
    ...(type !== undefined && { type }),
    preprocess: readPreprocess(fields, family),
    ...readGeometry(fields, family, notes),
    notes,
  };
}

function readPreprocess(fields: Fields, family: Family | undefined): Preprocess {
  const preprocess: Preprocess = {};
  const normalise = fields.boolean('do_normalize');
  const mean = fields.colours('image_mean', 'preprocess.mean') ?? family?.mean;
  const std = fields.colours('image_std', 'preprocess.std') ?? family?.std;
  if (std?.includes(0)) throw fields.refuse('image_std', '3 numbers other than 0', std, 'preprocess.std');
  if (normalise === false) {
    preprocess.mean = DEFAULTS.mean;
    preprocess.std = DEFAULTS.std;
  } else {
    if (mean) preprocess.mean = mean;
    if (std) preprocess.std = std;
  }
  const rescales = fields.boolean('do_rescale');
  const factor = fields.number('rescale_factor', 'preprocess.rescale') ?? (family && DEFAULTS.rescale);
  if (rescales === false) preprocess.rescale = 1;
  else if (factor !== undefined) preprocess.rescale = factor;
  const resize = readMode(fields, family);
  if (resize) preprocess.resize = resize;
  if (fields.boolean('do_flip_channel_order')) preprocess.channelOrder = 'bgr';
  return preprocess;
}

function readMode(fields: Fields, family: Family | undefined): ResizeMode | undefined {
  const option = 'preprocess.resize';
  const number = fields.number('resample', option) ?? family?.resample;
  if (number === undefined) return undefined;
  const mode = (family?.isTensor ? TENSOR_MODES[number] : undefined) ?? PILLOW_MODES[number];
  if (mode) return mode;
  throw fields.refuse(
    'resample',
    '1 (Lanczos), 2 (bilinear), 3 (bicubic) or 4 (box); others are not available,',
    number,
    option,
  );
}

/** The tile size and the fit. */
function readGeometry(
  fields: Fields,
  family: Family | undefined,
  notes: string[],
): Pick<ProcessorConfiguration, 'tileSize' | 'fit'> {
  const { name } = fields;
  const resizes = fields.boolean('do_resize') ?? true;
  if (!resizes)
    notes.push(`${name} leaves images at their size (do_resize: false): manyscale resizes them to its scales.`);
  const written = knownSize(fields, 'size', notes);
  const size = resizes ? (written ?? square(family?.size)) : undefined;
  const cropSize = knownSize(fields, 'crop_size', notes) ?? square(family?.crop);
  const crops = fields.boolean('do_center_crop') ?? (family && family.crop !== undefined);
  const portion = readPortion(fields) ?? family?.cropBelow?.portion;

  if (family?.cropBelow && size && crops !== true) {
    const isCut = size.height < family.cropBelow.size;
    if (isCut && portion !== undefined && portion < 1)
      notes.push(
        `${name} uses the middle ${percent(portion)} of an image's shorter side (crop_pct): fit 'crop' uses all of it.`,
      );
    return { tileSize: bare(size), fit: isCut ? 'crop' : 'stretch' };
  }
  if (!crops) {
    if (size?.isShortestEdge)
      notes.push(`${name} keeps the aspect ratio and crops nothing (shortest_edge): tiles are ${showSides(size)}.`);
    return { ...(size && { tileSize: bare(size) }), ...(crops === false && { fit: 'stretch' }) };
  }
  const tile = cropSize ?? size;
  if (tile && size && (tile.height < size.height || tile.width < size.width))
    notes.push(
      `${name} resizes to ${showSides(size)} and uses the middle ${showSides(tile)}: fit 'crop' uses the margin too.`,
    );
  return { ...(tile && { tileSize: bare(tile) }), fit: 'crop' };
}

function knownSize(fields: Fields, key: string, notes: string[]): WrittenSize | undefined {
  const size = fields.size(key);
  if (size !== 'unknown') return size;
  notes.push(`${fields.name} has a ${key} that is no height and width: it is not used.`);
  return undefined;
}

function readPortion(fields: Fields): number | undefined {
  const portion = fields.number('crop_pct');
  if (portion !== undefined && portion <= 0) throw fields.refuse('crop_pct', 'a number above 0', portion);
  return portion;
}

function square(side: number | undefined): WrittenSize | undefined {
  return side === undefined ? undefined : { height: side, width: side, isShortestEdge: false };
}

function bare({ height, width }: NativeSize): NativeSize {
  return { height, width };
}

function percent(portion: number): string {
  return `${Number((100 * portion).toFixed(1))} %`;
}
