// Reads .safetensors files with float32 or float16 (as bits) tensors, as strictly as the format's own reader: no gaps, no overlaps.
import { readFileSync } from 'node:fs';

export interface SafeTensors {
  metadata: Record<string, string>;
  tensors: Map<string, { shape: number[]; data: Float32Array | Uint16Array }>;
}

export function readSafetensors(path: string): SafeTensors {
  const bytes = readFileSync(path);
  const length = Number(bytes.readBigUInt64LE());
  const start = 8 + length;
  if (bytes[8] !== 0x7b) throw new Error(`${path}: the header does not begin with {`);
  const { __metadata__: metadata, ...entries } = JSON.parse(bytes.toString('utf8', 8, start));
  const tensors: SafeTensors['tensors'] = new Map();
  let end = 0;
  for (const [name, entry] of Object.entries(entries)) {
    const { dtype, shape, data_offsets } = entry as { dtype: string; shape: number[]; data_offsets: [number, number] };
    const [from, to] = data_offsets;
    const Elements = dtype === 'F16' ? Uint16Array : Float32Array;
    const expected = shape.reduce((product, dim) => product * dim, Elements.BYTES_PER_ELEMENT);
    if ((dtype !== 'F32' && dtype !== 'F16') || from !== end || to - from !== expected)
      throw new Error(`${path}: ${name} ${JSON.stringify(entry)}`);
    // A copy of its own: typed arrays need an aligned start.
    tensors.set(name, {
      shape,
      data: new Elements(new Uint8Array(bytes.subarray(start + from, start + to)).buffer),
    });
    end = to;
  }
  if (start + end !== bytes.length) throw new Error(`${path} has ${bytes.length - start} bytes of data for ${end}`);
  return { metadata, tensors };
}
