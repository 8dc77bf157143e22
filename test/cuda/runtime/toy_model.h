// The toy model: from each tile, one row of channels per patch (and per prefix token), sums of the patch's values with fixed weights. Every
// output depends on every input of its patch alone, so misplaced tiles, patches and channels all show. The same bits on every provider.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace stand_in {

// As ONNXTensorElementDataType numbers them.
enum ElementType : int { kFloat32 = 1, kUint8 = 2, kFloat16 = 10, kBfloat16 = 16 };
size_t element_bytes(int type);

struct Value {
  std::string name;
  int type = kFloat32;
  std::vector<int64_t> dims;         // -1: dynamic
  std::vector<std::string> symbols;  // of the dynamic ones
};

// From a text, one statement a line, after the line "stand-in model":
//   input NAME TYPE DIM DIM DIM DIM     [n, channels, height, width]; a DIM that is no number is dynamic
//   output NAME TYPE DIM ...            tokens [n, prefix + rows * columns, channels], or a feature map [n, channels, rows, columns]
//   patch P                             pixels along a patch's side
//   prefix N                            tokens in front
//   seed N                              of the weights
//   metadata KEY VALUE
struct ToyModel {
  Value input;
  Value output;
  int64_t patch = 0;
  int64_t prefix = 0;
  uint64_t seed = 1;
  std::map<std::string, std::string> metadata;
  std::vector<float> weights;  // [channels out, channels in, patch, patch], then [prefix, channels out]

  bool is_map() const { return output.dims.size() == 4; }
  int64_t channels() const { return is_map() ? output.dims[1] : output.dims[2]; }
  std::vector<int64_t> output_dims(const std::vector<int64_t>& input_dims) const;
  // From memory to memory, row-major. `wrong`: as a provider computes whose kernels are broken.
  void run(const std::byte* input, const std::vector<int64_t>& input_dims, std::byte* output, bool wrong) const;
};

// Null for bytes that are no such text.
std::shared_ptr<const ToyModel> parse_model(const std::string& text);

}  // namespace stand_in
