// The engine against the raw limit of the model, against onnxruntime-node, and against the naive Node way.
// node bench/engine.mjs [--json] [--quick] [--model FILE]      --model: instead of the ViT-S/16-shaped one; 224 x 224 tiles

import { setTimeout as sleep } from 'node:timers/promises';
import { Extractor } from 'manyscale';
import * as ort from 'onnxruntime-node';
import { engineThreads } from './lib/machine.mjs';
import { interleave, median, timed } from './lib/measure.mjs';
import { cosine, extractNaive, loadNaive } from './lib/naive.mjs';
import { rawPhoto } from './lib/photos.mjs';
import { startRawLimit } from './lib/raw-limit.mjs';
import { runSection } from './lib/section.mjs';
import { columns, perOne, speedUp, throughput } from './lib/throughput.mjs';
import { vitS16 } from './models/vit.mjs';

const IN_FLIGHT = 8;
const SCALES = [1, 2, 3];
const TILES = 14; // of an image
const BATCHES = [1, 2, 4]; // that the raw limit tries

/** The batch with which the raw limit is fastest here, and the tiles per second of each. */
async function bestBatch(limit, tiles, quick) {
  const candidates = Object.fromEntries(BATCHES.map((batch) => [batch, () => limit.run(batch, tiles)]));
  const found = await interleave(candidates, { rounds: quick ? 1 : 3, warmup: 0 });
  const speeds = BATCHES.map((batch) => tiles / median(found[batch].map(({ seconds }) => seconds)));
  return { batch: BATCHES[speeds.indexOf(Math.max(...speeds))], speeds };
}

/** onnxruntime-node with its default options on ready tiles, all of an image in one run. The result: { seconds, processor }. */
async function loadOneBatch({ model, input, output }) {
  const session = await ort.InferenceSession.create(model.path);
  const { height, width } = input.tileSize;
  const data = Float32Array.from({ length: TILES * 3 * height * width }, () => Math.random() * 2 - 1);
  const tensor = new ort.Tensor('float32', data, [TILES, 3, height, width]);
  return () => timed(() => session.run({ [input.name]: tensor }, [output.name]));
}

async function measure({ quick, progress, values }) {
  progress('loading');
  const model = values.model ?? (await vitS16());
  const extractor = await Extractor.load(model, { scales: SCALES });
  const { info } = extractor;
  const image = await rawPhoto(672, 672);
  const tiles = IN_FLIGHT * TILES;
  // Whole batches for every thread, so that none is left alone with the last one: about half as many tiles as the images have.
  const turn = Math.max(...BATCHES) * engineThreads;
  const lot = Math.ceil(tiles / 2 / turn) * turn;
  const limit = await startRawLimit(info, lot);
  const oneBatch = await loadOneBatch(info);
  const naive = await loadNaive(info);
  const { width, height, channels } = image;
  const asSharp = { data: image.data, info: { width, height, channels } };

  const features = await extractor.extract(image, { outputShape: 'bchw' });
  const agreement = cosine(features.tensor.data, (await extractNaive(naive, asSharp, SCALES)).data);
  progress('the best batch of the raw limit');
  const best = await bestBatch(limit, Math.ceil(lot / 2 / turn) * turn, quick);

  // onnxruntime-node's threads spin for a moment after a run: they must be asleep before the next candidate starts.
  const settled = async (run) => {
    const found = await run();
    await sleep(50);
    return found;
  };
  // A round has the engine in the middle, and before and after it half of what it is compared with: a machine that slows down
  // or speeds up hits both alike. Seconds per tile.
  const half = async () => ({
    raw: await limit.run(best.batch, lot),
    oneBatch: await settled(oneBatch),
  });
  const rounds = { engine: [], raw: [], oneBatch: [], naive: [] };
  const both = (a, b) => ({ seconds: a.seconds + b.seconds, processor: a.processor + b.processor });
  const total = quick ? 1 : 5;
  for (let round = 0; round < total; round++) {
    progress(`round ${round + 1} of ${total}`);
    const before = await half();
    const engine = await timed(() => Promise.all(Array.from({ length: IN_FLIGHT }, () => extractor.extract(image))));
    const after = await half();
    rounds.engine.push(perOne(engine, tiles));
    rounds.raw.push(perOne(both(before.raw, after.raw), 2 * lot));
    rounds.oneBatch.push(perOne(both(before.oneBatch, after.oneBatch), 2 * TILES));
    const naively = await settled(() => timed(() => extractNaive(naive, asSharp, SCALES)));
    rounds.naive.push(perOne(naively, TILES));
  }
  await limit.close();
  await extractor.dispose();

  const against = (name, key, atLeast) => ({
    ...throughput(name, rounds[key], 'tiles/s'),
    ratio: speedUp(rounds[key], rounds.engine),
    ...(atLeast && { targets: [{ of: 'ratio', atLeast }] }),
  });
  return {
    what: `tiles per second, and processor time of a tile, of ${info.model.name}; ${IN_FLIGHT} images of 672 x 672 pixels at once, scales ${SCALES.join(', ')} (${TILES} tiles each)`,
    ratio: 'manyscale is faster by',
    rows: [
      throughput('manyscale, from pixels to features', rounds.engine, 'tiles/s'),
      against(`raw limit: ready tiles, native threads, batch ${best.batch}`, 'raw', 0.95),
      against(`onnxruntime-node: ready tiles, one batch of ${TILES}`, 'oneBatch', 1.15),
      against('naive: sharp per scale + onnxruntime-node + loops', 'naive'),
    ],
    data: {
      perTile: Object.fromEntries(Object.entries(rounds).map(([key, taken]) => [key, columns(taken)])),
      rawTilesPerSecond: Object.fromEntries(BATCHES.map((batch, i) => [`batch ${batch}`, best.speeds[i]])),
      cosineToNaive: agreement,
    },
  };
}

await runSection({
  name: 'engine',
  title: 'the engine against the raw limit',
  options: { model: { type: 'string' } },
  measure,
});
