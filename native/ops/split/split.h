// split: the operation. Resize, normalise and cut in one pass over memory.
#pragma once

#include <vector>

#include "core/backend.h"
#include "ops/split/params.h"

namespace manyscale::split {

// Makes params.tiles on the backend's device. `destinations` has one buffer per scale (the same one may stand several
// times); nothing but the named tiles is written. Error kInvalidArgument for an ISA that MANYSCALE_FORCE_ISA names in vain.
void run(const Params& params, Backend& backend, Buffer source, const std::vector<Buffer>& destinations);

// The law: plain loops over the axis tables, on the calling thread. Other implementations are tested against it.
void run_reference(const Params& params, const void* source, const std::vector<float*>& destinations);

// The instruction set that the CPU kernels in use were compiled for, as they themselves say.
const char* kernel_isa();

}  // namespace manyscale::split
