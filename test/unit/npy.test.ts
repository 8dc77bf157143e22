import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { writeAtomically } from '../../src/cli/files.js';
import { npyWriter } from '../../src/cli/npy.js';
import type { Dtype, NamedTensor } from '../../src/cli/tensorfile.js';
import { readFloat16, readFloat32 } from '../helpers/npy.js';

const folder = mkdtempSync(join(tmpdir(), 'manyscale-npy-'));
afterAll(() => rmSync(folder, { recursive: true }));

const tensor = (name: string, dims: number[], first: number): NamedTensor => ({
  name,
  dims,
  data: Float32Array.from({ length: dims.reduce((product, dim) => product * dim, 1) }, (_, index) => first + index / 7),
});

async function write(name: string, stack: boolean, tensors: NamedTensor[], dtype?: Dtype): Promise<string> {
  const path = join(folder, name);
  await writeAtomically(path, async (file) => {
    const writer = npyWriter(file, stack, dtype);
    for (const one of tensors) await writer.append(one);
    await writer.finish({});
  });
  return path;
}

describe('npyWriter', () => {
  it('writes one tensor with its own shape', async () => {
    const one = tensor('a', [3, 2, 5], -1);
    const { shape, data } = readFloat32(await write('one.npy', false, [one]));
    expect(shape).toEqual([3, 2, 5]);
    expect(data).toEqual(one.data);
  });

  it('writes a tuple of one number as NumPy does', async () => {
    const path = await write('vector.npy', false, [tensor('a', [4], 0)]);
    expect(readFileSync(path, 'latin1')).toContain("'shape': (4,), }");
    expect(readFloat32(path).shape).toEqual([4]);
  });

  it('stacks several along a new first axis, also views into larger buffers', async () => {
    const backing = Float32Array.from({ length: 20 }, (_, index) => index);
    const view: NamedTensor = { name: 'b', dims: [2, 3], data: backing.subarray(5, 11) };
    const { shape, data } = readFloat32(await write('two.npy', true, [tensor('a', [2, 3], 100), view]));
    expect(shape).toEqual([2, 2, 3]);
    expect([...data.subarray(6)]).toEqual([5, 6, 7, 8, 9, 10]);
  });

  it('writes half precision as its bits', async () => {
    const backing = Uint16Array.from({ length: 20 }, (_, index) => 0x3c00 + index);
    const tensors = [5, 11].map((from) => ({ name: `${from}`, dims: [2, 3], data: backing.subarray(from, from + 6) }));
    const { shape, data } = readFloat16(await write('half.npy', true, tensors, 'float16'));
    expect(shape).toEqual([2, 2, 3]);
    expect(data).toEqual(backing.slice(5, 17));
  });

  it('starts the data at a multiple of 64 bytes, after a header that ends in a newline', async () => {
    const bytes = readFileSync(await write('aligned.npy', false, [tensor('a', [1], 0)]));
    const start = 10 + bytes.readUInt16LE(8);
    expect(start % 64).toBe(0);
    expect(bytes[start - 1]).toBe(0x0a);
    expect(bytes.length).toBe(start + 4);
  });

  it('refuses tensors of different shapes and leaves what stood there', async () => {
    const path = join(folder, 'kept.npy');
    writeFileSync(path, 'before');
    await expect(write('kept.npy', true, [tensor('a', [2, 3], 0), tensor('b', [3, 2], 0)])).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringMatching(/2 x 3 \(a\) and 3 x 2 \(b\).*\.safetensors/),
    });
    expect(readFileSync(path, 'utf8')).toBe('before');
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });
});

describe('writeAtomically', () => {
  it('names the file and the reason when it cannot write', async () => {
    const path = join(folder, 'none', 'a.npy');
    await expect(writeAtomically(path, async () => undefined)).rejects.toMatchObject({
      code: 'ERR_OUTPUT',
      message: `Expected to write '${path}' but could not: there is no folder ${join(folder, 'none')}`,
    });
  });
});
