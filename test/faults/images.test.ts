// Protects against bad images: every file that is not a whole picture of an accepted format gives a clear ManyscaleError,
// costs no memory, and leaves the extractor as it was.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Extractor, ManyscaleError } from 'manyscale';
import sharp from 'sharp';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { expectClose } from '../helpers/compare.js';
import { expectManyscaleError } from '../helpers/errors.js';
import { gifWithFrames, pdf, pngClaiming, svg } from '../helpers/files.js';
import { patchModel } from '../helpers/models.js';
import { photo } from '../helpers/paths.js';
import { makeRandom, makeSeed, randomBytes } from '../helpers/random.js';

const folder = mkdtempSync(join(tmpdir(), 'manyscale-images-'));
const seed = makeSeed();
const good = {
  data: new Uint8Array(40 * 50 * 3).map((_, i) => (i * 31) & 255),
  width: 40,
  height: 50,
  channels: 3 as const,
};
const IMAGE_CODES = ['ERR_IMAGE_DECODE', 'ERR_IMAGE_UNSUPPORTED', 'ERR_IMAGE_TOO_LARGE'] as const;
let extractor: Extractor;
let expected: Float32Array;

beforeAll(async () => {
  extractor = await Extractor.load(patchModel());
  expected = (await extractor.extract(good)).tensor.data as Float32Array;
});
afterAll(async () => {
  await extractor.dispose();
  rmSync(folder, { recursive: true });
});
// After each bad request a good one works.
afterEach(async () => {
  const { tensor } = await extractor.extract(good);
  expectClose(tensor.data as Float32Array, expected, 0, 'a good image after a bad one');
});

const small = (name: string) => sharp(photo(name)).resize(80, 60);
const encoded = async (): Promise<Record<string, Buffer>> => ({
  jpeg: await small('temple.jpg').jpeg().toBuffer(),
  'progressive jpeg': await small('temple.jpg').jpeg({ progressive: true }).toBuffer(),
  png: await small('temple.jpg').png().toBuffer(),
  'lossless webp': await small('temple.jpg').webp({ lossless: true }).toBuffer(),
  webp: await small('temple.jpg').webp().toBuffer(),
  avif: await small('temple.jpg').avif().toBuffer(),
  tiff: await small('temple.jpg').tiff({ compression: 'lzw' }).toBuffer(),
  gif: await small('temple.jpg').gif().toBuffer(),
});

describe('files that cannot be read', () => {
  test('missing, a folder, a device, a pipe that nobody writes to', async () => {
    for (const path of [join(folder, 'missing.jpg'), folder, '/dev/zero', pathToFileURL(join(folder, 'missing.jpg'))]) {
      const error = await expectManyscaleError(() => extractor.extract(path), 'ERR_IMAGE_READ');
      expect(error.message).toContain(path instanceof URL ? 'missing.jpg' : path);
    }
  });

  test('addresses of the network are refused, not fetched', async () => {
    for (const address of [
      'https://localhost:1/x.png',
      new URL('https://localhost:1/x.png'),
      'data:image/png;base64,AAAA',
    ]) {
      await expectManyscaleError(
        () => extractor.extract(address),
        ['ERR_INVALID_ARGUMENT', 'ERR_IMAGE_READ', 'ERR_IMAGE_UNSUPPORTED'],
      );
    }
  });

  test('a path with a zero byte', async () => {
    await expectManyscaleError(() => extractor.extract('a\0b.png'), ['ERR_INVALID_ARGUMENT', 'ERR_IMAGE_READ']);
  });
});

describe('files that are no picture of an accepted format', () => {
  test('Blobs that never end hold up nobody else, and can be aborted', async () => {
    const endless = { [Symbol.toStringTag]: 'Blob', arrayBuffer: () => new Promise(() => {}) } as unknown as Blob;
    const controller = new AbortController();
    const waiting = Array.from({ length: 16 }, () => extractor.extract(endless, { signal: controller.signal }));
    expect((await extractor.extract(photo('temple.jpg'))).scales.length).toBe(2);
    controller.abort(new Error('enough'));
    for (const { reason } of (await Promise.allSettled(waiting)) as PromiseRejectedResult[])
      expect(reason).toBe(controller.signal.reason);
  });

  test('empty: file, bytes, Blob', async () => {
    const path = join(folder, 'empty.jpg');
    writeFileSync(path, '');
    for (const image of [path, new Uint8Array(0), Buffer.alloc(0), new Blob([])]) {
      await expectManyscaleError(() => extractor.extract(image), ['ERR_IMAGE_DECODE', 'ERR_IMAGE_UNSUPPORTED']);
    }
  });

  test.each([
    ['SVG', svg],
    ['PDF', pdf],
    ['zip', Buffer.from('PK\x03\x04\x14\x00\x00\x00\x08\x00', 'latin1')],
    ['HTML', Buffer.from('<!doctype html><p>404 not found')],
    ['text', Buffer.from('hello')],
    ['zeros', Buffer.alloc(4096)],
    ['BMP', Buffer.from('BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0', 'latin1')],
  ])('%s, also when its name says PNG', async (_kind, bytes) => {
    const path = join(folder, 'picture.png');
    writeFileSync(path, bytes);
    for (const image of [bytes, path, new Blob([bytes], { type: 'image/png' })]) {
      await expectManyscaleError(() => extractor.extract(image), 'ERR_IMAGE_UNSUPPORTED', /JPEG/, /PNG/);
    }
  });

  test('SVG behind a byte-order mark, white space, comments or UTF-16', async () => {
    const tricks = [
      Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), svg]),
      Buffer.from(`\n\n   ${svg}`),
      Buffer.from(`<!-- ${' '.repeat(2000)} -->${svg}`),
      Buffer.from(`\ufeff${svg}`, 'utf16le'),
    ];
    for (const bytes of tricks)
      await expectManyscaleError(() => extractor.extract(bytes), ['ERR_IMAGE_UNSUPPORTED', 'ERR_IMAGE_DECODE']);
  });

  test('HEIC-like containers without AV1', async () => {
    const box = Buffer.from('\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'latin1');
    await expectManyscaleError(() => extractor.extract(box), ['ERR_IMAGE_UNSUPPORTED', 'ERR_IMAGE_DECODE']);
  });

  test(`random bytes, bare and behind each format's first bytes (seed ${seed})`, async () => {
    const random = makeRandom(seed);
    const heads = [
      '',
      '\xff\xd8\xff',
      '\x89PNG\r\n\x1a\n',
      'GIF89a',
      'RIFF\x10\0\0\0WEBP',
      'II*\0',
      'MM\0*',
      '\0\0\0\x1cftypavif',
    ];
    for (let index = 0; index < 60; index++) {
      const bytes = Buffer.concat([
        Buffer.from(random.pick(heads), 'latin1'),
        randomBytes(random.integer(0, 600), random),
      ]);
      await expectManyscaleError(() => extractor.extract(bytes), IMAGE_CODES);
    }
  });

  test('a name says nothing: a JPEG named .png is read', async () => {
    const path = join(folder, 'really-a-jpeg.png');
    writeFileSync(path, await small('temple.jpg').jpeg().toBuffer());
    const { tensor } = await extractor.extract(path);
    expect(tensor.dims).toEqual([16, 12]);
  });
});

describe('damaged files', () => {
  test('a JPEG cut at many places', async () => {
    const bytes = readFileSync(photo('temple.jpg'));
    const places = [
      1,
      2,
      3,
      4,
      10,
      11,
      20,
      100,
      300,
      620,
      ...Array.from({ length: 19 }, (_, i) => Math.floor((bytes.length * (i + 1)) / 20)),
    ];
    for (const place of places)
      await expectManyscaleError(
        () => extractor.extract(bytes.subarray(0, place)),
        ['ERR_IMAGE_DECODE', 'ERR_IMAGE_UNSUPPORTED'],
      );
  });

  test('every format cut in the middle', async () => {
    for (const [format, bytes] of Object.entries(await encoded())) {
      for (const part of [0.1, 0.5, 0.9]) {
        const cut = bytes.subarray(0, Math.floor(bytes.length * part));
        const error = await expectManyscaleError(() => extractor.extract(cut), 'ERR_IMAGE_DECODE').catch(
          (cause: unknown) => {
            throw new Error(`${format} cut at ${part}`, { cause });
          },
        );
        expect(error.cause, format).toBeDefined();
      }
    }
  });

  test(`every format with changed bytes: features or an ERR_IMAGE_ error (seed ${seed})`, {
    timeout: 30_000,
  }, async () => {
    const random = makeRandom(seed);
    for (const [format, original] of Object.entries(await encoded())) {
      for (let index = 0; index < 40; index++) {
        const bytes = Buffer.from(original);
        for (let change = random.integer(1, 8); change > 0; change--) {
          // Headers are where damage does most.
          const place = random.integer(0, random.pick([40, 200, bytes.length]) - 1) % bytes.length;
          bytes[place] = random.pick([0, 255, 127, 128, random.integer(0, 255)]);
        }
        try {
          const { tensor } = await extractor.extract(bytes);
          expect(tensor.dims).toEqual([16, 12]);
        } catch (error) {
          const what = `${format}, seed ${seed}, change ${index}: ${String(error)}`;
          expect(error, what).toBeInstanceOf(ManyscaleError);
          expect(IMAGE_CODES, what).toContain((error as ManyscaleError).code);
        }
      }
    }
  });

  test('GIF: frames outside the canvas, many frames, none', async () => {
    const first = await extractor.extract(gifWithFrames(4, [[0, 0]]));
    expect(first.tensor.dims).toEqual([16, 12]);
    const many = await extractor.extract(
      gifWithFrames(
        4,
        Array.from({ length: 500 }, () => [0, 0] as [number, number]),
      ),
    );
    expectClose(many.tensor.data as Float32Array, first.tensor.data as Float32Array, 0, 'the first frame alone counts');
    for (const bytes of [gifWithFrames(4, [[60000, 60000]]), gifWithFrames(4, []), gifWithFrames(0, [[0, 0]])]) {
      const outcome = await extractor.extract(bytes).catch((error: unknown) => error);
      if (outcome instanceof Error) {
        expect(outcome).toBeInstanceOf(ManyscaleError);
        expect(IMAGE_CODES).toContain((outcome as ManyscaleError).code);
      }
    }
  });
});

describe('sizes', () => {
  test('a decompression bomb is refused by its header', async () => {
    const before = process.memoryUsage.rss();
    for (const [width, height] of [
      [60_000, 60_000],
      [2 ** 31 - 1, 1],
      [2 ** 31 - 1, 2 ** 31 - 1],
      [0, 10],
    ] as const) {
      const begin = performance.now();
      await expectManyscaleError(
        () => extractor.extract(pngClaiming(width, height)),
        width === 60_000 ? 'ERR_IMAGE_TOO_LARGE' : IMAGE_CODES,
      );
      expect(performance.now() - begin).toBeLessThan(2000);
    }
    expect(process.memoryUsage.rss() - before).toBeLessThan(200 * 2 ** 20);
  });

  test('a GIF that claims a frame of 65535 x 65535', async () => {
    const before = process.memoryUsage.rss();
    await expectManyscaleError(
      () => extractor.extract(gifWithFrames(65_535, [[0, 0]], 65_535)),
      'ERR_IMAGE_TOO_LARGE',
      /65535/,
    );
    expect(process.memoryUsage.rss() - before).toBeLessThan(200 * 2 ** 20);
  });

  test('maxPixels is the last size that is read', async () => {
    const bytes = await small('temple.jpg').png().toBuffer();
    const strict = await Extractor.load(patchModel(), { maxPixels: 80 * 60 - 1 });
    await expectManyscaleError(() => strict.extract(bytes), 'ERR_IMAGE_TOO_LARGE', /4799/, /80/, /60/, /maxPixels/);
    await strict.dispose();
    const exact = await Extractor.load(patchModel(), { maxPixels: 80 * 60 });
    expect((await exact.extract(bytes)).tensor.dims).toEqual([16, 12]);
    await exact.dispose();
  });

  test.each([
    [1, 1],
    [30_000, 1],
    [1, 30_000],
    [2, 3],
  ])('%i x %i pixels work', async (width, height) => {
    const data = new Uint8Array(width * height * 3).fill(120);
    const fromRaw = await extractor.extract({ data, width, height, channels: 3 });
    const fromPng = await extractor.extract(
      await sharp(data, { raw: { width, height, channels: 3 } })
        .png()
        .toBuffer(),
    );
    expect(fromRaw.tensor.dims).toEqual([16, 12]);
    expectClose(fromPng.tensor.data as Float32Array, fromRaw.tensor.data as Float32Array, 0, 'PNG against raw');
    // One colour resizes to that colour: all cells of all tiles are the same.
    const cells = fromRaw.tensor.data as Float32Array;
    for (let cell = 1; cell < 16; cell++)
      expectClose(cells.subarray(cell * 12, (cell + 1) * 12), cells.subarray(0, 12), 1e-5, `cell ${cell}`);
  });

  test.each([
    [30_000, 1],
    [1, 30_000],
  ])("%i x %i pixels with fit 'crop' work", async (width, height) => {
    const data = new Uint8Array(width * height * 3).fill(120);
    const { tensor } = await extractor.extract({ data, width, height, channels: 3 }, { fit: 'crop' });
    expect(tensor.dims).toEqual([16, 12]);
  });
});

describe('pixels whose sizes and data do not agree', () => {
  const data = new Uint8Array(40 * 50 * 3);
  test.each<[string, Record<string, unknown>]>([
    ['too few bytes', { data: data.subarray(1) }],
    ['too many bytes', { data: new Uint8Array(40 * 50 * 3 + 1) }],
    ['no bytes', { data: new Uint8Array(0) }],
    ['width 0', { width: 0 }],
    ['a negative height', { height: -50 }],
    ['a fraction', { width: 40.5 }],
    ['NaN', { width: Number.NaN }],
    ['a size that overflows', { width: 2 ** 31, height: 2 ** 31 }],
    ['a size beyond whole numbers', { width: 2 ** 60 }],
    ['2 channels', { channels: 2 }],
    ['no channels', { channels: undefined }],
    ['a stride below a row', { stride: 119 }],
    ['a stride that needs more bytes', { stride: 128 }],
    ['a huge stride', { stride: 2 ** 52 }],
    ['no data', { data: undefined }],
    ['an ordinary array', { data: Array.from(data) }],
    ['floats', { data: new Float32Array(6000) }],
    ['a text', { width: '40' }],
  ])('%s', async (_kind, change) => {
    await expectManyscaleError(
      () => extractor.extract({ data, width: 40, height: 50, channels: 3, ...change } as never),
      'ERR_INVALID_ARGUMENT',
    );
  });

  test('a buffer that was transferred away before the call', async () => {
    const gone = new Uint8Array(6000);
    structuredClone(gone, { transfer: [gone.buffer] });
    await expectManyscaleError(
      () => extractor.extract({ data: gone, width: 40, height: 50, channels: 3 }),
      'ERR_INVALID_ARGUMENT',
      /transferred/,
    );
    await expectManyscaleError(() => extractor.extract(gone), ['ERR_INVALID_ARGUMENT', 'ERR_IMAGE_DECODE']);
  });

  test.each([
    [undefined],
    [null],
    [42],
    [true],
    [[]],
    [{}],
    [() => {}],
    [Symbol('image')],
    [10n],
    [new Date()],
    [new Map()],
    [''],
  ])('%s is no image', async (value) => {
    await expectManyscaleError(() => extractor.extract(value as never), ['ERR_INVALID_ARGUMENT', 'ERR_IMAGE_READ']);
  });
});
