// What a figure was measured on.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { readBuildInfo, readKernels, readRuntimeInfo } from '../../dist/native/calls.js';
import { findRuntime } from '../../dist/runtime.js';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** The engine's threads: as many as the processors that this process may use, by its affinity and its container's limit. */
export const engineThreads = readBuildInfo().threads;

function git(...args) {
  try {
    return execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return undefined; // not a checkout
  }
}

export async function describeMachine() {
  const runtime = await readRuntimeInfo(findRuntime().path, false);
  const commit = git('rev-parse', 'HEAD');
  // Results are written into the working tree: they do not make it another version.
  const changed = git('status', '--porcelain', '--', '.', ':!bench/results', ':!docs/images', ':!README.md');
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: engineThreads,
    isa: readKernels().split,
    memoryGiB: Math.round((totalmem() / 2 ** 30) * 10) / 10,
    platform: `${process.platform}-${process.arch}`,
    node: process.version,
    onnxruntime: runtime.version,
    manyscale: JSON.parse(readFileSync(`${root}/package.json`, 'utf8')).version,
    ...(commit && { commit: changed ? `${commit} and changes` : commit }),
  };
}
