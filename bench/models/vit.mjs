// A Vision Transformer of random weights, by default of the shape of ViT-S/16 at 224 x 224 (9.2 GFLOP and 197 tokens a tile):
// what the engine and the quantizer are measured with. The weights come from a seed and are scaled so that activations are those of a
// working model: no layer drowns in the one before it, attention looks at some tokens more than at others, and some channels are
// larger than others, without which rounding to int8 would look better than it is.
//
// node bench/models/vit.mjs [--out FILE] [--size 224] [--patch 16] [--channels 384] [--depth 12] [--heads 6] [--mlp 1536] [--seed 1]

import { existsSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { makeModel, makeNode, makeTensor, makeValue } from '../../dist/onnx/build.js';
import { encodeModel } from '../../dist/onnx/codec.js';

/** ViT-S/16. `mlp`: channels of the hidden layer. */
export const VIT_S16 = { size: 224, patch: 16, channels: 384, depth: 12, heads: 6, mlp: 1536, seed: 1 };

/** Where vitS16() keeps its model. */
export const VIT_S16_PATH = fileURLToPath(new URL('vit-s16.onnx', import.meta.url));

/** Standard normal numbers: mulberry32 (Tommy Ettinger, public domain) through Box and Muller's transform. */
function normals(seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  let spare;
  return () => {
    if (spare !== undefined) {
      const value = spare;
      spare = undefined;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
}

/** The bytes of the .onnx file: pixel_values [batch, 3, size, size] -> last_hidden_state [batch, 1 + cells, channels]. */
export function vitModel(options = {}) {
  const { size, patch, channels, depth, heads, mlp, seed } = { ...VIT_S16, ...options };
  const normal = normals(seed);
  const nodes = [];
  const initializers = [];
  const cells = (size / patch) ** 2;

  const constant = (name, dims, data) => {
    initializers.push(makeTensor(name, dims, data));
    return name;
  };
  const random = (name, dims, deviation, from = (value) => value) => {
    const data = new Float32Array(dims.reduce((product, dim) => product * dim, 1));
    for (let i = 0; i < data.length; i++) data[i] = from(deviation * normal());
    return constant(name, dims, data);
  };
  const apply = (op, inputs, output, attributes) => {
    nodes.push(makeNode(op, inputs, [output], attributes));
    return output;
  };
  const scalar = (name, value) => constant(name, [], new Float32Array([value]));
  const integers = (name, ...values) => constant(name, [values.length], BigInt64Array.from(values, BigInt));
  /** `gain` is the deviation of the result's values where those of `x` have deviation 1. */
  const linear = (x, name, from, to, gain = 1) => {
    const weight = random(`${name}.weight`, [from, to], gain / Math.sqrt(from));
    const product = apply('MatMul', [x, weight], `${name}.product`);
    return apply('Add', [random(`${name}.bias`, [to], 0.1), product], `${name}.out`);
  };
  const normalise = (x, name, out = `${name}.out`) => {
    const scale = random(`${name}.weight`, [channels], 0.4, Math.exp);
    const shift = random(`${name}.bias`, [channels], 0.1);
    return apply('LayerNormalization', [x, scale, shift], out, { axis: -1, epsilon: { float: 1e-6 } });
  };
  integers('split_heads', 0, 0, heads, channels / heads);
  integers('merge_heads', 0, 0, channels);
  scalar('attention_scale', 1 / Math.sqrt(channels / heads));
  scalar('sqrt2', Math.SQRT2);
  scalar('one', 1);
  scalar('half', 0.5);

  const attention = (x, name) => {
    const part = (which, gain, perm) => {
      const y = linear(x, `${name}.${which}`, channels, channels, gain);
      const split = apply('Reshape', [y, 'split_heads'], `${name}.${which}.split`);
      return apply('Transpose', [split], `${name}.${which}.heads`, { perm });
    };
    // Logits of deviation 2: some tokens weigh fifty times as much as others.
    const query = part('query', Math.SQRT2, [0, 2, 1, 3]);
    const key = part('key', Math.SQRT2, [0, 2, 3, 1]);
    const value = part('value', 1, [0, 2, 1, 3]);
    const products = apply('MatMul', [query, key], `${name}.products`);
    const logits = apply('Mul', [products, 'attention_scale'], `${name}.logits`);
    const weights = apply('Softmax', [logits], `${name}.weights`, { axis: -1 });
    const mixed = apply('MatMul', [weights, value], `${name}.mixed`);
    const back = apply('Transpose', [mixed], `${name}.back`, { perm: [0, 2, 1, 3] });
    return linear(apply('Reshape', [back, 'merge_heads'], `${name}.merged`), `${name}.project`, channels, channels);
  };
  /** x * (1 + erf(x / sqrt(2))) / 2, as PyTorch exports it. */
  const gelu = (x, name) => {
    const erf = apply('Erf', [apply('Div', [x, 'sqrt2'], `${name}.scaled`)], `${name}.erf`);
    const product = apply('Mul', [x, apply('Add', [erf, 'one'], `${name}.cdf`)], `${name}.product`);
    return apply('Mul', [product, 'half'], `${name}.out`);
  };

  const kernel = random('patches.weight', [channels, 3, patch, patch], 1 / Math.sqrt(3 * patch * patch));
  const embedded = apply('Conv', ['pixel_values', kernel, random('patches.bias', [channels], 0.1)], 'patches.map', {
    kernel_shape: [patch, patch],
    strides: [patch, patch],
  });
  const flat = apply('Reshape', [embedded, integers('flat', 0, channels, -1)], 'patches.flat');
  const patches = apply('Transpose', [flat], 'patches.tokens', { perm: [0, 2, 1] });
  const shape = apply('Shape', ['pixel_values'], 'input.shape');
  const batch = apply('Slice', [shape, integers('from', 0), integers('to', 1)], 'input.batch');
  const places = apply('Concat', [batch, integers('one_token', 1, channels)], 'class.shape', { axis: 0 });
  const classToken = apply('Expand', [random('class', [1, 1, channels], 1), places], 'class.expanded');
  const tokens = apply('Concat', [classToken, patches], 'tokens', { axis: 1 });
  let x = apply('Add', [tokens, random('positions', [1, 1 + cells, channels], 0.5)], 'embedded');
  for (let i = 0; i < depth; i++) {
    const block = `block${i}`;
    x = apply('Add', [attention(normalise(x, `${block}.norm1`), `${block}.attention`), x], `${block}.middle`);
    const hidden = linear(normalise(x, `${block}.norm2`), `${block}.fc1`, channels, mlp);
    const mixed = linear(gelu(hidden, `${block}.gelu`), `${block}.fc2`, mlp, channels);
    x = apply('Add', [mixed, x], `${block}.out`);
  }
  normalise(x, 'norm', 'last_hidden_state');

  return encodeModel(
    makeModel({
      name: `vit, ${depth} x ${channels} channels, patches of ${patch}, random weights`,
      producer: 'manyscale bench/models/vit.mjs',
      opset: 17,
      nodes,
      initializers,
      inputs: [makeValue('pixel_values', ['batch', 3, size, size])],
      outputs: [makeValue('last_hidden_state', ['batch', 1 + cells, channels])],
      metadata: { 'manyscale.mean': '0.485,0.456,0.406', 'manyscale.std': '0.229,0.224,0.225' },
    }),
  );
}

/** Writes a model as a whole: who else waits for the file never reads half of it. */
async function write(path, bytes) {
  const temporary = `${path}.${process.pid}.tmp`;
  await writeFile(temporary, bytes);
  await rename(temporary, path);
}

/** The path of the ViT-S/16-shaped model, made when it is missing. */
export async function vitS16(path = VIT_S16_PATH) {
  if (!existsSync(path)) await write(path, vitModel());
  return path;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const numbers = Object.fromEntries(
    Object.entries(VIT_S16).map(([name, value]) => [name, { type: 'string', default: String(value) }]),
  );
  const { values } = parseArgs({ options: { out: { type: 'string', default: VIT_S16_PATH }, ...numbers } });
  const { out, ...shape } = values;
  const bytes = vitModel(Object.fromEntries(Object.entries(shape).map(([name, value]) => [name, Number(value)])));
  await write(out, bytes);
  console.log(`${out}: ${(bytes.length / 1e6).toFixed(1)} MB`);
}
