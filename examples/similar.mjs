// Which photos look alike? One vector per photo, compared by the angle between them.
//   node examples/similar.mjs [PHOTO...]
import { readdirSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defaultModel, Extractor } from 'manyscale';

const folder = fileURLToPath(new URL('photos/', import.meta.url));
const own = readdirSync(folder)
  .filter((name) => /\.(jpg|png)$/.test(name))
  .map((name) => folder + name);
const photos = process.argv.length > 2 ? process.argv.slice(2) : own;

const extractor = await Extractor.load(defaultModel, { scales: [1, 2] });
const vectors = await Promise.all(photos.map(async (photo) => (await extractor.extract(photo)).vector()));

// What all photos share says nothing about which are alike.
const mean = vectors[0].map((_, i) => vectors.reduce((sum, vector) => sum + vector[i], 0) / vectors.length);
const centred = vectors.map((vector) => vector.map((value, i) => value - mean[i]));
const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
const cosine = (a, b) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));

for (const [i, photo] of photos.entries()) {
  const others = photos
    .map((other, j) => ({ other, likeness: cosine(centred[i], centred[j]) }))
    .filter((_, j) => j !== i);
  const [best] = others.sort((a, b) => b.likeness - a.likeness);
  if (best) console.log(`${basename(photo)} is most like ${basename(best.other)} (${best.likeness.toFixed(2)})`);
}

await extractor.dispose();
