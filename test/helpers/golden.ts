// The golden data: made with PyTorch and Pillow, the law for numbers.
import { readdirSync, readFileSync } from 'node:fs';
import * as path from 'node:path';
import type { Tensor } from 'manyscale';
import * as ort from 'onnxruntime-node';
import { type NumpyArray, readFloat32, readUint8 } from './npy.js';
import { golden } from './paths.js';
import type { Size } from './reference.js';

export interface MultiscaleCase {
  name: string;
  options: {
    scales?: number[];
    imageSizes?: (number | [number, number])[];
    maxSplitSize?: number | [number, number];
    resizeOutputToIndex?: number;
    numPrefixTokens: number;
    outputShape: 'bnc' | 'bchw';
  };
  patchSize: number;
  /** Height and width of every scale. */
  sizes: [number, number][];
  grid: [number, number];
  modelPath: string;
  input: NumpyArray<Float32Array>;
  output: NumpyArray<Float32Array>;
}

export function multiscaleCases(): MultiscaleCase[] {
  return readdirSync(`${golden}multiscale`).map((name) => {
    const file = (part: string) => path.join(golden, 'multiscale', name, part);
    const { outputShape: _, inputShape: __, ...known } = JSON.parse(readFileSync(file('case.json'), 'utf8'));
    return {
      ...known,
      modelPath: file('model.onnx'),
      input: readFloat32(file('input.npy')),
      output: readFloat32(file('output.npy')),
    };
  });
}

export const torchModes = [
  'torch-bicubic',
  'torch-bilinear',
  'torch-bicubic-antialias',
  'torch-bilinear-antialias',
  'torch-area',
] as const;
export const pillowModes = ['pillow-bicubic', 'pillow-bilinear', 'pillow-lanczos', 'pillow-box'] as const;
export type Mode = (typeof torchModes)[number] | (typeof pillowModes)[number];

export interface ResizeCase {
  name: string;
  /** [height, width, 3]. */
  input: NumpyArray<Uint8Array>;
  size: Size;
  /** [height, width, 3] from the uint8 image: 0..1 for torch modes, 0..255 for Pillow's. */
  expected(mode: Mode): ArrayLike<number>;
  /** [height, width, 3] from the image as float32 in 0..1. */
  expectedOfFloats(mode: Mode): ArrayLike<number>;
}

export function resizeCases(): ResizeCase[] {
  return readdirSync(`${golden}resize`).map((name) => {
    const file = (part: string) => path.join(golden, 'resize', name, `${part}.npy`);
    const [, height, width] = /-to-(\d+)x(\d+)$/.exec(name)?.map(Number) ?? [];
    if (!height || !width) throw new Error(`The folder ${name} does not name a size`);
    return {
      name,
      input: readUint8(file('input')),
      size: { height, width },
      expected: (mode) => (mode.startsWith('pillow') ? readUint8(file(mode)).data : readFloat32(file(mode)).data),
      expectedOfFloats: (mode) => readFloat32(file(mode.startsWith('pillow') ? `${mode}-float32` : mode)).data,
    };
  });
}

/** [channels, height, width] to [height, width, channels], as the golden pictures lie. */
export function toInterleaved(planes: ArrayLike<number>, { height, width }: Size): Float32Array {
  const cells = height * width;
  return Float32Array.from({ length: planes.length }, (_, i) => planes[(i % 3) * cells + Math.floor(i / 3)] as number);
}

/** The model function that a user of onnxruntime-node would write; `calls` collects the batch sizes that it was given. */
export async function onnxModel(modelPath: string, calls: number[] = []): Promise<(tiles: Tensor) => Promise<Tensor>> {
  const session = await ort.InferenceSession.create(modelPath, { intraOpNumThreads: 1, interOpNumThreads: 1 });
  const [input] = session.inputNames;
  const [output] = session.outputNames;
  return async (tiles) => {
    calls.push(tiles.dims[0] as number);
    const results = await session.run({ [input as string]: tiles as ort.Tensor });
    return results[output as string] as Tensor;
  };
}
