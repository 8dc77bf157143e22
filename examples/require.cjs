// The same from CommonJS.
//   node examples/require.cjs [PHOTO]
const { join } = require('node:path');
const { defaultModel, Extractor } = require('manyscale');

async function main() {
  const photo = process.argv[2] ?? join(__dirname, 'photos', 'temple.jpg');
  const extractor = await Extractor.load(defaultModel, { scales: [1, 2] });
  try {
    const { tensor } = await extractor.extract(photo);
    console.log(tensor.dims.join(' x '));
  } finally {
    await extractor.dispose();
  }
}

main();
