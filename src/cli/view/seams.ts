// What `manyscale view --seams` compares: the largest scale without overlap and with it.

import { basename } from 'node:path';
import type { Extractor } from '../../extractor.js';
import type { Features } from '../../features.js';
import { distances, measureSeams } from '../../seams.js';
import { CommandError } from '../errors.js';
import { type ColourGrid, colourFeatures } from './colours.js';
import { featureGrid } from './grids.js';
import { type DecodeFlags, decodePhoto, photoOf } from './photo.js';
import type { SeamsView, SeamView } from './seams-picture.js';
import { nameOf } from './view.js';

/** Runs the model over the image's largest scale, twice. */
export async function makeSeams(
  extractor: Extractor,
  path: string,
  overlap: number,
  flags: DecodeFlags,
  signal: AbortSignal,
): Promise<SeamsView> {
  const image = await decodePhoto(path, flags);
  const plan = extractor.plan(image);
  const [largest] = [...plan.scales].sort((a, b) => b.height * b.width - a.height * a.width);
  if (!largest || largest.rows * largest.columns === 1)
    throw new CommandError(
      'ERR_USAGE',
      'Expected a scale of several tiles for --seams but received one tile; take larger --scales',
    );
  // Sizes as they are, so that both ways have one grid: 'keep' would fit them to the tiles, which overlap needs less.
  const options = { imageSizes: [[largest.height, largest.width] as const], resizeOutputToIndex: 0, signal };
  const fit = plan.crop ? 'crop' : 'stretch';
  const ways = [];
  for (const [name, by] of [
    ['without overlap', 0],
    [`overlap ${overlap}`, overlap],
  ] as const) {
    const features = await extractor.extract(image, { ...options, fit, overlap: by });
    const [scale] = features.scales;
    if (!scale) throw new RangeError('features without a scale');
    ways.push({ name, features, scale });
  }
  const { grid } = extractor.info.output;
  const grids = ways.map(({ features }) => featureGrid(features));
  const colours = colourFeatures(grids, grids).alone.grids;
  const differences = paintDifferences(ways.map(({ features }) => features));
  const { model, output } = extractor.info;
  return {
    title: `${basename(path)}: seams`,
    subtitle: `${basename(model.path ?? model.name)}, output ${output.name}, ${nameOf(largest)} (${largest.width} x ${largest.height} pixels)`,
    photo: await photoOf(image, plan, flags.background),
    views: ways.map(
      ({ name, features, scale }, index): SeamView => ({
        name,
        scale: { ...largest, ...scale, name, ...positions(scale, largest) },
        colours: colours[index] as ColourGrid,
        differences: differences[index] as ColourGrid,
        seams: measureSeams(features, grid),
      }),
    ),
  };
}

/** Where as many tiles of one size begin that are spread evenly: near enough for lines. */
function positions(
  { rows, columns }: { rows: number; columns: number },
  { height, width, tileHeight, tileWidth }: { height: number; width: number; tileHeight: number; tileWidth: number },
): { tops?: number[]; lefts?: number[] } {
  const spread = (count: number, side: number, tile: number) =>
    Array.from({ length: count }, (_, index) => (count === 1 ? 0 : (index * (side - tile)) / (count - 1)));
  if (rows * tileHeight === height && columns * tileWidth === width) return {};
  return { tops: spread(rows, height, tileHeight), lefts: spread(columns, width, tileWidth) };
}

/** The 99th part of a hundred that is white; a few cells would else darken all others. */
const BRIGHTEST = 0.99;

function paintDifferences(all: readonly Features[]): ColourGrid[] {
  const maps = all.map((features) => {
    const { height, width } = features.grid;
    const distance = distances(features, features.scales[0]?.channels ?? [0, 0]);
    const values = Float32Array.from({ length: height * width }, (_, cell) => {
      const right = (cell + 1) % width === 0 ? 0 : distance(cell, cell + 1);
      const below = cell + width >= height * width ? 0 : distance(cell, cell + width);
      return Math.max(right, below);
    });
    return { height, width, values };
  });
  const sorted = maps.flatMap(({ values }) => [...values]).sort((a, b) => a - b);
  const most = sorted[Math.floor((sorted.length - 1) * BRIGHTEST)] || 1;
  return maps.map(({ height, width, values }) => {
    const rgb = new Uint8Array(values.length * 3);
    for (const [cell, value] of values.entries())
      rgb.fill(Math.min(255, Math.round((255 * value) / most)), cell * 3, cell * 3 + 3);
    return { height, width, rgb };
  });
}
