// Principal components of features, by subspace iteration: only the few that a picture needs, straight from the data, without a
// covariance matrix (which for a few thousand channels would cost more than everything else). Deterministic.

/** `rows` observations of `channels` values each, row-major. */
export interface Matrix {
  data: Float32Array;
  rows: number;
  channels: number;
}

/** An orthonormal basis of the directions in which the data varies most. */
export interface PrincipalComponents {
  /** [channels] */
  mean: Float64Array;
  /** [count][channels], orthonormal, most variance first. The entry of largest magnitude of each is positive. */
  components: Float64Array[];
  /** [count] variance along each component, of all matrices together. */
  variances: number[];
  /** Variance along all directions. */
  totalVariance: number;
}

// More directions than are asked for make the iteration converge faster.
const EXTRA_DIRECTIONS = 5;
const MAX_ITERATIONS = 200;
// Relative change of the variances found at which iterating stops; colours have 256 levels.
const TOLERANCE = 2e-5;
// A variance relative to the data's mean square: float32 has 24 bits.
const NOISE = 1e-12;

/** A linear congruential generator with Knuth's constants: any start that is not orthogonal to a component will do, but always the same. */
function* startValues(): Generator<number, never> {
  let state = 1n;
  for (;;) {
    state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
    yield Number(state >> 11n) / 2 ** 52 - 1;
  }
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

/** Gram-Schmidt, twice for accuracy. A direction that depends on those before it becomes zero. */
function orthonormalise(vectors: readonly Float64Array[]): void {
  vectors.forEach((vector, index) => {
    const before = Math.sqrt(dot(vector, vector));
    for (let pass = 0; pass < 2; pass++) {
      for (const other of vectors.slice(0, index)) {
        const projection = dot(vector, other);
        for (let i = 0; i < vector.length; i++) vector[i] = (vector[i] as number) - projection * (other[i] as number);
      }
    }
    const norm = Math.sqrt(dot(vector, vector));
    const scale = norm > before * 1e-10 ? 1 / norm : 0;
    for (let i = 0; i < vector.length; i++) vector[i] = (vector[i] as number) * scale;
  });
}

/** [channels][directions] in one array, so that the loops over data run through memory in order. */
function interleave(directions: readonly Float64Array[], channels: number): Float64Array {
  const flat = new Float64Array(channels * directions.length);
  directions.forEach((direction, k) => {
    for (let c = 0; c < channels; c++) flat[c * directions.length + k] = direction[c] as number;
  });
  return flat;
}

/** Scores of one row along each of `count` interleaved directions. */
function project(
  matrix: Matrix,
  row: number,
  mean: Float64Array,
  directions: Float64Array,
  count: number,
  out: Float64Array,
): void {
  const { data, channels } = matrix;
  out.fill(0);
  const offset = row * channels;
  for (let c = 0, at = 0; c < channels; c++) {
    const value = (data[offset + c] as number) - (mean[c] as number);
    for (let k = 0; k < count; k++, at++) out[k] = (out[k] as number) + value * (directions[at] as number);
  }
}

/** The covariance matrix of all matrices times each direction, without the covariance matrix. */
function timesCovariance(
  matrices: readonly Matrix[],
  mean: Float64Array,
  directions: readonly Float64Array[],
): Float64Array[] {
  const [channels, count] = [mean.length, directions.length];
  const flat = interleave(directions, channels);
  const sums = new Float64Array(flat.length);
  const scores = new Float64Array(count);
  for (const matrix of matrices) {
    const weight = 1 / (matrix.rows * matrices.length);
    for (let row = 0; row < matrix.rows; row++) {
      project(matrix, row, mean, flat, count, scores);
      const offset = row * channels;
      for (let c = 0, at = 0; c < channels; c++) {
        const value = ((matrix.data[offset + c] as number) - (mean[c] as number)) * weight;
        for (let k = 0; k < count; k++, at++) sums[at] = (sums[at] as number) + value * (scores[k] as number);
      }
    }
  }
  return directions.map((_, k) => Float64Array.from({ length: channels }, (_, c) => sums[c * count + k] as number));
}

/** Sums of `vectors`, each weighed by a row of `factors`. */
function combine(factors: readonly (readonly number[])[], vectors: readonly Float64Array[]): Float64Array[] {
  return factors.map((row) => {
    const sum = new Float64Array(vectors[0]?.length ?? 0);
    row.forEach((factor, k) => {
      const vector = vectors[k] as Float64Array;
      for (let c = 0; c < sum.length; c++) sum[c] = (sum[c] as number) + factor * (vector[c] as number);
    });
    return sum;
  });
}

/**
 * The `count` principal components of several matrices with the same channels taken together. Each matrix weighs the same however many
 * rows it has, so that a fine grid does not drown a coarse one.
 */
export function principalComponents(matrices: readonly Matrix[], count: number): PrincipalComponents {
  const channels = matrices[0]?.channels ?? 0;
  const mean = new Float64Array(channels);
  for (const { data, rows } of matrices) {
    const weight = 1 / (rows * matrices.length);
    for (let i = 0; i < data.length; i++)
      mean[i % channels] = (mean[i % channels] as number) + (data[i] as number) * weight;
  }
  let totalVariance = 0;
  for (const { data, rows } of matrices) {
    const weight = 1 / (rows * matrices.length);
    for (let i = 0; i < data.length; i++)
      totalVariance += ((data[i] as number) - (mean[i % channels] as number)) ** 2 * weight;
  }

  const random = startValues();
  let directions: Float64Array[] = Array.from({ length: Math.min(count + EXTRA_DIRECTIONS, channels) }, () =>
    Float64Array.from({ length: channels }, () => random.next().value),
  );
  orthonormalise(directions);
  let variances: number[] = directions.map(() => 0);
  for (let iteration = 0; iteration < MAX_ITERATIONS; iteration++) {
    const images = timesCovariance(matrices, mean, directions);
    // Turn the subspace onto its own principal axes (Rayleigh-Ritz); images instead of directions: the next power of the covariance.
    const { values, vectors } = symmetricEigen(
      directions.map((direction) => images.map((image) => dot(direction, image))),
    );
    const change = Math.max(...values.slice(0, count).map((value, k) => Math.abs(value - (variances[k] as number))));
    variances = values;
    const converged = change <= TOLERANCE * totalVariance;
    directions = combine(vectors, converged ? directions : images);
    orthonormalise(directions);
    if (converged) break;
  }
  const components = directions.slice(0, count);
  // What is left of rounding is no direction: a blank photo would come out in all colours.
  const noise = NOISE * (totalVariance + dot(mean, mean));
  for (const [k, component] of components.entries()) {
    if ((variances[k] as number) <= noise) {
      variances[k] = 0;
      component.fill(0);
    }
    const largest = component.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);
    if (largest < 0) for (let c = 0; c < channels; c++) component[c] = -(component[c] as number);
  }
  return { mean, components, variances: variances.slice(0, count), totalVariance };
}

/** Scores [rows][count] of a matrix along the components, row-major. */
export function scoresOf(matrix: Matrix, { mean, components }: PrincipalComponents): Float32Array {
  const count = components.length;
  const scores = new Float32Array(matrix.rows * count);
  const flat = interleave(components, matrix.channels);
  const row = new Float64Array(count);
  for (let r = 0; r < matrix.rows; r++) {
    project(matrix, r, mean, flat, count, row);
    scores.set(row, r * count);
  }
  return scores;
}

/**
 * Eigenvalues, largest first, and unit eigenvectors of a small symmetric matrix, by Jacobi rotations
 * (Golub and Van Loan, Matrix Computations, section 8.5).
 */
export function symmetricEigen(matrix: readonly (readonly number[])[]): { values: number[]; vectors: number[][] } {
  const n = matrix.length;
  const at = (m: readonly (readonly number[])[], i: number, j: number) => (m[i] as readonly number[])[j] as number;
  const a = matrix.map((row) => [...row]);
  const v = matrix.map((_, i) => matrix.map((_, j) => (i === j ? 1 : 0)));
  const norm = Math.hypot(...a.flat());
  const rotate = (m: number[][], p: number, q: number, c: number, s: number) => {
    for (const row of m) {
      const [x, y] = [row[p] as number, row[q] as number];
      row[p] = c * x - s * y;
      row[q] = s * x + c * y;
    }
  };
  for (let sweep = 0; sweep < 50; sweep++) {
    let off = 0;
    for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) off = Math.max(off, Math.abs(at(a, p, q)));
    if (off <= norm * 1e-15) break;
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        const apq = at(a, p, q);
        if (apq === 0) continue;
        const tau = (at(a, q, q) - at(a, p, p)) / (2 * apq);
        const t = (tau < 0 ? -1 : 1) / (Math.abs(tau) + Math.sqrt(1 + tau * tau));
        const c = 1 / Math.sqrt(1 + t * t);
        const s = t * c;
        rotate(a, p, q, c, s);
        const [rowP, rowQ] = [a[p] as number[], a[q] as number[]];
        for (let i = 0; i < n; i++) {
          const [x, y] = [rowP[i] as number, rowQ[i] as number];
          rowP[i] = c * x - s * y;
          rowQ[i] = s * x + c * y;
        }
        rotate(v, p, q, c, s);
      }
    }
  }
  const order = a.map((_, i) => i).sort((i, j) => at(a, j, j) - at(a, i, i));
  return { values: order.map((i) => at(a, i, i)), vectors: order.map((i) => v.map((row) => row[i] as number)) };
}
