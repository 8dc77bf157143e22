// The CPU as a backend: buffers are addresses, copies are memcpy, parallel_for is the executor's.
#pragma once

#include "core/backend.h"

namespace manyscale::cpu {

Backend& cpu_backend();

}  // namespace manyscale::cpu
