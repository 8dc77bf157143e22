#include "ops/pool/pool.h"

#include <algorithm>

#include "core/checked.h"
#include "core/isa.h"
#include "ops/pool/kernels.h"

namespace manyscale::pool {
namespace {

const Kernels& cpu_kernels() { return MANYSCALE_ACTIVE_KERNELS(); }

// One axis of one scale, laid out for the kernels.
class Axis {
 public:
  Axis(int64_t tiles, int64_t grid, const std::vector<int64_t>& starts, int64_t in, int64_t out, Blend blend)
      : merged_(make_blend_axis(tiles, grid, starts, in, blend)), starts_(starts), ratio_(in % out == 0 ? in / out : 0) {
    for (int64_t i = 0; i < out; i++) {
      merged_first_.push_back(i * in / out);
      merged_last_.push_back(ceil_div((i + 1) * in, out));
      first_.push_back(merged_.begin[static_cast<size_t>(merged_first_.back())]);
      last_.push_back(merged_.begin[static_cast<size_t>(merged_last_.back())]);
      size_.push_back(static_cast<float>(merged_last_.back() - merged_first_.back()));
    }
    if (starts.empty()) return;
    window_.resize(static_cast<size_t>(tiles * grid + 2 * kWindowMargin));
    for (size_t k = 0; k < merged_.tile.size(); k++) window_[static_cast<size_t>(kWindowMargin + merged_.tile[k] * grid + merged_.cell[k])] = merged_.weight[k];
    for (size_t m = 1; m < merged_.begin.size(); m++) most_shares_ = std::max(most_shares_, merged_.begin[m] - merged_.begin[m - 1]);
  }
  int64_t most_shares() const { return most_shares_; }
  // Views hold pointers into the axis, which must have come to its place.
  AxisView view(bool by_rows) {
    AxisView view{first_.data(), last_.data(), merged_.tile.data(), merged_.cell.data(), size_.data(), ratio_, nullptr};
    if (starts_.empty()) return view;
    blend_ = {merged_.weight.data(), merged_.begin.data(),          merged_first_.data(), merged_last_.data(), by_rows, static_cast<int64_t>(starts_.size()),
              starts_.data(),        window_.data() + kWindowMargin};
    view.blend = &blend_;
    return view;
  }

 private:
  BlendAxis merged_;
  std::vector<int64_t> starts_, first_, last_, merged_first_, merged_last_;
  std::vector<float> size_, window_;
  int64_t ratio_;
  int64_t most_shares_ = 0;
  BlendView blend_{};
};

// Whether merged rows of the scale's tiles can be made at once: they have room, and so have those of the widest and tallest row of bins. Never a
// matter of which piece of the output is made.
bool fits_rows(const ScaleParams& s, Size grid, int64_t most_shares) {
  const auto most = [](int64_t merged, int64_t out, int64_t together) { return std::min(merged, ceil_div(merged * together, out) + 1); };
  const int64_t row = s.columns * (s.grid.width + 2 * kWindowMargin);
  const int64_t width = most(s.merged.width, grid.width, std::min(grid.width, kPieceCells));
  return most_shares <= kMostTogether && row <= kRowFloats && most(s.merged.height, grid.height, 1) <= kStagedCells / width;
}

// Units of work are large enough to be worth a hand-over between threads and small enough to share them evenly.
constexpr int64_t kSmallestUnit = int64_t{64} << 10;  // bytes read and written
constexpr int64_t kUnitsPerThread = 8;
constexpr int64_t kLineBytes = 64;  // a cache line: what a transposed write of feature maps makes of each token

void run_cpu(const Params& params, Backend& backend, const std::vector<Buffer>& sources, Buffer destination) {
  const bool halves = params.output_type == OutputType::kFloat16;
  const TypedKernels& kernels = halves ? cpu_kernels().to_float16 : cpu_kernels().to_float32;
  std::vector<const float*> tiles;
  tiles.reserve(params.tiles.size());
  for (const TileSource& tile : params.tiles) tiles.push_back(host_pointer<const float>(sources[static_cast<size_t>(tile.buffer)]) + tile.offset);
  std::vector<Axis> axes;
  std::vector<ScaleView> scales;
  axes.reserve(params.scales.size() * 2);
  const int64_t cells = params.grid.height * params.grid.width;
  int64_t bytes = 0;  // read and written for one image
  for (size_t i = 0; i < params.scales.size(); i++) {
    const ScaleParams& s = params.scales[i];
    axes.emplace_back(s.rows, s.grid.height, s.tops, s.merged.height, params.grid.height, params.blend);
    axes.emplace_back(s.columns, s.grid.width, s.lefts, s.merged.width, params.grid.width, params.blend);
    const bool by_rows = fits_rows(s, params.grid, axes[2 * i].most_shares());
    scales.push_back({tiles.data() + s.first_tile, s.rows * s.columns, s.columns, s.grid.height, s.grid.width, s.channels, s.channel_offset,
                      axes[2 * i].view(by_rows), axes[2 * i + 1].view(by_rows)});
    bytes += s.rows * s.columns * params.tile_elements(i) * static_cast<int64_t>(sizeof(float));
    bytes += (params.prefix + cells) * s.channels * element_bytes(params.output_type);
  }
  const View view{scales.data(),
                  static_cast<int64_t>(scales.size()),
                  params.batch,
                  params.prefix,
                  params.grid.height,
                  params.grid.width,
                  params.channels,
                  params.output == Layout::kTokens,
                  host_pointer<void>(destination)};

  // The output of an image is cut into `parts`: runs of cells for tokens, bands of rows of 16 channels for feature maps.
  const int64_t wanted = std::clamp<int64_t>(bytes / kSmallestUnit, 1, ceil_div(backend.concurrency() * kUnitsPerThread, params.batch));
  if (params.input == Layout::kTokens) {
    const int64_t run = ceil_div(cells, std::min(wanted, cells));
    const int64_t parts = ceil_div(cells, run);
    const int64_t prefixes = params.prefix > 0 ? params.batch : 0;
    backend.parallel_for(parts * params.batch + prefixes, [&](int64_t unit) {
      if (unit >= parts * params.batch) return kernels.prefix(view, unit - parts * params.batch);
      const int64_t begin = unit % parts * run;
      kernels.tokens(view, unit / parts, begin, std::min(begin + run, cells));
    });
    return;
  }
  const int64_t first_channel = params.scales.front().channel_offset;
  const int64_t end_channel = params.scales.back().channel_offset + params.scales.back().channels;
  const int64_t unit_channels = kLineBytes / element_bytes(params.output_type);
  const int64_t blocks = ceil_div(end_channel - first_channel, unit_channels);
  const int64_t band = ceil_div(params.grid.height, std::clamp<int64_t>(wanted / blocks, 1, params.grid.height));
  const int64_t bands = ceil_div(params.grid.height, band);
  backend.parallel_for(bands * blocks * params.batch, [&](int64_t unit) {
    const int64_t row = unit % bands * band;
    const int64_t channel = first_channel + unit / bands % blocks * unit_channels;
    kernels.maps(view, unit / bands / blocks, channel, std::min(channel + unit_channels, end_channel), row, std::min(row + band, params.grid.height));
  });
}

}  // namespace

void run(const Params& params, Backend& backend, const std::vector<Buffer>& sources, Buffer destination) {
  switch (backend.kind()) {
    case DeviceKind::kCpu: return run_cpu(params, backend, sources, destination);
    case DeviceKind::kCuda: break;
  }
  throw Error(ErrorCode::kDeviceUnavailable, "Expected a device that pool is built for (cpu) but received another");
}

const char* kernel_isa() { return cpu_kernels().isa; }

}  // namespace manyscale::pool
