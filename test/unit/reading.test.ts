// Protects how a model is read: options over metadata over configuration files over defaults, the model's own axes and tokens over
// all files, and that what was guessed or contradicts something is said.

import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { Extractor, type ExtractorOptions } from '../../src/index.js';
import { metadataOf } from '../../src/model/info.js';
import { readMetadata } from '../../src/model/metadata.js';
import { Repositories } from '../helpers/configured.js';
import { type PatchModelOptions, patchModel, positionedModel, severalOutputsModel } from '../helpers/models.js';
import { expectCode } from './rejection.js';

const repositories = new Repositories();
const loaded: Extractor[] = [];
afterEach(async () => {
  await Promise.all(loaded.splice(0).map((extractor) => extractor.dispose()));
});
afterAll(() => repositories.remove());

async function load(model: string | Uint8Array, options?: ExtractorOptions): Promise<Extractor> {
  const extractor = await Extractor.load(model, options);
  loaded.push(extractor);
  return extractor;
}

interface Published {
  model?: Uint8Array;
  processor?: object;
  architecture?: object;
}

/** The path of a model with configuration files beside it. */
function publish({ model = patchModel(), processor, architecture }: Published): string {
  const folder = repositories.make({
    'model.onnx': model,
    ...(processor && { 'preprocessor_config.json': processor }),
    ...(architecture && { 'config.json': architecture }),
  });
  return join(folder, 'model.onnx');
}

const image = {
  data: new Uint8Array(40 * 60 * 3).map((_, i) => (i * 31 + (i >> 5)) & 255),
  width: 60,
  height: 40,
  channels: 3 as const,
};
const open = (options?: PatchModelOptions) => patchModel({ tile: ['height', 'width'], ...options });
const vit = { image_processor_type: 'ViTImageProcessor' };

test('a uint8 model takes pixels as they are, and says which values of its files are not used', async () => {
  const processor = { ...vit, size: 32, image_mean: [0.5, 0.5, 0.5] };
  const { info } = await load(publish({ model: patchModel({ inputType: 'uint8' }), processor }));
  expect(info.preprocess).toMatchObject({ mean: [0, 0, 0], std: [1, 1, 1], rescale: 1, resize: 'pillow-bilinear' });
  expect(info.notes.join('\n')).toMatch(/takes uint8 pixels, which it normalises itself: mean, std.* not used/);
});

test('a published model needs no options: the features are those of all of them given', async () => {
  const processor = {
    image_processor_type: 'CLIPImageProcessor',
    size: { shortest_edge: 32 },
    crop_size: { height: 32, width: 32 },
    resample: 2,
    image_mean: [0.4, 0.5, 0.6],
  };
  const architecture = { model_type: 'clip', vision_config: { patch_size: 8, image_size: 32 } };
  const model = open({ prefix: 1 });
  const path = publish({ model, processor, architecture });
  const found = await load(path);
  const told = await load(model, {
    tileSize: 32,
    patchSize: 8,
    fit: 'crop',
    preprocess: {
      mean: [0.4, 0.5, 0.6],
      std: [0.26862954, 0.26130258, 0.27577711],
      rescale: 1 / 255,
      resize: 'pillow-bilinear',
    },
  });
  const { tensor } = await found.extract(image);
  expect(tensor.dims).toEqual([17, 12]);
  expect(tensor.data).toEqual((await told.extract(image)).tensor.data);
  expect(found.info).toMatchObject({
    input: { tileSize: { height: 32, width: 32 } },
    output: { patchSize: 8, numPrefixTokens: 1 },
    fit: 'crop',
    configuration: {
      files: [path.replace('model.onnx', 'preprocessor_config.json'), path.replace('model.onnx', 'config.json')],
      processor: 'CLIPImageProcessor',
      modelType: 'clip',
    },
    sources: {
      tileSize: 'configuration',
      patchSize: 'configuration',
      output: 'model',
      numPrefixTokens: 'model',
      fit: 'configuration',
      preprocess: {
        mean: 'configuration',
        std: 'configuration',
        rescale: 'configuration',
        resize: 'configuration',
        channelOrder: 'default',
      },
    },
    notes: ['The model leaves its input size open: tiles are 32 x 32, as preprocessor_config.json has it.'],
  });
  expect(found.plan({ height: 40, width: 60 }).crop).toEqual({ top: 0, left: 10, height: 40, width: 40 });
});

describe('what comes first', () => {
  const files = {
    processor: { ...vit, size: 48, image_mean: [0.1, 0.1, 0.1], resample: 3, do_center_crop: true, crop_size: 48 },
    architecture: { patch_size: 8 },
  };
  const metadata = {
    'manyscale.tileSize': '40x32',
    'manyscale.mean': '0.2',
    'manyscale.fit': 'stretch',
    'manyscale.patchSize': '8',
    'manyscale.numPrefixTokens': '1',
    'manyscale.output': 'tokens',
  };

  test('the files over the defaults', async () => {
    const { info } = await load(publish({ model: open({ prefix: 1 }), ...files }));
    expect(info.input.tileSize).toEqual({ height: 48, width: 48 });
    expect(info.preprocess).toMatchObject({ mean: [0.1, 0.1, 0.1], resize: 'pillow-bicubic' });
    expect(info.fit).toBe('crop');
  });

  test('the metadata over the files', async () => {
    const { info } = await load(publish({ model: open({ prefix: 1, metadata }), ...files }));
    expect(info.input.tileSize).toEqual({ height: 40, width: 32 });
    expect(info.preprocess).toMatchObject({ mean: [0.2, 0.2, 0.2], resize: 'pillow-bicubic' });
    expect(info.fit).toBe('stretch');
    expect(info.sources).toMatchObject({
      tileSize: 'metadata',
      patchSize: 'metadata',
      output: 'metadata',
      numPrefixTokens: 'metadata',
      fit: 'metadata',
      preprocess: { mean: 'metadata', std: 'configuration' },
    });
    expect(info.notes).toEqual([
      "preprocessor_config.json asks for 48 x 48 but the model's metadata say 40 x 32: tiles are 40 x 32.",
    ]);
  });

  test('the options over all', async () => {
    const { info } = await load(publish({ model: open({ prefix: 1, metadata }), ...files }), {
      tileSize: 24,
      patchSize: 8,
      numPrefixTokens: 1,
      output: 'tokens',
      fit: 'crop',
      preprocess: { mean: [0.3], resize: 'torch-area' },
    });
    expect(info.input.tileSize).toEqual({ height: 24, width: 24 });
    expect(info.preprocess).toMatchObject({ mean: [0.3, 0.3, 0.3], resize: 'torch-area' });
    expect(info.fit).toBe('crop');
    expect(info.sources).toMatchObject({
      tileSize: 'option',
      patchSize: 'option',
      output: 'option',
      numPrefixTokens: 'option',
      fit: 'option',
      preprocess: { mean: 'option', resize: 'option', std: 'configuration' },
    });
    expect(info.notes).toEqual([]);
  });

  test('false ignores the files; another folder replaces them', async () => {
    const path = publish({ model: patchModel(), ...files });
    const ignored = (await load(path, { configuration: false })).info;
    expect(ignored).toMatchObject({ configuration: { files: [] }, fit: 'stretch', sources: { fit: 'default' } });
    const other = repositories.make({ 'preprocessor_config.json': { ...vit, image_mean: [0.7, 0.7, 0.7] } });
    for (const model of [path, patchModel()]) {
      const { info } = await load(model, { configuration: other });
      expect(info.preprocess.mean).toEqual([0.7, 0.7, 0.7]);
      expect(info.configuration.files).toEqual([join(other, 'preprocessor_config.json')]);
    }
  });

  test("extract's own fit over the one that was found", async () => {
    const extractor = await load(publish({ ...files }));
    const [found, cropped, stretched] = await Promise.all(
      [undefined, 'crop' as const, 'stretch' as const].map((fit) => extractor.extract(image, fit && { fit })),
    );
    expect(found?.tensor.data).toEqual(cropped?.tensor.data);
    expect(found?.tensor.data).not.toEqual(stretched?.tensor.data);
  });

  test('a resampling without an equivalent is an error until an option says which', async () => {
    const path = publish({ processor: { ...vit, resample: 0 } });
    await expectCode(() => load(path), 'ERR_MODEL_LOAD', /preprocess\.resize/);
    expect((await load(path, { preprocess: { resize: 'pillow-box' } })).info.preprocess.resize).toBe('pillow-box');
    const carrying = patchModel({ metadata: { 'manyscale.resize': 'torch-area' } });
    const { info } = await load(publish({ model: carrying, processor: { ...vit, resample: 0 } }));
    expect(info.preprocess.resize).toBe('torch-area');
  });
});

describe("the model's own axes", () => {
  test('win over the files, and the contradiction is said', async () => {
    const { info } = await load(publish({ processor: { ...vit, size: 384 } }));
    expect(info.input.tileSize).toEqual({ height: 32, width: 32 });
    expect(info.sources.tileSize).toBe('model');
    expect(info.notes).toEqual([
      "preprocessor_config.json asks for 384 x 384 but the model's input is 32 x 32: tiles are 32 x 32.",
    ]);
  });

  test('one that is fixed and one that is open', async () => {
    const { info } = await load(
      publish({ model: patchModel({ tile: ['height', 48] }), processor: { ...vit, size: 32 } }),
    );
    expect(info.input.tileSize).toEqual({ height: 32, width: 48 });
    expect(info.sources.tileSize).toBe('configuration');
  });

  test('config.json has the size where the processor has none', async () => {
    const { info } = await load(
      publish({ model: open(), processor: { resample: 2 }, architecture: { image_size: 40 } }),
    );
    expect(info.input.tileSize).toEqual({ height: 40, width: 40 });
    expect(info.notes).toContain('The model leaves its input size open: tiles are 40 x 40, as config.json has it.');
  });

  test('open, and nothing says how large: the error says what to give', async () => {
    const path = publish({ model: open(), processor: { resample: 2 } });
    await expectCode(() => load(path), 'ERR_INVALID_ARGUMENT', /tileSize: 224/);
  });

  test('a tile size that is no multiple of the patch size, and that the model fails with', async () => {
    const path = publish({ model: positionedModel(), architecture: { patch_size: 8 } });
    const message = /multiples of the model's patch size, 8, .* 44 x 44 \(from the options\).*give tileSize: 48/s;
    await expectCode(() => load(path, { tileSize: 44 }), 'ERR_MODEL_SHAPE', message);
    await expectCode(() => load(path, { tileSize: [44, 30] }), 'ERR_MODEL_SHAPE', /give tileSize: \[48, 32\]$/);
    // One that the model takes is no error.
    expect((await load(path, { tileSize: 36 })).info.output.grid).toEqual({ height: 4, width: 4 });
  });

  test('a tile size from a file that the model fails with', async () => {
    const path = publish({ model: positionedModel(), processor: { ...vit, size: 64 } });
    await expectCode(() => load(path), 'ERR_MODEL_RUN', /64 x 64 \(from the configuration files\).*trained with$/s);
    expect((await load(path, { tileSize: 32 })).info.output.grid).toEqual({ height: 4, width: 4 });
  });
});

describe('a patch size from config.json', () => {
  test('settles which tokens are prefix', async () => {
    // 5 + 4 tokens: without a patch size they are taken for a grid of 3 x 3.
    const model = patchModel({ prefix: 5, patch: 16 });
    expect((await load(model)).info.output).toMatchObject({ numPrefixTokens: 0, grid: { height: 3, width: 3 } });
    const { info } = await load(publish({ model, architecture: { patch_size: 16, num_register_tokens: 4 } }));
    expect(info.output).toMatchObject({ numPrefixTokens: 5, grid: { height: 2, width: 2 }, patchSize: 16 });
    expect(info.notes.join()).not.toMatch(/register|prefix/);
  });

  test.each([
    [4, 'more cells than tokens'],
    [32, 'one cell, and more prefix tokens than any model has'],
    [5, 'no divisor of the tile'],
    [64, 'larger than the tile'],
  ])('of %i does not fit (%s): the model is read without it', async (patch_size) => {
    const model = patchModel({ prefix: 1, patch: 4, tile: [24, 24] }); // 1 + 36 tokens
    const fits = patch_size === 4;
    const { info } = await load(publish({ model, architecture: { patch_size } }));
    expect(info.output).toMatchObject({ numPrefixTokens: 1, grid: { height: 6, width: 6 } });
    expect(info.sources.patchSize).toBe(fits ? 'configuration' : 'model');
    const note = `config.json has a patch_size of ${patch_size}, but the model gives 37 tokens for a tile of 24 x 24: it is not used.`;
    if (fits) expect(info.notes).not.toContain(note);
    else expect(info.notes).toContain(note);
  });

  test('is another thing in convolutional networks', async () => {
    const { info } = await load(publish({ model: patchModel({ layout: 'bchw' }), architecture: { patch_size: 4 } }));
    expect(info.output).toMatchObject({ layout: 'bchw', grid: { height: 4, width: 4 } });
    expect(info.output.patchSize).toBeUndefined();
    expect(info.notes.join()).not.toMatch(/patch/);
  });

  test('given as an option it must fit', async () => {
    await expectCode(() => load(patchModel(), { patchSize: 4 }), 'ERR_MODEL_SHAPE', /16 tokens for a tile of 32 x 32/);
  });

  test('registers that the tokens contradict are said', async () => {
    const path = publish({ model: patchModel({ prefix: 1 }), architecture: { num_register_tokens: 4 } });
    const { info } = await load(path);
    expect(info.output.numPrefixTokens).toBe(1);
    expect(info.notes).toContain(
      'config.json has num_register_tokens 4 but 1 prefix token were found: give numPrefixTokens if that is wrong.',
    );
  });
});

describe('guesses are said', () => {
  test('of a model that nothing is known of', async () => {
    const { info } = await load(severalOutputsModel());
    expect(info.notes).toEqual([
      'tokens was taken among 2 outputs: the first with a place for every cell of a tile.',
      'Of 17 tokens 1 were taken as prefix tokens, since the rest are a grid of 4 x 4.',
      'Nothing says how images are to be resized: torch-bicubic-antialias was assumed (preprocess.resize).',
      'Nothing says how pixels are to be normalised: mean 0 and std 1 were assumed (preprocess.mean, preprocess.std).',
    ]);
  });

  test('not what was told', async () => {
    const preprocess = { resize: 'torch-area', mean: [0], std: [1] } as const;
    const { info } = await load(severalOutputsModel(), { output: 'tokens', numPrefixTokens: 1, preprocess });
    expect(info.notes).toEqual([]);
  });
});

describe('metadata', () => {
  test('several names of outputs are kept apart', () => {
    expect(readMetadata({ 'manyscale.output': 'a, b' }).outputs).toEqual(['a', 'b']);
  });

  test.each<[key: string, value: string]>([
    ['tileSize', '224x'],
    ['tileSize', '0'],
    ['tileSize', '[224, 224]'],
    ['tileSize', '99999999999999999999'],
    ['patchSize', '0'],
    ['patchSize', '16.5'],
    ['patchSize', ''],
    ['numPrefixTokens', '-1'],
    ['numPrefixTokens', 'one'],
    ['output', ''],
    ['output', 'tokens,'],
    ['output', 'none'],
    ['fit', 'cover'],
    ['rescale', '1,2'],
  ])('%s = %j is an error of the file', async (key, value) => {
    const model = patchModel({ metadata: { [`manyscale.${key}`]: value } });
    await expectCode(
      () => load(model),
      'ERR_MODEL_LOAD',
      new RegExp(`metadata .*manyscale\\.${key}|manyscale\\.${key}`),
    );
  });

  test("a tile size that contradicts the model's own axes", async () => {
    const model = patchModel({ metadata: { 'manyscale.tileSize': '64' } });
    await expectCode(
      () => load(model),
      'ERR_MODEL_LOAD',
      /input size \(32 x 32\) .*manyscale\.tileSize but received 64/,
    );
    expect((await load(patchModel({ metadata: { 'manyscale.tileSize': '32' } }))).info.sources.tileSize).toBe('model');
  });

  test('of a copy that is to be read alike without the files', async () => {
    const path = publish({
      model: open({ prefix: 1 }),
      processor: { image_processor_type: 'BitImageProcessor', crop_size: 32, size: 32 },
      architecture: { patch_size: 8 },
    });
    const { info } = await load(path, { preprocess: { rescale: 1 } });
    const metadata = metadataOf(info);
    expect(metadata).toEqual({
      'manyscale.tileSize': '32x32',
      'manyscale.patchSize': '8',
      'manyscale.fit': 'crop',
      'manyscale.mean': '0.48145466,0.4578275,0.40821073',
      'manyscale.std': '0.26862954,0.26130258,0.27577711',
      'manyscale.resize': 'pillow-bicubic',
    });
    const copy = (await load(open({ prefix: 1, metadata }), { preprocess: { rescale: 1 } })).info;
    expect(copy).toMatchObject({ preprocess: info.preprocess, fit: info.fit, input: info.input, output: info.output });
    expect(metadataOf(copy)).toEqual({});
  });
});

test('files that cannot be are an error of loading, before the model is run', async () => {
  const path = publish({ processor: { ...vit, size: 'large' } });
  await expectCode(() => load(path), 'ERR_MODEL_LOAD', /for size in .*preprocessor_config\.json/);
  expect((await load(path, { configuration: false })).info.configuration).toEqual({ files: [] });
});
