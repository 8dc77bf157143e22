// Draws the plot again from the results that are there. node bench/plot.mjs [FOLDER]      default: bench/results

import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from './lib/machine.mjs';
import { plot } from './lib/plot.mjs';

const kept = join(root, 'bench/results');
const folder = process.argv[2] ?? kept;
const names = (await readdir(folder)).filter((name) => name.endsWith('.json'));
const results = await Promise.all(names.map(async (name) => JSON.parse(await readFile(join(folder, name), 'utf8'))));
const file = folder === kept ? join(root, 'docs/images/bench.svg') : join(folder, 'bench.svg');
await writeFile(file, plot(results));
console.log(file);
