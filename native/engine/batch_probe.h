// Whether a model gives a tile the same features whatever it is batched with. ONNX Runtime does not promise it: products of
// one row, vector remainders and ranges taken over a batch can differ.
#pragma once

#include "engine/batch.h"

namespace manyscale::engine {

// Finds out how the class is to be batched, by running two tiles of noise alone, together, and at every place of batches of
// several sizes. `overrides`: the caller's; `deterministic`: one size for all batches, and tiles alone when even that does not
// help. A model that fails with more than one tile gets one tile at a time. Fills in batching and policy. Blocks; throws Error.
void probe_batching(runtime::Session& session, BatchClass& batch_class, BatchOverrides overrides, bool deterministic, runtime::RunControl* control);

}  // namespace manyscale::engine
