// Misspelt options are refused, since ignoring them would give other features than the caller thinks. Only those that are
// surely meant for one of ours: objects that carry more, for other readers, are welcome.

import { invalid } from '../errors.js';

/** A known name that differs by case, '-' or '_', or by one letter that is missing, too many, another, or swapped. */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  const plain = normalise(name);
  for (const candidate of known) {
    const other = normalise(candidate);
    if (plain === other || (other.length > 4 && isOneEditApart(plain, other))) return candidate;
  }
  return undefined;
}

function normalise(name: string): string {
  return name.toLowerCase().replace(/[-_]/g, '');
}

function isOneEditApart(a: string, b: string): boolean {
  if (Math.abs(a.length - b.length) > 1) return false;
  let same = 0;
  while (same < a.length && a[same] === b[same]) same++;
  const rest = (text: string, from: number) => text.slice(same + from);
  if (a.length > b.length) return rest(a, 1) === rest(b, 0);
  if (a.length < b.length) return rest(a, 0) === rest(b, 1);
  const isSwapped = a[same] === b[same + 1] && a[same + 1] === b[same];
  return rest(a, 1) === rest(b, 1) || (isSwapped && rest(a, 2) === rest(b, 2));
}

/** @throws {ManyscaleError} ERR_INVALID_ARGUMENT for a name that is nearly one of `known`. */
export function refuseMisspelt(options: object, known: ReadonlySet<string>, what: string): void {
  for (const [name, value] of Object.entries(options)) {
    if (known.has(name) || value === undefined) continue;
    const meant = nearestName(name, known);
    if (meant !== undefined) throw invalid(`known names ('${meant}')`, what, name, 'correct the name');
  }
}
