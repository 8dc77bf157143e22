// The messages of an .onnx file: the part of ONNX's protobuf definition (onnx.proto, IR version 8 and later) that is read or written
// here. Every other field, also of versions to come, is kept as it is by the protobuf library and written back.

import { createFileRegistry, create as createMessage, type Message } from '@bufbuild/protobuf';
import type { GenMessage } from '@bufbuild/protobuf/codegenv2';
import {
  FileDescriptorSetSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from '@bufbuild/protobuf/wkt';

const SCALARS = {
  string: Type.STRING,
  bytes: Type.BYTES,
  float: Type.FLOAT,
  double: Type.DOUBLE,
  int32: Type.INT32,
  int64: Type.INT64,
  uint64: Type.UINT64,
} as const;

/**
 * Field -> number, type, and how often. A `list` of numbers is written one by one, a `packed` one in one piece (both are read either
 * way). Enumerations are declared as int32 and alternatives (oneof) as optional fields, which have the same encoding.
 */
const MESSAGES = {
  ModelProto: {
    irVersion: [1, 'int64'],
    producerName: [2, 'string'],
    graph: [7, 'GraphProto'],
    opsetImport: [8, 'OperatorSetIdProto', 'list'],
    metadataProps: [14, 'StringStringEntryProto', 'list'],
    functions: [25, 'FunctionProto', 'list'],
  },
  GraphProto: {
    node: [1, 'NodeProto', 'list'],
    name: [2, 'string'],
    initializer: [5, 'TensorProto', 'list'],
    input: [11, 'ValueInfoProto', 'list'],
    output: [12, 'ValueInfoProto', 'list'],
    valueInfo: [13, 'ValueInfoProto', 'list'],
  },
  NodeProto: {
    input: [1, 'string', 'list'],
    output: [2, 'string', 'list'],
    name: [3, 'string'],
    opType: [4, 'string'],
    attribute: [5, 'AttributeProto', 'list'],
    domain: [7, 'string'],
  },
  AttributeProto: {
    name: [1, 'string'],
    f: [2, 'float'],
    i: [3, 'int64'],
    s: [4, 'bytes'],
    t: [5, 'TensorProto'],
    g: [6, 'GraphProto'],
    floats: [7, 'float', 'list'],
    ints: [8, 'int64', 'list'],
    graphs: [11, 'GraphProto', 'list'],
    type: [20, 'int32'],
  },
  TensorProto: {
    dims: [1, 'int64', 'list'],
    dataType: [2, 'int32'],
    floatData: [4, 'float', 'packed'],
    int64Data: [7, 'int64', 'packed'],
    name: [8, 'string'],
    rawData: [9, 'bytes'],
    externalData: [13, 'StringStringEntryProto', 'list'],
    dataLocation: [14, 'int32'],
  },
  FunctionProto: { name: [1, 'string'], domain: [10, 'string'] },
  ValueInfoProto: { name: [1, 'string'], type: [2, 'TypeProto'] },
  TypeProto: { tensorType: [1, 'TensorTypeProto'] },
  TensorTypeProto: { elemType: [1, 'int32'], shape: [2, 'TensorShapeProto'] },
  TensorShapeProto: { dim: [1, 'DimensionProto', 'list'] },
  DimensionProto: { dimValue: [1, 'int64'], dimParam: [2, 'string'] },
  StringStringEntryProto: { key: [1, 'string'], value: [2, 'string'] },
  OperatorSetIdProto: { domain: [1, 'string'], version: [2, 'int64'] },
} as const;

type Messages = typeof MESSAGES;
type Name = keyof Messages;

type Value<T> = T extends 'string'
  ? string
  : T extends 'bytes'
    ? Uint8Array
    : T extends 'float' | 'double' | 'int32'
      ? number
      : T extends 'int64' | 'uint64'
        ? bigint
        : T extends Name
          ? Shape<T>
          : never;

type Fields<N extends Name> = Messages[N];
type Embedded<N extends Name> = {
  [F in keyof Fields<N>]: Fields<N>[F] extends readonly [number, Name] ? F : never;
}[keyof Fields<N>];

/** A message as an object: lists are always there, absent scalars read as 0 or '', absent messages as undefined. */
export type Shape<N extends Name> = Message<`onnx.${N}`> & {
  [F in Exclude<keyof Fields<N>, Embedded<N>>]: Fields<N>[F] extends readonly [number, infer T, string]
    ? Value<T>[]
    : Fields<N>[F] extends readonly [number, infer T]
      ? Value<T>
      : never;
} & { [F in Embedded<N>]?: Fields<N>[F] extends readonly [number, infer T] ? Value<T> : never };

export type ModelProto = Shape<'ModelProto'>;
export type GraphProto = Shape<'GraphProto'>;
export type NodeProto = Shape<'NodeProto'>;
export type AttributeProto = Shape<'AttributeProto'>;
export type TensorProto = Shape<'TensorProto'>;
export type ValueInfoProto = Shape<'ValueInfoProto'>;

function fieldOf(name: string, [number, type, many]: readonly [number, string, string?]) {
  const scalar = SCALARS[type as keyof typeof SCALARS];
  return {
    name,
    number,
    label: many ? Label.REPEATED : Label.OPTIONAL,
    ...(scalar === undefined ? { type: Type.MESSAGE, typeName: `.onnx.${type}` } : { type: scalar }),
    ...(many === 'packed' && { options: { packed: true } }),
  };
}

const registry = createFileRegistry(
  createMessage(FileDescriptorSetSchema, {
    file: [
      {
        name: 'onnx.proto',
        package: 'onnx',
        // Presence is kept: a 0 that is written stays written.
        syntax: 'proto2',
        messageType: Object.entries(MESSAGES).map(([name, fields]) => ({
          name,
          field: Object.entries(fields).map(([field, declaration]) => fieldOf(field, declaration)),
        })),
      },
    ],
  }),
);

/** What the protobuf library's functions take for a message. */
export function schema<N extends Name>(name: N): GenMessage<Shape<N>> {
  return registry.getMessage(`onnx.${name}`) as unknown as GenMessage<Shape<N>>;
}

/** TensorProto.DataType. */
export const ELEMENT_TYPES = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7, float16: 10 } as const;
export type ElementType = keyof typeof ELEMENT_TYPES;

/** AttributeProto.AttributeType. */
export const ATTRIBUTE_TYPES = { float: 1, int: 2, string: 3, tensor: 4, floats: 6, ints: 7 } as const;

/** TensorProto.DataLocation: the values are in another file. */
export const EXTERNAL = 1;
