// Models without their weights: what goes and what stays, that it is small and needs no values, and that no bytes can harm.
import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { vitModel as randomVit, VIT_S16 } from '../../bench/models/vit.mjs';
import { makeModel, makeNode, makeTensor, makeValue } from '../../src/onnx/build.js';
import { decodeModel, encodeModel } from '../../src/onnx/codec.js';
import { allTensors } from '../../src/onnx/graph.js';
import { type GraphModel, type GraphProto, type NodeProto, schema, type TensorProto } from '../../src/onnx/schema.js';
import { stripWeights } from '../../src/onnx/strip.js';
import { elementsOf } from '../../src/onnx/tensor.js';
import { patchModel } from '../helpers/models.js';
import { makeRandom, makeSeed } from '../helpers/random.js';

/** A field whose content has its length before it. */
function field(number: number, ...content: Uint8Array[]): Uint8Array {
  const length = content.reduce((sum, part) => sum + part.length, 0);
  const head = [(number << 3) | 2];
  let rest = length;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) head.push((rest % 0x80) | 0x80);
  return Buffer.concat([Uint8Array.of(...head, rest), ...content]);
}

const text = (value: string) => new TextEncoder().encode(value);
const GRAPH = 7;
const NODE = 1;
const INITIALIZER = 5;
const identity = field(NODE, field(1, text('a')), field(2, text('b')), field(4, text('Identity')));

/** A model of one node whose initializer has `values` as its fields say, and a name behind them. */
const withValues = (...values: Uint8Array[]) =>
  field(GRAPH, identity, field(INITIALIZER, ...values, field(8, text('weights'))));

function modelOf(nodes: NodeProto[], initializers: TensorProto[]): Uint8Array {
  const inputs = [makeValue('pixel_values', [1, 3, 4, 8])];
  const outputs = [makeValue('result', [1, 3, 4, 8])];
  return encodeModel(makeModel({ name: 'g', producer: 'p', opset: 17, nodes, initializers, inputs, outputs }));
}

const strip = (bytes: Uint8Array) => stripWeights(bytes) as Uint8Array;
const decoded = (bytes: Uint8Array) => decodeModel(strip(bytes)) as GraphModel;

const large = () => makeTensor('', [5000], new Float32Array(5000));
const attribute = (name: string, fields: { t: TensorProto } | { g: GraphProto }) =>
  create(schema('AttributeProto'), { name, ...fields });

describe('a model without its weights', () => {
  it('is small, and the same but for the values of large tensors', () => {
    const bytes = randomVit({ ...VIT_S16, depth: 1 });
    const left = strip(bytes);
    expect(left.length).toBeLessThan(bytes.length / 50);
    const expected = decodeModel(bytes) as GraphModel;
    for (const tensor of allTensors(expected.graph))
      if (tensor.rawData.length > 16 * 1024) tensor.rawData = new Uint8Array();
    // Without the fields that are written because they are there, though empty.
    const plain = (model: GraphModel) =>
      allTensors(model.graph).map(({ name, dims, dataType, rawData }) => ({ name, dims, dataType, rawData }));
    const actual = decodeModel(left) as GraphModel;
    expect(plain(actual)).toEqual(plain(expected));
    expect(actual.graph.node).toEqual(expected.graph.node);
    expect(actual.graph.output).toEqual(expected.graph.output);
  });

  it('is the very same where there is nothing large', () => {
    const bytes = patchModel({});
    expect(Buffer.compare(strip(bytes), bytes)).toBe(0);
  });

  it.each([
    ['float_data', field(4, new Uint8Array(4e6))],
    ['int32_data', field(5, new Uint8Array(1e6))],
    ['int64_data', field(7, new Uint8Array(1e6))],
    ['raw_data', field(9, new Uint8Array(4e6))],
    ['double_data', field(10, new Uint8Array(8e6))],
    ['uint64_data', field(11, new Uint8Array(1e6))],
    ['float_data, one by one', Buffer.concat(Array(10_000).fill(Uint8Array.of(0x25, 0, 0, 0, 0)))],
    ['int64_data, one by one', Buffer.concat(Array(10_000).fill(Uint8Array.of(0x38, 1)))],
    ['raw_data in two places', Buffer.concat([field(9, new Uint8Array(9000)), field(9, new Uint8Array(9000))])],
  ])('has no large %s', (_, values) => {
    const left = strip(withValues(field(1, Uint8Array.of(100)), values));
    expect(Buffer.compare(left, withValues(field(1, Uint8Array.of(100))))).toBe(0);
    expect((decodeModel(left) as GraphModel).graph.initializer[0]).toMatchObject({ name: 'weights', dims: [100n] });
  });

  it('has small values, which may decide a shape', () => {
    const dims = makeTensor('dims', [1024], new BigInt64Array(1024).fill(7n));
    expect(
      decoded(modelOf([makeNode('Identity', ['dims'], ['result'])], [dims])).graph.initializer[0]?.rawData,
    ).toEqual(dims.rawData);
  });

  it('has none inside attributes either, at any depth', () => {
    const constant = () =>
      Object.assign(makeNode('Constant', [], ['c']), { attribute: [attribute('value', { t: large() })] });
    let node = constant();
    for (let depth = 0; depth < 20; depth++) {
      const g = create(schema('GraphProto'), { name: `${depth}`, node: [node, constant()], initializer: [large()] });
      node = Object.assign(makeNode('If', ['x'], ['y']), { attribute: [attribute('then_branch', { g })] });
    }
    const bytes = modelOf([node], [large()]);
    const { graph } = decoded(bytes);
    const tensors = allTensors(graph);
    expect(tensors.length).toBe(42);
    expect(tensors.map(elementsOf)).toEqual(Array(42).fill(5000));
    expect(strip(bytes).length).toBeLessThan(5000);
  });

  it('has no comments and no shapes of values, which exporters write much of', () => {
    const words = new Uint8Array(1000).fill(97);
    const bytes = field(
      GRAPH,
      field(NODE, field(4, text('Identity')), field(6, words), field(9, words)),
      field(13, words),
    );
    expect(Buffer.compare(strip(bytes), field(GRAPH, field(NODE, field(4, text('Identity')))))).toBe(0);
  });
});

describe('bytes that are no model', () => {
  const nested = (levels: number) => {
    // Lengths are rewritten by Buffer.concat of what is inside, so that every level is well formed.
    let graph = identity;
    for (let level = 0; level < levels; level++) graph = field(NODE, field(5, field(6, graph)));
    return field(GRAPH, graph);
  };

  it.each([
    ['a length beyond the end', Uint8Array.of(0x3a, 0x7f, 0)],
    ['a length of 2^63', Uint8Array.of(0x3a, ...Array(8).fill(0xff), 0x7f)],
    ['a length without an end', Uint8Array.of(0x3a, ...Array(30).fill(0xff))],
    ['an inner length beyond the outer one', Uint8Array.of(0x3a, 2, 0x0a, 5, 0, 0, 0, 0, 0)],
    ['field 0', Uint8Array.of(0x02, 0)],
    ['groups', Uint8Array.of(0x3b, 0x3c)],
    ['a number cut short', Uint8Array.of(0x08, 0x80)],
    ['text', text('this is no model at all')],
    ['graphs nested too deep', nested(2000)],
    ['more fields than a graph has', new Uint8Array(6e6).map((_, index) => (index % 2 ? 0 : 0x08))],
    ['long lists of numbers in an attribute', field(GRAPH, field(NODE, field(5, field(8, new Uint8Array(20_000)))))],
    ['long lists of sides', withValues(field(1, new Uint8Array(20_000)))],
    ['a large rest', field(99, new Uint8Array(2 ** 25 + 1))],
  ])('%s', (_, bytes) => {
    expect(stripWeights(bytes)).toBeUndefined();
  });

  it('nested as deep as the runtime allows are a model', () => {
    expect(stripWeights(nested(30))).toBeDefined();
  });

  it('cut short or changed anywhere, give nothing or fewer bytes, and no other error', () => {
    const seed = makeSeed();
    const random = makeRandom(seed);
    const bytes = modelOf(
      [makeNode('Identity', ['w'], ['result'])],
      [makeTensor('w', [5000], new Float32Array(5000)), large()],
    );
    for (let round = 0; round < 3000; round++) {
      const changed = bytes.slice(
        0,
        random.pick([bytes.length, random.integer(0, 400), random.integer(0, bytes.length)]),
      );
      // Most of the bytes are zeros of weights; what tells something lies at the ends.
      for (let change = random.integer(0, 3); change > 0 && changed.length > 0; change--)
        changed[
          random.pick([random.integer(0, Math.min(100, changed.length - 1)), random.integer(0, changed.length - 1)])
        ] = random.integer(0, 255);
      const left = stripWeights(changed);
      expect(left?.length ?? 0, `seed ${seed}, round ${round}`).toBeLessThanOrEqual(changed.length);
    }
  });
});
