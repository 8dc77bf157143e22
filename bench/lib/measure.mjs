// Statistics of repeated measurements, and a clock.

/** Linearly interpolated; `at` of 0.5 is the median. */
export function quantile(values, at) {
  const sorted = [...values].sort((a, b) => a - b);
  const place = (sorted.length - 1) * at;
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
}

export const median = (values) => quantile(values, 0.5);

/** Seconds that `work` takes. */
export async function seconds(work) {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

/** { seconds, processor }: by the clock, and of this process's processor time. */
export async function timed(work) {
  const before = process.cpuUsage();
  const elapsed = await seconds(work);
  const { user, system } = process.cpuUsage(before);
  return { seconds: elapsed, processor: (user + system) / 1e6 };
}

/**
 * Runs every candidate once per round, in turn, so that a busy moment of the machine hits all alike, and every other round in
 * the opposite order, so that a drift cancels out. Returns name -> what the candidate gave in each round; the first rounds
 * (`warmup`) are left out.
 */
export async function interleave(candidates, { rounds, warmup = 1, progress = () => {} }) {
  const found = Object.fromEntries(Object.keys(candidates).map((name) => [name, []]));
  for (let round = -warmup; round < rounds; round++) {
    progress(round < 0 ? 'warming up' : `round ${round + 1} of ${rounds}`);
    const turn = Object.entries(candidates);
    if (round % 2) turn.reverse();
    for (const [name, run] of turn) {
      const result = await run();
      if (round >= 0) found[name].push(result);
    }
  }
  return found;
}

/** The median over rounds of a[round] / b[round]: what both had in common in a round drops out. */
export const medianRatio = (a, b) => median(a.map((value, round) => value / b[round]));

/**
 * Calls `work(i)` for 0 .. count - 1 with at most `inFlight` unfinished at any time; returns the seconds that all took and each
 * one's milliseconds, by index.
 */
export async function closedLoop(count, inFlight, work) {
  const latencies = new Array(count);
  let next = 0;
  const lane = async () => {
    while (next < count) {
      const i = next++;
      latencies[i] = (await seconds(() => work(i))) * 1000;
    }
  };
  const total = await seconds(() => Promise.all(Array.from({ length: Math.min(inFlight, count) }, lane)));
  return { seconds: total, latencies };
}
