// Writes small ONNX models. The schema is the part of ONNX's public protobuf definition that they need; field numbers and
// enumerations are those of onnx.proto (IR version 8).
import protobuf from 'protobufjs';

const schema = protobuf.parse(
  `syntax = "proto3";
  message AttributeProto {
    string name = 1; float f = 2; int64 i = 3; bytes s = 4; TensorProto t = 5;
    repeated float floats = 7 [packed = false]; repeated int64 ints = 8 [packed = false]; int32 type = 20;
  }
  message ValueInfoProto { string name = 1; TypeProto type = 2; }
  message NodeProto {
    repeated string input = 1; repeated string output = 2; string name = 3; string op_type = 4;
    repeated AttributeProto attribute = 5;
  }
  message StringStringEntryProto { string key = 1; string value = 2; }
  message ModelProto {
    int64 ir_version = 1; string producer_name = 2; GraphProto graph = 7; repeated OperatorSetIdProto opset_import = 8;
    repeated StringStringEntryProto metadata_props = 14;
  }
  message GraphProto {
    repeated NodeProto node = 1; string name = 2; repeated TensorProto initializer = 5;
    repeated ValueInfoProto input = 11; repeated ValueInfoProto output = 12;
  }
  message TensorProto {
    repeated int64 dims = 1 [packed = false]; int32 data_type = 2; string name = 8; bytes raw_data = 9;
    repeated StringStringEntryProto external_data = 13; int32 data_location = 14;
  }
  message Dimension { oneof value { int64 dim_value = 1; string dim_param = 2; } }
  message TensorShapeProto { repeated Dimension dim = 1; }
  message TensorTypeProto { int32 elem_type = 1; TensorShapeProto shape = 2; }
  message TypeProto { TensorTypeProto tensor_type = 1; }
  message OperatorSetIdProto { string domain = 1; int64 version = 2; }`,
  { keepCase: true },
).root;
const ModelProto = schema.lookupType('ModelProto');

const elementTypes = { float32: 1, uint8: 2, int64: 7, float16: 10 } as const;
export type ElementType = keyof typeof elementTypes;

/** A fixed size, or the name of one that the model leaves open. */
export type Dim = number | string;

export interface Value {
  name: string;
  type?: ElementType;
  dims: Dim[];
}

export type Attribute = number | string | number[] | { float: number };

export interface Node {
  op: string;
  inputs: string[];
  outputs: string[];
  attributes?: Record<string, Attribute>;
}

export interface Initializer {
  name: string;
  dims: number[];
  /** float32 or int64. */
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

function attribute([name, value]: [string, Attribute]): object {
  if (typeof value === 'string') return { name, s: Buffer.from(value), type: 3 };
  if (typeof value === 'number') return { name, i: value, type: 2 };
  if (Array.isArray(value)) return { name, ints: value, type: 7 };
  return { name, f: value.float, type: 1 };
}

function valueInfo({ name, type = 'float32', dims }: Value): object {
  const dim = dims.map((size) => (typeof size === 'number' ? { dim_value: size } : { dim_param: size }));
  return { name, type: { tensor_type: { elem_type: elementTypes[type], shape: { dim } } } };
}

function entries(values: Record<string, string>): object[] {
  return Object.entries(values).map(([key, value]) => ({ key, value }));
}

function tensor({ name, dims, data, external }: Initializer): object {
  const fields = { name, dims, data_type: data instanceof Float32Array ? elementTypes.float32 : elementTypes.int64 };
  if (!external) return { ...fields, raw_data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
  const place = { location: external.location, offset: String(external.offset), length: String(data.byteLength) };
  return { ...fields, external_data: entries(place), data_location: 1 };
}

/** The bytes of an .onnx file (opset 13). */
export function encodeModel({ nodes, inputs, outputs, initializers = [], metadata = {} }: Graph): Uint8Array {
  const model = {
    ir_version: 8,
    producer_name: 'manyscale tests',
    opset_import: [{ domain: '', version: 13 }],
    metadata_props: entries(metadata),
    graph: {
      name: 'test',
      node: nodes.map(({ op, inputs: input, outputs: output, attributes = {} }, index) => ({
        name: `${op}_${index}`,
        op_type: op,
        input,
        output,
        attribute: Object.entries(attributes).map(attribute),
      })),
      initializer: initializers.map(tensor),
      input: inputs.map(valueInfo),
      output: outputs.map(valueInfo),
    },
  };
  return ModelProto.encode(ModelProto.fromObject(model)).finish();
}
