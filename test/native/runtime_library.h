// The ONNX Runtime that the tests use: MANYSCALE_TEST_RUNTIME or onnxruntime-node's. Without either the tests that need it are
// skipped (as they are when MANYSCALE_TEST_RUNTIME is 'none'), unless MANYSCALE_REQUIRE_RUNTIME=1 makes that a failure.
#pragma once

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

// Its path, or '' where there is none.
inline std::string test_runtime_path() {
  if (const char* path = std::getenv("MANYSCALE_TEST_RUNTIME"); path && *path) return std::string(path) == "none" ? "" : path;
#if defined(__aarch64__)
  const std::string architecture = "arm64";
#else
  const std::string architecture = "x64";
#endif
  const std::string path = std::string(MANYSCALE_SOURCE_DIR) + "/node_modules/onnxruntime-node/bin/napi-v6/linux/" + architecture + "/libonnxruntime.so.1";
  return std::filesystem::exists(path) ? path : "";
}

// Whether there is one; says why a test is skipped.
inline bool runtime_or_skip() {
  if (!test_runtime_path().empty()) return true;
  const char* required = std::getenv("MANYSCALE_REQUIRE_RUNTIME");
  if (required && std::string(required) == "1") FAIL("MANYSCALE_REQUIRE_RUNTIME=1 but there is no ONNX Runtime library");
  MESSAGE("skipped: no onnxruntime-node in node_modules and no MANYSCALE_TEST_RUNTIME");
  return false;
}
