// Formatting and lint of everything: Biome (TypeScript, JavaScript, JSON), clang-format (C++), the types of the tests.
//
//   node scripts/lint.mjs [--fix]
//
// Without clang-format its part is skipped with a word, unless CI is set.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const fix = process.argv.includes('--fix');
process.chdir(root);

const sources = ['native', 'test/native', 'test/fuzz', 'bench/native']
  .flatMap((folder) => listFiles(folder))
  .filter((path) => /\.(?:cc|h|cu)$/.test(path));

let failed = false;
run('biome', 'node_modules/.bin/biome', ['check', ...(fix ? ['--write'] : ['--error-on-warnings'])]);
if (spawnSync('clang-format', ['--version']).status === 0) {
  run('clang-format', 'clang-format', [...(fix ? ['-i'] : ['--dry-run', '-Werror']), ...sources]);
} else if (process.env.CI) {
  console.log('lint: clang-format is not installed, and CI must not go without it');
  failed = true;
} else {
  console.log('lint: clang-format is not installed; the C++ sources were not looked at (apt-get install clang-format)');
}
if (!fix) run('tsc', 'node_modules/.bin/tsc', ['-p', 'tsconfig.test.json']);
process.exitCode = failed ? 1 : 0;

function run(name, command, args) {
  const { status } = spawnSync(command, args, { stdio: 'inherit' });
  if (status === 0) return;
  console.log(`lint: ${name} failed${fix ? '' : '; "npm run format" mends what is only formatting'}`);
  failed = true;
}

function listFiles(folder) {
  try {
    return readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name));
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
}
