// Several outputs of a model, as an Extractor joins them: plain loops around onnxruntime-node.
import * as ort from 'onnxruntime-node';
import {
  cut,
  type Normalise,
  normalise,
  type Planes,
  poolScales,
  resize,
  type Size,
  tileFeatures,
} from './reference.js';

export interface JoinedOptions extends Normalise {
  model: string | Uint8Array;
  tile: Size;
  scales: number[];
  mode: string;
  layout: 'bnc' | 'bchw';
  prefix?: number;
  /** Joined in this order, on the first one's grid. */
  outputs: { name: string /** Of one tile. */; grid: Size }[];
  /** Of the scales. */
  outputIndex?: number;
}

export async function plainJoined(image: Planes, options: JoinedOptions): Promise<Float32Array> {
  const { model, tile, scales, mode, layout, prefix = 0, outputs, outputIndex = 0 } = options;
  const runner = await ort.InferenceSession.create(model as Uint8Array);
  const parts = [];
  for (const scale of scales) {
    const size = { height: Math.floor(tile.height * scale), width: Math.floor(tile.width * scale) };
    const results: ort.InferenceSession.OnnxValueMapType[] = [];
    for (const { data } of cut(normalise(resize(image, size, mode), options), tile)) {
      const input = new ort.Tensor('float32', data, [1, 3, tile.height, tile.width]);
      results.push(await runner.run({ [runner.inputNames[0] as string]: input }));
    }
    for (const { name, grid } of outputs) {
      const tiles = results.map((result) =>
        tileFeatures((result[name] as ort.Tensor).data as Float32Array, layout, grid, prefix),
      );
      parts.push({ tiles, rows: size.height / tile.height, columns: size.width / tile.width });
    }
  }
  return poolScales(parts, outputIndex * outputs.length, layout);
}
