// What Extractor.estimate() predicts for an image against what extract() then takes.
// node bench/predict.mjs [--json] [--quick]

import { defaultModel, Extractor } from 'manyscale';
import { median, seconds } from './lib/measure.mjs';
import { rawPhoto } from './lib/photos.mjs';
import { runSection } from './lib/section.mjs';
import { vitS16 } from './models/vit.mjs';

const SIZES = [
  [224, 224],
  [1920, 1080],
  [4000, 3000],
];

/** { measured, predicted } milliseconds of each case: a new Extractor, its own measurement, then every image alone, several times. */
async function round(path, cases, repeats) {
  const extractor = await Extractor.load(path);
  try {
    const found = [];
    for (const { image, scales } of cases) {
      const { milliseconds } = await extractor.estimate(image, { scales });
      const times = [];
      for (let i = 0; i < repeats; i++) times.push(1000 * (await seconds(() => extractor.extract(image, { scales }))));
      found.push({ predicted: milliseconds, measured: median(times) });
    }
    return found;
  } finally {
    await extractor.dispose();
  }
}

async function measure({ quick, progress }) {
  if (!Extractor.prototype.estimate) return { skipped: 'this version predicts nothing' };
  const images = await Promise.all(SIZES.map(([width, height]) => rawPhoto(width, height)));
  const casesOf = (...lists) => images.flatMap((image) => lists.map((scales) => ({ image, scales })));
  const models = [
    { name: 'default model', path: defaultModel, cases: casesOf([1], [1, 2], [1, 2, 3], [1, 4]), repeats: 7 },
    { name: 'ViT-S/16-shaped', path: await vitS16(), cases: casesOf([1], [1, 2], [1, 2, 3]), repeats: quick ? 1 : 3 },
  ];
  const rounds = quick ? 2 : 5;
  const rows = [];
  const data = {};
  for (const { name, path, cases, repeats } of models) {
    const found = [];
    for (let i = 0; i < rounds; i++) {
      progress(`${name}, round ${i + 1} of ${rounds}`);
      found.push(await round(path, cases, repeats));
    }
    data[name] = cases.map(({ image, scales }, index) => ({
      width: image.width,
      height: image.height,
      scales,
      predicted: found.map((one) => one[index].predicted),
      measured: found.map((one) => one[index].measured),
    }));
    rows.push(...data[name].map((one) => row(name, one)));
  }
  return {
    what: `milliseconds of extract() of raw pixels, alone; the median of ${rounds} rounds, each with a new Extractor that first measures itself`,
    ratio: 'predicted is, times measured',
    rows,
    data,
  };
}

function row(name, { width, height, scales, predicted, measured }) {
  return {
    name: `${name}, ${width} x ${height}, scales ${scales.join(', ')}`,
    value: median(measured),
    unit: 'ms',
    note: `predicted ${median(predicted).toFixed(median(predicted) < 100 ? 1 : 0)} ms`,
    ratio: median(predicted.map((value, index) => value / measured[index])),
    targets: [
      { of: 'ratio', atLeast: 0.8 },
      { of: 'ratio', atMost: 1.2 },
    ],
  };
}

await runSection({ name: 'predict', title: 'predicted against measured time of an image', measure });
