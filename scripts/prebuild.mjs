// Puts prebuilds/linux-<arch>/manyscale.<libc>.node in place, through prebuildify, node-gyp and binding.gyp.
//
//   node scripts/prebuild.mjs [--arch x64|arm64]
import { spawnSync } from 'node:child_process';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const { arch } = parseArgs({ options: { arch: { type: 'string', default: process.arch } } }).values;

const env = { ...process.env };
// node-gyp wants Node's headers, though nothing here compiles against them: this Node's own, where it brings them, save a download.
const prefix = dirname(dirname(process.execPath));
if (!env.npm_config_nodedir && existsSync(join(prefix, 'include', 'node', 'common.gypi')))
  env.npm_config_nodedir = prefix;

const manifest = createRequire(import.meta.url).resolve('prebuildify/package.json');
const args = [join(dirname(manifest), 'bin.js'), '--napi', '--strip', '--tag-libc', '--arch', arch];
if (arch === 'arm64' && process.arch !== 'arm64') args.push('--strip-bin', 'aarch64-linux-gnu-strip');

// node-gyp rebuilds from an empty build/; the local build is kept out of its way.
const build = join(root, 'build');
const kept = join(root, 'build-kept');
rmSync(kept, { force: true, recursive: true });
if (existsSync(build)) renameSync(build, kept);
try {
  process.exitCode = spawnSync(process.execPath, args, { cwd: root, env, stdio: 'inherit' }).status ?? 1;
} finally {
  rmSync(build, { force: true, recursive: true });
  if (existsSync(kept)) renameSync(kept, build);
}
