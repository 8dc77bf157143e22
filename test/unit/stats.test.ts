// The counts of an Extractor: every image is in one of them, and what is told is frozen plain data.

import { expect, test } from 'vitest';
import { Recorder, STAGES } from '../../src/pipeline/stats.js';

const native = {
  tiles: { queued: 3, running: 4, done: 30 },
  batches: { done: 10, rows: 40 },
  bytes: { inFlight: 1000, limit: 5000, waiting: 1 },
};

const placement = {
  device: 'cuda',
  provider: 'tensorrt',
  gpus: [{ ordinal: 1, name: 'Some GPU', computeCapability: '9.0', memory: 2 ** 36, integrated: false }],
  unavailable: { 'cuda:0': 'CUDA_ERROR_ILLEGAL_ADDRESS (700)' },
} as const;

test('what computes is told', () => {
  expect(new Recorder().snapshot(native, 4, placement).placement).toEqual(placement);
});

test('every image is counted once', () => {
  const recorder = new Recorder();
  for (let i = 0; i < 7; i++) recorder.started();
  for (let i = 0; i < 4; i++) recorder.admitted();
  expect(recorder.snapshot(native, 4, placement).images).toEqual({
    done: 0,
    failed: 0,
    cancelled: 0,
    inFlight: 4,
    waiting: 3,
  });
  recorder.ended('done', true);
  recorder.ended('failed', true);
  recorder.ended('failed', false);
  recorder.ended('cancelled', false);
  expect(recorder.snapshot(native, 4, placement).images).toEqual({
    done: 1,
    failed: 2,
    cancelled: 1,
    inFlight: 2,
    waiting: 1,
  });
});

test('stages are timed, decoding only where there was any', () => {
  const recorder = new Recorder();
  const timings = { wait: 1, decode: 2, queue: 3, split: 4, model: 5, pool: 6, total: 21 };
  recorder.timed(timings, true);
  recorder.timed({ ...timings, decode: 0 }, false);
  const { latency } = recorder.snapshot(native, 4, placement);
  expect(Object.fromEntries(STAGES.map((stage) => [stage, [latency[stage].count, latency[stage].max]]))).toEqual({
    wait: [2, 1],
    decode: [1, 2],
    queue: [2, 3],
    split: [2, 4],
    model: [2, 5],
    pool: [2, 6],
    total: [2, 21],
  });
});

test('batches, tiles and bytes', () => {
  const stats = new Recorder().snapshot(native, 4, placement);
  expect(stats.batches).toEqual({ done: 10, meanTiles: 3, fill: 0.75 });
  expect(stats.tiles).toEqual({ queued: 3, running: 4, done: 30 });
  expect(stats.bytes).toEqual({ inFlight: 1000, limit: 5000 });
  const none = { ...native, tiles: { queued: 0, running: 0, done: 0 }, batches: { done: 0, rows: 0 } };
  expect(new Recorder().snapshot(none, 4, placement).batches).toEqual({ done: 0, meanTiles: 0, fill: 0 });
});

test('frozen, cloneable, and not changed by what comes later', () => {
  const recorder = new Recorder();
  const before = recorder.snapshot(native, 4, placement);
  recorder.started();
  expect(before.images.waiting).toBe(0);
  expect(Object.isFrozen(before.latency.total.buckets)).toBe(true);
  expect(structuredClone(before)).toEqual(before);
  expect(JSON.parse(JSON.stringify(before))).toEqual(before);
});
