// Builds the addon with cmake-js: build/Release/manyscale.node, or build/Debug/manyscale.node.
//
//   node scripts/build-native.mjs [--config Release|Debug] [--arch x64|arm64] [--out FOLDER] [--library FOLDER] [--CDNAME=VALUE ...]
//
// --arch arm64 on another machine takes Debian's cross compiler; --out is where CMake works and --library where the addon goes
// (both relative to the package); --CDMANYSCALE_SANITIZE=address, say, sets a CMake option.
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, totalmem } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const cmakeOptions = process.argv.slice(2).filter((argument) => argument.startsWith('--CD'));
const { values } = parseArgs({
  args: process.argv.slice(2).filter((argument) => !argument.startsWith('--CD')),
  options: {
    config: { type: 'string', default: 'Release' },
    arch: { type: 'string', default: process.arch },
    out: { type: 'string' },
    library: { type: 'string' },
  },
});
const { config, arch } = values;
const cross = arch !== process.arch;
if (cross && arch !== 'arm64') throw new Error(`Expected --arch ${process.arch} or arm64 but received ${arch}`);

// One CMake cache per configuration and architecture; what is built for this machine goes where the loader looks.
const out = resolve(
  root,
  values.out ?? (cross ? `build-${arch}` : config === 'Release' ? 'build' : `build-${config.toLowerCase()}`),
);
const library = values.library
  ? resolve(root, values.library)
  : cross
    ? join(out, config)
    : join(root, 'build', config);

const manifest = createRequire(import.meta.url).resolve('cmake-js/package.json');
const cmakeJs = join(dirname(manifest), 'bin', 'cmake-js');
// A compiler process takes up to a gigabyte here: small boxes get fewer at a time.
const jobs = Math.max(1, Math.min(availableParallelism(), Math.floor(totalmem() / 2 ** 30)));
// The steps of `cmake-js compile`, which would skip the first where a cache stands and answer a compiler's error by deleting everything.
const run = (command) =>
  spawnSync(
    process.execPath,
    [
      cmakeJs,
      command,
      '--directory',
      root,
      '--out',
      out,
      '--config',
      config,
      `--CDCMAKE_LIBRARY_OUTPUT_DIRECTORY=${library}`,
      ...(cross ? [`--CDCMAKE_TOOLCHAIN_FILE=${join(root, 'cmake', 'toolchain-aarch64-linux-gnu.cmake')}`] : []),
      ...cmakeOptions,
    ],
    { stdio: 'inherit', env: { CMAKE_BUILD_PARALLEL_LEVEL: String(jobs), ...process.env } },
  ).status === 0;

const cache = join(out, 'CMakeCache.txt');
let configured = existsSync(cache) && run('configure');
if (!configured) {
  // No cache, or one of another folder or compiler.
  rmSync(cache, { force: true });
  rmSync(join(out, 'CMakeFiles'), { force: true, recursive: true });
  configured = run('configure');
}
process.exitCode = configured && run('build') ? 0 : 1;
