// PTX, decoded: registers are numbers, branches are positions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "machine/machine.h"

namespace software_cuda {

enum class Type : uint8_t { kNone, kU8, kU16, kU32, kU64, kS8, kS16, kS32, kS64, kB8, kB16, kB32, kB64, kF16, kF16x2, kBf16, kBf16x2, kF32, kF64, kPred };
int bytes_of(Type type) noexcept;
bool is_signed(Type type) noexcept;
bool is_float(Type type) noexcept;

enum class Op : uint8_t {
  kMov,
  kPack,
  kUnpack,
  kLoad,
  kStore,
  kConvert,
  kConvertAddress,
  kAdd,
  kSub,
  kMul,
  kMad,
  kDiv,
  kRem,
  kMin,
  kMax,
  kNeg,
  kAbs,
  kAnd,
  kOr,
  kXor,
  kNot,
  kShl,
  kShr,
  kBfe,
  kBfi,
  kPrmt,
  kShf,
  kLop3,
  kSelp,
  kSetp,
  kSet,
  kPopc,
  kClz,
  kBrev,
  kBar,
  kShfl,
  kVote,
  kActiveMask,
  kAtom,
  kBranch,
  kExit,
  kSqrt,
  kRcp,
  kDp4a,
  kSad,
  kNop,
  kTrap,
};

enum class Space : uint8_t { kGeneric, kGlobal, kShared, kParam, kLocal };
enum class Half : uint8_t { kNone, kLow, kHigh, kWide };
enum class Compare : uint8_t { kEq, kNe, kLt, kLe, kGt, kGe, kNum, kNan };
enum class Round : uint8_t { kNone, kNearest, kZero, kDown, kUp };

// A register or a constant.
struct Operand {
  int reg = -1;
  uint64_t value = 0;
};

struct Instruction {
  Op op = Op::kNop;
  Type type = Type::kNone;
  Type from = Type::kNone;  // cvt: of the source; setp, set: of what is compared
  Space space = Space::kGeneric;
  Half half = Half::kNone;
  Compare compare = Compare::kEq;
  Round round = Round::kNone;
  bool unordered = false;  // a comparison that is true of NaN
  bool round_integral = false;
  bool saturate = false;
  bool wrap = false;    // shf.wrap
  bool left = false;    // shf.l
  bool is_nan = false;  // min.NaN
  uint8_t mode = 0;     // of shfl, vote, prmt, atom; the combination of setp; the immediate of lop3
  uint8_t width = 1;    // of a vector
  int guard = -1;       // a predicate
  bool guard_negated = false;
  std::vector<int> to;  // registers; -1: '_'
  std::vector<Operand> in;
  int64_t offset = 0;      // of an address, whose base is in[0]
  int target = -1;         // instruction of a branch
  int reconvergence = -1;  // where its paths meet again; the end: the number of instructions
  int line = 0;
  uint8_t kind = 0;  // class of the report
};

inline constexpr const char* kClasses[] = {"integer", "float", "conversion", "memory", "shared", "control"};

// Registers that every kernel has before its own.
enum SpecialRegister { kTidX, kTidY, kTidZ, kNtidX, kNtidY, kNtidZ, kCtaidX, kCtaidY, kCtaidZ, kNctaidX, kNctaidY, kNctaidZ, kLaneId, kWarpId, kSpecialCount };

struct Kernel {
  std::string name;
  KernelShape shape;
  int registers = kSpecialCount;
  std::vector<Instruction> code;
  std::vector<std::string> lines;  // the text of instructions, for faults
};

// Fills in where the paths of each branch meet again.
void find_reconvergence(Kernel& kernel);

}  // namespace software_cuda
