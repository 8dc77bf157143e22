// Where the repository's test data lies.
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

export const repository = root;
export const golden = `${root}test/golden/`;
export const vitModel = `${root}test/models/vit_emoji_96.onnx`;
export const photo = (name: string): string => `${root}examples/photos/${name}`;
