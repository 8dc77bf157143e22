// Which matrices of a graph are known before it runs.

import { ELEMENT_TYPES, type GraphProto, type NodeProto, type TensorProto } from '../onnx/schema.js';
import { readFloats } from '../onnx/tensor.js';

/** Row-major values. */
export interface Matrix {
  rows: number;
  columns: number;
  values: Float32Array;
}

/** A matrix as a graph has it: halves become floats by a Cast. */
interface Typed extends Matrix {
  type: number;
}

const { float32, float16 } = ELEMENT_TYPES;

export class Constants {
  readonly #tensors: ReadonlyMap<string, TensorProto>;
  readonly #producers: ReadonlyMap<string, NodeProto>;

  constructor(graph: GraphProto) {
    this.#tensors = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
    this.#producers = new Map(graph.node.flatMap((node) => node.output.map((name) => [name, node] as const)));
  }

  /** The float32 matrix of this name, if it does not depend on the model's input. */
  matrix(name: string): Matrix | undefined {
    const found = this.#find(name);
    return found?.type === float32 ? found : undefined;
  }

  #find(name: string): Typed | undefined {
    const tensor = this.#tensors.get(name);
    if (tensor) return readMatrix(tensor);
    const node = this.#producers.get(name);
    const [input = ''] = node?.input ?? [];
    const attribute = (wanted: string) => node?.attribute.find((one) => one.name === wanted);
    switch (node?.opType) {
      case 'Constant': {
        const value = attribute('value')?.t;
        return value && readMatrix(value);
      }
      case 'Identity':
        return this.#find(input);
      case 'Cast': {
        const from = this.#find(input);
        const to = Number(attribute('to')?.i ?? 0);
        return from && to === float32 ? { ...from, type: float32 } : undefined;
      }
      case 'Transpose': {
        const from = this.#find(input);
        const [first = 1n] = attribute('perm')?.ints ?? [];
        return from && first === 1n ? { ...transpose(from), type: from.type } : from;
      }
      default:
        return undefined;
    }
  }
}

function readMatrix(tensor: TensorProto): Typed | undefined {
  const { dims, dataType: type, rawData } = tensor;
  const [rows = 0, columns = 0] = dims.map(Number);
  const bytes = rows * columns * (type === float16 ? 2 : 4);
  const readable = rawData.length === bytes && (type === float32 || type === float16);
  const isList = type === float32 && tensor.floatData.length === rows * columns;
  if (dims.length !== 2 || !(readable || isList)) return undefined;
  return { rows, columns, values: readFloats(tensor), type };
}

export function transpose({ rows, columns, values }: Matrix): Matrix {
  const turned = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++)
      turned[column * rows + row] = values[row * columns + column] as number;
  }
  return { rows: columns, columns: rows, values: turned };
}
