// The process that builds an engine: its answers, and every way in which it can fail without harming this one.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ON_CPU } from '../../src/device.js';
import { findRuntime } from '../../src/runtime.js';
import { type BuildRequest, runBuild } from '../../src/tensorrt/child.js';
import { repository } from '../helpers/paths.js';
import { expectCode } from './rejection.js';

const model = join(repository, 'test/models/vit_emoji_96.onnx');
const ownScript = join(repository, 'dist/tensorrt/build.js');

const request: BuildRequest = {
  session: {
    runtime: findRuntime().path,
    model,
    identity: 'a model',
    threads: 1,
    maxBatch: 0,
    maxDelay: -1,
    deterministic: false,
    maxBytes: 0,
    device: ON_CPU,
  },
  modelBytes: false,
  configuration: { input: 0, outputs: [0], tile: { height: 96, width: 96 }, fixedBatch: 0, layout: 'nchw' },
  outputDims: [[145, 128]],
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'manyscale-child-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** A process that does this. */
function script(code: string): string {
  const path = join(folder, 'child.mjs');
  writeFileSync(path, code);
  return path;
}

const build = (code: string, limits: { timeout?: number; signal?: AbortSignal; onTick?: () => void } = {}) =>
  runBuild(request, { timeout: 30_000, signal: undefined, ...limits }, script(code));

const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

/** Writes its process id, then waits for ever. */
const waits = () =>
  `import { writeFileSync } from 'node:fs'; writeFileSync(${JSON.stringify(join(folder, 'pid'))}, String(process.pid)); setInterval(() => {}, 1000);`;
const pid = () => Number(readFileSync(join(folder, 'pid'), 'utf8'));

async function started(): Promise<void> {
  for (;;) {
    try {
      if (pid() > 0) return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

describe('a process that builds', () => {
  test('is given the request, and its last answer counts', async () => {
    const code = `
      import { text } from 'node:stream/consumers';
      const request = JSON.parse(await text(process.stdin));
      process.stdout.write('chatter of a library, ' + 'x'.repeat(100_000));
      const ok = request.session.identity === 'a model' && request.configuration.tile.height === 96;
      process.stdout.write('\\nmanyscale-engine:' + JSON.stringify(ok ? { ok } : { ok, code: 'ERR_MODEL_RUN', message: 'no' }) + '\\n');`;
    await build(code);
  });

  test('gives its error, with its code', async () => {
    const answer = { ok: false, code: 'ERR_OUT_OF_MEMORY', message: 'Expected memory but received none' };
    const code = `process.stdout.write('manyscale-engine:' + ${JSON.stringify(JSON.stringify(answer))} + '\\n')`;
    await expectCode(() => build(code), 'ERR_OUT_OF_MEMORY', /^Expected memory but received none$/);
  });

  test.each([
    ['ends without an answer', 'process.exitCode = 3', /ended with exit code 3;/],
    ['crashes', "process.kill(process.pid, 'SIGSEGV')", /ended by SIGSEGV/],
    ['says why it fails', "throw new Error('no libnvinfer.so.10')", /exit code 1, after ".*no libnvinfer\.so\.10/],
    ['gives half an answer', 'process.stdout.write(\'manyscale-engine:{"ok":tr\')', /exit code 0;/],
    ['closes its input', 'process.stdin.destroy(); process.exitCode = 4', /exit code 4/],
  ])('that %s is an error', async (_, code, message) => {
    await expectCode(() => build(code), 'ERR_DEVICE_FAILED', message);
  });

  test('that takes too long is ended', async () => {
    const act = () => build(waits(), { timeout: 700 });
    await expectCode(act, 'ERR_DEVICE_UNAVAILABLE', /within 700 ms .* raise tensorrt\.buildTimeout/);
    expect(isAlive(pid())).toBe(false);
  });

  test('is ended by a signal, whose reason is thrown', async () => {
    const controller = new AbortController();
    const reason = new Error('the user left');
    const work = build(waits(), { signal: controller.signal });
    await started();
    controller.abort(reason);
    await expect(work).rejects.toBe(reason);
    expect(isAlive(pid())).toBe(false);
    await expect(build('', { signal: controller.signal })).rejects.toBe(reason);
  });

  test('is ended by what its listener throws', async () => {
    const reason = new Error('not like this');
    const onTick = () => {
      throw reason;
    };
    await expect(build(waits(), { onTick })).rejects.toBe(reason);
    expect(isAlive(pid())).toBe(false);
  });
});

describe("manyscale's own process", () => {
  const own = (changes: Partial<BuildRequest['session']>, limits = {}) =>
    runBuild(
      { ...request, session: { ...request.session, ...changes } },
      { timeout: 60_000, signal: undefined, ...limits },
      ownScript,
    );

  test("gives the runtime's errors", async () => {
    await expectCode(() => own({ model: join(folder, 'nothing.onnx') }), 'ERR_MODEL_LOAD', /nothing\.onnx/);
    await expectCode(() => own({ runtime: join(folder, 'nothing.so') }), 'ERR_RUNTIME_UNAVAILABLE', /nothing\.so/);
  });
});
