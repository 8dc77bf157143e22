#include "toy_model.h"

#include <bit>
#include <cctype>
#include <cmath>
#include <cstring>
#include <random>
#include <sstream>

#include "core/half.h"

namespace stand_in {
namespace {

int type_of(const std::string& name) {
  return name == "float32" ? kFloat32 : name == "uint8" ? kUint8 : name == "float16" ? kFloat16 : name == "bfloat16" ? kBfloat16 : 0;
}

float load(const std::byte* from, int type, size_t index) {
  switch (type) {
    case kUint8: return static_cast<float>(std::to_integer<int>(from[index]));
    case kFloat16: {
      uint16_t bits;
      std::memcpy(&bits, from + index * 2, 2);
      return manyscale::from_half(bits);
    }
    case kBfloat16: {
      uint16_t bits;
      std::memcpy(&bits, from + index * 2, 2);
      return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
    }
    default: {
      float value;
      std::memcpy(&value, from + index * 4, 4);
      return value;
    }
  }
}

void store(std::byte* to, int type, size_t index, float value) {
  if (type == kFloat32) {
    std::memcpy(to + index * 4, &value, 4);
    return;
  }
  uint16_t bits;
  if (type == kFloat16) {
    bits = manyscale::to_half(value);
  } else {
    const auto whole = std::bit_cast<uint32_t>(value);
    bits = static_cast<uint16_t>((whole + 0x7FFF + (whole >> 16 & 1)) >> 16);  // to nearest, ties to even
  }
  std::memcpy(to + index * 2, &bits, 2);
}

bool read_value(std::istringstream& line, Value& value) {
  std::string type;
  if (!(line >> value.name >> type) || type_of(type) == 0) return false;
  value.type = type_of(type);
  for (std::string dim; line >> dim;) {
    const bool number = std::isdigit(static_cast<unsigned char>(dim[0])) != 0;
    value.dims.push_back(number ? std::stoll(dim) : -1);
    value.symbols.push_back(number ? "" : dim);
  }
  return true;
}

}  // namespace

size_t element_bytes(int type) { return type == kUint8 ? 1 : type == kFloat32 ? 4 : type == kFloat16 || type == kBfloat16 ? 2 : 0; }

std::vector<int64_t> ToyModel::output_dims(const std::vector<int64_t>& input_dims) const {
  const int64_t rows = input_dims[2] / patch;
  const int64_t columns = input_dims[3] / patch;
  if (is_map()) return {input_dims[0], channels(), rows, columns};
  return {input_dims[0], prefix + rows * columns, channels()};
}

void ToyModel::run(const std::byte* in, const std::vector<int64_t>& dims, std::byte* out, bool wrong) const {
  const auto depth = static_cast<size_t>(dims[1]);
  const auto width = static_cast<size_t>(dims[3]);
  const auto side = static_cast<size_t>(patch);
  const size_t rows = static_cast<size_t>(dims[2]) / side;
  const size_t columns = width / side;
  const auto outputs = static_cast<size_t>(channels());
  const size_t plane = static_cast<size_t>(dims[2]) * width;
  const size_t area = depth * side * side;
  const auto front = static_cast<size_t>(prefix);
  std::vector<float> values(area);
  for (size_t tile = 0; tile < static_cast<size_t>(dims[0]); tile++) {
    double sum_of_tile = 0;
    const auto write = [&](size_t token, size_t channel, float value) {
      const size_t index = is_map() ? (tile * outputs + channel) * rows * columns + token : (tile * (front + rows * columns) + token) * outputs + channel;
      store(out, output.type, index, value);
    };
    for (size_t cell = 0; cell < rows * columns; cell++) {
      size_t at = 0;
      for (size_t c = 0; c < depth; c++) {
        for (size_t y = 0; y < side; y++) {
          const size_t row = ((tile * depth + c) * plane) + (cell / columns * side + y) * width + cell % columns * side;
          for (size_t x = 0; x < side; x++) values[at++] = load(in, input.type, row + x);
        }
      }
      for (const float value : values) sum_of_tile += value;
      for (size_t channel = 0; channel < outputs; channel++) {
        const float* weight = weights.data() + channel * area;
        float sum = 0;
        for (size_t i = 0; i < area; i++) sum += values[i] * weight[i];
        write((is_map() ? 0 : front) + cell, wrong ? outputs - 1 - channel : channel, sum);
      }
    }
    if (is_map()) continue;
    const auto mean = static_cast<float>(sum_of_tile / static_cast<double>(rows * columns * area));
    for (size_t token = 0; token < front; token++) {
      for (size_t channel = 0; channel < outputs; channel++) write(token, channel, mean * weights[outputs * area + token * outputs + channel]);
    }
  }
}

std::shared_ptr<const ToyModel> parse_model(const std::string& text) {
  std::istringstream lines(text);
  std::string line;
  if (!std::getline(lines, line) || line != "stand-in model") return nullptr;
  auto model = std::make_shared<ToyModel>();
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string word;
    if (!(words >> word)) continue;
    bool known = true;
    if (word == "input") {
      known = read_value(words, model->input);
    } else if (word == "output") {
      known = read_value(words, model->output);
    } else if (word == "patch") {
      known = static_cast<bool>(words >> model->patch);
    } else if (word == "prefix") {
      known = static_cast<bool>(words >> model->prefix);
    } else if (word == "seed") {
      known = static_cast<bool>(words >> model->seed);
    } else if (word == "metadata") {
      std::string key;
      words >> key >> std::ws;
      known = static_cast<bool>(std::getline(words, model->metadata[key]));
    } else {
      known = false;
    }
    if (!known) return nullptr;
  }
  const size_t rank = model->output.dims.size();
  if (model->input.dims.size() != 4 || (rank != 3 && rank != 4) || model->patch < 1 || model->prefix < 0 || model->input.dims[1] < 1 || model->channels() < 1 ||
      model->output.type == kUint8)
    return nullptr;
  const int64_t area = model->input.dims[1] * model->patch * model->patch;
  model->weights.resize(static_cast<size_t>(model->channels() * (area + model->prefix)));
  std::mt19937 random(static_cast<uint32_t>(model->seed));
  const float scale = 1 / std::sqrt(static_cast<float>(area));
  for (float& weight : model->weights) weight = scale * (static_cast<float>(random() % 2001) / 1000 - 1);
  return model;
}

}  // namespace stand_in
