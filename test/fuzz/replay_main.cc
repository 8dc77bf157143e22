// Runs a fuzz target over files: the kept corpus as an ordinary test, with any compiler, sanitizer and processor.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/isa.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr int kSkipped = 77;  // what ctest counts as skipped (SKIP_RETURN_CODE)

std::vector<std::filesystem::path> files_of(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) return {path};
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(path)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    manyscale::active_isa();
  } catch (const manyscale::Error& error) {
    std::printf("skipped: %s\n", error.what());  // a processor without the instruction set that MANYSCALE_FORCE_ISA names
    return kSkipped;
  }
  int count = 0;
  for (int i = 1; i < argc; i++) {
    for (const auto& path : files_of(argv[i])) {
      std::printf("%s\n", path.c_str());  // before it runs: what it brings to light may end the process
      std::fflush(stdout);
      std::ifstream file(path, std::ios::binary);
      const std::string content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
      if (!file) {
        std::printf("cannot be read\n");
        return 1;
      }
      // Memory of exactly its size, so that AddressSanitizer sees a read beyond it.
      const std::unique_ptr<uint8_t[]> bytes(new uint8_t[content.size()]);
      std::copy(content.begin(), content.end(), bytes.get());
      LLVMFuzzerTestOneInput(bytes.get(), content.size());
      count++;
    }
  }
  std::printf("%d inputs\n", count);
  return count > 0 ? 0 : 1;
}
