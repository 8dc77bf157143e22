// Which scales fit a budget, and what is given up for it. Pure: what scales cost is asked of a function.

import { invalid } from '../errors.js';
import type { Cutting } from '../geometry/cutting.js';
import { centredCrop } from '../geometry/geometry.js';
import type { Plan, Size } from '../geometry/plan.js';
import type { NativeSize } from '../native/addon.js';
import type { Budget } from '../options/options.js';

/** The most scales that are wished for where the caller names none. */
const MOST_SCALES = 8;

/**
 * Scales relative to the tile, or sizes; without either nothing is to choose. And the position of the scale whose grid the result has, where
 * that is another one than the call's.
 */
export interface Wish {
  scales?: readonly number[];
  imageSizes?: readonly NativeSize[];
  resizeOutputToIndex?: number;
}

/** One thing that is done without. */
export type Concession =
  | { readonly what: 'scale'; readonly from: number; readonly to?: number; readonly sentence: string }
  | { readonly what: 'imageSize'; readonly from: Size; readonly sentence: string }
  /** Positions of the scale whose grid the result was to have, of those wished for, and of the one whose grid it has, of those chosen. */
  | { readonly what: 'grid'; readonly fromIndex: number; readonly toIndex: number; readonly sentence: string };

/** What is limited; what is not known is absent. */
export type Cost = { readonly [Limit in keyof Budget]: number | undefined };

/** Scales 1, 2 ... up to the resolution of the image along the side that has more of it. */
export function scalesUpTo(image: Size, tile: Size): number[] {
  const finest = Math.floor(Math.max(image.height / tile.height, image.width / tile.width));
  return Array.from({ length: Math.max(1, Math.min(MOST_SCALES, finest)) }, (_, index) => index + 1);
}

/**
 * What is wished for: the scales of `cutting` or, where the caller leaves them to the budget, those up to the image's resolution. A preset
 * whose tiles follow the image's aspect ratio has none to choose. `plan`: of the image as `cutting` says.
 */
export function wishFor(cutting: Cutting, image: Size, tile: Size, isFree: boolean, plan: () => Plan): Wish {
  const { scale, fit, preset } = cutting;
  const { scales, imageSizes } = scale;
  if (preset === 'llava-s2') return { scales: scales ?? plan().scales.map(({ height }) => height / tile.height) };
  if (preset !== undefined) return {};
  if (isFree) return { scales: scalesUpTo(fit === 'crop' ? centredCrop(image, tile) : image, tile) };
  return { ...(scales && { scales }), ...(imageSizes && { imageSizes }) };
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

/** What is known of a wish. */
export interface Found {
  cost: Cost;
  /** Position of the scale whose grid the result has. */
  outputIndex: number;
}

/**
 * The most of what is wished for that fits, found by bisection: less never costs more. Where not even the least fits: that, with `over`, by how
 * much.
 * @throws {ManyscaleError} ERR_INVALID_ARGUMENT for a limit on what is not known; what `look` throws.
 */
export function chooseWithin<T extends Found>(
  wish: Wish,
  budget: Budget,
  look: (wish: Wish) => T,
): { found: T; wish: Wish; gaveUp: Concession[]; over?: Budget } {
  const all = look(wish);
  const over = excess(all.cost, budget);
  const reduction = new Reduction(wish, all.outputIndex);
  if (!over || reduction.steps === 0) return { found: all, wish, gaveUp: [], ...(over && { over }) };
  const after = (steps: number) => {
    const less = reduction.wishAfter(steps);
    const found = look(less);
    return { found, wish: less, over: excess(found.cost, budget) };
  };
  let tooFew = 0;
  let { steps } = reduction;
  let best = after(steps);
  while (!best.over && steps - tooFew > 1) {
    const middle = Math.floor((tooFew + steps) / 2);
    const one = after(middle);
    if (one.over) tooFew = middle;
    else [steps, best] = [middle, one];
  }
  const { found, wish: left, over: still } = best;
  return { found, wish: left, gaveUp: reduction.gaveUpAfter(steps), ...(still && { over: still }) };
}

interface Item {
  scale?: number;
  size?: NativeSize;
}

const largeness = ({ scale, size }: Item) => scale ?? (size ? size.height * size.width : 0);

/** What becomes of the item at a position of the wish: a smaller scale, or nothing. */
interface Step {
  position: number;
  smaller?: number;
}

/** The largest is left out, while there are more than two; of two, the larger becomes smaller first; the last becomes scale 1. */
function stepsOf(largestFirst: readonly (Item & { position: number })[]): Step[] {
  const steps: Step[] = largestFirst.slice(0, -2).map(({ position }) => ({ position }));
  const shrink = ({ position, scale }: Item & { position: number }, above: number) => {
    if (scale === undefined) return;
    for (let smaller = Math.ceil(scale) - 1; smaller > above; smaller--) steps.push({ position, smaller });
  };
  const [smallest, larger] = largestFirst.slice(-2).reverse();
  if (larger) {
    shrink(larger, smallest?.scale ?? 0);
    steps.push({ position: larger.position });
  }
  if (smallest) shrink(smallest, 0);
  return steps;
}

/** A wish that becomes less, step by step. */
class Reduction {
  readonly #wish: Wish;
  /** Position of the scale whose grid was wished for. */
  readonly #grid: number;
  readonly #items: readonly Item[];
  /** Positions. */
  readonly #largestFirst: readonly number[];
  readonly #steps: readonly Step[];

  constructor(wish: Wish, grid: number) {
    this.#wish = wish;
    this.#grid = grid;
    this.#items = wish.imageSizes?.map((size) => ({ size })) ?? (wish.scales ?? []).map((scale) => ({ scale }));
    const sorted = this.#items
      .map((item, position) => ({ ...item, position }))
      .sort((a, b) => largeness(b) - largeness(a));
    this.#largestFirst = sorted.map(({ position }) => position);
    this.#steps = stepsOf(sorted);
  }

  /** As many as there are. */
  get steps(): number {
    return this.#steps.length;
  }

  wishAfter(steps: number): Wish {
    const { scales, imageSizes } = this.#wish;
    const left = this.#after(steps);
    const items = [...left.values()];
    return {
      ...(scales && { scales: items.map(({ scale }) => scale as number) }),
      ...(imageSizes && { imageSizes: items.map(({ size }) => size as NativeSize) }),
      resizeOutputToIndex: this.#gridOf(left),
    };
  }

  /** The largest first. */
  gaveUpAfter(steps: number): Concession[] {
    const left = this.#after(steps);
    const gaveUp = this.#largestFirst.flatMap((position): Concession[] => {
      const { scale: from, size } = this.#items[position] as Item;
      const item = left.get(position);
      if (size)
        return item
          ? []
          : [
              {
                what: 'imageSize',
                from: size,
                sentence: `the scale of ${size.width} x ${size.height} pixels was left out`,
              },
            ];
      if (from === undefined || item?.scale === from) return [];
      if (item?.scale === undefined) return [{ what: 'scale', from, sentence: `scale ${from} was left out` }];
      return [{ what: 'scale', from, to: item.scale, sentence: `scale ${from} was replaced by scale ${item.scale}` }];
    });
    if (left.has(this.#grid)) return gaveUp;
    const sentence = 'the features have the grid of the largest scale left';
    return [...gaveUp, { what: 'grid', fromIndex: this.#grid, toIndex: this.#gridOf(left), sentence }];
  }

  /** By position in the wish, in its order. */
  #after(steps: number): Map<number, Item> {
    const left = new Map(this.#items.entries());
    for (const { position, smaller } of this.#steps.slice(0, steps)) {
      if (smaller === undefined) left.delete(position);
      else left.set(position, { scale: smaller });
    }
    return left;
  }

  /** Where the scale is whose grid was wished for, or the largest one left. */
  #gridOf(left: ReadonlyMap<number, Item>): number {
    const wanted = left.has(this.#grid) ? this.#grid : this.#largestFirst.find((position) => left.has(position));
    return [...left.keys()].indexOf(wanted as number);
  }
}
