// Random numbers with a seed that a failing test prints. MANYSCALE_TEST_SEED=n repeats a run.

/** A seed for one test: the forced one or a fresh one. Put it into the test's failure message. */
export function makeSeed(): number {
  const forced = process.env['MANYSCALE_TEST_SEED'];
  return forced === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(forced);
}

export interface Random {
  /** In [0, 1). */
  next(): number;
  /** A whole number from `low` to `high`, both included. */
  integer(low: number, high: number): number;
  pick<T>(values: readonly T[]): T;
}

/** mulberry32: 32 bits of state, good enough to choose test cases. */
export function makeRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const integer = (low: number, high: number) => low + Math.floor(next() * (high - low + 1));
  return { next, integer, pick: (values) => values[integer(0, values.length - 1)] as (typeof values)[number] };
}

/** Uniform in [-1, 1), float32. */
export function randomFloats(count: number, random: Random): Float32Array {
  return Float32Array.from({ length: count }, () => random.next() * 2 - 1);
}

export function randomBytes(count: number, random: Random): Uint8Array {
  return Uint8Array.from({ length: count }, () => random.integer(0, 255));
}
