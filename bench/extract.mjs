// extract() from JPEG bytes against what a Node user would write today (naive.mjs), in one run.
// node bench/extract.mjs [--rounds N] [--json]

import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { defaultModel, Extractor } from 'manyscale';
import { interleave, machine, median, table } from './measure.mjs';
import { extractNaive, loadNaive } from './naive.mjs';

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '9' }, json: { type: 'boolean', default: false } },
});
const bytes = await readFile(new URL('../examples/photos/dandelions-large.jpg', import.meta.url));
const scales = [1, 2, 3];
const extractor = await Extractor.load(defaultModel, { scales });
const naive = await loadNaive(defaultModel, { output: extractor.info.output.name, tile: 224 });

const stages = { manyscale: [], naive: [] };
const reduced = { shrinkOnLoad: true };
const times = await interleave(
  {
    manyscale: async () => stages.manyscale.push((await extractor.extract(bytes)).timings),
    'naive, one scale after another': async () => stages.naive.push((await extractNaive(naive, bytes, scales)).timings),
    'naive, Promise.all': () => extractNaive(naive, bytes, scales, { parallel: true }),
    'naive, JPEG decoded small (other pixels)': () => extractNaive(naive, bytes, scales, reduced),
    'naive, JPEG decoded small, Promise.all': () => extractNaive(naive, bytes, scales, { ...reduced, parallel: true }),
  },
  { rounds: Number(values.rounds) },
);

const ours = median(times.manyscale);
const result = {
  what: 'extract from JPEG bytes, 5000 x 3000, default model, scales 1, 2, 3 (14 tiles), milliseconds',
  machine: machine(),
  medians: Object.fromEntries(Object.entries(times).map(([name, runs]) => [name, median(runs)])),
  stages: Object.fromEntries(
    Object.entries(stages).map(([name, runs]) => [
      name,
      Object.fromEntries(Object.keys(runs[0]).map((key) => [key, median(runs.map((run) => run[key]))])),
    ]),
  ),
};
if (values.json) {
  console.log(JSON.stringify(result));
} else {
  console.log(`${result.what}\n`);
  console.log(
    table([
      ['', 'ms', 'manyscale is faster by'],
      ...Object.entries(result.medians).map(([name, ms]) => [name, ms.toFixed(1), (ms / ours).toFixed(2)]),
    ]),
  );
  for (const [name, parts] of Object.entries(result.stages)) {
    console.log(
      `\n${name}: ${Object.entries(parts)
        .map(([part, ms]) => `${part} ${ms.toFixed(1)}`)
        .join(', ')}`,
    );
  }
}
await extractor.dispose();
