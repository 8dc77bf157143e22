// Options of GPUs: what they become for ONNX Runtime, and what is refused.

import { describe, expect, test } from 'vitest';
import { checkExtractorOptions } from '../../src/options/extractor.js';
import { checkDevice } from '../../src/options/gpu.js';
import type { ExtractorOptions } from '../../src/options/options.js';
import { expectCode } from './rejection.js';

const of = (options: ExtractorOptions) => checkExtractorOptions(options).device;

describe('devices and providers', () => {
  test('what a device means', () => {
    expect(of({ device: 'cpu' })).toMatchObject({ kind: 'cpu', ordinals: [0], strict: false });
    expect(of({ device: 'cuda', devices: [1, 0], strict: true })).toMatchObject({
      kind: 'cuda',
      ordinals: [1, 0],
      strict: true,
      asked: "device 'cuda'",
    });
    expect(of({ device: 'cuda' }).provider).toBeUndefined();
    expect(of({ device: 'cuda', provider: 'cpu' })).toMatchObject({
      kind: 'cuda',
      provider: 'cpu',
      asked: "device 'cuda' with provider 'cpu'",
    });
    expect(of({ device: 'tensorrt' })).toMatchObject({
      kind: 'cuda',
      provider: 'tensorrt',
      asked: "device 'tensorrt'",
    });
  });

  test.each<[ExtractorOptions, RegExp]>([
    [{ provider: 'cuda' }, /device: 'cuda' beside it for provider but received 'cuda' .*device is 'auto'/],
    [{ device: 'cpu', provider: 'cpu' }, /device is 'cpu'/],
    [{ device: 'cuda', provider: 'directml' as never }, /one of 'cpu', 'cuda', 'tensorrt' for provider/],
    [{ devices: [] }, /an array of at least one GPU number for devices/],
    [{ devices: [0, 0] }, /each GPU once for devices/],
    [{ devices: [-1] }, /at least 0 for a GPU of devices/],
    [{ devices: 0 as never }, /for devices/],
    [{ onProgress: true as never }, /a function for onProgress/],
    [{ onprogress: () => {} } as never, /known names \('onProgress'\)/],
  ])('refuses %o', async (options, message) => {
    await expectCode(() => of(options), 'ERR_INVALID_ARGUMENT', message);
  });
});

describe('options of CUDA', () => {
  test("become ONNX Runtime's", () => {
    const cuda = {
      memoryLimit: 2 ** 31,
      tf32: true,
      graphs: false,
      convAlgorithmSearch: 'exhaustive' as const,
      options: { cudnn_conv_use_max_workspace: '0' },
    };
    expect(of({ cuda }).cuda).toEqual({
      gpu_mem_limit: '2147483648',
      use_tf32: '1',
      enable_cuda_graph: '0',
      cudnn_conv_algo_search: 'EXHAUSTIVE',
      cudnn_conv_use_max_workspace: '0',
    });
  });

  test.each<[unknown, RegExp]>([
    [{ memoryLimit: 0 }, /at least 1 for cuda\.memoryLimit/],
    [{ tf32: 1 }, /true or false for cuda\.tf32/],
    [{ convAlgorithmSearch: 'HEURISTIC' }, /one of 'heuristic', 'exhaustive', 'default' for cuda\.convAlgorithmSearch/],
    [{ memory_limit: 1 }, /'memoryLimit' for a name in cuda but received 'memory_limit'/],
    [{ fp16: true }, /one of memoryLimit, tf32, .* for a name in cuda/],
    [{ options: { device_id: '1' } }, /without names of their own for cuda\.options but received 'device_id'/],
    [{ options: { user_compute_stream: '1' } }, /'user_compute_stream'/],
    [{ tf32: true, options: { use_tf32: '0' } }, /'use_tf32'/],
    [{ options: { a: 1 } }, /a string, not empty and without NUL, for cuda\.options\.a/],
    [{ options: ['a'] }, /an object of strings for cuda\.options/],
    [5, /an object for cuda/],
  ])('refuse %o', async (cuda, message) => {
    await expectCode(() => checkDevice({ cuda }), 'ERR_INVALID_ARGUMENT', message);
  });
});

describe('options of TensorRT', () => {
  test("become ONNX Runtime's, without what depends on the model", () => {
    const checked = of({
      tensorrt: {
        fp16: true,
        int8: true,
        calibrationTable: 'table',
        workspace: 1024,
        optimizationLevel: 5,
        engineCache: '/var/cache/engines',
        buildTimeout: 60_000,
        options: { trt_sparsity_enable: '1' },
      },
    });
    expect(checked.tensorrt).toEqual({
      trt_fp16_enable: '1',
      trt_int8_enable: '1',
      trt_max_workspace_size: '1024',
      trt_builder_optimization_level: '5',
      trt_sparsity_enable: '1',
    });
    expect(checked).toMatchObject({
      calibrationTable: 'table',
      engineCache: '/var/cache/engines',
      buildTimeout: 60_000,
    });
  });

  test.each<[unknown, RegExp]>([
    [{ calibrationTable: 'table' }, /int8: true beside it for tensorrt\.calibrationTable/],
    [{ optimizationLevel: 6 }, /an integer from 0 to 5 for tensorrt\.optimizationLevel/],
    [{ engineCache: 'engines' }, /an absolute path for tensorrt\.engineCache/],
    [{ buildTimeout: 0 }, /above 0, to 2147483647/],
    [{ buildTimeout: Number.NaN }, /a finite number for tensorrt\.buildTimeout/],
    [{ options: { trt_engine_cache_path: '/tmp' } }, /'trt_engine_cache_path'/],
    [{ options: { trt_profile_max_shapes: 'x:1' } }, /'trt_profile_max_shapes'/],
    [{ fp_16: true }, /'fp16' for a name in tensorrt but received 'fp_16'/],
  ])('refuse %o', async (tensorrt, message) => {
    await expectCode(() => checkDevice({ tensorrt }), 'ERR_INVALID_ARGUMENT', message);
  });
});
