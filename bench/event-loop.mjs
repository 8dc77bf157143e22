// The longest stop of the event loop during a burst of images, against a control run in which as many plain native threads
// are busy as manyscale and the decoder use (pbkdf2 on Node's own thread pool).
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
    rounds: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
  },
});
const images = Number(values.images);
const bytes = await readFile(new URL('../examples/photos/dandelions.jpg', import.meta.url));
const extractor = await Extractor.load(defaultModel, { scales: [1, 2, 3] });

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

const threads = availableParallelism();
const hash = promisify(pbkdf2);
let iterations = 20000;
const busy = () => Promise.all(Array.from({ length: threads }, () => hash('a', 'b', iterations, 64, 'sha512')));
const burst = () => Promise.all(Array.from({ length: images }, () => extractor.extract(bytes)));

const warm = await longestStop(burst);
const once = (await longestStop(busy)).total;
iterations = Math.ceil((iterations * warm.total) / once); // the control lasts as long as the burst

const stops = { burst: [], control: [] };
for (let round = 0; round < Number(values.rounds); round++) {
  stops.burst.push((await longestStop(burst)).longest);
  stops.control.push((await longestStop(busy)).longest);
}
const result = {
  what: `longest stop of the event loop, ${images} images at once (1778 x 1000 JPEG, default model, scales 1, 2, 3), milliseconds`,
  machine: machine(),
  burstTotal: warm.total,
  medians: { burst: median(stops.burst), control: median(stops.control) },
  all: stops,
};
if (values.json) {
  console.log(JSON.stringify(result));
} else {
  console.log(`${result.what}\n`);
  const row = (name) => [name, median(stops[name]).toFixed(1), Math.max(...stops[name]).toFixed(1)];
  console.log(
    table([
      ['', 'median', 'worst'],
      row('burst'),
      [`control: ${threads} busy native threads`, ...row('control').slice(1)],
    ]),
  );
}
await extractor.dispose();
