// The search for the addon, in package folders made for it. Needs the local build (npm ci leaves it).

import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type AddonSearch,
  addonError,
  addonReport,
  detectLibc,
  loadAddon,
  searchAddon,
} from '../../src/native/load.js';
import { repository } from '../helpers/paths.js';

const built = join(repository, 'build', 'Release', 'manyscale.node');
const { version } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as { version: string };
const platform = process.platform;
const arch = process.arch;
const ours = detectLibc().family === 'musl' ? 'musl' : 'glibc';
const other = ours === 'musl' ? 'glibc' : 'musl';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'manyscale-loader-'));
});
afterEach(() => rmSync(root, { recursive: true }));

function place(name: string, content: 'addon' | 'rubbish'): string {
  const path = join(root, name);
  mkdirSync(dirname(path), { recursive: true });
  if (content === 'addon') copyFileSync(built, path);
  else writeFileSync(path, 'this is no shared library');
  return path;
}

function search(changes: Partial<AddonSearch> = {}) {
  return searchAddon({ root, version, override: undefined, platform, arch, libc: detectLibc(), ...changes });
}

const release = join('build', 'Release', 'manyscale.node');
const debug = join('build', 'Debug', 'manyscale.node');
const prebuilt = (libc: string) => join('prebuilds', `${platform}-${arch}`, `manyscale.${libc}.node`);

describe('the order of the search', () => {
  it('takes the release build first', () => {
    const path = place(release, 'addon');
    place(debug, 'addon');
    place(prebuilt(ours), 'addon');
    const { addon, report } = search();
    expect(addon?.buildInfo().version).toBe(version);
    expect(report.loaded).toBe(path);
    expect(report.tried).toEqual([{ path, ok: true }]);
  });

  it('then the debug build', () => {
    const path = place(debug, 'addon');
    place(prebuilt(ours), 'addon');
    expect(search().report.loaded).toBe(path);
  });

  it('then the prebuilt binary', () => {
    const path = place(prebuilt(ours), 'addon');
    const { report } = search();
    expect(report.loaded).toBe(path);
    expect(report.tried.map(({ ok, error }) => ({ ok, error }))).toEqual([
      { ok: false, error: 'no such file' },
      { ok: false, error: 'no such file' },
      { ok: true, error: undefined },
    ]);
  });

  it('goes on after a binary that does not load, and says why it did not', () => {
    const broken = place(release, 'rubbish');
    const path = place(prebuilt(ours), 'addon');
    const { report } = search();
    expect(report.loaded).toBe(path);
    expect(report.tried[0]).toMatchObject({ path: broken, ok: false });
    expect(report.tried[0]?.error).toMatch(/invalid ELF header|file too short/);
  });

  it('never tries anything but what MANYSCALE_ADDON names', () => {
    place(release, 'addon');
    const path = place('elsewhere.node', 'addon');
    expect(search({ override: path }).report).toMatchObject({ loaded: path, tried: [{ path, ok: true }] });

    const missing = join(root, 'missing.node');
    const { addon, report } = search({ override: missing });
    expect(addon).toBeUndefined();
    expect(report.tried).toEqual([{ path: missing, ok: false, error: 'no such file' }]);
  });

  it('refuses a relative MANYSCALE_ADDON', () => {
    place(release, 'addon');
    const { addon, report } = search({ override: release });
    expect(addon).toBeUndefined();
    expect(report.tried).toEqual([{ path: release, ok: false, error: 'MANYSCALE_ADDON must be an absolute path' }]);
  });
});

describe('what it refuses', () => {
  it('a binary for the other C library, without loading it', () => {
    const path = place(prebuilt(other), 'addon');
    const { addon, report } = search();
    expect(addon).toBeUndefined();
    expect(report.tried.at(-1)).toEqual({
      path,
      ok: false,
      error: `it was built for ${other}, this system has ${ours}`,
    });
  });

  it('passes over it to the one that fits', () => {
    place(prebuilt(other), 'rubbish');
    const path = place(prebuilt(ours), 'addon');
    expect(search().report.loaded).toBe(path);
  });

  it('a binary of another version of the package', () => {
    place(release, 'addon');
    const { addon, report } = search({ version: '99.0.0' });
    expect(addon).toBeUndefined();
    expect(report.tried[0]?.error).toBe(`it is of version ${version}, this package of version 99.0.0`);
  });

  it('an addon of something else', () => {
    const sharp = createRequire(createRequire(import.meta.url).resolve('sharp'));
    const libc = ours === 'musl' ? 'linuxmusl' : 'linux';
    const { addon, report } = search({ override: sharp.resolve(`@img/sharp-${libc}-${arch}/sharp.node`) });
    expect(addon).toBeUndefined();
    expect(report.tried[0]?.error).toBe('it is a Node.js addon, but not that of manyscale');
  });
});

describe('when nothing loads', () => {
  it('says all that was tried, why each failed, and the command that mends it', () => {
    const broken = place(release, 'rubbish');
    const foreign = place(prebuilt(other), 'addon');
    const { report } = search();
    const error = addonError(report, root);
    expect(error.code).toBe('ERR_ADDON_UNAVAILABLE');
    expect(error.message).toMatch(/^Expected a native addon for .* but received none that loads\.$/m);
    expect(error.message).toContain(`${platform}-${arch}`);
    for (const { path, error: why } of report.tried) expect(error.message).toContain(`  - ${path}: ${why}`);
    expect(report.tried.map(({ path }) => path)).toEqual([broken, join(root, debug), foreign]);
    expect(error.message).toContain('cmake');
    expect(error.message).toContain(`node "${join(root, 'scripts', 'build-native.mjs')}"`);
    expect(existsSync(join(repository, 'scripts', 'build-native.mjs'))).toBe(true);
  });

  it('names the folder where a platform has no prebuilt binary', () => {
    const { report } = search({ platform: 'sunos', arch: 'sparc' });
    expect(report.tried.at(-1)).toEqual({
      path: join(root, 'prebuilds', 'sunos-sparc'),
      ok: false,
      error: 'no prebuilt binary for this platform',
    });
  });
});

describe('this process', () => {
  it('knows its C library', () => {
    const libc = detectLibc();
    if (libc.family === 'glibc') expect(libc.version).toMatch(/^\d+\.\d+/);
    else expect(libc.family).toBe('musl');
  });

  it('loads one addon and reports it', () => {
    expect(loadAddon()).toBe(loadAddon());
    expect(addonReport()).toMatchObject({ platform, arch, loaded: expect.stringMatching(/\.node$/) });
  });
});
