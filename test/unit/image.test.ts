// Images: what counts as one, and what decoding makes of good, odd, broken and hostile files.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { runInNewContext } from 'node:vm';
import { deflateSync } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decodeImage, planDecoding } from '../../src/images/decode.js';
import { type OpenOptions, openImage, ownSource } from '../../src/images/encoded.js';
import { type ImageSource, recogniseImage, recognisePixels } from '../../src/images/image.js';
import type { NativeImage } from '../../src/native/addon.js';
import { DEFAULTS } from '../../src/options/defaults.js';
import { expectCode } from './rejection.js';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'manyscale-image-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const WIDTH = 64;
const HEIGHT = 48;
/** A photo-like picture: smooth, with every corner of its own colour. */
const picture = Uint8Array.from({ length: WIDTH * HEIGHT * 3 }, (_, i) => {
  const [x, y] = [Math.floor(i / 3) % WIDTH, Math.floor(i / 3 / WIDTH)];
  return [(x * 255) / (WIDTH - 1), (y * 255) / (HEIGHT - 1), 128 + 60 * Math.sin((x + y) / 9)][i % 3] as number;
});

function image(): Sharp {
  return sharp(picture, { raw: { width: WIDTH, height: HEIGHT, channels: 3 } });
}

async function decode(value: unknown, options: Partial<OpenOptions> = {}): Promise<NativeImage> {
  const source = await ownSource(recogniseImage(value) as Exclude<ImageSource, { kind: 'pixels' }>);
  const opened = await openImage(source, { maxPixels: DEFAULTS.maxPixels, colorProfile: 'ignore', ...options });
  const decoding = planDecoding(opened);
  const pixels = await decodeImage(opened, decoding);
  expect({ height: pixels.height, width: pixels.width }).toMatchObject({
    height: decoding.height,
    width: decoding.width,
  });
  expect(decoding.peak).toBeGreaterThanOrEqual(opened.bytes.length + pixels.data.length);
  return pixels;
}

function largest(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual.length).toBe(expected.length);
  let most = 0;
  for (let i = 0; i < expected.length; i++)
    most = Math.max(most, Math.abs((actual[i] as number) - (expected[i] as number)));
  return most;
}

describe('recognised', () => {
  const path = '/photos/a b.jpg';
  test.each<[string, () => unknown, ImageSource]>([
    ['a path', () => path, { kind: 'file', path }],
    ['a relative path', () => 'c:d.png', { kind: 'file', path: 'c:d.png' }],
    ['a file URL', () => pathToFileURL(path), { kind: 'file', path }],
    ['a file URL as text', () => pathToFileURL(path).href, { kind: 'file', path }],
    ['bytes', () => new Uint8Array([1, 2]), { kind: 'bytes', bytes: new Uint8Array([1, 2]) }],
    ['a Buffer', () => Buffer.from([1, 2]), { kind: 'bytes', bytes: Buffer.from([1, 2]) }],
    ['an ArrayBuffer', () => new Uint8Array([1, 2]).buffer, { kind: 'bytes', bytes: new Uint8Array([1, 2]) }],
    [
      "another realm's bytes",
      () => runInNewContext('new Uint8Array([1, 2])'),
      { kind: 'bytes', bytes: new Uint8Array([1, 2]) },
    ],
  ])('%s', (_, make, expected) => {
    const found = recogniseImage(make());
    expect(found.kind).toBe(expected.kind);
    if (found.kind === 'bytes' && expected.kind === 'bytes') expect([...found.bytes]).toEqual([...expected.bytes]);
    else expect(found).toEqual(expected);
  });

  test('a Blob', () => {
    const blob = new Blob(['x']);
    expect(recogniseImage(blob)).toEqual({ kind: 'blob', blob });
  });

  const rgb = { owned: false, batch: 1, channels: 3, height: 2, width: 2, stride: 0 };
  test('a RawImage, read in place', () => {
    const data = new Uint8Array(12);
    const pixels = recognisePixels({ data, width: 2, height: 2, channels: 3 });
    expect(pixels).toEqual({ ...rgb, data });
    expect(pixels.data).toBe(data);
  });

  test('rows of any length, the last without padding', async () => {
    const raw = { width: 2, height: 2, channels: 3 as const, stride: 8 };
    expect(recognisePixels({ ...raw, data: new Uint8Array(14) })).toMatchObject({ stride: 8 });
    expect(recognisePixels({ ...raw, data: new Uint8Array(99) })).toMatchObject({ stride: 8 });
    await expectCode(
      () => recognisePixels({ ...raw, data: new Uint8Array(13) }),
      'ERR_INVALID_ARGUMENT',
      /at least 14 bytes .*stride 8/,
    );
    await expectCode(
      () => recognisePixels({ ...raw, stride: 5, data: new Uint8Array(99) }),
      'ERR_INVALID_ARGUMENT',
      /at least 6 for stride/,
    );
  });

  test('ImageData has four channels', () => {
    const pixels = recognisePixels({ data: new Uint8ClampedArray(16).fill(7), width: 2, height: 2 });
    expect(pixels).toEqual({ ...rgb, channels: 4, data: new Uint8Array(16).fill(7) });
  });

  test("sharp's output, raw or encoded", async () => {
    const raw = await image().raw().toBuffer({ resolveWithObject: true });
    expect(recogniseImage(raw)).toMatchObject({ kind: 'pixels', image: { channels: 3, height: HEIGHT, width: WIDTH } });
    const encoded = await image().png().toBuffer({ resolveWithObject: true });
    expect(recogniseImage(encoded).kind).toBe('bytes');
    expect(largest((await decode(encoded)).data, picture)).toBe(0);
  });

  test('memory that others can change or resize is copied', () => {
    const shared = new Uint8Array(new SharedArrayBuffer(12)).fill(5);
    const copied = recognisePixels({ data: shared, width: 2, height: 2, channels: 3 });
    shared.fill(0);
    expect(copied).toMatchObject({ owned: true, data: new Uint8Array(12).fill(5) });
    type Resizable = new (bytes: number, options: { maxByteLength: number }) => ArrayBuffer;
    const buffer = new (ArrayBuffer as unknown as Resizable)(12, { maxByteLength: 24 });
    expect(recognisePixels({ data: new Uint8Array(buffer), width: 2, height: 2, channels: 3 }).owned).toBe(true);
  });
});

describe('refused', () => {
  const data = new Uint8Array(12);
  const transferred = () => {
    const bytes = new Uint8Array(12);
    structuredClone(bytes, { transfer: [bytes.buffer] });
    return bytes;
  };
  test.each<[string, () => unknown, RegExp]>([
    ['nothing', () => undefined, /a path, file URL, Blob, .* for the image but received undefined/],
    ['null', () => null, /but received null/],
    ['a number', () => 7, /received 7 of type number/],
    ['an empty path', () => '', /received '' of type string/],
    ['an address', () => 'https://example.com/a.jpg', /file URL .* fetch it and give its bytes/],
    ['an address as URL', () => new URL('http://example.com/a.jpg'), /fetch it and give its bytes/],
    ['a data URL', () => 'data:image/png;base64,AAAA', /fetch it and give its bytes/],
    ['a file of another machine', () => new URL('file://elsewhere/a.jpg'), /file URL of this machine/],
    ['an object', () => ({}), /received an object of type Object/],
    ['a tensor', () => ({ type: 'float32', dims: [1], data: new Float32Array(1) }), /multiscaleForward or split/],
    [
      '16-bit pixels',
      () => ({ data: new Uint16Array(12), width: 2, height: 2, channels: 3 }),
      /a Uint8Array for data of the image/,
    ],
    ['two channels', () => ({ data: new Uint8Array(8), width: 2, height: 2, channels: 2 }), /1, 3 or 4 for channels/],
    [
      'no channels',
      () => ({ data, width: 2, height: 2 }),
      /1, 3 or 4 for channels of the image but received undefined/,
    ],
    ['no width', () => ({ data, height: 2, channels: 3 }), /for width of the image but received undefined/],
    [
      'a negative height',
      () => ({ data, width: 2, height: -2, channels: 3 }),
      /for height of the image but received -2/,
    ],
    [
      'too few bytes',
      () => ({ data, width: 3, height: 2, channels: 3 }),
      /18 bytes \(2 x 3 pixels of 3 channels\) .* 12 bytes/,
    ],
    ['too many bytes', () => ({ data, width: 1, height: 2, channels: 3 }), /6 bytes .* received 12 bytes/],
    ['a transferred buffer', () => ({ data: transferred(), width: 2, height: 2, channels: 3 }), /transferred away/],
    ['transferred bytes', transferred, /transferred away/],
    ['a transferred ArrayBuffer', () => transferred().buffer, /transferred away/],
    ['sharp without info', () => ({ data, info: null }), /info of sharp's/],
  ])('%s', async (_, make, message) => {
    await expectCode(() => recogniseImage(make()), 'ERR_INVALID_ARGUMENT', message);
  });

  test('encoded images where pixels are needed', async () => {
    await expectCode(() => recognisePixels('photo.jpg'), 'ERR_INVALID_ARGUMENT', /pixels .* decode it first/);
  });
});

describe('decoded', () => {
  // Tolerances: what each encoder loses on this picture.
  test.each<[string, (from: Sharp) => Sharp, number]>([
    ['JPEG', (from) => from.jpeg({ quality: 98, chromaSubsampling: '4:4:4' }), 6],
    ['progressive JPEG', (from) => from.jpeg({ quality: 98, progressive: true, chromaSubsampling: '4:4:4' }), 6],
    ['PNG', (from) => from.png(), 0],
    ['16-bit PNG', (from) => from.toColourspace('rgb16').png(), 0],
    ['WebP', (from) => from.webp({ lossless: true }), 0],
    ['AVIF', (from) => from.avif({ quality: 95, chromaSubsampling: '4:4:4', effort: 0 }), 12],
    ['TIFF', (from) => from.tiff({ compression: 'lzw' }), 0],
  ])('%s', async (_, encode, tolerance) => {
    const pixels = await decode(await encode(image()).toBuffer());
    expect(pixels).toMatchObject({ owned: true, batch: 1, channels: 3, height: HEIGHT, width: WIDTH, stride: 0 });
    expect(pixels.data).toBeInstanceOf(Uint8Array);
    expect(largest(pixels.data, picture)).toBeLessThanOrEqual(tolerance);
  });

  test('the first frame of a GIF', async () => {
    const frames = [0, 200].map((grey) => {
      const background = { r: grey, g: grey, b: grey };
      return sharp({ create: { width: 8, height: 8, channels: 3, background } })
        .png()
        .toBuffer();
    });
    const gif = await sharp(await Promise.all(frames), { join: { animated: true } })
      .gif()
      .toBuffer();
    expect((await sharp(gif).metadata()).pages).toBe(2);
    const pixels = await decode(gif);
    expect(pixels).toMatchObject({ height: 8, width: 8 });
    expect([...pixels.data.subarray(0, 3)]).toEqual([0, 0, 0]);
  });

  test('a path, a file URL, a Blob and bytes are the same', async () => {
    const png = await image().png().toBuffer();
    const path = join(folder, 'mislabelled.jpg');
    writeFileSync(path, png);
    for (const value of [path, pathToFileURL(path), new Blob([png]), png, new Uint8Array(png).buffer]) {
      expect(largest((await decode(value)).data, picture)).toBe(0);
    }
  });

  test('bytes may be changed or transferred as soon as the call has returned', async () => {
    const png = new Uint8Array(await image().png().toBuffer());
    const decoding = decode(png);
    structuredClone(png, { transfer: [png.buffer] });
    expect(largest((await decoding).data, picture)).toBe(0);
  });

  // Orientation n, and which corner of the stored picture is then at the top left, and at the top right.
  test.each([
    [1, 'topLeft', 'topRight'],
    [2, 'topRight', 'topLeft'],
    [3, 'bottomRight', 'bottomLeft'],
    [4, 'bottomLeft', 'bottomRight'],
    [5, 'topLeft', 'bottomLeft'],
    [6, 'bottomLeft', 'topLeft'],
    [7, 'bottomRight', 'topRight'],
    [8, 'topRight', 'bottomRight'],
  ] as const)('EXIF orientation %i', async (orientation, left, right) => {
    const corners = {
      topLeft: [0, 0],
      topRight: [255, 0],
      bottomLeft: [0, 255],
      bottomRight: [255, 255],
    };
    const { data, width, height } = await decode(await image().withMetadata({ orientation }).png().toBuffer());
    expect([width, height]).toEqual(orientation > 4 ? [HEIGHT, WIDTH] : [WIDTH, HEIGHT]);
    expect([...data.subarray(0, 2)]).toEqual(corners[left]);
    expect([...data.subarray((width - 1) * 3, (width - 1) * 3 + 2)]).toEqual(corners[right]);
  });

  test('CMYK becomes RGB', async () => {
    const cmyk = await image().toColourspace('cmyk').jpeg({ quality: 98, chromaSubsampling: '4:4:4' }).toBuffer();
    expect((await sharp(cmyk).metadata()).space).toBe('cmyk');
    const pixels = await decode(cmyk);
    expect(pixels.channels).toBe(3);
    // CMYK holds fewer colours: the mean is near, single pixels need not be.
    let sum = 0;
    for (let i = 0; i < picture.length; i++) sum += Math.abs((pixels.data[i] as number) - (picture[i] as number));
    expect(sum / picture.length).toBeLessThan(25);
  });

  test('grey, with and without alpha, in 8 and 16 bit', async () => {
    const grey = Uint8Array.from({ length: 256 }, (_, i) => i);
    const raw = sharp(grey, { raw: { width: 16, height: 16, channels: 1 } });
    const wide = sharp(
      Uint16Array.from(grey, (value) => value * 256 + 255 - value),
      { raw: { width: 16, height: 16, channels: 1 } },
    );
    for (const encoded of [
      await raw.clone().toColourspace('b-w').png().toBuffer(),
      await wide.toColourspace('grey16').png().toBuffer(),
    ]) {
      expect((await sharp(encoded).metadata()).channels).toBe(1);
      const { data, channels } = await decode(encoded);
      expect(channels === 1 || channels === 3).toBe(true);
      expect([...data].filter((_, i) => i % channels === 0)).toEqual([...grey]);
    }
    const both = sharp(
      Uint8Array.from({ length: 512 }, (_, i) => (i % 2 ? 255 - (i >> 1) : i >> 1)),
      { raw: { width: 16, height: 16, channels: 2 } },
    );
    const alpha = await both.toColourspace('b-w').png().toBuffer();
    expect((await sharp(alpha).metadata()).channels).toBe(2);
    const { data, channels } = await decode(alpha);
    expect(channels).toBe(4);
    expect([...data.subarray(4 * 100, 4 * 101)]).toEqual([100, 100, 100, 155]);
  });

  test('alpha is kept as it is, for native code to compose', async () => {
    const rgba = Uint8Array.from({ length: 4 * 256 }, (_, i) => (i * 7) % 256);
    for (const space of ['srgb', 'rgb16'] as const) {
      const png = await sharp(rgba, { raw: { width: 16, height: 16, channels: 4 } })
        .toColourspace(space)
        .png()
        .toBuffer();
      const pixels = await decode(png);
      expect(pixels.channels).toBe(4);
      expect(largest(pixels.data, rgba)).toBe(0);
    }
  });

  test('a palette with transparency', async () => {
    const png = await image().ensureAlpha(0).png({ palette: true }).toBuffer();
    expect(await decode(png)).toMatchObject({ channels: 4 });
  });

  test('a colour profile is ignored unless asked for', async () => {
    const png = await image().withIccProfile('p3').png().toBuffer();
    const stored = await sharp(png, { ignoreIcc: true }).raw().toBuffer();
    expect(largest(stored, picture)).toBeGreaterThan(10);
    expect(largest((await decode(png)).data, stored)).toBe(0);
    // Rounded to 8 bits in between; dark saturated colours, where the curve is steep, lose most.
    expect(largest((await decode(png, { colorProfile: 'convert' })).data, picture)).toBeLessThanOrEqual(10);
  });

  test('one pixel, and one long row', async () => {
    for (const [width, height] of [
      [1, 1],
      [30000, 1],
    ] as const) {
      const png = await sharp({ create: { width, height, channels: 3, background: '#102030' } })
        .png()
        .toBuffer();
      const pixels = await decode(png);
      expect(pixels).toMatchObject({ width, height });
      expect([...pixels.data.subarray(0, 3)]).toEqual([0x10, 0x20, 0x30]);
    }
  });
});

describe('refused before or while decoding', () => {
  test('a file that is not there, a folder, a pipe', async () => {
    await expectCode(() => decode(join(folder, 'none.jpg')), 'ERR_IMAGE_READ', /none\.jpg' \(ENOENT/);
    await expectCode(() => decode(folder), 'ERR_IMAGE_READ', /which is not a file/);
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    await expectCode(() => decode(pipe), 'ERR_IMAGE_READ', /which is not a file/);
    await expectCode(() => decode('a\0b'), 'ERR_IMAGE_READ', /null bytes/);
  });

  test('a Blob that cannot be read', async () => {
    const blob = new Blob(['x']);
    blob.arrayBuffer = () => Promise.reject(new Error('gone'));
    await expectCode(() => decode(blob), 'ERR_IMAGE_READ', /gone/);
  });

  test('nothing', async () => {
    const empty = join(folder, 'empty.jpg');
    writeFileSync(empty, '');
    for (const value of [empty, new Uint8Array(), new Blob([])]) {
      await expectCode(() => decode(value), 'ERR_IMAGE_DECODE', /received 0 bytes/);
    }
  });

  const formats = ['jpeg', 'png', 'webp', 'avif', 'tiff', 'gif'] as const;
  test.each(formats)('a truncated %s', async (format) => {
    const whole = await image().toFormat(format).toBuffer();
    await decode(whole);
    // Also when nearly all of it is there: half a picture over grey rows would be a wrong result.
    for (const part of [0.2, 0.5, 0.9]) {
      await expectCode(
        () => decode(whole.subarray(0, Math.floor(whole.length * part))),
        'ERR_IMAGE_DECODE',
        /cut off or damaged/,
      );
    }
    await expectCode(() => decode(whole.subarray(0, 20)), 'ERR_IMAGE_DECODE', /header/);
  });

  test('a damaged PNG', async () => {
    const png = await image().png().toBuffer();
    png.fill(0x55, 60, 200);
    await expectCode(() => decode(png), 'ERR_IMAGE_DECODE', /cannot be decoded|header/);
  });

  test.each<[string, string | Buffer]>([
    ['SVG', '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><image href="/etc/hostname"/></svg>'],
    [
      'SVG behind a declaration',
      '<?xml version="1.0"?>\n<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/hostname">]><svg/>',
    ],
    ['PDF', '%PDF-1.7\n1 0 obj'],
    ['HTML', '<html><body>not found</body></html>'],
    ['plain text', 'this is no image'],
    ['PPM', 'P6\n1 1\n255\n\0\0\0'],
    ['BMP', 'BM\0\0\0\0\0\0\0\0\0\0\0\0'],
    ['HEIC', Buffer.from('\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'latin1')],
    ['random bytes', Buffer.from('9f3a6c00d1e2f3a4b5c6d7e8f901', 'hex')],
  ])('%s', async (_, bytes) => {
    const message = /a JPEG, PNG, WebP, AVIF, TIFF or GIF image .*; convert it/;
    await expectCode(() => decode(Buffer.from(bytes)), 'ERR_IMAGE_UNSUPPORTED', message);
  });

  test('a TIFF of floats', async () => {
    // Little-endian: one strip of one 32-bit float.
    const entries = [
      [256, 3, 1],
      [257, 3, 1],
      [258, 3, 32],
      [259, 3, 1],
      [262, 3, 1],
      [273, 4, 8],
      [277, 3, 1],
      [278, 3, 1],
      [279, 4, 4],
      [339, 3, 3],
    ] as const;
    const tiff = Buffer.alloc(12 + 2 + entries.length * 12 + 4);
    tiff.write('II*\0', 'latin1');
    tiff.writeUInt32LE(12, 4);
    tiff.writeFloatLE(0.5, 8);
    tiff.writeUInt16LE(entries.length, 12);
    for (const [i, [tag, type, value]] of entries.entries()) {
      const at = 14 + i * 12;
      tiff.writeUInt16LE(tag, at);
      tiff.writeUInt16LE(type, at + 2);
      tiff.writeUInt32LE(1, at + 4);
      if (type === 3) tiff.writeUInt16LE(value, at + 8);
      else tiff.writeUInt32LE(value, at + 8);
    }
    await expectCode(() => decode(tiff), 'ERR_IMAGE_UNSUPPORTED', /samples of type float; convert them to 8 or 16 bit/);
  });

  test('too many pixels, before any is decoded', async () => {
    // 60000 x 60000 grey pixels by its header; the data would fail to decode.
    const png = bomb(60000, 60000);
    await expectCode(
      () => decode(png),
      'ERR_IMAGE_TOO_LARGE',
      /at most 134217728 pixels \(maxPixels\) .* 60000 x 60000; raise maxPixels/,
    );
    const small = await image().png().toBuffer();
    await expectCode(() => decode(small, { maxPixels: WIDTH * HEIGHT - 1 }), 'ERR_IMAGE_TOO_LARGE', /64 x 48/);
    expect(await decode(small, { maxPixels: WIDTH * HEIGHT })).toMatchObject({ width: WIDTH });
  });

  test("sharp's process-wide settings stay", async () => {
    const settings = () => JSON.stringify([sharp.cache(), sharp.concurrency(), sharp.simd()]);
    const before = settings();
    await decode(await image().jpeg().toBuffer());
    const [cacheBefore, ...restBefore] = JSON.parse(before);
    const [cacheAfter, ...restAfter] = JSON.parse(settings());
    expect(restAfter).toEqual(restBefore);
    expect([cacheAfter.memory.max, cacheAfter.files.max, cacheAfter.items.max]).toEqual([
      cacheBefore.memory.max,
      cacheBefore.files.max,
      cacheBefore.items.max,
    ]);
  });
});

/** A PNG of a few bytes that claims to be large. */
function bomb(width: number, height: number): Buffer {
  const chunk = (type: string, data: Buffer) => {
    const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
    const framed = Buffer.alloc(body.length + 8);
    framed.writeUInt32BE(data.length, 0);
    body.copy(framed, 4);
    framed.writeUInt32BE(crc32(body), body.length + 4);
    return framed;
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 0, 0, 0, 0], 8);
  const signature = Buffer.from('89504e470d0a1a0a', 'hex');
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(Buffer.alloc(64))),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

/** PNG's checksum (Node 20.19 has no zlib.crc32 to rely on). */
function crc32(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return ~crc >>> 0;
}
