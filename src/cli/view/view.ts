// What the picture shows: the photo's pixels, and the features of each scale alone and of all joined.

import { basename } from 'node:path';
import sharp from 'sharp';
import type { Extractor } from '../../extractor.js';
import type { Features } from '../../features.js';
import type { ExtractorPlan } from '../../geometry/geometry.js';
import type { Crop, PlanScale } from '../../geometry/plan.js';
import { decodeImage, planDecoding } from '../../images/decode.js';
import { openImage, ownSource } from '../../images/encoded.js';
import { recogniseImage } from '../../images/image.js';
import type { NativeImage } from '../../native/addon.js';
import { DEFAULTS } from '../../options/defaults.js';
import { colourFeatures, type FeatureGrid } from './colours.js';
import type { Photo, View } from './picture.js';

/** How the image file is decoded. */
export interface DecodeFlags {
  maxPixels?: number;
  colorProfile?: 'ignore' | 'convert';
  background?: number[];
}

/** Runs the model over the image and colours what it gives. */
export async function makeView(
  extractor: Extractor,
  path: string,
  flags: DecodeFlags,
  signal: AbortSignal,
): Promise<View> {
  const source = recogniseImage(path);
  if (source.kind === 'pixels') throw new TypeError('a path is not pixels');
  const started = performance.now();
  const { maxPixels = DEFAULTS.maxPixels, colorProfile = DEFAULTS.colorProfile } = flags;
  const opened = await openImage(await ownSource(source), { maxPixels, colorProfile });
  const pixels = await decodeImage(opened, planDecoding(opened));
  const image = {
    data: pixels.data as Uint8Array,
    height: pixels.height,
    width: pixels.width,
    channels: pixels.channels as 1 | 3 | 4,
  };
  const plan = extractor.plan(image);
  const decoding = performance.now() - started;

  // Each scale alone keeps its own grid.
  const alone: Features[] = [];
  for (const { height, width } of plan.scales) {
    alone.push(await extractor.extract(image, { imageSizes: [[height, width]], resizeOutputToIndex: 0, signal }));
  }
  // After the others, so that the time told is not that of a first run.
  const joined = await extractor.extract(image, { signal });
  const milliseconds = decoding + joined.timings.total;
  const finest = indexOfFinest(alone);
  const all = [joined];
  if (finest !== plan.outputIndex) all.push(await extractor.extract(image, { resizeOutputToIndex: finest, signal }));

  const colours = colourFeatures(alone.map(featureGrid), all.map(featureGrid));
  const { model, output } = extractor.info;
  const tiles = plan.scales.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
  const names = plan.scales.map(nameOf);
  const channels = { alone: channelsOf(alone[0] as Features), joined: channelsOf(joined) };
  return {
    title: basename(path),
    subtitle:
      `${basename(model.path ?? model.name)}, output ${output.name}: ` +
      `${tiles} tile${tiles === 1 ? '' : 's'}, ${Math.round(milliseconds)} ms from file to features`,
    photo: await photoOf(pixels, plan, flags.background ?? DEFAULTS.background),
    scales: plan.scales.map((scale, index) => ({ ...scale, name: names[index] as string })),
    alone: colours.alone,
    ...(plan.scales.length > 1 && { joined: colours.joined }),
    joinedNames: [plan.outputIndex, finest].map((index) => `joined, grid of ${names[index]}`),
    channels,
  };
}

function indexOfFinest(features: readonly Features[]): number {
  const cells = features.map(({ grid }) => grid.height * grid.width);
  return cells.indexOf(Math.max(...cells));
}

function nameOf({ height, width, tileHeight, tileWidth }: PlanScale): string {
  const scale = height / tileHeight;
  return scale === width / tileWidth ? `scale ${scale}` : `${width} x ${height}`;
}

function channelsOf({ scales }: Features): number {
  return Math.max(...scales.map(({ channels: [, to] }) => to));
}

/** The cells' features, without what belongs to no place. */
function featureGrid(features: Features): FeatureGrid {
  const { tensor, grid, numPrefixTokens } = features;
  const { height, width } = grid;
  const rows = height * width;
  const channels = channelsOf(features);
  const data = tensor.data as Float32Array;
  if (tensor.dims.length === 2)
    return { data: data.subarray(numPrefixTokens * channels), rows, channels, height, width };
  const cells = new Float32Array(data.length);
  for (let c = 0; c < channels; c++) {
    for (let cell = 0; cell < rows; cell++) cells[cell * channels + c] = data[c * rows + cell] as number;
  }
  return { data: cells, rows, channels, height, width };
}

/** The part of the image that the scales cover, as red, green and blue. */
async function photoOf(image: NativeImage, plan: ExtractorPlan, background: readonly number[]): Promise<Photo> {
  const { top, left, height, width }: Crop = plan.crop ?? { top: 0, left: 0, height: image.height, width: image.width };
  const [r = 0, g = 0, b = 0] = background;
  const raw = { height: image.height, width: image.width, channels: image.channels as 1 | 3 | 4 };
  const data = await sharp(image.data, { raw, limitInputPixels: false })
    .extract({ left, top, width, height })
    .flatten({ background: { r, g, b } })
    .toColourspace('srgb')
    .raw()
    .toBuffer();
  return { data, height, width };
}
