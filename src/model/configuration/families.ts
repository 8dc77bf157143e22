// What Hugging Face's image processors do where their files say nothing: the defaults of their classes.

export interface Family {
  /** Pillow's number of the filter. */
  resample: number;
  /** Absent: the processor gives sequences of patches, of no one size. */
  size?: number;
  /** Side of the square that is cut from the middle of the resized image; absent: nothing is cut. */
  crop?: number;
  mean: readonly number[];
  std: readonly number[];
  /** Resized as float tensors by PyTorch, after rescaling, instead of as bytes by Pillow. */
  isTensor?: true;
  /** Below this size the image is resized to size / portion and a square of `size` is cut from its middle. */
  cropBelow?: { size: number; portion: number };
}

const CLIP_COLOURS = {
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
};
const IMAGENET_COLOURS = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const HALVES = { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };

const BILINEAR = 2;
const BICUBIC = 3;

const FAMILIES: ReadonlyMap<string, Family> = new Map([
  ['CLIP', { resample: BICUBIC, size: 224, crop: 224, ...CLIP_COLOURS }],
  ['Bit', { resample: BICUBIC, size: 224, crop: 224, ...CLIP_COLOURS }],
  ['Siglip', { resample: BICUBIC, size: 224, ...HALVES }],
  ['Siglip2', { resample: BILINEAR, ...HALVES }],
  ['ViT', { resample: BILINEAR, size: 224, ...HALVES }],
  ['DeiT', { resample: BICUBIC, size: 256, crop: 224, ...HALVES }],
  ['DINOv3ViT', { resample: BILINEAR, size: 224, ...IMAGENET_COLOURS, isTensor: true }],
  ['ConvNext', { resample: BILINEAR, size: 384, ...HALVES, cropBelow: { size: 384, portion: 224 / 256 } }],
]);

/** 'CLIPImageProcessorFast' -> CLIP's; undefined: of another family. */
export function findFamily(type: string): Family | undefined {
  const [, name = ''] = /^(\w+?)(?:ImageProcessor|FeatureExtractor)(?:Fast|Pil)?$/.exec(type) ?? [];
  return FAMILIES.get(name);
}
