// What a Node user would write today for multi-scale features, kept for comparison: sharp once per scale, plain loops to cut
// and normalise, onnxruntime-node for the tiles of each scale, plain loops to merge, average and join.

import * as ort from 'onnxruntime-node';
import sharp from 'sharp';

/** The model of an Extractor, from its `info`, in onnxruntime-node with the default options. */
export async function loadNaive({ model, input, output, preprocess }) {
  const session = await ort.InferenceSession.create(model.path);
  const { mean, std, rescale } = preprocess;
  return { session, input: input.name, output, tile: input.tileSize.height, mean, std, rescale };
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
          for (let x = 0; x < tile; x++, i += 3) out[o++] = (pixels[i] * rescale - mean[c]) / std[c];
        }
      }
    }
  }
  return { data: out, count: n * n };
}

// Feature maps [tiles, channels, h, w] or tokens [tiles, prefix + h * w, channels] of n x n tiles -> averaged to the grid, written
// at `offset` of the joined [channels, grid, grid]. Prefix tokens are left out.
function poolInto(features, n, { layout, channels, grid: cell, numPrefixTokens: prefix }, joined, offset) {
  const { height: h, width: w } = cell;
  const tokens = prefix + h * w;
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < h; y++) {
      for (let x = 0; x < w; x++) {
        let sum = 0;
        for (let j = 0; j < n; j++) {
          for (let i = 0; i < n; i++) {
            const yy = y * n + j;
            const xx = x * n + i;
            const tile = Math.floor(yy / h) * n + Math.floor(xx / w);
            const place = (yy % h) * w + (xx % w);
            sum +=
              layout === 'bchw'
                ? features[(tile * channels + c) * h * w + place]
                : features[(tile * tokens + prefix + place) * channels + c];
          }
        }
        joined[((offset + c) * h + y) * w + x] = sum / (n * n);
      }
    }
  }
}

// `image`: encoded bytes, or sharp's { data, info } -> uint8 [size, size, 3]. shrinkOnLoad is sharp's default for JPEG: it decodes at
// a fraction of the size. That is faster but not a resize of the image: other pixels, and so other features than the model's
// own preprocessing gives.
async function resized(image, size, shrinkOnLoad) {
  const resize = { fit: 'fill' };
  if (shrinkOnLoad) return sharp(image).rotate().resize(size, size, resize).removeAlpha().raw().toBuffer();
  const { data, info } = image.info
    ? image
    : await sharp(image).rotate().removeAlpha().raw().toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  return sharp(data, { raw: { width, height, channels } }).resize(size, size, resize).raw().toBuffer();
}

/**
 * One image at `scales` (integers, relative to the tile): { data, channels, timings } with milliseconds per stage. `data` is
 * [channels, grid, grid]. `parallel`: the scales at once.
 */
export async function extractNaive(model, image, scales, { parallel = false, shrinkOnLoad = false } = {}) {
  const timings = { pixels: 0, model: 0, pool: 0 };
  const one = async (scale) => {
    const size = model.tile * scale;
    let start = performance.now();
    const pixels = await resized(image, size, shrinkOnLoad);
    const { data, count } = cut(pixels, size, model);
    timings.pixels += performance.now() - start;
    start = performance.now();
    const tensor = new ort.Tensor('float32', data, [count, 3, model.tile, model.tile]);
    const result = (await model.session.run({ [model.input]: tensor }, [model.output.name]))[model.output.name];
    timings.model += performance.now() - start;
    return { scale, data: result.data };
  };
  const results = [];
  if (parallel) results.push(...(await Promise.all(scales.map(one))));
  else for (const scale of scales) results.push(await one(scale));

  const start = performance.now();
  const { channels, grid } = model.output;
  const joined = new Float32Array(scales.length * channels * grid.height * grid.width);
  for (const [i, { scale, data }] of results.entries()) poolInto(data, scale, model.output, joined, i * channels);
  timings.pool += performance.now() - start;
  return { data: joined, channels: channels * scales.length, timings };
}

/** That both ways did the same work, as far as sharp's resize allows: the cosine of their features. */
export function cosine(a, b) {
  let ab = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < a.length; i++) {
    ab += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return ab / Math.sqrt(aa * bb);
}
