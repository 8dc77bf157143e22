// Reads NumPy's .npy files (format 1 to 3, little endian, C order), as the golden data has them.
import { readFileSync } from 'node:fs';

export interface NumpyArray<T> {
  shape: number[];
  data: T;
}

function read(path: string): { descr: string; shape: number[]; body: ArrayBuffer } {
  const bytes = readFileSync(path);
  if (bytes.toString('latin1', 0, 6) !== '\x93NUMPY') throw new Error(`${path} is not an .npy file`);
  const long = bytes[6] !== 1;
  const start = long ? 12 : 10;
  const length = long ? bytes.readUInt32LE(8) : bytes.readUInt16LE(8);
  const header = bytes.toString('latin1', start, start + length);
  const descr = /'descr': '([^']+)'/.exec(header)?.[1];
  const shape = /'shape': \(([^)]*)\)/.exec(header)?.[1];
  if (descr === undefined || shape === undefined || !/'fortran_order': False/.test(header)) {
    throw new Error(`${path} has a header that this reader does not know: ${header}`);
  }
  // A copy of its own: typed arrays need an aligned start.
  const body = new Uint8Array(bytes.subarray(start + length)).buffer;
  return {
    descr,
    shape: shape
      .split(',')
      .map((part) => part.trim())
      .filter(Boolean)
      .map(Number),
    body,
  };
}

export function readFloat32(path: string): NumpyArray<Float32Array> {
  const { descr, shape, body } = read(path);
  if (descr !== '<f4') throw new Error(`Expected float32 in ${path} but it has ${descr}`);
  return { shape, data: new Float32Array(body) };
}

/** The bits of half-precision numbers. */
export function readFloat16(path: string): NumpyArray<Uint16Array> {
  const { descr, shape, body } = read(path);
  if (descr !== '<f2') throw new Error(`Expected float16 in ${path} but it has ${descr}`);
  return { shape, data: new Uint16Array(body) };
}

export function readUint8(path: string): NumpyArray<Uint8Array> {
  const { descr, shape, body } = read(path);
  if (descr !== '|u1') throw new Error(`Expected uint8 in ${path} but it has ${descr}`);
  return { shape, data: new Uint8Array(body) };
}
