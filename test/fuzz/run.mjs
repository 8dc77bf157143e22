// Builds the fuzz targets with clang and runs them, two at a time, each from its kept corpus.
//
//   node test/fuzz/run.mjs [--seconds N] [--seed N] [--jobs N] [--keep] [TARGET...]
//
// --seconds  for each target; default 20
// --seed     of libFuzzer's mutations; default 1, so that CI does the same every time. 0: a fresh one
// --keep     adds to test/fuzz/corpus what was found, reduced to the fewest files that reach as much
//
// What a target finds is written to build-fuzz/artifacts, and the command that repeats it is printed. The exit code tells.
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values: options, positionals } = parseArgs({
  options: {
    seconds: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    jobs: { type: 'string', default: '2' },
    keep: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});

// Kept files: a fuzzer learns most from small ones, and the repository stays small.
const LONGEST_INPUT = 128;
const MOST_KEPT_FILES = 60;
// What one input may take. Sanitizers make everything several times slower, and so does a busy machine.
const LIMITS = ['-timeout=10', '-rss_limit_mb=1024', '-malloc_limit_mb=256'];

const root = fileURLToPath(new URL('../..', import.meta.url));
process.chdir(root);
const build = 'build-fuzz';
const artifacts = join(build, 'artifacts');
const corpora = 'test/fuzz/corpus';

const known = readdirSync('test/fuzz')
  .filter((name) => name.endsWith('_fuzz.cc'))
  .map((name) => name.slice(0, -'_fuzz.cc'.length));
const targets = positionals.length > 0 ? positionals : known;
for (const target of targets) {
  if (!known.includes(target)) throw new Error(`Expected one of ${known.join(', ')} but received ${target}`);
}

configure();
mkdirSync(artifacts, { recursive: true });
const waiting = [...targets];
let failed = false;
await Promise.all(
  Array.from({ length: Number(options.jobs) }, async () => {
    for (let target = waiting.shift(); target; target = waiting.shift()) await fuzz(target);
  }),
);
process.exitCode = failed ? 1 : 0;

function configure() {
  const fresh = !existsSync(join(build, 'CMakeCache.txt'));
  const compiler = fresh ? [`-DCMAKE_CXX_COMPILER=${process.env['CLANGXX'] ?? 'clang++'}`] : [];
  run('cmake', ['-S', '.', '-B', build, '-DMANYSCALE_ADDON=OFF', '-DMANYSCALE_FUZZ=ON', ...compiler]);
  const names = targets.map((target) => `fuzz_${target}`);
  run('cmake', ['--build', build, '--parallel', String(availableParallelism()), '--target', ...names]);
}

async function fuzz(target) {
  const program = join(build, 'test/fuzz', `fuzz_${target}`);
  const kept = join(corpora, target);
  const found = mkdtempSync(join(tmpdir(), `manyscale-fuzz-${target}-`)); // libFuzzer adds to the first folder that it is given
  try {
    mkdirSync(kept, { recursive: true });
    const begin = performance.now();
    const { status, output } = await capture(program, [
      `-seed=${options.seed}`,
      `-max_total_time=${options.seconds}`,
      `-max_len=${LONGEST_INPUT}`,
      `-artifact_prefix=${artifacts}/${target}-`,
      '-print_final_stats=1',
      ...LIMITS,
      found,
      kept,
    ]);
    const seconds = ((performance.now() - begin) / 1000).toFixed(0);
    const executed = /number_of_executed_units: (\d+)/.exec(output)?.[1];
    if (status === 0) {
      console.log(`fuzz ${target}: ${executed} inputs in ${seconds} s, seed ${options.seed}, nothing found`);
      if (options.keep) await keep(target, program, found, kept);
      return;
    }
    failed = true;
    const artifact = /Test unit written to (\S+)/.exec(output)?.[1];
    console.log(output.split('\n').slice(-80).join('\n'));
    console.log(
      `fuzz ${target}: FAILED after ${executed ?? 'some'} inputs (seed ${options.seed}, exit code ${status})`,
    );
    if (artifact)
      console.log(`fuzz ${target}: the input is ${relative(root, artifact)}; to repeat it: ${program} ${artifact}`);
  } finally {
    rmSync(found, { recursive: true });
  }
}

/** Replaces the kept corpus by the smallest files of old and new that together reach as much. */
async function keep(target, program, found, kept) {
  const merged = mkdtempSync(join(tmpdir(), `manyscale-corpus-${target}-`));
  try {
    const { status, output } = await capture(program, ['-merge=1', `-max_len=${LONGEST_INPUT}`, merged, kept, found]);
    if (status !== 0) throw new Error(`Expected a merged corpus for ${target} but received\n${output}`);
    const files = readdirSync(merged)
      .map((name) => ({ name, size: statSync(join(merged, name)).size }))
      .sort((a, b) => a.size - b.size || (a.name < b.name ? -1 : 1));
    // Where there are too many, an even choice from the smallest to the largest.
    const step = Math.max(1, files.length / MOST_KEPT_FILES);
    const chosen = Array.from({ length: Math.floor(files.length / step) }, (_, i) => files[Math.floor(i * step)]);
    // Files with a name of their own, not libFuzzer's, stay: what they once brought to light must not come back.
    for (const name of readdirSync(kept)) if (/^[0-9a-f]{40}$/.test(name)) rmSync(join(kept, name));
    for (const { name } of chosen) copyFileSync(join(merged, name), join(kept, name));
    console.log(`fuzz ${target}: kept ${chosen.length} of ${files.length} files`);
  } finally {
    rmSync(merged, { recursive: true });
  }
}

function run(command, parameters) {
  const { status, error } = spawnSync(command, parameters, { stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

function capture(command, parameters) {
  const child = spawn(command, parameters, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, UBSAN_OPTIONS: 'print_stacktrace=1' },
  });
  const chunks = [];
  child.stderr.on('data', (chunk) => chunks.push(chunk));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) =>
      resolve({ status: code ?? signal, output: Buffer.concat(chunks).toString() }),
    );
  });
}
