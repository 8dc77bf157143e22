// The safetensors format: https://huggingface.co/docs/safetensors/index#format
// Eight bytes with the header's length, the header (JSON, may end in spaces), then the tensors without gaps.

import { ManyscaleError } from '../errors.js';
import type { OutputFile } from './files.js';
import { type Dtype, littleEndian, type NamedTensor, type TensorWriter } from './tensorfile.js';

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [from: number, to: number];
}
type Header = Record<string, Entry | Record<string, string>>;

const METADATA = '__metadata__';
const LENGTH_BYTES = 8;
// Readers refuse longer headers.
const MAX_HEADER_BYTES = 100_000_000;
// Of one tensor besides its name, and of the metadata: more than either can need.
const ENTRY_BYTES = 320;
const METADATA_BYTES = 65_536;

const DTYPES: Readonly<Record<Dtype, string>> = { float32: 'F32', float16: 'F16' };

/** Room for a header that names `names`; a multiple of 8, so that the tensors are aligned. */
function reserve(names: readonly string[]): number {
  const named = names.reduce((sum, name) => sum + Buffer.byteLength(JSON.stringify(name)) + ENTRY_BYTES, 0);
  return Math.ceil((named + METADATA_BYTES) / 8) * 8;
}

/**
 * A file with one tensor per name.
 * @param names of all tensors that may be appended, each at most once.
 */
export function safetensorsWriter(file: OutputFile, names: readonly string[], dtype: Dtype = 'float32'): TensorWriter {
  const room = reserve(names);
  if (room > MAX_HEADER_BYTES) {
    throw new ManyscaleError(
      'ERR_INVALID_ARGUMENT',
      `Expected at most about ${Math.floor(MAX_HEADER_BYTES / (ENTRY_BYTES + 64))} images for one .safetensors file but received ` +
        `${names.length}. Write several files, or a .npy file`,
    );
  }
  const entries: Header = {};
  let offset = 0;
  return {
    async append({ name, dims, data }: NamedTensor) {
      await file.write(littleEndian(data), LENGTH_BYTES + room + offset);
      entries[name] = { dtype: DTYPES[dtype], shape: [...dims], data_offsets: [offset, offset + data.byteLength] };
      offset += data.byteLength;
    },
    async finish(metadata) {
      const text = Buffer.from(JSON.stringify({ [METADATA]: metadata, ...entries }));
      if (text.length > room) throw new RangeError(`${text.length} bytes of header in a room of ${room}`);
      const header = Buffer.alloc(LENGTH_BYTES + room, ' ');
      header.writeBigUInt64LE(BigInt(room));
      text.copy(header, LENGTH_BYTES);
      await file.write(header, 0);
    },
  };
}
