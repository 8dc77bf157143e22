// From JPEG bytes to features, many photos: manyscale against what a Node user would write today (lib/naive.mjs).
// node bench/photos.mjs [--json] [--quick] [--images N]

import { defaultModel, Extractor } from 'manyscale';
import { interleave, median, timed } from './lib/measure.mjs';
import { cosine, extractNaive, loadNaive } from './lib/naive.mjs';
import { largePhotoBytes, photoBytes } from './lib/photos.mjs';
import { runSection } from './lib/section.mjs';
import { columns, perOne, speedUp, throughput } from './lib/throughput.mjs';

const SCALES = [1, 2, 3];
const ONE_BY_ONE = 'one after another';
const NAIVE = `naive, ${ONE_BY_ONE}`;
const TARGET = [{ of: 'ratio', atLeast: 3 }];

/** One size of photo, `count` images in a turn: rows, what every turn took per image, and the median stages of our images. */
async function compare({ extractor, naive, bytes, name, count, rounds, progress, targets }) {
  const images = Array.from({ length: count }, () => bytes);
  const timings = [];
  const few = images.slice(0, Math.ceil(count / 4)); // one after another a quarter of them says as much
  const oneByOne = (options) => async () => {
    for (const image of few) await extractNaive(naive, image, SCALES, options);
  };
  const atOnce = (options) => () =>
    Promise.all(images.map((image) => extractNaive(naive, image, SCALES, { ...options, parallel: true })));
  const candidates = {
    manyscale: async () => {
      for await (const { features, error } of extractor.extractMany(images)) {
        if (error) throw error;
        timings.push(features.timings);
      }
    },
    [NAIVE]: oneByOne({}),
    'naive, Promise.all': atOnce({}),
    [`naive, JPEG decoded small (other pixels), ${ONE_BY_ONE}`]: oneByOne({ shrinkOnLoad: true }),
    'naive, JPEG decoded small (other pixels), Promise.all': atOnce({ shrinkOnLoad: true }),
  };
  const measured = Object.fromEntries(
    Object.entries(candidates).map(([key, run]) => {
      const done = key.endsWith(ONE_BY_ONE) ? few.length : count;
      return [key, async () => perOne(await timed(run), done)];
    }),
  );
  const found = await interleave(measured, { rounds, progress: (text) => progress(`${name}: ${text}`) });
  const rows = Object.entries(found).map(([key, taken]) => ({
    ...throughput(`${name}: ${key}`, taken, 'images/s'),
    ...(key !== 'manyscale' && { ratio: speedUp(taken, found.manyscale) }),
    ...(key === NAIVE && targets && { targets }),
  }));
  const perImage = Object.fromEntries(Object.entries(found).map(([key, taken]) => [key, columns(taken)]));
  const stagesMs = Object.fromEntries(
    Object.keys(timings[0]).map((stage) => [stage, median(timings.map((one) => one[stage]))]),
  );
  return { rows, data: { name, images: count, perImage, stagesMs } };
}

async function measure({ quick, progress, values }) {
  const count = Number(values.images ?? (quick ? 8 : 32));
  const large = Math.ceil(count / 4);
  const extractor = await Extractor.load(defaultModel, { scales: SCALES });
  const naive = await loadNaive(extractor.info);
  const photo = await photoBytes();
  const largePhoto = await largePhotoBytes();
  const features = await extractor.extract(photo);
  const agreement = cosine(features.tensor.data, (await extractNaive(naive, photo, SCALES)).data);

  const shared = { extractor, naive, progress };
  const rounds = quick ? 1 : 5;
  const groups = [
    await compare({ ...shared, bytes: photo, name: `${count} of 1778 x 1000`, count, rounds, targets: TARGET }),
    await compare({
      ...shared,
      bytes: largePhoto,
      name: `${large} of 5000 x 3000`,
      count: large,
      rounds: quick ? 1 : 3,
    }),
    await compare({ ...shared, bytes: largePhoto, name: 'one of 5000 x 3000', count: 1, rounds }),
  ];
  await extractor.dispose();
  return {
    what: `images per second, and processor time of an image, from JPEG bytes (extractMany), default model, scales ${SCALES.join(', ')} (14 tiles); naive: sharp per scale + onnxruntime-node + loops`,
    ratio: 'manyscale is faster by',
    rows: groups.flatMap(({ rows }) => rows),
    data: { groups: groups.map(({ data }) => data), cosineToNaive: agreement },
  };
}

await runSection({
  name: 'photos',
  title: 'photos to features',
  options: { images: { type: 'string' } },
  measure,
});
