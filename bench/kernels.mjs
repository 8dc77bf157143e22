// split and pool against memcpy, in native code, for every instruction set of this machine. Builds what it runs in build-bench/.
// node bench/kernels.mjs [--quick]      --quick: without the 5000 x 3000 image

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

const quiet = { stdio: ['ignore', 'ignore', 'inherit'] };
run('cmake', ['-S', '.', '-B', 'build-bench', '-DMANYSCALE_ADDON=OFF', '-DMANYSCALE_BENCH=ON'], quiet);
run('cmake', ['--build', 'build-bench', '--parallel', '2'], quiet);
run('build-bench/bench/native/split_bench', process.argv.slice(2));
console.log();
run('build-bench/bench/native/pool_bench', []);
