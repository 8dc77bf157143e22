#include "engine/gpus.h"

namespace manyscale::engine {

GpuDescription describe_gpus() {
  GpuDescription description;
  description.reason = "this build of manyscale has no CUDA path";
  return description;
}

}  // namespace manyscale::engine
