import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { writeAtomically } from '../../src/cli/files.js';
import { safetensorsWriter } from '../../src/cli/safetensors.js';
import type { NamedTensor } from '../../src/cli/tensorfile.js';
import { readSafetensors } from '../helpers/safetensors.js';

const folder = mkdtempSync(join(tmpdir(), 'manyscale-safetensors-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function write(tensors: NamedTensor[], reserved = tensors.map(({ name }) => name)): Promise<string> {
  const path = join(folder, 'features.safetensors');
  await writeAtomically(path, async (file) => {
    const writer = safetensorsWriter(file, reserved);
    for (const tensor of tensors) await writer.append(tensor);
    await writer.finish({ model: 'a.onnx', scales: '[{"height":224}]' });
  });
  return path;
}

describe('safetensorsWriter', () => {
  it('writes tensors of several shapes and the metadata', async () => {
    const a = { name: 'two dogs.jpg', dims: [2, 3], data: Float32Array.from([0, 1, 2, 3, 4, 5]) };
    const b = { name: 'a "b" \u00e9.png', dims: [1, 1, 4], data: Float32Array.from([-1, 1e-30, Number.MAX_VALUE, 7]) };
    const { metadata, tensors } = readSafetensors(await write([a, b]));
    expect(metadata).toEqual({ model: 'a.onnx', scales: '[{"height":224}]' });
    expect([...tensors.keys()]).toEqual([a.name, b.name]);
    expect(tensors.get(a.name)).toEqual({ shape: [2, 3], data: a.data });
    expect(tensors.get(b.name)).toEqual({ shape: [1, 1, 4], data: b.data });
  });

  it('aligns the data and tolerates names that were reserved and not used', async () => {
    const tensor = { name: 'b', dims: [1], data: Float32Array.of(3) };
    const path = await write([tensor], ['a', 'b', 'c']);
    expect(readFileSync(path).readBigUInt64LE() % 8n).toBe(0n);
    expect([...readSafetensors(path).tensors.keys()]).toEqual(['b']);
  });

  it('keeps numeric names apart from the order of their numbers', async () => {
    // A JavaScript object would list '1' before '2': the offsets say where each tensor is, in any order.
    const two = { name: '2', dims: [1], data: Float32Array.of(2) };
    const one = { name: '1', dims: [1], data: Float32Array.of(1) };
    const bytes = readFileSync(await write([two, one]));
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE())));
    expect(header['2'].data_offsets).toEqual([0, 4]);
    expect(header['1'].data_offsets).toEqual([4, 8]);
  });

  it('refuses more names than a header may have', () => {
    const names = Array.from({ length: 500 }, (_, index) => `${index}${'x'.repeat(250_000)}`);
    expect(() => safetensorsWriter(undefined as never, names)).toThrow(/at most about \d+ images/);
  });
});
