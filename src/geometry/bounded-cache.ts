// The values that were used last, by key.

export class BoundedCache<V> {
  readonly #entries = new Map<string, V>();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** What is there, else what `make` gives; what it throws is thrown and not kept, nor are values that are not `worth` it. */
  get(key: string, make: () => V, worth: (value: V) => boolean = () => true): V {
    const known = this.#entries.get(key);
    if (known !== undefined) {
      this.#entries.delete(key); // to the end: a Map is in the order of insertion
      this.#entries.set(key, known);
      return known;
    }
    const made = make();
    if (!worth(made)) return made;
    this.#entries.set(key, made);
    if (this.#entries.size > this.#limit) {
      for (const oldest of this.#entries.keys()) {
        this.#entries.delete(oldest);
        break;
      }
    }
    return made;
  }
}
