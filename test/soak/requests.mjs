// What the soak asks for: models, images good and bad, and requests that name one of each by number, so that worker threads can ask
// for the same. What a request must lead to is found by asking for it alone, before the load begins.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { defaultModel, Extractor, ManyscaleError, plan, split } from 'manyscale';
import sharp from 'sharp';

/** Codes that bad input of this kind may have. Everything else that goes wrong is a finding. */
const CODES = new Set([
  'ERR_INVALID_ARGUMENT',
  'ERR_IMAGE_READ',
  'ERR_IMAGE_DECODE',
  'ERR_IMAGE_UNSUPPORTED',
  'ERR_IMAGE_TOO_LARGE',
  'ERR_PLAN_TOO_LARGE',
  'ERR_MODEL_RUN',
]);

const MAX_PIXELS = 1_000_000;

/** The files in `folder` are made by soak.mjs. */
export function makeModels(folder) {
  return [
    { name: 'tokens', path: join(folder, 'tokens.onnx') },
    { name: 'map', path: join(folder, 'map.onnx') },
    { name: 'fails on bright tiles', path: join(folder, 'fails-on-bright.onnx') },
    { name: 'default', path: defaultModel },
  ];
}

export function loadModel({ path }, options) {
  return Extractor.load(path, { maxPixels: MAX_PIXELS, ...options });
}

/** Images as plain data: where their bytes are, and what they are to be handed over as. */
export async function makeImages(folder, random) {
  const images = [];
  const store = (name, bytes) => {
    const path = join(folder, name);
    writeFileSync(path, bytes);
    return path;
  };
  const size = (most) => ({ width: random.integer(1, most), height: random.integer(1, most) });
  for (let i = 0; i < 12; i++) {
    const { width, height } = i === 0 ? { width: 1, height: 1 } : size(i % 3 === 0 ? 700 : 120);
    const channels = random.pick([1, 3, 4]);
    const stride = i % 2 ? width * channels + random.integer(0, 40) : undefined;
    const bytes = new Uint8Array((stride ?? width * channels) * height).map(() => random.integer(0, 255));
    images.push({ good: true, as: 'raw', path: store(`raw-${i}`, bytes), width, height, channels, stride });
  }
  const dark = new Uint8Array(64 * 64 * 3).fill(1);
  images.push({ good: true, as: 'raw', path: store('dark', dark), width: 64, height: 64, channels: 3 });
  const encoded = [];
  for (const format of ['jpeg', 'png', 'webp', 'jpeg', 'png']) {
    const { width, height } = size(400);
    const raw = Buffer.from(new Uint8Array(width * height * 3).map(() => random.integer(0, 255)));
    encoded.push(
      await sharp(raw, { raw: { width, height, channels: 3 } })
        [format]()
        .toBuffer(),
    );
  }
  encoded.push(readFileSync(new URL('../../examples/photos/temple.jpg', import.meta.url)));
  for (const [i, bytes] of encoded.entries()) {
    const path = store(`encoded-${i}`, bytes);
    for (const as of ['bytes', 'file', random.pick(['url', 'blob'])]) images.push({ good: true, as, path });
    // Cut off, and with bytes changed: an error or another picture, but always the same.
    images.push({ as: 'bytes', path: store(`cut-${i}`, bytes.subarray(0, random.integer(0, bytes.length - 1))) });
    const corrupt = Uint8Array.from(bytes);
    for (let k = 0; k < 8; k++) corrupt[random.integer(0, corrupt.length - 1)] ^= random.integer(1, 255);
    images.push({ as: random.pick(['bytes', 'file']), path: store(`corrupt-${i}`, corrupt) });
  }
  images.push({ as: 'bytes', path: store('empty', new Uint8Array(0)) });
  images.push({
    as: 'bytes',
    path: store(
      'noise',
      new Uint8Array(500).map(() => random.integer(0, 255)),
    ),
  });
  images.push({ as: 'file', path: join(folder, 'missing') });
  images.push({ as: 'file', path: folder });
  // A header that claims more pixels than maxPixels.
  const { data } = await sharp({ create: { width: 2000, height: 1000, channels: 3, background: '#123456' } })
    .png()
    .toBuffer({ resolveWithObject: true });
  images.push({ as: 'bytes', path: store('large', data) });
  return images;
}

const cache = new Map();

/** The image as extract() takes it; bytes are read once. */
export function openImage({ as, path, width, height, channels, stride }) {
  if (as === 'file') return path;
  if (as === 'url') return pathToFileURL(path);
  let bytes = cache.get(path);
  if (!bytes) {
    bytes = new Uint8Array(readFileSync(path));
    cache.set(path, bytes);
  }
  if (as === 'blob') return new Blob([bytes]);
  if (as === 'bytes') return bytes;
  return { data: bytes, width, height, channels, ...(stride !== undefined && { stride }) };
}

/** `count` requests: { model, image, options, operation }, plain data. */
export function makeRequests(models, images, random, count) {
  const requests = [];
  for (let i = 0; i < count; i++) {
    let image = random.integer(0, images.length - 1);
    while (!images[image].good && random.integer(0, 3) > 0) image = random.integer(0, images.length - 1);
    const operation = images[image].as === 'raw' && random.integer(0, 9) === 0 ? 'split' : 'extract';
    const options = random.pick([
      {},
      { scales: [1] },
      { scales: [1, 2] },
      { scales: [1, 2, 3], resizeOutputToIndex: -1 },
      { scales: [2, 1], fit: 'crop' },
      { scales: [3], outputShape: random.pick(['bnc', 'bchw']) },
      { scales: [1], fit: 'crop' },
    ]);
    const wrong =
      random.integer(0, 19) === 0 ? random.pick([{ scales: [1e6] }, { scales: [1e-6] }, { scales: [0.37] }]) : options;
    requests.push({ model: random.integer(0, models.length - 1), image, operation, options: wrong });
  }
  return requests;
}

/** What comes of one request: { data, dims }, or { code } of a refusal. What must never happen is thrown. */
export async function outcomeOf(work) {
  try {
    const tensor = await work;
    return { data: tensor.data, dims: [...tensor.dims] };
  } catch (error) {
    if (error instanceof ManyscaleError && CODES.has(error.code)) return { code: error.code };
    throw error;
  }
}

/** Asks for it with the Extractor of its model. */
export async function ask(request, extractor, images, signal) {
  const image = openImage(images[request.image]);
  if (request.operation === 'split') {
    const { height, width } = images[request.image];
    const tiles = await split(image, plan({ height, width }, { imageSizes: [64], maxSplitSize: 32 }));
    return tiles[0];
  }
  const { tensor } = await extractor.extract(image, { ...request.options, ...(signal && { signal }) });
  return tensor;
}

/** Why `found` is not `expected`, or undefined if it is, to the bit. */
export function difference(found, expected) {
  if (found.code !== expected.code) return `${found.code ?? 'features'} instead of ${expected.code ?? 'features'}`;
  if (found.code) return undefined;
  if (String(found.dims) !== String(expected.dims)) return `shape ${found.dims} instead of ${expected.dims}`;
  const bits = (data) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (Buffer.compare(bits(found.data), bits(expected.data)) === 0) return undefined;
  let worst = 0;
  for (let i = 0; i < found.data.length; i++) worst = Math.max(worst, Math.abs(found.data[i] - expected.data[i]));
  return `features that differ by up to ${worst}`;
}

export function describeRequest(request, models, images) {
  const { as, path, good: _, ...rest } = images[request.image];
  const picture = `${as} ${path.split('/').at(-1)}${rest.width ? ` ${JSON.stringify(rest)}` : ''}`;
  return `${request.operation} of ${picture} with the model '${models[request.model].name}', options ${JSON.stringify(request.options)}`;
}
