// Rewrites layers of a graph into int8, with operators that ONNX itself defines since opset 13.
//
// A layer's product becomes QuantizeLinear - DequantizeLinear - MatMul - DequantizeLinear(int8 weights), which says what is computed
// and which runtimes turn into one product of integers. Activations are uint8 around 128: int8 by int8 has no fast kernel in ONNX
// Runtime on x86 (a ViT-S/16 took three times as long as in float32), uint8 by int8 has.

import { type Attributes, makeNode, makeTensor, type TensorData } from '../onnx/build.js';
import { countUses, FreshNames } from '../onnx/graph.js';
import type { GraphProto, NodeProto, TensorProto } from '../onnx/schema.js';
import type { Layer } from './layers.js';
import { quantizeWeights } from './weights.js';

/**
 * How a layer's activations become integers. 'row': each row (token) by its own largest absolute value, found as the model runs; a
 * tile's result then does not depend on the other tiles of its batch. 'static': all by one range that was found before.
 */
export type Scheme = { kind: 'row' } | { kind: 'static'; low: number; high: number };

/** An activation as int8, made once for all layers that read it. */
interface Quantized {
  /** Name of the DequantizeLinear's output. */
  name: string;
  /** Name of what the product is to be multiplied by, [..., 1]. */
  range?: string;
}

/** Keeps a row of zeros from being divided by zero; too small to change any other. */
const TINY = 1e-30;

export class Rewriter {
  readonly #graph: GraphProto;
  readonly #opset: number;
  readonly #names: FreshNames;
  readonly #tensors: TensorProto[] = [];
  readonly #constants = new Map<string, string>();
  readonly #weights = new Map<string, string>();
  readonly #activations = new Map<string, Quantized>();

  constructor(graph: GraphProto, opset: number) {
    this.#graph = graph;
    this.#opset = opset;
    this.#names = new FreshNames(graph);
  }

  /** Replaces each layer by int8 as `schemes` says of its activation; those of no scheme stay as they are. */
  rewrite(layers: readonly Layer[], schemes: ReadonlyMap<string, Scheme>): void {
    const byNode = new Map(layers.map((layer) => [layer.node, layer]));
    this.#graph.node = this.#graph.node.flatMap((node) => {
      const layer = byNode.get(node);
      const scheme = layer && schemes.get(layer.activation);
      return scheme ? this.#layer(layer, scheme) : [node];
    });
    this.#graph.initializer.push(...this.#tensors);
    removeUnused(this.#graph, new Set(layers.map(({ weightName }) => weightName)));
  }

  #layer(layer: Layer, scheme: Scheme): NodeProto[] {
    const nodes: NodeProto[] = [];
    const { node, bias } = layer;
    const [output = ''] = node.output;
    const activation = this.#activation(layer.activation, scheme, nodes);
    const weights = this.#layerWeights(layer, nodes);
    const steps: [op: string, operand: string][] = [['MatMul', weights]];
    if (activation.range) steps.push(['Mul', activation.range]);
    if (bias) steps.push(['Add', bias]);
    let value = activation.name;
    for (const [index, [op, operand]] of steps.entries()) {
      const last = index === steps.length - 1;
      value = this.#node(nodes, op, [value, operand], node.name || output, {}, last ? output : undefined);
    }
    return nodes;
  }

  /** Adds a node; its output is `output`, or has a name made of `place` and the operator. */
  #node(
    nodes: NodeProto[],
    op: string,
    inputs: string[],
    place: string,
    attributes: Attributes = {},
    output?: string,
  ): string {
    const name = this.#names.make(`${place}.int8.${op}`);
    nodes.push(makeNode(op, inputs, [output ?? name], attributes, name));
    return output ?? name;
  }

  /** A constant of this graph, made once. */
  #constant(name: string, dims: readonly number[], data: TensorData): string {
    const known = this.#constants.get(name);
    if (known) return known;
    const fresh = this.#names.make(`manyscale.${name}`);
    this.#constants.set(name, fresh);
    this.#tensors.push(makeTensor(fresh, dims, data));
    return fresh;
  }

  #activation(name: string, scheme: Scheme, nodes: NodeProto[]): Quantized {
    const known = this.#activations.get(name);
    if (known) return known;
    const quantized = scheme.kind === 'row' ? this.#perRow(name, nodes) : this.#static(name, scheme, nodes);
    this.#activations.set(name, quantized);
    return quantized;
  }

  /** Rows are brought to -1 .. 1 by their largest absolute value, so that one constant scale serves all of them. */
  #perRow(name: string, nodes: NodeProto[]): Quantized {
    const magnitude = this.#node(nodes, 'Abs', [name], name);
    const peak = this.#maxOfRows(magnitude, name, nodes);
    const range = this.#node(nodes, 'Add', [peak, this.#constant('tiny', [], new Float32Array([TINY]))], name);
    const unit = this.#node(nodes, 'Div', [name, range], name);
    const scale = this.#constant('unit_scale', [], new Float32Array([1 / 127]));
    const zero = this.#constant('unit_zero', [], new Uint8Array([128]));
    return { name: this.#quantizeDequantize(unit, scale, zero, name, nodes), range };
  }

  #maxOfRows(input: string, place: string, nodes: NodeProto[]): string {
    // What used to be an attribute is an input since opset 18.
    if (this.#opset < 18) return this.#node(nodes, 'ReduceMax', [input], place, { axes: [-1], keepdims: 1 });
    const axes = this.#constant('last_axis', [1], BigInt64Array.of(-1n));
    return this.#node(nodes, 'ReduceMax', [input, axes], place, { keepdims: 1 });
  }

  #static(name: string, { low, high }: { low: number; high: number }, nodes: NodeProto[]): Quantized {
    // 0 must have a value of its own.
    const bottom = Math.min(low, 0);
    const scale = Math.fround((Math.max(high, 0) - bottom) / 255) || 1;
    const zero = Math.round(-bottom / scale);
    const scaleName = this.#constant(`${name}.scale`, [], new Float32Array([scale]));
    const zeroName = this.#constant(`${name}.zero`, [], new Uint8Array([zero]));
    return { name: this.#quantizeDequantize(name, scaleName, zeroName, name, nodes) };
  }

  #quantizeDequantize(input: string, scale: string, zero: string, place: string, nodes: NodeProto[]): string {
    const quantized = this.#node(nodes, 'QuantizeLinear', [input, scale, zero], place);
    return this.#node(nodes, 'DequantizeLinear', [quantized, scale, zero], place);
  }

  #layerWeights({ node, weightName, weights }: Layer, nodes: NodeProto[]): string {
    // Of Gemm they depend on its attributes.
    const key = node.opType === 'MatMul' ? weightName : `${weightName} of ${node.output[0]}`;
    const known = this.#weights.get(key);
    if (known) return known;
    const { rows, columns } = weights;
    const { values, scales } = quantizeWeights(weights);
    const quantized = this.#constant(`${key}.int8`, [rows, columns], values);
    const scale = this.#constant(`${key}.scales`, [columns], scales);
    const zero = this.#constant(`zeros_${columns}`, [columns], new Int8Array(columns));
    const name = this.#node(nodes, 'DequantizeLinear', [quantized, scale, zero], weightName, { axis: 1 });
    this.#weights.set(key, name);
    return name;
  }
}

/** Removes what nothing reads any more, of `names` and of what they are made from. */
function removeUnused(graph: GraphProto, names: ReadonlySet<string>): void {
  let candidates = names;
  while (candidates.size > 0) {
    const uses = countUses(graph);
    const unused = new Set([...candidates].filter((name) => !uses.has(name)));
    const makers = graph.node.filter(({ output: [name = '', ...more] }) => unused.has(name) && more.length === 0);
    graph.node = graph.node.filter((node) => !makers.includes(node));
    graph.initializer = graph.initializer.filter(({ name }) => !unused.has(name));
    graph.valueInfo = graph.valueInfo.filter(({ name }) => !unused.has(name));
    // Older exporters declare initializers as inputs too.
    graph.input = graph.input.filter(({ name }) => !unused.has(name));
    candidates = new Set(makers.flatMap(({ input }) => input));
  }
}
