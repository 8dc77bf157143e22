import { fileURLToPath } from 'node:url';

/** Absolute path of the embedded model: a COCO-trained MobileNetV3 backbone for 224 x 224 tiles (models/README.md). */
export const defaultModel: string = fileURLToPath(
  new URL('../../models/mobilenetv3_coco_backbone_224.onnx', import.meta.url),
);
