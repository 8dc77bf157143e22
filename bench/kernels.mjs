// split and pool against memcpy, in native code, for every instruction set of this machine.
// node bench/kernels.mjs [--json] [--quick]      --quick: without the 5000 x 3000 image

import { spawnSync } from 'node:child_process';
import { buildNative } from './lib/native.mjs';
import { runSection } from './lib/section.mjs';

const SHOWN_MODES = ['torch-bicubic', 'torch-bicubic-antialias', 'pillow-bicubic']; // the data has all nine modes

function run(name, args) {
  const program = buildNative(name);
  const { status, stdout, error } = spawnSync(program, ['--json', ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (error || status !== 0) throw new Error(`${name} failed`, { cause: error });
  return JSON.parse(stdout);
}

function measure({ quick, progress }) {
  progress('split');
  const split = run('split_bench', quick ? ['--quick'] : []);
  progress('pool');
  const pool = run('pool_bench', []);
  const splitRows = split
    .filter(({ mode }) => SHOWN_MODES.includes(mode))
    .map(({ case: what, isa, mode, threadsMs, ratio }) => ({
      name: `split ${mode}, ${what}, ${isa}`,
      value: threadsMs,
      unit: 'ms',
      ratio,
    }));
  const poolRows = pool
    .filter(({ name }) => !name.endsWith('float16') || name.startsWith('tokens 14 x 256 x 768,'))
    .map(({ name, isa, poolUs, ratio }) => ({
      name: `pool ${name}, ${isa}`,
      value: poolUs / 1000,
      unit: 'ms',
      ratio,
    }));
  return {
    what: `split: uint8 RGB to 14 tiles of float32, normalised; pool: 14 tiles of 3 scales to one grid; ${pool[0].threads} threads`,
    ratio: 'times memcpy: one thread that copies as many bytes as are read and written',
    rows: [...splitRows, ...poolRows],
    data: { split, pool },
  };
}

await runSection({ name: 'kernels', title: 'kernels against memcpy', measure });
