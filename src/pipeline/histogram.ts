// How often each duration occurred, in buckets whose width grows with the duration: constant memory, bounded relative error.

/** Buckets per doubling: their bounds are 2^(1/8) apart (9 %), and a value differs from its bucket's middle by at most 4.5 %. */
const PER_DOUBLING = 8;
/** Bounds of what is told apart, as powers of two of a millisecond: a microsecond to a quarter of an hour. */
const LOWEST = -10;
const HIGHEST = 20;
/** The first bucket takes all below, the last all above. */
const BUCKETS = (HIGHEST - LOWEST) * PER_DOUBLING + 1;

/** Durations in milliseconds. Percentiles are within 5 % of the exact ones (from 1 microsecond to 17 minutes); the rest is exact. */
export interface Latency {
  readonly count: number;
  readonly mean: number;
  /** Half of all durations are at most so long. */
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
  /** Those that are not empty, shortest first: `count` durations of at most `upTo`, and longer than the one before holds. */
  readonly buckets: readonly { readonly upTo: number; readonly count: number }[];
}

export class Histogram {
  readonly #counts = new Float64Array(BUCKETS);
  #count = 0;
  #sum = 0;
  #max = 0;

  /** O(1), allocates nothing. Differences of a clock's times that come out below 0 count as 0. */
  record(milliseconds: number): void {
    const value = Math.max(milliseconds, 0);
    const position = Math.ceil((Math.log2(value) - LOWEST) * PER_DOUBLING);
    const index = Math.min(Math.max(position, 0), BUCKETS - 1);
    this.#counts[index] = (this.#counts[index] as number) + 1;
    this.#count++;
    this.#sum += value;
    if (value > this.#max) this.#max = value;
  }

  summary(): Latency {
    const buckets: { upTo: number; count: number }[] = [];
    this.#counts.forEach((count, index) => {
      if (count > 0)
        buckets.push({ upTo: index === BUCKETS - 1 ? Math.max(bound(index), this.#max) : bound(index), count });
    });
    return {
      count: this.#count,
      mean: this.#count === 0 ? 0 : this.#sum / this.#count,
      p50: this.#percentile(0.5),
      p90: this.#percentile(0.9),
      p99: this.#percentile(0.99),
      max: this.#max,
      buckets,
    };
  }

  /** The middle (by ratio) of the bucket that holds the smallest duration that `part` of all do not exceed. */
  #percentile(part: number): number {
    const rank = Math.ceil(this.#count * part);
    let seen = 0;
    for (let index = 0; index < BUCKETS; index++) {
      seen += this.#counts[index] as number;
      if (seen < rank || seen === 0) continue;
      if (index === 0) return Math.min(bound(0), this.#max);
      if (index === BUCKETS - 1) return this.#max;
      return Math.min(bound(index - 0.5), this.#max);
    }
    return 0;
  }
}

/** Upper bound of a bucket, in milliseconds. */
function bound(index: number): number {
  return 2 ** (LOWEST + index / PER_DOUBLING);
}
