// The benchmarks' own parts: their statistics, and one section from its process to the table and the plot.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { repository } from '../helpers/paths.js';

interface Measure {
  quantile(values: number[], at: number): number;
  medianRatio(a: number[], b: number[]): number;
  interleave<T>(
    candidates: Record<string, () => T | Promise<T>>,
    options: { rounds: number; warmup?: number },
  ): Promise<Record<string, T[]>>;
  closedLoop(
    count: number,
    inFlight: number,
    work: (i: number) => Promise<void>,
  ): Promise<{ seconds: number; latencies: number[] }>;
}
interface Result {
  section: string;
  rows: { name: string; value: number; unit: string; targets?: { atMost: number; met: boolean }[] }[];
  disturbance: { others: number; stolen: number };
  machine: Record<string, unknown>;
  data: { samples: { seconds: number[]; megabytes: number[] } };
}

const load = (name: string) => import(`${repository}bench/lib/${name}.mjs`);
const { quantile, medianRatio, interleave, closedLoop }: Measure = await load('measure');
const { table }: { table(results: unknown[]): string } = await load('section');
const { plot }: { plot(results: unknown[]): string } = await load('plot');

test('quantiles lie between the values that they fall between', () => {
  expect(quantile([3, 1, 2], 0.5)).toBe(2);
  expect(quantile([4, 1, 2, 3], 0.5)).toBe(2.5);
  expect(quantile([10, 20, 30, 40, 50], 0.95)).toBeCloseTo(48);
  expect(quantile([7], 0.95)).toBe(7);
});

test('a ratio is that of each round, so that a slow round of both does not count', () => {
  expect(medianRatio([2, 20, 2], [1, 10, 1])).toBe(2);
  expect(medianRatio([2, 2, 2], [1, 2, 4])).toBe(1);
});

test('candidates take turns, in both orders, and warm rounds are left out', async () => {
  const order: string[] = [];
  const run = (name: string) => () => order.push(name);
  const found = await interleave({ a: run('a'), b: run('b') }, { rounds: 2, warmup: 1 });
  expect(order.join('')).toBe('baabba');
  expect(found).toEqual({ a: [3, 6], b: [4, 5] });
});

test('a closed loop keeps as many in flight as it is told, and times each', async () => {
  let inFlight = 0;
  let most = 0;
  const seen: number[] = [];
  const { seconds, latencies } = await closedLoop(7, 3, async (i) => {
    most = Math.max(most, ++inFlight);
    seen.push(i);
    await new Promise((resolve) => setTimeout(resolve, 5));
    inFlight--;
  });
  expect(most).toBe(3);
  expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6]);
  expect(latencies).toHaveLength(7);
  expect(Math.min(...latencies)).toBeGreaterThan(3);
  expect(seconds * 1000).toBeGreaterThanOrEqual(Math.max(...latencies));
});

test('a section gives its rows, targets and machine as JSON, of which table and plot are made', async () => {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [
    `${repository}bench/memory.mjs`,
    '--json',
    '--quick',
    '--images',
    '4',
  ]);
  expect(stderr).toContain('memory: a burst of 4');
  const result: Result = JSON.parse(stdout);
  expect(result.section).toBe('memory');
  expect(Object.keys(result.machine)).toEqual(
    expect.arrayContaining(['cpu', 'cores', 'isa', 'memoryGiB', 'node', 'onnxruntime', 'manyscale']),
  );
  expect(result.disturbance.others).toBeLessThanOrEqual(1);
  const { seconds, megabytes } = result.data.samples;
  expect(seconds.length).toBeGreaterThan(20);
  expect(seconds).toHaveLength(megabytes.length);
  const [first] = result.rows;
  if (!first) throw new Error('no rows');
  for (const { value, targets = [] } of result.rows) {
    expect(value).toBeGreaterThan(10);
    for (const { atMost, met } of targets) expect(met).toBe(value / first.value <= atMost);
  }

  const printed = table([result, { section: 'other', title: 'a title', skipped: 'a reason' }]);
  for (const { name } of result.rows) expect(printed).toContain(name);
  expect(printed).toMatch(/<= 1\.3 (?:met|MISSED)/);
  expect(printed).toContain('not measured: a reason');

  const { width, height } = await sharp(Buffer.from(plot([result]))).metadata(); // throws where the XML is not well-formed
  expect(width).toBe(960);
  expect(height).toBeGreaterThan(200);
});
