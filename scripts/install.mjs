// npm's install script. In a checkout: builds the addon and dist/, and fails where that fails. As a dependency: makes sure that
// an addon loads (a prebuilt one, else one built here) and never fails the install; what is missing is said when it is needed.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const buildNative = join(root, 'scripts', 'build-native.mjs');

if (existsSync(join(root, 'tsconfig.json'))) {
  installCheckout();
} else {
  installDependency();
}

function installCheckout() {
  execFileSync(process.execPath, [buildNative], { stdio: 'inherit' });
  // Without development dependencies there is no compiler, and dist/ is expected to be there already.
  if (hasPackage('typescript')) execFileSync('npm', ['run', '--silent', 'build:ts'], { cwd: root, stdio: 'inherit' });
}

function installDependency() {
  if (addonLoads()) return;
  const missing = missingTools();
  if (missing.length === 0) {
    console.log('manyscale: no prebuilt addon loads on this system; building it from source, which takes a minute');
    if (spawnSync(process.execPath, [buildNative], { stdio: 'inherit' }).status === 0 && addonLoads()) return;
  }
  const reason = missing.length > 0 ? `building one needs ${missing.join(' and ')}` : 'building one failed (see above)';
  console.log(
    `manyscale: no prebuilt addon loads on this system and ${reason}. Then run: node ${JSON.stringify(buildNative)}`,
  );
}

// In a child process: a binary that does not fit can end the process that loads it.
function addonLoads() {
  const loader = new URL('../dist/native/load.js', import.meta.url).href;
  const code = `import(${JSON.stringify(loader)}).then(({ loadAddon }) => loadAddon())`;
  return spawnSync(process.execPath, ['-e', code], { stdio: 'ignore' }).status === 0;
}

function missingTools() {
  const runs = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;
  const missing = [];
  if (!runs('cmake')) missing.push('CMake');
  if (!['g++', 'clang++'].some(runs)) missing.push('a C++ compiler');
  if (!['ninja', 'make'].some(runs)) missing.push('make');
  if (!hasPackage('cmake-js')) missing.push('the package cmake-js');
  return missing;
}

function hasPackage(name) {
  try {
    createRequire(import.meta.url).resolve(`${name}/package.json`);
    return true;
  } catch {
    return false;
  }
}
