// Builds the addon with cmake-js: build/Release/manyscale.node, or build/Debug/manyscale.node with --debug.
//
//   node scripts/build-native.mjs [--debug] [--arch x64|arm64] [--out FOLDER] [--CDNAME=VALUE ...]
//
// --arch: of the binary; for arm64 on x64 it takes Debian's cross compiler. --out: where CMake works, for a build that must not
// share build/'s cache (binding.gyp). The rest goes to cmake-js: --CDMANYSCALE_SANITIZE=address sets a CMake option.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { availableParallelism, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values, tokens } = parseArgs({
  options: { debug: { type: 'boolean' }, arch: { type: 'string' }, out: { type: 'string' } },
  strict: false,
  tokens: true,
});
const known = new Set(['debug', 'arch', 'out']);
const passedOn = tokens
  .filter((token) => token.kind !== 'option' || !known.has(token.name))
  .map((token) => (token.kind === 'option' ? `${token.rawName}${token.value === undefined ? '' : `=${token.value}`}` : token.value));

const configuration = values.debug ? 'Debug' : 'Release';
const arch = values.arch ?? process.arch;
const args = ['compile', '--directory', root];
if (values.debug) args.push('--debug');
// One CMake cache per configuration and architecture; the binary always stands where the loader looks.
const out = values.out ?? (arch !== process.arch ? `build-${arch}` : values.debug ? 'build-debug' : 'build');
args.push('--out', join(root, out));
if (arch === process.arch) args.push(`--CDCMAKE_LIBRARY_OUTPUT_DIRECTORY=${join(root, 'build', configuration)}`);
if (arch !== process.arch) {
  if (arch !== 'arm64') throw new Error(`Expected --arch ${process.arch} or arm64 but received ${arch}`);
  args.push(`--CDCMAKE_TOOLCHAIN_FILE=${join(root, 'cmake', 'toolchain-aarch64-linux-gnu.cmake')}`);
}

// A compiler process takes up to a gigabyte here: small boxes get fewer at a time.
const jobs = Math.max(1, Math.min(availableParallelism(), Math.floor(totalmem() / 2 ** 30)));
const manifest = createRequire(import.meta.url).resolve('cmake-js/package.json');
const { status, error } = spawnSync(process.execPath, [join(dirname(manifest), 'bin', 'cmake-js'), ...args, ...passedOn], {
  stdio: 'inherit',
  env: { CMAKE_BUILD_PARALLEL_LEVEL: String(jobs), ...process.env },
});
if (error) throw error;
process.exitCode = status ?? 1;
