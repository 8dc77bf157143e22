// Bytes of .onnx files to messages and back. What schema.ts does not declare survives unchanged, behind the declared fields.

import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { type ModelProto, schema } from './schema.js';

const Model = schema('ModelProto');

/** Tensors' bytes are views of `bytes`, not copies. Throws the protobuf library's error for what is no message. */
export function decodeModel(bytes: Uint8Array): ModelProto {
  // A Buffer's parts would be Buffers, whose slice() is no copy.
  return fromBinary(Model, new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
}

/** The bytes of an .onnx file. */
export function encodeModel(model: ModelProto): Uint8Array {
  return toBinary(Model, model);
}
