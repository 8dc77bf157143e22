// Protects every instruction set: the golden tests run again with each one forced, and the forced one is proved to have run.
import { expect, test } from 'vitest';
import { loadAddon } from '../../dist/native/load.js';
import { expectExit, run } from '../helpers/process.js';

const addon = loadAddon();

/** What is read of vitest's JSON report. */
interface Report {
  numPassedTests: number;
  numFailedTests: number;
  testResults: { assertionResults: { status: string; fullName: string; failureMessages: string[] }[] }[];
}

test.each(addon.buildInfo().isas)('golden data with %s', { timeout: 60_000 }, async (isa) => {
  const files = ['test/golden/resize.test.ts', 'test/golden/multiscale.test.ts', 'test/golden/kernels.test.ts'];
  const args = ['node_modules/vitest/vitest.mjs', 'run', ...files, '--reporter=json', '--maxWorkers=1', '--no-isolate'];
  const child = await run(process.execPath, args, { env: { MANYSCALE_FORCE_ISA: isa } });
  const start = child.stdout.indexOf('{');
  if (start < 0) expectExit(child, 0, isa);
  const report = JSON.parse(child.stdout.slice(start)) as Report;
  const failed = report.testResults.flatMap((file) =>
    file.assertionResults.filter(({ status }) => status === 'failed'),
  );
  expect(failed.map(({ fullName, failureMessages }) => [fullName, ...failureMessages])).toEqual([]);
  expect(report.numPassedTests).toBeGreaterThan(130);
  expect(report.numFailedTests).toBe(0);
  expect(child.code).toBe(0);
});

test.each(['avx1024', 'AVX2', ' '])('an instruction set that does not exist is refused: %j', async (isa) => {
  const child = await run(process.execPath, ['test/golden/fixtures/split-once.mjs'], {
    env: { MANYSCALE_FORCE_ISA: isa },
  });
  expectExit(child, 0);
  const error = JSON.parse(child.stdout) as { name: string; code: string; message: string };
  expect(error).toMatchObject({ name: 'ManyscaleError', code: 'ERR_INVALID_ARGUMENT' });
  expect(error.message).toMatch(/MANYSCALE_FORCE_ISA/);
  expect(error.message).toContain(`received ${isa}`);
  for (const known of addon.buildInfo().isas) expect(error.message).toContain(known);
});
