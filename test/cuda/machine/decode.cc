#include "machine/decode.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <set>

namespace software_cuda {
namespace {

[[noreturn]] void fail(int line, const std::string& why) { throw std::runtime_error("PTX line " + std::to_string(line) + ": " + why); }

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::string part;
  int depth = 0;
  for (const char c : text) {
    if (c == '{' || c == '[') depth++;
    if (c == '}' || c == ']') depth--;
    if (c == separator && depth == 0) {
      parts.push_back(part);
      part.clear();
    } else if (!std::isspace(static_cast<unsigned char>(c)) || depth > 0) {
      part += c;
    }
  }
  if (!part.empty()) parts.push_back(part);
  return parts;
}

const std::map<std::string, Op> kOps = {
    {"mov", Op::kMov},
    {"ld", Op::kLoad},
    {"ldu", Op::kLoad},
    {"st", Op::kStore},
    {"cvt", Op::kConvert},
    {"cvta", Op::kConvertAddress},
    {"add", Op::kAdd},
    {"sub", Op::kSub},
    {"mul", Op::kMul},
    {"mul24", Op::kMul},
    {"mad", Op::kMad},
    {"mad24", Op::kMad},
    {"fma", Op::kMad},
    {"div", Op::kDiv},
    {"rem", Op::kRem},
    {"min", Op::kMin},
    {"max", Op::kMax},
    {"neg", Op::kNeg},
    {"abs", Op::kAbs},
    {"and", Op::kAnd},
    {"or", Op::kOr},
    {"xor", Op::kXor},
    {"not", Op::kNot},
    {"shl", Op::kShl},
    {"shr", Op::kShr},
    {"bfe", Op::kBfe},
    {"bfi", Op::kBfi},
    {"prmt", Op::kPrmt},
    {"shf", Op::kShf},
    {"lop3", Op::kLop3},
    {"selp", Op::kSelp},
    {"setp", Op::kSetp},
    {"set", Op::kSet},
    {"popc", Op::kPopc},
    {"clz", Op::kClz},
    {"brev", Op::kBrev},
    {"bar", Op::kBar},
    {"barrier", Op::kBar},
    {"shfl", Op::kShfl},
    {"vote", Op::kVote},
    {"activemask", Op::kActiveMask},
    {"atom", Op::kAtom},
    {"red", Op::kAtom},
    {"bra", Op::kBranch},
    {"ret", Op::kExit},
    {"exit", Op::kExit},
    {"sqrt", Op::kSqrt},
    {"rcp", Op::kRcp},
    {"dp4a", Op::kDp4a},
    {"sad", Op::kSad},
    {"membar", Op::kNop},
    {"fence", Op::kNop},
    {"prefetch", Op::kNop},
    {"trap", Op::kTrap},
    {"nanosleep", Op::kNop},
};

// atom's
const std::map<std::string, uint8_t> kAtoms = {{"add", 0}, {"min", 1}, {"max", 2}, {"exch", 3}, {"cas", 4}, {"and", 5}, {"or", 6}, {"xor", 7}};
const std::map<std::string, uint8_t> kShuffles = {{"up", 0}, {"down", 1}, {"bfly", 2}, {"idx", 3}};
const std::map<std::string, uint8_t> kVotes = {{"all", 0}, {"any", 1}, {"uni", 2}, {"ballot", 3}};
const std::map<std::string, std::pair<Compare, bool>> kCompares = {
    {"eq", {Compare::kEq, false}},   {"ne", {Compare::kNe, false}},  {"lt", {Compare::kLt, false}}, {"le", {Compare::kLe, false}},
    {"gt", {Compare::kGt, false}},   {"ge", {Compare::kGe, false}},  {"lo", {Compare::kLt, false}}, {"ls", {Compare::kLe, false}},
    {"hi", {Compare::kGt, false}},   {"hs", {Compare::kGe, false}},  {"equ", {Compare::kEq, true}}, {"neu", {Compare::kNe, true}},
    {"ltu", {Compare::kLt, true}},   {"leu", {Compare::kLe, true}},  {"gtu", {Compare::kGt, true}}, {"geu", {Compare::kGe, true}},
    {"num", {Compare::kNum, false}}, {"nan", {Compare::kNan, false}}};
const std::set<std::string> kIgnored = {"sync", "aligned", "global", "relaxed", "gpu", "cta",   "sys",  "to",      "nc",   "L1",
                                        "L2",   "ca",      "cg",     "cs",      "lu",  "cv",    "wb",   "wt",      "weak", "volatile",
                                        "b",    "full",    "approx", "ftz",     "uni", "noftz", "warp", "acq_rel", "sc",   "red"};

uint8_t class_of(const Instruction& i) {
  switch (i.op) {
    case Op::kLoad:
    case Op::kStore:
    case Op::kAtom: return i.space == Space::kShared ? 4 : i.space == Space::kParam ? 0 : 3;
    case Op::kConvert: return 2;
    case Op::kBranch:
    case Op::kExit:
    case Op::kBar:
    case Op::kTrap:
    case Op::kNop: return 5;
    default: return is_float(i.type) ? 1 : 0;
  }
}

}  // namespace

Type type_of(const std::string& name) noexcept {
  static const std::map<std::string, Type> kTypes = {{"u8", Type::kU8},   {"u16", Type::kU16},     {"u32", Type::kU32},   {"u64", Type::kU64},
                                                     {"s8", Type::kS8},   {"s16", Type::kS16},     {"s32", Type::kS32},   {"s64", Type::kS64},
                                                     {"b8", Type::kB8},   {"b16", Type::kB16},     {"b32", Type::kB32},   {"b64", Type::kB64},
                                                     {"f16", Type::kF16}, {"f16x2", Type::kF16x2}, {"bf16", Type::kBf16}, {"bf16x2", Type::kBf16x2},
                                                     {"f32", Type::kF32}, {"f64", Type::kF64},     {"pred", Type::kPred}};
  const auto found = kTypes.find(name);
  return found == kTypes.end() ? Type::kNone : found->second;
}

int bytes_of(Type type) noexcept {
  switch (type) {
    case Type::kU8:
    case Type::kS8:
    case Type::kB8: return 1;
    case Type::kU16:
    case Type::kS16:
    case Type::kB16:
    case Type::kF16:
    case Type::kBf16: return 2;
    case Type::kU64:
    case Type::kS64:
    case Type::kB64:
    case Type::kF64: return 8;
    default: return 4;
  }
}

bool is_signed(Type type) noexcept { return type >= Type::kS8 && type <= Type::kS64; }
bool is_float(Type type) noexcept { return type >= Type::kF16 && type <= Type::kF64; }

Decoder::Decoder(Kernel& kernel) : kernel_(kernel), scopes_(1) {
  static const char* const kSpecial[] = {"%tid.x",   "%tid.y",   "%tid.z",    "%ntid.x",   "%ntid.y",   "%ntid.z", "%ctaid.x",
                                         "%ctaid.y", "%ctaid.z", "%nctaid.x", "%nctaid.y", "%nctaid.z", "%laneid", "%warpid"};
  for (int i = 0; i < kSpecialCount; i++) scopes_[0][kSpecial[i]] = i;
}

void Decoder::add_register(const std::string& name) { scopes_.back()[name] = kernel_.registers++; }

bool Decoder::names(const std::string& variable) const {
  return std::any_of(uses_.begin(), uses_.end(), [&](const Use& use) { return use.name == variable; });
}

int Decoder::find_register(const std::string& name) const {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    if (const auto found = scope->find(name); found != scope->end()) return found->second;
  }
  return -1;
}

int Decoder::read_destination(const std::string& text, int line) const {
  if (text == "_") return -1;
  const int found = find_register(text);
  if (found < 0) fail(line, "no register '" + text + "'");
  return found;
}

Operand Decoder::read_operand(const std::string& text, Instruction& instruction, int index) {
  Operand operand;
  const bool negated = text[0] == '!';
  operand.reg = find_register(negated ? text.substr(1) : text);
  if (operand.reg >= 0) {
    operand.value = negated;
    return operand;
  }
  if (text.size() > 2 && text[0] == '0' && (text[1] == 'f' || text[1] == 'F' || text[1] == 'd' || text[1] == 'D')) {
    operand.value = std::stoull(text.substr(2), nullptr, 16);
    const bool is_double = text[1] == 'd' || text[1] == 'D';
    if (is_double && instruction.type == Type::kF32) fail(instruction.line, "a double constant of a float");
    return operand;
  }
  if (std::isdigit(static_cast<unsigned char>(text[0])) || text[0] == '-') {
    operand.value = text[0] == '-' ? static_cast<uint64_t>(std::stoll(text, nullptr, 0)) : std::stoull(text, nullptr, 0);
    return operand;
  }
  if (text == "WARP_SZ") {
    operand.value = 32;
    return operand;
  }
  if (text == "%warpsize") fail(instruction.line, "%warpsize");
  uses_.push_back({kernel_.code.size(), index, text});
  return operand;
}

// [register + offset], [variable + offset]
void Decoder::read_address(const std::string& text, Instruction& instruction) {
  std::string inner = text.substr(1, text.size() - 2);
  std::erase_if(inner, [](char c) { return std::isspace(static_cast<unsigned char>(c)); });
  const size_t plus = inner.find('+');
  if (plus != std::string::npos) instruction.offset = std::stoll(inner.substr(plus + 1), nullptr, 0);
  const std::string base = inner.substr(0, plus);
  Operand operand;
  operand.reg = find_register(base);
  if (operand.reg < 0) uses_.push_back({kernel_.code.size(), -1, base});
  instruction.in.push_back(operand);
}

void Decoder::instruction(const std::string& text, int line) {
  Instruction i;
  i.line = line;
  std::string rest = text;
  if (rest[0] == '@') {
    const size_t space = rest.find_first_of(" \t");
    std::string guard = rest.substr(1, space - 1);
    i.guard_negated = guard[0] == '!';
    if (i.guard_negated) guard.erase(0, 1);
    i.guard = find_register(guard);
    if (i.guard < 0) fail(line, "no predicate '" + guard + "'");
    rest = rest.substr(rest.find_first_not_of(" \t", space));
  }
  const size_t space = rest.find_first_of(" \t\n");
  const std::vector<std::string> words = split(rest.substr(0, space), '.');
  const std::string arguments = space == std::string::npos ? "" : rest.substr(space);
  const auto op = kOps.find(words[0]);
  if (op == kOps.end()) fail(line, "an instruction that the machine does not know: " + text);
  i.op = op->second;
  if (words[0] == "mul24" || words[0] == "mad24") fail(line, "an instruction that the machine does not know: " + text);

  std::vector<Type> types;
  int combination = 0;
  for (size_t w = 1; w < words.size(); w++) {
    const std::string& word = words[w];
    const Type type = type_of(word);
    if (type != Type::kNone) {
      types.push_back(type);
      continue;
    }
    if (word == "global" && (i.op == Op::kLoad || i.op == Op::kStore || i.op == Op::kAtom))
      i.space = Space::kGlobal;
    else if (word == "shared")
      i.space = Space::kShared;
    else if (word == "param")
      i.space = Space::kParam;
    else if (word == "local")
      i.space = Space::kLocal;
    else if (word == "lo") {
      if (i.op == Op::kSetp || i.op == Op::kSet)
        i.compare = Compare::kLt;
      else
        i.half = Half::kLow;
    } else if (word == "hi") {
      if (i.op == Op::kSetp || i.op == Op::kSet)
        i.compare = Compare::kGt;
      else
        i.half = Half::kHigh;
    } else if (word == "wide")
      i.half = Half::kWide;
    else if (word == "v2")
      i.width = 2;
    else if (word == "v4")
      i.width = 4;
    else if (word == "sat" || word == "satfinite")
      i.saturate = true;
    else if (word == "NaN")
      i.is_nan = true;
    else if (word == "rn")
      i.round = Round::kNearest;
    else if (word == "rz")
      i.round = Round::kZero;
    else if (word == "rm")
      i.round = Round::kDown;
    else if (word == "rp")
      i.round = Round::kUp;
    else if (word == "rni" || word == "rzi" || word == "rmi" || word == "rpi") {
      i.round_integral = true;
      i.round = word == "rni" ? Round::kNearest : word == "rzi" ? Round::kZero : word == "rmi" ? Round::kDown : Round::kUp;
    } else if (i.op == Op::kShf && (word == "l" || word == "r"))
      i.left = word == "l";
    else if (i.op == Op::kShf && (word == "wrap" || word == "clamp"))
      i.wrap = word == "wrap";
    else if ((i.op == Op::kSetp || i.op == Op::kSet) && kCompares.contains(word)) {
      i.compare = kCompares.at(word).first;
      i.unordered = kCompares.at(word).second;
    } else if (i.op == Op::kSetp && (word == "and" || word == "or" || word == "xor"))
      combination = word == "and" ? 1 : word == "or" ? 2 : 3;
    else if (i.op == Op::kAtom && kAtoms.contains(word))
      i.mode = kAtoms.at(word);
    else if (i.op == Op::kShfl && kShuffles.contains(word))
      i.mode = kShuffles.at(word);
    else if (i.op == Op::kVote && kVotes.contains(word))
      i.mode = kVotes.at(word);
    else if (i.op == Op::kBar && word == "warp")
      i.mode = 1;
    else if (!kIgnored.contains(word) && word.find("::") == std::string::npos)
      fail(line, "a word that the machine does not know, '" + word + "': " + text);
    if (word == "approx" && (i.op == Op::kDiv || i.op == Op::kRcp || i.op == Op::kSqrt)) fail(line, "an approximation: " + text);
  }
  if (i.op == Op::kSetp) i.mode = static_cast<uint8_t>(combination);
  if (!types.empty()) i.type = types[0];
  if (types.size() > 1) i.from = types[1];
  if (i.op == Op::kSetp) i.from = i.type;

  std::vector<std::string> operands = split(arguments, ',');
  size_t next = 0;
  const auto list = [](const std::string& group) { return split(group.substr(1, group.size() - 2), ','); };
  switch (i.op) {
    case Op::kBranch:
      branches_.emplace_back(kernel_.code.size(), operands.at(0));
      operands.clear();
      break;
    case Op::kNop: operands.clear(); break;
    case Op::kMov:
      if (operands.at(0)[0] == '{') {
        i.op = Op::kUnpack;
        for (const std::string& part : list(operands[0])) i.to.push_back(read_destination(part, line));
        next = 1;
      } else if (operands.at(1)[0] == '{') {
        i.op = Op::kPack;
        i.to.push_back(read_destination(operands[0], line));
        const std::vector<std::string> parts = list(operands[1]);
        for (size_t p = 0; p < parts.size(); p++) i.in.push_back(read_operand(parts[p], i, static_cast<int>(p)));
        next = operands.size();
      }
      break;
    case Op::kLoad:
      if (operands.at(0)[0] == '{') {
        for (const std::string& part : list(operands[0])) i.to.push_back(read_destination(part, line));
      } else {
        i.to.push_back(read_destination(operands[0], line));
      }
      read_address(operands.at(1), i);
      next = operands.size();
      break;
    case Op::kStore: {
      read_address(operands.at(0), i);
      const std::vector<std::string> parts = operands.at(1)[0] == '{' ? list(operands[1]) : std::vector<std::string>{operands[1]};
      for (const std::string& part : parts) i.in.push_back(read_operand(part, i, static_cast<int>(i.in.size())));
      next = operands.size();
      break;
    }
    case Op::kAtom: {
      const bool has_result = words[0] == "atom";
      if (has_result) i.to.push_back(read_destination(operands.at(0), line));
      read_address(operands.at(has_result ? 1 : 0), i);
      next = has_result ? 2 : 1;
      break;
    }
    default: break;
  }
  const bool has_destination = i.op != Op::kBar && i.op != Op::kStore && i.op != Op::kLoad && i.op != Op::kAtom && i.op != Op::kUnpack && i.op != Op::kPack &&
                               i.op != Op::kBranch && i.op != Op::kExit && i.op != Op::kNop && i.op != Op::kTrap;
  if (has_destination) {
    for (const std::string& part : split(operands.at(0), '|')) i.to.push_back(read_destination(part, line));
    next = 1;
  }
  for (; next < operands.size(); next++) i.in.push_back(read_operand(operands[next], i, static_cast<int>(i.in.size())));
  i.kind = class_of(i);
  kernel_.code.push_back(std::move(i));
  kernel_.lines.push_back(text);
}

void Decoder::finish() {
  for (const auto& [instruction, name] : branches_) {
    const auto found = labels_.find(name);
    if (found == labels_.end()) fail(kernel_.code[instruction].line, "no label '" + name + "'");
    kernel_.code[instruction].target = found->second;
  }
  for (const Use& use : uses_) {
    Instruction& instruction = kernel_.code[use.instruction];
    const auto found = variables_.find(use.name);
    if (found == variables_.end()) fail(instruction.line, "no register or variable '" + use.name + "'");
    if (use.operand < 0)
      instruction.offset += static_cast<int64_t>(found->second);
    else
      instruction.in[static_cast<size_t>(use.operand)].value = found->second;
  }
  Instruction end;
  end.op = Op::kExit;
  end.kind = 5;
  kernel_.code.push_back(end);  // labels may stand behind the last instruction
  kernel_.lines.emplace_back("the end");
}

}  // namespace software_cuda
