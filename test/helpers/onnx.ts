// Writes small ONNX models from plain descriptions.
import { create } from '@bufbuild/protobuf';
import { type Attributes, type Dim, makeModel, makeNode, makeTensor, makeValue } from '../../src/onnx/build.js';
import { encodeModel as encode } from '../../src/onnx/codec.js';
import { type ElementType, EXTERNAL, schema, type TensorProto } from '../../src/onnx/schema.js';

export type { Dim, ElementType };

export interface Value {
  name: string;
  type?: ElementType;
  dims: Dim[];
}

export interface Node {
  op: string;
  inputs: string[];
  outputs: string[];
  attributes?: Attributes;
}

export interface Initializer {
  name: string;
  dims: number[];
  data: Float32Array | BigInt64Array;
  /** Name of the file beside the model that has the values, and where they start in it. */
  external?: { location: string; offset: number };
}

export interface Graph {
  nodes: Node[];
  inputs: Value[];
  outputs: Value[];
  initializers?: Initializer[];
  metadata?: Record<string, string>;
}

export function int64(...values: number[]): BigInt64Array {
  return BigInt64Array.from(values, BigInt);
}

function tensor({ name, dims, data, external }: Initializer): TensorProto {
  const inline = makeTensor(name, dims, data);
  if (!external) return inline;
  const place = { location: external.location, offset: String(external.offset), length: String(data.byteLength) };
  return create(schema('TensorProto'), {
    name,
    dims: inline.dims,
    dataType: inline.dataType,
    externalData: Object.entries(place).map(([key, value]) => ({ key, value })),
    dataLocation: EXTERNAL,
  });
}

/** The bytes of an .onnx file (opset 13). */
export function encodeModel({ nodes, inputs, outputs, initializers = [], metadata = {} }: Graph): Uint8Array {
  const value = ({ name, dims, type }: Value) => makeValue(name, dims, type);
  return encode(
    makeModel({
      name: 'test',
      producer: 'manyscale tests',
      opset: 13,
      nodes: nodes.map(({ op, inputs: from, outputs: to, attributes }) => makeNode(op, from, to, attributes)),
      initializers: initializers.map(tensor),
      inputs: inputs.map(value),
      outputs: outputs.map(value),
      metadata,
    }),
  );
}
