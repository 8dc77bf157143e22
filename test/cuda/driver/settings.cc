#include "settings.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <thread>
#include <vector>

namespace software_cuda {
namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

class Reader {
 public:
  explicit Reader(std::string& error) : error_(error) {}

  std::string text(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
  }

  // A count, or bytes with K, M or G behind it.
  int64_t number(const char* name, int64_t otherwise, int64_t least) {
    const std::string value = text(name);
    if (value.empty()) return otherwise;
    int64_t result = 0;
    if (!parse(value, result) || result < least) return refuse(name, value), otherwise;
    return result;
  }

  // "8.7" as 8 and 7.
  void pair(const char* name, int& major, int& minor) {
    const std::string value = text(name);
    if (value.empty()) return;
    const auto parts = split(value, '.');
    int64_t first = 0;
    int64_t second = 0;
    if (parts.size() != 2 || !parse(parts[0], first) || !parse(parts[1], second)) return refuse(name, value);
    major = static_cast<int>(first);
    minor = static_cast<int>(second);
  }

  void refuse(const char* name, std::string_view value) {
    error_ += std::string(error_.empty() ? "" : "; ") + name + "=" + std::string(value) + " cannot be read";
  }

  static bool parse(std::string_view text, int64_t& value) {
    int shift = 0;
    if (!text.empty()) {
      const char unit = static_cast<char>(std::toupper(static_cast<unsigned char>(text.back())));
      shift = unit == 'K' ? 10 : unit == 'M' ? 20 : unit == 'G' ? 30 : 0;
      if (shift > 0) text.remove_suffix(1);
    }
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failure != std::errc() || end != text.data() + text.size() || value < 0) return false;
    value <<= shift;
    return true;
  }

 private:
  std::string& error_;
};

void read_faults(Settings& settings, Reader& reader) {
  constexpr const char* kVariable = "SOFTWARE_CUDA_FAULT";
  settings.fault_text = reader.text(kVariable);
  if (settings.fault_text.empty()) return;
  const std::map<std::string_view, FaultSetting*> known{{"too-old", &settings.too_old},
                                                        {"no-device", &settings.no_device},
                                                        {"init-fails", &settings.init_fails},
                                                        {"out-of-memory", &settings.out_of_memory},
                                                        {"allocation-fails", &settings.allocation_fails},
                                                        {"pin-fails", &settings.pin_fails},
                                                        {"kernel-fault", &settings.kernel_fault},
                                                        {"slow", &settings.slow}};
  for (const std::string_view fault : split(settings.fault_text, ',')) {
    const auto parts = split(fault, ':');
    const auto found = known.find(parts[0]);
    if (found == known.end() || parts.size() > 3) {
      reader.refuse(kVariable, fault);
      continue;
    }
    found->second->asked = true;
    if (parts.size() > 1 && !Reader::parse(parts[1], found->second->first)) reader.refuse(kVariable, fault);
    if (parts.size() > 2 && !Reader::parse(parts[2], found->second->second)) reader.refuse(kVariable, fault);
  }
}

}  // namespace

Settings read_settings() {
  Settings settings;
  Reader reader(settings.error);
  settings.seed = static_cast<uint64_t>(reader.number("SOFTWARE_CUDA_SEED", 1, 0));
  settings.devices = static_cast<int>(reader.number("SOFTWARE_CUDA_DEVICES", 1, 0));
  settings.integrated = reader.number("SOFTWARE_CUDA_INTEGRATED", 0, 0) != 0;
  if (settings.integrated) settings.major = 8, settings.minor = 7;
  reader.pair("SOFTWARE_CUDA_COMPUTE", settings.major, settings.minor);
  // An H100 and an Orin, unless told otherwise; memory that a test machine can back.
  settings.memory = reader.number("SOFTWARE_CUDA_MEMORY", int64_t{2} << 30, 1);
  settings.multiprocessors = static_cast<int>(reader.number("SOFTWARE_CUDA_MULTIPROCESSORS", settings.integrated ? 16 : 132, 1));
  settings.l2_bytes = reader.number("SOFTWARE_CUDA_L2", int64_t{settings.integrated ? 4 : 50} << 20, 1);
  int major = 13;
  int minor = 0;
  reader.pair("SOFTWARE_CUDA_DRIVER", major, minor);
  settings.driver_version = major * 1000 + minor * 10;
  const int processors = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  settings.threads = static_cast<int>(reader.number("SOFTWARE_CUDA_THREADS", std::min(processors, 16), 1));
  settings.count = reader.number("SOFTWARE_CUDA_COUNT", 0, 0) != 0;
  settings.late = reader.number("SOFTWARE_CUDA_LATE", 1, 0) != 0;
  settings.report = reader.text("SOFTWARE_CUDA_REPORT");
  read_faults(settings, reader);
  if (settings.too_old.asked) settings.driver_version = settings.too_old.first >= 0 ? static_cast<int>(settings.too_old.first) : 9020;
  return settings;
}

}  // namespace software_cuda
