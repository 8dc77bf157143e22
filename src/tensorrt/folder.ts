// Where TensorRT's engines are kept. An engine is code that the GPU's driver and this process run: whoever can write to the folder can run
// code as its user, so that a folder which others can write to is refused.

import { lstat, mkdir, mkdtemp, readdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { ManyscaleError } from '../errors.js';

/** In an engine's folder, written last: without it the folder is no engine's. */
const MARK = 'engine.json';
const BUILDING = 'building-';
/** A build that ended without tidying up (the machine went down) is left alone for so long. */
const OLD = 24 * 60 * 60 * 1000;

const WRITABLE_BY_OTHERS = 0o022;
const STICKY = 0o1000;

/** $XDG_CACHE_HOME/manyscale/tensorrt, else ~/.cache/manyscale/tensorrt. */
export function defaultFolder(): string {
  const base = process.env['XDG_CACHE_HOME'];
  // The specification of the variable has relative paths ignored.
  return join(base && isAbsolute(base) ? base : join(homedir(), '.cache'), 'manyscale', 'tensorrt');
}

function refusal(path: string, received: string, advice: string, cause?: unknown): ManyscaleError {
  return new ManyscaleError(
    'ERR_DEVICE_UNAVAILABLE',
    `Expected a folder that only its user can write to for TensorRT's engines but received '${path}', ${received}; ${advice}`,
    { cause },
  );
}

/**
 * Makes the folder where there is none, and checks it and those above it.
 * @throws {ManyscaleError} ERR_DEVICE_UNAVAILABLE
 */
export async function openFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw refusal(path, `which cannot be made (${code})`, 'give another as tensorrt.engineCache', cause);
  }
  await checkFolder(path);
}

/**
 * Checks a folder that is there.
 * @throws {ManyscaleError} ERR_DEVICE_UNAVAILABLE
 */
export async function checkFolder(path: string): Promise<void> {
  const found = await lstat(path);
  if (found.isSymbolicLink()) throw refusal(path, 'which is a link', 'give the folder itself');
  if (!found.isDirectory()) throw refusal(path, 'which is no folder', 'give a folder');
  const user = process.getuid?.();
  if (found.uid !== user)
    throw refusal(
      path,
      `which belongs to user ${found.uid} while this process runs as ${user}`,
      'give one of your own',
    );
  if ((found.mode & WRITABLE_BY_OTHERS) !== 0)
    throw refusal(path, 'which others can write to', `run: chmod go-w ${path}`);
  // Who can write above it can put another folder in its place, unless the sticky bit forbids that, as in /tmp.
  let below = await realpath(path);
  for (let above = dirname(below); above !== below; above = dirname(below)) {
    const { uid, mode } = await stat(above);
    if (uid !== 0 && uid !== user)
      throw refusal(path, `below '${above}', which belongs to user ${uid}`, 'give one below folders of your own');
    if ((mode & WRITABLE_BY_OTHERS) !== 0 && (mode & STICKY) === 0)
      throw refusal(path, `below '${above}', which others can write to`, `run: chmod go-w ${above}`);
    below = above;
  }
}

/** Whether an engine lies there, from a build that came to its end. */
export async function hasEngine(folder: string): Promise<boolean> {
  try {
    await readFile(join(folder, MARK));
  } catch {
    return false;
  }
  await checkFolder(folder);
  return true;
}

/** Whether there is any: without, no key need be made. */
export async function hasEngines(root: string): Promise<boolean> {
  const names = await readdir(root).catch(() => []);
  return names.some((name) => !name.startsWith(BUILDING));
}

/** A new folder for a build, beside the finished ones. */
export async function beginEngine(root: string): Promise<string> {
  await removeAbandoned(root);
  return mkdtemp(join(root, BUILDING)); // mode 0700
}

/**
 * Makes a build's folder the engine's. Of two processes that built the same the first one's stays.
 * @param facts What the engine is made for, for people.
 */
export async function finishEngine(building: string, folder: string, facts: object): Promise<void> {
  await writeFile(join(building, MARK), `${JSON.stringify(facts, undefined, 2)}\n`, { mode: 0o600 });
  try {
    await rename(building, folder);
  } catch (error) {
    if (await hasEngine(folder)) return abandonEngine(building);
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
    await abandonEngine(folder); // what is left of one that somebody half removed
    await rename(building, folder);
  }
}

export async function abandonEngine(building: string): Promise<void> {
  await rm(building, { recursive: true, force: true });
}

async function removeAbandoned(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    if (!name.startsWith(BUILDING)) continue;
    const path = join(root, name);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
    if (Date.now() - mtimeMs > OLD) await abandonEngine(path);
  }
}
