// The option fastDecode against decoding whole images, in one run: how much faster, and how far the features are from each
// other, on the JPEG photos of examples/photos. Photos that are too small for a scale are decoded whole and left out.
// node bench/fast-decode.mjs [--rounds N] [--json]

import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { defaultModel, Extractor } from 'manyscale';
import sharp from 'sharp';
import { interleave, machine, median, table } from './measure.mjs';

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '9' }, json: { type: 'boolean', default: false } },
});
const photos = ['dandelions-large.jpg', 'dandelions.jpg', 'two-dogs.jpg', 'temple.jpg'];

/** Cosine of all numbers of a scale, and its largest difference relative to their root mean square. */
function compare(fast, whole, [from, to]) {
  const [channels, height, width] = whole.dims;
  if (to > channels) throw new Error('not a feature map');
  const cells = height * width;
  let product = 0;
  let [fastSquares, wholeSquares, largest] = [0, 0, 0];
  for (let i = from * cells; i < to * cells; i++) {
    const [a, b] = [fast.data[i], whole.data[i]];
    product += a * b;
    fastSquares += a * a;
    wholeSquares += b * b;
    largest = Math.max(largest, Math.abs(a - b));
  }
  return {
    cosine: product / Math.sqrt(fastSquares * wholeSquares),
    largest: largest / Math.sqrt(wholeSquares / ((to - from) * cells)),
  };
}

const results = [];
for (const scales of [[1], [1, 2]]) {
  const whole = await Extractor.load(defaultModel, { scales });
  const fast = await Extractor.load(defaultModel, { scales, fastDecode: true });
  const { height, width } = whole.info.input.tileSize;
  for (const name of photos) {
    const bytes = await readFile(new URL(`../examples/photos/${name}`, import.meta.url));
    const size = await sharp(bytes).metadata();
    const room = Math.min(size.height / height, size.width / width) / (2 * Math.max(...scales));
    if (room < 3) continue;
    const [fastFeatures, wholeFeatures] = [await fast.extract(bytes), await whole.extract(bytes)];
    const decode = { whole: [], fast: [] };
    const times = await interleave(
      {
        whole: async () => decode.whole.push((await whole.extract(bytes)).timings.decode),
        fast: async () => decode.fast.push((await fast.extract(bytes)).timings.decode),
      },
      { rounds: Number(values.rounds) },
    );
    results.push({
      photo: `${name}, ${size.width} x ${size.height}`,
      scales: scales.join(', '),
      decode: { whole: median(decode.whole), fast: median(decode.fast) },
      total: { whole: median(times.whole), fast: median(times.fast) },
      perScale: wholeFeatures.scales.map(({ channels }) =>
        compare(fastFeatures.tensor, wholeFeatures.tensor, channels),
      ),
    });
  }
  await Promise.all([whole.dispose(), fast.dispose()]);
}

if (values.json) {
  console.log(JSON.stringify({ what: 'fastDecode, default model, milliseconds', machine: machine(), results }));
} else {
  console.log('fastDecode against decoding whole images, default model; times are medians in milliseconds\n');
  const times = ({ whole, fast }) => `${whole.toFixed(1)} -> ${fast.toFixed(1)}`;
  console.log(
    table([
      ['photo', 'scales', 'decode', 'extract', 'cosine per scale', 'largest difference / rms'],
      ...results.map(({ photo, scales, decode, total, perScale }) => [
        photo,
        scales,
        times(decode),
        times(total),
        perScale.map(({ cosine }) => cosine.toFixed(5)).join(', '),
        perScale.map(({ largest }) => largest.toFixed(2)).join(', '),
      ]),
    ]),
  );
}
