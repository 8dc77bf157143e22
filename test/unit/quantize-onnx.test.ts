// ONNX files survive reading and writing whole, fields that this project does not know included.
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRegistry, equals } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { defaultModel } from 'manyscale';
import { afterAll, describe, expect, it } from 'vitest';
import { makeTensor } from '../../src/onnx/build.js';
import { decodeModel, encodeModel } from '../../src/onnx/codec.js';
import { readModel, wholeModel } from '../../src/onnx/file.js';
import { FreshNames } from '../../src/onnx/graph.js';
import { ELEMENT_TYPES, type GraphModel, schema } from '../../src/onnx/schema.js';
import { readFloats } from '../../src/onnx/tensor.js';
import { quantizableLayers, quantizeLayers, rowSchemes } from '../../src/quantize/quantize.js';
import * as described from '../helpers/onnx.js';
import { vitModel } from '../helpers/paths.js';
import { makeRandom, randomFloats } from '../helpers/random.js';
import { expectCode } from './rejection.js';

const folder = mkdtempSync(join(tmpdir(), 'manyscale-onnx-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** One field of a message: a number and the bytes of a string or a message. */
function field(number: number, value: string | Uint8Array): Uint8Array {
  const writer = new BinaryWriter().tag(number, WireType.LengthDelimited);
  return (typeof value === 'string' ? writer.string(value) : writer.bytes(value)).finish();
}
const message = (...fields: Uint8Array[]) => new Uint8Array(Buffer.concat(fields));
const integer = (number: number, value: number) =>
  new BinaryWriter().tag(number, WireType.Varint).uint32(value).finish();

const weights = randomFloats(64 * 32, makeRandom(1));

/** MatMul of x [rows, 64] and constant weights, with fields of every message that the schema does not declare. */
function modelOfTheFuture(): Uint8Array {
  const tensor = message(
    integer(1, 64),
    integer(1, 32),
    integer(2, ELEMENT_TYPES.float32),
    field(8, 'weights'),
    field(9, new Uint8Array(weights.buffer)),
  );
  const other = message(
    integer(1, 0),
    integer(2, 1),
    field(8, 'other'),
    field(12, 'tensor-doc'),
    field(500, 'tensor-new'),
  );
  const attribute = message(
    field(1, 'note'),
    field(9, 'attribute-strings'),
    integer(20, 8),
    field(500, 'attribute-new'),
  );
  const node = message(
    field(1, 'y'),
    field(2, 'z'),
    field(4, 'Identity'),
    field(5, attribute),
    field(8, 'overload'),
    field(500, 'node-new'),
  );
  const product = message(field(1, 'x'), field(1, 'weights'), field(2, 'y'), field(4, 'MatMul'));
  const dimension = message(field(2, 'rows'), field(3, 'dimension-denotation'));
  const shape = message(field(1, dimension), field(1, integer(1, 64)));
  const type = message(field(1, message(integer(1, 1), field(2, shape))), field(6, 'type-denotation'));
  const input = message(field(1, 'x'), field(2, type), field(3, 'value-doc'));
  const graph = message(
    field(1, product),
    field(1, node),
    field(2, 'graph'),
    field(5, tensor),
    field(5, other),
    field(11, input),
    field(12, field(1, 'z')),
    field(14, field(1, 'quantization-annotation')),
    field(15, 'sparse-initializer'),
    field(500, 'graph-new'),
  );
  return message(
    integer(1, 10),
    field(3, 'producer-version'),
    field(7, graph),
    field(8, message(field(1, ''), integer(2, 17))),
    field(8, message(field(1, 'com.example'), integer(2, 3))),
    field(14, message(field(1, 'key'), field(2, 'its-value'))),
    field(20, 'training-info'),
    field(25, field(1, 'function')),
    field(500, 'model-new'),
  );
}

const marks = [
  'tensor-doc tensor-new attribute-strings attribute-new overload node-new dimension-denotation type-denotation value-doc',
  'quantization-annotation sparse-initializer graph-new producer-version com.example its-value training-info function model-new',
].flatMap((line) => line.split(' '));

describe('reading and writing', () => {
  it.each([
    ['the default model', defaultModel],
    ['the token model', vitModel],
  ])('%s comes back with every byte', (_name, path) => {
    const original = readFileSync(path);
    const model = decodeModel(original);
    const written = encodeModel(model);
    expect(written.length).toBe(original.length);
    expect(
      equals(schema('ModelProto'), decodeModel(written), model, { unknown: true, registry: createRegistry() }),
    ).toBe(true);
  });

  it('keeps what it does not know, at every depth', () => {
    const original = modelOfTheFuture();
    const written = encodeModel(decodeModel(original));
    expect(written.length).toBe(original.length);
    for (const mark of marks) expect(Buffer.from(written).includes(mark), mark).toBe(true);
  });

  it('keeps it when layers are quantized', () => {
    const model = decodeModel(modelOfTheFuture()) as GraphModel;
    const layers = quantizableLayers(model);
    expect(quantizeLayers(model, layers, rowSchemes(layers))).toEqual({ row: 1, static: 0, float32: 0 });
    const written = Buffer.from(wholeModel(model));
    for (const mark of marks) expect(written.includes(mark), mark).toBe(true);
    expect(written.includes(Buffer.from(weights.buffer))).toBe(false);
  });

  it('writes a 0 that was written', () => {
    const dimension = field(11, message(field(1, 'x'), field(2, field(1, field(2, field(1, integer(1, 0)))))));
    const bytes = field(7, dimension);
    expect(Buffer.from(encodeModel(decodeModel(bytes)))).toEqual(Buffer.from(bytes));
  });
});

describe('values', () => {
  it.each([
    [0x0000, 0],
    [0x3c00, 1],
    [0xc000, -2],
    [0x7bff, 65504],
    [0x0001, 2 ** -24],
    [0x83ff, -1023 * 2 ** -24],
    [0x7c00, Number.POSITIVE_INFINITY],
    [0x7e00, Number.NaN],
  ])('reads the half %i as %f', (bits, value) => {
    const tensor = makeTensor('half', [1], new Uint8Array(Uint16Array.of(bits).buffer));
    tensor.dataType = ELEMENT_TYPES.float16;
    expect([...readFloats(tensor)]).toEqual([value]);
  });

  it('reads floats that were written one by one', () => {
    const tensor = makeTensor('floats', [2], new Float32Array(0));
    tensor.floatData = [1.5, -2];
    expect([...readFloats(tensor)]).toEqual([1.5, -2]);
  });

  it('gives names that nothing has', () => {
    const { graph } = decodeModel(modelOfTheFuture()) as GraphModel;
    const names = new FreshNames(graph);
    expect(['y', 'weights', 'x', 'new', 'new'].map((name) => names.make(name))).toEqual([
      'y_2',
      'weights_2',
      'x_2',
      'new',
      'new_2',
    ]);
  });
});

describe('values in other files', () => {
  const external = (location: string, offset = 8): Uint8Array =>
    described.encodeModel({
      nodes: [{ op: 'MatMul', inputs: ['x', 'weights'], outputs: ['y'] }],
      initializers: [{ name: 'weights', dims: [64, 32], data: weights, external: { location, offset } }],
      inputs: [{ name: 'x', dims: ['rows', 64] }],
      outputs: [{ name: 'y', dims: ['rows', 32] }],
    });
  const save = (name: string, bytes: Uint8Array) => {
    const path = join(folder, name);
    writeFileSync(path, bytes);
    return path;
  };

  it('are read into the model', async () => {
    save('values.bin', Buffer.concat([Buffer.alloc(8), Buffer.from(weights.buffer)]));
    const path = save('external.onnx', external('values.bin'));
    const { model, bytes } = await readModel(path);
    expect(bytes).toBe(statSync(path).size + weights.byteLength);
    const [tensor] = model.graph.initializer;
    expect(tensor && readFloats(tensor)).toEqual(weights);
    const [whole] = decodeModel(wholeModel(model)).graph?.initializer ?? [];
    expect(whole?.externalData).toEqual([]);
    expect(whole?.dataLocation).toBe(0);
    expect(whole && readFloats(whole)).toEqual(weights);
  });

  it.each([
    ['missing.bin', /ENOENT/],
    ['short.bin', /8192 bytes at 8 are not there/],
  ])('%s is an error that names it', async (location, mention) => {
    save('short.bin', Buffer.alloc(100));
    const path = save('broken.onnx', external(location));
    const error = await expectCode(() => readModel(path), 'ERR_MODEL_LOAD', mention);
    expect(error.message).toContain(`${location}'`);
  });

  it.each(['/values.bin', '../values.bin', 'a/../../values.bin', ''])(
    'outside of the folder are refused: %s',
    async (location) => {
      const path = save('escaping.onnx', external(location));
      await expectCode(() => readModel(path), 'ERR_MODEL_LOAD', /in the model's folder/);
    },
  );
});

describe('files that are no models', () => {
  it.each([
    ['text', Buffer.from('# Not a model\n')],
    ['nothing', Buffer.alloc(0)],
    ['half a model', readFileSync(vitModel).subarray(0, 100_000)],
    ['a photo', Buffer.from('ffd8ffe000104a46494600010101', 'hex')],
  ])('%s', async (_name, bytes) => {
    const path = join(folder, 'other.onnx');
    writeFileSync(path, bytes);
    await expectCode(() => readModel(path), 'ERR_MODEL_LOAD', /other\.onnx', which is none/);
  });

  it('a path where there is nothing', async () => {
    await expectCode(() => readModel(join(folder, 'none.onnx')), 'ERR_MODEL_LOAD', /ENOENT/);
  });
});
