// sharp, which decodes images, loaded at the first image: pixels and tensors never need it. None of its process-wide
// settings is touched.

import { imageError, reason } from './image-errors.js';

let loading: Promise<typeof import('sharp')> | undefined;

export async function loadSharp(): Promise<typeof import('sharp').default> {
  loading ??= import('sharp');
  try {
    return (await loading).default;
  } catch (cause) {
    loading = undefined; // it may have been installed by the next call
    const received = `an error while loading it (${reason(cause)})`;
    const advice = 'run npm install sharp, or give pixels (RawImage)';
    throw imageError('ERR_IMAGE_UNSUPPORTED', 'the package sharp', 'decoding images', received, advice, cause);
  }
}
