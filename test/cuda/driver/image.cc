#include "image.h"

#include <elf.h>

#include <cstdio>
#include <cstring>
#include <string_view>
#include <vector>

namespace software_cuda {
namespace {

constexpr uint32_t kFatbinMagic = 0xBA55ED50;
constexpr uint32_t kWrapperMagic = 0x466243B1;  // what nvcc registers with the runtime: a pointer to the fatbin in it
constexpr uint16_t kPtxEntry = 1;
constexpr uint16_t kElfEntry = 2;
constexpr uint64_t kCompressed = 0x2000 | 0x8000;  // LZ4, Zstandard

struct FatbinHeader {
  uint32_t magic;
  uint16_t version;
  uint16_t header_bytes;
  uint64_t entries_bytes;
};

struct EntryHeader {
  uint16_t kind;
  uint16_t version;
  uint32_t header_bytes;
  uint64_t payload_bytes;
  uint32_t compressed_bytes;
  uint32_t unused;
  uint16_t minor;
  uint16_t major;
  uint32_t target;  // 87 for sm_87
  uint32_t name_offset;
  uint32_t name_bytes;
  uint64_t flags;
};

template <typename T>
T read(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

Image refuse(Result result, std::string reason) {
  Image image;
  image.result = result;
  image.reason = std::move(reason);
  return image;
}

// The newest version of PTX that a driver takes, as NVIDIA's table has it: 10.0 takes 6.3, 11.0 takes 7.0, 12.0 takes 8.0, 12.5 and 12.6 take 8.5, 13.0 takes 9.0.
int newest_ptx(int driver_version) {
  const int major = driver_version / 1000;
  const int minor = driver_version % 1000 / 10;
  if (major >= 13) return (major - 4) * 10 + minor;
  if (major == 12) return 80 + minor - (minor >= 6 ? 1 : 0);
  if (major == 11) return 70 + minor;
  if (major == 10) return minor == 0 ? 63 : minor == 1 ? 64 : 65;
  return major == 9 ? 60 + minor : 50;
}

// "6.3" of ".version 6.3" as 63, and 75 of ".target sm_75"; 0 where there is none.
int number_behind(const std::string& ptx, const char* directive, const char* format) {
  const size_t at = ptx.find(directive);
  int first = 0;
  int second = 0;
  if (at == std::string::npos) return 0;
  const int read_numbers = std::sscanf(ptx.c_str() + at + std::strlen(directive), format, &first, &second);
  return read_numbers == 2 ? first * 10 + second : read_numbers == 1 ? first : 0;
}

// ptxas keeps a kernel's registers in the upper byte of sh_info of its section .text.NAME.
std::map<std::string, int> registers_of(const std::byte* elf, size_t bytes) {
  std::map<std::string, int> registers;
  if (bytes < sizeof(Elf64_Ehdr) || std::memcmp(elf, ELFMAG, SELFMAG) != 0) return registers;
  const auto header = read<Elf64_Ehdr>(elf);
  const auto section = [&](size_t index) { return read<Elf64_Shdr>(elf + header.e_shoff + index * sizeof(Elf64_Shdr)); };
  if (header.e_shentsize != sizeof(Elf64_Shdr) || header.e_shoff + header.e_shnum * sizeof(Elf64_Shdr) > bytes || header.e_shstrndx >= header.e_shnum)
    return registers;
  const Elf64_Shdr names = section(header.e_shstrndx);
  if (names.sh_offset + names.sh_size > bytes) return registers;
  for (size_t i = 0; i < header.e_shnum; i++) {
    const Elf64_Shdr each = section(i);
    if (each.sh_name >= names.sh_size) continue;
    const auto* text = reinterpret_cast<const char*>(elf + names.sh_offset + each.sh_name);
    const std::string_view name(text, strnlen(text, names.sh_size - each.sh_name));
    constexpr std::string_view kCode = ".text.";
    if (name.starts_with(kCode)) registers[std::string(name.substr(kCode.size()))] = static_cast<int>(each.sh_info >> 24);
  }
  return registers;
}

Image check_ptx(Image image, int capability, int driver_version) {
  const int version = number_behind(image.ptx, ".version", " %d.%d");
  const int target = number_behind(image.ptx, ".target", " sm_%d");
  if (version == 0 || target == 0) return refuse(kInvalidPtx, "PTX without .version and .target");
  if (version > newest_ptx(driver_version)) {
    return refuse(kUnsupportedPtxVersion, "PTX of version " + std::to_string(version / 10) + "." + std::to_string(version % 10) + ", but a driver of version " +
                                              std::to_string(driver_version) + " takes " + std::to_string(newest_ptx(driver_version) / 10) + "." +
                                              std::to_string(newest_ptx(driver_version) % 10));
  }
  if (target > capability) return refuse(kNoBinaryForGpu, "PTX for sm_" + std::to_string(target) + ", but the device is sm_" + std::to_string(capability));
  return image;
}

}  // namespace

Image read_image(const void* data, int capability, int driver_version) {
  const auto* at = static_cast<const std::byte*>(data);
  Image image;
  if (read<uint32_t>(at) == kWrapperMagic) at = reinterpret_cast<const std::byte*>(read<uint64_t>(at + 8));
  if (read<uint32_t>(at) != kFatbinMagic) {
    const auto* text = static_cast<const char*>(data);
    const bool elf = std::memcmp(text, ELFMAG, SELFMAG) == 0;
    if (elf) return refuse(kInvalidImage, "machine code without PTX: the stand-in runs PTX; embed the fatbin");
    image.ptx = text;
    return check_ptx(std::move(image), capability, driver_version);
  }
  const auto header = read<FatbinHeader>(at);
  const std::byte* const end = at + header.header_bytes + header.entries_bytes;
  int best = 0;
  int best_code = 0;
  bool compressed = false;
  Image refused = refuse(kNoBinaryForGpu, "a fatbin without PTX for sm_" + std::to_string(capability));
  for (at += header.header_bytes; at + sizeof(EntryHeader) <= end;) {
    const auto entry = read<EntryHeader>(at);
    const std::byte* payload = at + entry.header_bytes;
    at = payload + entry.payload_bytes;
    if (at > end) return refuse(kInvalidImage, "a fatbin that is cut off");
    const int target = static_cast<int>(entry.target);
    if (entry.flags & kCompressed) {
      compressed = true;
    } else if (entry.kind == kPtxEntry) {
      Image candidate;
      candidate.ptx.assign(reinterpret_cast<const char*>(payload), strnlen(reinterpret_cast<const char*>(payload), entry.payload_bytes));
      candidate = check_ptx(std::move(candidate), capability, driver_version);
      if (candidate.result != kSuccess)
        refused = std::move(candidate);
      else if (target >= best)
        best = target, image.ptx = std::move(candidate.ptx);
    } else if (entry.kind == kElfEntry && target / 10 == capability / 10 && target <= capability && target >= best_code) {
      best_code = target;
      image.registers = registers_of(payload, entry.payload_bytes);
    }
  }
  if (!image.ptx.empty()) return image;
  if (compressed) return refuse(kInvalidImage, "a fatbin whose images are compressed: build it with --compress-mode=none for the stand-in");
  return refused;
}

}  // namespace software_cuda
