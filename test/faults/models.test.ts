// Protects against bad models and runtimes: each gives a clear ManyscaleError that says what the model has and what is
// needed, and the odd ones that can work do.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Extractor, type ExtractorOptions, ManyscaleError } from 'manyscale';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { expectClose } from '../helpers/compare.js';
import { expectManyscaleError } from '../helpers/errors.js';
import {
  failsOnBrightModel,
  type PatchModelOptions,
  patchModel,
  patchWeights,
  pooledModel,
  secretlyFixedBatchModel,
  severalOutputsModel,
  textAndImageModel,
  vectorModel,
} from '../helpers/models.js';
import { photo, repository } from '../helpers/paths.js';
import { makeRandom, makeSeed, randomBytes } from '../helpers/random.js';

const folder = mkdtempSync(join(tmpdir(), 'manyscale-models-'));
const seed = makeSeed();
const image = {
  data: new Uint8Array(40 * 50 * 3).map((_, i) => (i * 31) & 255),
  width: 40,
  height: 50,
  channels: 3 as const,
};
const open: Extractor[] = [];

async function load(model: string | Uint8Array, options?: ExtractorOptions): Promise<Extractor> {
  const extractor = await Extractor.load(model, options);
  open.push(extractor);
  return extractor;
}

async function features(model: string | Uint8Array, options?: ExtractorOptions): Promise<Float32Array> {
  return (await (await load(model, options)).extract(image)).tensor.data as Float32Array;
}

function file(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((extractor) => extractor.dispose()));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('files that are no model', () => {
  test('with a NUL in its path: not the file of the path before it', async () => {
    await expectManyscaleError(() => load(`${file('real.onnx', 'x')}\0.onnx`), 'ERR_MODEL_LOAD', 'check the path');
  });

  test('missing, a folder, empty', async () => {
    const missing = join(folder, 'missing.onnx');
    await expectManyscaleError(() => load(missing), 'ERR_MODEL_LOAD', missing);
    await expectManyscaleError(() => load(folder), 'ERR_MODEL_LOAD', folder);
    await expectManyscaleError(() => load(file('empty.onnx', '')), 'ERR_MODEL_LOAD');
    await expectManyscaleError(() => load(new Uint8Array(0)), ['ERR_MODEL_LOAD', 'ERR_INVALID_ARGUMENT']);
  });

  test('a text, a photo', async () => {
    await expectManyscaleError(() => load(file('text.onnx', 'not a model')), 'ERR_MODEL_LOAD');
    await expectManyscaleError(() => load(photo('temple.jpg')), 'ERR_MODEL_LOAD');
    await expectManyscaleError(() => load(readFileSync(photo('temple.jpg'))), 'ERR_MODEL_LOAD');
  });

  test('a model cut at many places', async () => {
    const bytes = patchModel({ prefix: 1 });
    for (let part = 1; part < 20; part++) {
      const cut = bytes.subarray(0, Math.floor((bytes.length * part) / 20));
      await expectManyscaleError(() => load(cut), ['ERR_MODEL_LOAD', 'ERR_MODEL_SHAPE']);
    }
  });

  test(`random bytes and a model with changed bytes (seed ${seed})`, { timeout: 30_000 }, async () => {
    const random = makeRandom(seed);
    for (let index = 0; index < 20; index++) {
      await expectManyscaleError(
        () => load(randomBytes(random.integer(1, 500), random)),
        ['ERR_MODEL_LOAD', 'ERR_MODEL_SHAPE'],
      );
    }
    const original = patchModel({ prefix: 1 });
    for (let index = 0; index < 60; index++) {
      const bytes = original.slice();
      for (let change = random.integer(1, 4); change > 0; change--)
        bytes[random.integer(0, bytes.length - 1)] = random.integer(0, 255);
      const outcome = await features(bytes).catch((error: unknown) => error);
      if (outcome instanceof Float32Array) continue;
      const what = `seed ${seed}, change ${index}: ${String(outcome)}`;
      expect(outcome, what).toBeInstanceOf(ManyscaleError);
      expect((outcome as ManyscaleError).code, what).toMatch(/^ERR_(MODEL_\w+|INVALID_ARGUMENT|OUT_OF_MEMORY)$/);
    }
  });

  test.each([[undefined], [null], [42], [{}], [[]], [''], [Symbol('model')]])('%s', async (value) => {
    await expectManyscaleError(() => load(value as never), ['ERR_INVALID_ARGUMENT', 'ERR_MODEL_LOAD']);
  });
});

describe('models that are not vision models', () => {
  test('vectors in, vectors out', async () => {
    await expectManyscaleError(() => load(vectorModel()), 'ERR_MODEL_SHAPE', /vector/, /16/);
  });

  test('also wants text, as a CLIP: the error says which input it needs', async () => {
    await expectManyscaleError(() => load(textAndImageModel()), 'ERR_MODEL_SHAPE', /input_ids/);
  });

  test('has no place for cells', async () => {
    await expectManyscaleError(() => load(pooledModel()), 'ERR_MODEL_SHAPE', /pooled/);
  });
});

describe('tile sizes', () => {
  test("contradicting the model's", async () => {
    await expectManyscaleError(
      () => load(patchModel(), { tileSize: 64 }),
      ['ERR_INVALID_ARGUMENT', 'ERR_MODEL_SHAPE'],
      /32/,
      /64/,
    );
    await expectManyscaleError(
      () => load(patchModel(), { tileSize: [32, 40] }),
      ['ERR_INVALID_ARGUMENT', 'ERR_MODEL_SHAPE'],
      /32/,
      /40/,
    );
    await expectManyscaleError(
      () => load(patchModel({ tile: ['height', 48] }), { tileSize: 32 }),
      ['ERR_INVALID_ARGUMENT', 'ERR_MODEL_SHAPE'],
      /48/,
    );
  });

  test("repeating the model's", async () => {
    expectClose(await features(patchModel(), { tileSize: 32 }), await features(patchModel()), 0, 'features');
  });

  test('missing where the model leaves it open', async () => {
    await expectManyscaleError(
      () => load(patchModel({ tile: ['height', 'width'] })),
      ['ERR_INVALID_ARGUMENT', 'ERR_MODEL_SHAPE'],
      /tileSize/,
    );
  });

  test('given where the model leaves it open, also without a square', async () => {
    const model = patchModel({ tile: ['height', 'width'] });
    expectClose(await features(model, { tileSize: 32 }), await features(patchModel()), 1e-6, 'features');
    const wide = await load(model, { tileSize: [16, 40] });
    const { grid, tensor } = await wide.extract(image);
    expect(grid).toEqual({ height: 2, width: 5 });
    expect(tensor.dims).toEqual([10, 12]);
  });

  test('smaller than a patch', async () => {
    await expectManyscaleError(
      () => load(patchModel({ tile: ['height', 'width'] }), { tileSize: 4 }),
      ['ERR_MODEL_RUN', 'ERR_MODEL_SHAPE', 'ERR_INVALID_ARGUMENT'],
    );
  });

  test('absurdly large', async () => {
    for (const tileSize of [2 ** 24, 2 ** 31, 2 ** 40, 2 ** 53 - 1]) {
      await expectManyscaleError(
        () => load(patchModel({ tile: ['height', 'width'] }), { tileSize }),
        ['ERR_PLAN_TOO_LARGE', 'ERR_INVALID_ARGUMENT', 'ERR_OUT_OF_MEMORY', 'ERR_MODEL_RUN', 'ERR_MODEL_SHAPE'],
      );
    }
  });
});

describe('models that are odd but work', () => {
  test('a batch of exactly 1: one tile at a time', async () => {
    const fixed = await features(patchModel({ batch: 1 }), { scales: [1, 2, 3] });
    expectClose(fixed, await features(patchModel(), { scales: [1, 2, 3] }), 1e-6, 'features');
  });

  test('a batch of exactly 4: the last one is filled up', async () => {
    const outcome = await features(patchModel({ batch: 4 }), { scales: [1, 2] }).catch((error: unknown) => error);
    if (outcome instanceof Float32Array)
      expectClose(outcome, await features(patchModel(), { scales: [1, 2] }), 1e-6, 'features');
    else await expectManyscaleError(() => Promise.reject(outcome), 'ERR_MODEL_SHAPE', /batch/, /4/);
  });

  test('a batch of 1 hidden in a model that claims any', async () => {
    const outcome = await features(secretlyFixedBatchModel(), { scales: [1, 2] }).catch((error: unknown) => error);
    const expected = await features(patchModel(), { scales: [1, 2] });
    if (outcome instanceof Float32Array) expectClose(outcome, expected, 1e-6, 'features');
    else await expectManyscaleError(() => Promise.reject(outcome), ['ERR_MODEL_RUN', 'ERR_MODEL_SHAPE']);
    expectClose(
      await features(secretlyFixedBatchModel(), { scales: [1, 2], maxBatch: 1 }),
      expected,
      1e-6,
      'features with maxBatch 1',
    );
  });

  test('weights in a file beside it: by its path', async () => {
    const model = patchModel({ externalWeights: 'weights.bin' });
    const path = file('external.onnx', model);
    await expectManyscaleError(() => load(path), 'ERR_MODEL_LOAD', /weights\.bin/);
    writeFileSync(join(folder, 'weights.bin'), new Uint8Array(patchWeights(6, 8).buffer));
    expectClose(await features(path), await features(patchModel()), 1e-6, 'features');
    await expectManyscaleError(() => load(model), 'ERR_MODEL_LOAD');
  });

  test('weights in a file outside the folder are not read', async () => {
    mkdirSync(join(folder, 'inner'), { recursive: true });
    writeFileSync(join(folder, 'outside.bin'), new Uint8Array(patchWeights(6, 8).buffer));
    const path = join(folder, 'inner', 'escape.onnx');
    writeFileSync(path, patchModel({ externalWeights: '../outside.bin' }));
    await expectManyscaleError(() => load(path), 'ERR_MODEL_LOAD');
  });

  test.each<[string, PatchModelOptions, ExtractorOptions]>([
    ['[n, height, width, 3]', { channelsLast: true }, {}],
    ['float16 pixels', { inputType: 'float16' }, {}],
    // Bytes are not rescaled by default.
    ['uint8 pixels', { inputType: 'uint8' }, { preprocess: { rescale: 1, resize: 'pillow-bicubic' } }],
  ])('%s: the same features', async (_kind, options, load) => {
    expectClose(await features(patchModel(options), load), await features(patchModel(), load), 2e-3, 'features');
  });

  test('CLS and register tokens are found', async () => {
    for (const prefix of [0, 1, 4, 5]) {
      const extractor = await load(patchModel({ prefix }));
      const { numPrefixTokens, tensor, grid } = await extractor.extract(image);
      expect(numPrefixTokens).toBe(prefix);
      expect(grid).toEqual({ height: 4, width: 4 });
      expect(tensor.dims).toEqual([prefix + 16, 12]);
    }
  });

  test('nothing but a feature map', async () => {
    const extractor = await load(patchModel({ layout: 'bchw' }));
    const { numPrefixTokens, tensor } = await extractor.extract(image);
    expect(numPrefixTokens).toBe(0);
    expect(tensor.dims).toEqual([12, 4, 4]);
    await expectManyscaleError(
      async () => (await extractor.extract(image)).vector('cls'),
      'ERR_INVALID_ARGUMENT',
      /prefix|CLS|cls/,
    );
  });

  test('metadata that makes no sense is an error, not a guess', async () => {
    for (const metadata of [
      { 'manyscale.mean': 'grey' },
      { 'manyscale.std': '0,0,0' },
      { 'manyscale.resize': 'best' },
      { 'manyscale.rescale': 'NaN' },
      { 'manyscale.mean': '1,2' },
      { 'manyscale.channelOrder': 'gbr' },
    ]) {
      await expectManyscaleError(
        () => load(patchModel({ metadata })),
        ['ERR_MODEL_SHAPE', 'ERR_MODEL_LOAD', 'ERR_INVALID_ARGUMENT'],
        Object.keys(metadata)[0] as string,
      );
    }
  });
});

describe('outputs', () => {
  test('the first with a place for every cell is taken; each can be named', async () => {
    const tokens = await load(severalOutputsModel());
    expect((await tokens.extract(image)).tensor.dims).toEqual([17, 12]);
    const named = await load(severalOutputsModel(), { output: 'map' });
    expect((await named.extract(image)).tensor.dims).toEqual([12, 4, 4]);
  });

  test('a name that does not exist, or is no text', async () => {
    await expectManyscaleError(
      () => load(severalOutputsModel(), { output: 'logits' }),
      ['ERR_INVALID_ARGUMENT', 'ERR_MODEL_SHAPE'],
      /logits/,
      /tokens/,
      /map/,
    );
    for (const output of [42, {}, [], [42], [['map']], ['map', 'map'], ['map', 'no\0name']]) {
      await expectManyscaleError(
        () => load(severalOutputsModel(), { output: output as never }),
        'ERR_INVALID_ARGUMENT',
        /output/,
      );
    }
  });

  test('joined tokens and maps', async () => {
    await expectManyscaleError(
      () => load(severalOutputsModel(), { output: ['map', 'tokens'] }),
      'ERR_MODEL_SHAPE',
      /map \(a feature map\)/,
      /tokens \(tokens, 1 prefix token\)/,
    );
  });

  test('numPrefixTokens that the tokens contradict', async () => {
    for (const numPrefixTokens of [2, 17, 100]) {
      await expectManyscaleError(
        () => load(patchModel({ prefix: 1 }), { numPrefixTokens }),
        ['ERR_INVALID_ARGUMENT', 'ERR_MODEL_SHAPE'],
        /numPrefixTokens|prefix/,
      );
    }
  });
});

test('a run that fails inside the runtime: ERR_MODEL_RUN for that image alone', async () => {
  const extractor = await load(failsOnBrightModel());
  const dark = { ...image, data: new Uint8Array(40 * 50 * 3) };
  const bright = { ...image, data: new Uint8Array(40 * 50 * 3).fill(200) };
  const before = (await extractor.extract(dark)).tensor.data as Float32Array;
  await expectManyscaleError(() => extractor.extract(bright), 'ERR_MODEL_RUN');
  const after = await extractor.extract(dark);
  expectClose(after.tensor.data as Float32Array, before, 0, 'features after a failed run');
});

/** A shared library that is loaded in every Node.js process that decodes images: not an ONNX Runtime. */
const otherLibrary = (() => {
  const folders = join(repository, 'node_modules/@img');
  const [name] = readdirSync(folders).filter((entry) =>
    entry.startsWith(`sharp-libvips-${process.platform}-${process.arch}`),
  );
  const library = join(folders, name ?? '', 'lib');
  return join(library, readdirSync(library).find((entry) => entry.startsWith('libvips-cpp')) ?? '');
})();

describe('the runtime library', () => {
  test.each([
    ['missing', () => '/nonexistent/libonnxruntime.so'],
    ['a text', () => file('libonnxruntime.so', 'not a library')],
    ['empty', () => file('empty.so', '')],
    ['a folder', () => folder],
    ['another library', () => otherLibrary],
    ['a program', () => process.execPath],
  ])('%s', async (_kind, path) => {
    const runtimeLibrary = path();
    const error = await expectManyscaleError(() => load(patchModel(), { runtimeLibrary }), 'ERR_RUNTIME_UNAVAILABLE');
    expect(error.message).toContain(runtimeLibrary);
    expect(await features(patchModel())).toHaveLength(16 * 12);
  });

  test('a relative path', async () => {
    await expectManyscaleError(
      () => load(patchModel(), { runtimeLibrary: 'libonnxruntime.so' }),
      ['ERR_INVALID_ARGUMENT', 'ERR_RUNTIME_UNAVAILABLE'],
      /absolute/,
    );
  });
});
