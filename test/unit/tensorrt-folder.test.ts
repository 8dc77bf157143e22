// The folder of TensorRT's engines: who may write to it, and which engine is whose.

import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  abandonEngine,
  beginEngine,
  checkFolder,
  defaultFolder,
  finishEngine,
  hasEngine,
  hasEngines,
  openFolder,
} from '../../src/tensorrt/folder.js';
import { type EngineFacts, engineName, fileDigest, modelDigest, profileOptions } from '../../src/tensorrt/key.js';
import { patchModel } from '../helpers/models.js';
import { repository } from '../helpers/paths.js';
import { expectCode } from './rejection.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'manyscale-engines-'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true, force: true });
});

describe('the folder', () => {
  test('lies where caches do', () => {
    vi.stubEnv('XDG_CACHE_HOME', '/var/cache/somebody');
    expect(defaultFolder()).toBe('/var/cache/somebody/manyscale/tensorrt');
    vi.stubEnv('HOME', '/home/somebody');
    for (const ignored of ['', 'relative']) {
      vi.stubEnv('XDG_CACHE_HOME', ignored);
      expect(defaultFolder()).toBe('/home/somebody/.cache/manyscale/tensorrt');
    }
  });

  test('is made for its user alone, whatever the mask', async () => {
    const path = join(root, 'a', 'b');
    const mask = process.umask(0);
    try {
      await openFolder(path);
    } finally {
      process.umask(mask);
    }
    expect(statSync(path).mode & 0o777).toBe(0o700);
    expect(statSync(join(root, 'a')).mode & 0o777).toBe(0o700);
    await openFolder(path);
  });

  test.each([0o770, 0o720, 0o702, 0o777])('is refused with mode %o', async (mode) => {
    chmodSync(root, mode);
    await expectCode(() => openFolder(root), 'ERR_DEVICE_UNAVAILABLE', /others can write to; run: chmod go-w/);
  });

  test('is accepted where others can only read', async () => {
    chmodSync(root, 0o755);
    await openFolder(root);
  });

  test('is refused where it is a link, a file, or below a folder that others can write to', async () => {
    const real = join(root, 'real');
    mkdirSync(real, { mode: 0o700 });
    symlinkSync(real, join(root, 'link'));
    await expectCode(() => openFolder(join(root, 'link')), 'ERR_DEVICE_UNAVAILABLE', /which is a link/);
    writeFileSync(join(root, 'file'), '');
    await expectCode(() => openFolder(join(root, 'file')), 'ERR_DEVICE_UNAVAILABLE', /cannot be made \(EEXIST\)/);
    await expectCode(() => checkFolder(join(root, 'file')), 'ERR_DEVICE_UNAVAILABLE', /which is no folder/);
    const below = join(root, 'open', 'below');
    mkdirSync(below, { recursive: true, mode: 0o700 });
    chmodSync(join(root, 'open'), 0o777);
    await expectCode(() => openFolder(below), 'ERR_DEVICE_UNAVAILABLE', /below '.*open', which others can write to/);
    // Nobody can rename what is not his below a sticky folder.
    chmodSync(join(root, 'open'), 0o1777);
    await openFolder(below);
  });

  test('is refused where it belongs to somebody else', async () => {
    vi.spyOn(process, 'getuid').mockReturnValue(12345);
    try {
      await expectCode(
        () => openFolder(root),
        'ERR_DEVICE_UNAVAILABLE',
        /belongs to user \d+ while this process runs as 12345/,
      );
    } finally {
      vi.restoreAllMocks();
    }
  });
});

describe('engines in it', () => {
  const facts = { gpu: 'Some GPU' };

  test('are there when their build came to its end', async () => {
    const folder = join(root, 'engine');
    expect(await hasEngine(folder)).toBe(false);
    expect(await hasEngines(root)).toBe(false);
    expect(await hasEngines(join(root, 'nowhere'))).toBe(false);
    const building = await beginEngine(root);
    expect(statSync(building).mode & 0o777).toBe(0o700);
    expect(await hasEngines(root)).toBe(false);
    writeFileSync(join(building, 'a.engine'), 'machine code');
    await finishEngine(building, folder, facts);
    expect(await hasEngine(folder)).toBe(true);
    expect(await hasEngines(root)).toBe(true);
    expect(readdirSync(root)).toEqual(['engine']);
    expect(JSON.parse(readFileSync(join(folder, 'engine.json'), 'utf8'))).toEqual(facts);
    expect(readFileSync(join(folder, 'a.engine'), 'utf8')).toBe('machine code');
  });

  test('of two builds of one the first stays, and what was half removed is replaced', async () => {
    const folder = join(root, 'engine');
    const [first, second] = [await beginEngine(root), await beginEngine(root)];
    writeFileSync(join(first, 'a.engine'), 'first');
    writeFileSync(join(second, 'a.engine'), 'second');
    await finishEngine(first, folder, facts);
    await finishEngine(second, folder, facts);
    expect(readFileSync(join(folder, 'a.engine'), 'utf8')).toBe('first');
    expect(readdirSync(root)).toEqual(['engine']);

    rmSync(join(folder, 'engine.json'));
    expect(await hasEngine(folder)).toBe(false);
    const third = await beginEngine(root);
    writeFileSync(join(third, 'a.engine'), 'third');
    await finishEngine(third, folder, facts);
    expect(readFileSync(join(folder, 'a.engine'), 'utf8')).toBe('third');
  });

  test('that others could have written are refused', async () => {
    const folder = join(root, 'engine');
    await finishEngine(await beginEngine(root), folder, facts);
    chmodSync(folder, 0o777);
    await expectCode(() => hasEngine(folder), 'ERR_DEVICE_UNAVAILABLE', /others can write to/);
  });

  test('that were abandoned go: at once, or a day after their process did', async () => {
    const building = await beginEngine(root);
    await abandonEngine(building);
    expect(existsSync(building)).toBe(false);
    const [old, young] = [await beginEngine(root), await beginEngine(root)];
    const yesterday = Date.now() / 1000 - 25 * 60 * 60;
    utimesSync(old, yesterday, yesterday);
    await beginEngine(root);
    expect([existsSync(old), existsSync(young)]).toEqual([false, true]);
  });
});

describe('the key', () => {
  const facts: EngineFacts = {
    gpu: 'NVIDIA H100 80GB HBM3',
    computeCapability: '9.0',
    tensorrt: '10.3.0',
    onnxruntime: '1.20.1',
    model: 'aa',
    calibration: '',
    options: { trt_fp16_enable: '1', trt_profile_max_shapes: 'x:8x3x224x224' },
  };

  test('is a name for a folder, the same for the same facts in any order', () => {
    const name = engineName(facts);
    expect(name).toMatch(/^NVIDIA-H100-80GB-HBM3-9\.0-[0-9a-f]{32}$/);
    const options = Object.fromEntries(Object.entries(facts.options).reverse());
    expect(engineName({ ...facts, options })).toBe(name);
    expect(engineName({ ...facts, gpu: '../../etc' })).not.toContain('/');
  });

  test('changes with every fact', () => {
    const others: EngineFacts[] = [
      facts,
      { ...facts, gpu: 'Orin' },
      { ...facts, computeCapability: '8.7' },
      { ...facts, tensorrt: '10.3.1' },
      { ...facts, onnxruntime: '1.20.0' },
      { ...facts, model: 'ab' },
      { ...facts, calibration: 'a' },
      { ...facts, options: {} },
      { ...facts, options: { ...facts.options, trt_fp16_enable: '0' } },
      { ...facts, options: { ...facts.options, trt_profile_max_shapes: 'x:16x3x224x224' } },
    ];
    expect(new Set(others.map(engineName)).size).toBe(others.length);
  });

  test('has the profile of the batches that are run', () => {
    const profile = { input: 'pixels', dims: [3, 224, 224], batches: () => [1, 4, 16] };
    expect(profileOptions(profile, true)).toEqual({
      trt_profile_min_shapes: 'pixels:1x3x224x224',
      trt_profile_opt_shapes: 'pixels:16x3x224x224',
      trt_profile_max_shapes: 'pixels:16x3x224x224',
    });
    expect(profileOptions(profile, false)).toEqual({});
  });

  test('has the content of the model, not its place', async () => {
    const model = join(repository, 'test/models/vit_emoji_96.onnx');
    const copy = join(root, 'copy.onnx');
    const bytes = readFileSync(model);
    writeFileSync(copy, bytes);
    const digest = await modelDigest(model);
    expect(await modelDigest(copy)).toBe(digest);
    expect(await modelDigest(bytes)).toBe(digest);
    bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) ^ 1;
    expect(await modelDigest(bytes)).not.toBe(digest);
  });

  test('has the files of values beside the model', async () => {
    const model = join(root, 'model.onnx');
    writeFileSync(model, patchModel({ externalWeights: 'values.bin' }));
    writeFileSync(join(root, 'values.bin'), 'values');
    const digest = await modelDigest(model);
    expect(await modelDigest(model)).toBe(digest);
    utimesSync(join(root, 'values.bin'), 1, 1);
    expect(await modelDigest(model)).not.toBe(digest);
  });

  test('has the calibration table', async () => {
    writeFileSync(join(root, 'a'), 'ranges');
    writeFileSync(join(root, 'b'), 'other ranges');
    expect(await fileDigest(join(root, 'a'), 'x')).not.toBe(await fileDigest(join(root, 'b'), 'x'));
    const missing = () => fileDigest(join(root, 'c'), 'tensorrt.calibrationTable');
    await expectCode(missing, 'ERR_INVALID_ARGUMENT', /for tensorrt\.calibrationTable but received .* \(ENOENT\)/);
  });
});
