// Protects the tests themselves: the plain geometry and pixels that the preset and 'keep' tests trust give what can be worked
// out by hand, and their sweeps reach the cases that matter.
import { describe, expect, test } from 'vitest';
import { expectClose, magnitude } from '../helpers/compare.js';
import { noise, tokens } from '../helpers/extracted.js';
import { merge, seamWeights } from '../helpers/merge.js';
import { anyres, dynamicS2, internvl, keep, llavaS2, overlapped, place, withoutPrefix } from '../helpers/presets.js';
import { crop, cut, normalise, type Planes, type Size, type TileFeatures, toPlanes } from '../helpers/reference.js';
import { plainS2, runTiles } from '../helpers/s2.js';
import { aspectSweep, tieSweep } from '../helpers/sizes.js';
import {
  anyresLayout,
  anyresScales,
  contentCells,
  dynamicS2Scales,
  internvlScales,
  isLargeFor,
  keepOverlappedScales,
  keepScales,
  type Layout,
  layouts,
  letterbox,
  llavaS2Scales,
  llavaS2Source,
  nearestLayout,
  overlappedStarts,
  unevenScales,
} from '../helpers/tiling.js';

const image = (width: number, height: number): Size => ({ height, width });
const name = ({ columns, rows }: Layout) => `${columns}x${rows}`;
const sizesOf = (scales: Size[]) => scales.map(({ height, width }) => [height, width]);

describe('the order of layouts', () => {
  test.each([1, 4, 9, 16])('from %i tiles: every layout once, by product', (least) => {
    for (let most = least; most <= 24; most++) {
      const found = layouts(least, most);
      const products = found.map(({ columns, rows }) => columns * rows);
      expect(products).toEqual(products.toSorted((a, b) => a - b));
      const all: string[] = [];
      for (let columns = 1; columns <= most; columns++)
        for (let rows = 1; rows <= most; rows++)
          if (columns * rows >= least && columns * rows <= most) all.push(name({ columns, rows }));
      expect(found.map(name).toSorted()).toEqual(all.toSorted());
    }
  });

  test("NVILA's own for 9 to 12 tiles", () => {
    expect(layouts(9, 12).map(name).join(' ')).toBe(
      '3x3 9x1 1x9 10x1 1x10 2x5 5x2 11x1 1x11 1x12 6x2 12x1 3x4 4x3 2x6',
    );
  });
});

describe('the nearest layout', () => {
  test.each([
    // A ratio of its own.
    [image(900, 300), 1, 6, '3x1'],
    [image(300, 900), 1, 6, '1x3'],
    // 1x1 and 2x2 are as near: the larger from 448 * 448 * 2 pixels on, not at half of them.
    [image(448, 448), 1, 4, '1x1'],
    [image(633, 633), 1, 4, '1x1'],
    [image(634, 634), 1, 4, '2x2'],
    // 1.25 is exactly between 1x1 and 3x2: the later wins in a large image.
    [image(5, 4), 1, 6, '1x1'],
    [image(1000, 800), 1, 6, '3x2'],
    // 3x3 is nearest to 1.1, whatever the size.
    [image(11, 10), 9, 12, '3x3'],
    [image(11_000, 10_000), 9, 12, '3x3'],
  ])('of %o, %i to %i tiles: %s', (size, least, most, expected) => {
    expect(name(nearestLayout(size, 448, layouts(least, most)))).toBe(expected);
  });

  test('an area of exactly half the layout is not enough', () => {
    const twoTiles = { columns: 2, rows: 1 };
    expect(isLargeFor(image(4, 4), 4, twoTiles)).toBe(false);
    expect(isLargeFor(image(17, 1), 4, twoTiles)).toBe(true);
  });
});

test('dynamic-s2: squares, then the layout of the image', () => {
  const scales = dynamicS2Scales(image(1600, 1200), 448, [1, 2, 3], 12);
  expect(sizesOf(scales)).toEqual([
    [448, 448],
    [896, 896],
    [1344, 1792],
  ]);
  expect(scales[2]?.lefts).toEqual([0, 448, 896, 1344]);
  expect(scales[2]?.tops).toEqual([0, 448, 896]);
});

test('internvl: a thumbnail only beside several tiles', () => {
  expect(sizesOf(internvlScales(image(1344, 448), 448, 12))).toEqual([
    [448, 1344],
    [448, 448],
  ]);
  expect(sizesOf(internvlScales(image(300, 300), 448, 12))).toEqual([[448, 448]]);
  expect(sizesOf(internvlScales(image(3000, 1000), 448, 1))).toEqual([[448, 448]]);
});

describe('anyres', () => {
  test.each([
    [image(1000, 1000), '2x2'],
    [image(100, 100), '1x2'], // every candidate has all of its pixels: the least waste, then the first
    [image(336, 336), '1x2'],
    [image(2000, 500), '3x1'],
    [image(500, 2000), '1x3'],
    [image(1344, 672), '2x1'], // 672 x 336 in 2x1, 2x2 and more elsewhere: 3x1 has 672 x 336 too, with more waste
  ])('%o at 336: %s', (size, expected) => {
    expect(name(anyresLayout(size, 336))).toBe(expected);
  });

  test('the letterbox is in the middle, rounded up and down as LLaVA does', () => {
    expect(letterbox(image(1000, 1000), image(672, 336))).toEqual({ top: 0, left: 168, height: 336, width: 336 });
    expect(letterbox(image(100, 33), image(96, 96))).toEqual({ top: 32, left: 0, height: 32, width: 96 });
    expect(letterbox(image(1, 1000), image(96, 96))).toEqual({ top: 0, left: 47, height: 96, width: 1 });
  });

  test('the whole image comes first', () => {
    const [whole, tiled] = anyresScales(image(2000, 500), 336);
    expect(whole).toMatchObject({ height: 336, width: 336, content: { top: 0, left: 0, height: 336, width: 336 } });
    expect(tiled).toMatchObject({ height: 336, width: 1008, content: { top: 42, left: 0, height: 252, width: 1008 } });
  });
});

test('llava-s2: the shortest edge fills the largest scale, the middle is taken', () => {
  expect(sizesOf(llavaS2Scales(336, [1, 2, 3]))).toEqual([
    [336, 336],
    [672, 672],
    [1008, 1008],
  ]);
  const source = llavaS2Source(image(640, 427), 336, [1, 2, 3]);
  expect(source).toMatchObject({ height: 1008, width: 1008, tops: [0], lefts: [0] });
  // 640 * 1008 / 427 = 1510.8, and floor((1510 - 1008) / 2) = 251.
  expect(source.content).toEqual({ top: 0, left: -251, height: 1008, width: 1510 });
  expect(llavaS2Source(image(5, 5), 336, [1, 2]).content).toEqual({ top: 0, left: 0, height: 672, width: 672 });
});

describe("'keep'", () => {
  test("as many pixels as the scale's tiles, rounded up to whole tiles or padded to them", () => {
    // 2:1 at 96 x 96 pixels: 67.9 x 135.8.
    const [resized] = keepScales(image(400, 200), { height: 96, width: 96 }, [1], 'resize');
    expect(resized).toEqual({
      height: 96,
      width: 192,
      content: { top: 0, left: 0, height: 96, width: 192 },
      tops: [0],
      lefts: [0, 96],
    });
    const [padded] = keepScales(image(400, 200), { height: 96, width: 96 }, [1], 'pad');
    expect(padded?.content).toEqual({ top: 0, left: 0, height: 68, width: 136 });
    expect(padded).toMatchObject({ height: 96, width: 192 });
  });

  test('a square of tiles stays what it is', () => {
    for (const scale of keepScales(image(96, 96), { height: 96, width: 96 }, [1, 2, 3], 'pad'))
      expect(scale.content).toEqual({ top: 0, left: 0, height: scale.height, width: scale.width });
  });

  test('no side vanishes', () => {
    const [scale] = keepScales(image(20_000, 1), { height: 32, width: 32 }, [1], 'pad');
    expect(scale?.content).toEqual({ top: 0, left: 0, height: 1, width: 4525 });
  });

  test('sizes that do not divide go to the next that equal tiles make up', () => {
    const [scale] = unevenScales([image(101, 40)], image(40, 40), 'pad');
    expect(scale).toEqual({
      height: 40,
      width: 102,
      content: { top: 0, left: 0, height: 40, width: 101 },
      tops: [0],
      lefts: [0, 34, 68],
      tile: { height: 40, width: 34 },
    });
  });

  test('cells that show any of the image count, and no more', () => {
    expect(contentCells(97, 192, 24)).toBe(13);
    expect(contentCells(96, 192, 24)).toBe(12);
    // In floating point 56 / 200 * 25 is 7.000000000000001.
    expect(contentCells(56, 200, 25)).toBe(7);
  });
});

describe('overlap', () => {
  test('starts are spread evenly over the side, on cells', () => {
    expect(overlappedStarts(192, 96, 24, 8)).toEqual([0, 48, 96]);
    expect(overlappedStarts(288, 96, 24, 8)).toEqual([0, 64, 128, 192]);
    expect(overlappedStarts(96, 96, 24, 8)).toEqual([0]);
    expect(overlappedStarts(480, 96, 40, 8)).toEqual([0, 48, 104, 160, 216, 272, 328, 384]);
  });

  test("'keep' goes to whole cells, and to a tile at least", () => {
    const tile = image(32, 32);
    // 31 x 97 in 32 x 32 pixels' worth: 18.1 x 56.6.
    const overlap = { overlap: 0.2, unit: image(8, 8) };
    const [padded] = keepOverlappedScales(image(97, 31), tile, [1], overlap, 'pad');
    expect(padded).toEqual({
      height: 32,
      width: 64,
      content: { top: 0, left: 0, height: 18, width: 57 },
      tops: [0],
      lefts: [0, 16, 32], // 6.4 pixels of overlap are a cell: a stride of 24
    });
    const [resized] = keepOverlappedScales(image(97, 31), tile, [1], overlap, 'resize');
    expect(resized?.content).toEqual({ top: 0, left: 0, height: 32, width: 64 });
  });

  test('every two neighbours share at least the overlap, and the last tile ends with the side', () => {
    for (let tiles = 1; tiles <= 12; tiles++) {
      for (let overlap = 0; overlap < 96; overlap += 8) {
        const starts = overlappedStarts(tiles * 96, 96, overlap, 8);
        expect((starts.at(-1) as number) + 96).toBe(tiles * 96);
        for (let i = 1; i < starts.length; i++)
          expect((starts[i - 1] as number) + 96 - (starts[i] as number)).toBeGreaterThanOrEqual(overlap);
      }
    }
  });

  test('weights are ramps that add up to one over a seam', () => {
    expect(seamWeights(4, 0, 0)).toEqual([1, 1, 1, 1]);
    expect(seamWeights(4, 2, 0)).toEqual([0.25, 0.75, 1, 1]);
    expect(seamWeights(4, 0, 4)).toEqual([0.875, 0.625, 0.375, 0.125]);
    // Ramps that meet: the smaller counts.
    expect(seamWeights(3, 2, 2)).toEqual([0.25, 0.75, 0.25]);
  });

  const tile = (height: number, width: number, value: (y: number, x: number) => number): TileFeatures => ({
    prefix: [],
    grid: {
      channels: 1,
      height,
      width,
      data: Float32Array.from({ length: height * width }, (_, i) => value(Math.floor(i / width), i % width)),
    },
  });

  test('a seam goes over from one tile to the other', () => {
    const scale = { rows: 1, columns: 2, tops: [0], lefts: [0, 2] };
    const merged = merge({ ...scale, tiles: [tile(1, 4, () => 0), tile(1, 4, () => 8)] });
    expect(merged).toMatchObject({ channels: 1, height: 1, width: 6 });
    expect([...merged.data]).toEqual([0, 0, 2, 6, 8, 8]);
    const alike = merge({ ...scale, blend: 'average', tiles: [tile(1, 4, () => 0), tile(1, 4, () => 8)] });
    expect([...alike.data]).toEqual([0, 0, 4, 4, 8, 8]);
  });

  test('what all tiles agree on stays, in both directions, and padding is cut off', () => {
    const picture = (y: number, x: number) => 10 * y + x;
    const [tops, lefts] = [
      [0, 1, 3],
      [0, 2],
    ];
    const tiles = tops.flatMap((top) => lefts.map((left) => tile(4, 3, (y, x) => picture(top + y, left + x))));
    const merged = merge({ rows: 3, columns: 2, tops, lefts, tiles, content: { height: 6, width: 4 } });
    const expected = Array.from({ length: 24 }, (_, i) => picture(Math.floor(i / 4), i % 4));
    expectClose(merged.data, expected, 1e-5, 'merged');
    expect(merged).toMatchObject({ height: 6, width: 4 });
  });
});

test('pictures are placed on zeros, and cut where they reach outside', () => {
  const picture: Planes = { channels: 1, height: 2, width: 3, data: Float32Array.of(1, 2, 3, 4, 5, 6) };
  const at = (top: number, left: number) => [...place(picture, image(3, 3), { top, left, ...image(3, 2) }).data];
  expect(at(0, 0)).toEqual([1, 2, 3, 4, 5, 6, 0, 0, 0]);
  expect(at(1, 1)).toEqual([0, 0, 0, 0, 1, 2, 0, 4, 5]);
  expect(at(-1, -2)).toEqual([6, 0, 0, 0, 0, 0, 0, 0, 0]);
});

describe('pixels', () => {
  const square = toPlanes(noise(image(80, 80), 11));
  const s2 = { ...tokens, scales: [1, 2] };

  test('what has nothing special is the plain S2 pass', async () => {
    const mode = 'pillow-bicubic';
    const expected = await plainS2(square, { ...s2, mode });
    for (const uneven of ['resize', 'pad'] as const)
      expectClose((await keep(square, tokens, { scales: [1, 2], mode, uneven })).data, expected, 0, uneven);
    const none = { scales: [1, 2], mode, overlap: 0 };
    expectClose((await overlapped(square, tokens, none)).data, expected, 0, 'overlap 0');
    // 2x2 is the nearest layout of a square of more than half of its pixels.
    const last = await plainS2(square, { ...s2, mode, outputIndex: -1 });
    const features = await dynamicS2(square, tokens, [1, 2], 4);
    expect(features.dims).toEqual([2 + 64, 12]);
    expectClose(features.data, last, 0, 'dynamic-s2');
  });

  test('the largest scale of llava-s2 is the middle, the others are made from it', async () => {
    // The shortest edge is the largest scale's: nothing is resized by Pillow.
    const wide = toPlanes(noise(image(70, 64), 12));
    const middle = crop(wide, 0, 3, image(64, 64));
    const features = await llavaS2(wide, tokens, [1, 2]);
    expect(features.dims).toEqual([2 + 16, 12]);
    const expected = await plainS2(middle, { ...s2, mode: 'torch-bicubic' });
    expectClose(features.data, expected, 1e-5 * magnitude(expected), 'llava-s2');
  });

  test('internvl: tiles in rows, then the thumbnail', async () => {
    const wide = toPlanes(noise(image(64, 32), 13));
    const features = await internvl(wide, tokens, 2);
    expect(features.dims).toEqual([3, 2 + 16, 6]);
    const [left, right] = cut(wide, image(32, 32)) as [Planes, Planes];
    for (const [index, tile] of [left, right, wide].entries()) {
      const expected = await plainS2(tile, { ...tokens, scales: [1], mode: 'pillow-bicubic' });
      const { length } = expected;
      expectClose(features.data.slice(index * length, (index + 1) * length), expected, 0, `tile ${index}`);
    }
  });

  test('anyres: the whole image, then its letterboxed tiles, black before normalisation', async () => {
    // 1x2 is the first of those that hold all of its pixels with the least waste.
    const small = toPlanes(noise(image(32, 50), 14));
    const features = await anyres(small, tokens);
    expect(features.dims).toEqual([3, 2 + 16, 6]);
    const framed = place(small, image(32, 64), { top: 7, left: 0, ...image(32, 50) });
    const [top, bottom] = cut(framed, image(32, 32)) as [Planes, Planes];
    for (const [index, tile] of [small, top, bottom].entries()) {
      const expected = await plainS2(tile, { ...tokens, scales: [1], mode: 'pillow-bicubic' });
      const { length } = expected;
      expectClose(features.data.slice(index * length, (index + 1) * length), expected, 0, `tile ${index}`);
    }
  });

  test("'keep' pads after normalisation and cuts the padded cells off", async () => {
    // 28 x 36 at scale 1: 32 x 32 pixels' worth are 28 x 36 again.
    const tall = toPlanes(noise(image(28, 36), 15));
    const features = await keep(tall, tokens, { scales: [1], mode: 'pillow-bicubic', uneven: 'pad' });
    expect(features.dims).toEqual([2 + 5 * 4, 6]);
    const padded = place(normalise(tall, tokens), image(32, 64), { top: 0, left: 0, ...image(28, 36) });
    const tiles = await runTiles(cut(padded, image(32, 32)), tokens);
    const merged = merge({ rows: 2, columns: 1, tiles, content: image(4, 5) });
    for (let cell = 0; cell < 20; cell++)
      for (let c = 0; c < 6; c++) expect(features.data[(2 + cell) * 6 + c]).toBe(merged.data[c * 20 + cell]);
  });
});

test('prefix rows are dropped from every tile', () => {
  const data = Float32Array.from({ length: 12 }, (_, i) => i);
  expect(withoutPrefix({ dims: [2, 3, 2], data }, 1)).toEqual({
    dims: [2, 2, 2],
    data: Float32Array.of(2, 3, 4, 5, 8, 9, 10, 11),
  });
});

describe('the sweeps', () => {
  test('have thousands of aspect ratios', () => {
    const ratios = new Set(aspectSweep(1).map(({ height, width }) => width / height));
    expect(ratios.size).toBeGreaterThan(1500);
  });

  test.each([
    // An area exactly at the threshold is rare: 448 * 448 / 2 times the tiles must have the image's ratio.
    { least: 1, most: 12, base: 448, exactly: 0 },
    { least: 4, most: 12, base: 32, exactly: 1 },
    { least: 9, most: 12, base: 448, exactly: 2 },
  ])('meet exact ties of $least to $most tiles at $base, decided both ways', ({ least, most, base, exactly }) => {
    const candidates = layouts(least, most);
    const seen = { first: 0, later: 0, exactly: 0 };
    for (const size of tieSweep(base, candidates)) {
      const differences = candidates.map(({ columns, rows }) => Math.abs(size.width / size.height - columns / rows));
      const nearest = Math.min(...differences);
      const tied = candidates.filter((_, index) => differences[index] === nearest);
      if (tied.length < 2) continue;
      seen[nearestLayout(size, base, candidates) === tied[0] ? 'first' : 'later']++;
      const area = size.width * size.height;
      if (tied.some(({ columns, rows }) => area === 0.5 * base * base * columns * rows)) seen.exactly++;
    }
    expect(seen.first).toBeGreaterThan(10);
    expect(seen.later).toBeGreaterThan(10);
    expect(seen.exactly).toBeGreaterThanOrEqual(exactly);
  });
});
