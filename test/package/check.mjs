// Installs a packed tarball as its users do, in empty folders, and uses it.
//
//   node test/package/check.mjs manyscale-0.1.0.tgz
//
// The tarball must have the prebuilt binary of this platform (npm run prebuildify before npm pack).
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

// Ubuntu 22.04, and with it the Jetson's JetPack 6.
const newestGlibc = [2, 35];

const tarball = resolve(process.argv[2] ?? '');
const repository = fileURLToPath(new URL('../..', import.meta.url));
const temporary = mkdtempSync(join(tmpdir(), 'manyscale-package-'));
process.on('exit', () => rmSync(temporary, { recursive: true, force: true }));

// As from a user's shell: npm's own variables of this project's run (its .npmrc among them) stay out.
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^npm_|^MANYSCALE_/i.test(name)),
);

function npm(folder, args, extra = {}) {
  execFileSync('npm', args, { cwd: folder, env: { ...environment, ...extra }, stdio: 'inherit' });
}

function makeApp(name, extra) {
  const folder = join(temporary, name);
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
  npm(folder, ['install', '--no-audit', '--no-fund', tarball], extra);
  cpSync(join(repository, 'examples', 'photos', 'two-dogs.jpg'), join(folder, 'photo.jpg'));
  writeFileSync(join(folder, 'use.mjs'), `import * as manyscale from 'manyscale';\n${use}`);
  writeFileSync(join(folder, 'use.cjs'), `const manyscale = require('manyscale');\n${use}`);
  return folder;
}

// One program for both kinds of module; what it prints is compared.
const use = `
(async () => {
  const { Extractor, defaultModel, ManyscaleError } = manyscale;
  try {
    const extractor = await Extractor.load(defaultModel, { scales: [1, 2] });
    const { tensor, grid } = await extractor.extract('photo.jpg');
    await extractor.dispose();
    const sum = tensor.data.reduce((total, value) => total + Math.abs(value), 0);
    console.log(JSON.stringify({ dims: tensor.dims, grid, sum }));
  } catch (error) {
    if (!(error instanceof ManyscaleError)) throw error;
    console.log(JSON.stringify({ code: error.code, message: error.message }));
  }
})();
`;

function runUse(folder, file = 'use.mjs') {
  const { stdout, stderr, status } = spawnSync(process.execPath, [file], {
    cwd: folder,
    env: environment,
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
  assert.equal(stderr, '', 'nothing but the result is printed');
  return JSON.parse(stdout);
}

function check(name, body) {
  const started = performance.now();
  body();
  console.log(`ok - ${name} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
}

const ready = makeApp('ready', { ONNXRUNTIME_NODE_INSTALL: 'skip' });
const installed = join(ready, 'node_modules', 'manyscale');
let features;

check('an install takes the prebuilt binary and builds nothing', () => {
  assert.ok(!existsSync(join(installed, 'build')));
  for (const name of ['native', 'cmake', 'scripts', 'CMakeLists.txt', 'binding.gyp'])
    rmSync(join(installed, name), { recursive: true });
  assert.ok(
    !existsSync(join(installed, 'src')) && !existsSync(join(installed, 'test')),
    'neither sources nor tests are shipped',
  );
});

check('extract works from ESM, with the sources gone', () => {
  features = runUse(ready);
  assert.deepEqual(features.dims.slice(1), [features.grid.height, features.grid.width], JSON.stringify(features));
  assert.ok(features.sum > 0 && Number.isFinite(features.sum));
});

check('extract works the same from require', () => {
  assert.deepEqual(runUse(ready, 'use.cjs'), features);
});

check('the types hold in ESM and in CommonJS', () => {
  const code = `
async function size(path: string): Promise<number> {
  const extractor: manyscale.Extractor = await manyscale.Extractor.load(manyscale.defaultModel, { scales: [1, 2] });
  const features: manyscale.Features = await extractor.extract(path);
  // @ts-expect-error: scales are numbers
  await extractor.extract(path, { scales: ['1'] });
  return features.tensor.dims.length;
}
void size;
`;
  writeFileSync(join(ready, 'types.mts'), `import * as manyscale from 'manyscale';\n${code}`);
  writeFileSync(join(ready, 'types.cts'), `import manyscale = require('manyscale');\n${code}`);
  const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', '--skipLibCheck'];
  options.push('--types', 'node', '--typeRoots', join(repository, 'node_modules', '@types'));
  execFileSync(join(repository, 'node_modules', '.bin', 'tsc'), [...options, 'types.mts', 'types.cts'], {
    cwd: ready,
    stdio: 'inherit',
  });
});

check('the command line works', () => {
  const manyscale = (...args) =>
    execFileSync(join(ready, 'node_modules', '.bin', 'manyscale'), args, {
      cwd: ready,
      env: environment,
      encoding: 'utf8',
    });
  assert.match(manyscale('--help'), /extract/);
  assert.match(manyscale('doctor'), /prebuilds/);
  manyscale('extract', 'photo.jpg', '-o', 'features.npy');
  assert.equal(readFileSync(join(ready, 'features.npy')).subarray(1, 6).toString('latin1'), 'NUMPY');
  manyscale('view', 'photo.jpg', '-o', 'view.png');
  assert.equal(readFileSync(join(ready, 'view.png')).subarray(1, 4).toString('latin1'), 'PNG');
});

check(`the prebuilt binary asks for no glibc newer than ${newestGlibc.join('.')}`, () => {
  const folder = join(installed, 'prebuilds', `${process.platform}-${process.arch}`);
  for (const name of readdirSync(folder)) {
    const symbols = execFileSync('objdump', ['-T', join(folder, name)], { encoding: 'utf8' });
    const versions = [...symbols.matchAll(/GLIBC_(\d+)\.(\d+)/g)].map(([, major, minor]) => [
      Number(major),
      Number(minor),
    ]);
    const [major, minor] = versions.reduce((a, b) => ((a[0] - b[0] || a[1] - b[1]) > 0 ? a : b), [0, 0]);
    console.log(`${name} asks for glibc ${major}.${minor}`);
    assert.ok((major - newestGlibc[0] || minor - newestGlibc[1]) <= 0);
  }
});

// onnxruntime-node's install script fails for a name that it does not know, as it does without network.
const bare = makeApp('bare', { ONNXRUNTIME_NODE_INSTALL: 'fail' });

check('an install where the runtime cannot be installed succeeds without it', () => {
  assert.ok(!existsSync(join(bare, 'node_modules', 'onnxruntime-node')));
});

check('loading a model then says so, with a command that mends it', () => {
  const { code, message } = runUse(bare);
  assert.equal(code, 'ERR_RUNTIME_UNAVAILABLE');
  const [, command] = /run: (.*?npm install onnxruntime-node\S*(?: --\S+)?)/.exec(message) ?? [];
  assert.ok(command, message);
  execFileSync('sh', ['-c', command], { cwd: bare, env: environment, stdio: 'inherit' });
  assert.deepEqual(runUse(bare), features);
});

check('without a prebuilt binary and a compiler an install succeeds and says what is missing', () => {
  rmSync(join(bare, 'node_modules', 'manyscale', 'prebuilds'), { recursive: true });
  const { stdout, status } = spawnSync(
    process.execPath,
    [join(bare, 'node_modules', 'manyscale', 'scripts', 'install.mjs')],
    {
      env: { ...environment, PATH: '' },
      encoding: 'utf8',
    },
  );
  assert.equal(status, 0);
  assert.match(
    stdout,
    /^manyscale: no prebuilt addon loads on this system and building one needs CMake and a C\+\+ compiler/,
  );
});

check('using it then says what was tried, with a command that mends it', () => {
  const { code, message } = runUse(bare);
  assert.equal(code, 'ERR_ADDON_UNAVAILABLE');
  const command = message.split('\n').at(-1).trim();
  assert.match(command, /^node ".*build-native\.mjs"$/);
  execFileSync('sh', ['-c', command], { cwd: bare, env: environment, stdio: 'inherit' });
  assert.deepEqual(runUse(bare), features);
});

console.log('package: all checks passed');
