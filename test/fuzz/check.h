// What every fuzz target asserts. A breach ends the process, which is how a fuzzer learns of it.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

#include "core/error.h"

namespace manyscale::fuzz {

[[noreturn]] inline void fail(const char* file, int line, const std::string& what) {
  std::fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
  std::abort();
}

// An error that a request may end in: one of the given codes, and the one form that all messages have.
template <typename... Codes>
void check_refusal(const char* file, int line, const Error& error, Codes... codes) {
  if (!((error.code() == codes) || ...)) fail(file, line, std::string("not to be refused with ") + error_code_name(error.code()) + ": " + error.what());
  const std::string message = error.what();
  if (message.rfind("Expected ", 0) != 0 || message.find(" but received ") == std::string::npos) fail(file, line, "a message of another form: " + message);
}

}  // namespace manyscale::fuzz

#define FUZZ_CHECK(condition, what)                                                                                       \
  do {                                                                                                                    \
    if (!(condition)) ::manyscale::fuzz::fail(__FILE__, __LINE__, std::string(#condition) + " does not hold: " + (what)); \
  } while (false)
#define FUZZ_CHECK_REFUSAL(error, ...) ::manyscale::fuzz::check_refusal(__FILE__, __LINE__, error, __VA_ARGS__)
