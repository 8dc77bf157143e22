// Features as colours: their first three principal components as red, green and blue.

import { type Matrix, type PrincipalComponents, principalComponents, scoresOf, symmetricEigen } from '../pca.js';

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
const AXES = [0, 1, 2] as const;
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

/** Mean and standard deviation of each component of a grid. */
function momentsOf({ scores, height, width }: Scored): { mean: number; deviation: number }[] {
  const cells = height * width;
  return AXES.map((component) => {
    let [sum, squares] = [0, 0];
    for (let i = component; i < scores.length; i += COMPONENTS) {
      const score = scores[i] as number;
      sum += score;
      squares += score * score;
    }
    const mean = sum / cells;
    return { mean, deviation: Math.sqrt(Math.max(0, squares / cells - mean * mean)) };
  });
}

/**
 * Turns `grids` in the space of their components so that the first of them looks most like `reference`: components have no order
 * and no signs of their own, and panels whose colours were turned against each other would look different where they agree.
 * (The orthogonal Procrustes problem: Golub and Van Loan, Matrix Computations, section 6.4.)
 */
function align(grids: readonly Scored[], reference: Scored): Scored[] {
  const first = grids[0] as Scored;
  const table = AXES.map((from) => AXES.map((to) => correlation(first, from, reference, to)));
  const rotation = nearestRotation(table);
  const moments = momentsOf(first);
  return grids.map((grid) => ({
    ...grid,
    scores: grid.scores.map((_, index) => {
      const to = index % COMPONENTS;
      return AXES.reduce<number>((sum, from) => {
        const { mean, deviation } = moments[from] as { mean: number; deviation: number };
        const value = deviation > 0 ? ((grid.scores[index - to + from] as number) - mean) / deviation : 0;
        return sum + value * ((rotation[from] as number[])[to] as number);
      }, 0);
    }),
  }));
}

/** The orthogonal matrix nearest to a square one: M (M^T M)^(-1/2). */
function nearestRotation(matrix: readonly (readonly number[])[]): number[][] {
  // What correlates with nothing stays as it is, instead of being divided by zero.
  const m = matrix.map((row, i) => row.map((value, j) => value + (i === j ? 1e-6 : 0)));
  const at = (i: number, j: number) => (m[i] as number[])[j] as number;
  const gram = AXES.map((i) => AXES.map((j) => AXES.reduce<number>((sum, k) => sum + at(k, i) * at(k, j), 0)));
  const { values, vectors } = symmetricEigen(gram);
  const root = AXES.map((i) =>
    AXES.map((j) =>
      vectors.reduce(
        (sum, vector, k) =>
          sum + ((vector[i] as number) * (vector[j] as number)) / Math.sqrt(Math.max(values[k] as number, 1e-18)),
        0,
      ),
    ),
  );
  return AXES.map((i) =>
    AXES.map((j) => AXES.reduce<number>((sum, k) => sum + at(i, k) * ((root[k] as number[])[j] as number), 0)),
  );
}

function explainedBy({ variances, totalVariance }: PrincipalComponents): number {
  return totalVariance > 0 ? variances.reduce((sum, variance) => sum + variance, 0) / totalVariance : 0;
}

/**
 * Colours for the features of each scale alone and for the joined features. All scales' features come from one model and so share one
 * basis: the same colour means similar features. The joined features have their own basis, turned so that colours mean about the same.
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
