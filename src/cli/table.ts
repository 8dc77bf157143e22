// Facts as aligned lines, and tables.

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

/** Rows of a table below their heading, every column but the first `left` ones to the right. */
export function columns(heading: readonly string[], rows: readonly (readonly string[])[], left: number): string {
  const all = [heading, ...rows];
  const widths = heading.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all
    .map((row) => {
      const cells = widths.map((width, column) => {
        const text = row[column] ?? '';
        return column < left ? text.padEnd(width) : text.padStart(width);
      });
      return `  ${cells.join('  ').trimEnd()}\n`;
    })
    .join('');
}
