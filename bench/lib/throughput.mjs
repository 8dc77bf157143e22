// Rounds of work on many tiles or images, as rows of a section. A round is { seconds, processor }: by the clock, and of processor
// time, of one tile or image.

import { median, medianRatio } from './measure.mjs';

/** What timed() found for `count` tiles or images, of one. */
export const perOne = ({ seconds, processor }, count) => ({ seconds: seconds / count, processor: processor / count });

const column = (rounds, what) => rounds.map((round) => round[what]);

/** For a section's data: { seconds: [...], processor: [...] }. */
export const columns = (rounds) => ({ seconds: column(rounds, 'seconds'), processor: column(rounds, 'processor') });

/** A row: how many a second, and what one costs. */
export const throughput = (name, rounds, unit) => ({
  name,
  value: 1 / median(column(rounds, 'seconds')),
  unit,
  note: `${(median(column(rounds, 'processor')) * 1000).toFixed(0)} ms of a core`,
});

/** By how much `fast` is faster than `slow`, by the clock. */
export const speedUp = (slow, fast) => medianRatio(column(slow, 'seconds'), column(fast, 'seconds'));
