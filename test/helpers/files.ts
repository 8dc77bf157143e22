// Image files that mislead.
import { crc32, deflateSync } from 'node:zlib';

function chunk(type: string, body: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  const typed = Buffer.concat([Buffer.from(type, 'latin1'), body]);
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(typed));
  return Buffer.concat([length, typed, sum]);
}

/** A valid PNG header for any size (8 bit RGB) before data that is far too short for it: a decompression bomb's shape. */
export function pngClaiming(width: number, height: number): Uint8Array {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(Buffer.alloc(3000))),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

/**
 * A GIF with a canvas of `canvas` x `canvas` pixels and frames at `places`, which may lie outside it. Frames
 * claim `side` x `side` pixels and hold one of colour 1 (red).
 */
export function gifWithFrames(canvas: number, places: readonly [left: number, top: number][], side = 1): Uint8Array {
  const word = (value: number) => [value & 255, value >> 8];
  const screen = [...Buffer.from('GIF89a', 'latin1'), ...word(canvas), ...word(canvas), 0x80, 0, 0];
  const colours = [0, 0, 255, 255, 0, 0];
  // LZW with 2-bit roots: clear, colour 1, end; one sub-block.
  const frames = places.flatMap(([left, top]) => [
    0x2c,
    ...word(left),
    ...word(top),
    ...word(side),
    ...word(side),
    0,
    2,
    2,
    0x4c,
    0x01,
    0,
  ]);
  return Uint8Array.from([...screen, ...colours, ...frames, 0x3b]);
}

export const svg = Buffer.from(
  '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><rect width="64" height="64"/></svg>',
);

export const pdf = Buffer.from(
  '%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Count 0/Kids[]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n',
);
