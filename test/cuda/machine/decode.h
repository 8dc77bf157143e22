// Instructions of one kernel, word by word.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "machine/ptx.h"

namespace software_cuda {

Type type_of(const std::string& name) noexcept;  // 'u32'; kNone for what is no type

class Decoder {
 public:
  explicit Decoder(Kernel& kernel);
  void open_scope() { scopes_.emplace_back(); }
  void close_scope() { scopes_.pop_back(); }
  void add_register(const std::string& name);
  void define(const std::string& variable, size_t address) { variables_[variable] = address; }
  bool names(const std::string& variable) const;  // an instruction has named it
  void label(const std::string& name) { labels_[name] = static_cast<int>(kernel_.code.size()); }
  void instruction(const std::string& text, int line);
  void finish();  // labels and variables are known now

 private:
  struct Use {
    size_t instruction;
    int operand;  // -1: the offset
    std::string name;
  };
  int find_register(const std::string& name) const;  // -1
  Operand read_operand(const std::string& text, Instruction& instruction, int index);
  void read_address(const std::string& text, Instruction& instruction);
  int read_destination(const std::string& text, int line) const;

  Kernel& kernel_;
  std::vector<std::map<std::string, int>> scopes_;
  std::map<std::string, size_t> variables_;
  std::map<std::string, int> labels_;
  std::vector<Use> uses_;
  std::vector<std::pair<size_t, std::string>> branches_;
};

}  // namespace software_cuda
