// The documentation's code runs as it stands: every ```js block of the pages named below, in a process of its own.

import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const pages = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  ...readdirSync(`${root}docs`).map((name) => `docs/${name}`),
].filter((page) => page.endsWith('.md'));
const text = (page: string) => readFileSync(root + page, 'utf8');

/** Node.js 20 does not parse `await using`: the same without disposing, since the process ends. */
const forOldNode = (code: string) => code.replaceAll('await using ', 'const ');

const blocks = [
  'README.md',
  'docs/api.md',
  'docs/cutting.md',
  'docs/gpu.md',
  'docs/planner.md',
  'docs/seams.md',
].flatMap((page) =>
  [...text(page).matchAll(/^```js\n([\s\S]*?)^```$/gm)].map((match, index) => ({
    name: `${page}, block ${index + 1}`,
    code: forOldNode(match[1] ?? ''),
  })),
);

test('the pages have code', () => expect(blocks.length).toBeGreaterThan(3));

test.each(blocks)('$name runs and prints what its comments promise', async ({ code }) => {
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code], { cwd: root });
  const printed = stdout.replace(/\s+/g, '');
  for (const [, comment = ''] of code.matchAll(/console\.log\(.*\); \/\/ (\[.*?\](?=:|$)|\{.*\}|\d+(?=:|$))/gm)) {
    expect(printed).toContain(comment.replace(/\s+/g, ''));
  }
});

test('links between pages lead somewhere', () => {
  for (const page of pages) {
    for (const [, target = ''] of text(page).matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)) {
      expect(existsSync(resolve(root, dirname(page), target)), `${page} links to ${target}`).toBe(true);
    }
  }
});
