// Stores a model's float32 weights as float16, which halves the file. Each weight keeps its name: it becomes the output of a Cast
// from a float16 initializer, and ONNX Runtime folds that Cast when it loads the model, so that nothing else changes: not the
// arithmetic (float32), the inputs and outputs, the opset or the metadata. Prints what the rounding cost.
//
//   node scripts/models/halve-weights.mjs IN.onnx OUT.onnx

import { readFileSync, writeFileSync } from 'node:fs';
import { create } from '@bufbuild/protobuf';
import { makeNode } from '../../dist/onnx/build.js';
import { decodeModel, encodeModel } from '../../dist/onnx/codec.js';
import { ELEMENT_TYPES, schema } from '../../dist/onnx/schema.js';
import { elementsOf, readFloats } from '../../dist/onnx/tensor.js';

const { float32: FLOAT, float16: FLOAT16 } = ELEMENT_TYPES;
// Biases and constants smaller than this are left alone: they save nothing and may carry meaning to the last bit.
const MIN_ELEMENTS = 64;
const MAX_HALF = 65504;

const view = new DataView(new ArrayBuffer(4));

/** IEEE 754 binary32 to binary16 bits, to nearest, ties to even. |value| is at most MAX_HALF. */
function toHalf(value) {
  view.setFloat32(0, value);
  const bits = view.getUint32(0);
  const sign = (bits >>> 16) & 0x8000;
  const exponent = ((bits >>> 23) & 0xff) - 127;
  const fraction = bits & 0x7fffff;
  if (exponent < -25) return sign;
  // Below 2^-14 a half is subnormal: the implicit one becomes explicit and the shift grows. A carry out of the fraction moves into
  // the exponent by itself.
  const subnormal = exponent < -14;
  const shift = subnormal ? -1 - exponent : 13;
  const whole = subnormal ? fraction | 0x800000 : fraction | ((exponent + 15) << 23);
  const kept = whole >>> shift;
  const rest = whole & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return sign | (kept + (rest > half || (rest === half && kept & 1) ? 1 : 0));
}

/** IEEE 754 binary16 bits to a number. */
function fromHalf(bits) {
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  const magnitude = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return bits & 0x8000 ? -magnitude : magnitude;
}

const [source, target] = process.argv.slice(2);
if (!source || !target) {
  console.error('usage: node scripts/models/halve-weights.mjs IN.onnx OUT.onnx');
  process.exit(2);
}
const original = readFileSync(source);
const model = decodeModel(original);

const casts = [];
const initializers = [];
let halved = 0;
let exact = 0;
let largest = 0;
for (const tensor of model.graph.initializer) {
  const large = elementsOf(tensor) >= MIN_ELEMENTS;
  const values = tensor.dataType === FLOAT && large && !tensor.externalData.length ? readFloats(tensor) : undefined;
  if (!values?.every((value) => Math.abs(value) <= MAX_HALF)) {
    initializers.push(tensor);
    continue;
  }
  const raw = new Uint8Array(values.length * 2);
  const halves = new DataView(raw.buffer);
  let error = 0;
  values.forEach((value, index) => {
    const bits = toHalf(value);
    halves.setUint16(index * 2, bits, true);
    error = Math.max(error, Math.abs(fromHalf(bits) - value));
  });
  halved++;
  if (error === 0) exact++;
  largest = Math.max(largest, error);
  const name = `${tensor.name}.float16`;
  initializers.push(create(schema('TensorProto'), { dims: tensor.dims, dataType: FLOAT16, name, rawData: raw }));
  casts.push(makeNode('Cast', [name], [tensor.name], { to: FLOAT }));
}
model.graph.initializer = initializers;
model.graph.node.unshift(...casts);
const result = encodeModel(model);
writeFileSync(target, result);
console.log(
  `${halved} of ${initializers.length} tensors halved, ${exact} of them exactly; largest change of a weight ${largest}; ` +
    `${original.length} -> ${result.length} bytes`,
);
