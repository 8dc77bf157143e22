// What makes two models the same: the file and its last change, or the bytes.

import { mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { checkModelSource } from '../../src/model/source.js';
import { expectCode } from './rejection.js';

const folder = mkdtempSync(join(tmpdir(), 'manyscale-model-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const identity = async (model: unknown) => (await checkModelSource(model)).identity;

test('one file, whatever path leads to it', async () => {
  const path = file('a.onnx', 'weights');
  symlinkSync(path, join(folder, 'link.onnx'));
  expect(await identity(join(folder, 'link.onnx'))).toBe(await identity(path));
  expect(await checkModelSource(path)).toMatchObject({ model: path });
  expect(await identity(file('b.onnx', 'weights'))).not.toBe(await identity(path));
});

test('a file that was changed is another model', async () => {
  const path = file('changing.onnx', 'one');
  const before = await identity(path);
  writeFileSync(path, 'two');
  utimesSync(path, 1, 1); // whatever the clock's steps are
  expect(await identity(path)).not.toBe(before);
});

test('equal bytes are one model, as they were at the call', async () => {
  const bytes = Uint8Array.of(1, 2, 3);
  const [first, second] = [checkModelSource(bytes), identity(Buffer.from([1, 2, 3]))];
  bytes.fill(0);
  expect((await first).identity).toBe(await second);
  expect((await first).model).toEqual(Uint8Array.of(1, 2, 3));
  expect(await identity(bytes)).not.toBe(await second);
});

test.each<[string, () => unknown, RegExp]>([
  ['a folder', () => folder, /which is not a file/],
  ['an empty file', () => file('empty.onnx', ''), /which is empty/],
  ['no file', () => join(folder, 'none.onnx'), /which cannot be read \(ENOENT\)/],
  ['no bytes', () => new Uint8Array(), /0 bytes/],
])('refuses %s', async (_, model, message) => {
  await expectCode(() => checkModelSource(model()), 'ERR_MODEL_LOAD', message);
});
