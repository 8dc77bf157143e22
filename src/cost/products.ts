// The multiply-adds of one tile, counted in the model's graph.

import { ON_CPU } from '../device.js';
import { ManyscaleError } from '../errors.js';
import type { ExtractorInfo } from '../model/info.js';
import { checkModelSource } from '../model/source.js';
import type { NativeModelConfiguration } from '../native/addon.js';
import { loadSession, probeSession } from '../native/calls.js';
import { encodeModel } from '../onnx/codec.js';
import { decodeGraph, readModelBytes } from '../onnx/file.js';
import { allGraphs, allTensors, innerGraphs, opsetOf } from '../onnx/graph.js';
import type { GraphModel, GraphProto, NodeProto } from '../onnx/schema.js';
import { bytesOf, dropWeights, giveShapes } from '../onnx/shapes.js';
import { stripWeights } from '../onnx/strip.js';
import { type Dims, mayMultiply, type Rule, ruleOf, sizeOf } from './operators.js';

/** What the graph of a model says about its cost. */
export interface ProductCount {
  /** Multiply-adds of one tile; absent where they cannot be counted. */
  multiplyAdds?: number;
  /** Of the weights, as the file has them. */
  weightBytes?: number;
  /** Elements that the largest product of one tile reads (without weights) and writes. */
  largestProduct?: number;
  /** What is not in the count, in plain sentences. */
  notes: string[];
}

/** Has ConstantOfShape, which the shapes are found with. */
const LEAST_OPSET = 9;

interface Product {
  node: NodeProto;
  rule: Rule;
  /** Of what the rule asks the shapes of, the output first; '' where an input is left out. */
  names: readonly string[];
  /** Of what it reads and writes, without constants. */
  values: readonly string[];
}

/**
 * Counts the products of one tile; the model is used up. The runtime finds the shapes.
 * @throws {ManyscaleError} ERR_MODEL_LOAD, ERR_MODEL_RUN and what else a session gives: the graph cannot be asked.
 */
export async function countProducts(
  model: GraphModel,
  session: { runtime: string; inputName: string; inputDims: Dims; configuration: NativeModelConfiguration },
  signal: AbortSignal,
): Promise<Omit<ProductCount, 'weightBytes'>> {
  if (opsetOf(model) < LEAST_OPSET) {
    const note = `the multiply-adds were not counted: the model has opset ${opsetOf(model)}, and ${LEAST_OPSET} is needed`;
    return { notes: [note] };
  }
  dropWeights(model);
  const { products, others } = findProducts(model.graph);
  const notes = describeOthers(others);
  const constants = new Map(model.graph.initializer.map(({ name, dims }) => [name, dims.map(Number)]));
  const all = new Set(products.flatMap(({ names, values }) => [...names, ...values]));
  const asked = [...all].filter((name) => name !== '' && !constants.has(name));
  const { runtime, inputName, inputDims, configuration } = session;
  giveShapes(model, asked, { [inputName]: inputDims });
  const shapes = new Map([
    ...constants,
    ...(await findShapes(encodeModel(model), asked, runtime, configuration, signal)),
  ]);
  const batch = inputDims[0] as number;
  const counted = products.map(({ node, rule, names: [output = '', ...inputs] }) => {
    const dims = inputs.map((name) => shapes.get(name) as Dims);
    return { node, count: rule.count(node, shapes.get(output) ?? [], ...dims) };
  });
  const unknown = counted.filter(({ count }) => count === undefined || !Number.isFinite(count));
  if (unknown.length > 0)
    notes.push(`not counted, in forms that are not known: ${tally(unknown.map(({ node }) => node))}`);
  const elements = ({ values }: Product) => values.reduce((sum, name) => sum + sizeOf(shapes.get(name) ?? [0]), 0);
  return {
    multiplyAdds: counted.reduce((sum, { count = 0 }) => sum + (Number.isFinite(count) ? count : 0), 0) / batch,
    largestProduct: products.reduce((most, product) => Math.max(most, elements(product)), 0) / batch,
    notes,
  };
}

/** What the runtime computes for every tile: no constants, nothing that leads to no output. */
function findProducts(graph: GraphProto): {
  products: Product[];
  others: { inner: NodeProto[]; unknown: NodeProto[] };
} {
  const varying = new Set(graph.input.map(({ name }) => name));
  const inputsOf = (node: NodeProto) => [
    ...node.input,
    ...innerGraphs(node)
      .flatMap(allGraphs)
      .flatMap((inner) => inner.node.flatMap(({ input }) => input)),
  ];
  const nodes = graph.node.filter((node) => {
    const varies = inputsOf(node).some((name) => varying.has(name));
    if (varies) for (const name of node.output) varying.add(name);
    return varies;
  });
  const wanted = new Set(graph.output.map(({ name }) => name));
  const products: Product[] = [];
  const inner: NodeProto[] = [];
  const unknown: NodeProto[] = [];
  for (const node of nodes.reverse()) {
    if (!node.output.some((name) => wanted.has(name))) continue;
    for (const name of inputsOf(node)) wanted.add(name);
    const rule = ruleOf(node);
    const [output = ''] = node.output;
    if (rule) {
      const names = [output, ...rule.inputs.map((index) => node.input[index] ?? '')];
      products.push({ node, rule, names, values: [output, ...node.input.filter((name) => varying.has(name))] });
    } else if (mayMultiply(node)) unknown.push(node);
    const within = innerGraphs(node)
      .flatMap(allGraphs)
      .flatMap((one) => one.node);
    inner.push(...within.filter((one) => ruleOf(one) || mayMultiply(one)));
  }
  return { products, others: { inner, unknown } };
}

function describeOthers({ inner, unknown }: { inner: NodeProto[]; unknown: NodeProto[] }): string[] {
  return [
    ...(inner.length > 0 ? [`not counted, inside loops or branches: ${tally(inner)}`] : []),
    ...(unknown.length > 0 ? [`not counted, operators that are not known: ${tally(unknown)}`] : []),
  ];
}

/** '3 MatMul, 1 my.domain.Fold' */
function tally(nodes: readonly NodeProto[]): string {
  const counts = new Map<string, number>();
  for (const { domain, opType } of nodes) {
    const name = domain ? `${domain}.${opType}` : opType;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].map(([name, count]) => `${count} ${name}`).join(', ');
}

/** Runs the model, whose outputs are of shape [...shape, 0]. */
async function findShapes(
  bytes: Uint8Array,
  names: readonly string[],
  runtime: string,
  configuration: NativeModelConfiguration,
  signal: AbortSignal,
): Promise<Map<string, number[]>> {
  if (names.length === 0) return new Map();
  const source = await checkModelSource(bytes);
  const defaults = { threads: 1, maxBatch: 0, maxDelay: -1, deterministic: false, maxBytes: 0, device: ON_CPU };
  const session = await loadSession({ ...source, runtime, ...defaults }, signal);
  try {
    const probes = await probeSession(session, { ...configuration, outputs: [...names.keys()] }, signal);
    return new Map(names.map((name, index) => [name, (probes[index]?.dims ?? []).slice(0, -1)]));
  } finally {
    await session.dispose();
  }
}

/** Counts the products of a model in its file, or without its weights; where that cannot be done, a note says why. */
export async function countProductsOf(
  model: string | Uint8Array | undefined,
  { input, runtime }: ExtractorInfo,
  configuration: NativeModelConfiguration,
  signal: AbortSignal,
): Promise<ProductCount> {
  const { channels, tileSize, fixedBatch } = input;
  const { height, width } = tileSize;
  const batch = Math.max(fixedBatch, 1);
  const inputDims = input.layout === 'nhwc' ? [batch, height, width, channels] : [batch, channels, height, width];
  const session = { runtime: runtime.path, inputName: input.name, inputDims, configuration };
  const notCounted = (reason: string) => ({ notes: [`the multiply-adds were not counted: ${reason}`] });
  const weights: Pick<ProductCount, 'weightBytes'> = {};
  try {
    const weightless = typeof model === 'string' ? stripWeights(await readModelBytes(model)) : model;
    if (!weightless) return notCounted('the model is not written as ONNX, or its graph is too large');
    const graph = decodeGraph(weightless, 'the model');
    weights.weightBytes = weightBytesOf(graph);
    return { ...weights, ...(await countProducts(graph, session, signal)) };
  } catch (error) {
    // A graph that cannot be asked can still be run.
    if (!(error instanceof ManyscaleError) || error.code === 'ERR_DISPOSED') throw error;
    return { ...weights, ...notCounted(error.message) };
  }
}

/** As the values take in memory, wherever they lie. */
export function weightBytesOf({ graph }: GraphModel): number {
  return allTensors(graph).reduce((sum, tensor) => sum + bytesOf(tensor), 0);
}
