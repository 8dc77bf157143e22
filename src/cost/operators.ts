// How many multiply-adds an operator's products take, from the shapes of what goes in and comes out. What only touches each value once
// (norms, activations, sums) is not counted, as is the custom where models are compared.

import type { AttributeProto, NodeProto } from '../onnx/schema.js';

export type Dims = readonly number[];

export interface Rule {
  /** The inputs whose shapes count() gets, in this order. */
  inputs: readonly number[];
  /** Undefined: this form of the operator is not known here. */
  count(node: NodeProto, output: Dims, ...inputs: Dims[]): number | undefined;
}

export const sizeOf = (dims: Dims) => dims.reduce((product, dim) => product * dim, 1);

function attribute({ attribute: all }: NodeProto, name: string): AttributeProto | undefined {
  return all.find((one) => one.name === name);
}

const flag = (node: NodeProto, name: string) => Number(attribute(node, name)?.i ?? 0n) !== 0;

/** Every output is a sum over a filter; the first axis of the weights is the output channels'. */
const conv = (weights: number): Rule => ({
  inputs: [weights],
  count: (_, output, filter = []) => sizeOf(output) * sizeOf(filter.slice(1)),
});

/** Every input goes through all filters of its channel; the first axis of the weights is the input channels'. */
const convTranspose: Rule = {
  inputs: [0, 1],
  count: (_, __, input = [], filter = []) => sizeOf(input) * sizeOf(filter.slice(1)),
};

const matMul = (left: number): Rule => ({
  inputs: [left],
  count: (node, output, matrix = []) => {
    const inner = matrix.at(flag(node, 'transA') ? -2 : -1);
    return inner === undefined ? undefined : sizeOf(output) * inner;
  },
});

/** Weights of few bits, packed: the inner size is an attribute. */
const packedMatMul: Rule = {
  inputs: [],
  count: (node, output) => {
    const inner = attribute(node, 'K')?.i;
    return inner === undefined ? undefined : sizeOf(output) * Number(inner);
  },
};

/** All combinations of all indices, as of one or two operands; more are multiplied in an order that is the runtime's own. */
const einsum: Rule = {
  inputs: [0, 1],
  count: (node, _, left = [], right) => {
    if (right === undefined) return 0;
    const equation = new TextDecoder().decode(attribute(node, 'equation')?.s).replaceAll(' ', '');
    const terms = equation.split('->')[0]?.split(',') ?? [];
    if (terms.length !== 2) return undefined;
    const sizes = new Map<string, number>();
    for (const [index, dims] of [left, right].entries()) {
      const labels = spell(terms[index] as string, dims.length);
      if (labels?.length !== dims.length) return undefined;
      for (const [axis, label] of labels.entries())
        sizes.set(label, Math.max(sizes.get(label) ?? 1, dims[axis] as number));
    }
    return sizeOf([...sizes.values()]);
  },
};

/** 'b...c' of four axes: b, the two axes in the middle counted from the last, c. */
function spell(term: string, rank: number): string[] | undefined {
  const [before = '', after] = term.split('...');
  if (after === undefined) return [...before];
  const between = rank - before.length - after.length;
  if (between < 0) return undefined;
  return [...before, ...Array.from({ length: between }, (_, index) => `...${between - index}`), ...after];
}

/** com.microsoft: projections to queries, keys and values, and attention. */
const projectedAttention: Rule = {
  inputs: [0, 1],
  count: (node, output, [batch = 0, tokens = 0, channels = 0] = [], weights = []) => {
    const projected = weights.at(-1) ?? 0;
    const values = output.at(-1) ?? 0;
    const [queries = (projected - values) / 2] = attribute(node, 'qkv_hidden_sizes')?.ints.map(Number) ?? [];
    return batch * tokens * (channels * projected + tokens * (queries + values));
  },
};

/** Queries, keys and values as they are: two products. Packed ones (rank 5) have their channels in several parts. */
const attention: Rule = {
  inputs: [0, 1],
  count: (_, output, query = [], key) => {
    // [batch, tokens, heads, 3, channels]
    if (query.length === 5) return (2 * sizeOf(query) * (query[1] as number)) / 3;
    if (key === undefined) return undefined;
    const keys = key.length === 4 ? key[2] : key[1];
    return keys === undefined ? undefined : (sizeOf(query) + sizeOf(output)) * keys;
  },
};

const RULES: Readonly<Record<string, Readonly<Record<string, Rule>>>> = {
  '': {
    Conv: conv(1),
    ConvInteger: conv(1),
    QLinearConv: conv(3),
    DeformConv: conv(1),
    ConvTranspose: convTranspose,
    MatMul: matMul(0),
    MatMulInteger: matMul(0),
    QLinearMatMul: matMul(0),
    Gemm: matMul(0),
    Einsum: einsum,
    Attention: attention,
  },
  'com.microsoft': {
    FusedConv: conv(1),
    NhwcFusedConv: conv(1),
    QLinearConv: conv(3),
    FusedMatMul: matMul(0),
    TransposeMatMul: matMul(0),
    FusedGemm: matMul(0),
    QGemm: matMul(0),
    MatMulIntegerToFloat: matMul(0),
    DynamicQuantizeMatMul: matMul(0),
    MatMulNBits: packedMatMul,
    Attention: projectedAttention,
    QAttention: projectedAttention,
    MultiHeadAttention: attention,
  },
};

/** Operators whose names say that they multiply matrices. */
const PRODUCTS = /Conv|MatMul|Gemm|Attention|Einsum|LSTM|GRU|RNN|MoE/;

const domainOf = ({ domain }: NodeProto) => (domain === 'ai.onnx' ? '' : domain);

/** How to count a node's products, if it has any that are known here. */
export function ruleOf(node: NodeProto): Rule | undefined {
  return RULES[domainOf(node)]?.[node.opType];
}

/** Whether a node without a rule has or may have products. */
export function mayMultiply(node: NodeProto): boolean {
  const domain = domainOf(node);
  return !(domain in RULES || domain === 'ai.onnx.ml') || PRODUCTS.test(node.opType);
}
