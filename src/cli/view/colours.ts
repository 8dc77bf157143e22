// Features as colours: their first three principal components as red, green and blue.

import { type Matrix, type PrincipalComponents, principalComponents, scoresOf } from '../pca.js';

/** One feature vector per cell of a grid, row by row. */
export interface FeatureGrid extends Matrix {
  height: number;
  width: number;
}

/** [height * width * 3] uint8 colours of a grid's cells. */
export interface ColourGrid {
  height: number;
  width: number;
  rgb: Uint8Array;
}

/** Grids in the same colours, and how much of their variance the colours show, 0 to 1. */
export interface Colouring {
  grids: ColourGrid[];
  explained: number;
}

const COMPONENTS = 3;
// The scores between these percentiles spread over all levels of a colour; a few extreme cells would else darken all others.
const PERCENTILES = [0.01, 0.99] as const;

interface Scored {
  height: number;
  width: number;
  scores: Float32Array;
}

/** The range of one component between PERCENTILES; every grid weighs the same. */
function rangeOf(grids: readonly Scored[], component: number): [low: number, high: number] {
  const values = grids.flatMap(({ scores, height, width }) =>
    Array.from({ length: height * width }, (_, cell) => ({
      value: scores[cell * COMPONENTS + component] as number,
      weight: 1 / (height * width * grids.length),
    })),
  );
  values.sort((a, b) => a.value - b.value);
  const at = (fraction: number) => {
    let sum = 0;
    for (const { value, weight } of values) {
      sum += weight;
      if (sum >= fraction) return value;
    }
    return values.at(-1)?.value ?? 0;
  };
  return [at(PERCENTILES[0]), at(PERCENTILES[1])];
}

function paint(grids: readonly Scored[]): ColourGrid[] {
  const ranges = Array.from({ length: COMPONENTS }, (_, component) => rangeOf(grids, component));
  return grids.map(({ scores, height, width }) => ({
    height,
    width,
    rgb: Uint8Array.from(scores, (score, index) => {
      const [low, high] = ranges[index % COMPONENTS] as [number, number];
      const share = high > low ? (score - low) / (high - low) : 0.5;
      return Math.round(255 * Math.min(1, Math.max(0, share)));
    }),
  }));
}

function score(grid: FeatureGrid, components: PrincipalComponents): Scored {
  const found = scoresOf(grid, components);
  const scores = new Float32Array(grid.rows * COMPONENTS);
  const count = components.components.length;
  for (let row = 0; row < grid.rows; row++)
    scores.set(found.subarray(row * count, (row + 1) * count), row * COMPONENTS);
  return { height: grid.height, width: grid.width, scores };
}

/** Correlation of component `a` of one grid with component `b` of another, which is read at the nearest cells. */
function correlation(of: Scored, a: number, to: Scored, b: number): number {
  const cells = of.height * of.width;
  let [sumX, sumY, sumXX, sumYY, sumXY] = [0, 0, 0, 0, 0];
  for (let cell = 0; cell < cells; cell++) {
    const row = Math.floor(((Math.floor(cell / of.width) + 0.5) * to.height) / of.height);
    const column = Math.floor((((cell % of.width) + 0.5) * to.width) / of.width);
    const x = of.scores[cell * COMPONENTS + a] as number;
    const y = to.scores[(row * to.width + column) * COMPONENTS + b] as number;
    sumX += x;
    sumY += y;
    sumXX += x * x;
    sumYY += y * y;
    sumXY += x * y;
  }
  const spread = (sumXX - (sumX * sumX) / cells) * (sumYY - (sumY * sumY) / cells);
  return spread > 0 ? (sumXY - (sumX * sumY) / cells) / Math.sqrt(spread) : 0;
}

const ORDERS = [
  [0, 1, 2],
  [0, 2, 1],
  [1, 0, 2],
  [1, 2, 0],
  [2, 0, 1],
  [2, 1, 0],
] as const;

/**
 * Gives the components of `grids` the order and signs in which the first of them looks most like `reference`: components have
 * neither of their own, and two panels whose colours were swapped would look different where they agree.
 */
function align(grids: readonly Scored[], reference: Scored): Scored[] {
  const first = grids[0] as Scored;
  const table = ORDERS[0].map((to) => ORDERS[0].map((from) => correlation(first, from, reference, to)));
  const correlationOf = (to: number, from: number) => (table[to] as number[])[from] as number;
  const likeness = (order: readonly number[]) =>
    order.reduce((sum, from, to) => sum + Math.abs(correlationOf(to, from)), 0);
  const best = ORDERS.reduce((a, b) => (likeness(b) > likeness(a) ? b : a));
  const signs = best.map((from, to) => (correlationOf(to, from) < 0 ? -1 : 1));
  return grids.map((grid) => ({
    ...grid,
    scores: grid.scores.map((_, index) => {
      const to = index % COMPONENTS;
      return (signs[to] as number) * (grid.scores[index - to + (best[to] as number)] as number);
    }),
  }));
}

function explainedBy({ variances, totalVariance }: PrincipalComponents): number {
  return totalVariance > 0 ? variances.reduce((sum, variance) => sum + variance, 0) / totalVariance : 0;
}

/**
 * Colours for the features of each scale alone and for the joined features. All scales' features come from one model and so share one
 * basis: the same colour means similar features. The joined features have their own basis, brought into an order in which
 * colours mean about the same.
 */
export function colourFeatures(
  alone: readonly FeatureGrid[],
  joined: readonly FeatureGrid[],
): { alone: Colouring; joined: Colouring } {
  const ownBasis = principalComponents(alone, COMPONENTS);
  const own = alone.map((grid) => score(grid, ownBasis));
  const joinedBasis = principalComponents(joined, COMPONENTS);
  const joint = align(
    joined.map((grid) => score(grid, joinedBasis)),
    own.at(-1) as Scored,
  );
  return {
    alone: { grids: paint(own), explained: explainedBy(ownBasis) },
    joined: { grids: paint(joint), explained: explainedBy(joinedBasis) },
  };
}
