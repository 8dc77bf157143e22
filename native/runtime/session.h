// A model that ONNX Runtime has loaded: what goes in, what comes out, and runs with host or device memory.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/library.h"
#include "runtime/provider.h"

struct OrtRunOptions;

namespace manyscale::runtime {

enum class ElementType {
  kFloat32,
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kInt32,
  kInt64,
  kString,
  kBool,
  kFloat16,
  kFloat64,
  kUint32,
  kUint64,
  kComplex64,
  kComplex128,
  kBfloat16,
  kOther,  // a newer element type, or no tensor at all (a sequence, map or optional); dims are empty then if it is no tensor
};

const char* element_type_name(ElementType type) noexcept;  // 'float32', 'uint8' ... 'other'

// Of one element of what a run can read (float32, float16, bfloat16, uint8) or write (float32, float16, bfloat16); 0 for
// other types.
int64_t input_element_bytes(ElementType type) noexcept;
int64_t output_element_bytes(ElementType type) noexcept;

struct ValueInfo {
  std::string name;
  ElementType type = ElementType::kOther;
  std::vector<int64_t> dims;         // -1: dynamic
  std::vector<std::string> symbols;  // per dimension the name of a dynamic one, '' where fixed or unnamed
};

// Memory for one output of a run: row-major `dims` of the type that the model declares.
struct OutputMemory {
  size_t output = 0;  // index into outputs()
  void* data = nullptr;
  std::vector<int64_t> dims;
};

// Memory of the device that the session computes on: row-major `dims` of the type that the model declares, from an address
// as the driver knows it (on CUDA a CUdeviceptr).
struct DeviceMemoryRange {
  uint64_t address = 0;
  std::vector<int64_t> dims;
};

// Cancels the runs that were given it, those in progress (between two nodes of the graph, so within milliseconds) and those
// to come. For one batch: it cannot be reset. It must outlive its runs. Thread-safe.
class RunControl {
 public:
  RunControl() = default;
  RunControl(const RunControl&) = delete;
  RunControl& operator=(const RunControl&) = delete;

  void cancel() noexcept;
  bool cancelled() const noexcept { return cancelled_.load(std::memory_order_acquire); }

 private:
  friend class ActiveRun;
  struct Active {
    const ort::Api* api;
    OrtRunOptions* options;
  };
  std::atomic<bool> cancelled_{false};
  std::mutex mutex_;
  std::vector<Active> active_;
};

// All members but the destructor may be called from several threads at once.
class Session {
 public:
  struct Options {
    int intra_threads = 1;  // of one run; concurrent runs with one thread each are faster than one run with several
    ProviderChoice provider;
  };

  // Input and outputs of one batch size at fixed addresses of the device. For one run at a time; it must not outlive its session.
  class Binding {
   public:
    ~Binding();
    Binding(const Binding&) = delete;
    Binding& operator=(const Binding&) = delete;

   private:
    friend class Session;
    struct State;
    explicit Binding(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
  };

  // Error kModelLoad with the runtime's reason; kOutOfMemory; on a GPU's provider kDeviceUnavailable with its reason, whatever that
  // is. External weights lie beside the file.
  static std::unique_ptr<Session> from_file(Library& library, const std::string& path, const Options& options);
  // The bytes are free to go when this returns.
  static std::unique_ptr<Session> from_bytes(Library& library, const void* data, size_t bytes, const Options& options);
  ~Session();  // no run may be in progress
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const Library& library() const noexcept;
  const std::vector<ValueInfo>& inputs() const noexcept;
  const std::vector<ValueInfo>& outputs() const noexcept;
  const std::map<std::string, std::string>& metadata() const noexcept;  // the model's own key-value pairs
  const std::string& producer() const noexcept;
  const std::string& graph_name() const noexcept;
  const ProviderChoice& provider() const noexcept;

  // Runs one batch, `data` of `dims`, read in place, and writes `results` in place; row-major. `input` is an index into
  // inputs(), whose type the data has. `control` may be null.
  // Error kModelShape: the input's or an output's shape differs from the one given (what was to be written is then
  // undefined), or its type is none that a run can read or write; kInvalidArgument (an index, an output named twice);
  // kCancelled; kOutOfMemory; kModelRun with the runtime's reason.
  void run(size_t input, const void* data, const std::vector<int64_t>& dims, const std::vector<OutputMemory>& results, RunControl* control);

  // Binds memory of the session's device. `graph_id`, different for each binding of a session, makes a binding whose runs
  // capture() turns into one replay; it needs a session with graphs (ProviderChoice::graphs()).
  // Error kInvalidArgument: a session on the CPU (it would take the addresses for its own), an index, an output named twice, a
  // null address, a graph without a session for it; kModelShape as run(), without running.
  std::unique_ptr<Binding> bind(size_t input, const DeviceMemoryRange& in, const std::vector<std::pair<size_t, DeviceMemoryRange>>& outputs,
                                std::optional<int> graph_id = {});

  // Asks for one batch with bound memory: what is asked of the provider's stream afterwards sees its outputs, the host does not
  // wait for them. `control` may be null. Error kCancelled, kOutOfMemory, kDeviceFailed, or kModelRun with the runtime's reason.
  void run(Binding& binding, RunControl* control);

  // Runs the binding once and captures the run as a CUDA graph, for run() on this thread (the runtime keeps graphs per thread: on another
  // one run() works without). While a graph is captured nothing in the process may allocate on the device: only while a
  // model loads. Captures of the process follow one another. Errors as run().
  void capture(Binding& binding, RunControl* control);

  // Runs a batch and returns the real dims and types of the given outputs, whatever they are. Errors as run().
  std::vector<ValueInfo> probe(size_t input, const void* data, const std::vector<int64_t>& dims, const std::vector<size_t>& outputs, RunControl* control);

  // The next run gives the memory that earlier ones left in the session's arena back to the system, when it ends.
  void shrink_memory() noexcept;

 private:
  struct State;
  explicit Session(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace manyscale::runtime
