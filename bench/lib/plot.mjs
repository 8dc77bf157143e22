// The results of all sections as one SVG, in the colours of the reader's light or dark mode.

import { figure } from './section.mjs';

const WIDTH = 960;
const MARGIN = 24;
const GAP = 40; // between panels
const HALF = (WIDTH - 2 * MARGIN - GAP) / 2;
const FULL = WIDTH - 2 * MARGIN;

const STYLE = `
  .back { fill: #ffffff } .text { fill: #1f2328 } .muted { fill: #59636e } .line { stroke: #d1d9e0 }
  .ours { fill: #0b6bcb } .other { fill: #b5bfca } .curve { stroke: #0b6bcb; fill: none } .limit { stroke: #b35900 } .limit-text { fill: #b35900 }
  @media (prefers-color-scheme: dark) {
    .back { fill: #0d1117 } .text { fill: #e6edf3 } .muted { fill: #9aa4af } .line { stroke: #30363d }
    .ours { fill: #4c9ef5 } .other { fill: #59636e } .curve { stroke: #4c9ef5; fill: none } .limit { stroke: #e3a008 } .limit-text { fill: #e3a008 }
  }
  text { font-family: system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; font-size: 12px }
  .title { font-size: 15px; font-weight: 600 }
`;

const escaped = (text) => String(text).replace(/[&<>]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[c]);
const at = (value) => Math.round(value * 10) / 10;

function text(x, y, content, kind = 'text', anchor = 'start') {
  return `<text class="${kind}" x="${at(x)}" y="${at(y)}" text-anchor="${anchor}">${escaped(content)}</text>`;
}
function rect(x, y, width, height, kind) {
  return `<rect class="${kind}" x="${at(x)}" y="${at(y)}" width="${at(width)}" height="${at(height)}" rx="2"/>`;
}
function line(x1, y1, x2, y2, kind = 'line', more = '') {
  return `<line class="${kind}" x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}" ${more}/>`;
}

/** A panel: { width, height, draw }; `draw()` gives elements from (0, 0). */
function panel(title, subtitle, width, height, elements) {
  const top = 46;
  const body = `<g transform="translate(0 ${top})">${elements.join('\n')}</g>`;
  return {
    width,
    height: height + top,
    body: [text(0, 14, title, 'title text'), text(0, 32, subtitle, 'muted'), body],
  };
}

/** Horizontal bars, the name above each. bars: { name, value, label, ours }. */
function bars(title, subtitle, items) {
  const step = 38;
  const most = Math.max(...items.map(({ value }) => value));
  const room = HALF - 205; // the rest is for the label
  const elements = items.flatMap(({ name, value, label, ours }, i) => [
    text(0, i * step + 11, name, 'text'),
    rect(0, i * step + 17, Math.max(1, (value / most) * room), 12, ours ? 'ours' : 'other'),
    text((value / most) * room + 8, i * step + 27, label, 'muted'),
  ]);
  return panel(title, subtitle, HALF, items.length * step, elements);
}

/** Rows as bars: `ours` is the row that stands out, `ratio` says a row's ratio in words. */
const barsOf = (rows, ours, ratio, nameOf = (row) => row.name) =>
  rows.map((row) => ({
    name: nameOf(row),
    value: row.value,
    label: `${figure(row.value)} ${row.unit}${row.ratio === undefined ? '' : ratio(figure(row.ratio))}`,
    ours: row === ours,
  }));

const speedUp = (times) => ` (manyscale: ${times} x)`;

function enginePanel({ rows, what }) {
  return bars('Tiles per second, many images at once', what.split('; ')[1], barsOf(rows, rows[0], speedUp));
}

function photosPanel({ rows }) {
  const [group] = rows[0].name.split(': ');
  const shown = rows.filter(({ name }) => name.startsWith(`${group}: `));
  const items = barsOf(shown, rows[0], speedUp, (row) => row.name.slice(group.length + 2));
  return bars('Photos per second, from JPEG bytes', `${group}, default model, 14 tiles each`, items);
}

function eventLoopPanel({ rows }) {
  const items = barsOf(rows.slice(0, 3), rows[0], (times) => ` (the images' is ${times} x)`);
  return bars("The event loop's longest stop (less is better)", 'from JPEG bytes, median of runs', items);
}

function kernelsPanel({ rows, data }) {
  const isa = data.pool[0].isa;
  const picked = rows.filter(({ name }) => name.endsWith(`, ${isa}`) && /1344|tokens 14 x 256 x 768, \w+$/.test(name));
  const items = picked.map(({ name, ratio }) => ({
    name: name.slice(0, -isa.length - 2),
    value: ratio,
    label: `${figure(ratio)} x memcpy`,
    ours: true,
  }));
  return bars('Kernels, times memcpy (less is better)', `${isa}; memcpy: one thread that copies as many bytes`, items);
}

function int8Panel({ rows }) {
  const shown = rows.filter(({ unit }) => unit === 'tiles/s');
  const items = barsOf(shown, shown.at(-1), (times) => ` (${times} x)`);
  return bars('int8 against float32, tiles per second', 'manyscale quantize', items);
}

/** Columns of tiles per second in three groups. */
function scalingPanel({ data: { points } }) {
  const height = 150;
  const groups = [...new Set(points.map(({ series }) => series))];
  const most = Math.max(...points.map(({ tilesPerSecond }) => tilesPerSecond));
  const gap = 40;
  const step = (FULL - gap * (groups.length - 1)) / points.length;
  const names = { 'image size': (x) => `${figure(x / 1e6)} MP`, default: (x) => String(x) };
  let x = 0;
  const elements = groups.flatMap((group) => {
    const own = points.filter(({ series }) => series === group);
    const start = x;
    x += own.length * step + gap;
    return [
      line(start, height, start + own.length * step, height),
      text(start, height + 34, group, 'muted'),
      ...own.flatMap((point, i) => {
        const centre = start + (i + 0.5) * step;
        const tall = (point.tilesPerSecond / most) * (height - 18);
        return [
          rect(centre - step * 0.32, height - tall, step * 0.64, tall, 'ours'),
          text(centre, height - tall - 5, figure(point.tilesPerSecond), 'muted', 'middle'),
          text(centre, height + 16, (names[group] ?? names.default)(point.x), 'text', 'middle'),
        ];
      }),
    ];
  });
  const subtitle =
    'default model; unless said otherwise 8 images in flight, 14 tiles, 672 x 672 pixels; image size: from JPEG bytes';
  return panel('Tiles per second by load', subtitle, FULL, height + 40, elements);
}

function memoryPanel({ rows, data: { samples, marks } }) {
  const height = 170;
  const left = 34; // for the labels
  const before = rows[0].value;
  const limit = rows.flatMap(({ targets = [] }) => targets)[0].atMost * before;
  const end = samples.seconds.at(-1);
  const most = Math.max(limit, ...samples.megabytes) * 1.15;
  const x = (seconds) => left + (seconds / end) * (HALF - left);
  const y = (megabytes) => height - (megabytes / most) * height;
  const step = most > 600 ? 200 : 100;
  const elements = [];
  for (let mb = 0; mb <= most; mb += step) {
    elements.push(line(left, y(mb), HALF, y(mb)), text(left - 6, y(mb) + 4, mb, 'muted', 'end'));
  }
  const burst = marks.find(({ phase }) => phase === 'burst').at;
  const burstEnd = marks.find(({ phase }) => phase === 'after the burst').at;
  elements.push(
    line(left, y(limit), HALF, y(limit), 'limit', 'stroke-dasharray="4 4"'),
    text(HALF, -32, `- - ${figure(limit / before)} x after the first images`, 'limit-text', 'end'), // beside the title
    `<polyline class="curve" stroke-width="2" points="${samples.seconds.map((s, i) => `${at(x(s))},${at(y(samples.megabytes[i]))}`).join(' ')}"/>`,
    line(x(burst), height, x(burst), height + 6, 'line'),
    line(x(burstEnd), height, x(burstEnd), height + 6, 'line'),
    text((x(burst) + x(burstEnd)) / 2, height + 18, 'burst', 'muted', 'middle'),
    text(HALF, height + 18, `${Math.round(end)} s`, 'muted', 'end'),
  );
  return panel(
    'Memory over time, MB',
    `resident set; ${rows[0].name.replace('after the first ', '')}, then ${rows[1].name.replace('during the ', 'a ').replace(', most', '')}`,
    HALF,
    height + 24,
    elements,
  );
}

const PANELS = {
  engine: enginePanel,
  photos: photosPanel,
  scaling: scalingPanel,
  memory: memoryPanel,
  'event-loop': eventLoopPanel,
  kernels: kernelsPanel,
  int8: int8Panel,
};

/** `results` as sections give them; those that were not measured are left out. */
export function plot(results) {
  const measured = Object.fromEntries(
    results.filter(({ skipped }) => !skipped).map((result) => [result.section, result]),
  );
  const panels = Object.entries(PANELS)
    .filter(([name]) => measured[name])
    .map(([name, draw]) => draw(measured[name]));
  const placed = [];
  let y = MARGIN;
  while (panels.length > 0) {
    const row = [panels.shift()];
    if (row[0].width === HALF && panels[0]?.width === HALF) row.push(panels.shift());
    row.forEach(({ body }, i) => {
      placed.push(`<g transform="translate(${MARGIN + i * (HALF + GAP)} ${y})">${body.join('\n')}</g>`);
    });
    y += Math.max(...row.map(({ height }) => height)) + 24;
  }
  const { machine, date } = results.find((result) => result.machine);
  const foot = `${machine.cpu}, ${machine.cores} cores, ${machine.isa}, Node.js ${machine.node.slice(1)}, ONNX Runtime ${machine.onnxruntime}, manyscale ${machine.manyscale}, ${date.slice(0, 10)}`;
  placed.push(text(MARGIN, y, foot, 'muted'));
  const height = y + MARGIN;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${at(height)}" viewBox="0 0 ${WIDTH} ${at(height)}" role="img" aria-label="Benchmarks of manyscale">
<style>${STYLE}</style>
${rect(0, 0, WIDTH, height, 'back')}
${placed.join('\n')}
</svg>
`;
}
