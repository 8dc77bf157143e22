#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "test_driver.h"

int main(int argc, char** argv) {
  driver_test::run_scenario_if_asked(argc, argv);
  doctest::Context context(argc, argv);
  return context.run();
}
