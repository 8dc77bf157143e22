// Stores a model's float32 weights as float16, which halves the file. Each weight keeps its name: it becomes the output of a Cast
// from a float16 initializer, and ONNX Runtime folds that Cast when it loads the model, so that nothing else changes: not the
// arithmetic (float32), the inputs and outputs, the opset or the metadata. Prints what the rounding cost.
//
//   node scripts/models/halve-weights.mjs IN.onnx OUT.onnx

import { readFileSync, writeFileSync } from 'node:fs';
import protobuf from 'protobufjs';

// Field numbers of onnx.proto, IR version 11. Messages that this script does not look into are declared as bytes, which
// have the same encoding.
const schema = `
  syntax = "proto2";
  message Model {
    optional int64 ir_version = 1; optional string producer_name = 2; optional string producer_version = 3;
    optional string domain = 4; optional int64 model_version = 5; optional string doc_string = 6; optional Graph graph = 7;
    repeated bytes opset_import = 8; repeated bytes metadata_props = 14; repeated bytes training_info = 20;
    repeated bytes functions = 25; repeated bytes configuration = 26;
  }
  message Graph {
    repeated Node node = 1; optional string name = 2; repeated Tensor initializer = 5; optional string doc_string = 10;
    repeated bytes input = 11; repeated bytes output = 12; repeated bytes value_info = 13; repeated bytes quantization_annotation = 14;
    repeated bytes sparse_initializer = 15; repeated bytes metadata_props = 16;
  }
  message Node {
    repeated string input = 1; repeated string output = 2; optional string name = 3; optional string op_type = 4;
    repeated bytes attribute = 5; optional string doc_string = 6; optional string domain = 7; optional string overload = 8;
    repeated bytes metadata_props = 9;
  }
  message Attribute { optional string name = 1; optional int64 i = 3; optional int32 type = 20; }
  message Tensor {
    repeated int64 dims = 1; optional int32 data_type = 2; optional bytes segment = 3; repeated float float_data = 4 [packed = true];
    repeated int32 int32_data = 5 [packed = true]; repeated bytes string_data = 6; repeated int64 int64_data = 7 [packed = true];
    optional string name = 8; optional bytes raw_data = 9; repeated double double_data = 10 [packed = true];
    repeated uint64 uint64_data = 11 [packed = true]; optional string doc_string = 12; repeated bytes external_data = 13;
    optional int32 data_location = 14; repeated bytes metadata_props = 16;
  }`;
const { root } = protobuf.parse(schema, { keepCase: true });
const Model = root.lookupType('Model');
const Attribute = root.lookupType('Attribute');

const FLOAT = 1;
const FLOAT16 = 10;
const ATTRIBUTE_INT = 2;
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

function floatsOf(tensor) {
  if (!tensor.raw_data?.length) return Float32Array.from(tensor.float_data);
  const raw = tensor.raw_data;
  return new Float32Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.byteLength));
}

const [source, target] = process.argv.slice(2);
if (!source || !target) {
  console.error('usage: node scripts/models/halve-weights.mjs IN.onnx OUT.onnx');
  process.exit(2);
}
const original = readFileSync(source);
const model = Model.decode(original);
if (Buffer.compare(original, Model.encode(model).finish()) !== 0) {
  throw new Error(
    `${source} does not survive decoding and encoding unchanged: it has fields that this script does not know`,
  );
}

const casts = [];
const initializers = [];
let halved = 0;
let exact = 0;
let largest = 0;
for (const tensor of model.graph.initializer) {
  const elements = tensor.dims.reduce((product, dim) => product * Number(dim), 1);
  const values =
    tensor.data_type === FLOAT && elements >= MIN_ELEMENTS && !tensor.external_data.length
      ? floatsOf(tensor)
      : undefined;
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
  initializers.push({ dims: tensor.dims, data_type: FLOAT16, name, raw_data: raw });
  const to = Attribute.encode({ name: 'to', i: FLOAT, type: ATTRIBUTE_INT }).finish();
  casts.push({ input: [name], output: [tensor.name], name: `${tensor.name}.widen`, op_type: 'Cast', attribute: [to] });
}
model.graph.initializer = initializers;
model.graph.node.unshift(...casts);
const result = Model.encode(model).finish();
writeFileSync(target, result);
console.log(
  `${halved} of ${initializers.length} tensors halved, ${exact} of them exactly; largest change of a weight ${largest}; ` +
    `${original.length} -> ${result.length} bytes`,
);
