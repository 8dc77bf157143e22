// Which scales fit a budget, and what is given up for it. Pure: what scales cost is asked of a function.

import { invalid } from '../errors.js';
import { type Cutting, isSequence } from '../geometry/cutting.js';
import { centredCrop } from '../geometry/geometry.js';
import type { Size } from '../geometry/plan.js';
import type { NativeSize } from '../native/addon.js';
import type { Budget } from '../options/options.js';

/** The most scales that are wished for where the caller names none. */
const MOST_SCALES = 8;

/** Scales relative to the tile, or sizes, and whose grid the result has: a position, negative from the end. Without either nothing is to choose. */
export interface Wish {
  scales?: readonly number[];
  imageSizes?: readonly NativeSize[];
  resizeOutputToIndex: number;
}

/** One thing that is done without. */
export type Concession =
  | { readonly what: 'scale'; readonly from: number; readonly to?: number; readonly sentence: string }
  | { readonly what: 'imageSize'; readonly from: Size; readonly sentence: string }
  | { readonly what: 'grid'; readonly from: number; readonly to: number; readonly sentence: string };

/** What is limited; what is not known is absent. */
export type Cost = { readonly [Limit in keyof Budget]: number | undefined };

/** Scales 1, 2 ... up to the resolution of the image along the side that has more of it. */
export function scalesUpTo(image: Size, tile: Size): number[] {
  const finest = Math.floor(Math.max(image.height / tile.height, image.width / tile.width));
  return Array.from({ length: Math.max(1, Math.min(MOST_SCALES, finest)) }, (_, index) => index + 1);
}

/**
 * What is wished for: the scales of `cutting` or, where the caller leaves them to the budget, those up to the image's resolution. A sequence
 * has none to choose.
 */
export function wishFor(cutting: Cutting, image: Size, tile: Size, isFree: boolean): Wish {
  const { scale, fit, preset } = cutting;
  const { scales, imageSizes, resizeOutputToIndex } = scale;
  const grid = { resizeOutputToIndex: resizeOutputToIndex ?? (preset === 'dynamic-s2' ? -1 : 0) };
  if (isSequence(cutting)) return grid;
  if (preset !== undefined) return { scales: scales ?? [1, 2, 3], ...grid };
  if (isFree) return { scales: scalesUpTo(fit === 'crop' ? centredCrop(image, tile) : image, tile), ...grid };
  return { ...(scales && { scales }), ...(imageSizes && { imageSizes }), ...grid };
}

const LIMITS = ['milliseconds', 'bytes', 'multiplyAdds'] as const;

/** By how much a cost is above its limits; undefined: it is not. */
export function excess(cost: Cost, budget: Budget): Budget | undefined {
  const over = LIMITS.flatMap((limit) => {
    const [has, may] = [cost[limit], budget[limit]];
    if (may === undefined) return [];
    if (has === undefined)
      throw invalid(
        'a limit that can be known for this model',
        `budget.${limit}`,
        may,
        'leave it out: the notes of estimate() say why',
      );
    return has > may ? [[limit, has - may]] : [];
  });
  return over.length > 0 ? Object.fromEntries(over) : undefined;
}

/**
 * The first that fits of what is wished for and ever less. Where not even the least fits: that, with `over`, by how much.
 * @throws {ManyscaleError} ERR_INVALID_ARGUMENT for a limit on what is not known; what `costOf` throws.
 */
export function chooseWithin<T extends { cost: Cost }>(
  wish: Wish,
  budget: Budget,
  look: (wish: Wish) => T,
): { found: T; wish: Wish; gaveUp: Concession[]; over?: Budget } {
  let wished = new Wished(wish);
  for (;;) {
    const found = look(wished.wish);
    const over = excess(found.cost, budget);
    const chosen = { found, wish: wished.wish, gaveUp: wished.gaveUp() };
    if (!over) return chosen;
    const less = wished.less();
    if (!less) return { ...chosen, over };
    wished = less;
  }
}

interface Item {
  /** Position in what was wished for first. */
  position: number;
  scale?: number;
  size?: NativeSize;
}

const largeness = ({ scale, size }: Item) => scale ?? (size ? size.height * size.width : 0);

/** What is left of a wish. */
class Wished {
  readonly #first: Wish;
  readonly #items: readonly Item[];

  constructor(first: Wish, items?: readonly Item[]) {
    this.#first = first;
    this.#items =
      items ??
      first.imageSizes?.map((size, position) => ({ position, size })) ??
      (first.scales ?? []).map((scale, position) => ({ position, scale }));
  }

  /** Without the largest scale; when two are left with a smaller one instead; the last becomes scale 1. Undefined: that is all. */
  less(): Wished | undefined {
    const [largest, next] = [...this.#items].sort((a, b) => largeness(b) - largeness(a));
    if (!largest) return undefined;
    const { scale } = largest;
    const smaller = scale === undefined ? 0 : Math.ceil(scale) - 1;
    if (scale !== undefined && smaller > (next?.scale ?? 0) && this.#items.length <= 2)
      return this.#with(this.#items.map((item) => (item === largest ? { ...item, scale: smaller } : item)));
    return next && this.#with(this.#items.filter((item) => item !== largest));
  }

  #with(items: readonly Item[]): Wished {
    return new Wished(this.#first, items);
  }

  get wish(): Wish {
    const { scales, imageSizes, resizeOutputToIndex } = this.#first;
    return {
      ...(scales && { scales: this.#items.map(({ scale }) => scale as number) }),
      ...(imageSizes && { imageSizes: this.#items.map(({ size }) => size as NativeSize) }),
      resizeOutputToIndex: this.#grid() ?? resizeOutputToIndex,
    };
  }

  /** Where the scale is now whose grid was wished for, or the largest one left; undefined while nothing has gone, or for no position. */
  #grid(): number | undefined {
    const wanted = this.#wantedGrid();
    if (wanted === undefined || this.#items.length === this.#count) return undefined;
    const position = this.#items.findIndex((item) => item.position === wanted);
    if (position >= 0) return position;
    const most = Math.max(...this.#items.map(largeness));
    return this.#items.findIndex((item) => largeness(item) === most);
  }

  get #count(): number {
    return (this.#first.scales ?? this.#first.imageSizes ?? []).length;
  }

  #wantedGrid(): number | undefined {
    const { resizeOutputToIndex: index } = this.#first;
    const position = index < 0 ? this.#count + index : index;
    return position >= 0 && position < this.#count ? position : undefined;
  }

  gaveUp(): Concession[] {
    const { scales = [], imageSizes = [] } = this.#first;
    const left = new Map(this.#items.map((item) => [item.position, item]));
    const ofScales = scales.flatMap((from, position): Concession[] => {
      const to = left.get(position)?.scale;
      if (to === from) return [];
      return [
        to === undefined
          ? { what: 'scale', from, sentence: `scale ${from} was left out` }
          : { what: 'scale', from, to, sentence: `scale ${from} was replaced by scale ${to}` },
      ];
    });
    const ofSizes = imageSizes.flatMap((from, position): Concession[] =>
      left.has(position)
        ? []
        : [{ what: 'imageSize', from, sentence: `the scale of ${from.width} x ${from.height} pixels was left out` }],
    );
    const wanted = this.#wantedGrid();
    const grid = this.#grid();
    const ofGrid: Concession[] =
      wanted === undefined || grid === undefined || left.has(wanted)
        ? []
        : [{ what: 'grid', from: wanted, to: grid, sentence: 'the features have the grid of the largest scale left' }];
    return [...ofScales.reverse(), ...ofSizes.reverse(), ...ofGrid];
  }
}
