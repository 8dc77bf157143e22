// Multi-scale features with a model of your own: any async function from tiles to features. Here it is an ONNX model run with
// onnxruntime-node; it could as well be a call to a server.
//   node examples/multiscale-forward.mjs [PHOTO]
import { fileURLToPath } from 'node:url';
import { defaultModel, multiscaleForward, Tensor } from 'manyscale';
import ort from 'onnxruntime-node';
import sharp from 'sharp';

const photo = process.argv[2] ?? fileURLToPath(new URL('photos/temple.jpg', import.meta.url));
const session = await ort.InferenceSession.create(defaultModel);

/** float32 [n, 3, 224, 224] -> float32 [n, 88, 14, 14] */
async function model(tiles) {
  const { feat_s16: features } = await session.run({ pixel_values: tiles });
  return features;
}

// The input as the model wants it: this one takes 0 to 255, red, green and blue planes. Scales are relative to it.
const side = 448;
const pixels = await sharp(photo).resize(side, side, { fit: 'fill' }).removeAlpha().raw().toBuffer();
const planes = Float32Array.from(
  { length: 3 * side * side },
  (_, i) => pixels[(i % (side * side)) * 3 + Math.floor(i / (side * side))],
);
const input = new Tensor('float32', planes, [1, 3, side, side]);

const features = await multiscaleForward(model, input, { scales: [0.5, 1], maxSplitSize: 224, outputShape: 'bchw' });
console.log(`${input.dims.join(' x ')} pixels at scales 0.5 and 1 -> ${features.dims.join(' x ')} features`);
