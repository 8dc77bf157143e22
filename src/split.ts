// split: image + plan -> one tile batch per scale.

import { invalid } from './errors.js';
import { openPlan, type Plan } from './geometry/plan.js';
import { type ImageDataLike, type RawImage, recognisePixels, type SharpOutput } from './images/image.js';
import type { NativeImage, NativePlan, NativeScale, NativeSplitRequest } from './native/addon.js';
import { runSplit } from './native/calls.js';
import { DEFAULTS, IMAGE_CHANNELS } from './options/defaults.js';
import type { SplitOptions } from './options/options.js';
import { checkBackground, checkPreprocess, fillPreprocess } from './options/preprocess.js';
import { checkOptions } from './options/values.js';
import { checkFloatTensor, type FloatTensor, isTensorLike, isUnstable, Tensor, type TensorLike } from './tensor.js';

/** A float tensor [batch, channels, height, width] as native code takes it. */
export function floatImage(tensor: FloatTensor): NativeImage {
  const [batch = 0, channels = 0, height = 0, width = 0] = tensor.dims;
  const unstable = isUnstable(tensor.data);
  return {
    data: unstable ? new Float32Array(tensor.data) : tensor.data,
    owned: unstable,
    batch,
    channels,
    height,
    width,
    stride: 0,
  };
}

/** What the PyTorch wrapper does with a tensor: it resizes it and changes nothing else. */
export const RESIZE_ONLY = fillPreprocess({ rescale: 1, resize: 'torch-bicubic' }, 'float32', [...DEFAULTS.background]);

/** What an image is made into first where its plan says so (`via`): the request for that one tile. */
export function requestVia(request: NativeSplitRequest, via: NativeScale): NativeSplitRequest {
  return { ...request, plan: { image: request.plan.image, scales: [via], outputIndex: 0 }, joined: true };
}

/** The tile that requestVia() gave, as the image of the plan's scales. */
export function imageVia(data: Float32Array, batch: number, channels: number, via: NativeScale): NativeImage {
  return { data, owned: true, batch, channels, height: via.height, width: via.width, stride: 0 };
}

/** The plan of the scales, which are made of that tile. */
export function planVia({ scales, outputIndex }: NativePlan, { height, width }: NativeScale): NativePlan {
  return { image: { height, width }, scales, outputIndex };
}

/** Whether all tiles of a plan have one shape, so that one batch can hold them. */
export function hasOneTileShape(plan: NativePlan): boolean {
  const [first] = plan.scales;
  return plan.scales.every((scale) => scale.tileHeight === first?.tileHeight && scale.tileWidth === first.tileWidth);
}

/**
 * Resizes, normalises and cuts an image: one float32 tile batch [tiles * B, C, tileHeight, tileWidth] per scale of the
 * plan, row (row * columns + column) * B + image. Pixels give C = 3 and B = 1, a tensor [B, C, H, W] keeps its own.
 * The image is copied before the call returns.
 * @throws {ManyscaleError} ERR_INVALID_ARGUMENT (also when the image is not of the plan's size), ERR_PLAN_TOO_LARGE,
 * ERR_OUT_OF_MEMORY.
 */
export async function split(
  image: RawImage | ImageDataLike | SharpOutput | TensorLike,
  plan: Plan,
  preprocess?: SplitOptions,
): Promise<Tensor[]> {
  const { native, crop } = openPlan(plan);
  const options = checkOptions(preprocess, 'preprocess');
  const background = checkBackground(options.background);
  const isTensor = isTensorLike(image);
  const source = isTensor
    ? floatImage(checkFloatTensor(image, 'the image of split', [['batch', 'channels', 'height', 'width']]))
    : recognisePixels(image);
  if (source.height !== native.image.height || source.width !== native.image.width) {
    throw invalid(
      `an image of the plan's size (${native.image.height} x ${native.image.width})`,
      'split',
      [source.height, source.width],
      'make a plan for this size',
    );
  }
  const channels = isTensor ? source.channels : IMAGE_CHANNELS;
  const given = checkPreprocess(options, channels);
  const batches = await splitImage(
    {
      image: source,
      plan: native,
      ...(crop && { crop }),
      preprocess: fillPreprocess(given, isTensor ? 'float32' : 'uint8', background),
      joined: false,
    },
    channels,
  );
  return batches.map((data, index) => {
    const scale = native.scales[index];
    if (!scale) throw new RangeError('more tile batches than scales');
    return new Tensor('float32', data, [
      scale.rows * scale.columns * source.batch,
      channels,
      scale.tileHeight,
      scale.tileWidth,
    ]);
  });
}

/** `channels`: of the tiles. */
async function splitImage(request: NativeSplitRequest, channels: number): Promise<Float32Array[]> {
  const { image, plan } = request;
  const { via } = plan;
  if (!via) return runSplit(request);
  const [data] = await runSplit(requestVia(request, via));
  if (!data) throw new RangeError('a split without a tile');
  return runSplit({
    image: imageVia(data, image.batch, channels, via),
    plan: planVia(plan, via),
    preprocess: RESIZE_ONLY,
    joined: false,
  });
}
