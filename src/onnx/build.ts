// Makes the parts of an ONNX model.

import { create } from '@bufbuild/protobuf';
import {
  ATTRIBUTE_TYPES,
  type AttributeProto,
  ELEMENT_TYPES,
  type ElementType,
  type ModelProto,
  type NodeProto,
  schema,
  type TensorProto,
  type ValueInfoProto,
} from './schema.js';

const schemas = {
  model: schema('ModelProto'),
  node: schema('NodeProto'),
  attribute: schema('AttributeProto'),
  tensor: schema('TensorProto'),
  value: schema('ValueInfoProto'),
  entry: schema('StringStringEntryProto'),
};

/** A number is an integer, as attributes mostly are; { float } is for the others. */
export type Attribute = number | string | readonly number[] | { float: number };
export type Attributes = Readonly<Record<string, Attribute>>;

function makeAttribute([name, value]: [string, Attribute]): AttributeProto {
  const make = (fields: object) => create(schemas.attribute, { name, ...fields });
  if (typeof value === 'string') return make({ s: new TextEncoder().encode(value), type: ATTRIBUTE_TYPES.string });
  if (typeof value === 'number') return make({ i: BigInt(value), type: ATTRIBUTE_TYPES.int });
  if ('float' in value) return make({ f: value.float, type: ATTRIBUTE_TYPES.float });
  return make({ ints: value.map(BigInt), type: ATTRIBUTE_TYPES.ints });
}

/** A node of the default domain. Names must differ within a graph; the first output's serves where there is no reason for another. */
export function makeNode(
  opType: string,
  input: readonly string[],
  output: readonly string[],
  attributes: Attributes = {},
  name: string = output[0] ?? '',
): NodeProto {
  const attribute = Object.entries(attributes).map(makeAttribute);
  return create(schemas.node, { opType, input: [...input], output: [...output], name, attribute });
}

/** Values of an initializer; the array's type says which. */
export type TensorData = Float32Array | Int8Array | Uint8Array | Int32Array | BigInt64Array;

function elementTypeOf(data: TensorData): ElementType {
  if (data instanceof Float32Array) return 'float32';
  if (data instanceof Int8Array) return 'int8';
  if (data instanceof Uint8Array) return 'uint8';
  return data instanceof Int32Array ? 'int32' : 'int64';
}

/** An initializer. Its values are not copied until the model is written. */
export function makeTensor(name: string, dims: readonly number[], data: TensorData): TensorProto {
  return create(schemas.tensor, {
    name,
    dims: dims.map(BigInt),
    dataType: ELEMENT_TYPES[elementTypeOf(data)],
    rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  });
}

/** A fixed size, or the name of one that the model leaves open. */
export type Dim = number | string;

/** The declaration of an input or output. */
export function makeValue(name: string, dims: readonly Dim[], type: ElementType = 'float32'): ValueInfoProto {
  const dim = dims.map((size) => (typeof size === 'number' ? { dimValue: BigInt(size) } : { dimParam: size }));
  return create(schemas.value, { name, type: { tensorType: { elemType: ELEMENT_TYPES[type], shape: { dim } } } });
}

export interface ModelParts {
  name: string;
  producer: string;
  opset: number;
  nodes: NodeProto[];
  initializers: TensorProto[];
  inputs: ValueInfoProto[];
  outputs: ValueInfoProto[];
  metadata?: Readonly<Record<string, string>>;
}

/** A model of one graph (IR version 8, which every ONNX Runtime from 1.11 on reads). */
export function makeModel(parts: ModelParts): ModelProto {
  const { name, producer, opset, nodes, initializers, inputs, outputs, metadata = {} } = parts;
  return create(schemas.model, {
    irVersion: 8n,
    producerName: producer,
    opsetImport: [{ domain: '', version: BigInt(opset) }],
    metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
    graph: { name, node: nodes, initializer: initializers, input: inputs, output: outputs },
  });
}

/** More of what a model says of itself; the keys are new ones. */
export function addMetadata({ metadataProps }: ModelProto, metadata: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(metadata)) metadataProps.push(create(schemas.entry, { key, value }));
}
