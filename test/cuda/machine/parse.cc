// From the text of PTX to kernels: declarations and statements. An instruction's own words are decode.cc's.
#include <algorithm>
#include <cctype>
#include <cstring>
#include <utility>

#include "machine/decode.h"

namespace software_cuda {
namespace {

std::string trim(std::string_view text) {
  size_t a = 0, b = text.size();
  while (a < b && std::isspace(static_cast<unsigned char>(text[a]))) a++;
  while (b > a && std::isspace(static_cast<unsigned char>(text[b - 1]))) b--;
  return std::string(text.substr(a, b - a));
}

[[noreturn]] void fail(int line, const std::string& why) { throw std::runtime_error("PTX line " + std::to_string(line) + ": " + why); }

// Comments as spaces, lines as they were.
std::string without_comments(std::string_view text) {
  std::string out(text);
  for (size_t i = 0; i + 1 < out.size(); i++) {
    if (out[i] == '/' && out[i + 1] == '/') {
      while (i < out.size() && out[i] != '\n') out[i++] = ' ';
    } else if (out[i] == '/' && out[i + 1] == '*') {
      while (i + 1 < out.size() && !(out[i] == '*' && out[i + 1] == '/')) {
        if (out[i] != '\n') out[i] = ' ';
        i++;
      }
      if (i + 1 < out.size()) out[i] = out[i + 1] = ' ';
    }
  }
  return out;
}

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : text) {
    if (std::isspace(static_cast<unsigned char>(c)) || c == ',') {
      if (!word.empty()) words.push_back(std::exchange(word, {}));
    } else {
      word += c;
    }
  }
  if (!word.empty()) words.push_back(word);
  return words;
}

struct Variable {
  std::string name;
  size_t bytes = 0;
  size_t align = 1;
  bool is_open = false;  // name[]
};

// ".align 16 .b8 name[64]"
Variable read_variable(const std::vector<std::string>& words, size_t from, int line) {
  Variable variable;
  size_t element = 0;
  for (size_t i = from; i < words.size(); i++) {
    if (words[i] == ".align") {
      variable.align = std::stoul(words[++i]);
    } else if (words[i][0] == '.') {
      const Type type = type_of(words[i].substr(1));
      if (type == Type::kNone) continue;
      element = static_cast<size_t>(bytes_of(type));
      variable.align = std::max(variable.align, element);
    } else {
      const size_t bracket = words[i].find('[');
      variable.name = words[i].substr(0, bracket);
      variable.bytes = element;
      if (bracket != std::string::npos) {
        const std::string count = words[i].substr(bracket + 1, words[i].find(']') - bracket - 1);
        variable.is_open = count.empty();
        variable.bytes = count.empty() ? 0 : element * std::stoul(count);
      }
    }
  }
  if (variable.name.empty() || element == 0) fail(line, "a variable that cannot be read");
  return variable;
}

class Reader {
 public:
  explicit Reader(std::string text) : text_(std::move(text)) {}

  std::map<std::string, std::unique_ptr<Kernel>> read() {
    std::map<std::string, std::unique_ptr<Kernel>> kernels;
    while (skip_space()) {
      const size_t end = text_.find_first_of(";{(\n", at_);
      const std::string head = trim(text_.substr(at_, end - at_));
      if (head.find(".entry") != std::string::npos) {
        auto kernel = read_kernel();
        kernels[kernel->name] = std::move(kernel);
      } else if (head.starts_with(".version") || head.starts_with(".target") || head.starts_with(".address_size")) {
        while (at_ < text_.size() && text_[at_] != '\n') next();
      } else if (head.find(".func") != std::string::npos) {
        fail(line_, "a function that is not a kernel: let the compiler inline it");
      } else if (head.find(".shared") != std::string::npos) {
        const std::vector<std::string> words = words_of(take_until(';'));
        shared_.push_back(read_variable(words, 0, line_));
      } else {
        take_until(';');  // .file, .const and others: an error where a kernel names them
      }
    }
    return kernels;
  }

 private:
  bool skip_space() {
    while (at_ < text_.size() && (std::isspace(static_cast<unsigned char>(text_[at_])) || text_[at_] == ';')) next();
    return at_ < text_.size();
  }
  void next() {
    if (text_[at_] == '\n') line_++;
    at_++;
  }
  std::string take_until(char end) {
    const size_t start = at_;
    while (at_ < text_.size() && text_[at_] != end) next();
    if (at_ == text_.size()) fail(line_, std::string("the text ends before a '") + end + "'");
    std::string found = text_.substr(start, at_ - start);
    next();
    return found;
  }

  std::unique_ptr<Kernel> read_kernel() {
    auto kernel = std::make_unique<Kernel>();
    const std::vector<std::string> head = words_of(take_until('('));
    kernel->name = head.back();
    Decoder decoder(*kernel);
    const std::string parameters = take_until(')');
    size_t offset = 0;
    for (size_t start = parameters.find(".param"); start != std::string::npos;) {
      const size_t following = parameters.find(".param", start + 1);
      const Variable variable =
          read_variable(words_of(parameters.substr(start + 6, following == std::string::npos ? following : following - start - 6)), 0, line_);
      offset = (offset + variable.align - 1) / variable.align * variable.align;
      kernel->shape.parameters.push_back({offset, variable.bytes});
      decoder.define(variable.name, offset);
      offset += variable.bytes;
      start = following;
    }
    kernel->shape.parameter_bytes = offset;
    const std::vector<std::string> bounds = words_of(take_until('{'));
    for (size_t i = 0; i + 1 < bounds.size(); i++) {
      if (bounds[i] != ".maxntid") continue;
      kernel->shape.most_threads = 1;
      for (size_t k = i + 1; k < bounds.size() && std::isdigit(static_cast<unsigned char>(bounds[k][0])); k++)
        kernel->shape.most_threads *= std::stoi(bounds[k]);
    }
    for (int depth = 1; depth > 0;) {
      if (!skip_space()) fail(line_, "a kernel without an end");
      if (text_[at_] == '{') {
        depth++;
        next();
        decoder.open_scope();
      } else if (text_[at_] == '}') {
        depth--;
        next();
        if (depth > 0) decoder.close_scope();
      } else {
        read_statement(decoder, *kernel);
      }
    }
    place_shared(decoder, *kernel);
    decoder.finish();
    find_reconvergence(*kernel);
    return kernel;
  }

  void read_statement(Decoder& decoder, Kernel& kernel) {
    const int line = line_;
    const size_t mark = text_.find_first_of(":;", at_);
    if (mark != std::string::npos && text_[mark] == ':' && text_.substr(at_, mark - at_).find_first_of(" \t\n") == std::string::npos) {
      decoder.label(text_.substr(at_, mark - at_));
      at_ = mark + 1;
      return;
    }
    if (text_.compare(at_, 5, ".loc\t") == 0 || text_.compare(at_, 5, ".loc ") == 0) {
      while (at_ < text_.size() && text_[at_] != '\n') next();
      return;
    }
    const std::string statement = trim(take_until(';'));
    if (statement[0] != '.') {
      decoder.instruction(statement, line);
      return;
    }
    const std::vector<std::string> words = words_of(statement);
    if (words[0] == ".reg") {
      for (size_t i = 2; i < words.size(); i++) {
        const size_t bracket = words[i].find('<');
        if (bracket == std::string::npos) {
          decoder.add_register(words[i]);
        } else {
          const int count = std::stoi(words[i].substr(bracket + 1));
          for (int r = 0; r < count; r++) decoder.add_register(words[i].substr(0, bracket) + std::to_string(r));
        }
      }
    } else if (words[0] == ".shared") {
      Variable variable = read_variable(words, 1, line);
      place(variable, decoder, kernel);
    } else if (words[0] == ".local") {
      const Variable variable = read_variable(words, 1, line);
      kernel.shape.local_bytes = (kernel.shape.local_bytes + variable.align - 1) / variable.align * variable.align;
      decoder.define(variable.name, kernel.shape.local_bytes);
      kernel.shape.local_bytes += variable.bytes;
    }
  }

  static void place(const Variable& variable, Decoder& decoder, Kernel& kernel) {
    kernel.shape.static_shared = (kernel.shape.static_shared + variable.align - 1) / variable.align * variable.align;
    decoder.define(variable.name, kernel.shape.static_shared);
    kernel.shape.static_shared += variable.bytes;
  }
  // Variables of the module lie behind the kernel's own, and what has no size begins behind all.
  void place_shared(Decoder& decoder, Kernel& kernel) const {
    for (const Variable& variable : shared_) {
      if (!variable.is_open && decoder.names(variable.name)) place(variable, decoder, kernel);
    }
    for (const Variable& variable : shared_) {
      if (variable.is_open) decoder.define(variable.name, (kernel.shape.static_shared + 15) / 16 * 16);
    }
  }

  const std::string text_;
  size_t at_ = 0;
  int line_ = 1;
  std::vector<Variable> shared_;
};

}  // namespace

Module::Module() = default;
Module::~Module() = default;

std::shared_ptr<const Module> Module::parse(std::string_view ptx) {
  const std::shared_ptr<Module> module(new Module);
  module->kernels_ = Reader(without_comments(ptx)).read();
  return module;
}

const Kernel* Module::find(const std::string& name) const {
  const auto found = kernels_.find(name);
  return found == kernels_.end() ? nullptr : found->second.get();
}

std::vector<std::string> Module::names() const {
  std::vector<std::string> names;
  for (const auto& [name, kernel] : kernels_) names.push_back(name);
  return names;
}

const KernelShape& shape_of(const Kernel& kernel) noexcept { return kernel.shape; }

}  // namespace software_cuda
