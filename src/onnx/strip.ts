// The bytes of a model without its weights, found by walking over the lengths in the file: nothing is decoded, so that it takes no longer
// and no more memory with large weights than with small ones.

/** Small values may decide a shape (of a Reshape, say); tensors of more elements never do. */
export const MOST_DECIDING = 1024;

/** Payloads of this many bytes stay: no element takes more than 16. */
const MOST_KEPT = 16 * MOST_DECIDING;
/** What is left is decoded: no useful graph has more bytes or fields, or is nested deeper (the runtime's own limit). */
const MOST_LEFT = 2 ** 25;
const MOST_FIELDS = 2 ** 21;
const MOST_DEPTH = 100;

type Message = 'model' | 'graph' | 'node' | 'attribute' | 'tensor';

interface Layout {
  /** Fields that are messages to walk into. */
  inner?: Readonly<Record<number, Message>>;
  /** Comments, notes of exporters, and shapes that are found anew: nobody misses them. */
  dropped?: readonly number[];
  /** Values; dropped where they are large. */
  payload?: readonly number[];
  /** Lists of numbers that would be decoded one by one; none is large. */
  lists?: readonly number[];
}

/** By the field numbers of onnx.proto. */
const LAYOUTS: Readonly<Record<Message, Layout>> = {
  model: { inner: { 7: 'graph' }, dropped: [6, 14, 20] },
  graph: { inner: { 1: 'node', 5: 'tensor' }, dropped: [10, 13, 16] },
  node: { inner: { 5: 'attribute' }, dropped: [6, 9] },
  attribute: { inner: { 5: 'tensor', 6: 'graph', 11: 'graph' }, lists: [8] },
  // Strings are no weights.
  tensor: { payload: [4, 5, 7, 9, 10, 11], lists: [1] },
};

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;

class NoModel extends Error {}

/** The bytes from `from` to before `to` become those of `by`. */
interface Edit {
  from: number;
  to: number;
  by: readonly number[];
}

/** A small copy of an ONNX file of any size; undefined: it is none, or its graph alone is too large. Values in other files stay there. */
export function stripWeights(bytes: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  const walk = new Walk(bytes);
  try {
    const left = bytes.length - walk.message('model', 0, bytes.length, 1);
    return left > MOST_LEFT ? undefined : rewrite(bytes, walk.edits, left);
  } catch (error) {
    if (error instanceof NoModel) return undefined;
    throw error;
  }
}

function rewrite(bytes: Uint8Array, edits: readonly Edit[], size: number): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(size);
  let read = 0;
  let written = 0;
  const put = (part: ArrayLike<number>) => {
    result.set(part, written);
    written += part.length;
  };
  for (const { from, to, by } of edits) {
    put(bytes.subarray(read, from));
    put(by);
    read = to;
  }
  put(bytes.subarray(read));
  return result;
}

function varint(value: number): number[] {
  const digits: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) digits.push((rest % 0x80) | 0x80);
  return [...digits, rest];
}

class Walk {
  /** In the order of the file. */
  readonly edits: Edit[] = [];
  readonly #bytes: Uint8Array;
  #at = 0;
  #fields = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Notes what is dropped of a message, and returns by how many bytes it becomes shorter. */
  message(message: Message, from: number, to: number, depth: number): number {
    if (depth > MOST_DEPTH) throw new NoModel();
    const { inner, dropped, payload, lists } = LAYOUTS[message];
    const values: Edit[] = [];
    let shorter = 0;
    for (this.#at = from; this.#at < to; ) {
      const start = this.#at;
      const { field, wireType } = this.#tag(to);
      const lengthAt = this.#at;
      const end = this.#skip(wireType, to);
      const content = this.#at;
      this.#at = end;
      const walked = wireType === LENGTH ? inner?.[field] : undefined;
      if (walked) {
        shorter += this.#inner(walked, lengthAt, content, end, depth);
        this.#at = end;
      } else if (dropped?.includes(field)) {
        this.edits.push({ from: start, to: end, by: [] });
        shorter += end - start;
      } else if (payload?.includes(field)) {
        const last = values.at(-1);
        if (last?.to === start) last.to = end;
        else values.push({ from: start, to: end, by: [] });
      } else if (lists?.includes(field) && end - content > MOST_KEPT) throw new NoModel();
    }
    const size = values.reduce((sum, value) => sum + value.to - value.from, 0);
    if (size <= MOST_KEPT) return shorter;
    this.edits.push(...values);
    return shorter + size;
  }

  /** A message inside another has its length before it. */
  #inner(message: Message, lengthAt: number, from: number, to: number, depth: number): number {
    const edit: Edit = { from: lengthAt, to: from, by: [] };
    const index = this.edits.push(edit);
    const shorter = this.message(message, from, to, depth + 1);
    if (shorter === 0) {
      this.edits.length = index - 1;
      return 0;
    }
    edit.by = varint(to - from - shorter);
    return shorter + (from - lengthAt) - edit.by.length;
  }

  #tag(to: number): { field: number; wireType: number } {
    if (++this.#fields > MOST_FIELDS) throw new NoModel();
    const tag = this.#varint(to);
    if (tag < 8 || tag >= 2 ** 32) throw new NoModel();
    return { field: Math.floor(tag / 8), wireType: tag % 8 };
  }

  /** Where a field ends; then at its content. */
  #skip(wireType: number, to: number): number {
    let size = 0;
    if (wireType === VARINT) this.#varint(to);
    else if (wireType === FIXED64) size = 8;
    else if (wireType === FIXED32) size = 4;
    else if (wireType === LENGTH) size = this.#varint(to);
    else throw new NoModel();
    if (size > to - this.#at) throw new NoModel();
    return this.#at + size;
  }

  #varint(to: number): number {
    let value = 0;
    for (let digit = 1; ; digit *= 0x80) {
      // Ten bytes are 64 bits.
      if (this.#at >= to || digit >= 2 ** 70) throw new NoModel();
      const byte = this.#bytes[this.#at++] as number;
      value += (byte & 0x7f) * digit;
      if (byte < 0x80) return value;
    }
  }
}
