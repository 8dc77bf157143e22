// The shapes of a model's values, found by the runtime itself: the model is turned into one that gives shapes and nothing else, so that
// nothing here has to know what an operator does to a shape.

import { create } from '@bufbuild/protobuf';
import { makeNode, makeTensor } from './build.js';
import { FreshNames } from './graph.js';
import { ELEMENT_TYPES, type GraphModel, type GraphProto, schema, type TensorProto } from './schema.js';
import { elementsOf } from './tensor.js';

/** Small values may decide a shape (of a Reshape, say); large ones never do. */
const MOST_ELEMENTS = 1024;

/** Bytes of an element, of the types that ConstantOfShape makes in every opset that has it. */
const ELEMENT_BYTES: Readonly<Record<number, number>> = {
  [ELEMENT_TYPES.float32]: 4,
  [ELEMENT_TYPES.float16]: 2,
  [ELEMENT_TYPES.int8]: 1,
  [ELEMENT_TYPES.uint8]: 1,
};

/** Bytes that a tensor's values take in memory. */
export function bytesOf(tensor: TensorProto): number {
  return elementsOf(tensor) * (ELEMENT_BYTES[tensor.dataType] ?? 8);
}

/**
 * Puts zeros in the place of a graph's large initializers, written as their shape: the model becomes small, whatever its weights are
 * and in whatever file they lie. Inner graphs keep theirs.
 */
export function dropWeights({ graph }: GraphModel): void {
  const names = new FreshNames(graph);
  const isLarge = (tensor: TensorProto) =>
    elementsOf(tensor) > MOST_ELEMENTS && ELEMENT_BYTES[tensor.dataType] !== undefined;
  const dropped = graph.initializer.filter(isLarge);
  graph.initializer = graph.initializer.filter((tensor) => !isLarge(tensor));
  const nodes = dropped.map(({ name, dims, dataType }) => {
    const shape = names.make(`${name}.shape`);
    graph.initializer.push(makeTensor(shape, [dims.length], BigInt64Array.from(dims)));
    const rawData = new Uint8Array(ELEMENT_BYTES[dataType] as number);
    const node = makeNode('ConstantOfShape', [shape], [name], {}, names.make(`${name}.zeros`));
    const t = create(schema('TensorProto'), { dims: [1n], dataType, rawData });
    node.attribute.push(create(schema('AttributeProto'), { name: 'value', type: TENSOR_ATTRIBUTE, t }));
    return node;
  });
  graph.node.unshift(...nodes);
  forgetInputs(graph, new Set(dropped.map(({ name }) => name)));
}

/** AttributeProto.AttributeType TENSOR. */
const TENSOR_ATTRIBUTE = 4;

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
