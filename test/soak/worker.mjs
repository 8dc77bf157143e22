// A worker thread of the soak: asks for the same requests with Extractors of its own and reports what came of them. It may be ended
// at any moment; otherwise it ends by itself, having disposed of its Extractors or not.
import { parentPort, workerData } from 'node:worker_threads';
import { makeRandom } from '../../build-soak/test/helpers/random.js';
import { ask, loadModel, makeModels, outcomeOf } from './requests.mjs';

const { folder, images, requests, seed, rounds } = workerData;
const random = makeRandom(seed);
const models = makeModels(folder);
for (let round = 0; round < rounds; round++) {
  const model = random.integer(0, models.length - 1);
  const own = requests.flatMap((request, index) => (request.model === model ? [index] : []));
  if (own.length === 0) continue;
  const extractor = await loadModel(models[model]);
  const work = Array.from({ length: random.integer(1, 6) }, async () => {
    const index = random.pick(own);
    parentPort.postMessage({ index, found: await outcomeOf(ask(requests[index], extractor, images)) });
  });
  await Promise.all(work);
  if (random.integer(0, 1) === 0) await extractor.dispose();
}
