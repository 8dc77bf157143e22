// The layers of a graph that can be computed in int8: products of activations with a constant matrix.

import type { GraphProto, NodeProto } from '../onnx/schema.js';
import { Constants, type Matrix, transpose } from './constants.js';

export interface Layer {
  /** MatMul or Gemm. */
  node: NodeProto;
  /** Name of what comes in, [..., inputs]. */
  activation: string;
  /** Name in the graph of the constant matrix. */
  weightName: string;
  /** [inputs, outputs], of Gemm with its alpha. */
  weights: Matrix;
  /** Name of what is added to the product, of Gemm. */
  bias?: string;
}

/** Below so many inputs or outputs, making activations into int8 costs more than the faster product saves. */
const FEWEST_CHANNELS = 32;

/** In the graph's order. Products of two activations (attention's own) are none. */
export function findLayers(graph: GraphProto): Layer[] {
  const constants = new Constants(graph);
  return graph.node.flatMap((node) => {
    const layer = node.domain === '' || node.domain === 'ai.onnx' ? readLayer(node, constants) : undefined;
    return layer && isWorthwhile(layer.weights) ? [layer] : [];
  });
}

function isWorthwhile({ rows, columns, values }: Matrix): boolean {
  return rows >= FEWEST_CHANNELS && columns >= FEWEST_CHANNELS && values.every(Number.isFinite);
}

function readLayer(node: NodeProto, constants: Constants): Layer | undefined {
  const [activation = '', weightName = '', bias = ''] = node.input;
  if (node.opType === 'MatMul') {
    const weights = constants.matrix(weightName);
    return weights && { node, activation, weightName, weights };
  }
  if (node.opType !== 'Gemm') return undefined;
  const attribute = (name: string) => node.attribute.find((one) => one.name === name);
  const alpha = attribute('alpha')?.f ?? 1;
  const beta = attribute('beta')?.f ?? 1;
  if (attribute('transA')?.i || (bias !== '' && beta !== 1)) return undefined;
  const stored = constants.matrix(weightName);
  if (!stored) return undefined;
  const { rows, columns, values } = attribute('transB')?.i ? transpose(stored) : stored;
  const weights = { rows, columns, values: alpha === 1 ? values : values.map((value) => value * alpha) };
  return { node, activation, weightName, weights, ...(bias !== '' && { bias }) };
}
