// What a Node user would write today for multi-scale features, kept for comparison: sharp once per scale, plain loops to cut
// and normalise, onnxruntime-node for the tiles of each scale, plain loops to merge, average and join.

import * as ort from 'onnxruntime-node';
import sharp from 'sharp';

export async function loadNaive(modelPath, { output, tile, mean = 0, std = 1, rescale = 1 }) {
  const session = await ort.InferenceSession.create(modelPath);
  return { session, input: session.inputNames[0], output, tile, mean, std, rescale };
}

// uint8 [size, size, 3] -> float32 [tiles, 3, tile, tile]
function cut(pixels, size, model) {
  const { tile, mean, std, rescale } = model;
  const n = size / tile;
  const out = new Float32Array(n * n * 3 * tile * tile);
  let o = 0;
  for (let row = 0; row < n; row++) {
    for (let column = 0; column < n; column++) {
      for (let c = 0; c < 3; c++) {
        for (let y = 0; y < tile; y++) {
          let i = ((row * tile + y) * size + column * tile) * 3 + c;
          for (let x = 0; x < tile; x++, i += 3) out[o++] = (pixels[i] * rescale - mean) / std;
        }
      }
    }
  }
  return { data: out, count: n * n };
}

// [tiles, channels, h, w] of n x n tiles -> averaged to the grid, written at `offset` of the joined [channels, grid, grid]
function poolInto(features, n, channels, h, grid, joined, offset) {
  const merged = n * h;
  const bin = merged / grid;
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < grid; y++) {
      for (let x = 0; x < grid; x++) {
        let sum = 0;
        for (let j = 0; j < bin; j++) {
          for (let i = 0; i < bin; i++) {
            const yy = y * bin + j;
            const xx = x * bin + i;
            const tile = Math.floor(yy / h) * n + Math.floor(xx / h);
            sum += features[((tile * channels + c) * h + (yy % h)) * h + (xx % h)];
          }
        }
        joined[((offset + c) * grid + y) * grid + x] = sum / (bin * bin);
      }
    }
  }
}

// uint8 [size, size, 3]. shrinkOnLoad is sharp's default for JPEG: it decodes at a fraction of the size. That is faster but not a
// resize of the image: other pixels, and so other features than the model's own preprocessing gives.
async function resized(bytes, size, shrinkOnLoad) {
  const resize = { fit: 'fill' };
  if (shrinkOnLoad) return sharp(bytes).rotate().resize(size, size, resize).removeAlpha().raw().toBuffer();
  const { data, info } = await sharp(bytes).rotate().removeAlpha().raw().toBuffer({ resolveWithObject: true });
  return sharp(data, { raw: info }).resize(size, size, resize).raw().toBuffer();
}

/** One image at `scales` (integers, relative to the tile): { data, channels, timings } with milliseconds per stage. */
export async function extractNaive(model, bytes, scales, { parallel = false, shrinkOnLoad = false } = {}) {
  const timings = { pixels: 0, model: 0, pool: 0 };
  const one = async (scale) => {
    const size = model.tile * scale;
    let start = performance.now();
    const pixels = await resized(bytes, size, shrinkOnLoad);
    const { data, count } = cut(pixels, size, model);
    timings.pixels += performance.now() - start;
    start = performance.now();
    const tensor = new ort.Tensor('float32', data, [count, 3, model.tile, model.tile]);
    const result = (await model.session.run({ [model.input]: tensor }, [model.output]))[model.output];
    timings.model += performance.now() - start;
    return { scale, dims: result.dims, data: result.data };
  };
  const results = [];
  if (parallel) results.push(...(await Promise.all(scales.map(one))));
  else for (const scale of scales) results.push(await one(scale));

  const start = performance.now();
  const [, channels, h] = results[0].dims;
  const joined = new Float32Array(scales.length * channels * h * h);
  for (const [i, result] of results.entries())
    poolInto(result.data, result.scale, channels, h, h, joined, i * channels);
  timings.pool += performance.now() - start;
  return { data: joined, channels: channels * scales.length, timings };
}
