// A model quantised by `manyscale quantize` against the float32 model that it was made from.
// node bench/int8.mjs [--json] [--quick] [--model FILE]      --model: instead of the ViT-S/16-shaped one

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Extractor } from 'manyscale';
import { root } from './lib/machine.mjs';
import { interleave, median, medianRatio, seconds } from './lib/measure.mjs';
import { cosine } from './lib/naive.mjs';
import { rawPhoto } from './lib/photos.mjs';
import { runSection } from './lib/section.mjs';
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

    const count = quick ? 2 : 8;
    const secondsPerTile = (extractor) => async () =>
      (await seconds(() => Promise.all(Array.from({ length: count }, () => extractor.extract(image))))) /
      (count * TILES);
    const found = await interleave(
      { float32: secondsPerTile(float32), int8: secondsPerTile(int8) },
      { rounds: quick ? 2 : 4, warmup: 0, progress },
    );
    const megabytes = async (file) => (await stat(file)).size / 1e6;
    const sizes = { float32: await megabytes(path), int8: await megabytes(quantised) };
    await Promise.all([float32.dispose(), int8.dispose()]);
    return {
      what: `tiles per second of ${float32.info.model.name}; ${count} images of 672 x 672 pixels at once, scales ${SCALES.join(', ')}`,
      ratio: 'int8 is faster by, smaller by',
      rows: [
        { name: 'float32', value: 1 / median(found.float32), unit: 'tiles/s' },
        {
          name: 'int8',
          value: 1 / median(found.int8),
          unit: 'tiles/s',
          ratio: medianRatio(found.float32, found.int8),
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
      data: { secondsPerTile: found, cosinePerScale: agreement, megabytes: sizes },
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
