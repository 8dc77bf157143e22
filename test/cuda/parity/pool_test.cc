// pool's kernel gives what the reference gives, in one launch for parts of any shapes, and writes each byte once.
#include <doctest/doctest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>

#include "core/half.h"
#include "machine/machine.h"
#include "ops/pool/launch.h"
#include "ops/pool/pool.h"
#include "seed.h"

namespace manyscale::pool {
namespace {

using software_cuda::Region;

// MANYSCALE_PTX_DIR in the environment: kernels with planted errors.
const software_cuda::Kernel& kernel() {
  static const auto module = [] {
    const char* const folder = std::getenv("MANYSCALE_PTX_DIR");
    std::ifstream file(std::string(folder ? folder : MANYSCALE_PTX_DIR) + "/pool.ptx");
    std::stringstream text;
    text << file.rdbuf();
    return software_cuda::Module::parse(text.str());
  }();
  return *module->find("manyscale_pool");
}

struct Case {
  Params params;
  FeatureType type = FeatureType::kFloat32;
  std::vector<float> values;     // of the features
  std::vector<std::byte> bytes;  // the same, as the device has them
};

float bfloat_value(float value, uint16_t& bits) {
  uint32_t all = 0;
  std::memcpy(&all, &value, sizeof all);
  bits = static_cast<uint16_t>(all >> 16);
  all &= 0xffff0000U;
  std::memcpy(&value, &all, sizeof value);
  return value;
}

Case make_case(std::mt19937& random) {
  const auto pick = [&](int from, int to) { return std::uniform_int_distribution<int>(from, to)(random); };
  Case made;
  Options options;
  options.input = pick(0, 1) ? Layout::kTokens : Layout::kFeatureMap;
  options.output = pick(0, 2) ? options.input : pick(0, 1) ? Layout::kTokens : Layout::kFeatureMap;
  options.type = pick(0, 1) ? OutputType::kFloat16 : OutputType::kFloat32;
  options.blend = pick(0, 1) ? Blend::kLinear : Blend::kAverage;
  options.prefix = options.input == Layout::kTokens ? pick(0, 3) : 0;
  options.drop_prefix = pick(0, 3) == 0;
  made.type = static_cast<FeatureType>(pick(0, 2));
  const int64_t cell = 4;
  const Size grid{pick(1, 7), pick(1, 7)};
  PlanOptions plan_options;
  plan_options.tile = Size{grid.height * cell, grid.width * cell};
  plan_options.base = plan_options.tile;
  const bool overlaps = pick(0, 2) == 0 && grid.height > 1 && grid.width > 1;
  plan_options.scales = pick(0, 1) ? std::vector<double>{1, 2} : std::vector<double>{3, 1, 2};
  plan_options.resize_output_to_index = pick(0, static_cast<int>(plan_options.scales.size()) - 1);
  if (overlaps) {
    plan_options.overlap = 0.3;
    plan_options.overlap_unit = Size{cell, cell};
  }
  const Plan plan = make_plan({50, 60}, plan_options);
  const int64_t channels = pick(0, 1) ? 8 * pick(1, 12) : pick(1, 37);
  const std::vector<ScaleFeatures> features(plan.scales.size(), ScaleFeatures{grid, channels});
  made.params = make_params(plan, pick(1, 3), features, true, options);
  size_t count = 0;
  for (size_t s = 0; s < made.params.scales.size(); s++) {
    const ScaleParams& scale = made.params.scales[s];
    count += static_cast<size_t>(scale.rows * scale.columns * made.params.batch * made.params.tile_elements(s));
  }
  std::normal_distribution<float> normal;
  made.values.resize(count);
  made.bytes.resize(count * (made.type == FeatureType::kFloat32 ? 4 : 2));
  for (size_t i = 0; i < count; i++) {
    float value = normal(random);
    uint16_t bits = 0;
    if (made.type == FeatureType::kFloat16) {
      bits = to_half(value);
      value = from_half(bits);
    } else if (made.type == FeatureType::kBfloat16) {
      value = bfloat_value(value, bits);
    }
    made.values[i] = value;
    if (made.type == FeatureType::kFloat32)
      std::memcpy(made.bytes.data() + i * 4, &value, 4);
    else
      std::memcpy(made.bytes.data() + i * 2, &bits, 2);
  }
  return made;
}

constexpr uint64_t kFeatures = 0x700000000000, kTables = 0x710000000000, kOutput = 0x720000000000;
size_t aligned(size_t bytes) { return (bytes + 255) / 256 * 256; }

TEST_CASE("pool's kernel gives the reference's bits, whatever is in a launch") {
  std::mt19937 random(fresh_seed());
  for (int round = 0; round < 20; round++) {
    std::vector<Case> cases;
    for (int n = std::uniform_int_distribution<int>(1, 4)(random); n > 0; n--) cases.push_back(make_case(random));
    std::vector<LaunchPart> parts;
    std::vector<Region> outputs;
    size_t feature_bytes = 0, output_bytes = 0;
    for (const Case& each : cases) {
      parts.push_back({&each.params, each.type, feature_bytes, output_bytes});
      outputs.push_back({kOutput + output_bytes, static_cast<size_t>(each.params.output_bytes()), nullptr});
      feature_bytes += aligned(each.bytes.size());
      output_bytes += aligned(static_cast<size_t>(each.params.output_bytes()));
    }
    std::vector<std::byte> features(feature_bytes), destination(output_bytes);
    for (size_t i = 0; i < cases.size(); i++) std::memcpy(features.data() + parts[i].features, cases[i].bytes.data(), cases[i].bytes.size());
    const PoolLaunch prepared(parts);
    std::vector<std::byte> tables(prepared.table_bytes());
    prepared.write_tables(tables.data());
    const Launch launch = prepared.at({kFeatures, 0}, {kTables, 0}, {kOutput, 0});
    CHECK(launch.kernel == "manyscale_pool");
    software_cuda::LaunchConfig config;
    for (size_t k = 0; k < 3; k++) {
      config.grid[k] = launch.grid[k];
      config.block[k] = launch.block[k];
    }
    config.parameters = launch.arguments;
    software_cuda::RunOptions options;
    options.outputs = outputs;
    const std::vector<Region> memory{
        {kFeatures, features.size(), features.data()}, {kTables, tables.size(), tables.data()}, {kOutput, destination.size(), destination.data()}};
    REQUIRE_NOTHROW(software_cuda::run(kernel(), memory, config, options));
    for (size_t i = 0; i < cases.size(); i++) {
      const Params& params = cases[i].params;
      std::vector<std::byte> expected(static_cast<size_t>(params.output_bytes()));
      run_reference(params, {cases[i].values.data()}, expected.data());
      INFO("round " << round << ", part " << i << ", type " << static_cast<int>(cases[i].type));
      CHECK(std::memcmp(expected.data(), destination.data() + parts[i].output, expected.size()) == 0);
    }
  }
}

}  // namespace
}  // namespace manyscale::pool
