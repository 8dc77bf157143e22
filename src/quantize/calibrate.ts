// What the activations of a model look like on images: found by the model itself, which gets one more output that the Extractor then
// returns like features.

import { clone } from '@bufbuild/protobuf';
import { ManyscaleError } from '../errors.js';
import { Extractor } from '../extractor.js';
import type { Features } from '../features.js';
import type { ImageInput } from '../images/image.js';
import { type Attributes, makeNode, makeTensor, makeValue } from '../onnx/build.js';
import { wholeModel } from '../onnx/file.js';
import { FreshNames, opsetOf } from '../onnx/graph.js';
import { type GraphModel, type NodeProto, schema } from '../onnx/schema.js';
import type { ExtractorOptions, ScaleOptions } from '../options/options.js';
import type { Layer } from './layers.js';
import type { Scheme } from './rewrite.js';

/** Of all values of an activation. */
export interface Statistics {
  low: number;
  high: number;
  meanSquare: number;
  /** Mean over rows of the square of each row's largest absolute value. */
  peakSquare: number;
}

/** The features that the statistics are made to look like. */
export interface FeatureOutput {
  name: string;
  layout: 'bnc' | 'bchw';
}

const PER_ACTIVATION = 4;

/**
 * Above so much noise a layer takes the next scheme: 34 dB and 27 dB below the activation. Usual layers have 1e-4 (40 dB) with either;
 * those with a few far larger channels or tokens, as trained transformers have, lose more, less of it by row.
 */
const MOST_NOISE = { static: 4e-4, row: 2e-3 };

/** What came in to the layers, each once. */
export function activationsOf(layers: readonly Layer[]): string[] {
  return [...new Set(layers.map(({ activation }) => activation))];
}

/**
 * Adds an output to `model` itself with the statistics of `activations` as channels, four of each, the same in every cell: they are
 * of the whole batch. Returns the output's name.
 */
export function addStatistics(model: GraphModel, activations: readonly string[], output: FeatureOutput): string {
  const { graph } = model;
  const opset = opsetOf(model);
  const names = new FreshNames(graph);
  const nodes: NodeProto[] = [];
  const apply = (op: string, inputs: string[], attributes: Attributes = {}) => {
    const name = names.make(`manyscale.statistics.${op}`);
    nodes.push(makeNode(op, inputs, [name], attributes));
    return name;
  };
  const integers = (wanted: string, ...values: number[]) => {
    const name = names.make(`manyscale.statistics.${wanted}`);
    graph.initializer.push(makeTensor(name, [values.length], BigInt64Array.from(values, BigInt)));
    return name;
  };
  // What is an attribute before an opset is an input from it on.
  const reduce = (op: 'ReduceMax' | 'ReduceMean', input: string, axis: number, name: string) =>
    opset < 18 ? apply(op, [input], { axes: [axis] }) : apply(op, [input, name]);
  const lastAxis = integers('last_axis', -1);
  const one = integers('one', 1);
  const whole = (op: string, input: string) => apply('Reshape', [apply(op, [input]), one]);
  const statistics = activations.flatMap((x) => {
    const peaks = reduce('ReduceMax', apply('Abs', [x]), -1, lastAxis);
    return [
      whole('ReduceMin', x),
      whole('ReduceMax', x),
      whole('ReduceMean', apply('Mul', [x, x])),
      whole('ReduceMean', apply('Mul', [peaks, peaks])),
    ];
  });
  const channels = activations.length * PER_ACTIVATION;
  const isMap = output.layout === 'bchw';
  const shape = isMap ? [1, channels, 1, 1] : [1, 1, channels];
  const joined = apply('Reshape', [apply('Concat', statistics, { axis: 0 }), integers('shape', ...shape)]);
  // A zero for every cell, of the features' batch and places, so that the statistics are spread over them.
  const axis = isMap ? 1 : 2;
  const cells = reduce('ReduceMean', output.name, axis, integers('channel_axis', axis));
  const result = names.make('manyscale.statistics');
  nodes.push(makeNode('Add', [apply('Sub', [cells, cells]), joined], [result]));
  graph.node.push(...nodes);
  graph.output.push(makeValue(result, isMap ? ['batch', channels, 'rows', 'columns'] : ['batch', 'tokens', channels]));
  return result;
}

/** Puts together what addStatistics' output says of many images. */
export class StatisticsCollector {
  readonly #activations: readonly string[];
  readonly #sums: Statistics[];
  #cells = 0;

  constructor(activations: readonly string[]) {
    this.#activations = activations;
    this.#sums = activations.map(() => ({ low: 0, high: 0, meanSquare: 0, peakSquare: 0 }));
  }

  /** `cells`: [cells, channels] of an image at one scale. */
  add(cells: Float32Array): void {
    const channels = this.#activations.length * PER_ACTIVATION;
    for (let start = 0; start < cells.length; start += channels) {
      for (const [index, sum] of this.#sums.entries()) {
        const at = start + index * PER_ACTIVATION;
        sum.low = Math.min(sum.low, cells[at] as number);
        sum.high = Math.max(sum.high, cells[at + 1] as number);
        sum.meanSquare += cells[at + 2] as number;
        sum.peakSquare += cells[at + 3] as number;
      }
    }
    this.#cells += cells.length / channels;
  }

  result(): Map<string, Statistics> {
    return new Map(
      this.#activations.map((name, index) => {
        const { low, high, meanSquare, peakSquare } = this.#sums[index] as Statistics;
        return [name, { low, high, meanSquare: meanSquare / this.#cells, peakSquare: peakSquare / this.#cells }];
      }),
    );
  }
}

/**
 * The fastest scheme that loses little of an activation, or none. What is lost is the power of the rounding's noise (a twelfth of a step
 * squared) as a share of the activation's own.
 */
export function chooseScheme({ low, high, meanSquare, peakSquare }: Statistics): Scheme | undefined {
  const noise = (step: number) => step ** 2 / 12 / meanSquare;
  if (noise((high - low) / 255) <= MOST_NOISE.static) return { kind: 'static', low, high };
  return noise(Math.sqrt(peakSquare) / 127) <= MOST_NOISE.row ? { kind: 'row' } : undefined;
}

/** What calibrate() runs the float32 model with. */
export interface CalibrationOptions {
  /** What the model that is calibrated was loaded with. */
  load: ExtractorOptions;
  scale: ScaleOptions;
  signal: AbortSignal;
}

/**
 * Runs `model` over all tiles of `images` and chooses a scheme for what comes in to each layer. `like`: an Extractor of the model.
 * `onImage` is called after each image.
 */
export async function calibrate(
  model: GraphModel,
  layers: readonly Layer[],
  like: Extractor,
  images: readonly ImageInput[],
  { load, scale, signal }: CalibrationOptions,
  onImage: () => void,
): Promise<Map<string, Scheme>> {
  const activations = activationsOf(layers);
  const { name, layout, numPrefixTokens } = like.info.output;
  const dims = like.info.outputs.find((output) => output.name === name)?.dims ?? [];
  if (dims.length > 0 && dims.length !== (layout === 'bnc' ? 3 : 4)) {
    throw new ManyscaleError(
      'ERR_MODEL_SHAPE',
      `Expected an output [batch, tokens, channels] or [batch, channels, height, width] for calibration but received ${name} [${dims.join(', ')}]; name another output`,
    );
  }
  const copy = clone(schema('ModelProto'), model) as GraphModel;
  const output = addStatistics(copy, activations, { name, layout });
  const collector = new StatisticsCollector(activations);
  await using extractor = await Extractor.load(wholeModel(copy), {
    ...load,
    dropPrefixTokens: false, // they go through the layers as well
    output,
    ...(layout === 'bnc' && { numPrefixTokens }),
    signal,
  });
  for (const image of images) {
    for await (const cells of cellsOf(extractor, image, { load, scale, signal })) collector.add(cells);
    onImage();
  }
  const chosen = [...collector.result()].map(([activation, found]) => [activation, chooseScheme(found)] as const);
  return new Map(chosen.flatMap(([activation, scheme]) => (scheme ? [[activation, scheme]] : [])));
}

/**
 * [cells, channels] of each scale as the model gives them: scales that are joined are averaged to one grid, tiles that overlap are blended, and
 * averages have a smaller range.
 */
async function* cellsOf(
  extractor: Extractor,
  image: ImageInput,
  { load, scale, signal }: CalibrationOptions,
): AsyncGenerator<Float32Array> {
  const extract = (options: ScaleOptions) => extractor.extract(image, { ...options, outputShape: 'bnc', signal });
  if (load.preset === undefined) {
    // The sizes that overlapping tiles fill are not always those of tiles that touch.
    const touching = load.overlap ? ({ overlap: 0, uneven: load.uneven === 'pad' ? 'pad' : 'resize' } as const) : {};
    for (const alone of eachScale(scale))
      yield (await extract({ ...alone, ...touching, resizeOutputToIndex: 0 })).tensor.data as Float32Array;
    return;
  }
  const first = await extract({});
  if (first.isSequence) {
    yield first.tensor.data as Float32Array;
    return;
  }
  for (const [index, { channels }] of first.scales.entries())
    yield sliceChannels(await extract({ resizeOutputToIndex: index }), channels);
}

function sliceChannels({ tensor }: Features, [from, to]: readonly [number, number]): Float32Array {
  const [rows = 0, total = 0] = tensor.dims;
  const data = tensor.data as Float32Array;
  const slice = new Float32Array(rows * (to - from));
  for (let row = 0; row < rows; row++)
    slice.set(data.subarray(row * total + from, row * total + to), row * (to - from));
  return slice;
}

function eachScale({ scales = [], imageSizes }: ScaleOptions): ScaleOptions[] {
  return imageSizes ? imageSizes.map((size) => ({ imageSizes: [size] })) : scales.map((one) => ({ scales: [one] }));
}
