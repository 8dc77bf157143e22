// manyscale plan from outside, as users run it, and the amounts that it reads and writes.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatAmount, parseBudget } from '../../src/cli/units.js';
import { Extractor } from '../../src/index.js';
import { patchModel } from '../helpers/models.js';
import { photo, repository } from '../helpers/paths.js';
import { expectExit, type Finished, run } from '../helpers/process.js';

const main = join(repository, 'dist', 'cli', 'main.js');
const folder = mkdtempSync(join(tmpdir(), 'manyscale-plan-'));
const model = join(folder, 'tokens.onnx');
const manyscale = (...args: string[]): Promise<Finished> => run(process.execPath, [main, 'plan', ...args]);
const PER_TILE = (32 / 8) ** 2 * 6 * 3 * 8 ** 2;

beforeAll(() => writeFileSync(model, patchModel({ prefix: 1 })));
afterAll(() => rmSync(folder, { recursive: true }));

describe('amounts', () => {
  it.each([
    ['200ms', { milliseconds: 200 }],
    ['1.5 s', { milliseconds: 1500 }],
    ['4GiB', { bytes: 4 * 2 ** 30 }],
    ['512 mib', { bytes: 2 ** 29 }],
    ['2KiB', { bytes: 2048 }],
    ['3GB', { bytes: 3e9 }],
    ['7kB', { bytes: 7000 }],
    ['9MB', { bytes: 9e6 }],
    ['100B', { bytes: 100 }],
    ['50GMAC', { multiplyAdds: 50e9 }],
    ['.5TMAC', { multiplyAdds: 5e11 }],
    ['8MMAC', { multiplyAdds: 8e6 }],
    ['8kMAC', { multiplyAdds: 8000 }],
    ['8MAC', { multiplyAdds: 8 }],
  ])('%s is read', (text, budget) => {
    expect(parseBudget(text)).toEqual(budget);
  });

  it('limits add up, each kind once', () => {
    expect(parseBudget('4GiB', parseBudget('200ms'))).toEqual({ milliseconds: 200, bytes: 2 ** 32 });
    expect(() => parseBudget('1s', { milliseconds: 200 })).toThrow("'1s' is a second limit on time");
  });

  it.each(['', '200', 'ms', '-1ms', '0s', '1e3ms', '2 hours', '1,5s', 'NaNms', '5MACs', '0x10ms', '1ms 2ms'])(
    "'%s' is refused",
    (text) => {
      expect(() => parseBudget(text)).toThrow(/is no limit: write a number above 0 and a unit/);
    },
  );

  it.each([
    ['milliseconds', 0.1234, '0.12 ms'],
    ['milliseconds', 12.34, '12.3 ms'],
    ['milliseconds', 999.4, '999 ms'],
    ['milliseconds', 999.6, '1.00 s'],
    ['milliseconds', 123_456, '123 s'],
    ['bytes', 1023, '1023 B'],
    ['bytes', 1536, '1.50 KiB'],
    ['bytes', 4 * 2 ** 30, '4 GiB'],
    ['multiplyAdds', 4_598_498_304, '4.60 GMAC'],
    ['multiplyAdds', 9.996e6, '10.0 MMAC'],
  ] as const)('%s %d is written %s', (limit, value, text) => {
    expect(formatAmount(limit, value)).toBe(text);
  });
});

describe('plan', () => {
  const amount = '\\d+(?:\\.\\d+)?';

  it('prints scales, tiles, tokens, multiply-adds, time and memory', async () => {
    const child = await manyscale('--image', '100x80', '--model', model, '--scales', '1,3');
    expectExit(child, 0);
    expect(child.stderr).toBe('');
    expect(child.stdout).toMatch(
      new RegExp(
        `^an image of 100 x 80 pixels through .*tokens\\.onnx, in tiles of 32 x 32
  scale  width x height  tiles  in all  tokens  multiply-adds +time
  1      32 x 32         1 x 1       1      16      18.4 KMAC +${amount} ms
  3      96 x 96         3 x 3       9     144       166 KMAC +${amount} ms
  all                               10      17       184 KMAC +${amount} ms
the tokens of all are those of the features; .*
memory
  image        23.4 KiB, as RGB
  tiles        ${amount} [KM]iB, those in work and the features of all
  features     816 B, 17 x 12
  model        4.57 KiB of weights
  activations  ${amount} [KM]iB at least
  all          ${amount} [KM]iB
$`,
      ),
    );
  });

  it('says what a budget leaves and what was given up', async () => {
    const child = await manyscale('--image', '100x80', '-m', model, '--budget', '100KMAC', '--budget', '1GiB');
    expectExit(child, 0);
    expect(child.stdout).toMatch(
      new RegExp(
        `\\n  1 .*\\n  2 .*\\n  all .*\\n[^]*
budget
  multiply-adds  92.2 KMAC of 100 KMAC: kept
  memory         ${amount} [KM]iB of 1 GiB: kept
given up
  scale 3 was left out
$`,
      ),
    );
  });

  it('ends with 1 where not even scale 1 fits, and says by how much', async () => {
    const child = await manyscale('--image', '100x80', '-m', model, '--budget', '8KMAC');
    expectExit(child, 1);
    expect(child.stderr).toBe('');
    expect(child.stdout).toMatch(/8 KMAC: EXCEEDED by 10\.4 KMAC, even by the least that can be done/);
  });

  it("reads a photo's header, and writes JSON", async () => {
    const budget = ['--budget', '100KMAC', '--json', '--image-sizes', '32,96x64', '--resize-output-to-index', '-1'];
    const child = await manyscale('--image', photo('temple.jpg'), '-m', model, ...budget);
    expectExit(child, 0);
    const printed = JSON.parse(child.stdout);
    expect(printed).toMatchObject({
      model,
      options: { imageSizes: [[32, 32]], resizeOutputToIndex: 0, fit: 'stretch' },
      plan: { image: { height: 427, width: 640 }, outputIndex: 0 },
      tiles: 1,
      tokens: 17,
      multiplyAdds: PER_TILE,
      fits: true,
      gaveUp: [{ what: 'imageSize', from: { height: 96, width: 64 } }, { what: 'grid' }],
      notes: [],
    });
    expect(printed.milliseconds).toBeGreaterThan(0);
  });

  it.each([
    [
      '--scales 1,2 --fit keep --uneven pad --overlap 25% --blend average --drop-prefix-tokens',
      { scales: [1, 2], fit: 'keep', uneven: 'pad', overlap: 0.25, blend: 'average', dropPrefixTokens: true },
    ],
    ['--preset internvl --max-tiles 4', { preset: 'internvl', maxTiles: 4 }],
  ] as const)('cuts as the library does: %s', async (flags, options) => {
    const child = await manyscale('--image', '100x80', '-m', model, '--json', ...flags.split(' '));
    expectExit(child, 0);
    await using extractor = await Extractor.load(model, options);
    const plan = extractor.plan({ height: 80, width: 100 });
    expect(JSON.parse(child.stdout).plan).toEqual(JSON.parse(JSON.stringify(plan)));
  });

  it.each([
    [[], 2, /required option '--image <size or file>' not specified/],
    [['--image', '100x80', '--budget', '5'], 2, /'5' is no limit.*see manyscale plan --help/],
    [['--image', '100x80', '--budget', '1s', '--budget', '2s'], 2, /'2s' is a second limit on time/],
    [['--image', '0x80'], 1, /for the width of the image but received 0.*\[ERR_INVALID_ARGUMENT\]/],
    [['--image', 'none.jpg'], 1, /none\.jpg.*\[ERR_IMAGE_READ\]/],
    [['--image', '100x80', '--scales', '1.3'], 1, /\[ERR_INVALID_ARGUMENT\]/],
  ])('%j is refused', async (args, code, message) => {
    const child = await manyscale(...args);
    expectExit(child, code);
    expect(child.stdout).toBe('');
    expect(child.stderr).toMatch(message);
  });

  it('--help has examples', async () => {
    const child = await manyscale('--help');
    expectExit(child, 0);
    expect(child.stdout).toMatch(/Examples:\n.*\$ manyscale plan --image 4000x3000/s);
    expect(child.stdout).toContain('WIDTHxHEIGHT');
  });
});
