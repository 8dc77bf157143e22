// A model quantised by `manyscale quantize` against the float32 model that it was made from.
// node bench/int8.mjs [--json] [--quick] [--model FILE]      --model: instead of the ViT-S/16-shaped one

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Extractor } from 'manyscale';
import { root } from './lib/machine.mjs';
import { interleave, timed } from './lib/measure.mjs';
import { cosine } from './lib/naive.mjs';
import { rawPhoto } from './lib/photos.mjs';
import { runSection } from './lib/section.mjs';
import { columns, perOne, speedUp, throughput } from './lib/throughput.mjs';
import { vitS16 } from './models/vit.mjs';

const SCALES = [1, 2, 3];
const TILES = 14; // of an image

/** Per scale the cosine of the features, all of its channels and cells as one vector. */
async function cosines(extractors, image) {
  const [a, b] = await Promise.all(extractors.map((extractor) => extractor.extract(image, { outputShape: 'bchw' })));
  const cells = a.grid.height * a.grid.width;
  return a.scales.map(({ channels: [from, to] }) => {
    const [x, y] = [a, b].map(({ tensor }) => tensor.data.subarray(from * cells, to * cells));
    return cosine(x, y);
  });
}

async function measure({ quick, progress, values }) {
  if (!existsSync(join(root, 'dist/cli/commands/quantize.js')))
    return { skipped: 'this version has no quantize command' };
  const path = values.model ?? (await vitS16());
  const folder = await mkdtemp(join(tmpdir(), 'manyscale-bench-'));
  try {
    const quantised = join(folder, 'int8.onnx');
    progress('quantising');
    execFileSync(process.execPath, [join(root, 'dist/cli/main.js'), 'quantize', path, '-o', quantised], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const float32 = await Extractor.load(path, { scales: SCALES });
    const int8 = await Extractor.load(quantised, { scales: SCALES });
    const image = await rawPhoto(672, 672);
    const agreement = await cosines([float32, int8], image);

    const count = quick ? 2 : 4;
    const tiles = count * TILES;
    const perTile = (extractor) => async () =>
      perOne(await timed(() => Promise.all(Array.from({ length: count }, () => extractor.extract(image)))), tiles);
    const candidates = { float32: perTile(float32), int8: perTile(int8) };
    const found = await interleave(candidates, { rounds: quick ? 3 : 8, warmup: 0, progress });
    const megabytes = async (file) => (await stat(file)).size / 1e6;
    const sizes = { float32: await megabytes(path), int8: await megabytes(quantised) };
    await Promise.all([float32.dispose(), int8.dispose()]);
    return {
      what: `tiles per second, and processor time of a tile, of ${float32.info.model.name}; ${count} images of 672 x 672 pixels at once, scales ${SCALES.join(', ')}`,
      ratio: 'int8 is faster by, smaller by',
      rows: [
        throughput('float32', found.float32, 'tiles/s'),
        {
          ...throughput('int8', found.int8, 'tiles/s'),
          ratio: speedUp(found.float32, found.int8),
          targets: [{ of: 'ratio', atLeast: 1.5 }],
        },
        { name: 'size of the int8 model', value: sizes.int8, unit: 'MB', ratio: sizes.float32 / sizes.int8 },
        {
          name: 'cosine of features to float32, worst scale',
          value: Math.min(...agreement),
          unit: '',
          digits: 5,
          targets: [{ of: 'value', atLeast: 0.999 }],
        },
      ],
      data: {
        perTile: { float32: columns(found.float32), int8: columns(found.int8) },
        cosinePerScale: agreement,
        megabytes: sizes,
      },
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

await runSection({
  name: 'int8',
  title: 'int8 against float32',
  options: { model: { type: 'string' } },
  measure,
});
