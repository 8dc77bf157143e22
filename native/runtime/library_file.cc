#include "runtime/library_file.h"

#include <elf.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

namespace manyscale::runtime {
namespace {

#if defined(__aarch64__)
constexpr int kMachine = EM_AARCH64;
#elif defined(__x86_64__)
constexpr int kMachine = EM_X86_64;
#else
#error "name this processor's ELF machine"
#endif

template <typename T>
bool read(std::ifstream& file, T* values, size_t count) {
  return static_cast<bool>(file.read(reinterpret_cast<char*>(values), static_cast<std::streamsize>(count * sizeof(T))));
}

}  // namespace

std::string why_not_loadable(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::strerror(errno);
  Elf64_Ehdr header;
  if (!read(file, &header, 1) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_type != ET_DYN ||
      header.e_phentsize != sizeof(Elf64_Phdr)) {
    return "a file that is not a 64-bit shared library";
  }
  if (header.e_machine != kMachine) return "a library for another processor (ELF machine " + std::to_string(header.e_machine) + ")";
  std::vector<Elf64_Phdr> segments(header.e_phnum);
  file.seekg(static_cast<std::streamoff>(header.e_phoff));
  const bool whole = read(file, segments.data(), segments.size());
  file.clear();
  file.seekg(0, std::ios::end);
  const auto size = static_cast<uint64_t>(file.tellg());
  for (const Elf64_Phdr& segment : segments) {
    if (!whole || segment.p_offset > size || segment.p_filesz > size - segment.p_offset)
      return "a library that was cut short (" + std::to_string(size) + " bytes)";
  }
  return "";
}

bool file_contains(const std::string& path, const char* text) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  return bytes.find(text) != std::string::npos;
}

}  // namespace manyscale::runtime
