// The longest stop of the event loop during a burst of images, against control runs in which plain native threads are busy
// (pbkdf2 on Node's own thread pool): as many as the engine and the image decoder have, and as many as the engine alone has.
// node bench/event-loop.mjs [--json] [--quick] [--images N] [--rounds N]

import { pbkdf2 } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { defaultModel, Extractor } from 'manyscale';
import { engineThreads } from './lib/machine.mjs';
import { interleave, median } from './lib/measure.mjs';
import { photoBytes } from './lib/photos.mjs';
import { runSection } from './lib/section.mjs';

const decoderThreads = engineThreads; // images that are decoded at once
const all = engineThreads + decoderThreads;
process.env.UV_THREADPOOL_SIZE = String(all); // before its first use: the larger control needs as many

// The longest gap between two turns of the event loop while `work` runs, beyond the timer's own millisecond.
async function longestStop(work) {
  let longest = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last - 1);
    last = now;
  }, 1);
  const start = performance.now();
  await work();
  const total = performance.now() - start;
  await sleep(2);
  clearInterval(timer);
  return { longest, total };
}

const hash = promisify(pbkdf2);
const busy = (threads, iterations) => () =>
  Promise.all(Array.from({ length: threads }, () => hash('a', 'b', iterations, 64, 'sha512')));

async function measure({ quick, progress, values }) {
  const images = Number(values.images);
  const rounds = Number(values.rounds ?? (quick ? 2 : 7));
  const extractor = await Extractor.load(defaultModel, { scales: [1, 2, 3] });
  const bytes = await photoBytes();
  const burst = () => Promise.all(Array.from({ length: images }, () => extractor.extract(bytes)));

  // Every control lasts about as long as the burst.
  progress('warming up');
  const { total } = await longestStop(burst);
  const trial = 20000;
  const once = (await longestStop(busy(engineThreads, trial))).total;
  const iterations = Math.ceil((trial * total) / once);
  const runs = {
    burst,
    all: busy(all, Math.ceil((iterations * engineThreads) / all)),
    engine: busy(engineThreads, iterations),
  };
  const candidates = Object.fromEntries(
    Object.entries(runs).map(([name, work]) => [name, async () => (await longestStop(work)).longest]),
  );
  const stops = await interleave(candidates, { rounds, warmup: 0, progress });
  await extractor.dispose();

  const burstStop = median(stops.burst);
  const control = (name, key, targets) => ({
    name,
    value: median(stops[key]),
    unit: 'ms',
    ratio: burstStop / median(stops[key]),
    ...(targets && { targets }),
  });
  return {
    what: `longest stop of the event loop, median of ${rounds} runs; ${images} images in flight from JPEG bytes of 1778 x 1000, default model, scales 1, 2, 3 (a burst takes ${(total / 1000).toFixed(1)} s)`,
    ratio: "the burst's stop to that of the row",
    rows: [
      { name: `${images} images in flight`, value: burstStop, unit: 'ms', targets: [{ of: 'value', atMost: 20 }] },
      control(`control: ${all} busy native threads (the engine's and the decoder's)`, 'all', [
        { of: 'ratio', atMost: 1.5 },
      ]),
      control(`control: ${engineThreads} busy native threads (the engine's)`, 'engine'),
      { name: `${images} images in flight, worst run`, value: Math.max(...stops.burst), unit: 'ms' },
    ],
    data: { stopsMs: stops },
  };
}

await runSection({
  name: 'event-loop',
  title: "the event loop's longest stop",
  options: { images: { type: 'string', default: '32' }, rounds: { type: 'string' } },
  measure,
});
