// The functions of the interface: those that the product uses, by its own table, so that a slot which it gains and the stand-in lacks does
// not link; and a few that it may come to use.
#pragma once

#include "more_slots.h"
#include "state.h"

namespace stand_in {

using manyscale::runtime::ort::Logger;

#define STAND_IN_DECLARE(slot, name, result, parameters) result name parameters;
MANYSCALE_ORT_FUNCTIONS(STAND_IN_DECLARE)
STAND_IN_MORE_FUNCTIONS(STAND_IN_DECLARE)
#undef STAND_IN_DECLARE

char* copy_text(const std::string& text);  // for AllocatorFree
std::string shape_text(const std::vector<int64_t>& dims);

}  // namespace stand_in
