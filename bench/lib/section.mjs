// One section of the benchmarks: its command line, its result, and how it is printed.
//
// A section is a program, `node bench/NAME.mjs [--json] [--quick]`: the table, or the result as JSON, on stdout; progress on
// stderr. bench/run.mjs runs them all, each in a process of its own.
//
// A result: { section, title, what, ratio, rows, data, quick, disturbance, seconds, date, machine }, or
// { section, title, skipped: why ... }.
// A row: { name, value, unit, digits?, ratio?, note?, targets? }: `ratio` is what the result's `ratio` says in words, `digits` those
// behind the value's point. A target: { of: 'ratio' | 'value', atLeast | atMost: number, met }.

import { parseArgs } from 'node:util';
import { watchDisturbance } from './disturbance.mjs';
import { describeMachine } from './machine.mjs';

/**
 * `measure({ quick, progress, values })` returns { what, ratio, rows, data } or { skipped }. `options`: more of the command
 * line, as parseArgs takes them.
 */
export async function runSection({ name, title, options = {}, measure }) {
  const { values } = parseArgs({
    options: { json: { type: 'boolean', default: false }, quick: { type: 'boolean', default: false }, ...options },
  });
  const { json, quick } = values;
  const start = performance.now();
  const disturbance = watchDisturbance();
  const progress = (text) => process.stderr.write(`${name}: ${text}\n`);
  const measured = await measure({ quick, progress, values });
  const result = {
    section: name,
    title,
    ...measured,
    ...(measured.rows && { rows: measured.rows.map(judge) }),
    quick,
    disturbance: disturbance(),
    seconds: Math.round((performance.now() - start) / 1000),
    date: new Date().toISOString(),
    machine: await describeMachine(),
  };
  process.stdout.write(`${json ? JSON.stringify(result) : table([result])}\n`);
}

function judge(row) {
  if (!row.targets) return row;
  const targets = row.targets.map((target) => {
    const value = row[target.of];
    return { ...target, met: target.atLeast === undefined ? value <= target.atMost : value >= target.atLeast };
  });
  return { ...row, targets };
}

/** Three significant digits, but no rounding before the point. */
export const figure = (value) =>
  value.toFixed(Math.max(0, 2 - Math.max(0, Math.floor(Math.log10(Math.abs(value) || 1)))));

function targetText({ of, atLeast, atMost, met }, unit) {
  const bound = atLeast === undefined ? `<= ${atMost}` : `>= ${atLeast}`;
  return `${bound}${of === 'value' && unit ? ` ${unit}` : ''} ${met ? 'met' : 'MISSED'}`;
}

/** All results as one table. */
export function table(results) {
  const lines = results.map((result) => {
    const heading = `${result.section}: ${result.title}`;
    if (result.skipped) return { heading, what: `not measured: ${result.skipped}`, rows: [] };
    const rows = result.rows.map(({ name, value, unit, digits, note = '', ratio, targets = [] }) => [
      name,
      `${digits === undefined ? figure(value) : value.toFixed(digits)} ${unit}`.trim(),
      note,
      ratio === undefined ? '' : ratio.toFixed(2),
      targets.map((target) => targetText(target, unit)).join(', '),
    ]);
    return { heading, what: `${result.what}; ratio: ${result.ratio}${disturbed(result)}`, rows };
  });
  const head = ['', 'figure', 'beside it', 'ratio', 'target'];
  const all = [head, ...lines.flatMap(({ rows }) => rows)];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column].length)));
  // The name and the target, first and last, begin at the left; what lies between ends at the right.
  const line = (row) => {
    const cells = row.map((cell, i) => (i % 4 ? cell.padStart(widths[i]) : cell.padEnd(widths[i])));
    return `  ${cells.join('  ')}`.trimEnd();
  };
  const blocks = lines.map(({ heading, what, rows }) => [heading, ...wrap(what), ...rows.map(line)].join('\n'));
  return [line(head), ...blocks].join('\n\n');
}

function disturbed({ disturbance: { others, stolen } }) {
  const share = others + stolen;
  return share > 0.05 ? `. NOT A QUIET MACHINE: other work took ${Math.round(share * 100)} % of the processors` : '';
}

function wrap(text, width = 116) {
  const lines = [''];
  for (const word of text.split(' ')) {
    if (lines.at(-1).length + word.length >= width) lines.push('');
    lines[lines.length - 1] += `${lines.at(-1) ? ' ' : ''}${word}`;
  }
  return lines.map((line) => `  ${line}`);
}
