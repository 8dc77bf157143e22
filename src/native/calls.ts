// The addon as the rest of src/ sees it: native failures become ManyscaleErrors and a cancelled job rejects at once with
// its signal's reason.

import { abortable } from '../abort.js';
import { type ErrorCode, ManyscaleError } from '../errors.js';
import type {
  Addon,
  NativeBatching,
  NativeBuildInfo,
  NativeDriverInfo,
  NativeExtractRequest,
  NativeExtractResult,
  NativeImage,
  NativeJob,
  NativeModelConfiguration,
  NativePlacement,
  NativePlan,
  NativePlanOptions,
  NativePoolRequest,
  NativePresetOptions,
  NativeProbe,
  NativeRuntimeInfo,
  NativeSession,
  NativeSessionOptions,
  NativeSize,
  NativeSplitRequest,
  NativeStats,
  NativeTicket,
} from './addon.js';
import { loadAddon } from './load.js';

/** Every code that native code gives; Node's own codes (ERR_INVALID_ARG_TYPE ...) are not among them. */
const NATIVE_CODES: ReadonlySet<string> = new Set<ErrorCode>([
  'ERR_INVALID_ARGUMENT',
  'ERR_IMAGE_TOO_LARGE',
  'ERR_PLAN_TOO_LARGE',
  'ERR_MODEL_LOAD',
  'ERR_MODEL_SHAPE',
  'ERR_MODEL_RUN',
  'ERR_RUNTIME_UNAVAILABLE',
  'ERR_DEVICE_UNAVAILABLE',
  'ERR_DEVICE_FAILED',
  'ERR_OUT_OF_MEMORY',
  'ERR_DISPOSED',
]);

export function disposedMeanwhile(cause?: unknown): ManyscaleError {
  return new ManyscaleError(
    'ERR_DISPOSED',
    'Expected an Extractor in use but received one that was disposed meanwhile',
    cause === undefined ? undefined : { cause },
  );
}

function translate(error: unknown): unknown {
  if (error instanceof ManyscaleError) return error;
  const { code, message } = error as { code?: unknown; message?: unknown };
  // Nobody but disposal cancels work whose caller has not left: an aborted caller already has its signal's reason.
  if (code === 'ERR_CANCELLED') return disposedMeanwhile(error);
  if (typeof code === 'string' && NATIVE_CODES.has(code))
    return new ManyscaleError(code as ErrorCode, String(message), { cause: error });
  return error;
}

function call<T>(body: (addon: Addon) => T): T {
  try {
    return body(loadAddon());
  } catch (error) {
    throw translate(error);
  }
}

/** Starts a job now, on this stack: what the request points to has been copied when this returns. */
function run<T>(
  start: (addon: Addon) => NativeJob<T>,
  signal: AbortSignal | undefined,
  unwanted?: (value: T) => void,
): Promise<T> {
  const job = call(start);
  const work = job.promise.catch((error: unknown) => {
    throw translate(error);
  });
  return abortable(work, signal, () => {
    job.cancel();
    if (unwanted) work.then(unwanted, () => {});
  });
}

export function makePlan(image: NativeSize, options: NativePlanOptions): NativePlan {
  return call((addon) => addon.plan(image, options));
}

export function makePresetPlan(image: NativeSize, options: NativePresetOptions): NativePlan {
  return call((addon) => addon.presetPlan(image, options));
}

/** Each scale's cells after merging, when a tile has `grid`. */
export function mergedGrids(plan: NativePlan, grid: NativeSize): NativeSize[] {
  return call((addon) => addon.mergedGrids(plan, grid));
}

export function checkPlan(plan: NativePlan): void {
  call((addon) => addon.checkPlan(plan));
}

export function findGrid(tile: NativeSize, cells: number, patchSize: number): NativeSize {
  return call((addon) => addon.findGrid(tile, cells, patchSize));
}

export function findTokenLayout(
  tile: NativeSize,
  tokens: number,
  patchSize: number,
): { numPrefixTokens: number; grid: NativeSize } {
  return call((addon) => addon.findTokenLayout(tile, tokens, patchSize));
}

export function runSplit(request: NativeSplitRequest, signal?: AbortSignal): Promise<Float32Array[]> {
  return run((addon) => addon.split(request), signal);
}

export function runPool(request: NativePoolRequest, signal?: AbortSignal): Promise<Float32Array> {
  return run((addon) => addon.pool(request), signal);
}

/**
 * Frees the memory of pixels that nobody reads any more. The garbage collector, to which they are small objects, would leave
 * many of them about.
 */
export function discardPixels({ data, owned }: NativeImage): void {
  const { buffer, byteLength } = data;
  // Only buffers of their own: Node.js puts small ones into common ones.
  if (owned && buffer.byteLength === byteLength) call((addon) => addon.discard(buffer as ArrayBuffer));
}

export function readBuildInfo(): NativeBuildInfo {
  return call((addon) => addon.buildInfo());
}

/** The instruction sets in use; throws for a bad MANYSCALE_FORCE_ISA. */
export function readKernels(): { split: string; pool: string } {
  return call((addon) => addon.kernels());
}

export function readRuntimeInfo(path: string, probe: boolean): Promise<NativeRuntimeInfo> {
  return run((addon) => addon.runtimeInfo(path, probe), undefined);
}

export function readDriver(): Promise<NativeDriverInfo> {
  return run((addon) => addon.driverInfo(), undefined);
}

/** Ascending; the last is the largest batch of a GPU's session. */
export function readGpuBuckets(maxBatch: number): number[] {
  return call((addon) => addon.gpuBuckets(maxBatch));
}

export function readPlacement(session: NativeSession): NativePlacement {
  return call(() => session.placement());
}

export function loadSession(options: NativeSessionOptions, signal: AbortSignal | undefined): Promise<NativeSession> {
  // A session that is ready after its caller has left is freed.
  return run(
    (addon) => addon.loadSession(options),
    signal,
    (session) => void session.dispose().catch(() => {}),
  );
}

export function probeSession(
  session: NativeSession,
  configuration: NativeModelConfiguration,
  signal: AbortSignal | undefined,
): Promise<NativeProbe[]> {
  return run(() => session.probe(configuration), signal);
}

export function configureSession(
  session: NativeSession,
  configuration: NativeModelConfiguration,
  outputDims: number[][],
  signal: AbortSignal | undefined,
): Promise<NativeBatching> {
  return run(() => session.configure(configuration, outputDims), signal);
}

/** At once where there is room and nobody waits. Throws what `reserve` would reject with. */
export function tryReserve(session: NativeSession, bytes: number): NativeTicket | undefined {
  return call(() => session.tryReserve(bytes));
}

/** First come, first served. A ticket that comes after the abort is given back. */
export function reserve(session: NativeSession, bytes: number, signal: AbortSignal): Promise<NativeTicket> {
  return run(
    () => session.reserve(bytes),
    signal,
    (ticket) => ticket.release(),
  );
}

/** `result` rejects at once when the signal aborts; `ended` resolves when native code has really left the image. */
export interface StartedJob<T> {
  result: Promise<T>;
  ended: Promise<void>;
}

function started<T>(start: (addon: Addon) => NativeJob<T>, signal: AbortSignal): StartedJob<T> {
  const job = call(start);
  const work = job.promise.catch((error: unknown) => {
    throw translate(error);
  });
  const nothing = () => {};
  return { result: abortable(work, signal, () => job.cancel()), ended: job.promise.then(nothing, nothing) };
}

export function startExtract(
  session: NativeSession,
  request: NativeExtractRequest,
  signal: AbortSignal,
): StartedJob<NativeExtractResult> {
  return started(() => session.extract(request), signal);
}

export function startSplit(request: NativeSplitRequest, signal: AbortSignal): StartedJob<Float32Array[]> {
  return started((addon) => addon.split(request), signal);
}

export function readStats(session: NativeSession): NativeStats {
  return call(() => session.stats());
}

/** Never rejects, as the next. */
export async function returnFreeMemory(): Promise<void> {
  try {
    await loadAddon().returnFreeMemory().promise;
  } catch {
    // the environment ends
  }
}

/** Never rejects: memory that could not be given back now is later. */
export async function shrinkSession(session: NativeSession): Promise<void> {
  try {
    await session.shrink().promise;
  } catch {
    // disposed meanwhile, or the runtime cannot
  }
}
