// A float32 model to one with int8 weights and int8 products.

import { ManyscaleError } from '../errors.js';
import { addMetadata } from '../onnx/build.js';
import { allGraphs, opsetOf } from '../onnx/graph.js';
import type { GraphModel } from '../onnx/schema.js';
import { version } from '../version.js';
import { findLayers, type Layer } from './layers.js';
import { Rewriter, type Scheme } from './rewrite.js';

/** What became of the layers that could be int8. */
export interface LayerCounts {
  /** int8, activations by row. */
  row: number;
  /** int8, activations by a range that was found before. */
  static: number;
  /** Left as float32. */
  float32: number;
}

/** Model metadata that says how a model was quantized. */
export const METADATA_KEY = 'manyscale.quantized';

/** Operators' opset since which DequantizeLinear has a scale per channel. */
const OLDEST_OPSET = 13;

const QUANTIZED_OPERATORS =
  /^(?:QuantizeLinear|DequantizeLinear|DynamicQuantizeLinear|QLinear.*|.*Integer|MatMulNBits)$/;

function refuse(expected: string, received: string, advice: string): ManyscaleError {
  return new ManyscaleError(
    'ERR_INVALID_ARGUMENT',
    `Expected ${expected} for quantize but received ${received}; ${advice}`,
  );
}

/**
 * The layers of a model that can be quantized.
 * @throws {ManyscaleError} ERR_INVALID_ARGUMENT when there are none, when it is quantized already, or for opsets before 13.
 */
export function quantizableLayers(model: GraphModel): Layer[] {
  const { graph, metadataProps } = model;
  const operators = allGraphs(graph).flatMap(({ node }) => node.map(({ opType }) => opType));
  const marked = metadataProps.find(({ key }) => key === METADATA_KEY);
  const quantized = operators.find((name) => QUANTIZED_OPERATORS.test(name));
  if (marked || quantized) {
    const why = marked ? `${marked.key} = ${marked.value}` : `it has ${quantized}`;
    throw refuse(
      'a float32 model',
      `one that is quantized already (${why})`,
      'quantize the model that it was made from',
    );
  }
  const opset = opsetOf(model);
  if (opset < OLDEST_OPSET) {
    const advice = 'export the model anew, or convert it with onnx.version_converter';
    throw refuse(`a model of opset ${OLDEST_OPSET} or later`, `one of opset ${opset}`, advice);
  }
  const layers = findLayers(graph);
  if (layers.length > 0) return layers;
  const convolutions = operators.filter((name) => name === 'Conv').length;
  throw refuse(
    'a model with products of activations and constant float32 matrices (MatMul, Gemm)',
    `one with nothing to quantize${convolutions ? ` (${convolutions} convolutions, which stay float32)` : ''}`,
    'use it as it is: on processors, int8 convolutions gain little over float32 ones',
  );
}

/**
 * Rewrites `layers`, of quantizableLayers, in `model` itself. `schemes`: of each activation; none: the layers stay float32.
 * @throws {ManyscaleError} ERR_INVALID_ARGUMENT when all of them would.
 */
export function quantizeLayers(
  model: GraphModel,
  layers: readonly Layer[],
  schemes: ReadonlyMap<string, Scheme>,
): LayerCounts {
  const counts: LayerCounts = { row: 0, static: 0, float32: 0 };
  for (const { activation } of layers) counts[schemes.get(activation)?.kind ?? 'float32']++;
  if (counts.float32 === layers.length) {
    const received = `one whose ${layers.length} layers all have activations of too large a range`;
    throw refuse(
      'a model that loses little in int8',
      received,
      'quantize without --calibrate and look at the likeness, or keep it',
    );
  }
  new Rewriter(model.graph, opsetOf(model)).rewrite(layers, schemes);
  const value = `int8 by manyscale ${version}: ${counts.row} layers by row, ${counts.static} static, ${counts.float32} float32`;
  addMetadata(model, { [METADATA_KEY]: value });
  return counts;
}

/** Every layer by row: needs no images. */
export function rowSchemes(layers: readonly Layer[]): Map<string, Scheme> {
  return new Map(layers.map(({ activation }) => [activation, { kind: 'row' }]));
}
