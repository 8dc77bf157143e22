// config.json: what a model is made of.

import type { NativeSize } from '../../native/addon.js';
import type { Fields } from './fields.js';

export interface ArchitectureConfiguration {
  /** As the file has it. */
  modelType?: string;
  imageSize?: NativeSize;
  patchSize?: number;
  numRegisterTokens?: number;
  notes: string[];
}

/** @throws {ManyscaleError} ERR_MODEL_LOAD for values that a model cannot have. */
export function readArchitecture(fields: Fields): ArchitectureConfiguration {
  const notes: string[] = [];
  // Of models of images and text the half that sees.
  const vision = fields.object('vision_config') ?? fields;
  const modelType = fields.text('model_type');
  const imageSize = vision.size('image_size');
  if (imageSize === 'unknown')
    notes.push(`${fields.name} has an image_size that is no height and width: it is not used.`);
  const patch = vision.size('patch_size');
  const isSquare = typeof patch === 'object' && patch.height === patch.width;
  if (patch !== undefined && !isSquare)
    notes.push(`${fields.name} has a patch_size that is not square: it is not used.`);
  const numRegisterTokens = vision.integer('num_register_tokens', 0);
  return {
    ...(modelType !== undefined && { modelType }),
    ...(typeof imageSize === 'object' && { imageSize: { height: imageSize.height, width: imageSize.width } }),
    ...(isSquare && { patchSize: patch.height }),
    ...(numRegisterTokens !== undefined && { numRegisterTokens }),
    notes,
  };
}
