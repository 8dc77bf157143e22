// The longest stop of the event loop during a burst of images, against control runs in which plain native threads are busy
// (pbkdf2 on Node's own thread pool): as many as the engine has, and as many as the engine and the image decoder have.
// node bench/event-loop.mjs [--images N] [--rounds N] [--json]

import { pbkdf2 } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import { defaultModel, Extractor } from 'manyscale';
import { machine, median, table } from './measure.mjs';

const { values } = parseArgs({
  options: {
    images: { type: 'string', default: '32' },
    rounds: { type: 'string', default: '7' },
    json: { type: 'boolean', default: false },
  },
});
const engineThreads = availableParallelism();
const decoderThreads = availableParallelism(); // images that are decoded at once
process.env.UV_THREADPOOL_SIZE = String(engineThreads + decoderThreads); // before its first use: the larger control needs as many

const images = Number(values.images);
const extractor = await Extractor.load(defaultModel, { scales: [1, 2, 3] });
const bytes = await readFile(new URL('../examples/photos/dandelions.jpg', import.meta.url));

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
const burst = () => Promise.all(Array.from({ length: images }, () => extractor.extract(bytes)));

// Every control lasts about as long as the burst.
const warm = await longestStop(burst);
const trial = 20000;
const once = (await longestStop(busy(engineThreads, trial))).total;
const iterations = Math.ceil((trial * warm.total) / once);
const all = engineThreads + decoderThreads;
const runs = {
  [`burst of ${images} images`]: burst,
  [`control: ${engineThreads} busy native threads (the engine's)`]: busy(engineThreads, iterations),
  [`control: ${all} (the engine's and the decoder's)`]: busy(all, Math.ceil((iterations * engineThreads) / all)),
};
const stops = Object.fromEntries(Object.keys(runs).map((name) => [name, []]));
for (let round = 0; round < Number(values.rounds); round++) {
  for (const [name, work] of Object.entries(runs)) stops[name].push((await longestStop(work)).longest);
}
await extractor.dispose();

const medians = Object.fromEntries(Object.entries(stops).map(([name, found]) => [name, median(found)]));
const what = `longest stop of the event loop in milliseconds; 1778 x 1000 JPEG, default model, scales 1, 2, 3; a burst takes ${(warm.total / 1000).toFixed(1)} s`;
if (values.json) {
  console.log(JSON.stringify({ what, machine: machine(), medians, all: stops }));
} else {
  const rows = Object.entries(stops).map(([name, found]) => [
    name,
    median(found).toFixed(1),
    Math.max(...found).toFixed(1),
  ]);
  console.log(`${what}\n\n${table([['', 'median', 'worst'], ...rows])}`);
}
