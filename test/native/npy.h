// Reads the .npy files of the golden data: little-endian, C order, uint8 or float32.
#pragma once

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace npy {

struct Array {
  std::string type;  // '|u1' or '<f4'
  std::vector<int64_t> shape;
  std::vector<char> bytes;

  template <typename T>
  std::vector<T> as() const {
    if ((sizeof(T) == 1) != (type == "|u1")) throw std::runtime_error("Expected another element type for an .npy file but received " + type);
    std::vector<T> values(bytes.size() / sizeof(T));
    std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
    return values;
  }
};

inline Array read(const std::string& path) {
  const auto refuse = [&](const char* what) { throw std::runtime_error(std::string("Expected ") + what + " in " + path); };
  std::ifstream file(path, std::ios::binary);
  if (!file) refuse("a readable file");
  const std::string content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (content.size() < 10 || content.compare(0, 7, std::string("\x93NUMPY\x01", 7)) != 0) refuse("an .npy file of version 1");
  const size_t length = static_cast<unsigned char>(content[8]) + static_cast<size_t>(static_cast<unsigned char>(content[9])) * 256;
  if (content.size() < 10 + length) refuse("a whole header");
  const std::string header = content.substr(10, length);
  if (header.find("'fortran_order': False") == std::string::npos) refuse("C order");
  Array array;
  const size_t type = header.find("'descr': '");
  if (type == std::string::npos) refuse("a type");
  array.type = header.substr(type + 10, 3);
  if (array.type != "|u1" && array.type != "<f4") refuse("uint8 or float32");
  size_t at = header.find("'shape': (");
  if (at == std::string::npos) refuse("a shape");
  size_t expected = array.type == "|u1" ? 1 : 4;
  for (at += 10; header[at] != ')'; at++) {
    if (header[at] < '0' || header[at] > '9') continue;
    size_t digits = 0;
    array.shape.push_back(std::stoll(header.substr(at), &digits));
    expected *= static_cast<size_t>(array.shape.back());
    at += digits - 1;
  }
  array.bytes.assign(content.begin() + 10 + static_cast<int64_t>(length), content.end());
  if (array.bytes.size() != expected) refuse("as many elements as its shape says");
  return array;
}

}  // namespace npy
