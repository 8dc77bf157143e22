// Models made on the fly: each has one property of real models (a fixed batch, several outputs, ...) that a test is about.
// All of them start with a patch embedding: a convolution of `patch` x `patch` pixels per cell, weights from a seed.
import { type Dim, encodeModel, type Graph, type Initializer, int64, type Node, type Value } from './onnx.js';
import { makeRandom, randomFloats } from './random.js';

export interface PatchModelOptions {
  /** Default 'batch': any. */
  batch?: Dim;
  /** Tile height and width; a string leaves it open. Default [32, 32]. */
  tile?: [Dim, Dim];
  /** Default 8. */
  patch?: number;
  /** Default 6. */
  channels?: number;
  /** Rows in front that belong to no place; default 0. Tokens only. */
  prefix?: number;
  /** Default 'bnc'. */
  layout?: 'bnc' | 'bchw';
  /** Input [n, height, width, 3]. */
  channelsLast?: boolean;
  inputType?: 'float32' | 'float16' | 'uint8';
  outputType?: 'float32' | 'float16';
  metadata?: Record<string, string>;
  /** Name of a file beside the model that has the weights (patchWeights). */
  externalWeights?: string;
}

const OUTPUT = { bnc: 'tokens', bchw: 'map' } as const;

export function patchWeights(channels: number, patch: number): Float32Array {
  return randomFloats(channels * 3 * patch * patch, makeRandom(7)).map((value) => value / patch);
}

/** The embedding alone: from 'pixel_values' to 'features', and the grid's size where it is known. */
function embedding(options: PatchModelOptions): Graph & { grid: [Dim, Dim]; batch: Dim; channels: number } {
  const { batch = 'batch', tile = [32, 32], patch = 8, channels = 6, channelsLast = false } = options;
  const { inputType = 'float32', metadata = {} } = options;
  const nodes: Node[] = [];
  let pixels = 'pixel_values';
  if (inputType !== 'float32') {
    nodes.push({ op: 'Cast', inputs: [pixels], outputs: ['pixels_float'], attributes: { to: 1 } });
    pixels = 'pixels_float';
  }
  if (channelsLast) {
    nodes.push({ op: 'Transpose', inputs: [pixels], outputs: ['pixels_nchw'], attributes: { perm: [0, 3, 1, 2] } });
    pixels = 'pixels_nchw';
  }
  nodes.push(
    {
      op: 'Conv',
      inputs: [pixels, 'weights', 'bias'],
      outputs: ['embedded'],
      attributes: { kernel_shape: [patch, patch], strides: [patch, patch] },
    },
    // Not Tanh: ONNX Runtime's differs by a bit with the number of tiles in a batch.
    { op: 'LeakyRelu', inputs: ['embedded'], outputs: ['features'], attributes: { alpha: { float: 0.25 } } },
  );
  const weights: Initializer = {
    name: 'weights',
    dims: [channels, 3, patch, patch],
    data: patchWeights(channels, patch),
  };
  if (options.externalWeights) weights.external = { location: options.externalWeights, offset: 0 };
  const bias: Initializer = { name: 'bias', dims: [channels], data: randomFloats(channels, makeRandom(8)) };
  const [height, width] = tile;
  const cells = (side: Dim, name: string): Dim => (typeof side === 'number' ? Math.floor(side / patch) : name);
  return {
    nodes,
    initializers: [weights, bias],
    inputs: [
      {
        name: 'pixel_values',
        type: inputType,
        dims: channelsLast ? [batch, height, width, 3] : [batch, 3, height, width],
      },
    ],
    outputs: [],
    metadata,
    grid: [cells(height, 'gridHeight'), cells(width, 'gridWidth')],
    batch,
    channels,
  };
}

/** From 'features' to [n, prefix + cells, channels]; the prefix tokens are multiples of the mean token. */
function tokenNodes(prefix: number, channels: number, output: string): { nodes: Node[]; initializers: Initializer[] } {
  const nodes: Node[] = [
    { op: 'Reshape', inputs: ['features', 'flat'], outputs: [`${output}_columns`] },
    {
      op: 'Transpose',
      inputs: [`${output}_columns`],
      outputs: [prefix ? `${output}_rows` : output],
      attributes: { perm: [0, 2, 1] },
    },
  ];
  const initializers: Initializer[] = [{ name: 'flat', dims: [3], data: int64(0, 0, -1) }];
  if (prefix) {
    initializers.push({
      name: 'registers',
      dims: [1, prefix, channels],
      data: randomFloats(prefix * channels, makeRandom(9)),
    });
    nodes.push(
      { op: 'ReduceMean', inputs: [`${output}_rows`], outputs: ['mean'], attributes: { axes: [1], keepdims: 1 } },
      { op: 'Mul', inputs: ['mean', 'registers'], outputs: ['prefix'] },
      { op: 'Concat', inputs: ['prefix', `${output}_rows`], outputs: [output], attributes: { axis: 1 } },
    );
  }
  return { nodes, initializers };
}

function finish(
  graph: Graph,
  more: { nodes: Node[]; initializers?: Initializer[]; outputs: Value[]; inputs?: Value[] },
): Uint8Array {
  return encodeModel({
    ...graph,
    nodes: [...graph.nodes, ...more.nodes],
    initializers: [...(graph.initializers ?? []), ...(more.initializers ?? [])],
    inputs: [...graph.inputs, ...(more.inputs ?? [])],
    outputs: more.outputs,
  });
}

function cellCount([height, width]: [Dim, Dim], prefix: number): Dim {
  return typeof height === 'number' && typeof width === 'number' ? prefix + height * width : 'tokens_per_tile';
}

const FLOAT16 = 10;

/** An ordinary vision model: pixels to tokens or a feature map. */
export function patchModel(options: PatchModelOptions = {}): Uint8Array {
  const { layout = 'bnc', prefix = 0, outputType = 'float32' } = options;
  const base = embedding(options);
  const name = OUTPUT[layout];
  const computed = outputType === 'float32' ? name : `${name}_float`;
  const { nodes, initializers } =
    layout === 'bnc'
      ? tokenNodes(prefix, base.channels, computed)
      : { nodes: [{ op: 'Identity', inputs: ['features'], outputs: [computed] }], initializers: [] };
  if (computed !== name) nodes.push({ op: 'Cast', inputs: [computed], outputs: [name], attributes: { to: FLOAT16 } });
  const dims =
    layout === 'bnc'
      ? [base.batch, cellCount(base.grid, prefix), base.channels]
      : [base.batch, base.channels, ...base.grid];
  return finish(base, { nodes, initializers, outputs: [{ name, type: outputType, dims }] });
}

/** Channels last in and out, as TensorFlow's models have them: [n, 32, 32, 3] bytes to 'map' [n, 4, 4, channels]. */
export function channelsLastModel(): Uint8Array {
  const base = embedding({ channelsLast: true, inputType: 'uint8' });
  return finish(base, {
    nodes: [{ op: 'Transpose', inputs: ['features'], outputs: ['map'], attributes: { perm: [0, 2, 3, 1] } }],
    outputs: [{ name: 'map', dims: [base.batch, 4, 4, base.channels] }],
  });
}

/** Maps of 4 x 4 and 2 x 2 cells, a vector, tokens with CLS, and the same tokens doubled, of a tile. */
export function pyramidModel(): Uint8Array {
  const base = embedding({});
  const tokens = tokenNodes(1, base.channels, 'tokens');
  const halving = { kernel_shape: [2, 2], strides: [2, 2] };
  return finish(base, {
    nodes: [
      ...pooled,
      ...tokens.nodes,
      { op: 'Add', inputs: ['tokens', 'tokens'], outputs: ['doubled'] },
      { op: 'Identity', inputs: ['features'], outputs: ['fine'] },
      { op: 'AveragePool', inputs: ['features'], outputs: ['coarse'], attributes: halving },
    ],
    initializers: tokens.initializers,
    outputs: [
      { name: 'pooled', dims: [base.batch, base.channels] },
      { name: 'fine', dims: [base.batch, base.channels, 4, 4] },
      { name: 'coarse', dims: [base.batch, base.channels, 2, 2] },
      { name: 'tokens', dims: [base.batch, 17, base.channels] },
      { name: 'doubled', dims: [base.batch, 17, base.channels] },
    ],
  });
}

/** A CLIP-like model that also wants text. */
export function textAndImageModel(): Uint8Array {
  const base = embedding({});
  const tokens = tokenNodes(1, base.channels, 'tokens');
  return finish(base, {
    nodes: [
      ...tokens.nodes,
      { op: 'Cast', inputs: ['input_ids'], outputs: ['text'], attributes: { to: 1 } },
      { op: 'ReduceMean', inputs: ['text'], outputs: ['text_mean'], attributes: { axes: [1], keepdims: 1 } },
    ],
    initializers: tokens.initializers,
    inputs: [{ name: 'input_ids', type: 'int64', dims: ['text_batch', 'sequence'] }],
    outputs: [
      { name: 'text_mean', dims: ['text_batch', 1] },
      { name: 'tokens', dims: [base.batch, 17, base.channels] },
    ],
  });
}

/** A model of vectors, not of images. */
export function vectorModel(): Uint8Array {
  return encodeModel({
    inputs: [{ name: 'vector', dims: ['batch', 16] }],
    outputs: [{ name: 'result', dims: ['batch', 4] }],
    initializers: [{ name: 'weights', dims: [16, 4], data: randomFloats(64, makeRandom(1)) }],
    nodes: [{ op: 'MatMul', inputs: ['vector', 'weights'], outputs: ['result'] }],
  });
}

const pooled: Node[] = [
  { op: 'GlobalAveragePool', inputs: ['features'], outputs: ['average'] },
  { op: 'Flatten', inputs: ['average'], outputs: ['pooled'] },
];

/** A model with one vector per tile and no place for cells. */
export function pooledModel(): Uint8Array {
  const base = embedding({});
  return finish(base, { nodes: pooled, outputs: [{ name: 'pooled', dims: [base.batch, base.channels] }] });
}

/** Leaves its tile size open but adds a position to each of 4 x 4 tokens, as most transformers do: it runs on those sizes alone. */
export function positionedModel(): Uint8Array {
  const base = embedding({ tile: ['height', 'width'] });
  const tokens = tokenNodes(0, base.channels, 'embedded_tokens');
  const positions = randomFloats(16 * base.channels, makeRandom(10));
  return finish(base, {
    nodes: [...tokens.nodes, { op: 'Add', inputs: ['embedded_tokens', 'positions'], outputs: ['tokens'] }],
    initializers: [...tokens.initializers, { name: 'positions', dims: [1, 16, base.channels], data: positions }],
    outputs: [{ name: 'tokens', dims: [base.batch, 'tokens_per_tile', base.channels] }],
  });
}

/** A vector first, then tokens, then the feature map of the same cells. */
export function severalOutputsModel(): Uint8Array {
  const base = embedding({});
  const tokens = tokenNodes(1, base.channels, 'tokens');
  return finish(base, {
    nodes: [...pooled, ...tokens.nodes, { op: 'Identity', inputs: ['features'], outputs: ['map'] }],
    initializers: tokens.initializers,
    outputs: [
      { name: 'pooled', dims: [base.batch, base.channels] },
      { name: 'tokens', dims: [base.batch, 17, base.channels] },
      { name: 'map', dims: [base.batch, base.channels, 4, 4] },
    ],
  });
}

/** Takes one or two milliseconds a tile and step: a chain of products, so that it can be stopped between them. */
export function slowModel(steps: number): Uint8Array {
  const channels = 512;
  const base = embedding({ tile: [128, 128], channels });
  const identity = new Float32Array(channels * channels);
  for (let i = 0; i < channels; i++) identity[i * channels + i] = 1;
  const tokens = tokenNodes(0, channels, 'step0');
  const nodes: Node[] = [];
  for (let step = 0; step < steps; step++) {
    nodes.push(
      { op: 'MatMul', inputs: [`step${step}`, 'identity'], outputs: [`product${step}`] },
      { op: 'Tanh', inputs: [`product${step}`], outputs: [`step${step + 1}`] },
    );
  }
  return finish(base, {
    nodes: [...tokens.nodes, ...nodes],
    initializers: [...tokens.initializers, { name: 'identity', dims: [channels, channels], data: identity }],
    outputs: [{ name: `step${steps}`, dims: [base.batch, 256, channels] }],
  });
}

/** Runs on dark tiles and fails inside the runtime on bright ones (a mean above 1): an index that depends on the pixels. */
export function failsOnBrightModel(): Uint8Array {
  const base = embedding({ metadata: { 'manyscale.rescale': '1' } });
  const tokens = tokenNodes(0, base.channels, 'tokens_before');
  return finish(base, {
    nodes: [
      ...tokens.nodes,
      { op: 'ReduceMean', inputs: ['pixel_values'], outputs: ['brightness'], attributes: { keepdims: 0 } },
      { op: 'Cast', inputs: ['brightness'], outputs: ['index'], attributes: { to: 7 } },
      { op: 'Gather', inputs: ['table', 'index'], outputs: ['gain'], attributes: { axis: 0 } },
      { op: 'Mul', inputs: ['tokens_before', 'gain'], outputs: ['tokens'] },
    ],
    initializers: [...tokens.initializers, { name: 'table', dims: [1], data: new Float32Array([1]) }],
    outputs: [{ name: 'tokens', dims: [base.batch, 16, base.channels] }],
  });
}

/** Adds the mean of all pixels of the batch to every token: a tile's features depend on what it is batched with. */
export function looksAroundModel(): Uint8Array {
  const base = embedding({ metadata: { 'manyscale.rescale': '1' } });
  const tokens = tokenNodes(0, base.channels, 'tokens_before');
  return finish(base, {
    nodes: [
      ...tokens.nodes,
      { op: 'ReduceMean', inputs: ['pixel_values'], outputs: ['brightness'], attributes: { keepdims: 0 } },
      { op: 'Add', inputs: ['tokens_before', 'brightness'], outputs: ['tokens'] },
    ],
    initializers: tokens.initializers,
    outputs: [{ name: 'tokens', dims: [base.batch, 16, base.channels] }],
  });
}

/** Declares any batch but has a batch of 1 written into a Reshape, as careless exports do: more than one tile fails. */
export function secretlyFixedBatchModel(): Uint8Array {
  const base = embedding({});
  return finish(base, {
    nodes: [
      { op: 'Reshape', inputs: ['features', 'one_tile'], outputs: ['columns'] },
      { op: 'Transpose', inputs: ['columns'], outputs: ['tokens'], attributes: { perm: [0, 2, 1] } },
    ],
    initializers: [{ name: 'one_tile', dims: [3], data: int64(1, base.channels, 16) }],
    outputs: [{ name: 'tokens', dims: [base.batch, 16, base.channels] }],
  });
}
