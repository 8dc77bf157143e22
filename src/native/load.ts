// Finds and loads the native addon. Order: MANYSCALE_ADDON (nothing else is tried then, so that a test of one binary never
// runs another), the local build, the prebuilt binaries of the package.

import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';
import { ManyscaleError } from '../errors.js';
import { version } from '../version.js';
import type { Addon } from './addon.js';

/** Which C library this process runs on, and its version where it says one. */
export interface Libc {
  family: 'glibc' | 'musl' | 'unknown';
  version?: string;
}

/** One file that was tried, or a place where none was found. */
export interface AddonAttempt {
  path: string;
  ok: boolean;
  /** Why it was not used. */
  error?: string;
}

/** What the search for the addon met, for `manyscale doctor` and for the error when nothing loads. */
export interface AddonReport {
  tried: AddonAttempt[];
  /** Absolute path of the binary in use; absent when none loads. */
  loaded?: string;
  platform: string;
  arch: string;
  libc: Libc;
}

/** What the search depends on. */
export interface AddonSearch {
  /** The package's folder. */
  root: string;
  /** The package's version, which the binary's must equal. */
  version: string;
  /** The value of MANYSCALE_ADDON. */
  override: string | undefined;
  platform: string;
  arch: string;
  libc: Libc;
}

// Without the network part, which looks up a name for every open socket and so can block for seconds.
function diagnosticReport(): unknown {
  const report = process.report as (NodeJS.ProcessReport & { excludeNetwork?: boolean }) | undefined;
  if (!report) return undefined;
  const { excludeNetwork = false } = report;
  report.excludeNetwork = true;
  try {
    return report.getReport();
  } finally {
    report.excludeNetwork = excludeNetwork;
  }
}

/** The C library of this process, as Node's diagnostic report tells it. */
export function detectLibc(): Libc {
  const report = diagnosticReport();
  if (typeof report === 'object' && report !== null) {
    const { header, sharedObjects } = report as { header?: { glibcVersionRuntime?: string }; sharedObjects?: string[] };
    if (header?.glibcVersionRuntime) return { family: 'glibc', version: header.glibcVersionRuntime };
    if (sharedObjects?.some((path) => /(?:^|\/)(?:ld-musl|libc\.musl)-/.test(path))) return { family: 'musl' };
  }
  // Runtimes without that report: musl's loader stands at a fixed place.
  if (
    process.platform === 'linux' &&
    existsSync('/lib') &&
    readdirSync('/lib').some((name) => /^ld-musl-.*\.so/.test(name))
  ) {
    return { family: 'musl' };
  }
  return { family: 'unknown' };
}

/**
 * Tries every place that `search` names, in order, until one binary loads.
 * @returns the addon, if one loaded, and what was tried. Does not throw.
 */
export function searchAddon(search: AddonSearch): { addon?: Addon; report: AddonReport } {
  const { root, override, platform, arch, libc } = search;
  const require = createRequire(import.meta.url);
  const tried: AddonAttempt[] = [];
  const report: AddonReport = { tried, platform, arch, libc };
  const refuse = (path: string, error: string): undefined => {
    tried.push({ path, ok: false, error });
    return undefined;
  };
  const load = (path: string): Addon | undefined => {
    if (!existsSync(path)) return refuse(path, 'no such file');
    try {
      const addon = require(path) as Partial<Addon>;
      if (typeof addon.buildInfo !== 'function') {
        return refuse(path, 'it is a Node.js addon, but not that of manyscale');
      }
      const built = addon.buildInfo().version;
      if (built !== search.version) {
        return refuse(path, `it is of version ${built}, this package of version ${search.version}`);
      }
      tried.push({ path, ok: true });
      report.loaded = path;
      return addon as Addon;
    } catch (error) {
      return refuse(path, (error instanceof Error ? error.message : String(error)).trim());
    }
  };
  const found = (addon: Addon | undefined) => (addon ? { addon, report } : { report });

  if (override) {
    if (!isAbsolute(override)) refuse(override, 'MANYSCALE_ADDON must be an absolute path');
    return found(isAbsolute(override) ? load(override) : undefined);
  }

  for (const configuration of ['Release', 'Debug']) {
    const addon = load(join(root, 'build', configuration, 'manyscale.node'));
    if (addon) return found(addon);
  }

  const folder = join(root, 'prebuilds', `${platform}-${arch}`);
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.node')) : [];
  if (names.length === 0) refuse(folder, 'no prebuilt binary for this platform');
  for (const name of names.sort()) {
    const path = join(folder, name);
    // Loading a binary of the other C library can end the process: its name (manyscale.<libc>.node) is asked first.
    const builtFor = /\.(glibc|musl)\.node$/.exec(name)?.[1];
    if (builtFor && libc.family !== 'unknown' && builtFor !== libc.family) {
      refuse(path, `it was built for ${builtFor}, this system has ${libc.family}`);
      continue;
    }
    const addon = load(path);
    if (addon) return found(addon);
  }
  return found(undefined);
}

/** The error for a search that found nothing: all that was tried, why each failed, and the command that mends it. */
export function addonError(report: AddonReport, root: string): ManyscaleError {
  const libc =
    report.libc.family === 'unknown' ? '' : `, ${[report.libc.family, report.libc.version].filter(Boolean).join(' ')}`;
  const tried = report.tried.map(({ path, error }) => `  - ${path}: ${error}`).join('\n');
  return new ManyscaleError(
    'ERR_ADDON_UNAVAILABLE',
    `Expected a native addon for ${report.platform}-${report.arch} (Node.js ${process.version}${libc}) but received none that loads.\n` +
      `Tried:\n${tried}\n` +
      `To mend it, build it here with g++ 11 or newer and CMake 3.18 or newer ` +
      `(on Debian and Ubuntu: apt-get install g++ make cmake):\n` +
      `  node ${JSON.stringify(join(root, 'scripts', 'build-native.mjs'))}`,
  );
}

// Both src/native (tests) and dist/native stand two folders below the package's root.
const packageRoot = fileURLToPath(new URL('../..', import.meta.url));

// One search per thread: worker threads have their own module instances, and the addon keeps its state per environment.
let result: { addon?: Addon; report: AddonReport } | undefined;

function search(): { addon?: Addon; report: AddonReport } {
  if (result) return result;
  result = searchAddon({
    root: packageRoot,
    version,
    override: process.env['MANYSCALE_ADDON'],
    platform: process.platform,
    arch: process.arch,
    libc: detectLibc(),
  });
  if (isMainThread && result.addon) endInOrder(result.addon);
  return result;
}

// Cancelled model runs end within milliseconds; only the loading of a huge model takes longer.
const LONGEST_STOP = 3000;

/**
 * process.exit() destroys ONNX Runtime's globals without waiting for the threads that are inside it, which can crash. A
 * worker thread that ends, also with the process, waits for its own work anyway.
 */
function endInOrder(addon: Addon): void {
  process.once('exit', () => addon.stop(LONGEST_STOP));
}

/**
 * The native addon; loaded at the first call.
 * @throws {ManyscaleError} ERR_ADDON_UNAVAILABLE when no binary loads.
 */
export function loadAddon(): Addon {
  const { addon, report } = search();
  if (!addon) throw addonError(report, packageRoot);
  return addon;
}

/** What was tried to load the addon, and which binary is in use. Never throws. */
export function addonReport(): AddonReport {
  return search().report;
}
