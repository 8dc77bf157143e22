// The native benchmarks: builds them in build-bench/ and gives their paths.

import { spawnSync } from 'node:child_process';
import { root } from './machine.mjs';

function run(command, args) {
  // What the build says goes to stderr: stdout is for results.
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  if (error || status !== 0) throw new Error(`${command} ${args.join(' ')} failed`, { cause: error });
}

/** The path of bench/native/NAME.cc's program. */
export function buildNative(name) {
  run('cmake', ['-S', '.', '-B', 'build-bench', '-DMANYSCALE_ADDON=OFF', '-DMANYSCALE_BENCH=ON']);
  run('cmake', ['--build', 'build-bench', '--parallel', '2', '--target', name]);
  return `${root}/build-bench/bench/native/${name}`;
}
