// The public types, as programs use them: this file only has to compile. Lines after @ts-expect-error must not.
import {
  defaultModel,
  type ErrorCode,
  type Estimate,
  Extractor,
  type ExtractorOptions,
  type ExtractorStats,
  type ExtractResult,
  type Features,
  type Gpu,
  type ImageInput,
  type Latency,
  type LoadProgress,
  ManyscaleError,
  multiscaleForward,
  type Plan,
  type Preprocess,
  type Provider,
  plan,
  pool,
  type RawImage,
  type ScaleOptions,
  split,
  Tensor,
} from 'manyscale';
import * as ort from 'onnxruntime-node';
import sharp from 'sharp';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(_: Equal<A, B>): void {}

export const gpu: ExtractorOptions = {
  device: 'cuda',
  provider: 'cuda',
  devices: [0, 1],
  strict: true,
  cuda: { memoryLimit: 2 ** 32, tf32: false, graphs: true, convAlgorithmSearch: 'heuristic', options: { a: 'b' } },
  tensorrt: { fp16: true, int8: false, workspace: 2 ** 30, optimizationLevel: 3, engineCache: '/a', buildTimeout: 1 },
  onProgress: ({ step, state, message, elapsed }: LoadProgress) => {
    same<typeof step, 'tensorrt-engine'>(true);
    same<typeof state, 'started' | 'running' | 'done'>(true);
    void [message.length, elapsed.toFixed()];
  },
};
// @ts-expect-error GPUs have numbers
export const named: ExtractorOptions = { devices: ['gpu'] };

export async function whole(signal: AbortSignal): Promise<void> {
  await using extractor = await Extractor.load(defaultModel, {
    scales: [1, 2, 3],
    tileSize: [224, 224],
    preprocess: { mean: [0.5], resize: 'pillow-bicubic', channelOrder: 'bgr' },
    configuration: './published',
    device: 'auto',
    background: [255, 255, 255],
    fit: 'crop',
    signal,
  });
  const features = await extractor.extract('photo.jpg', { scales: [1], fit: 'stretch', signal });
  same<typeof features, Features>(true);
  same<ReturnType<typeof features.vector>, Float32Array>(true);
  features.vector('cls');
  // @ts-expect-error no such vector
  features.vector('max');
  const [from, to]: readonly [number, number] = features.scales[0]?.channels ?? [0, 0];
  const total: number = features.timings.total + from + to + features.grid.height + features.numPrefixTokens;
  const tensor: Tensor = features.tensor;
  const dims: readonly number[] = tensor.dims;

  const planned = extractor.plan({ height: 480, width: 640 });
  const asPlan: Plan = planned;
  const grid: number = planned.grid.height + (planned.grids[0]?.width ?? 0) + total + (dims[0] ?? 0);
  const tiles = await split(
    { data: new Uint8Array(12), width: 2, height: 2, channels: 3 },
    asPlan,
    extractor.info.preprocess,
  );
  await pool(tiles, planned, { numPrefixTokens: grid, outputShape: 'bchw', resizeOutputToIndex: -1 });
  // @ts-expect-error a plan is frozen
  asPlan.image.height = 3;
  const { device, provider, gpus, unavailable } = extractor.info;
  same<typeof device, 'cpu' | 'cuda'>(true);
  same<typeof provider, Provider>(true);
  const there: readonly Gpu[] = [...gpus, ...extractor.stats().placement.gpus];
  const why: string | undefined = unavailable[there[0]?.name ?? 'cuda'];
  const { configuration, notes, sources: origins, fit } = extractor.info;
  same<typeof origins.patchSize, 'option' | 'metadata' | 'model' | 'configuration' | 'preset' | 'default'>(true);
  const said: string = [...notes, ...configuration.files, configuration.processor ?? fit, why].join();
  // @ts-expect-error info is frozen
  extractor.info.device = 'cuda';

  for await (const result of extractor.extractMany(['a.png', Buffer.from('')], { ordered: false })) {
    if ('error' in result) same<typeof result.error, ManyscaleError>(true);
    else same<typeof result.features, Features>(true);
  }
  const many = extractor.extractMany(sources(), { scales: [1, 2], signal });
  same<typeof many, AsyncGenerator<ExtractResult, void, void>>(true);
  const contract: AsyncGenerator<{ index: number; features: Features } | { index: number; error: ManyscaleError }> =
    many;
  await contract.return(undefined);
  // @ts-expect-error an image is no source of images
  extractor.extractMany(42);

  const stats: ExtractorStats = extractor.stats();
  const latency: Latency = stats.latency.total;
  const facts: number = latency.p99 + stats.images.waiting + stats.batches.fill + stats.bytes.limit;
  // @ts-expect-error statistics are frozen
  stats.images.done = facts + said.length;
  const invariant: boolean = extractor.info.batchInvariant && extractor.info.batching.fixed;
  if (invariant) await extractor.dispose();
}

async function* sources(): AsyncGenerator<ImageInput> {
  yield 'a.jpg';
}

export async function anyModel(session: ort.InferenceSession, input: Tensor): Promise<Tensor> {
  const options: ScaleOptions & { splitForward?: boolean; signal?: AbortSignal } = {
    scales: [1, 2],
    maxSplitSize: 224,
  };
  // With onnxruntime-node, whose tensors are the same.
  const features = await multiscaleForward(
    async (tiles) => {
      const results = await session.run({ x: new ort.Tensor('float32', tiles.data as Float32Array, tiles.dims) });
      return results['y'] as ort.Tensor;
    },
    input,
    options,
  );
  same<typeof features, Tensor>(true);
  // A plain object is a tensor too, and a model may be synchronous.
  await multiscaleForward(
    (tiles) => ({ type: 'float32', dims: [1, 4, 8], data: new Float32Array(tiles.dims[0] ?? 0) }),
    input,
    { imageSizes: [32, [64, 96]] },
  );
  // @ts-expect-error a model returns a tensor
  await multiscaleForward(() => 1, input, options);
  // @ts-expect-error scales are numbers
  await multiscaleForward((tiles) => tiles, input, { scales: ['1'] });
  return features;
}

export async function everyImage(): Promise<ImageInput[]> {
  const raw: RawImage = { data: new Uint8Array(4), width: 1, height: 1, channels: 4, stride: 4 };
  const decoded = await sharp('photo.jpg').raw().toBuffer({ resolveWithObject: true });
  // @ts-expect-error images have 1, 3 or 4 channels
  const two: RawImage = { data: new Uint8Array(2), width: 1, height: 1, channels: 2 };
  const imageData = { data: new Uint8ClampedArray(4), width: 1, height: 1, colorSpace: 'srgb' };
  return [
    'a.jpg',
    new URL('file:///a.jpg'),
    new Blob([]),
    new Uint8Array(),
    Buffer.alloc(0),
    new ArrayBuffer(0),
    raw,
    decoded,
    imageData,
    two,
  ];
}

export function parts(): void {
  const geometry = plan({ height: 224, width: 224 }, { scales: [1, 2], outputShape: 'bnc', numPrefixTokens: 1 });
  same<typeof geometry, Plan>(true);
  const tiles: number = geometry.scales.reduce(
    (sum, { rows, columns, tileHeight, tileWidth }) => sum + rows * columns * tileHeight * tileWidth,
    0,
  );
  // @ts-expect-error another layout
  plan({ height: 224, width: tiles }, { scales: [1], outputShape: 'nchw' });
  const preprocess: Preprocess = {
    mean: [0, 0, 0],
    std: [1, 1, 1],
    rescale: 1 / 255,
    resize: 'torch-area',
    channelOrder: 'rgb',
  };
  const options: ExtractorOptions = {
    preprocess,
    output: 'feat',
    dtype: 'float16',
    maxBatch: 4,
    maxDelay: 0.5,
    maxBytes: 2 ** 30,
    deterministic: true,
    fastDecode: true,
    preset: 'anyres',
    maxTiles: 1,
    overlap: 0.1,
  };
  // @ts-expect-error another mode
  const wrong: Preprocess = { resize: 'lanczos' };
  const error = new ManyscaleError('ERR_BUSY', 'busy', { cause: [options, wrong] });
  same<typeof error.code, ErrorCode>(true);
  new Tensor('float32', new Float32Array(1), [1]);
}

export async function costs(extractor: Extractor, signal: AbortSignal): Promise<void> {
  const estimate = await extractor.estimate(
    { height: 3000, width: 4000 },
    { scales: [1, 2], fit: 'crop', budget: { milliseconds: 200, bytes: 2 ** 30 }, signal },
  );
  same<typeof estimate, Estimate>(true);
  // The count is absent where the graph cannot be read.
  same<typeof estimate.multiplyAdds, number | undefined>(true);
  await extractor.extract('photo.jpg', { ...estimate.options, signal });
  const sides = estimate.gaveUp.flatMap((one) => (one.what === 'imageSize' ? [one.from.height] : []));
  same<typeof sides, number[]>(true);
  // @ts-expect-error no such limit
  await extractor.estimate({ height: 1, width: 1 }, { budget: { seconds: 1 } });
}
