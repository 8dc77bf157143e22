#include "statistics.h"

#include <algorithm>
#include <cstdio>

#include "settings.h"

namespace software_cuda {
namespace {

constexpr size_t kMostMisuses = 100;

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char letter : text) {
    char escaped[8];
    if (letter == '"' || letter == '\\')
      (result += '\\') += letter;
    else if (static_cast<unsigned char>(letter) < 0x20)
      std::snprintf(escaped, sizeof escaped, "\\u%04x", letter), result += escaped;
    else
      result += letter;
  }
  return result + '"';
}

// Members of one JSON object, in the order in which they come.
class Object {
 public:
  Object& raw(const std::string& name, const std::string& value) {
    text_ += (text_.empty() ? "" : ", ") + quoted(name) + ": " + value;
    return *this;
  }
  Object& number(const std::string& name, uint64_t value) { return raw(name, std::to_string(value)); }
  Object& string(const std::string& name, const std::string& value) { return raw(name, quoted(value)); }
  std::string done() const { return "{" + text_ + "}"; }

 private:
  std::string text_;
};

std::string object(const std::map<std::string, uint64_t>& numbers) {
  Object result;
  for (const auto& [name, value] : numbers) result.number(name, value);
  return result.done();
}

std::string copies(const SoftwareCudaCopies& counted) { return Object().number("count", counted.count).number("bytes", counted.bytes).done(); }

std::string list(const std::deque<std::string>& texts) {
  std::string result;
  for (const std::string& text : texts) result += (result.empty() ? "" : ", ") + quoted(text);
  return "[" + result + "]";
}

}  // namespace

void Statistics::misuse(const std::string& text) {
  counts.misuses++;
  if (misuses_.size() < kMostMisuses) misuses_.push_back(text);
}

void Statistics::reset() {
  SoftwareCudaCounts kept{};
  kept.live_allocations = counts.live_allocations;
  kept.live_bytes = kept.peak_bytes = counts.live_bytes;
  kept.live_pinned = counts.live_pinned;
  kept.live_pinned_bytes = counts.live_pinned_bytes;
  kept.live_streams = counts.live_streams;
  kept.live_events = counts.live_events;
  kept.live_modules = counts.live_modules;
  kept.pending = counts.pending;
  kept.failed_contexts = counts.failed_contexts;
  counts = kept;
  kernels.clear();
  launches_by_device.clear();
  calls.clear();
  after_failure.clear();
  misuses_.clear();
}

void Statistics::allocated(uint64_t bytes) {
  counts.allocations++;
  counts.live_allocations++;
  counts.live_bytes += bytes;
  counts.peak_bytes = std::max(counts.peak_bytes, counts.live_bytes);
}

void Statistics::released(uint64_t bytes) {
  counts.live_allocations--;
  counts.live_bytes -= bytes;
}

std::string Statistics::json(const Settings& settings) const {
  Object launches;
  Object traffic;
  for (const auto& [name, kernel] : kernels) {
    launches.number(name, kernel.launches);
    if (!kernel.traffic.empty()) traffic.raw(name, object(kernel.traffic));
  }
  Object devices;
  for (const auto& [ordinal, count] : launches_by_device) devices.number(std::to_string(ordinal), count);
  Object report;
  report.number("version", 1)
      .number("seed", settings.seed)
      .string("fault", settings.fault_text)
      .number("launched", counts.launches)
      .number("kernelsRun", counts.kernels_run)
      .raw("launches", launches.done())
      .raw("launchesByDevice", devices.done())
      .raw("up", copies(counts.up))
      .raw("down", copies(counts.down))
      .raw("onDevice", copies(counts.on_device))
      .raw("sets", copies(counts.sets))
      .number("hostOperations", counts.host_operations)
      .number("synchronizations", counts.synchronizations)
      .number("streamWaits", counts.stream_waits)
      .number("queries", counts.queries)
      .number("defaultStream", counts.default_stream)
      .raw("memory", Object()
                         .number("allocations", counts.allocations)
                         .number("live", counts.live_allocations)
                         .number("liveBytes", counts.live_bytes)
                         .number("peakBytes", counts.peak_bytes)
                         .done())
      .raw("pinned", Object().number("allocations", counts.pinned).number("live", counts.live_pinned).number("liveBytes", counts.live_pinned_bytes).done())
      .number("streams", counts.live_streams)
      .number("events", counts.live_events)
      .number("modules", counts.live_modules)
      .number("pending", counts.pending)
      .raw("failures", list(failures))
      .raw("afterFailure", object(after_failure))
      .number("misuseCount", counts.misuses)
      .raw("misuses", list(misuses_))
      .raw("calls", object(calls))
      .raw("traffic", traffic.done());
  return report.done() + "\n";
}

}  // namespace software_cuda
