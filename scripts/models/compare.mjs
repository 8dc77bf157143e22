// Prints how far two ONNX models' outputs lie apart on a real photo: one batch of tiles, every output.
//
//   node scripts/models/compare.mjs A.onnx B.onnx PHOTO

import * as ort from 'onnxruntime-node';
import sharp from 'sharp';

const [first, second, photo] = process.argv.slice(2);
if (!first || !second || !photo) {
  console.error('usage: node scripts/models/compare.mjs A.onnx B.onnx PHOTO');
  process.exit(2);
}
// Reading a session's metadata is not part of onnxruntime-node's interface, so both models see the same pixels, scaled to what
// suits either: 0..255 for a model without a normalisation of its own.
const options = { intraOpNumThreads: 1, interOpNumThreads: 1 };
const sessions = [
  await ort.InferenceSession.create(first, options),
  await ort.InferenceSession.create(second, options),
];
const [input] = sessions[0].inputMetadata;
const [channels, height, width] = input.shape.slice(1);
const rows = 2;
const columns = 2;
const pixels = await sharp(photo)
  .removeAlpha()
  .resize(columns * width, rows * height, { fit: 'fill' })
  .raw()
  .toBuffer();

for (const [label, scale, offset] of [
  ['0..255', 1, 0],
  ['about -2..2', 1 / 58, -2.1],
]) {
  const tiles = new Float32Array(rows * columns * channels * height * width);
  let at = 0;
  for (let tile = 0; tile < rows * columns; tile++) {
    const top = Math.floor(tile / columns) * height;
    const left = (tile % columns) * width;
    for (let c = 0; c < channels; c++) {
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          tiles[at++] = pixels[((top + y) * columns * width + left + x) * channels + c] * scale + offset;
        }
      }
    }
  }
  const feeds = { [input.name]: new ort.Tensor('float32', tiles, [rows * columns, channels, height, width]) };
  const results = [await sessions[0].run(feeds), await sessions[1].run(feeds)];
  for (const name of sessions[0].outputNames) {
    const [a, b] = results.map((result) => result[name].data);
    if (a.length !== b.length)
      throw new Error(`${name} has ${a.length} values in one model and ${b.length} in the other`);
    let difference = 0;
    let magnitude = 0;
    for (let i = 0; i < a.length; i++) {
      difference = Math.max(difference, Math.abs(a[i] - b[i]));
      magnitude = Math.max(magnitude, Math.abs(a[i]));
    }
    console.log(
      `pixels ${label}, ${name} ${results[0][name].dims.join(' x ')}: differs by at most ${difference}, values to ${magnitude}`,
    );
  }
}
