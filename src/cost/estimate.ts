// What an image will cost: multiply-adds, memory and time of a plan, and the plan that fits a budget.

import { deepFreeze } from '../freeze.js';
import type { Cutting } from '../geometry/cutting.js';
import type { ExtractorPlan } from '../geometry/geometry.js';
import type { Size } from '../geometry/plan.js';
import type { Budget, ExtractOptions } from '../options/options.js';
import type { CheckedScaleOptions } from '../options/scale.js';
import { type Concession, chooseWithin, type Wish } from './budget.js';
import type { ProductCount } from './products.js';
import { predictTime, type Speed } from './speed.js';

/** One scale of an Estimate. */
export interface EstimatedScale extends Size {
  /** Relative to the tile; absent where it is another multiple of its height than of its width. */
  readonly scale?: number;
  readonly rows: number;
  readonly columns: number;
  readonly tiles: number;
  /** Cells of its grid. */
  readonly tokens: number;
  /** Absent where they are unknown: see Estimate.notes. */
  readonly multiplyAdds?: number;
  readonly milliseconds: number;
}

/** What an image will cost, by extract() with `options`. */
export interface Estimate {
  /** For extract(): the scales that were chosen, or those that were asked for. */
  readonly options: ExtractOptions;
  readonly plan: ExtractorPlan;
  readonly scales: readonly EstimatedScale[];
  readonly tiles: number;
  /** Of the result: its cells, and prefix tokens where it has them. */
  readonly tokens: number;
  /** Of all tiles; absent where they are unknown. */
  readonly multiplyAdds?: number;
  readonly bytes: {
    /** The image as RGB of 8 bits. */
    readonly image: number;
    /** The result. */
    readonly features: number;
    /** Tiles in work, and the features of all tiles. */
    readonly tiles: number;
    /** The model's weights. Extractors of one model share them. */
    readonly model?: number;
    /** What the largest product reads and writes, for every tile in work: the least that the runtime needs beside the weights. */
    readonly activations?: number;
    readonly total: number;
  };
  /** From the call of extract() with pixels to its features, with nothing else in flight. Decoding comes to it. */
  readonly milliseconds: number;
  /** Whether it is within the budget; true without one. */
  readonly fits: boolean;
  /** By how much each limit of the budget is exceeded that is: even the least does not fit. */
  readonly over?: Readonly<Budget>;
  /** What was wished for and does not fit. */
  readonly gaveUp: readonly Concession[];
  /** What the figures leave out, in plain sentences. */
  readonly notes: readonly string[];
}

/** What an estimate is made from, beside the wish. */
export interface CostModel {
  products: ProductCount;
  speed: Speed;
  /** Tiles that may be in work at once, and the bytes of one. */
  inWork: { tiles: number; tileBytes: number };
}

/** The geometry of an image at some scales. */
export interface Outlook {
  plan: ExtractorPlan;
  /** Memory of the tiles' features and of the result. */
  featureBytes: number;
  resultBytes: number;
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** `look`: the geometry for scale options; `wish`: of the scales of `given`, or instead of them. */
export function estimateWithin(
  costs: CostModel,
  wish: Wish,
  budget: Budget,
  given: Cutting,
  look: (scale: CheckedScaleOptions) => Outlook,
): Estimate {
  const { found, gaveUp, over } = chooseWithin(wish, budget, (wished) => {
    const scale = withWish(given.scale, wished);
    const figures = estimate(costs, look(scale));
    const { milliseconds, bytes, multiplyAdds } = figures;
    const { imageSizes, maxSplitSize, ...rest } = scale;
    const options: ExtractOptions = {
      ...rest,
      ...(imageSizes && { imageSizes: imageSizes.map(sides) }),
      ...(maxSplitSize && { maxSplitSize: sides(maxSplitSize) }),
      ...(given.preset === undefined && { fit: given.fit }),
    };
    return { figures, options, cost: { milliseconds, bytes: bytes.total, multiplyAdds } };
  });
  return deepFreeze({
    options: found.options,
    ...found.figures,
    fits: over === undefined,
    ...(over && { over }),
    gaveUp,
    notes: costs.products.notes,
  });
}

/** Scales and image sizes replace each other. */
export function withWish(
  scale: CheckedScaleOptions,
  { scales, imageSizes, resizeOutputToIndex }: Wish,
): CheckedScaleOptions {
  if (!scales && !imageSizes) return scale;
  const { scales: _, imageSizes: __, ...rest } = scale;
  return {
    ...rest,
    ...(scales && { scales: [...scales] }),
    ...(imageSizes && { imageSizes: [...imageSizes] }),
    resizeOutputToIndex,
  };
}

const sides = ({ height, width }: Size): [height: number, width: number] => [height, width];

type Figures = Omit<Estimate, 'options' | 'fits' | 'over' | 'gaveUp' | 'notes'>;

function estimate({ products, speed, inWork }: CostModel, { plan, featureBytes, resultBytes }: Outlook): Figures {
  const counts = plan.scales.map(({ rows, columns }) => rows * columns);
  const time = predictTime(speed, {
    image: plan.image,
    source: plan.crop ?? plan.image,
    scales: [
      ...plan.scales.map((size, index) => ({ size, tiles: counts[index] as number })),
      ...(plan.via ? [{ size: plan.via, tiles: 0 }] : []),
    ],
    bytes: resultBytes,
  });
  const { multiplyAdds: ofTile, weightBytes, largestProduct } = products;
  const scales = plan.scales.map(({ height, width, rows, columns, tileHeight, tileWidth }, index) => {
    const tiles = counts[index] as number;
    const { height: gridHeight, width: gridWidth } = plan.grids[index] as Size;
    const scale = height / tileHeight;
    return {
      ...(scale === width / tileWidth && { scale }),
      height,
      width,
      rows,
      columns,
      tiles,
      tokens: gridHeight * gridWidth,
      ...(ofTile !== undefined && { multiplyAdds: ofTile * tiles }),
      milliseconds: time.scales[index] as number,
    };
  });
  const tiles = sum(counts);
  const bytes = {
    image: 3 * plan.image.height * plan.image.width,
    features: resultBytes,
    tiles: featureBytes - resultBytes + inWork.tiles * inWork.tileBytes,
    ...(weightBytes !== undefined && { model: weightBytes }),
    ...(largestProduct !== undefined && { activations: 4 * largestProduct * inWork.tiles }),
  };
  const channels = Math.max(...plan.channels.map(([, to]) => to));
  return {
    plan,
    scales,
    tiles,
    tokens: plan.dims.reduce((product, dim) => product * dim, 1) / channels,
    ...(ofTile !== undefined && { multiplyAdds: ofTile * tiles }),
    bytes: { ...bytes, total: sum(Object.values(bytes)) },
    milliseconds: time.total,
  };
}
