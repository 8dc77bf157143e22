// Just enough of ONNX's protobuf (onnx/onnx.proto) to write models of a few nodes.
#pragma once

#include <cctype>
#include <cstdint>
#include <string>
#include <vector>

namespace onnx {

inline std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 128; value >>= 7) bytes += static_cast<char>(value | 128);
  return bytes += static_cast<char>(value);
}
inline std::string field(int number, int64_t value) { return varint(static_cast<uint64_t>(number) << 3) + varint(static_cast<uint64_t>(value)); }
inline std::string field(int number, const std::string& bytes) { return varint(static_cast<uint64_t>(number) << 3 | 2) + varint(bytes.size()) + bytes; }

constexpr int kFloat = 1;
constexpr int kUint8 = 2;
constexpr int kInt64 = 7;
constexpr int kFloat16 = 10;

inline std::string pair(const std::string& key, const std::string& value) { return field(1, key) + field(2, value); }
inline std::string tensor_type(int type, const std::vector<std::string>& dims) {
  std::string shape;
  for (const std::string& dim : dims) shape += field(1, std::isdigit(dim[0]) ? field(1, int64_t{std::stoi(dim)}) : field(2, dim));
  return field(1, field(1, int64_t{type}) + field(2, shape));
}
inline std::string sequence_type(const std::string& element) { return field(4, field(1, element)); }
inline std::string value(const std::string& name, const std::string& type) { return field(1, name) + field(2, type); }
inline std::string node(const std::string& operation, const std::vector<std::string>& inputs, const std::string& output) {
  std::string bytes;
  for (const std::string& input : inputs) bytes += field(1, input);
  return bytes + field(2, output) + field(4, operation);
}
inline std::string cast(const std::string& input, const std::string& output, int type) {
  const std::string to = field(1, std::string("to")) + field(3, int64_t{type}) + field(20, int64_t{2});
  return node("Cast", {input}, output) + field(5, to);
}
inline std::string int64_constant(const std::string& name, const std::vector<int64_t>& values) {
  std::string raw(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(int64_t));
  return field(1, static_cast<int64_t>(values.size())) + field(2, int64_t{kInt64}) + field(8, name) + field(9, raw);
}
inline std::string external_floats(const std::string& name, int64_t count, const std::string& file) {
  return field(1, count) + field(2, int64_t{kFloat}) + field(8, name) + field(13, pair("location", file)) + field(14, int64_t{1});
}
// One graph of x to y, and to z if it has a type.
inline std::string model(const std::vector<std::string>& nodes, const std::vector<std::string>& constants, const std::string& x, const std::string& y,
                         const std::string& z = "") {
  std::string graph = field(2, std::string("made-by-test"));
  for (const std::string& each : nodes) graph += field(1, each);
  for (const std::string& each : constants) graph += field(5, each);
  graph += field(11, value("x", x)) + field(12, value("y", y));
  if (!z.empty()) graph += field(12, value("z", z));
  return field(1, int64_t{8}) + field(2, std::string("runtime_test")) + field(7, graph) + field(8, field(2, int64_t{13})) +
         field(14, pair("manyscale.mean", "1,2,3"));
}
// y = x + x; what it declares for y need not be true.
inline std::string doubling(const std::vector<std::string>& x, const std::vector<std::string>& y) {
  return model({node("Add", {"x", "x"}, "y")}, {}, tensor_type(kFloat, x), tensor_type(kFloat, y));
}

}  // namespace onnx
