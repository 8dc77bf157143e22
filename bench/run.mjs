// All benchmarks, each in a process of its own: one table on stdout, a JSON file per section, and the plot. Progress on stderr.
//
//   node bench/run.mjs [--quick] [--out FOLDER] [SECTION ...]
//
// FOLDER: bench/results, and with --quick, whose figures are rough, bench/results/quick. The plot is docs/images/bench.svg, or
// bench.svg in another FOLDER. What misses a target is marked and is no failure; a section that breaks is one.

import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { root } from './lib/machine.mjs';
import { plot } from './lib/plot.mjs';
import { table } from './lib/section.mjs';

const SECTIONS = ['kernels', 'engine', 'photos', 'scaling', 'memory', 'event-loop', 'int8', 'predict'];

const { values, positionals } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, out: { type: 'string' } },
  allowPositionals: true,
});
const unknown = positionals.find((name) => !SECTIONS.includes(name));
if (unknown) throw new Error(`Expected ${SECTIONS.join(', ')} for a section but received '${unknown}'`);
const chosen = positionals.length > 0 ? SECTIONS.filter((name) => positionals.includes(name)) : SECTIONS;
const kept = join(root, 'bench/results');
const folder = values.out ?? (values.quick ? join(kept, 'quick') : kept);
const plotFile = folder === kept ? join(root, 'docs/images/bench.svg') : join(folder, 'bench.svg');

async function run(name) {
  const args = [join(root, `bench/${name}.mjs`), '--json', ...(values.quick ? ['--quick'] : [])];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.on('close', (code, signal) => resolve(code ?? signal)));
  const output = await text(child.stdout);
  const status = await ended;
  if (status === 0) return JSON.parse(output);
  process.exitCode = 1;
  return { section: name, title: 'failed', skipped: `the section ended with ${status}; its words are above` };
}

await mkdir(folder, { recursive: true });
const results = [];
for (const name of chosen) {
  const result = await run(name);
  results.push(result);
  if (!result.skipped) await writeFile(join(folder, `${name}.json`), `${stringify(result)}\n`);
}
console.log(table(results));
const { machine } = results.find((result) => result.machine) ?? {};
if (machine)
  console.log(
    `\n${Object.entries(machine)
      .map((entry) => entry.join(' '))
      .join(', ')}`,
  );
// A plot of some sections would take the place of a whole one.
if (chosen.length === SECTIONS.length) {
  await writeFile(plotFile, plot(results));
  console.log(`\n${folder}/*.json, ${plotFile}`);
}

/** JSON with short arrays (samples, rounds) on one line each, and numbers of six digits at most: small files, readable changes. */
function stringify(value) {
  const round = (_, item) => (typeof item === 'number' && !Number.isInteger(item) ? Number(item.toPrecision(6)) : item);
  return JSON.stringify(value, round, 2).replace(
    /\[\s+([^[\]{}]*?)\s+\]/g,
    (_, inner) => `[${inner.replace(/\s*\n\s*/g, ' ')}]`,
  );
}
