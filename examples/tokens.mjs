// A Vision Transformer gives tokens: a CLS token for the whole tile, then one per patch. manyscale finds out how many there are of
// each, averages the CLS tokens of a scale's tiles and puts the patch tokens back in place.
//   node examples/tokens.mjs [PHOTO]
import { fileURLToPath } from 'node:url';
import { Extractor } from 'manyscale';

const photo = process.argv[2] ?? fileURLToPath(new URL('photos/astronaut.png', import.meta.url));
const model = fileURLToPath(new URL('../test/models/vit_emoji_96.onnx', import.meta.url));

const extractor = await Extractor.load(model, { scales: [1, 2, 3] });
const { output, input } = extractor.info;
console.log(
  `${output.name}: ${output.numPrefixTokens} CLS token and ${output.grid.height} x ${output.grid.width} patches of a tile of ${input.tileSize.width}`,
);

const features = await extractor.extract(photo);
console.log(
  `${features.tensor.dims.join(' x ')}: ${features.numPrefixTokens} + ${features.grid.height} x ${features.grid.width} tokens`,
);
console.log(
  `one vector for the image: ${features.vector('cls').length} numbers (CLS), ${features.vector('mean').length} (mean of the patches)`,
);

// The same on the grid of the largest scale: three times as many places along each side.
const fine = await extractor.extract(photo, { resizeOutputToIndex: -1 });
console.log(`on the grid of scale 3: ${fine.tensor.dims.join(' x ')}`);

await extractor.dispose();
