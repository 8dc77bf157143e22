// The load of the soak, in a process of its own: see soak.mjs. Arguments: a folder with models, seconds, a seed.
import { setMaxListeners } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { ManyscaleError } from 'manyscale';
import { makeRandom } from '../../build-soak/test/helpers/random.js';
import {
  ask,
  describeRequest,
  difference,
  loadModel,
  makeImages,
  makeModels,
  makeRequests,
  openImage,
  outcomeOf,
} from './requests.mjs';

const [folder, secondsText, seedText] = process.argv.slice(2);
const seconds = Number(secondsText);
const seed = Number(seedText);

/** How much larger the process may be after the load than after the warm-up, and the steps in which allocators give memory back. */
const MEMORY_FACTOR = 1.3;
const MEMORY_SLACK = 32; // MiB
/** Nothing that was asked for takes this long. */
const LONGEST_CALL = 60_000;
/** maxBytes of Extractors that come and go: enough for any image alone, so few that images wait for one another. */
const MEMORY_OF_SOME = 24 * 2 ** 20;
/** Requests to choose from; each is asked for alone at the start. */
const REQUESTS = 80;

const failures = [];
const counts = new Map();
const pending = new Map(); // what was asked for and when
let stopping = false;

const count = (what, by = 1) => counts.set(what, (counts.get(what) ?? 0) + by);
const fail = (what) => {
  failures.push(what);
  console.log(`soak: FOUND ${what}`);
};

process.on('unhandledRejection', (reason) => fail(`an unhandled rejection: ${reason?.stack ?? reason}`));
process.on('warning', (warning) => fail(`a warning: ${warning.stack ?? warning}`)); // of listeners that are never removed, for one

console.log(`soak: seed ${seed}, ${seconds} s`);
const random = makeRandom(seed);
const models = makeModels(folder);
const images = await makeImages(folder, random);
const requests = makeRequests(models, images, random, REQUESTS);
const expected = await askAlone();
const shared = await Promise.all(models.map((model) => loadModel(model)));
const canDoMany = await hasExtractMany(shared[0]);

const begin = performance.now();
await loadFor(seconds / 3);
const before = await measure();
console.log(`soak: warm, ${describeMeasure(before)}`);
await loadFor((seconds * 2) / 3);
const after = await measure();
checkIdle();
await Promise.all(shared.map((extractor) => extractor.dispose()));
judge();
summarise();
process.exitCode = failures.length > 0 ? 1 : 0;
console.log('soak: done');

/** The outcome of every request when nothing else goes on. */
async function askAlone() {
  const outcomes = [];
  for (const [model, description] of models.entries()) {
    const extractor = await loadModel(description);
    for (const [index, request] of requests.entries()) {
      if (request.model === model) outcomes[index] = await outcomeOf(ask(request, extractor, images));
    }
    await extractor.dispose();
  }
  const refused = outcomes.filter(({ code }) => code);
  const codes = [...new Set(refused.map(({ code }) => code))].sort();
  console.log(`soak: ${outcomes.length} requests, of which ${refused.length} are refused (${codes.join(', ')})`);
  return outcomes;
}

async function hasExtractMany(extractor) {
  try {
    for await (const _ of extractor.extractMany([])) break;
    return true;
  } catch (error) {
    if (!(error instanceof ManyscaleError)) throw error;
    console.log('soak: this version has no extractMany; left out');
    return false;
  }
}

async function loadFor(duration) {
  stopping = false;
  const actors = [caller, caller, aborter, disposer, starter, ...(canDoMany ? [streamer] : [])];
  const ticker = setInterval(tick, 2500);
  const end = sleep(duration * 1000).then(() => {
    stopping = true;
  });
  await Promise.all([end, ...actors.map((actor) => act(actor, makeRandom(random.integer(0, 2 ** 31))))]);
  clearInterval(ticker);
}

async function act(actor, choices) {
  while (!stopping && failures.length === 0) {
    try {
      await actor(choices);
    } catch (error) {
      fail(`${actor.name}: ${error?.stack ?? error}`);
    }
    await sleep(choices.integer(0, 10));
  }
}

function tick() {
  const now = performance.now();
  for (const [id, { what, since }] of pending) {
    if (now - since < LONGEST_CALL) continue;
    fail(`${what} has not settled for ${LONGEST_CALL / 1000} s`);
    pending.delete(id);
    process.exit(1);
  }
  const memory = (process.memoryUsage.rss() / 2 ** 20).toFixed(0);
  const done = [...counts.values()].reduce((sum, value) => sum + value, 0);
  console.log(`soak: ${((now - begin) / 1000).toFixed(0)} s, ${done} events, ${pending.size} pending, ${memory} MiB`);
}

/** Notes that something was asked for until it settles. */
async function watched(what, work) {
  const id = {};
  pending.set(id, { what, since: performance.now() });
  try {
    return await work;
  } finally {
    pending.delete(id);
  }
}

/** One request, which must come to its outcome or to one of the ends that `allowed` accepts. */
async function expectOutcome(index, extractor, { signal, allowed = () => false } = {}) {
  const request = requests[index];
  const what = describeRequest(request, models, images);
  let found;
  try {
    found = await watched(what, outcomeOf(ask(request, extractor, images, signal)));
  } catch (error) {
    if (allowed(error)) return;
    fail(`${what}: ${error?.stack ?? error}`);
    return;
  }
  const wrong = difference(found, expected[index]);
  if (wrong) fail(`${what}: ${wrong}`);
  else count(found.code ? 'refused as alone' : 'right features');
}

function anyRequest(choices) {
  return choices.integer(0, requests.length - 1);
}

function some(choices, most, make) {
  return Array.from({ length: choices.integer(1, most) }, make);
}

/** Bursts on the Extractors that all share. */
async function caller(choices) {
  await Promise.all(
    some(choices, 12, () => {
      const index = anyRequest(choices);
      return expectOutcome(index, shared[requests[index].model]);
    }),
  );
}

/** Bursts of which some are cancelled: before, during, after; each with its own signal or all with one. */
async function aborter(choices) {
  const isStorm = choices.integer(0, 9) === 0;
  const one = new AbortController();
  setMaxListeners(0, one.signal); // Node.js takes more than ten calls with one signal for a leak
  const together = isStorm || choices.integer(0, 1) === 0;
  const work = Array.from({ length: isStorm ? 50 : choices.integer(1, 8) }, async () => {
    const index = anyRequest(choices);
    const controller = together ? one : new AbortController();
    const reason = new Error('cancelled by the soak');
    const allowed = (error) => {
      const isReason = error === controller.signal.reason;
      if (isReason) count('cancelled');
      return isReason;
    };
    if (!together && choices.integer(0, 9) === 0) controller.abort(reason);
    const settled = expectOutcome(index, shared[requests[index].model], { signal: controller.signal, allowed });
    if (!together) {
      const delay = choices.integer(0, 3);
      if (delay === 1) queueMicrotask(() => controller.abort(reason));
      if (delay === 2) setImmediate(() => controller.abort(reason));
      if (delay === 3) await sleep(choices.integer(0, 60)).then(() => controller.abort(reason));
    }
    await settled;
  });
  if (together) await sleep(choices.integer(0, 60)).then(() => one.abort(new Error('all cancelled by the soak')));
  await Promise.all(work);
}

/** An Extractor that is loaded and disposed under load, or whose loading is cancelled. */
async function disposer(choices) {
  const index = choices.integer(0, models.length - 1);
  if (choices.integer(0, 4) === 0) {
    const controller = new AbortController();
    const loading = watched('a load to be cancelled', loadModel(models[index], { signal: controller.signal }));
    setTimeout(() => controller.abort(), choices.integer(0, 20));
    try {
      await (await loading).dispose();
    } catch (error) {
      if (error !== controller.signal.reason) throw error;
    }
    count('cancelled loads');
    return;
  }
  const tuning = {
    threads: choices.integer(1, 3),
    maxBatch: choices.integer(1, 4),
    maxDelay: choices.integer(0, 3) * 5,
    maxBytes: MEMORY_OF_SOME,
  };
  const extractor = await watched('a load', loadModel(models[index], tuning));
  const own = requests.flatMap(({ model }, i) => (model === index ? [i] : []));
  if (own.length === 0) return extractor.dispose();
  const allowed = (error) => {
    const isDisposed = error instanceof ManyscaleError && error.code === 'ERR_DISPOSED';
    if (isDisposed) count('ended by disposal');
    return isDisposed;
  };
  const work = some(choices, 8, () => expectOutcome(choices.pick(own), extractor, { allowed }));
  await sleep(choices.integer(0, 50));
  await watched('a disposal', Promise.all([extractor.dispose(), extractor[Symbol.asyncDispose]()]));
  await Promise.all(work);
  try {
    await extractor.extract(openImage(images[0]));
    fail('an extract after the disposal that is not refused');
  } catch (error) {
    if (!allowed(error)) throw error;
  }
}

/** A worker thread that asks for the same; it is ended in the middle or ends by itself. */
async function starter(choices) {
  const rounds = choices.integer(1, 4);
  const worker = new Worker(new URL('./worker.mjs', import.meta.url), {
    workerData: { folder, images, requests, seed: choices.integer(0, 2 ** 31), rounds },
  });
  const ended = watched('the end of a worker thread', new Promise((resolve) => worker.once('exit', resolve)));
  let terminated = false;
  worker.on('error', (error) => fail(`a worker thread: ${error?.stack ?? error}`));
  worker.on('message', ({ index, found }) => {
    const wrong = difference(found, expected[index]);
    if (wrong) fail(`in a worker thread: ${describeRequest(requests[index], models, images)}: ${wrong}`);
    else count('right in worker threads');
  });
  if (choices.integer(0, 2) > 0) {
    await sleep(choices.integer(0, 600));
    terminated = true;
    await watched('terminating a worker thread', worker.terminate());
  }
  const code = await ended;
  if (!terminated && code !== 0) fail(`a worker thread that ended with exit code ${code}`);
  count(terminated ? 'worker threads terminated' : 'worker threads that ended');
}

/** extractMany over lists and streams, of which some are left early, cancelled, or break down. */
async function streamer(choices) {
  const model = choices.integer(0, models.length - 1);
  // One set of options for all images of a call: those of load.
  const own = requests.flatMap((request, i) =>
    request.model === model && request.operation === 'extract' && Object.keys(request.options).length === 0 ? [i] : [],
  );
  if (own.length === 0) return;
  const list = Array.from({ length: choices.integer(0, 40) }, () => choices.pick(own));
  const ordered = choices.integer(0, 1) === 0;
  const stopAfter = choices.integer(0, 2) === 0 ? choices.integer(0, list.length) : Number.POSITIVE_INFINITY;
  const breaksAt = choices.integer(0, 7) === 0 ? choices.integer(0, list.length) : Number.POSITIVE_INFINITY;
  const controller = new AbortController();
  if (choices.integer(0, 4) === 0) setTimeout(() => controller.abort(), choices.integer(0, 200));
  const broken = new Error('a source that breaks down');
  let closed = 0;
  async function* source() {
    try {
      for (const [position, index] of list.entries()) {
        if (position === breaksAt) throw broken;
        if (choices.integer(0, 3) === 0) await sleep(choices.integer(0, 20));
        yield openImage(images[requests[index].image]);
      }
    } finally {
      closed++;
    }
  }
  const isStream = breaksAt < list.length || choices.integer(0, 1) === 0;
  const input = isStream ? source() : list.map((index) => openImage(images[requests[index].image]));
  const seen = new Set();
  const what = `extractMany of ${list.length} images`;
  try {
    const results = shared[model].extractMany(input, { ordered, signal: controller.signal });
    for (;;) {
      if (seen.size >= stopAfter) {
        await watched(`leaving ${what}`, results.return());
        count('streams left early');
        break;
      }
      const { done, value } = await watched(what, results.next());
      if (done) {
        if (seen.size !== list.length) fail(`${what} that ended after ${seen.size}`);
        count('streams');
        break;
      }
      if (seen.has(value.index) || (ordered && value.index !== seen.size))
        fail(`${what}: index ${value.index} after ${seen.size}`);
      seen.add(value.index);
      const index = list[value.index];
      const found = await outcomeOf(value.error ? Promise.reject(value.error) : value.features.tensor);
      const wrong = difference(found, expected[index]);
      if (wrong) fail(`${what}: ${describeRequest(requests[index], models, images)}: ${wrong}`);
      else count('right in streams');
    }
  } catch (error) {
    if (error !== broken && error !== controller.signal.reason) throw error;
    count(error === broken ? 'streams that broke down' : 'streams cancelled');
  }
  // A source that is asked for its next image when the end comes is told, but not waited for.
  for (let i = 0; isStream && seen.size > 0 && closed === 0; i++) {
    if (i === 50) return fail(`${what}: the source was not closed`);
    await sleep(20);
  }
}

/** Memory, open files and threads when nothing goes on. */
async function measure() {
  for (let i = 0; i < 4; i++) {
    globalThis.gc();
    await sleep(500);
  }
  return {
    memory: process.memoryUsage.rss() / 2 ** 20,
    files: names('/proc/self/fd', (entry) => {
      const target = readlinkSync(entry);
      // Node.js leaves a module's file open when a worker thread is ended while it imports it.
      return /\.m?js$|package\.json$/.test(target) ? undefined : target.replace(/\d+/g, 'N');
    }),
    threads: names('/proc/self/task', (entry) => {
      const name = readFileSync(join(entry, 'comm'), 'utf8').trim();
      return name === 'libvips worker' ? undefined : name; // the decoder's own pool, which grows and shrinks
    }),
  };
}

/** How many entries of a folder of /proc have which name; undefined: not to be counted. */
function names(folder_, nameOf) {
  const found = new Map();
  for (const entry of readdirSync(folder_)) {
    try {
      const name = nameOf(join(folder_, entry));
      if (name !== undefined) found.set(name, (found.get(name) ?? 0) + 1);
    } catch {
      // Gone meanwhile: the folder's own descriptor, for one.
    }
  }
  return found;
}

function total(found) {
  return [...found.values()].reduce((sum, times) => sum + times, 0);
}

/** What the Extractors themselves say when nothing goes on. */
function checkIdle() {
  for (const [index, extractor] of shared.entries()) {
    let stats;
    try {
      stats = extractor.stats();
    } catch {
      return; // this version has none
    }
    const { images: work, tiles, bytes } = stats;
    if (work.inFlight + work.waiting + tiles.queued + tiles.running + bytes.inFlight > 0) {
      fail(`work left over with the model '${models[index].name}': ${JSON.stringify({ images: work, tiles, bytes })}`);
    }
  }
}

function describeMeasure({ memory, files, threads }) {
  return `${memory.toFixed(0)} MiB, ${total(files)} open files, ${total(threads)} threads`;
}

function judge() {
  const most = before.memory * MEMORY_FACTOR + MEMORY_SLACK;
  if (after.memory > most)
    fail(`memory of ${after.memory.toFixed(0)} MiB where at most ${most.toFixed(0)} were expected`);
  for (const what of ['files', 'threads']) {
    if (total(after[what]) <= total(before[what])) continue;
    const more = [...after[what]].filter(([name, times]) => times > (before[what].get(name) ?? 0));
    const list = more.map(([name, times]) => `${times} instead of ${before[what].get(name) ?? 0} ${name}`);
    fail(`${total(after[what])} ${what} where there were ${total(before[what])}: ${list.join(', ')}`);
  }
  if (pending.size > 0) fail(`${pending.size} calls that never settled`);
}

function summarise() {
  console.log(`soak: before: ${describeMeasure(before)}`);
  console.log(`soak: after:  ${describeMeasure(after)}`);
  const rows = [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
  const width = Math.max(...rows.map(([what]) => what.length));
  for (const [what, times] of rows) console.log(`  ${what.padEnd(width)} ${String(times).padStart(8)}`);
  console.log(`soak: ${failures.length} findings`);
  for (const what of failures) console.log(`  ${what}`);
}
