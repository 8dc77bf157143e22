// Weights as int8, one scale per output channel.

import type { Matrix } from './constants.js';

export interface QuantizedWeights {
  /** [inputs, outputs], as the matrix that they are of. */
  values: Int8Array;
  /** Of each output: weight = value * scale. */
  scales: Float32Array;
}

const LARGEST = 127;

/**
 * Symmetric int8: value = round(weight / scale). A channel's scale is the smallest with which no value passes 127 and, of two inputs that
 * are neighbours (0 and 1, 2 and 3, ...), neither the positive values nor the negative ones add up to more than 128. Processors without VNNI
 * (AVX2, AVX-512, SSE) multiply uint8 by int8 in such pairs and add them in 16 bits: 255 * 128 = 32640 fits, whatever the activations
 * are, while 255 * (127 + 127) would saturate without a word. So the sums are exact on every processor, at the cost of about half a bit
 * where the usual way out, weights of 7 bits, costs one.
 */
export function quantizeWeights({ rows, columns, values }: Matrix): QuantizedWeights {
  const quantized = new Int8Array(values.length);
  const scales = new Float32Array(columns);
  // Row by row, as they lie in memory: the largest sum so far of each channel's pairs.
  for (let row = 0; row < rows; row += 2) {
    for (let column = 0; column < columns; column++) {
      const first = values[row * columns + column] as number;
      const second = row + 1 < rows ? (values[(row + 1) * columns + column] as number) : 0;
      const above = Math.max(first, 0) + Math.max(second, 0);
      const below = Math.min(first, 0) + Math.min(second, 0);
      scales[column] = Math.max(scales[column] as number, above, -below);
    }
  }
  for (let column = 0; column < columns; column++) {
    // Rounding adds at most a half to each of a pair: 127 becomes 128. A channel of zeros, or nearly so, has any scale.
    const scale = Math.fround((scales[column] as number) / LARGEST);
    scales[column] = scale > 1e-37 ? scale : 1;
  }
  for (let i = 0, column = 0; i < values.length; i++) {
    quantized[i] = Math.round((values[i] as number) / (scales[column] as number));
    if (++column === columns) column = 0;
  }
  return { values: quantized, scales };
}
