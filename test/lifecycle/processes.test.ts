// Protects the host process: it ends when it wants to, with its own exit code, and nothing that goes away meanwhile
// (a worker thread, a buffer, the process itself) brings it down. Every case runs in a child process.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { slowModel } from '../helpers/models.js';
import { vitModel } from '../helpers/paths.js';
import { expectExit, run, runFixture } from '../helpers/process.js';

const folder = mkdtempSync(join(tmpdir(), 'manyscale-lifecycle-'));
const slow = join(folder, 'slow.onnx');
writeFileSync(slow, slowModel(600)); // about a second a tile
afterAll(() => rmSync(folder, { recursive: true }));

// What a process may take from its start to its end where it is told to stop at once; the machine may be busy.
const SOON = 10_000;

describe('the process ends by itself', { timeout: 60_000 }, () => {
  test.each(['extract', 'load', 'waiting', 'forward'])('after %s, with nothing disposed', async (what) => {
    const child = await runFixture('ends-by-itself', [what], { timeout: 30_000 });
    expectExit(child, 0);
    // A call in flight keeps the process alive until it settles, an idle Extractor does not.
    if (what === 'waiting') expect(child.stdout).toBe('8\n');
    if (what === 'extract') expect(child.stdout).toBe('[176,14,14]\n');
    if (what === 'forward') expect(child.stdout).toBe('[1,6,8,8]\n');
  });
});

describe('the process ends in the middle of work', { timeout: 60_000 }, () => {
  test.each([
    { how: 'exit', code: 7 },
    { how: 'dispose-and-exit', code: 7 },
    { how: 'throw', code: 1 },
    { how: 'reject', code: 1 },
  ])('$how', async ({ how, code }) => {
    for (const model of [[], [slow]]) {
      const child = await runFixture('exit-midwork', [how, ...model], { timeout: 30_000 });
      expectExit(child, code);
      expect(child.milliseconds).toBeLessThan(SOON);
      if (code === 1) expect(child.stderr).toMatch(/on purpose/);
      else expect(child.stderr).toBe('');
    }
  });

  test('at any moment of loading and freeing models', async () => {
    // The first load brings the runtime's library in; later moments fall into loading and freeing.
    for (const delay of [0, 10, 20, 30, 45, 60, 80, 110, 150, 200]) {
      const child = await runFixture('exit-midwork', ['while-loading', vitModel, String(delay)], { timeout: 30_000 });
      expectExit(child, 7, `after ${delay} ms`);
      expect(child.stderr).toBe('');
    }
  });

  test('a signal ends it as it ends any process', async () => {
    const child = await runFixture('exit-midwork', ['signal', slow], { timeout: 30_000 });
    expect({ code: child.code, signal: child.signal }, child.stderr).toEqual({ code: null, signal: 'SIGTERM' });
    expect(child.milliseconds).toBeLessThan(SOON);
  });
});

describe('worker threads', { timeout: 60_000 }, () => {
  test.each(['two-at-once', 'terminate', 'terminate-while-loading', 'terminate-while-queued', 'worker-then-main'])(
    '%s',
    async (how) => {
      const child = await runFixture('workers', [how, slow], { timeout: 50_000 });
      expectExit(child, 0, how);
      expect(child.stdout).toBe('survived\n');
    },
  );
});

describe('onnxruntime-node in the same process', { timeout: 60_000 }, () => {
  test.each(['ort,manyscale,ort', 'manyscale,ort,manyscale'])('%s', async (order) => {
    const child = await runFixture('runtime-shared', [order], { timeout: 30_000 });
    expectExit(child, 0, order);
    expect(child.stdout).toBe('agreed\n');
  });
});

describe("the caller's memory goes away right after the call", { timeout: 60_000 }, () => {
  const operations = [
    'extract-raw',
    'extract-bytes',
    'split',
    'split-float',
    'forward',
    'forward-split',
    'pool',
    'model-output',
  ];
  const ways = ['transfer', 'post', 'shrink', 'overwrite', 'shared'];
  test.each(operations)('%s', async (operation) => {
    const child = await runFixture('buffers', [operation, ...ways], { timeout: 50_000 });
    expectExit(child, 0, operation);
    expect(child.stdout).toBe('survived\n');
  });
});

test('a result that does not fit into memory is an error, not the end of the process', {
  timeout: 60_000,
}, async () => {
  // 8 GB of addresses: enough for Node.js and the runtime, not for results of 10 GB and more.
  const child = await run('bash', [
    '-c',
    'ulimit -v 8000000 && exec "$0" test/lifecycle/fixtures/no-memory.mjs',
    process.execPath,
  ]);
  expectExit(child, 0);
  const refused = 'ManyscaleError ERR_OUT_OF_MEMORY';
  expect(JSON.parse(child.stdout)).toEqual({
    codes: { split: refused, extract: refused, multiscaleForward: refused, pool: refused },
    afterwards: [
      [1, 3, 8, 8],
      [145, 256],
    ],
  });
});

test('the event loop goes on while images are worked on', { timeout: 60_000 }, async () => {
  const child = await runFixture('event-loop', [], { timeout: 50_000 });
  expectExit(child, 0);
  const { longest, total } = JSON.parse(child.stdout) as { longest: number; total: number };
  // Not a benchmark: work on the JavaScript thread would stop it for about the whole time.
  expect(longest, `of ${total} ms`).toBeLessThan(Math.max(100, total / 5));
});

describe('memory does not grow', { timeout: 90_000 }, () => {
  test.each([
    { what: 'extract', megabytes: 60 },
    { what: 'load', megabytes: 60 },
    { what: 'abort', megabytes: 60 },
  ])('$what, 10 rounds after a warm-up', async ({ what, megabytes }) => {
    const child = await runFixture('memory', [what], { flags: ['--expose-gc'], timeout: 80_000 });
    expectExit(child, 0);
    const { before, after } = JSON.parse(child.stdout) as { before: number; after: number };
    expect(after - before, child.stdout).toBeLessThan(megabytes);
  });
});
