// What a Node.js user would write without manyscale: sharp for the bytes, plain loops, onnxruntime-node, plain loops.
import * as ort from 'onnxruntime-node';
import sharp from 'sharp';
import {
  crop,
  cut,
  type Normalise,
  normalise,
  type Planes,
  poolScales,
  resize,
  type Size,
  type TileFeatures,
  tileFeatures,
  toPlanes,
} from './reference.js';

/** A model and what it takes and makes of one tile. */
export interface TileModel extends Normalise {
  model: string | Uint8Array;
  tile: Size;
  layout: 'bnc' | 'bchw';
  /** Default: the model's first. */
  output?: string;
  prefix?: number;
  /** Of one tile. */
  grid: Size;
}

export interface S2Options extends TileModel {
  scales: number[];
  mode: string;
  outputIndex?: number;
  fit?: 'stretch' | 'crop';
  bgr?: boolean;
}

/** Decoded as the Python processors do: EXIF orientation applied, colour profile ignored. */
export async function decode(bytes: string | Uint8Array, background?: readonly number[]): Promise<Planes> {
  const { data, info } = await sharp(bytes, { ignoreIcc: true })
    .autoOrient()
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  return toPlanes({ data, width: info.width, height: info.height, channels: info.channels }, background);
}

/** The largest centred rectangle of the tile's aspect. */
function centre(image: Planes, tile: Size): Planes {
  const height = Math.min(image.height, Math.floor((image.width * tile.height) / tile.width));
  const width = Math.min(image.width, Math.floor((image.height * tile.width) / tile.height));
  return crop(image, Math.floor((image.height - height) / 2), Math.floor((image.width - width) / 2), { height, width });
}

function reversePlanes({ channels, height, width, data }: Planes): Float32Array {
  const reversed = new Float32Array(data.length);
  const cells = height * width;
  for (let c = 0; c < channels; c++)
    reversed.set(data.subarray(c * cells, (c + 1) * cells), (channels - 1 - c) * cells);
  return reversed;
}

const sessions = new Map<string | Uint8Array, Promise<ort.InferenceSession>>();

function session(model: string | Uint8Array): Promise<ort.InferenceSession> {
  let made = sessions.get(model);
  if (!made) {
    const options = { intraOpNumThreads: 1, interOpNumThreads: 1 };
    made =
      typeof model === 'string'
        ? ort.InferenceSession.create(model, options)
        : ort.InferenceSession.create(model, options);
    sessions.set(model, made);
  }
  return made;
}

/** One tile after the other through the model. */
export async function runTiles(tiles: Planes[], options: TileModel): Promise<TileFeatures[]> {
  const { tile, layout, grid, prefix = 0 } = options;
  const runner = await session(options.model);
  const features = [];
  for (const { data } of tiles) {
    const input = new ort.Tensor('float32', data, [1, 3, tile.height, tile.width]);
    const results = await runner.run({ [runner.inputNames[0] as string]: input });
    const output = results[options.output ?? (runner.outputNames[0] as string)] as ort.Tensor;
    features.push(tileFeatures(output.data as Float32Array, layout, grid, prefix));
  }
  return features;
}

/** The features of one image, as Extractor lays them out. */
export async function plainS2(image: Planes, options: S2Options): Promise<Float32Array> {
  const { tile, scales, mode, layout, outputIndex = 0, fit = 'stretch', bgr = false } = options;
  const source = fit === 'crop' ? centre(image, tile) : image;
  const parts = [];
  for (const scale of scales) {
    const size = { height: Math.floor(tile.height * scale), width: Math.floor(tile.width * scale) };
    const picture = resize(source, size, mode);
    if (bgr) picture.data = reversePlanes(picture);
    const tiles = await runTiles(cut(normalise(picture, options), tile), options);
    parts.push({ tiles, rows: size.height / tile.height, columns: size.width / tile.width });
  }
  return poolScales(parts, outputIndex, layout);
}
