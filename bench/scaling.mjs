// How throughput and latency change with images in flight, tiles per image, and image size.
// node bench/scaling.mjs [--json] [--quick]

import { defaultModel, Extractor } from 'manyscale';
import { closedLoop, interleave, median, quantile } from './lib/measure.mjs';
import { jpegPhoto, rawPhoto } from './lib/photos.mjs';
import { runSection } from './lib/section.mjs';

const IN_FLIGHT = [1, 2, 8, 32];
const SCALES = [[1], [1, 2], [1, 2, 3], [1, 2, 3, 4], [10]]; // 1, 5, 14, 30, 100 tiles
const SIZES = [
  [224, 224],
  [672, 448],
  [1400, 900],
  [2500, 1500],
  [5000, 3000],
];
const DEFAULT = { inFlight: 8, scales: [1, 2, 3] };

const tilesOf = (scales) => scales.reduce((sum, scale) => sum + scale * scale, 0);

async function makeCases() {
  const pixels = await rawPhoto(672, 672);
  const jpegs = await Promise.all(SIZES.map(([width, height]) => jpegPhoto(width, height)));
  const tiles = (scales) => `${tilesOf(scales)} tile${tilesOf(scales) > 1 ? 's' : ''}`;
  const cases = [
    ...IN_FLIGHT.map((inFlight) => ({ series: 'images in flight', x: inFlight, inFlight })),
    ...SCALES.map((scales) => ({ series: 'tiles per image', x: tilesOf(scales), scales })),
    ...SIZES.map(([width, height], i) => ({
      series: 'image size',
      x: width * height,
      image: jpegs[i],
      what: `${width} x ${height} JPEG`,
    })),
  ];
  return cases.map((one) => {
    const full = { ...DEFAULT, image: pixels, what: '672 x 672 pixels', ...one };
    return { ...full, name: `${full.inFlight} in flight, ${tiles(full.scales)}, ${full.what}` };
  });
}

async function measure({ quick, progress }) {
  const extractor = await Extractor.load(defaultModel, DEFAULT);
  const cases = await makeCases();
  const tilesPerTurn = quick ? 100 : 250;
  // A case that two series have in common is measured once.
  const candidates = Object.fromEntries(
    cases.map(({ name, scales, inFlight, image }) => {
      const count = Math.max(quick ? inFlight : 1.5 * inFlight, Math.ceil(tilesPerTurn / tilesOf(scales)));
      const extract = () => extractor.extract(image, { scales });
      return [
        name,
        async () => {
          const { seconds, latencies } = await closedLoop(count, inFlight, extract);
          return { speed: (count * tilesOf(scales)) / seconds, latencies };
        },
      ];
    }),
  );
  const found = await interleave(candidates, { rounds: quick ? 1 : 3, warmup: quick ? 0 : 1, progress });
  await extractor.dispose();

  const points = cases.map(({ name, series, x, inFlight, scales }) => {
    const latencies = found[name].flatMap((round) => round.latencies);
    return {
      name,
      series,
      x,
      inFlight,
      tiles: tilesOf(scales),
      tilesPerSecond: median(found[name].map((round) => round.speed)),
      medianMs: median(latencies),
      p95Ms: quantile(latencies, 0.95),
    };
  });
  const largest = Math.max(...points.map((point) => point.tilesPerSecond));
  const ms = (value) => value.toFixed(0);
  return {
    what: 'tiles per second, default model, a constant number of images in flight; and the latency of an image, median / 95th percentile in ms',
    ratio: 'of the best row',
    rows: Object.keys(candidates)
      .map((name) => points.find((point) => point.name === name))
      .map(({ name, tilesPerSecond, medianMs, p95Ms }) => ({
        name,
        value: tilesPerSecond,
        unit: 'tiles/s',
        ratio: tilesPerSecond / largest,
        note: `${ms(medianMs)} / ${ms(p95Ms)} ms`,
      })),
    data: { points },
  };
}

await runSection({ name: 'scaling', title: 'images in flight, tiles per image, image size', measure });
