// The shapes of a model's values, found by the runtime itself: the model is turned into one that gives shapes and nothing else, so that
// nothing here has to know what an operator does to a shape.

import { create } from '@bufbuild/protobuf';
import { makeNode, makeTensor } from './build.js';
import { allGraphs, FreshNames } from './graph.js';
import { ELEMENT_TYPES, type GraphModel, type GraphProto, type NodeProto, schema, type TensorProto } from './schema.js';
import { MOST_DECIDING } from './strip.js';
import { elementsOf } from './tensor.js';

/** Bytes of an element by TensorProto.DataType, strings (8) aside. */
const ELEMENT_BYTES: Readonly<Record<number, number>> = {
  1: 4,
  2: 1,
  3: 1,
  4: 2,
  5: 2,
  6: 4,
  7: 8,
  9: 1,
  10: 2,
  11: 8,
  12: 4,
  13: 8,
  14: 8,
  15: 16,
  16: 2,
  17: 1,
  18: 1,
  19: 1,
  20: 1,
  21: 0.5,
  22: 0.5,
  23: 0.5,
};

/** Bytes that a tensor's values take in memory. */
export function bytesOf(tensor: TensorProto): number {
  return Math.ceil(elementsOf(tensor) * (ELEMENT_BYTES[tensor.dataType] ?? 0));
}

/** AttributeProto.AttributeType TENSOR. */
const TENSOR_ATTRIBUTE = 4;

/** ConstantOfShape makes these in every opset that has it; others are made of float32. */
const CAN_BE_MADE: ReadonlySet<number> = new Set([1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13]);

/**
 * Puts zeros in the place of large constants, written as their shape: the model becomes small, whatever its weights are and in whatever
 * file they lie, and whether stripWeights() took them or not.
 */
export function dropWeights({ graph }: GraphModel): void {
  const names = new FreshNames(graph);
  for (const each of allGraphs(graph)) dropWeightsOf(each, names);
}

function dropWeightsOf(graph: GraphProto, names: FreshNames): void {
  const isLarge = (tensor: TensorProto) => elementsOf(tensor) > MOST_DECIDING;
  const dropped = graph.initializer.filter(isLarge);
  graph.initializer = graph.initializer.filter((tensor) => !isLarge(tensor));
  const zeros = (name: string, { dims, dataType }: TensorProto): NodeProto[] => {
    const shape = names.make(`${name}.shape`);
    graph.initializer.push(makeTensor(shape, [dims.length], BigInt64Array.from(dims)));
    const isMade = CAN_BE_MADE.has(dataType);
    const made = isMade ? name : names.make(`${name}.zeros`);
    const node = makeNode('ConstantOfShape', [shape], [made], {}, names.make(`${name}.made`));
    const madeType = isMade ? dataType : ELEMENT_TYPES.float32;
    const rawData = new Uint8Array(ELEMENT_BYTES[madeType] as number);
    const t = create(schema('TensorProto'), { dims: [1n], dataType: madeType, rawData });
    node.attribute.push(create(schema('AttributeProto'), { name: 'value', type: TENSOR_ATTRIBUTE, t }));
    return isMade ? [node] : [node, makeNode('Cast', [made], [name], { to: dataType }, names.make(`${name}.cast`))];
  };
  graph.node = [
    ...dropped.flatMap((tensor) => zeros(tensor.name, tensor)),
    ...graph.node.flatMap((node) => {
      const value = node.opType === 'Constant' ? node.attribute.find(({ t }) => t)?.t : undefined;
      return value && isLarge(value) ? zeros(node.output[0] as string, value) : [node];
    }),
  ];
  forgetInputs(graph, new Set(dropped.map(({ name }) => name)));
}

/** Old files list their initializers as inputs too. */
function forgetInputs(graph: GraphProto, names: ReadonlySet<string>): void {
  graph.input = graph.input.filter(({ name }) => !names.has(name));
}

/**
 * Gives `model` itself, in place of its outputs, one for each of `values`: a tensor of shape [...shape of the value, 0], which has no
 * elements. `inputShapes` fixes the inputs' dimensions by their names, so that the runtime mostly knows all shapes without computing.
 */
export function giveShapes(
  { graph }: GraphModel,
  values: readonly string[],
  inputShapes: Readonly<Record<string, readonly number[]>>,
): void {
  const names = new FreshNames(graph);
  const zero = names.make('manyscale.zero');
  graph.initializer.push(makeTensor(zero, [1], BigInt64Array.of(0n)));
  for (const { name, type } of graph.input) {
    const shape = inputShapes[name];
    if (shape && type?.tensorType)
      type.tensorType.shape = create(schema('TensorShapeProto'), {
        dim: shape.map((size) => ({ dimValue: BigInt(size) })),
      });
  }
  // What they declare may not agree with the inputs any more.
  graph.valueInfo = [];
  graph.output = values.map((value) => {
    const [shape, extended, empty] = ['shape', 'extended', 'empty'].map((what) => names.make(`manyscale.${what}`)) as [
      string,
      string,
      string,
    ];
    graph.node.push(
      makeNode('Shape', [value], [shape]),
      makeNode('Concat', [shape, zero], [extended], { axis: 0 }),
      makeNode('ConstantOfShape', [extended], [empty]),
    );
    return create(schema('ValueInfoProto'), {
      name: empty,
      type: { tensorType: { elemType: ELEMENT_TYPES.float32 } },
    });
  });
}
