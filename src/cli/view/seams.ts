// What `manyscale view --seams` compares: each scale of several tiles without overlap and with it.

import { basename } from 'node:path';
import type { Extractor } from '../../extractor.js';
import type { Features } from '../../features.js';
import type { PlanScale, Size } from '../../geometry/plan.js';
import { distances, measureSeams, type Seams } from '../../seams.js';
import { CommandError } from '../errors.js';
import { type ColourGrid, colourFeatures } from './colours.js';
import { featureGrid } from './grids.js';
import { nameOf, resizedSize, viewOf } from './page.js';
import { type DecodeFlags, decodePhoto, photoOf } from './photo.js';
import type { SeamsView, SeamView } from './seams-picture.js';

/** One scale, cut in one way. */
export interface SeamWay {
  /** 0: tiles that touch. */
  overlap: number;
  rows: number;
  columns: number;
  seams: Seams;
}

export interface ScaleSeams extends Size {
  name: string;
  ways: SeamWay[];
}

interface Cut extends SeamWay {
  features: Features;
}

/** Runs the model over each of the image's scales twice; the picture has the largest. `onStep` is called with what is going on. */
export async function makeSeams(
  extractor: Extractor,
  path: string,
  overlap: number,
  flags: DecodeFlags,
  { signal, onStep }: { signal: AbortSignal; onStep: (what: string) => void },
): Promise<{ scales: ScaleSeams[]; view: SeamsView }> {
  onStep(`decoding ${basename(path)}`);
  const image = await decodePhoto(path, flags);
  const plan = extractor.plan(image);
  const planned = plan.scales.filter(({ rows, columns }) => rows * columns > 1);
  const { grid: tile } = extractor.info.output;
  const fit = plan.crop ? 'crop' : 'stretch';
  let runs = 0;
  const cutBy = async (scale: PlanScale, by: number): Promise<Cut> => {
    onStep(`extracting features, run ${++runs}/${2 * planned.length}`);
    // Sizes as they are, so that both ways have one grid: 'keep' would fit them to the tiles, which overlap needs less.
    const { height, width } = resizedSize(scale);
    const features = await extractor.extract(image, { imageSizes: [[height, width]], fit, overlap: by, signal });
    const [{ rows, columns } = scale] = features.scales;
    return { overlap: by, rows, columns, features, seams: measureSeams(features, tile) };
  };
  const found = [];
  for (const scale of planned) found.push({ scale, cuts: [await cutBy(scale, 0), await cutBy(scale, overlap)] });
  const [largest] = [...found].sort((a, b) => b.scale.height * b.scale.width - a.scale.height * a.scale.width);
  if (!largest)
    throw new CommandError(
      'ERR_USAGE',
      'Expected a scale of several tiles for --seams but received scales of one tile; take larger --scales',
    );
  onStep('drawing');
  const { model, outputsInUse } = extractor.info;
  const { height, width } = resizedSize(largest.scale);
  const [name, size] = [nameOf(largest.scale), `${width} x ${height}`];
  return {
    scales: found.map(({ scale, cuts }) => ({
      name: nameOf(scale),
      ...resizedSize(scale),
      ways: cuts.map(({ features: _, ...way }) => way),
    })),
    view: {
      title: `${basename(path)}: seams`,
      subtitle:
        `${basename(model.path ?? model.name)}, output ${outputsInUse.map((output) => output.name).join(', ')}, ` +
        `${name === size ? size : `${name}, ${size}`} pixels`,
      photo: await photoOf(image, plan, flags.background),
      views: viewsOf(largest.scale, largest.cuts, tile),
    },
  };
}

function viewsOf(scale: PlanScale, cuts: readonly Cut[], tile: Size): SeamView[] {
  const grids = cuts.map(({ features }) => featureGrid(features));
  const colours = colourFeatures(grids, grids).alone.grids;
  const differences = paintDifferences(cuts.map(({ features }) => features));
  return cuts.map(({ overlap, features, seams }, index) => {
    const name = nameOfWay(overlap);
    const cut = { ...scale, ...features.scales[0] };
    return {
      name,
      scale: { ...viewOf({ ...cut, ...positions(cut) }, features.grid, tile), name },
      colours: colours[index] as ColourGrid,
      differences: differences[index] as ColourGrid,
      seams,
    };
  });
}

function nameOfWay(overlap: number): string {
  return overlap === 0 ? 'without overlap' : `overlap ${overlap}`;
}

/** Where as many tiles of one size begin that are spread evenly: near enough for lines. */
function positions({ rows, columns, height, width, tileHeight, tileWidth }: PlanScale): {
  tops?: number[];
  lefts?: number[];
} {
  const spread = (count: number, side: number, tile: number) =>
    Array.from({ length: count }, (_, index) => (count === 1 ? 0 : (index * (side - tile)) / (count - 1)));
  if (rows * tileHeight === height && columns * tileWidth === width) return {};
  return { tops: spread(rows, height, tileHeight), lefts: spread(columns, width, tileWidth) };
}

/** This part of the differences spreads over all levels; a few extreme cells would else darken all others. */
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
  const sorted = Float32Array.from(maps.flatMap(({ values }) => [...values])).sort();
  const most = sorted[Math.floor((sorted.length - 1) * BRIGHTEST)] || 1;
  return maps.map(({ height, width, values }) => {
    const rgb = new Uint8Array(values.length * 3);
    for (const [cell, value] of values.entries()) {
      // The root, so that faint lines in the sky show beside the edges of things.
      const level = Math.sqrt(Math.min(1, value / most));
      rgb.fill(Math.round(255 * level), cell * 3, cell * 3 + 3);
    }
    return { height, width, rgb };
  });
}
