// Memory over time: the process's resident set after the first images, during and after a burst, and when idle.
// node bench/memory.mjs [--json] [--quick] [--images N]

import { setTimeout as sleep } from 'node:timers/promises';
import { defaultModel, Extractor } from 'manyscale';
import { median } from './lib/measure.mjs';
import { photoBytes } from './lib/photos.mjs';
import { runSection } from './lib/section.mjs';

const FIRST = 10;
const EVERY_MS = 100;
const LIMIT = 1.3;

const megabytes = () => process.memoryUsage.rss() / 1e6;

/** Samples until stopped; `mark` begins a phase. */
function record() {
  const start = performance.now();
  const samples = { seconds: [], megabytes: [] };
  const marks = [];
  const elapsed = () => Math.round(performance.now() - start) / 1000;
  const sample = () => {
    samples.seconds.push(elapsed());
    samples.megabytes.push(Math.round(megabytes() * 10) / 10);
  };
  const timer = setInterval(sample, EVERY_MS);
  return {
    mark(phase) {
      marks.push({ phase, at: elapsed() });
      sample();
    },
    stop() {
      clearInterval(timer);
      return { samples, marks };
    },
    /** Of a phase, from its mark to the next one. */
    phase(name) {
      const i = marks.findIndex(({ phase }) => phase === name);
      const end = marks[i + 1]?.at ?? Number.POSITIVE_INFINITY;
      return samples.megabytes.filter((_, j) => samples.seconds[j] >= marks[i].at && samples.seconds[j] < end);
    },
  };
}

async function measure({ quick, progress, values }) {
  const burst = Number(values.images ?? (quick ? 50 : 200));
  const idle = quick ? 3 : 10; // seconds
  const bytes = await photoBytes();
  const extractor = await Extractor.load(defaultModel, { scales: [1, 2, 3] });
  const rss = record();
  rss.mark('loaded');
  progress(`the first ${FIRST} images`);
  for (let i = 0; i < FIRST; i++) await extractor.extract(bytes);
  rss.mark('after the first');
  await sleep(1000);
  progress(`a burst of ${burst}`);
  rss.mark('burst');
  // Results are dropped as they come, as a server's are when they are sent.
  await Promise.all(Array.from({ length: burst }, () => extractor.extract(bytes).then(() => {})));
  progress(`${idle} idle seconds`);
  rss.mark('after the burst');
  await sleep(1000);
  rss.mark('idle');
  await sleep(idle * 1000);
  const series = rss.stop();
  await extractor.dispose();

  const before = median(rss.phase('after the first'));
  const row = (name, value, targets) => ({
    name,
    value,
    unit: 'MB',
    ratio: value / before,
    ...(targets && { targets }),
  });
  return {
    what: `resident set; default model, scales 1, 2, 3, from JPEG bytes of 1778 x 1000; ${FIRST} images one after another, then ${burst} at once`,
    ratio: `of that after the first ${FIRST} images`,
    rows: [
      { name: `after the first ${FIRST} images`, value: before, unit: 'MB' },
      row(`during the burst of ${burst}, most`, Math.max(...rss.phase('burst'))),
      row('in the second after the burst', median(rss.phase('after the burst')), [{ of: 'ratio', atMost: LIMIT }]),
      row(`after ${idle} idle seconds`, rss.phase('idle').at(-1), [{ of: 'ratio', atMost: LIMIT }]),
    ],
    data: series,
  };
}

await runSection({
  name: 'memory',
  title: 'memory over time',
  options: { images: { type: 'string' } },
  measure,
});
