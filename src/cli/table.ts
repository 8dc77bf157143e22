// Facts as aligned lines.

/** 'name   value' lines with the values below each other; a value may have several lines. */
export function facts(rows: readonly (readonly [name: string, value: string])[], indent = 2): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  const pad = ' '.repeat(indent);
  return rows
    .map(
      ([name, value]) => `${pad}${name.padEnd(width)}  ${value.replaceAll('\n', `\n${pad}${' '.repeat(width)}  `)}\n`,
    )
    .join('');
}
