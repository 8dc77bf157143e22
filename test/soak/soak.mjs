// A soak: minutes of random images, good and bad, aborts, Extractors that come and go, and worker threads that are ended in the middle.
//
//   node test/soak/soak.mjs [--seconds N] [--seed N]
//
// --seconds  of load, default 20, a third of it to warm up
// --seed     repeats the same choices (not the same moments); default: a fresh one, which is printed
//
// load.mjs does the work in a process of its own: that it ends by itself, in time and with exit code 0, is seen from here.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '20' }, seed: { type: 'string' } } });
const seconds = Number(values.seconds);
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
if (!(seconds > 0) || !Number.isInteger(seed))
  throw new Error('Expected a number of seconds and a whole number as seed');

/** From the end of the load to the end of the process: what is left is finished, measured and let go. */
const LONGEST_END = 90;
/** From the last word of load.mjs to the end of the process. */
const LONGEST_EXIT = 10;

process.chdir(fileURLToPath(new URL('../..', import.meta.url)));
const folder = mkdtempSync(join(tmpdir(), 'manyscale-soak-'));
try {
  await makeModels();
  process.exitCode = await load();
} finally {
  rmSync(folder, { recursive: true });
}

/** The tests' own models, which a helper in TypeScript writes. */
async function makeModels() {
  const flags = [
    '--ignoreConfig',
    '--rootDir',
    '.',
    '--outDir',
    'build-soak',
    '--module',
    'nodenext',
    '--target',
    'es2022',
    '--skipLibCheck',
  ];
  const compiled = spawnSync('node_modules/.bin/tsc', [...flags, '--types', 'node', 'test/helpers/models.ts'], {
    stdio: 'inherit',
  });
  if (compiled.status !== 0) throw new Error('Expected test/helpers to compile');
  const { failsOnBrightModel, patchModel } = await import('../../build-soak/test/helpers/models.js');
  writeFileSync(join(folder, 'tokens.onnx'), patchModel({ tile: [64, 64], channels: 48, prefix: 2 }));
  writeFileSync(join(folder, 'map.onnx'), patchModel({ tile: [32, 48], layout: 'bchw' }));
  writeFileSync(join(folder, 'fails-on-bright.onnx'), failsOnBrightModel());
}

/** The exit code: 0 if nothing was found. */
async function load() {
  const child = spawn(process.execPath, ['--expose-gc', 'test/soak/load.mjs', folder, String(seconds), String(seed)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let finished = 0;
  child.stdout.setEncoding('utf8').on('data', (text) => {
    process.stdout.write(text);
    if (text.includes('soak: done')) finished = performance.now();
  });
  const begin = performance.now();
  let complaint;
  const watch = setInterval(() => {
    const now = performance.now();
    if (finished && now - finished > LONGEST_EXIT * 1000)
      complaint = `still there ${LONGEST_EXIT} s after its work was done`;
    if (now - begin > (3 * seconds + LONGEST_END) * 1000) complaint = 'still at it long after the end';
    if (complaint) child.kill('SIGKILL');
  }, 500);
  const [code, signal] = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (...end) => resolve(end));
  });
  clearInterval(watch);
  if (code === 0 && !finished) complaint = 'gone before its work was done';
  if (code !== 0) complaint ??= signal ? `ended by ${signal}` : `exit code ${code}`;
  console.log(complaint ? `soak: FAILED (${complaint}); seed ${seed}` : `soak: nothing found; seed ${seed}`);
  return complaint ? 1 : 0;
}
