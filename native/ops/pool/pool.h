// pool: the operation. Merge, area average (PyTorch's adaptive average, also upward) and join in one pass, accumulated in
// float32, without a merged intermediate; float16 output is the float32 average, rounded once (core/half.h). Prefix tokens are averaged over the tiles of a
// scale and put first.
#pragma once

#include <vector>

#include "core/backend.h"
#include "ops/pool/params.h"

namespace manyscale::pool {

// `sources` are the buffers of float32 that params.tiles point into. Writes the channels of params.scales, all of them
// unless it is Params::only, of [batch, prefix + grid height * grid width, channels] or [batch, channels, grid height, grid
// width], params.output_bytes() in all: float or, for kFloat16, uint16_t (the bits of IEEE binary16).
void run(const Params& params, Backend& backend, const std::vector<Buffer>& sources, Buffer destination);

// The law: plain loops on the calling thread. Other implementations are tested against it.
void run_reference(const Params& params, const std::vector<const float*>& sources, void* destination);

// The instruction set that the CPU kernels in use were compiled for, as they themselves say.
const char* kernel_isa();

}  // namespace manyscale::pool
