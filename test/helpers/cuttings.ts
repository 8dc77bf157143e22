// Ways of cutting at random, and what every plan promises whatever it was made of.
import type { ExtractorOptions, Plan, PlanScale, ScaleOptions } from 'manyscale';
import { plannedScales } from './planned.js';
import type { Random } from './random.js';
import type { Size } from './reference.js';

/** From one pixel to 20000, as many of each magnitude. */
export function anySide(random: Random, longest = 20_000): number {
  return Math.min(longest, Math.ceil(2 ** (random.next() * Math.log2(longest + 1))));
}

type Choices = Record<string, (random: Random) => unknown>;

/** Each option by its own chance; absent where not chosen. */
function choose<T extends object>(random: Random, chance: number, choices: Choices): T {
  const chosen = Object.entries(choices).filter(() => random.next() < chance);
  return Object.fromEntries(chosen.map(([name, make]) => [name, make(random)])) as T;
}

const overlap = (random: Random) =>
  random.pick([0, 1, 3, 8, 16, 24, 31, 0.25, 0.5, 0.9, 0.999, random.integer(1, 40), random.next()]);
const index = (random: Random) => random.pick([0, 0, -1, 1, -2]);
const anyScales = (random: Random) =>
  random.pick([[1], [1, 2], [2, 1], [3], [1, 2, 3], [0.5, 1.5], [1.3, 2], [2.25], [random.next() * 4 + 0.01, 1]]);

/** Options that are the result's shape and nothing else's. */
const shapes: Choices = {
  outputShape: (random) => random.pick(['bnc', 'bchw']),
  dropPrefixTokens: (random) => random.pick([true, false]),
};

/** Options of Extractor.load for a model of these tiles: most work, some contradict each other or the tile. */
export function anyCutting(random: Random, tile: Size): ExtractorOptions {
  const multiple = (most: number): [number, number] => [
    tile.height * random.integer(1, most),
    tile.width * random.integer(1, most),
  ];
  const imageSizes = () => Array.from({ length: random.integer(1, 3) }, () => multiple(4));
  const common = choose<ExtractorOptions>(random, 0.3, shapes);
  if (random.next() < 0.45) {
    const preset = random.pick(['llava-s2', 'dynamic-s2', 'internvl', 'anyres'] as const);
    const own: Choices =
      preset === 'internvl'
        ? { maxTiles: () => random.integer(1, 14) }
        : preset === 'anyres'
          ? { maxTiles: () => random.integer(1, 6), imageSizes }
          : {
              scales: () => random.pick([[1], [1, 2], [1, 3], [1, 2, 4]]),
              resizeOutputToIndex: index,
              ...(preset === 'dynamic-s2' && { maxTiles: () => random.integer(4, 20) }),
            };
    const odd = choose<ExtractorOptions>(random, 0.02, { overlap, scales: anyScales, fit: () => 'keep' });
    return { ...common, ...choose<ExtractorOptions>(random, 0.4, own), ...odd, preset };
  }
  const fit = random.pick(['stretch', 'crop', 'keep'] as const);
  const where = choose<ExtractorOptions>(random, 0.5, {
    overlap,
    blend: () => random.pick(['linear', 'average']),
    resizeOutputToIndex: index,
    ...(random.next() < 0.3 ? { imageSizes } : { scales: anyScales }),
  });
  // Without 'keep' most scales need it: they are no multiples of the tile.
  const uneven = choose<ExtractorOptions>(random, 0.7, { uneven: () => random.pick(['resize', 'pad', 'refuse']) });
  return { ...common, ...where, ...uneven, fit };
}

/** Options of plan(), which knows no model. */
export function anyScaleOptions(random: Random, image: Size): ScaleOptions {
  const side = () => anySide(random, 3000);
  const options = choose<ScaleOptions>(random, 0.5, {
    ...shapes,
    overlap,
    resizeOutputToIndex: index,
    uneven: () => random.pick(['resize', 'pad', 'refuse']),
    maxSplitSize: () => random.pick([side(), [side(), side()], [image.height, side()]]),
  });
  const sizes = () => Array.from({ length: random.integer(1, 3) }, () => random.pick([side(), [side(), side()]]));
  return { ...options, ...(random.next() < 0.4 ? { imageSizes: sizes() as number[] } : { scales: anyScales(random) }) };
}

/** What breaks a promise of plans, in words; nothing for a good plan. */
export function brokenPromise(plan: Plan): string | undefined {
  if (!(plan.outputIndex in plan.scales)) return `there is no scale ${plan.outputIndex}`;
  if (plan.via && (plan.via.rows !== 1 || plan.via.columns !== 1)) return 'what scales are made of is one tile';
  const all = plan.via ? [...plan.scales, plan.via] : plan.scales;
  const scales = plannedScales({ ...plan, scales: all });
  for (const [at, { height, width, content, tops, lefts }] of scales.entries()) {
    const { rows, columns, tileHeight, tileWidth } = all[at] as PlanScale;
    const broken =
      brokenAxis(height, tileHeight, rows, tops, content.top, content.height) ??
      brokenAxis(width, tileWidth, columns, lefts, content.left, content.width);
    if (broken) return `scale ${at}: ${broken}`;
  }
  return undefined;
}

function brokenAxis(
  side: number,
  tile: number,
  count: number,
  starts: readonly number[],
  from: number,
  length: number,
): string | undefined {
  if (![side, tile, count, length].every((value) => Number.isInteger(value) && value >= 1))
    return 'a side is no length';
  if (starts.length !== count) return `${starts.length} positions of ${count} tiles`;
  let covered = 0;
  for (const start of starts) {
    if (!Number.isInteger(start) || start < 0) return `a tile begins at ${start}`;
    if (start > covered) return `pixels ${covered} to ${start} are in no tile`;
    covered = start + tile;
    if (covered > side) return `a tile reaches to ${covered} of ${side}`;
  }
  if (covered !== side) return `tiles end at ${covered} of ${side}`;
  if (!Number.isInteger(from) || from >= side || from + length <= 0) return 'nothing of the image is in it';
  return undefined;
}
