// How far the resize modes lie apart on real photos: their pixels, and what the default model makes of them. Each photo's
// centre square is resized to the model's tile by every mode, and compared with 'pillow-bicubic'. Tables for docs/resize.md.
//
//   npm run build:ts && node scripts/resize-modes/compare.mjs [PHOTO...]

import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { centreSquare, resizeByAll, STANDARD } from './modes.mjs';

const TILE = 224; // of the default model
const SCALES = [1, 2];
const photos = ['dandelions-large.jpg', 'two-dogs.jpg', 'temple.jpg'].map((name) =>
  fileURLToPath(new URL(`../../examples/photos/${name}`, import.meta.url)),
);

/** Mean and largest difference of two pictures. */
function difference(a, b) {
  let sum = 0;
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    const apart = Math.abs(a[i] - b[i]);
    sum += apart;
    largest = Math.max(largest, apart);
  }
  return { mean: sum / a.length, largest };
}

function cosine(a, b) {
  let ab = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < a.length; i++) {
    ab += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return ab / Math.sqrt(aa * bb);
}

/** The cosine of each cell's features, [cells, channels]: their mean and the smallest. */
function cosines(a, b) {
  const [cells, channels] = a.dims;
  const row = (tensor, cell) => tensor.data.subarray(cell * channels, (cell + 1) * channels);
  const all = Array.from({ length: cells }, (_, cell) => cosine(row(a, cell), row(b, cell)));
  return { mean: all.reduce((sum, value) => sum + value, 0) / cells, smallest: Math.min(...all) };
}

for (const photo of process.argv.length > 2 ? process.argv.slice(2) : photos) {
  const image = await centreSquare(photo);
  const results = await resizeByAll(
    image,
    SCALES.map((scale) => scale * TILE),
  );
  const standard = results.find(({ name }) => name === STANDARD);
  const columns = SCALES.flatMap((scale) => [`cosine, scale ${scale}`, 'least of a cell']);
  console.log(`${basename(photo)}, centre ${image.width} x ${image.height}, to ${TILE} x ${TILE}\n`);
  console.log(`| resized by | mean | largest | ${columns.join(' | ')} |`);
  console.log(`| --- |${' ---: |'.repeat(2 + columns.length)}`);
  for (const { name, pixels, features } of results) {
    if (name === STANDARD) continue;
    const { mean, largest } = difference(pixels, standard.pixels);
    const scales = features.map((tensor, s) => cosines(tensor, standard.features[s]));
    const cells = scales.flatMap(({ mean: average, smallest }) => [average.toFixed(4), smallest.toFixed(4)]);
    console.log(`| \`${name}\` | ${mean.toFixed(2)} | ${largest.toFixed(0)} | ${cells.join(' | ')} |`);
  }
  console.log('');
}
