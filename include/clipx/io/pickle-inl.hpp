// The pickle of a PyTorch archive, parsed for tensors alone: a stack of plain values. No function that it names is ever called; the
// few that make a tensor are known by name, and every other one is an error.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "../core/error.hpp"
#include "pickle_values-inl.hpp"

namespace clipx::detail {

/// Runs the opcodes of protocols 2 to 5 that PyTorch writes. Memory and time are linear in the pickle's size; what it makes is
/// bounded besides. Views point into the pickle.
class pickle_reader {
  using values = std::vector<pickle_value>;

 public:
  /// `name` is for messages. The value at the end is root(). Errors: an opcode or a name that is no part of tensors and their
  /// dictionaries; a damaged pickle.
  pickle_reader(std::string_view pickle, std::string name) : in_(pickle), name_(std::move(name)) {
    while (step(byte())) {}
    if (stack_.size() != 1) damaged(cat("it leaves ", stack_.size(), " values"));
    root_ = stack_.back();
  }

  pickle_reader(const pickle_reader&) = delete;

  const pickle_value& root() const { return root_; }
  const values& items(const pickle_value& v) const { return items_[v.at]; }
  const pickle_storage& storage(std::uint32_t at) const { return storages_[at]; }
  const pickle_tensor& tensor(const pickle_value& v) const { return tensors_[v.at]; }

 private:
  static constexpr std::size_t most_values = 4'000'000;

  [[noreturn]] void damaged(const std::string& what, where at = where::here()) const {
    fail(error_kind::damaged, cat(name_, ": damaged pickle, before byte ", at_, ": ", what), at);
  }
  [[noreturn]] void unsupported(const std::string& what, where at = where::here()) const {
    fail(error_kind::unsupported, cat(name_, ": its pickle ", what), at);
  }

  // The bytes.
  std::string_view take(std::uint64_t n) {
    if (n > in_.size() - at_) damaged("it is cut off");
    const auto out = in_.substr(at_, static_cast<std::size_t>(n));
    at_ += out.size();
    return out;
  }
  std::uint8_t byte() { return static_cast<std::uint8_t>(take(1)[0]); }
  template <class N>
  N number() {
    N out;
    std::memcpy(&out, take(sizeof out).data(), sizeof out);
    return out;
  }
  std::string_view line() {
    const auto end = in_.find('\n', at_);
    if (end == std::string_view::npos) damaged("it is cut off");
    const auto out = take(end - at_);
    ++at_;
    return out;
  }
  std::int64_t long_number(std::uint64_t n) {  // two's complement, little-endian
    const auto bytes = take(n);
    if (n > 8) unsupported(cat("has a whole number of ", n, " bytes, expected at most 8"));
    std::uint64_t out = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i)
      out |= static_cast<std::uint64_t>(static_cast<std::uint8_t>(bytes[i])) << (8 * i);
    if (n > 0 && n < 8 && (static_cast<std::uint8_t>(bytes.back()) & 0x80)) out |= ~std::uint64_t{0} << (8 * n);
    return static_cast<std::int64_t>(out);
  }

  // The stack.
  void count() {
    if (++values_ > most_values) unsupported(cat("holds more than ", most_values, " values"));
  }
  void push(pickle_value v) {
    count();
    stack_.push_back(v);
  }
  void push_text(std::string_view text, pickled kind = pickled::text) { push({kind, 0, 0, text}); }
  void push_number(std::int64_t n) { push({pickled::integer, 0, n, {}}); }
  void push_items(pickled kind, values items) {
    push({kind, static_cast<std::uint32_t>(items_.size()), 0, {}});
    items_.push_back(std::move(items));
  }
  pickle_value pop() {
    if (stack_.empty() || stack_.back().kind == pickled::mark) damaged("a value is missing");
    const auto out = stack_.back();
    stack_.pop_back();
    return out;
  }
  pickle_value pop(pickled kind) {
    const auto out = pop();
    if (out.kind != kind) damaged(cat("expected ", name_of(kind), ", got ", name_of(out.kind)));
    return out;
  }
  values pop(std::size_t n) {
    values out(n);
    while (n-- > 0) out[n] = pop();
    return out;
  }
  values pop_to_mark() {
    values out;
    while (!stack_.empty() && stack_.back().kind != pickled::mark) out.push_back(pop());
    if (stack_.empty()) damaged("a mark is missing");
    stack_.pop_back();
    std::reverse(out.begin(), out.end());
    return out;
  }
  void add(pickled kind, const values& more) {
    if (stack_.empty() || stack_.back().kind != kind) damaged(cat("expected ", name_of(kind), " to add to"));
    if (kind == pickled::dict && more.size() % 2) damaged("a key without a value");
    auto& to = items_[stack_.back().at];
    to.insert(to.end(), more.begin(), more.end());
  }
  void remember(std::uint32_t index) {
    count();
    if (stack_.empty() || stack_.back().kind == pickled::mark) damaged("a value is missing");
    memo_[index] = stack_.back();
  }
  void recall(std::uint32_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) damaged(cat("no value has the number ", index));
    push(found->second);
  }

  bool step(std::uint8_t op);
  bool step_text(std::uint8_t op);
  bool step_number(std::uint8_t op);
  bool step_items(std::uint8_t op);
  void name(std::string_view module, std::string_view attribute);
  void call();
  void rebuild_tensor(const values& args);
  void load_storage();
  void set_state();
  std::vector<dim> sizes(const pickle_value& v) const;

  std::string_view in_;
  std::string name_;
  std::size_t at_ = 0, values_ = 0;
  values stack_;
  std::unordered_map<std::uint32_t, pickle_value> memo_;
  std::deque<std::string> classes_;  // of TorchScript; a value has a view of its name
  std::vector<values> items_;
  std::vector<pickle_storage> storages_;
  std::vector<pickle_tensor> tensors_;
  pickle_value root_;
};

/// One opcode; false: the last.
inline bool pickle_reader::step(std::uint8_t op) {
  if (step_text(op) || step_number(op) || step_items(op)) return true;
  switch (op) {
    case 0x80:  // PROTO
      if (const auto version = byte(); version < 2 || version > 5) unsupported(cat("has protocol ", version, ", expected 2 to 5"));
      return true;
    case 0x95:  // FRAME: its length is that of what follows
      take(8);
      return true;
    case '.':  // STOP
      return false;
    case 'q':  // BINPUT
      remember(byte());
      return true;
    case 'r':  // LONG_BINPUT
      remember(number<std::uint32_t>());
      return true;
    case 0x94:  // MEMOIZE
      remember(static_cast<std::uint32_t>(memo_.size()));
      return true;
    case 'h':  // BINGET
      recall(byte());
      return true;
    case 'j':  // LONG_BINGET
      recall(number<std::uint32_t>());
      return true;
    case 'c': {  // GLOBAL
      const auto module = line();
      name(module, line());
      return true;
    }
    case 0x93: {  // STACK_GLOBAL
      const auto attribute = pop(pickled::text), module = pop(pickled::text);
      name(module.text, attribute.text);
      return true;
    }
    case 'Q':  // BINPERSID
      load_storage();
      return true;
    case 'R':   // REDUCE
    case 0x81:  // NEWOBJ
      call();
      return true;
    case 'b':  // BUILD
      set_state();
      return true;
    default:
      unsupported(cat("has the opcode ", op, " at byte ", at_ - 1, ", which PyTorch does not write"));
  }
}

/// Opcodes of texts and bytes, which follow behind their length.
inline bool pickle_reader::step_text(std::uint8_t op) {
  switch (op) {
    case 0x8c:  // SHORT_BINUNICODE
    case 'U':   // SHORT_BINSTRING
      push_text(take(byte()));
      return true;
    case 'X':  // BINUNICODE
    case 'T':  // BINSTRING
      push_text(take(number<std::uint32_t>()));
      return true;
    case 0x8d:  // BINUNICODE8
      push_text(take(number<std::uint64_t>()));
      return true;
    case 'C':  // SHORT_BINBYTES
      push_text(take(byte()), pickled::bytes);
      return true;
    case 'B':  // BINBYTES
      push_text(take(number<std::uint32_t>()), pickled::bytes);
      return true;
    case 0x8e:  // BINBYTES8
      push_text(take(number<std::uint64_t>()), pickled::bytes);
      return true;
    default:
      return false;
  }
}

/// Opcodes of constants and numbers.
inline bool pickle_reader::step_number(std::uint8_t op) {
  switch (op) {
    case 'N':  // NONE
      push({});
      return true;
    case 0x88:  // NEWTRUE
    case 0x89:  // NEWFALSE
      push({pickled::boolean, 0, op == 0x88, {}});
      return true;
    case 'K':  // BININT1
      push_number(byte());
      return true;
    case 'M':  // BININT2
      push_number(number<std::uint16_t>());
      return true;
    case 'J':  // BININT
      push_number(number<std::int32_t>());
      return true;
    case 0x8a:  // LONG1
      push_number(long_number(byte()));
      return true;
    case 0x8b:  // LONG4
      push_number(long_number(number<std::uint32_t>()));
      return true;
    case 'G':  // BINFLOAT
      take(8);
      push({pickled::real, 0, 0, {}});
      return true;
    default:
      return false;
  }
}

/// Opcodes of the stack, and of lists, tuples and dicts.
inline bool pickle_reader::step_items(std::uint8_t op) {
  switch (op) {
    case '(':  // MARK
      push({pickled::mark, 0, 0, {}});
      return true;
    case '0':  // POP
      pop();
      return true;
    case '1':  // POP_MARK
      pop_to_mark();
      return true;
    case '2':  // DUP
      push(pop());
      push(stack_.back());
      return true;
    case ']':  // EMPTY_LIST
    case 'l':  // LIST
      push_items(pickled::list, op == ']' ? values() : pop_to_mark());
      return true;
    case ')':  // EMPTY_TUPLE
    case 't':  // TUPLE
      push_items(pickled::tuple, op == ')' ? values() : pop_to_mark());
      return true;
    case 0x85:  // TUPLE1, TUPLE2, TUPLE3
    case 0x86:
    case 0x87:
      push_items(pickled::tuple, pop(op - std::size_t{0x84}));
      return true;
    case '}':  // EMPTY_DICT
      push_items(pickled::dict, {});
      return true;
    case 'a':  // APPEND, APPENDS
    case 'e':
      add(pickled::list, op == 'a' ? pop(std::size_t{1}) : pop_to_mark());
      return true;
    case 's':  // SETITEM, SETITEMS
    case 'u':
      add(pickled::dict, op == 's' ? pop(std::size_t{2}) : pop_to_mark());
      return true;
    default:
      return false;
  }
}

/// GLOBAL: what a function or class is, by its name; every other one is refused.
inline void pickle_reader::name(std::string_view module, std::string_view attribute) {
  if (module == "__torch__" || module.starts_with("__torch__.")) {
    classes_.push_back(cat(module, ".", attribute));
    return push({pickled::function, 0, static_cast<std::int64_t>(pickle_function::script_class), classes_.back()});
  }
  if (module == "torch")
    for (auto& row : torch_types) {
      if (row.storage == attribute) return push({pickled::type, 0, static_cast<std::int64_t>(row.type), {}});
      if (row.name == attribute) return push({pickled::other, 0, 0, {}});
    }
  if (module == "__builtin__") module = "builtins";  // as protocol 2 has it, of Python 2
  const auto whole = cat(module.substr(0, 100), ".", attribute.substr(0, 100));
  for (auto& row : known_functions)
    if (row.name == whole) return push({pickled::function, 0, static_cast<std::int64_t>(row.is), {}});
  unsupported(cat("names ", whole,
                  ", which is not part of a tensor; clipx never calls what a file names. If you trust the file, load it "
                  "in Python and save the tensors alone: torch.save(model.state_dict(), FILE)"));
}

/// REDUCE and NEWOBJ: a known function and its arguments.
inline void pickle_reader::call() {
  const auto args = pop(pickled::tuple);
  const auto function = pop(pickled::function);
  const auto& given = items_[args.at];
  const auto first = [&](pickled kind) {
    if (given.empty() || given[0].kind != kind)
      damaged(cat("expected ", name_of(kind), " as the argument, got ", given.empty() ? "none" : name_of(given[0].kind)));
    return given[0];
  };
  switch (static_cast<pickle_function>(function.number)) {
    case pickle_function::dict:
      if (!given.empty()) unsupported("has an OrderedDict with arguments, as Python 2 writes it");
      return push_items(pickled::dict, {});
    case pickle_function::tensor:
      return rebuild_tensor(given);
    case pickle_function::parameter:
      return push(first(pickled::tensor));
    case pickle_function::tuple:
      return push(first(pickled::tuple));
    case pickle_function::other:
      return push({pickled::other, 0, 0, {}});
    case pickle_function::first:
      if (given.empty()) damaged("a function of TorchScript without arguments");
      return push(given[0]);
    case pickle_function::script_class:
      return push_items(pickled::object, {{pickled::text, 0, 0, function.text}});
  }
}

inline std::vector<dim> pickle_reader::sizes(const pickle_value& v) const {
  constexpr std::size_t most = 64;  // PyTorch's, too
  if (v.kind != pickled::tuple && v.kind != pickled::list) damaged(cat("expected a tensor's sizes, got ", name_of(v.kind)));
  if (items(v).size() > most) damaged(cat("a tensor has ", items(v).size(), " dimensions, expected at most ", most));
  std::vector<dim> out;
  for (auto& item : items(v)) {
    if (item.kind != pickled::integer || item.number < 0) damaged("a tensor's sizes and strides are not whole numbers");
    out.push_back(static_cast<dim>(item.number));
  }
  return out;
}

/// (storage, offset, sizes, strides, requires_grad, hooks, metadata): the last two are empty, or left out.
inline void pickle_reader::rebuild_tensor(const values& args) {
  if (args.size() < 4 || args[0].kind != pickled::storage || args[1].kind != pickled::integer)
    damaged("expected a tensor's storage, offset, sizes and strides");
  pickle_tensor t{args[0].at, args[1].number, sizes(args[2]), sizes(args[3])};
  if (t.offset < 0 || t.shape.size() != t.strides.size()) damaged("a tensor's offset, sizes and strides do not fit together");
  if (args.size() > 6 && args[6].kind == pickled::dict && !items(args[6]).empty())
    unsupported("has a tensor that is conjugated or negated lazily: save tensor.resolve_conj().resolve_neg()");
  push({pickled::tensor, static_cast<std::uint32_t>(tensors_.size()), 0, {}});
  tensors_.push_back(std::move(t));
}

/// ("storage", type, key, device, number of values).
inline void pickle_reader::load_storage() {
  const auto tuple = pop(pickled::tuple);
  const auto& args = items(tuple);
  if (args.size() < 5 || args[0].kind != pickled::text || args[0].text != "storage" || args[1].kind != pickled::type ||
      args[2].kind != pickled::text || args[4].kind != pickled::integer || args[4].number < 0)
    damaged("expected a storage's type, name and size");
  push({pickled::storage, static_cast<std::uint32_t>(storages_.size()), 0, {}});
  storages_.push_back({args[2].text, static_cast<dtype>(args[1].number), static_cast<std::uint64_t>(args[4].number)});
}

/// BUILD: the attributes of an object. A dict's (state_dict's _metadata) say nothing of tensors.
inline void pickle_reader::set_state() {
  const auto state = pop();
  if (stack_.empty()) damaged("a value is missing");
  const auto& of = stack_.back();
  if (of.kind == pickled::dict) return;
  if (of.kind != pickled::object) damaged(cat("attributes are given to ", name_of(of.kind)));
  items_[of.at].resize(1);
  items_[of.at].push_back(state);
}

}  // namespace clipx::detail
