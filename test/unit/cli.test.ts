// The command line from outside, in child processes, as users run it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultModel, Extractor, measureSeams } from '../../src/index.js';
import { patchModel } from '../helpers/models.js';
import { readFloat16, readFloat32 } from '../helpers/npy.js';
import { photo, repository, vitModel } from '../helpers/paths.js';
import { expectExit, type Finished, type RunOptions, run } from '../helpers/process.js';
import { readSafetensors } from '../helpers/safetensors.js';

const main = join(repository, 'dist', 'cli', 'main.js');
const folder = mkdtempSync(join(tmpdir(), 'manyscale-cli-'));
const file = (name: string) => join(folder, name);
const temple = photo('temple.jpg');
const astronaut = photo('astronaut.png');

function manyscale(args: readonly string[], options?: RunOptions): Promise<Finished> {
  return run(process.execPath, [main, ...args], options);
}

/** One line on stderr, 'manyscale: ... [CODE]', nothing on stdout, no stack. */
function expectFailure(child: Finished, exitCode: number, message: RegExp): void {
  expectExit(child, exitCode);
  expect(child.stdout).toBe('');
  expect(child.stderr).toMatch(message);
  expect(child.stderr).toMatch(/^manyscale: .* \[ERR_[A-Z_]+\]\n$/s);
  expect(child.stderr).not.toMatch(/^\s+at /m);
}

beforeAll(() => {
  if (!existsSync(main)) throw new Error(`${main} is missing: npm run build:ts`);
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('help', () => {
  it('tells a newcomer the commands and how to go on', async () => {
    const child = await manyscale(['--help']);
    expectExit(child, 0);
    for (const word of ['extract', 'view', 'inspect', 'doctor', 'Examples:', '$ manyscale view photo.jpg']) {
      expect(child.stdout).toContain(word);
    }
    expect(child.stderr).toBe('');
  });

  it.each(['extract', 'view', 'inspect', 'doctor'])('%s --help has examples', async (command) => {
    const child = await manyscale([command, '--help']);
    expectExit(child, 0);
    expect(child.stdout).toMatch(new RegExp(`Examples:\\n[^]*\\$ manyscale ${command}`));
  });

  it('shows the help and fails without a command', async () => {
    const child = await manyscale([]);
    expectExit(child, 2);
    expect(child.stderr).toContain('Usage: manyscale');
  });

  it('--version is the package version', async () => {
    const { version } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));
    const child = await manyscale(['--version']);
    expectExit(child, 0);
    expect(child.stdout).toBe(`${version}\n`);
  });
});

describe('usage errors end with 2', () => {
  it.each([
    [['exract', temple, '-o', 'a.npy'], /unknown command 'exract' \(Did you mean extract\?\)/],
    [['extract'], /required option '-o, --out <file>' not specified; see manyscale extract --help/],
    [['extract', '-o', 'a.npy'], /missing required argument 'image'/],
    [
      ['extract', temple, '-o', 'a.txt'],
      /Expected a file that ends in \.npy or \.safetensors for --out but received 'a\.txt'/,
    ],
    [['extract', temple, '-o', 'a.npy', '--scales', '1,two'], /'two' is not a number/],
    [['extract', temple, '-o', 'a.npy', '--scales', ''], /'' is not a number/],
    [['extract', temple, '-o', 'a.npy', '--image-sizes', '224x'], /'224x' is not a size/],
    [
      ['extract', temple, '-o', 'a.npy', '--scales', '1', '--image-sizes', '224'],
      /cannot be used with option '-s, --scales/,
    ],
    [['extract', temple, '-o', 'a.npy', '--fit', 'squeeze'], /Allowed choices are stretch, crop, keep/],
    [['extract', temple, '-o', 'a.npy', '--overlap', '100%'], /'100%' is not less than a tile/],
    [['extract', temple, '-o', 'a.npy', '--max-tiles', '1.5'], /'1\.5' is not a whole number/],
    [['view', temple, '-o', 'a.jpg'], /Expected a file that ends in \.png for --out but received 'a\.jpg'/],
  ])('%j', async (args, message) => {
    expectFailure(await manyscale(args), 2, message);
  });
});

describe('failures end with 1', () => {
  it.each([
    [
      'an image that is not there',
      ['extract', file('none.jpg'), '-o', file('x.npy')],
      /none\.jpg.*\[ERR_IMAGE_READ\]/s,
    ],
    [
      'a scale that does not fit',
      ['extract', temple, '-o', file('x.npy'), '--scales', '1.3'],
      /\[ERR_INVALID_ARGUMENT\]/,
    ],
    [
      'a folder that is not there',
      ['extract', temple, '-o', file('none/x.npy')],
      /there is no folder .*none \[ERR_OUTPUT\]/,
    ],
    [
      'a model that is not there',
      ['extract', temple, '-o', file('x.npy'), '-m', file('none.onnx')],
      /none\.onnx.*\[ERR_MODEL_LOAD\]/s,
    ],
    [
      'an output that the model has not',
      ['view', temple, '-o', file('x.png'), '--output', 'nose'],
      /'nose'.*feat_s16.*\[ERR_INVALID_ARGUMENT\]/s,
    ],
    [
      'a runtime that is not there',
      ['extract', temple, '-o', file('x.npy'), '--runtime-library', '/none.so'],
      /\[ERR_RUNTIME_UNAVAILABLE\]/,
    ],
  ])('%s', async (_, args, message) => {
    expectFailure(await manyscale(args), 1, message);
    expect(readdirSync(folder).filter((name) => name.startsWith('x.') || name.endsWith('.tmp'))).toEqual([]);
  });

  it('tells where with MANYSCALE_DEBUG', async () => {
    const child = await manyscale(['extract', file('none.jpg'), '-o', file('x.npy')], {
      env: { MANYSCALE_DEBUG: '1' },
    });
    expectExit(child, 1);
    expect(child.stderr).toMatch(/\n\s+at /);
  });
});

describe('extract', () => {
  it('writes what Extractor gives to .npy', async () => {
    const child = await manyscale(['extract', temple, '-o', file('temple.npy'), '--scales', '1,3']);
    expectExit(child, 0);
    expect(child.stdout).toMatch(
      /temple\.npy: 176 x 14 x 14 float32 from 10 tiles \(224 x 224, 672 x 672\) in \d+ ms\n$/,
    );
    expect(child.stderr).toBe('');
    const { shape, data } = readFloat32(file('temple.npy'));
    await using extractor = await Extractor.load(defaultModel, { scales: [1, 3] });
    const { tensor } = await extractor.extract(temple);
    expect(shape).toEqual(tensor.dims);
    expect(data).toEqual(tensor.data);
  });

  it('stacks several images in their order and describes them as JSON', async () => {
    const images = [temple, astronaut, temple];
    const child = await manyscale([
      'extract',
      ...images,
      '-o',
      file('three.npy'),
      '--image-sizes',
      '224,224x448',
      '--json',
    ]);
    expectExit(child, 0);
    const summary = JSON.parse(child.stdout);
    expect(summary).toMatchObject({
      file: file('three.npy'),
      dtype: 'float32',
      layout: 'bchw',
      output: 'feat_s16',
      failed: [],
    });
    expect(summary.images.map(({ path }: { path: string }) => path)).toEqual(images);
    expect(summary.images[0]).toMatchObject({
      shape: [176, 14, 14],
      grid: { height: 14, width: 14 },
      scales: [
        { height: 224, width: 224, rows: 1, columns: 1, channels: [0, 88] },
        { height: 224, width: 448, rows: 1, columns: 2, channels: [88, 176] },
      ],
    });
    const { shape, data } = readFloat32(file('three.npy'));
    expect(shape).toEqual([3, 176, 14, 14]);
    const size = data.length / 3;
    expect(data.subarray(0, size)).toEqual(data.subarray(2 * size));
    expect(data.subarray(0, size)).not.toEqual(data.subarray(size, 2 * size));
  });

  it('writes one named tensor per image to .safetensors, with metadata', async () => {
    const out = file('two.safetensors');
    expectExit(await manyscale(['extract', temple, astronaut, '-m', vitModel, '--scales', '1,2', '-o', out]), 0);
    const { metadata, tensors } = readSafetensors(out);
    expect([...tensors.keys()]).toEqual(['temple.jpg', 'astronaut.png']);
    expect(tensors.get('temple.jpg')?.shape).toEqual([145, 256]);
    expect(metadata).toMatchObject({
      model: 'vit_emoji_96.onnx',
      output: 'last_hidden_state',
      layout: 'bnc',
      num_prefix_tokens: '1',
    });
    expect(JSON.parse(metadata['grid'] ?? '')).toEqual({ height: 12, width: 12 });
    expect(JSON.parse(metadata['scales'] ?? '')).toHaveLength(2);
  });

  it('writes half precision', async () => {
    const [array, tensors] = [file('half.npy'), file('half.safetensors')];
    for (const out of [array, tensors]) {
      const child = await manyscale(['extract', temple, '--dtype', 'float16', '--fast-decode', '-o', out]);
      expectExit(child, 0);
      expect(child.stdout).toMatch(/176 x 14 x 14 float16 from 5 tiles/);
    }
    await using extractor = await Extractor.load(defaultModel, { dtype: 'float16' });
    const { tensor } = await extractor.extract(temple);
    const { buffer } = tensor.data as Uint16Array<ArrayBuffer>;
    expect(readFloat16(array)).toEqual({ shape: [176, 14, 14], data: new Uint16Array(buffer) });
    expect(readSafetensors(tensors).tensors.get('temple.jpg')?.data).toEqual(new Uint16Array(buffer));
  });

  it('joins several outputs', async () => {
    const out = file('joined.npy');
    const child = await manyscale(['extract', temple, '--output', 'feat_s16,feat_s32', '--json', '-o', out]);
    expectExit(child, 0);
    expect(JSON.parse(child.stdout)).toMatchObject({ output: 'feat_s16,feat_s32', images: [{ shape: [416, 14, 14] }] });
    await using extractor = await Extractor.load(defaultModel, { output: ['feat_s16', 'feat_s32'] });
    const { tensor } = await extractor.extract(temple);
    expect(readFloat32(out)).toEqual({ shape: [416, 14, 14], data: tensor.data });
  });

  it('passes options on to the library', async () => {
    const out = file('options.npy');
    const options = [
      '--resize-output-to-index',
      '-1',
      '--output-shape',
      'bnc',
      '--output',
      'feat_s32',
      '--fit',
      'crop',
      '--resize',
      'pillow-bicubic',
    ];
    expectExit(await manyscale(['extract', temple, ...options, '-o', out]), 0);
    await using extractor = await Extractor.load(defaultModel, {
      output: 'feat_s32',
      fit: 'crop',
      resizeOutputToIndex: -1,
      outputShape: 'bnc',
      preprocess: { resize: 'pillow-bicubic' },
    });
    const { tensor } = await extractor.extract(temple);
    const { shape, data } = readFloat32(out);
    expect(shape).toEqual([14 * 14, 240]);
    expect(data).toEqual(tensor.data);
  });

  it('stops at an image that fails and leaves the old file; with --keep-going it leaves that image out', async () => {
    const broken = file('broken.jpg');
    writeFileSync(broken, readFileSync(temple).subarray(0, 5000));
    const out = file('kept.safetensors');
    writeFileSync(out, 'before');
    expectFailure(await manyscale(['extract', temple, broken, astronaut, '-o', out]), 1, /\[ERR_IMAGE_DECODE\]/);
    expect(readFileSync(out, 'utf8')).toBe('before');

    const child = await manyscale(['extract', temple, broken, astronaut, '-o', out, '--keep-going', '--json']);
    expectExit(child, 1);
    expect(child.stderr).toMatch(/^manyscale: .*broken\.jpg.*\[ERR_IMAGE_DECODE\]\n$/s);
    expect([...readSafetensors(out).tensors.keys()]).toEqual(['temple.jpg', 'astronaut.png']);
    expect(JSON.parse(child.stdout).failed).toMatchObject([{ path: broken, code: 'ERR_IMAGE_DECODE' }]);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('ends at once and cleanly on %s', async (signal) => {
    const out = file(`${signal}.npy`);
    const images = new Array<string>(400).fill(photo('dandelions-large.jpg'));
    const child = spawn(process.execPath, [main, 'extract', ...images, '-o', out], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const ended = once(child, 'close');
    const said = text(child.stderr);
    const temporary = () => readdirSync(folder).filter((name) => name.includes(signal));
    // Once the temporary file stands there the work has begun.
    while (temporary().length === 0 && child.exitCode === null) await setTimeout(20);
    await setTimeout(300);
    child.kill(signal);
    expect(await ended).toEqual([signal === 'SIGINT' ? 130 : 143, null]);
    expect(await said).toBe(`manyscale: interrupted by ${signal}\n`);
    expect(temporary()).toEqual([]);
  });
});

describe('cutting', () => {
  it('reaches the library from every flag', async () => {
    const flags = ['--fit', 'keep', '--uneven', 'pad', '--overlap', '25%', '--blend', 'average', '--scales', '2'];
    const out = file('cut.npy');
    const child = await manyscale(['extract', temple, '-o', out, '--json', ...flags]);
    expectExit(child, 0);
    const extractor = await Extractor.load(defaultModel, {
      fit: 'keep',
      uneven: 'pad',
      overlap: 0.25,
      blend: 'average',
      scales: [2],
    });
    const { tensor } = await extractor.extract(temple);
    await extractor.dispose();
    const { shape, data } = readFloat32(out);
    expect(shape).toEqual(tensor.dims);
    expect(data).toEqual(tensor.data);
    expect(JSON.parse(child.stdout).images[0].shape).toEqual(tensor.dims);
  });

  it('writes sequences of presets, of several shapes in one file', async () => {
    const out = file('sequences.safetensors');
    const model = ['--model', vitModel, '--preset', 'internvl', '--max-tiles', '6', '--drop-prefix-tokens'];
    const child = await manyscale(['extract', temple, astronaut, '-o', out, ...model]);
    expectExit(child, 0);
    expect(child.stdout).toMatch(/2 tensors of 2 shapes/);
    const { tensors, metadata } = readSafetensors(out);
    expect(tensors.get('temple.jpg')?.shape).toEqual([7, 144, 128]); // 2 x 3 tiles and a thumbnail
    expect(Object.keys(JSON.parse(metadata['scales'] ?? ''))).toEqual(['temple.jpg', 'astronaut.png']);
    expectFailure(
      await manyscale(['extract', temple, astronaut, '-o', file('sequences.npy'), ...model]),
      1,
      /one shape for a \.npy file.*Write a \.safetensors file/s,
    );
  });

  it('refuses what contradicts itself, and values that are none', async () => {
    expectFailure(
      await manyscale(['extract', temple, '-o', file('x.npy'), '--preset', 'anyres', '--fit', 'keep']),
      1,
      /nothing beside preset/,
    );
    expectFailure(
      await manyscale(['extract', temple, '-o', file('x.npy'), '--overlap', 'much']),
      2,
      /'much' is not a number/,
    );
    expectFailure(
      await manyscale(['view', temple, '-o', file('x.png'), '--seams', '--preset', 'anyres']),
      2,
      /presets do not overlap/,
    );
    expectFailure(await manyscale(['view', temple, '-o', file('x.png'), '--json']), 2, /Expected --seams for --json/);
    expectFailure(
      await manyscale(['view', temple, '-o', file('x.png'), '--seams', '--scales', '1']),
      2,
      /several tiles for --seams/,
    );
    expectFailure(
      await manyscale(['view', temple, '-o', file('x.png'), '--seams', '--overlap', '0']),
      2,
      /an --overlap above 0 for --seams/,
    );
  });
});

describe('view', () => {
  it.each([['internvl'], ['llava-s2']])('draws what the preset %s sees', async (preset) => {
    const out = file(`${preset}.png`);
    expectExit(await manyscale(['view', temple, '-o', out, '--model', vitModel, '--preset', preset]), 0);
    expect((await sharp(out).metadata()).width).toBeGreaterThan(900);
  });

  it('draws seams, and tells their numbers', async () => {
    const out = file('seams.png');
    const child = await manyscale(['view', temple, '-o', out, '--model', vitModel, '--seams', '--json']);
    expectExit(child, 0);
    const { scales } = JSON.parse(child.stdout);
    expect(scales.map(({ name }: { name: string }) => name)).toEqual(['scale 2', 'scale 3']); // scale 1 is one tile
    const [touching, overlapping] = scales[1].ways;
    expect(touching).toMatchObject({ overlap: 0, rows: 3, columns: 3 });
    expect(overlapping).toMatchObject({ overlap: 0.25, rows: 4, columns: 4 });
    expect(touching.seams.ratio).toBeGreaterThan(1.5);
    expect(overlapping.seams.ratio).toBeLessThan(1.15);
    expect((await sharp(out).metadata()).height).toBeGreaterThan(900);
  });

  it('measures the seams of padded scales as they are cut, and prints a table', async () => {
    const flags = ['--seams', '--fit', 'keep', '--uneven', 'pad', '--scales', '2', '--overlap', '16'];
    const out = file('padded-seams.png');
    const child = await manyscale(['view', temple, '-o', out, '--model', vitModel, ...flags]);
    expectExit(child, 0);
    expect(child.stderr).toBe('');
    const lines = child.stdout.split('\n');
    expect(lines[0]).toBe(out);
    expect(lines[1]).toMatch(/^ {2}scale +overlap +tiles +across +inside +ratio$/);
    await using extractor = await Extractor.load(vitModel, { scales: [2], fit: 'keep', uneven: 'pad' });
    const seams = measureSeams(await extractor.extract(temple), extractor.info.output.grid);
    const numbers = [seams.across.toFixed(3), seams.inside.toFixed(3), seams.ratio.toFixed(2)].join(' +');
    expect(lines[2]).toMatch(new RegExp(`^ {2}235 x 157 +none +3 x 2 +${numbers}$`));
    expect(lines[3]).toMatch(/^ {2}235 x 157 +16 +3 x 2 /);
  });

  it('draws a PNG with a column per scale', async () => {
    const out = file('view.png');
    const child = await manyscale(['view', temple, '-o', out]);
    expectExit(child, 0);
    expect(child.stdout).toBe(`${out}\n`);
    expect(child.stderr).toBe('');
    const { data, info } = await sharp(out).raw().toBuffer({ resolveWithObject: true });
    expect(info).toMatchObject({ channels: 3, width: 2 * 48 + 3 * 480 + 2 * 28 });
    expect(info.height).toBeGreaterThan(1300);
    // Not a blank page: many colours.
    const colours = new Set<number>();
    for (let i = 0; i < data.length; i += 3 * 97)
      colours.add(((data[i] ?? 0) << 16) | ((data[i + 1] ?? 0) << 8) | (data[i + 2] ?? 0));
    expect(colours.size).toBeGreaterThan(1000);
  });

  it.each([
    ['tokens', ['--model', vitModel, '--scales', '1,2']],
    ['one scale', ['--scales', '1']],
    [
      'padded scales of tiles that overlap',
      ['--model', vitModel, '--scales', '1.3,2', '--fit', 'keep', '--uneven', 'pad', '--overlap', '0.25'],
    ],
    [
      'sizes that are not square, a crop, the last grid',
      ['--image-sizes', '224x448,448', '--fit', 'crop', '--resize-output-to-index', '-1'],
    ],
  ])('draws %s', async (_, options) => {
    const out = file('other.png');
    expectExit(await manyscale(['view', astronaut, '-o', out, ...options]), 0);
    expect((await sharp(out).metadata()).format).toBe('png');
  });

  it('draws grey and transparent images', async () => {
    const image = file('grey.png');
    await sharp({ create: { width: 50, height: 80, channels: 4, background: { r: 200, g: 200, b: 200, alpha: 0.5 } } })
      .png()
      .toFile(image);
    expectExit(
      await manyscale(['view', image, '-o', file('grey-view.png'), '-s', '1', '--background', '255,255,255']),
      0,
    );
    await sharp(image).removeAlpha().toColourspace('b-w').png().toFile(file('b-w.png'));
    expectExit(await manyscale(['view', file('b-w.png'), '-o', file('grey-view.png'), '-s', '1']), 0);
  });
});

describe('inspect', () => {
  it('describes the embedded model', async () => {
    const child = await manyscale(['inspect']);
    expectExit(child, 0);
    expect(child.stdout).toMatch(/pixel_values +float32 \[batch, 3, 224, 224\] {2}<- the tiles/);
    expect(child.stdout).toMatch(/feat_s16 +float32 \[batch, 88, 14, 14\] {2}<- the features/);
    expect(child.stdout).toMatch(/resize +torch-bilinear-antialias, from the model's metadata/);
  });

  it('is readable by programs', async () => {
    const child = await manyscale(['inspect', vitModel, '--json', '--mean', '0,0,0']);
    expectExit(child, 0);
    expect(JSON.parse(child.stdout)).toMatchObject({
      usable: true,
      model: { path: vitModel },
      output: { name: 'last_hidden_state', layout: 'bnc', numPrefixTokens: 1, grid: { height: 12, width: 12 } },
      sources: { preprocess: { mean: 'option', std: 'metadata' } },
    });
  });

  describe('with configuration files', () => {
    const processor = { image_processor_type: 'CLIPImageProcessor', size: { shortest_edge: 384 }, crop_size: 384 };
    const published = file('published');
    const model = join(published, 'onnx', 'model.onnx');

    beforeAll(() => {
      mkdirSync(join(published, 'onnx'), { recursive: true });
      writeFileSync(model, patchModel({ prefix: 1 }));
      writeFileSync(join(published, 'preprocessor_config.json'), JSON.stringify(processor));
      writeFileSync(join(published, 'config.json'), JSON.stringify({ model_type: 'clip', patch_size: 8 }));
    });

    it('shows them, what is from them, and what contradicts what', async () => {
      const child = await manyscale(['inspect', model]);
      expectExit(child, 0);
      for (const line of [
        /\nconfiguration\n {2}files +.*preprocessor_config\.json\n +.*config\.json\n/,
        /image processor +CLIPImageProcessor\n/,
        /model type +clip\n/,
        /patch size +8, from the configuration files\n/,
        /fit +crop, from the configuration files\n/,
        /resize +pillow-bicubic, from the configuration files\n/,
        /\nnotes\n {2}preprocessor_config\.json asks for 384 x 384 but the model's input is 32 x 32: tiles are 32 x 32\.\n$/,
      ]) {
        expect(child.stdout).toMatch(line);
      }
    });

    it('shows them to programs', async () => {
      await using extractor = await Extractor.load(model);
      const { info } = extractor;
      const child = await manyscale(['inspect', model, '--json']);
      expectExit(child, 0);
      const { configuration, notes, sources, fit } = JSON.parse(child.stdout);
      expect({ configuration, notes, sources, fit }).toEqual({
        configuration: info.configuration,
        notes: info.notes,
        sources: info.sources,
        fit: 'crop',
      });
      expect(notes).toHaveLength(1);
    });

    it('ignores them with --no-configuration, takes others with --configuration', async () => {
      const ignored = await manyscale(['inspect', model, '--no-configuration']);
      expect(ignored.stdout).not.toContain('image processor');
      expect(ignored.stdout).toMatch(/fit +stretch, by default\n/);
      expect(ignored.stdout).toMatch(/notes\n.*Nothing says how images are to be resized/s);
      const child = await manyscale(['inspect', vitModel, '--configuration', published]);
      expect(child.stdout).toMatch(/image processor +CLIPImageProcessor\n/);
      expect(child.stdout).toMatch(/std .*from the model's metadata\n/);
    });

    it('shows the model and the reason when they cannot be read', async () => {
      const bad = file('bad.onnx');
      writeFileSync(bad, patchModel());
      writeFileSync(file('config.json'), '{"patch_size": "large"}');
      const child = await manyscale(['inspect', bad]);
      rmSync(file('config.json'));
      expectExit(child, 1);
      expect(child.stdout).toMatch(/pixel_values +float32 \[batch, 3, 32, 32\]/);
      expect(child.stderr).toMatch(
        /^manyscale: .*patch_size.*config\.json.*--no-configuration.* \[ERR_MODEL_LOAD\]\n$/s,
      );
    });
  });

  it('marks each of several outputs', async () => {
    const child = await manyscale(['inspect', '--output', 'feat_s32,feat_s16']);
    expectExit(child, 0);
    expect(child.stdout.match(/<- the features/g)).toHaveLength(2);
    expect(child.stdout).toMatch(/output +feat_s32, feat_s16, from the options/);
    expect(child.stdout).toMatch(
      /feature map \(bchw\): 7 x 7 cells, 120 channels\n +feature map \(bchw\): 14 x 14 cells/,
    );
  });

  it('shows a model that cannot be used, and says why', async () => {
    const outputs = ['inspect', vitModel, '--output', 'last_hidden_state,image_logits'];
    const child = await manyscale(outputs);
    expectExit(child, 1);
    expect(child.stdout).toMatch(/image_logits +float32 \[batch, 64\]/);
    expect(child.stderr).toMatch(/^manyscale: .*last_hidden_state.*image_logits.* \[ERR_MODEL_SHAPE\]\n$/s);
    const parsed = JSON.parse((await manyscale([...outputs, '--json'])).stdout);
    expect(parsed).toMatchObject({ usable: false, error: { code: 'ERR_MODEL_SHAPE' }, model: { path: vitModel } });
    expect(parsed.outputs).toHaveLength(3);
  });

  it('refuses a file that is no model', async () => {
    expectFailure(await manyscale(['inspect', temple]), 1, /\[ERR_MODEL_LOAD\]/);
  });
});

describe('devices', () => {
  const image = 'examples/photos/temple.jpg';

  it.each([
    ['--device', 'cpu'],
    ['--device', 'auto'],
    ['--device', 'cuda'],
    ['--device', 'cuda', '--provider', 'cpu'],
  ])('extract says where it computed with %s %s', async (...flags) => {
    const out = join(folder, 'device.npy');
    const child = await manyscale(['extract', image, '-o', out, '--json', ...flags]);
    expectExit(child, 0);
    const { device, provider } = JSON.parse(child.stdout);
    expect(['cpu', 'cuda']).toContain(device);
    if (flags[1] === 'cpu') expect([device, provider]).toEqual(['cpu', 'cpu']);
  });

  it('inspect says why others are not used', async () => {
    const child = await manyscale(['inspect', '--device', 'cpu']);
    expectExit(child, 0);
    expect(child.stdout).toMatch(/^ +device +cpu$/m);
    expect(child.stdout).toMatch(/^ +not used +cuda: device 'cpu' was asked for$/m);
  });

  it.each([
    [['--device', 'gpu'], 2, /Allowed choices are auto, cpu, cuda, tensorrt/],
    [['--provider', 'cuda'], 1, /Expected device: 'cuda' beside it for provider .*ERR_INVALID_ARGUMENT/],
    [['--devices', '0,x'], 2, /'x' is not a number/],
    [['--device', 'cuda', '--devices', '99', '--strict'], 1, /Expected device 'cuda' to work .*ERR_DEVICE_UNAVAILABLE/],
  ])('refuses %j', async (flags, code, message) => {
    const child = await manyscale(['inspect', ...flags]);
    expectExit(child, code);
    expect(child.stderr).toMatch(message);
  });
});

describe('doctor', () => {
  it('finds nothing wrong here', async () => {
    const child = await manyscale(['doctor']);
    expectExit(child, 0);
    expect(child.stdout).toMatch(/^ok +trial: features of 176 x 14 x 14/m);
    expect(child.stdout).toContain('All that is essential works.');
  });

  it('is readable by programs and tells what is in use', async () => {
    const child = await manyscale(['doctor', '--json'], { env: { MANYSCALE_FORCE_ISA: 'baseline' } });
    expectExit(child, 0);
    const { ok, checks } = JSON.parse(child.stdout);
    expect(ok).toBe(true);
    expect(checks['instruction sets'].details).toMatchObject({
      forced: 'baseline',
      inUse: { split: 'baseline', pool: 'baseline' },
    });
    expect(checks.runtime.details.providers).toContain('cpu');
    expect(checks.addon.summary).toMatch(/manyscale.*\.node$/);
    // On a GPU or not: what computes is told, and of each other provider why it does not.
    const { device, provider, notUsed } = checks.trial.details;
    expect(['cpu', 'cuda']).toContain(device);
    for (const name of ['cuda', 'tensorrt']) if (name !== provider) expect(notUsed[name]).toMatch(/\w{3}/);
    expect(checks.gpu.summary).not.toBe('');
  });

  it.each([
    [
      'an addon that is not there',
      { MANYSCALE_ADDON: '/none/manyscale.node' },
      ['addon'],
      ['instruction sets', 'runtime', 'gpu', 'trial'],
    ],
    ['a runtime that is not there', { MANYSCALE_RUNTIME_LIBRARY: '/none/libonnxruntime.so' }, ['runtime'], ['trial']],
    ['an instruction set that is none', { MANYSCALE_FORCE_ISA: 'mmx' }, ['instruction sets', 'trial'], []],
  ])('tells what to do about %s', async (_, env, problems, skipped) => {
    const child = await manyscale(['doctor', '--json'], { env: env as unknown as Record<string, string> });
    expectExit(child, 1);
    const { ok, checks } = JSON.parse(child.stdout) as { ok: boolean; checks: Record<string, { level: string }> };
    expect(ok).toBe(false);
    const having = (level: string) => Object.keys(checks).filter((name) => checks[name]?.level === level);
    expect(having('problem')).toEqual(problems);
    expect(having('skipped')).toEqual(skipped);
    expect(child.stderr).toBe('');
  });
});

describe('examples', () => {
  it.each(
    readdirSync(join(repository, 'examples'))
      .filter((name) => /\.[cm]js$/.test(name))
      .map((name) => [name]),
  )('%s runs', async (name) => {
    const child = await run(process.execPath, [join('examples', name)]);
    expectExit(child, 0);
    expect(child.stdout).not.toBe('');
    expect(child.stderr).toBe('');
  });
});
