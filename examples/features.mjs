// Multi-scale features of a photo.
//   node examples/features.mjs [PHOTO]
import { fileURLToPath } from 'node:url';
import { defaultModel, Extractor } from 'manyscale';

const photo = process.argv[2] ?? fileURLToPath(new URL('photos/temple.jpg', import.meta.url));

const extractor = await Extractor.load(defaultModel, { scales: [1, 2, 3] });
const { tensor, grid, scales, timings } = await extractor.extract(photo);

console.log(
  `${tensor.dims.join(' x ')} ${tensor.type}: ${tensor.dims[0]} channels on ${grid.height} x ${grid.width} cells`,
);
for (const { height, width, rows, columns, channels } of scales) {
  console.log(
    `  channels ${channels[0]} to ${channels[1] - 1}: ${height} x ${width} pixels in ${rows} x ${columns} tiles`,
  );
}
console.log(`${timings.total.toFixed(0)} ms, of which ${timings.decode.toFixed(0)} ms decoding`);

await extractor.dispose();
