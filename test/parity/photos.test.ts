// Protects the features of real photos with real models: Extractor gives what sharp, plain loops and onnxruntime-node give.
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { defaultModel, Extractor, type ExtractorOptions, type Features } from 'manyscale';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectClose, magnitude } from '../helpers/compare.js';
import { photo, vitModel } from '../helpers/paths.js';
import { decode, plainS2, type S2Options } from '../helpers/s2.js';

// Of the features' root mean square. Pixels differ by float32 rounding (1e-7) and a network of 50 to 100 layers amplifies that.
const TOLERANCE = 1e-4;

const backbone: S2Options = {
  model: defaultModel,
  tile: { height: 224, width: 224 },
  scales: [1, 2],
  mode: 'torch-bilinear-antialias',
  rescale: 1,
  layout: 'bchw',
  output: 'feat_s16',
  grid: { height: 14, width: 14 },
};
const vit: S2Options = {
  model: vitModel,
  tile: { height: 96, width: 96 },
  scales: [1, 2],
  mode: 'torch-bicubic-antialias',
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
  layout: 'bnc',
  output: 'last_hidden_state',
  grid: { height: 12, width: 12 },
  prefix: 1,
};

function expectFeatures({ tensor }: Features, expected: Float32Array): void {
  expect(tensor.type).toBe('float32');
  expectClose(tensor.data as Float32Array, expected, TOLERANCE * magnitude(expected), 'features');
}

/** Loads, extracts, disposes. */
async function extract(model: string, options: ExtractorOptions, image: string | Uint8Array): Promise<Features> {
  const extractor = await Extractor.load(model, options);
  try {
    return await extractor.extract(image);
  } finally {
    await extractor.dispose();
  }
}

describe('the default model', () => {
  let extractor: Extractor;
  beforeAll(async () => {
    extractor = await Extractor.load(defaultModel);
  });
  afterAll(() => extractor.dispose());

  test.each([
    { name: 'temple.jpg', scales: [1] },
    { name: 'temple.jpg', scales: [1, 2, 3] },
    { name: 'astronaut.png', scales: [1, 2] },
    { name: 'two-dogs.jpg', scales: [1, 2] },
  ])('$name at $scales', async ({ name, scales }) => {
    const features = await extractor.extract(photo(name), { scales });
    const channels = 88;
    expect(features.tensor.dims).toEqual([channels * scales.length, 14, 14]);
    expect(features.grid).toEqual({ height: 14, width: 14 });
    expect(features.numPrefixTokens).toBe(0);
    expect(features.scales).toEqual(
      scales.map((scale, index) => ({
        height: 224 * scale,
        width: 224 * scale,
        rows: scale,
        columns: scale,
        channels: [index * channels, (index + 1) * channels],
      })),
    );
    expectFeatures(features, await plainS2(await decode(photo(name)), { ...backbone, scales }));
  });

  test('the whole way by default: scales 1 and 2', async () => {
    const features = await extractor.extract(photo('temple.jpg'));
    expectFeatures(features, await plainS2(await decode(photo('temple.jpg')), backbone));
  });

  test('the grid of the last scale: resizeOutputToIndex -1', async () => {
    const features = await extractor.extract(photo('temple.jpg'), { scales: [1, 2], resizeOutputToIndex: -1 });
    expect(features.tensor.dims).toEqual([176, 28, 28]);
    expectFeatures(features, await plainS2(await decode(photo('temple.jpg')), { ...backbone, outputIndex: -1 }));
  });

  test.each(['temple.jpg', 'two-dogs.jpg'])("fit 'crop', wide and tall: %s", async (name) => {
    const features = await extractor.extract(photo(name), { fit: 'crop', scales: [1] });
    expectFeatures(features, await plainS2(await decode(photo(name)), { ...backbone, scales: [1], fit: 'crop' }));
  });

  test('absolute sizes, wider than high', async () => {
    const features = await extractor.extract(photo('temple.jpg'), { imageSizes: [224, [224, 448]] });
    expect(features.scales.map(({ rows, columns }) => [rows, columns])).toEqual([
      [1, 1],
      [1, 2],
    ]);
    expect(features.tensor.dims).toEqual([176, 14, 14]);
    const scaleOne = await extractor.extract(photo('temple.jpg'), { scales: [1] });
    const half = (scaleOne.tensor.data as Float32Array).length;
    expectClose(
      (features.tensor.data as Float32Array).subarray(0, half),
      scaleOne.tensor.data as Float32Array,
      0,
      'scale 1',
    );
  });

  test('every kind of image input says the same', async () => {
    const path = photo('astronaut.png');
    const bytes = readFileSync(path);
    const raw = await sharp(path).raw().toBuffer({ resolveWithObject: true });
    const { width, height } = raw.info;
    const inputs: Record<string, Parameters<Extractor['extract']>[0]> = {
      'file URL': pathToFileURL(path),
      bytes,
      'bytes in a larger buffer': new Uint8Array(Buffer.concat([Buffer.alloc(5), bytes]).buffer.slice(0)).subarray(5),
      Blob: new Blob([bytes]),
      'raw image': { data: new Uint8Array(raw.data), width, height, channels: 3 },
      "sharp's result": raw,
    };
    const expected = (await extractor.extract(path, { scales: [1] })).tensor.data as Float32Array;
    for (const [kind, input] of Object.entries(inputs)) {
      const features = await extractor.extract(input, { scales: [1] });
      expectClose(features.tensor.data as Float32Array, expected, 0, kind);
    }
  });

  test("one vector: the cells' mean", async () => {
    const features = await extractor.extract(photo('temple.jpg'), { scales: [1] });
    const data = features.tensor.data as Float32Array;
    const mean = Array.from(
      { length: 88 },
      (_, c) => data.subarray(c * 196, (c + 1) * 196).reduce((sum, value) => sum + value, 0) / 196,
    );
    expectClose(features.vector(), mean, 1e-5 * magnitude(mean) + 1e-6, 'vector');
    expectClose(features.vector('mean'), mean, 1e-5 * magnitude(mean) + 1e-6, 'vector');
  });

  test('what lies in a picture in other ways: grey, 16 bit, turned by EXIF, with a colour profile', async () => {
    const path = photo('temple.jpg');
    const small = sharp(path).resize(200, 150);
    const files: Record<string, Buffer> = {
      grey: await small.clone().greyscale().png().toBuffer(),
      'grey with alpha': await small.clone().greyscale().ensureAlpha(0.5).png().toBuffer(),
      '16 bit': await small.clone().toColourspace('rgb16').png().toBuffer(),
      palette: await small.clone().png({ palette: true, colours: 16 }).toBuffer(),
      'turned right': await small.clone().withMetadata({ orientation: 6 }).jpeg().toBuffer(),
      'mirrored and turned': await small.clone().withMetadata({ orientation: 5 }).jpeg().toBuffer(),
      'P3 profile': await small.clone().withIccProfile('p3').jpeg().toBuffer(),
      webp: await small.clone().webp({ lossless: true }).toBuffer(),
      tiff: await small.clone().tiff().toBuffer(),
      gif: await small.clone().gif().toBuffer(),
      avif: await small.clone().avif({ lossless: true }).toBuffer(),
    };
    for (const [kind, bytes] of Object.entries(files)) {
      const features = await extractor.extract(bytes, { scales: [1] });
      const expected = await plainS2(await decode(bytes), { ...backbone, scales: [1] });
      expectClose(features.tensor.data as Float32Array, expected, TOLERANCE * magnitude(expected), kind);
    }
  });

  test('a turned photo gives the features of the photo as it is seen', async () => {
    const seen = await sharp(photo('temple.jpg')).resize(200, 150).rotate(90).png().toBuffer();
    const stored = await sharp(seen).rotate(270).withMetadata({ orientation: 6 }).png().toBuffer();
    const [a, b] = [await extractor.extract(seen, { scales: [1] }), await extractor.extract(stored, { scales: [1] })];
    expectClose(b.tensor.data as Float32Array, a.tensor.data as Float32Array, 0, 'features');
  });

  test('a CMYK photo is read', async () => {
    const cmyk = await sharp(photo('temple.jpg'))
      .resize(200, 150)
      .toColourspace('cmyk')
      .jpeg({ quality: 100 })
      .toBuffer();
    expect((await sharp(cmyk).metadata()).space).toBe('cmyk');
    const features = await extractor.extract(cmyk, { scales: [1] });
    expect(features.tensor.dims).toEqual([88, 14, 14]);
  });
});

test.each([undefined, [255, 40, 3] as [number, number, number]])(
  'transparent pixels show the background: %j',
  async (background) => {
    const rgba = new Uint8Array(64 * 64 * 4).map((_, i) => (i * 89 + (i >> 7) * 31) & 255);
    const image = { data: rgba, width: 64, height: 64, channels: 4 as const };
    const png = await sharp(rgba, { raw: image }).png().toBuffer();
    const extractor = await Extractor.load(defaultModel, { scales: [1], ...(background ? { background } : {}) });
    try {
      const fromRaw = (await extractor.extract(image)).tensor.data as Float32Array;
      const fromPng = (await extractor.extract(png)).tensor.data as Float32Array;
      expectClose(fromPng, fromRaw, 0, 'PNG against raw');
      const expected = await plainS2(await decode(png, background), { ...backbone, scales: [1] });
      // Composing may round to whole steps of 1 / 255 or keep fractions: half a step shows in the features.
      expectClose(fromRaw, expected, 0.02 * magnitude(expected), 'features');
    } finally {
      await extractor.dispose();
    }
  },
);

describe('a vision transformer with a CLS token', () => {
  test.each([
    { name: 'temple.jpg', scales: [1], outputIndex: 0 },
    { name: 'temple.jpg', scales: [1, 2, 3], outputIndex: 0 },
    { name: 'astronaut.png', scales: [1, 2], outputIndex: -1 },
  ])('$name at $scales, grid of scale $outputIndex', async ({ name, scales, outputIndex }) => {
    const features = await extract(vitModel, { scales, resizeOutputToIndex: outputIndex }, photo(name));
    expect(features.numPrefixTokens).toBe(1);
    const side = 12 * (scales.at(outputIndex) as number);
    expect(features.grid).toEqual({ height: side, width: side });
    expect(features.tensor.dims).toEqual([1 + side * side, 128 * scales.length]);
    const expected = await plainS2(await decode(photo(name)), { ...vit, scales, outputIndex });
    expectFeatures(features, expected);
    expectClose(
      features.vector('cls'),
      expected.subarray(0, 128 * scales.length),
      TOLERANCE * magnitude(expected),
      'CLS',
    );
  });

  test('as a feature map: the same cells, without the CLS token, which has no place', async () => {
    const options = { scales: [1, 2] };
    const tokens = await extract(vitModel, options, photo('temple.jpg'));
    const map = await extract(vitModel, { ...options, outputShape: 'bchw' }, photo('temple.jpg'));
    expect(map.numPrefixTokens).toBe(0);
    expect(map.tensor.dims).toEqual([256, 12, 12]);
    const cells = tokens.tensor.data as Float32Array;
    const turned = Float32Array.from(
      { length: 256 * 144 },
      (_, i) => cells[((i % 144) + 1) * 256 + Math.floor(i / 144)] as number,
    );
    expect(map.tensor.data).toEqual(turned);
    expect(() => map.vector('cls')).toThrow(/no prefix tokens/);
  });

  test.each([
    'pillow-bicubic',
    'pillow-bilinear',
    'pillow-lanczos',
    'pillow-box',
    'torch-area',
    'torch-bicubic',
  ] as const)('resized by %s', async (mode) => {
    const preprocess = { resize: mode };
    const features = await extract(vitModel, { scales: [1, 2], preprocess }, photo('astronaut.png'));
    expectFeatures(features, await plainS2(await decode(photo('astronaut.png')), { ...vit, mode }));
  });

  test("what a user's preprocess says goes over the model's own", async () => {
    const preprocess = { mean: [0.5, 0.25, 0.125], std: [0.5, 1, 2], rescale: 1 / 128, channelOrder: 'bgr' as const };
    const features = await extract(vitModel, { scales: [1], preprocess }, photo('astronaut.png'));
    expectFeatures(
      features,
      await plainS2(await decode(photo('astronaut.png')), { ...vit, ...preprocess, bgr: true, scales: [1] }),
    );
  });

  test("a feature map output may be asked for as 'bnc'", async () => {
    const rows = await extract(defaultModel, { scales: [1, 2], outputShape: 'bnc' }, photo('astronaut.png'));
    const maps = await extract(defaultModel, { scales: [1, 2] }, photo('astronaut.png'));
    expect(rows.tensor.dims).toEqual([196, 176]);
    const data = rows.tensor.data as Float32Array;
    const transposed = Float32Array.from(
      { length: data.length },
      (_, i) => data[(i % 196) * 176 + Math.floor(i / 196)] as number,
    );
    expectClose(transposed, maps.tensor.data as Float32Array, 1e-6 * magnitude(data), 'features');
  });
});
