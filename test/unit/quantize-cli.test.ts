// manyscale quantize from outside, as users run it.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Extractor } from 'manyscale';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { vitModel as randomVit, VIT_S16 } from '../../bench/models/vit.mjs';
import { photo, repository } from '../helpers/paths.js';
import { expectExit, type Finished, run } from '../helpers/process.js';

const main = join(repository, 'dist', 'cli', 'main.js');
const folder = mkdtempSync(join(tmpdir(), 'manyscale-quantize-'));
const file = (name: string) => join(folder, name);
const vit = file('vit.onnx');

const manyscale = (...args: string[]): Promise<Finished> => run(process.execPath, [main, ...args]);

beforeAll(() => writeFileSync(vit, randomVit({ ...VIT_S16, size: 64, channels: 64, depth: 2, heads: 2, mlp: 128 })));
afterAll(() => rmSync(folder, { recursive: true }));

describe('quantize', () => {
  it('writes a model that serves, and reports in words', async () => {
    const out = file('words.onnx');
    const child = await manyscale('quantize', vit, '-o', out);
    expectExit(child, 0);
    expect(child.stderr).toBe('');
    const number = '\\d+\\.\\d+';
    expect(child.stdout).toMatch(
      new RegExp(
        `words\\.onnx
  size +0\\.5 -> 0\\.3 MB
  layers +12 int8 by row
  speed +${number} -> ${number} tiles/s on this machine, ${number} times as fast
cosine similarity of features to float32, on noise \\(give --images for photos\\)
  64 x 64 +0\\.99\\d+ \\(least alike cell: 0\\.9\\d+\\)
  128 x 128 +0\\.99\\d+ \\(least alike cell: 0\\.9\\d+\\)
$`,
      ),
    );
    await using extractor = await Extractor.load(out);
    expect(extractor.info.model.metadata['manyscale.quantized']).toMatch(/^int8 by manyscale/);
    expect(extractor.info.preprocess.mean).toEqual([0.485, 0.456, 0.406]);
    expect((await extractor.extract(photo('temple.jpg'))).tensor.dims).toEqual([17, 128]);
  });

  it('keeps what configuration files said, in the model itself', async () => {
    const published = join(folder, 'published');
    mkdirSync(published);
    const model = join(published, 'vit.onnx');
    copyFileSync(vit, model);
    const processor = { image_processor_type: 'BitImageProcessor', image_mean: [0, 0, 0], crop_size: 64, size: 64 };
    writeFileSync(join(published, 'preprocessor_config.json'), JSON.stringify(processor));
    const out = file('kept.onnx');
    expectExit(await manyscale('quantize', model, '-o', out, '--scales', '1'), 0);
    await using extractor = await Extractor.load(out);
    const { configuration, fit, preprocess, sources } = extractor.info;
    expect(configuration.files).toEqual([]);
    expect([fit, sources.fit]).toEqual(['crop', 'metadata']);
    expect(preprocess).toMatchObject({ mean: [0.485, 0.456, 0.406], resize: 'pillow-bicubic' });
  });

  it('calibrates, and reports as JSON', async () => {
    const out = file('json.onnx');
    const images = [photo('temple.jpg'), photo('astronaut.png')];
    const child = await manyscale(
      'quantize',
      vit,
      '-o',
      out,
      '--calibrate',
      '--json',
      '--scales',
      '1,3',
      '--images',
      ...images,
    );
    expectExit(child, 0);
    const report = JSON.parse(child.stdout);
    expect(report).toEqual({
      file: out,
      model: vit,
      megabytes: { float32: statSync(vit).size / 1e6, int8: statSync(out).size / 1e6 },
      layers: { row: expect.any(Number), static: expect.any(Number), float32: 0 },
      tilesPerSecond: { float32: expect.any(Number), int8: expect.any(Number) },
      images,
      scales: [
        { height: 64, width: 64, cosine: expect.any(Number), lowest: expect.any(Number) },
        { height: 192, width: 192, cosine: expect.any(Number), lowest: expect.any(Number) },
      ],
    });
    expect(report.layers.static).toBeGreaterThan(0);
    expect(report.layers.static + report.layers.row).toBe(12);
    for (const speed of Object.values(report.tilesPerSecond)) expect(speed).toBeGreaterThan(0);
    for (const { cosine } of report.scales) expect(cosine).toBeGreaterThan(0.998);
  });

  it('has help with examples', async () => {
    const child = await manyscale('quantize', '--help');
    expectExit(child, 0);
    expect(child.stdout).toMatch(/Examples:\n[\s\S]*\$ manyscale quantize/);
    expect((await manyscale('--help')).stdout).toContain('quantize');
  });
});

describe('what cannot be', () => {
  const broken = () => {
    writeFileSync(file('broken.jpg'), readFileSync(photo('temple.jpg')).subarray(0, 300));
    return file('broken.jpg');
  };
  it.each<[string, () => string[], number, RegExp]>([
    ['no --out', () => [vit], 2, /required option '-o, --out <file>'.*ERR_USAGE/],
    ['another kind of file', () => [vit, '-o', file('x.npy')], 2, /ends in \.onnx .*ERR_USAGE/],
    ['the model itself as output', () => [vit, '-o', vit], 2, /another file than the model itself.*ERR_USAGE/],
    [
      '--calibrate without images',
      () => [vit, '-o', file('x.onnx'), '--calibrate'],
      2,
      /--images for --calibrate.*ERR_USAGE/,
    ],
    ['a model that is not there', () => [file('none.onnx'), '-o', file('x.onnx')], 1, /cannot be read.*ERR_MODEL_LOAD/],
    ['a photo as model', () => [photo('temple.jpg'), '-o', file('x.onnx')], 1, /ERR_MODEL_LOAD/],
    [
      'the default model',
      () => ['models/mobilenetv3_coco_backbone_224.onnx', '-o', file('x.onnx')],
      1,
      /nothing to quantize \(69 convolutions.*ERR_INVALID_ARGUMENT/,
    ],
    ['a broken photo', () => [vit, '-o', file('x.onnx'), '--images', broken()], 1, /ERR_IMAGE_DECODE/],
    ['a folder that is not there', () => [vit, '-o', file('none/x.onnx')], 1, /there is no folder.*ERR_OUTPUT/],
  ])('%s', async (_name, args, code, message) => {
    const child = await manyscale('quantize', ...args());
    expectExit(child, code);
    expect(child.stdout).toBe('');
    expect(child.stderr).toMatch(message);
    expect(child.stderr).toMatch(/^manyscale: .* \[ERR_[A-Z_]+\]\n$/s);
    expect(existsSync(file('x.onnx'))).toBe(false);
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('a model that is quantized already', async () => {
    const first = file('first.onnx');
    expectExit(await manyscale('quantize', vit, '-o', first), 0);
    const child = await manyscale('quantize', first, '-o', file('second.onnx'));
    expectExit(child, 1);
    expect(child.stderr).toMatch(/quantized already.*ERR_INVALID_ARGUMENT/);
  });
});

describe('docs/quantize.md', () => {
  const page = readFileSync(join(repository, 'docs', 'quantize.md'), 'utf8');
  const commands = [...page.matchAll(/^ {4}npx manyscale (.*test\/models.*|extract .*)$/gm)].map(
    ([, command = '']) => command,
  );

  it('has examples that run, one after another', async () => {
    expect(commands).toHaveLength(2);
    for (const command of commands) {
      const here = command.replaceAll('vit-int8.onnx', file('vit-int8.onnx')).replace('tokens.npy', file('tokens.npy'));
      const child = await run('sh', ['-c', `"$0" "$1" ${here}`, process.execPath, main]);
      expectExit(child, 0);
    }
  });
});
