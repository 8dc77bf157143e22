import { createRequire } from 'node:module';

// By require: import attributes for JSON are not in every Node that runs this. src/ and dist/ both lie beside package.json.
const { version: found } = createRequire(import.meta.url)('../package.json') as { version: string };

/** This package's version. */
export const version: string = found;
