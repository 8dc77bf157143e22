import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { tensorNames } from '../../src/cli/commands/extract.js';
import { principalComponents, scoresOf, symmetricEigen } from '../../src/cli/pca.js';
import { progressLine } from '../../src/cli/progress.js';
import { colourFeatures, type FeatureGrid } from '../../src/cli/view/colours.js';
import { drawText, fitText, glyphOf, textWidth, wrapText } from '../../src/cli/view/font.js';
import { detailOf, nameOf, viewOf } from '../../src/cli/view/page.js';
import { drawView } from '../../src/cli/view/picture.js';
import { makeRandom, makeSeed } from '../helpers/random.js';

describe('principalComponents', () => {
  it('finds directions and variances of known data', () => {
    // Along (3, 4, 0) / 5 with variance 9, along (0, 0, 1) with variance 4, around (10, 20, 30); nothing else.
    const data: number[] = [];
    for (const [along, up] of [
      [3, 2],
      [3, -2],
      [-3, 2],
      [-3, -2],
    ] as const)
      data.push(10 + 0.6 * along, 20 + 0.8 * along, 30 + up);
    const matrix = { data: Float32Array.from(data), rows: 4, channels: 3 };
    const found = principalComponents([matrix], 3);
    expect([...found.mean]).toEqual([10, 20, 30].map((value) => expect.closeTo(value, 5)));
    expect(found.totalVariance).toBeCloseTo(13, 4);
    expect(found.variances.map((value) => Math.round(value * 1e4) / 1e4)).toEqual([9, 4, 0]);
    expect([...(found.components[0] ?? [])]).toEqual([0.6, 0.8, 0].map((value) => expect.closeTo(value, 5)));
    expect([...(found.components[1] ?? [])]).toEqual([0, 0, 1].map((value) => expect.closeTo(value, 5)));
    const scores = scoresOf(matrix, found);
    expect([...scores.subarray(0, 2)]).toEqual([expect.closeTo(3, 4), expect.closeTo(2, 4)]);
  });

  it('agrees with the eigenvalues of the covariance matrix', () => {
    const seed = makeSeed();
    const { next } = makeRandom(seed);
    const [rows, channels] = [200, 12];
    // Channels of falling spread, mixed.
    const data = new Float32Array(rows * channels);
    for (let row = 0; row < rows; row++) {
      const source = Array.from({ length: channels }, (_, c) => (next() - 0.5) * 2 ** -c);
      for (let c = 0; c < channels; c++) {
        data[row * channels + c] = source.reduce((sum, value, k) => sum + value * Math.cos((c + 1) * (k + 1)), 0);
      }
    }
    const means = Array.from(
      { length: channels },
      (_, c) => data.filter((_, i) => i % channels === c).reduce((a, b) => a + b) / rows,
    );
    const covariance = means.map((_, i) =>
      means.map((_, j) => {
        let sum = 0;
        for (let row = 0; row < rows; row++) {
          sum +=
            ((data[row * channels + i] ?? 0) - (means[i] ?? 0)) * ((data[row * channels + j] ?? 0) - (means[j] ?? 0));
        }
        return sum / rows;
      }),
    );
    const { values } = symmetricEigen(covariance);
    const { variances } = principalComponents([{ data, rows, channels }], 3);
    for (const [index, variance] of variances.entries()) {
      expect(variance / (values[index] ?? 0), `seed ${seed}, component ${index}`).toBeCloseTo(1, 2);
    }
  });

  it('is the same every time, and gives zeros where nothing varies', () => {
    const flat = { data: new Float32Array(40).fill(2), rows: 10, channels: 4 };
    const { variances, totalVariance } = principalComponents([flat], 3);
    expect(variances).toEqual([0, 0, 0]);
    expect(totalVariance).toBeLessThan(1e-24);
    const matrix = { data: Float32Array.from({ length: 60 }, (_, i) => Math.sin(i * i)), rows: 15, channels: 4 };
    expect(principalComponents([matrix], 2)).toEqual(principalComponents([matrix], 2));
  });
});

describe('symmetricEigen', () => {
  it('solves a matrix with known eigenvalues', () => {
    const { values, vectors } = symmetricEigen([
      [2, 1, 0],
      [1, 2, 0],
      [0, 0, 5],
    ]);
    expect(values).toEqual([5, 3, 1].map((value) => expect.closeTo(value, 12)));
    expect(vectors[1]?.map((value) => Math.abs(value))).toEqual(
      [Math.SQRT1_2, Math.SQRT1_2, 0].map((value) => expect.closeTo(value, 12)),
    );
  });
});

/** Features of `size` x `size` cells: a bright disc on a ground, each with a feature of its own. */
function disc(size: number, channels: number): FeatureGrid {
  const data = new Float32Array(size * size * channels);
  for (let cell = 0; cell < size * size; cell++) {
    const [y, x] = [(Math.floor(cell / size) + 0.5) / size - 0.5, ((cell % size) + 0.5) / size - 0.5];
    data.fill(x * x + y * y < 0.1 ? 3 : -1, cell * channels, cell * channels + 2);
    data[cell * channels + 2] = x;
    data[cell * channels + 3] = y * 0.5;
  }
  return { data, rows: size * size, channels, height: size, width: size };
}

describe('colourFeatures', () => {
  it('gives like features the same colour at every scale, and the joined features a similar one', () => {
    const grids = [disc(8, 5), disc(24, 5)];
    // Joined features with the signs and the order of the channels changed: the components come out otherwise.
    const swap = (grid: FeatureGrid): FeatureGrid => ({ ...grid, data: grid.data.map((value) => -value) });
    const { alone, joined } = colourFeatures(grids, [swap(disc(8, 5))]);
    const at = (colours: typeof alone, index: number, y: number, x: number) => {
      const grid = colours.grids[index];
      if (!grid) throw new Error('no grid');
      const cell = Math.floor(y * grid.height) * grid.width + Math.floor(x * grid.width);
      return [...grid.rgb.subarray(cell * 3, cell * 3 + 3)];
    };
    for (const [y, x] of [
      [0.5, 0.5],
      [0.1, 0.1],
      [0.9, 0.1],
    ] as const) {
      const [small, large, both] = [at(alone, 0, y, x), at(alone, 1, y, x), at(joined, 0, y, x)];
      for (let c = 0; c < 3; c++) {
        expect(Math.abs((small[c] ?? 0) - (large[c] ?? 0))).toBeLessThan(40);
        expect(Math.abs((small[c] ?? 0) - (both[c] ?? 0))).toBeLessThan(40);
      }
    }
    expect(at(alone, 1, 0.5, 0.5)).not.toEqual(at(alone, 1, 0.1, 0.5));
    expect(alone.explained).toBeCloseTo(1, 3);
  });

  it('survives features without any variance, and with fewer channels than colours', () => {
    const flat = { data: new Float32Array(8), rows: 4, channels: 2, height: 2, width: 2 };
    const { alone } = colourFeatures([flat], [flat]);
    expect(alone.explained).toBe(0);
    expect([...(alone.grids[0]?.rgb ?? [])]).toEqual(new Array(12).fill(128));
  });
});

describe('the font', () => {
  const printable = Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index));

  it('has a glyph of its own for every printable ASCII character', () => {
    const paths = printable.map((character) => {
      const glyph = glyphOf(character);
      if (!glyph) throw new Error(`no glyph for ${JSON.stringify(character)}`);
      expect(glyph.width).toBeGreaterThanOrEqual(0);
      return glyph.path;
    });
    expect(new Set(paths).size).toBe(95);
    expect(glyphOf('constructor')).toBeUndefined();
  });

  it('draws every glyph inside its place', async () => {
    for (const character of printable.slice(1)) {
      const [width, height] = [Math.ceil(textWidth(character, 20)) + 20, 60];
      const text = drawText(character, 10, 35, 20, '#ffffff', 2);
      const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${text}</svg>`;
      const { data, info } = await sharp(Buffer.from(svg))
        .extractChannel('alpha')
        .raw()
        .toBuffer({ resolveWithObject: true });
      let ink = 0;
      for (let i = 0; i < data.length; i++) {
        if ((data[i] ?? 0) < 128) continue;
        ink++;
        const [x, y] = [i % info.width, Math.floor(i / info.width)];
        expect(x >= 7 && x < width - 7 && y >= 9 && y < 44, `${character} at ${x}, ${y}`).toBe(true);
      }
      expect(ink, character).toBeGreaterThan(0);
    }
  });

  it('measures, shortens and wraps', () => {
    expect(textWidth('ii', 20)).toBeLessThan(textWidth('mm', 20));
    expect(textWidth('\u00e9', 20)).toBe(textWidth('e', 20));
    const fitted = fitText('a very long file name.jpg', 20, 150);
    expect(fitted.endsWith('...')).toBe(true);
    expect(textWidth(fitted, 20)).toBeLessThanOrEqual(150);
    expect(fitText('short', 20, 150)).toBe('short');
    const lines = wrapText('one two three four five', 20, 120);
    expect(lines.join(' ')).toBe('one two three four five');
    for (const line of lines) expect(textWidth(line, 20)).toBeLessThanOrEqual(120);
  });
});

describe('drawView', () => {
  const colours = (size: number) => ({ height: size, width: size, rgb: new Uint8Array(size * size * 3).fill(200) });
  const scale = (times: number) => ({
    name: `scale ${times}`,
    height: 8 * times,
    width: 8 * times,
    rows: times,
    columns: times,
    tileHeight: 8,
    tileWidth: 8,
  });
  const view = (width: number, height: number, count: number) => ({
    title: 'photo.jpg',
    subtitle: 'model.onnx',
    photo: { data: new Uint8Array(width * height * 3).fill(90), height, width },
    scales: Array.from({ length: count }, (_, index) => scale(index + 1)),
    alone: { grids: Array.from({ length: count }, (_, index) => colours(2 * (index + 1))), explained: 0.5 },
    ...(count > 1 && { joined: { grids: [colours(2), colours(2 * count)], explained: 0.4 } }),
    joinedNames: ['joined, first', 'joined, last'],
    channels: { alone: 4, joined: 4 * count },
  });

  it.each([
    [640, 427, 3],
    [300, 500, 2],
    [64, 64, 1],
    [64, 64, 5],
    [3000, 1, 2],
    [1, 3000, 1],
  ])('draws a photo of %i x %i at %i scales', async (width, height, count) => {
    const png = await drawView(view(width, height, count));
    const metadata = await sharp(png).metadata();
    expect(metadata.format).toBe('png');
    expect(metadata.width).toBeGreaterThanOrEqual(1000);
    expect(metadata.height).toBeGreaterThan(200);
  });
});

describe('viewOf', () => {
  const tile = { height: 4, width: 4 };
  const planned = { height: 16, width: 24, rows: 2, columns: 3, tileHeight: 8, tileWidth: 8 };

  it('shows all of a scale, by its factor where both sides have one', () => {
    expect(viewOf(planned, { height: 8, width: 12 }, tile)).toEqual({ ...planned, name: '24 x 16' });
    expect(nameOf({ ...planned, width: 16, columns: 2 })).toBe('scale 2');
  });

  it('shows of zero padding what the features cover: their cells and the photo lie on each other', () => {
    const content = { top: 0, left: 0, height: 11, width: 21 };
    const view = viewOf({ ...planned, content, padding: 'zero' }, { height: 6, width: 11 }, tile);
    expect(view).toMatchObject({ name: '21 x 11', height: 12, width: 22, content, padded: { height: 16, width: 24 } });
    expect(detailOf(view)).toBe('padded to 24 x 16, 3 x 2 tiles of 8');
  });

  it('shows padding of the background, whose features stay', () => {
    const content = { top: 2, left: 0, height: 12, width: 24 };
    const view = viewOf({ ...planned, content, padding: 'background' }, { height: 8, width: 12 }, tile);
    expect(view).toMatchObject({ height: 16, width: 24, content });
    expect(view).not.toHaveProperty('padded');
  });
});

describe('tensorNames', () => {
  it('takes file names where they differ and paths where not', () => {
    expect(tensorNames(['a/1.jpg', 'b/1.jpg', './c/2.jpg'])).toEqual(['a/1.jpg', 'b/1.jpg', '2.jpg']);
  });

  it('gives the same file twice two names, and keeps off what the format reserves', () => {
    const names = tensorNames(['1.jpg', '1.jpg', '1.jpg#2', '__metadata__']);
    expect(new Set(names).size).toBe(4);
    expect(names).not.toContain('__metadata__');
  });
});

describe('progressLine', () => {
  it('says how far, how fast and how long', () => {
    expect(progressLine(12, 100, 3.75)).toBe('12/100 images, 3.2 images/s, 28 s left');
    expect(progressLine(1, 1000, 1)).toBe('1/1000 images, 1.0 images/s, 16 min 39 s left');
    expect(progressLine(1, 10001, 1)).toBe('1/10001 images, 1.0 images/s, 2 h 46 min left');
  });
});
