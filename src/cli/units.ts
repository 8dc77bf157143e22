// Amounts as people write and read them: times, memory, multiply-adds.

import { InvalidArgumentError } from 'commander';
import type { Budget } from '../options/options.js';

/** By their lower case: what is counted, and how much of it a unit is. */
const UNITS: Readonly<Record<string, readonly [limit: keyof Budget, factor: number]>> = {
  ms: ['milliseconds', 1],
  s: ['milliseconds', 1000],
  b: ['bytes', 1],
  kb: ['bytes', 1e3],
  mb: ['bytes', 1e6],
  gb: ['bytes', 1e9],
  kib: ['bytes', 2 ** 10],
  mib: ['bytes', 2 ** 20],
  gib: ['bytes', 2 ** 30],
  mac: ['multiplyAdds', 1],
  kmac: ['multiplyAdds', 1e3],
  mmac: ['multiplyAdds', 1e6],
  gmac: ['multiplyAdds', 1e9],
  tmac: ['multiplyAdds', 1e12],
};

/** One limit, '200ms', '4 GiB' or '50GMAC', added to those before it. */
export function parseBudget(text: string, before: Budget = {}): Budget {
  const [, number = '', unit = ''] = /^\s*(\d+\.?\d*|\.\d+)\s*([a-z]+)\s*$/i.exec(text) ?? [];
  const [limit, factor] = UNITS[unit.toLowerCase()] ?? [];
  const value = Number(number);
  if (limit === undefined || factor === undefined || value === 0)
    throw new InvalidArgumentError(
      `'${text}' is no limit: write a number above 0 and a unit, 200ms (ms, s), 4GiB (B, KB, KiB, MB, MiB, GB, GiB) or 50GMAC (MAC, KMAC, MMAC, GMAC, TMAC).`,
    );
  if (before[limit] !== undefined) throw new InvalidArgumentError(`'${text}' is a second limit on ${WORDS[limit]}.`);
  return { ...before, [limit]: value * factor };
}

/** What is limited, in words. */
export const WORDS: Readonly<Record<keyof Budget, string>> = {
  milliseconds: 'time',
  bytes: 'memory',
  multiplyAdds: 'multiply-adds',
};

/** '12.3 ms', '1.23 GiB', '4.60 GMAC': three digits, more before the point. */
export function formatAmount(limit: keyof Budget, value: number): string {
  const [base, names] = SCALES[limit];
  let rest = value;
  let index = 0;
  // What would be rounded up to the next unit is already one.
  for (; rest >= base * 0.9995 && index < names.length - 1; index++) rest /= base;
  return `${threeDigits(rest)} ${names[index]}`;
}

const SCALES: Readonly<Record<keyof Budget, readonly [base: number, names: readonly string[]]>> = {
  milliseconds: [1000, ['ms', 's']],
  bytes: [1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB']],
  multiplyAdds: [1000, ['MAC', 'KMAC', 'MMAC', 'GMAC', 'TMAC', 'PMAC']],
};

function threeDigits(value: number): string {
  if (Number.isInteger(value)) return String(value);
  return value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
}
