// What the picture shows: the photo's pixels, and the features of each scale alone and of all joined.

import { basename } from 'node:path';
import type { Extractor } from '../../extractor.js';
import type { Features } from '../../features.js';
import type { ExtractorPlan } from '../../geometry/geometry.js';
import type { PlanScale } from '../../geometry/plan.js';
import type { ExtractOptions } from '../../options/options.js';
import { tilesOf } from '../../pool.js';
import { colourFeatures, type FeatureGrid } from './colours.js';
import { featureGrid, sequenceGrids } from './grids.js';
import { nameOf, viewOf } from './page.js';
import { type DecodeFlags, decodePhoto, photoOf } from './photo.js';
import type { View } from './picture.js';

/** Runs the model over the image and colours what it gives. `onStep` is called with what is going on. */
export async function makeView(
  extractor: Extractor,
  path: string,
  flags: DecodeFlags,
  { signal, onStep }: { signal: AbortSignal; onStep: (what: string) => void },
): Promise<View> {
  onStep(`decoding ${basename(path)}`);
  const started = performance.now();
  const image = await decodePhoto(path, flags);
  const plan = extractor.plan(image);
  const decoding = performance.now() - started;
  let runs = 0;
  const extract = (how: ExtractOptions = {}) => {
    onStep(`extracting features, run ${++runs}/${plan.sequence ? 2 : plan.scales.length + 1}`);
    return extractor.extract(image, { ...how, signal });
  };
  const { alone, joined, names, last } = plan.sequence
    ? await viewSequence(extract, plan)
    : await viewScales((resizeOutputToIndex) => extract({ resizeOutputToIndex }), plan);
  onStep('drawing');
  const milliseconds = decoding + last.timings.total;

  const colours = colourFeatures(alone, joined.length > 0 ? joined : alone);
  const { model, output, outputsInUse } = extractor.info;
  const tiles = tilesOf(plan);
  return {
    title: basename(path),
    subtitle:
      `${basename(model.path ?? model.name)}, output ${outputsInUse.map(({ name }) => name).join(', ')}: ` +
      `${tiles} tile${tiles === 1 ? '' : 's'}, ${Math.round(milliseconds)} ms from file to features`,
    photo: await photoOf(image, plan, flags.background),
    scales: plan.scales.map((scale, index) => viewOf(scale, plan.grids[index] ?? plan.grid, output.grid, plan.via)),
    alone: colours.alone,
    ...(joined.length > 0 && plan.scales.length > 1 && { joined: colours.joined }),
    joinedNames: names,
    channels: { alone: alone[0]?.channels ?? 0, joined: joined[0]?.channels ?? 0 },
  };
}

interface Shown {
  /** Of each scale, on its own grid. */
  alone: FeatureGrid[];
  /** All scales', on the plan's grid and, where that is another, on the finest. */
  joined: FeatureGrid[];
  names: string[];
  last: Features;
}

/** Each scale's own grid is the result's when it is asked for; its channels are then the scale alone. */
async function viewScales(extract: (index: number) => Promise<Features>, plan: ExtractorPlan): Promise<Shown> {
  const all: Features[] = [];
  for (const index of plan.scales.keys()) all.push(await extract(index));
  const alone = all.map((features, index) => featureGrid(features, features.scales[index]?.channels));
  const cells = alone.map(({ rows }) => rows);
  const finest = cells.indexOf(Math.max(...cells));
  // After the others, so that the time told is not that of a first run.
  const last = await extract(plan.outputIndex);
  const shown = finest === plan.outputIndex ? [plan.outputIndex] : [plan.outputIndex, finest];
  return {
    alone,
    joined: shown.map((index) => featureGrid(index === plan.outputIndex ? last : (all[index] as Features))),
    names: shown.map((index) => `joined, grid of ${nameOf(plan.scales[index] as PlanScale)}`),
    last,
  };
}

async function viewSequence(extract: () => Promise<Features>, plan: ExtractorPlan): Promise<Shown> {
  await extract(); // so that the time told is not that of a first run
  const last = await extract();
  return { alone: sequenceGrids(last, plan.scales), joined: [], names: [], last };
}
