// Protects what is read from Hugging Face's configuration files: the defaults of each family of image processors, the
// forms of sizes, what options and metadata override, and that nothing in a file can do more than cause an error.

import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ManyscaleError } from '../../src/errors.js';
import { type Configuration, readConfiguration } from '../../src/model/configuration/configuration.js';
import { readConfigurationFiles } from '../../src/model/configuration/files.js';
import type { Preprocess } from '../../src/options/options.js';
import { checkPreprocess } from '../../src/options/preprocess.js';
import { Repositories } from '../helpers/configured.js';
import { makeRandom, makeSeed } from '../helpers/random.js';
import { expectCode } from './rejection.js';

const seed = makeSeed();
const repositories = new Repositories();
afterAll(() => repositories.remove());

function read(processor: object | undefined, architecture?: object, given: Preprocess = {}): Configuration {
  const file = (path: string, values: object | undefined) => values && { path, values };
  const files = {
    processor: file('/model/preprocessor_config.json', processor),
    architecture: file('/model/config.json', architecture),
  };
  return readConfiguration(
    {
      ...(files.processor && { processor: files.processor }),
      ...(files.architecture && { architecture: files.architecture }),
    },
    given,
  );
}

/** What a file with nothing but its type leads to. */
const clip = {
  tileSize: { height: 224, width: 224 },
  fit: 'crop',
  preprocess: {
    mean: [0.48145466, 0.4578275, 0.40821073],
    std: [0.26862954, 0.26130258, 0.27577711],
    rescale: 1 / 255,
    resize: 'pillow-bicubic',
  },
};
const halves = { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], rescale: 1 / 255 };
const stretched = { tileSize: { height: 224, width: 224 }, fit: 'stretch' };
const FAMILIES: [type: string, expected: object][] = [
  ['CLIPImageProcessor', clip],
  ['CLIPImageProcessorFast', clip],
  ['CLIPFeatureExtractor', clip],
  ['BitImageProcessor', clip],
  ['SiglipImageProcessor', { ...stretched, preprocess: { ...halves, resize: 'pillow-bicubic' } }],
  ['Siglip2ImageProcessorFast', { fit: 'stretch', preprocess: { ...halves, resize: 'pillow-bilinear' } }],
  ['ViTImageProcessor', { ...stretched, preprocess: { ...halves, resize: 'pillow-bilinear' } }],
  ['ViTFeatureExtractor', { ...stretched, preprocess: { ...halves, resize: 'pillow-bilinear' } }],
  ['DeiTImageProcessor', { ...stretched, fit: 'crop', preprocess: { ...halves, resize: 'pillow-bicubic' } }],
  [
    'DINOv3ViTImageProcessorFast',
    {
      ...stretched,
      preprocess: {
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
        rescale: 1 / 255,
        resize: 'torch-bilinear-antialias',
      },
    },
  ],
  [
    'ConvNextImageProcessor',
    {
      tileSize: { height: 384, width: 384 },
      fit: 'stretch',
      preprocess: { ...halves, resize: 'pillow-bilinear' },
    },
  ],
];

describe('the families of image processors', () => {
  test.each(FAMILIES)('%s has the defaults of its class', (type, expected) => {
    const { tileSize, fit, preprocess, processor } = read({ image_processor_type: type });
    expect({ ...(tileSize && { tileSize }), fit, preprocess }).toEqual(expected);
    expect(processor).toBe(type);
  });

  test.each(FAMILIES)('%s: null is absent', (type, expected) => {
    const keys = ['resample', 'size', 'crop_size', 'image_mean', 'do_resize', 'do_center_crop', 'rescale_factor'];
    const nulls = Object.fromEntries(keys.map((key) => [key, null]));
    expect(read({ image_processor_type: type, ...nulls })).toMatchObject(expected);
  });

  test('the older name of the type', () => {
    expect(read({ feature_extractor_type: 'ViTFeatureExtractor' }).processor).toBe('ViTFeatureExtractor');
  });

  test('DINOv2 as it is published', () => {
    const { notes, ...rest } = read({
      crop_size: { height: 224, width: 224 },
      do_center_crop: true,
      do_convert_rgb: true,
      do_normalize: true,
      do_rescale: true,
      do_resize: true,
      image_mean: [0.485, 0.456, 0.406],
      image_processor_type: 'BitImageProcessor',
      image_std: [0.229, 0.224, 0.225],
      resample: 3,
      rescale_factor: 0.00392156862745098,
      size: { shortest_edge: 256 },
    });
    expect(rest).toEqual({
      files: ['/model/preprocessor_config.json'],
      processor: 'BitImageProcessor',
      tileSize: { height: 224, width: 224 },
      tileFile: 'preprocessor_config.json',
      fit: 'crop',
      preprocess: {
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
        rescale: 1 / 255,
        resize: 'pillow-bicubic',
      },
    });
    expect(notes).toEqual([
      "preprocessor_config.json resizes to 256 x 256 and uses the middle 224 x 224: fit 'crop' uses the margin too.",
    ]);
  });

  test('ConvNeXt crops below 384, and only there', () => {
    const convnext = (values: object) => read({ image_processor_type: 'ConvNextImageProcessor', ...values });
    const small = convnext({ size: { shortest_edge: 224 } });
    expect(small).toMatchObject({ tileSize: { height: 224, width: 224 }, fit: 'crop' });
    expect(small.notes).toEqual([
      "preprocessor_config.json uses the middle 87.5 % of an image's shorter side (crop_pct): fit 'crop' uses all of it.",
    ]);
    expect(convnext({ size: 224, crop_pct: 1 })).toMatchObject({ fit: 'crop', notes: [] });
    expect(convnext({ size: 512 })).toMatchObject({ tileSize: { height: 512 }, fit: 'stretch', notes: [] });
  });

  test('of an unknown type only what is there', () => {
    const unknown = read({ image_processor_type: 'constructor', image_mean: [1, 2, 3], do_center_crop: true });
    expect(unknown).toMatchObject({ processor: 'constructor', preprocess: { mean: [1, 2, 3] }, fit: 'crop' });
    expect(unknown.preprocess).toEqual({ mean: [1, 2, 3] });
    expect(unknown.tileSize).toBeUndefined();
    expect(unknown.notes[0]).toMatch(/is of constructor, which is not known/);
    const nameless = read({ size: 96 });
    expect(nameless.tileSize).toEqual({ height: 96, width: 96 });
    expect(nameless.fit).toBeUndefined();
    expect(nameless.notes[0]).toMatch(/names no image_processor_type/);
  });
});

describe('the keys of an image processor', () => {
  const vit = (values: object) => read({ image_processor_type: 'ViTImageProcessor', ...values });

  test.each<[size: unknown, height: number, width: number]>([
    [96, 96, 96],
    [{ height: 96, width: 128 }, 96, 128],
    [{ height: 96, width: 128, shortest_edge: null }, 96, 128],
    [[96, 128], 96, 128],
    [{ shortest_edge: 96 }, 96, 96],
  ])('size %j', (size, height, width) => {
    expect(vit({ size }).tileSize).toEqual({ height, width });
    const cropped = read({ image_processor_type: 'CLIPImageProcessor', crop_size: size, size: 500 });
    expect(cropped.tileSize).toEqual({ height, width });
  });

  test.each([{ longest_edge: 512 }, { shortest_edge: 224, longest_edge: 512 }, { max_height: 9, max_width: 9 }])(
    'size %j is one of another meaning: not used, and said',
    (size) => {
      const { tileSize, notes } = read({ image_processor_type: 'OtherImageProcessor', size });
      expect(tileSize).toBeUndefined();
      expect(notes[1]).toMatch(/a size that is no height and width/);
    },
  );

  test.each([
    [1, 'pillow-lanczos'],
    [2, 'pillow-bilinear'],
    [3, 'pillow-bicubic'],
    [4, 'pillow-box'],
  ])('resample %i is %s', (resample, mode) => {
    expect(vit({ resample }).preprocess.resize).toBe(mode);
  });

  test.each([0, 5, 6, 2.5, -1])('resample %d has no equivalent', async (resample) => {
    await expectCode(() => vit({ resample }), 'ERR_MODEL_LOAD', /for resample in .* or give preprocess\.resize/);
  });

  test('what is not done', () => {
    const { preprocess, tileSize, notes } = vit({ do_normalize: false, do_rescale: false, do_resize: false });
    expect(preprocess).toEqual({ mean: [0, 0, 0], std: [1, 1, 1], rescale: 1, resize: 'pillow-bilinear' });
    expect(tileSize).toBeUndefined();
    expect(notes[0]).toMatch(/do_resize: false/);
    expect(read({ image_processor_type: 'CLIPImageProcessor', do_center_crop: false }).fit).toBe('stretch');
    expect(vit({ do_center_crop: true, crop_size: 200 })).toMatchObject({ fit: 'crop', tileSize: { height: 200 } });
    expect(vit({ do_flip_channel_order: true }).preprocess.channelOrder).toBe('bgr');
  });

  test('an aspect ratio that is kept without a crop is said', () => {
    const { tileSize, fit, notes } = read({
      image_processor_type: 'CLIPImageProcessor',
      do_center_crop: false,
      size: { shortest_edge: 336 },
    });
    expect([tileSize, fit]).toEqual([{ height: 336, width: 336 }, 'stretch']);
    expect(notes[0]).toMatch(/keeps the aspect ratio/);
  });
});

describe('config.json', () => {
  test('of a vision model', () => {
    const dinov3 = { model_type: 'dinov3_vit', image_size: 224, patch_size: 16, num_register_tokens: 4 };
    expect(read(undefined, dinov3)).toEqual({
      files: ['/model/config.json'],
      modelType: 'dinov3_vit',
      tileSize: { height: 224, width: 224 },
      tileFile: 'config.json',
      patchSize: 16,
      numRegisterTokens: 4,
      preprocess: {},
      notes: [],
    });
  });

  test('of a model of images and text: its vision part', () => {
    const both = { model_type: 'clip', vision_config: { image_size: 336, patch_size: [14, 14] }, image_size: 1 };
    expect(read(undefined, both)).toMatchObject({
      modelType: 'clip',
      tileSize: { height: 336, width: 336 },
      patchSize: 14,
    });
  });

  test('patches that are not square are not used', () => {
    const { patchSize, notes } = read(undefined, { patch_size: [16, 10] });
    expect(patchSize).toBeUndefined();
    expect(notes[0]).toMatch(/patch_size that is not square/);
  });

  test("the processor's size comes first: it is what the images are made with", () => {
    const { tileSize, tileFile } = read({ image_processor_type: 'BitImageProcessor' }, { image_size: 518 });
    expect(tileSize).toEqual({ height: 224, width: 224 });
    expect(tileFile).toBe('preprocessor_config.json');
  });
});

describe('values that cannot be', () => {
  const huge = JSON.parse('1e999');
  const PROCESSOR: [key: string, value: unknown, expected: RegExp][] = [
    ['image_processor_type', 7, /a string for image_processor_type in '\/model\/preprocessor_config.json'.*received 7/],
    ['image_processor_type', ['ViTImageProcessor'], /a string/],
    ['size', 'big', /a side, .* for size .*'big' of type string/],
    ['size', 0, /integers from 1 to 65536/],
    ['size', -224, /received -224/],
    ['size', 224.5, /received 224\.5/],
    ['size', huge, /received Infinity/],
    ['size', 2 ** 53, /for size/],
    ['size', {}, /for size/],
    ['size', [], /for size/],
    ['size', [1, 2, 3], /for size/],
    ['size', { height: 224 }, /for size/],
    ['size', { height: '224', width: 224 }, /for size/],
    ['size', { shortest_edge: 'a' }, /for size/],
    ['crop_size', true, /for crop_size/],
    ['crop_size', { height: 1e9, width: 1e9 }, /for crop_size/],
    ['crop_pct', 0, /a number above 0 for crop_pct/],
    ['resample', 'bicubic', /a finite number for resample/],
    ['resample', huge, /a finite number for resample/],
    ['image_mean', 0.5, /3 finite numbers for image_mean .* or give preprocess\.mean/],
    ['image_mean', [0.5, 0.5], /3 finite numbers/],
    ['image_mean', [0.5, 0.5, '0.5'], /3 finite numbers/],
    ['image_mean', [0.5, 0.5, null], /3 finite numbers/],
    ['image_mean', [0.5, 0.5, huge], /3 finite numbers/],
    ['image_mean', { 0: 1, 1: 1, 2: 1, length: 3 }, /3 finite numbers/],
    ['image_std', [1, 1, 0], /3 numbers other than 0 for image_std .* or give preprocess\.std/],
    ['rescale_factor', '1/255', /a finite number for rescale_factor .* or give preprocess\.rescale/],
    ['do_resize', 'yes', /true or false for do_resize/],
    ['do_rescale', 1, /true or false for do_rescale/],
    ['do_normalize', [], /true or false for do_normalize/],
    ['do_center_crop', 'false', /true or false for do_center_crop/],
  ];
  test.each(PROCESSOR)('%s: %j', async (key, value, message) => {
    const values = { image_processor_type: 'ViTImageProcessor', [key]: value };
    const error = await expectCode(() => read(values), 'ERR_MODEL_LOAD', message);
    expect(error.message).toMatch(/^Expected .* but received .*configuration: false .*ignores such files$/s);
  });

  test.each<[string, unknown, RegExp]>([
    ['model_type', {}, /a string for model_type in '\/model\/config.json'/],
    ['image_size', '224', /for image_size/],
    ['patch_size', -1, /for patch_size/],
    ['patch_size', [16, 16, 16], /for patch_size/],
    ['num_register_tokens', 0.5, /an integer from 0 to 65536 for num_register_tokens/],
    ['num_register_tokens', 1e300, /for num_register_tokens/],
    ['vision_config', 'siglip', /an object for vision_config/],
    ['vision_config', [], /an object for vision_config/],
    ['vision_config', { patch_size: 'x' }, /for vision_config\.patch_size/],
  ])('%s: %j', async (key, value, message) => {
    await expectCode(() => read(undefined, { [key]: value }), 'ERR_MODEL_LOAD', message);
  });

  test(`anything at any key gives a configuration that can be, or an error (seed ${seed})`, () => {
    const random = makeRandom(seed);
    const types = ['CLIP', 'Bit', 'Siglip', 'Siglip2', 'ViT', 'DeiT', 'DINOv3ViT', 'ConvNext', 'Other'];
    const plain = [null, true, false, 0, 1, 3, 14, 224, 384, -1, 0.5, 1e300, huge, '', '224', 'ViTImageProcessor'];
    const value = (depth: number): unknown => {
      const kind = random.integer(0, 9);
      if (depth > 3 || kind < 5) return random.pick(plain);
      if (kind < 7) return Array.from({ length: random.integer(0, 4) }, () => value(depth + 1));
      if (kind === 7) return [0.5, 0.25, random.pick(plain)];
      const names = ['height', 'width', 'shortest_edge', 'longest_edge', '__proto__', 'patch_size'];
      return Object.fromEntries(names.filter(() => random.next() < 0.4).map((name) => [name, value(depth + 1)]));
    };
    const keys = [...new Set(PROCESSOR.map(([key]) => key))];
    let accepted = 0;
    for (let round = 0; round < 10_000; round++) {
      const some = (names: string[]) =>
        Object.fromEntries(names.filter(() => random.next() < 0.15).map((name) => [name, value(0)]));
      const type = `${random.pick(types)}ImageProcessor`;
      const processor = { image_processor_type: type, ...some(keys) };
      const architecture = some(['model_type', 'vision_config', 'image_size', 'patch_size', 'num_register_tokens']);
      const what = `seed ${seed}, round ${round}: ${JSON.stringify([processor, architecture])}`;
      try {
        const { tileSize, patchSize = 1, preprocess } = read(processor, architecture);
        for (const side of [tileSize?.height ?? 1, tileSize?.width ?? 1, patchSize]) {
          expect(Number.isInteger(side) && side >= 1 && side <= 65536, what).toBe(true);
        }
        expect(checkPreprocess(preprocess, 3), what).toEqual(preprocess);
        accepted++;
      } catch (error) {
        expect(error, what).toBeInstanceOf(ManyscaleError);
        expect((error as ManyscaleError).code, what).toBe('ERR_MODEL_LOAD');
      }
    }
    expect(accepted).toBeGreaterThan(500);
  });

  test('what an option or the metadata say instead is not looked at', () => {
    const values = { resample: 0, image_mean: 'grey', image_std: [0, 0, 0], rescale_factor: 'x' };
    const given: Preprocess = { resize: 'torch-area', mean: [0], std: [1], rescale: 1 };
    expect(read(values, undefined, given).preprocess).toEqual({});
  });

  test('keys of the prototype are no values', () => {
    const values = JSON.parse(
      '{"__proto__": {"size": "x", "image_mean": 1}, "constructor": 1, "image_processor_type": "__proto__"}',
    );
    const { preprocess, tileSize } = read(values);
    expect([preprocess, tileSize]).toEqual([{}, undefined]);
    expect(read(undefined, JSON.parse('{"vision_config": {"__proto__": {"patch_size": "x"}}}')).patchSize).toBe(
      undefined,
    );
    expect(({} as { size?: unknown }).size).toBeUndefined();
  });
});

describe('files', () => {
  const vit = { image_processor_type: 'ViTImageProcessor' };
  const find = (model: string | Uint8Array, folder?: string | false) => readConfigurationFiles(model, folder);

  test('beside the model', async () => {
    const folder = repositories.make({ 'preprocessor_config.json': vit, 'config.json': { model_type: 'vit' } });
    expect(await find(join(folder, 'model.onnx'))).toEqual({
      processor: { path: join(folder, 'preprocessor_config.json'), values: vit },
      architecture: { path: join(folder, 'config.json'), values: { model_type: 'vit' } },
    });
  });

  test("above a folder named 'onnx' and no other, each file on its own", async () => {
    const folder = repositories.make({
      'preprocessor_config.json': vit,
      'config.json': { model_type: 'above' },
      'onnx/config.json': { model_type: 'beside' },
      'other/x': '',
    });
    expect(await find(join(folder, 'onnx', 'model.onnx'))).toEqual({
      processor: { path: join(folder, 'preprocessor_config.json'), values: vit },
      architecture: { path: join(folder, 'onnx', 'config.json'), values: { model_type: 'beside' } },
    });
    expect(await find(join(folder, 'other', 'model.onnx'))).toEqual({});
  });

  test('a named folder, also for bytes; none for bytes alone, or when they are not wanted', async () => {
    const folder = repositories.make({ 'preprocessor_config.json': vit });
    const bytes = new Uint8Array(1);
    expect((await find(bytes, folder)).processor?.values).toEqual(vit);
    expect(await find(bytes)).toEqual({});
    expect(await find(join(folder, 'model.onnx'), false)).toEqual({});
  });

  test('a named folder that is none, or has none of them', async () => {
    const empty = repositories.make({ 'model.onnx': 'x' });
    for (const [folder, why] of [
      [join(empty, 'missing'), /cannot be read \(ENOENT\)/],
      [join(empty, 'model.onnx'), /is not a folder/],
      [empty, /has neither/],
    ] as const) {
      await expectCode(() => find(new Uint8Array(1), folder), 'ERR_MODEL_LOAD', why);
    }
  });

  const deep = (open: string, close: string, depth: number) => open.repeat(depth) + close.repeat(depth);
  test.each<[what: string, content: string | Uint8Array, message: RegExp]>([
    ['nothing', '', /cannot be parsed/],
    ['a text', 'resample = 3', /cannot be parsed/],
    ['half a file', '{"size": 22', /cannot be parsed/],
    ["Python's NaN", '{"rescale_factor": NaN}', /cannot be parsed/],
    ['a comment', '{} // yes', /cannot be parsed/],
    ['an array', '[1]', /a JSON object .* something else/],
    ['a number', '3', /a JSON object/],
    ['null', 'null', /a JSON object/],
    ['other bytes than UTF-8', Uint8Array.of(0x7b, 0xff, 0x7d), /cannot be parsed/],
    ['deep arrays', deep('[', ']', 400_000), /a JSON object|cannot be parsed/],
    ['arrays without an end', '['.repeat(900_000), /cannot be parsed/],
    ['objects without an end', '{"size":'.repeat(100_000), /cannot be parsed/],
    ['more than a megabyte', `{"x": "${'x'.repeat(1_000_000)}"}`, /at most 1000000 bytes .* is larger/],
  ])('refuses %s', async (_, content, message) => {
    const folder = repositories.make({ 'config.json': content });
    const error = await expectCode(() => find(join(folder, 'model.onnx')), 'ERR_MODEL_LOAD', message);
    expect(error.message).toContain(join(folder, 'config.json'));
    expect(error.message).toContain('configuration: false');
    expect(error.message.length).toBeLessThan(600);
  });

  test('values may be as deep as a file is long: they are refused by type, without recursion', async () => {
    const folder = repositories.make({
      'preprocessor_config.json': `{"size": ${deep('[', ']', 400_000)}, "other": ${deep('[', ']', 90_000)}}`,
    });
    const files = await find(join(folder, 'model.onnx'));
    await expectCode(() => readConfiguration(files, {}), 'ERR_MODEL_LOAD', /for size/);
  });

  test('refuses what is no regular file, without waiting for it', async () => {
    const folder = repositories.make({});
    mkdirSync(join(folder, 'config.json'));
    await expectCode(() => find(join(folder, 'model.onnx')), 'ERR_MODEL_LOAD', /is not a file/);
    const pipe = repositories.make({});
    execFileSync('mkfifo', [join(pipe, 'config.json')]);
    await expectCode(() => find(join(pipe, 'model.onnx')), 'ERR_MODEL_LOAD', /is not a file/);
    const device = repositories.make({});
    symlinkSync('/dev/zero', join(device, 'config.json'));
    await expectCode(() => find(join(device, 'model.onnx')), 'ERR_MODEL_LOAD', /is not a file/);
    const loop = repositories.make({});
    symlinkSync('config.json', join(loop, 'config.json'));
    await expectCode(() => find(join(loop, 'model.onnx')), 'ERR_MODEL_LOAD', /cannot be read \(ELOOP\)/);
  });

  test('follows links, as caches of downloads have them', async () => {
    const folder = repositories.make({ 'blobs/1': vit });
    mkdirSync(join(folder, 'snapshot'));
    symlinkSync('../blobs/1', join(folder, 'snapshot', 'preprocessor_config.json'));
    writeFileSync(join(folder, 'snapshot', 'model.onnx'), 'x');
    expect((await find(join(folder, 'snapshot', 'model.onnx'))).processor?.values).toEqual(vit);
  });
});
