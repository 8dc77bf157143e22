// What may include what (docs/architecture.md): scans the #include and import lines and fails on a breach.

import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { repository as root } from '../helpers/paths.js';

interface SourceFile {
  /** From the root, with forward slashes. */
  path: string;
  text: string;
}

// native/<room>/...: the rooms that a room may include, beside itself.
const nativeRooms: Record<string, string[]> = {
  core: [],
  ops: ['core'],
  device: ['core'],
  runtime: ['core'],
  engine: ['core', 'ops', 'device', 'runtime'],
  addon: ['core', 'engine'],
};
// Inside these rooms every folder is a room of its own: an operation knows no other operation, a device no other device.
const roomsWithRooms = new Set(['ops', 'device']);
// Beside C++ headers, which have no suffix, core and ops take these: C's integers and memory, and the processors' vectors and features.
const plainHeaders = new Set(['stdint.h', 'string.h', 'immintrin.h', 'arm_neon.h', 'cpuid.h']);
const nodeHeader = /^(?:napi|node_api|js_native_api|node|v8|uv)(?:-[a-z.]+)?\.h$/;
const cudaHeader = /^(?:cu|nv|thrust\/|cub\/|cooperative_groups)/;
const mayIncludeCuda = /^native\/(?:ops\/[^/]+\/cuda\.cu|device\/cuda\/.+)$/;

function breachesOfNativeFile({ path, text }: SourceFile): string[] {
  const breaches: string[] = [];
  const [, room = '', inner = ''] = path.split('/');
  const allowed = nativeRooms[room];
  if (!allowed) return [`${path} stands in native/${room}, which is no room of the house`];

  for (const [, bracket, header = ''] of text.matchAll(/^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]/gm)) {
    const breach = (why: string) => breaches.push(`${path} includes ${header}: ${why}`);
    if (nodeHeader.test(header) && room !== 'addon') breach('only native/addon knows Node.js');
    if (cudaHeader.test(header) && !mayIncludeCuda.test(path)) {
      breach('CUDA headers only in ops/*/cuda.cu and device/cuda');
    }
    if (bracket === '"') {
      const [target = '', targetInner = ''] = header.split('/');
      if (!nativeRooms[target]) breach('quoted includes are of the form "room/...", from native/');
      else if (target !== room && !allowed.includes(target)) breach(`${room} may not include ${target}`);
      else if (target === room && roomsWithRooms.has(room) && targetInner !== inner) {
        breach(`${room}/${inner} may not include ${room}/${targetInner}`);
      }
    } else if (
      (room === 'core' || room === 'ops') &&
      /[./]/.test(header) &&
      !plainHeaders.has(header) &&
      !cudaHeader.test(header)
    ) {
      breach(`${room} takes the standard library only`);
    }
  }
  return breaches;
}

function breachesOfTypeScriptFile({ path, text }: SourceFile): string[] {
  const breaches: string[] = [];
  const imports = /(?:\bfrom|\bimport|\bimport\s*\(|\brequire\s*\()\s*['"`]([^'"`]+)['"`]/g;
  for (const [, specifier = ''] of text.matchAll(imports)) {
    const target = specifier.startsWith('.') ? posix.join(posix.dirname(path), specifier) : specifier;
    if (target.startsWith('src/cli/') && !path.startsWith('src/cli/')) {
      breaches.push(`${path} imports ${specifier}: nothing outside src/cli imports it`);
    }
  }
  // The binary: by name, by dlopen, or by the function that hands it out.
  if (!path.startsWith('src/native/') && /\.node['"`]|\bdlopen\s*\(|\bloadAddon\b/.test(text)) {
    breaches.push(`${path} reaches for the addon: only src/native does`);
  }
  return breaches;
}

/** One sentence for every breach of the house's rules in these files. */
function findBreaches(files: SourceFile[]): string[] {
  return files.flatMap((file) =>
    file.path.startsWith('native/') ? breachesOfNativeFile(file) : breachesOfTypeScriptFile(file),
  );
}

function readSources(folder: string, suffix: RegExp): SourceFile[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => suffix.test(name))
    .map((name) => ({
      path: posix.join(folder, name.replaceAll('\\', '/')),
      text: readFileSync(join(root, folder, name), 'utf8'),
    }));
}

describe('what may include what', () => {
  it('holds in native/', () => {
    const files = readSources('native', /\.(?:cc|h|cu)$/);
    expect(files.length).toBeGreaterThan(30);
    expect(findBreaches(files)).toEqual([]);
  });

  it('holds in src/', () => {
    const files = readSources('src', /\.ts$/);
    expect(files.length).toBeGreaterThan(10);
    expect(findBreaches(files)).toEqual([]);
  });
});

describe('the check itself', () => {
  it.each([
    ['native/core/plan.cc', '#include "ops/split/split.h"', 'core may not include ops'],
    ['native/core/plan.cc', '#include <sys/mman.h>', 'standard library only'],
    ['native/ops/split/cpu.cc', '#include "ops/pool/pool.h"', 'ops/split may not include ops/pool'],
    ['native/ops/pool/cpu.cc', '  #  include "device/cpu/executor.h"', 'ops may not include device'],
    ['native/ops/pool/launch.cc', '#include <cuda_runtime.h>', 'CUDA headers only'],
    ['native/device/cpu/executor.cc', '#include "engine/tile_engine.h"', 'device may not include engine'],
    ['native/runtime/session.cc', '#include "device/cpu/executor.h"', 'runtime may not include device'],
    ['native/engine/model.cc', '#include <napi.h>', 'only native/addon knows Node.js'],
    ['native/engine/model.cc', '#include "addon/convert.h"', 'engine may not include addon'],
    ['native/addon/operations.cc', '#include "ops/split/split.h"', 'addon may not include ops'],
    ['native/addon/operations.cc', '#include "convert.h"', 'of the form "room/..."'],
    ['native/elsewhere/a.cc', '', 'no room of the house'],
    ['src/index.ts', "export { main } from './cli/main.js';", 'nothing outside src/cli'],
    ['src/native/load.ts', "const cli = await import('../cli/main.js');", 'nothing outside src/cli'],
    ['src/index.ts', "import './cli/main.js';", 'nothing outside src/cli'],
    ['src/plan.ts', "require('../build/Release/manyscale.node');", 'only src/native'],
    ['src/plan.ts', "import { loadAddon } from './native/load.js';", 'only src/native'],
  ])('finds the breach in %s: %s', (path, text, why) => {
    const breaches = findBreaches([{ path, text }]);
    expect(breaches).toHaveLength(1);
    expect(breaches[0]).toContain(why);
  });

  it.each([
    ['native/ops/split/cpu.cc', '#include "ops/split/split.h"\n#include "core/simd.h"\n#include <vector>'],
    ['native/ops/split/cuda.cu', '#include <cuda_runtime.h>\n#include "core/axis.h"'],
    ['native/device/cuda/driver.cc', '#include <cuda.h>\n#include <dlfcn.h>'],
    [
      'native/engine/engine.cc',
      '#include "ops/pool/pool.h"\n#include "device/cpu/executor.h"\n#include "runtime/session.h"',
    ],
    ['native/addon/module.cc', '#include <napi.h>\n#include "engine/parts.h"'],
    ['src/cli/main.ts', "import { view } from './commands/view.js';\nimport { addonReport } from '../native/load.js';"],
  ])('accepts %s', (path, text) => {
    expect(findBreaches([{ path, text }])).toEqual([]);
  });
});
