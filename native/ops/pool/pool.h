// pool: the operation. Merge, area average (PyTorch's adaptive average, also upward) and join in one pass, accumulated in
// float32, without a merged intermediate. Prefix tokens are averaged over the tiles of a scale and put first.
#pragma once

#include <vector>

#include "core/backend.h"
#include "ops/pool/params.h"

namespace manyscale::pool {

// `sources` has one buffer per scale (the same one may stand several times); writes exactly params.output_elements() floats:
// [batch, prefix + grid height * grid width, channels] or [batch, channels, grid height, grid width].
void run(const Params& params, Backend& backend, const std::vector<Buffer>& sources, Buffer destination);

// The law: plain loops on the calling thread. Other implementations are tested against it.
void run_reference(const Params& params, const std::vector<const float*>& sources, float* destination);

// The instruction set that the CPU kernels in use were compiled for, as they themselves say.
const char* kernel_isa();

}  // namespace manyscale::pool
