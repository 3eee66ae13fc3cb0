// SPDX-License-Identifier: Apache-2.0
// A stack machine over an arena of values. Values refer to each other by index, so that nothing is
// recursive and cycles harm nobody; every opcode makes at most one, so memory is bounded by the
// size of the pickle.
#include "convert/pickle.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <unordered_map>

#include "gguf/cursor.h"

namespace sluice::hf {
namespace {

using Ref = uint32_t;

enum class Kind : uint8_t {
  kNone,
  kBool,
  kInteger,
  kReal,
  kText,
  kTuple,
  kList,
  kDict,     // items: key, value, key, value, ...
  kGlobal,   // number: index in kGlobals, or of a storage type
  kStorage,  // items: those of the persistent id
  kTensor,   // number: index of the tensor
};

struct Value {
  Kind kind = Kind::kNone;
  int64_t number = 0;
  std::string_view text;
  std::vector<Ref> items;
};

enum Global : int64_t { kOrderedDict, kRebuildTensor, kFirstStorage };

class Machine {
 public:
  Machine(std::span<const std::byte> bytes, const std::string& path)
      : bytes_(bytes), path_(path), in_(bytes_, path_) {
    in_.set_subject("pickle");
  }
  Result<std::vector<PickledTensor>> run();

 private:
  struct Opcode;
  static const Opcode* find(uint8_t code);

  tl::unexpected<Error> bad(const std::string& what) const { return in_.bad(at_, what); }
  Ref make(Kind kind, int64_t number = 0) {
    values_.push_back({kind, number, {}, {}});
    return static_cast<Ref>(values_.size() - 1);
  }
  void push(Ref ref) { stack_.push_back(ref); }
  Result<Ref> pop();
  Result<std::string_view> bytes(uint64_t n);
  Result<std::string_view> line();
  // What stands above the last mark.
  Result<std::vector<Ref>> pop_mark();

  // Opcodes. `argument` tells apart those of a family.
  Result<void> protocol(int argument);
  Result<void> constant(int argument);
  Result<void> empty(int argument);
  Result<void> mark(int argument);
  Result<void> integer(int argument);
  Result<void> long_integer(int argument);
  Result<void> real(int argument);
  Result<void> text(int argument);
  Result<void> tuple(int argument);
  Result<void> put(int argument);
  Result<void> get(int argument);
  Result<void> collect(int argument);
  Result<void> global(int argument);
  Result<void> persistent(int argument);
  Result<void> reduce(int argument);
  Result<void> build(int argument);

  Result<Ref> rebuild_tensor(const std::vector<Ref>& arguments);
  bool naturals(Ref tuple, std::vector<uint64_t>& ret) const;
  Result<std::vector<PickledTensor>> finish();

  std::span<const std::byte> bytes_;
  const std::string& path_;
  gguf::Cursor in_;
  uint64_t at_ = 0;  // of the current opcode
  std::vector<Value> values_;
  std::vector<Ref> stack_;
  std::vector<size_t> marks_;  // heights of the stack
  std::unordered_map<uint32_t, Ref> memo_;
  std::vector<PickledTensor> tensors_;
};

struct Machine::Opcode {
  uint8_t code;
  Result<void> (Machine::*run)(int argument);
  int argument;
};

enum Constant : int { kNoneValue, kFalseValue, kTrueValue };

const Machine::Opcode* Machine::find(uint8_t code) {
  static constexpr Opcode kOpcodes[] = {
      {0x80, &Machine::protocol, 0},                           // PROTO
      {'N', &Machine::constant, kNoneValue},                   // NONE
      {0x88, &Machine::constant, kTrueValue},                  // NEWTRUE
      {0x89, &Machine::constant, kFalseValue},                 // NEWFALSE
      {'}', &Machine::empty, static_cast<int>(Kind::kDict)},   // EMPTY_DICT
      {']', &Machine::empty, static_cast<int>(Kind::kList)},   // EMPTY_LIST
      {')', &Machine::empty, static_cast<int>(Kind::kTuple)},  // EMPTY_TUPLE
      {'(', &Machine::mark, 0},                                // MARK
      {'J', &Machine::integer, 4},                             // BININT
      {'K', &Machine::integer, 1},                             // BININT1
      {'M', &Machine::integer, 2},                             // BININT2
      {0x8a, &Machine::long_integer, 0},                       // LONG1
      {'G', &Machine::real, 0},                                // BINFLOAT
      {'X', &Machine::text, 0},                                // BINUNICODE
      {'t', &Machine::tuple, -1},                              // TUPLE
      {0x85, &Machine::tuple, 1},                              // TUPLE1
      {0x86, &Machine::tuple, 2},                              // TUPLE2
      {0x87, &Machine::tuple, 3},                              // TUPLE3
      {'q', &Machine::put, 1},                                 // BINPUT
      {'r', &Machine::put, 4},                                 // LONG_BINPUT
      {'h', &Machine::get, 1},                                 // BINGET
      {'j', &Machine::get, 4},                                 // LONG_BINGET
      {'s', &Machine::collect, 's'},                           // SETITEM
      {'u', &Machine::collect, 'u'},                           // SETITEMS
      {'a', &Machine::collect, 'a'},                           // APPEND
      {'e', &Machine::collect, 'e'},                           // APPENDS
      {'c', &Machine::global, 0},                              // GLOBAL
      {'Q', &Machine::persistent, 0},                          // BINPERSID
      {'R', &Machine::reduce, 0},                              // REDUCE
      {'b', &Machine::build, 0},                               // BUILD
  };
  for (const Opcode& opcode : kOpcodes) {
    if (opcode.code == code) return &opcode;
  }
  return nullptr;
}

Result<Ref> Machine::pop() {
  const size_t floor = marks_.empty() ? 0 : marks_.back();
  if (stack_.size() <= floor) return bad("a value is taken from an empty stack");
  const Ref top = stack_.back();
  stack_.pop_back();
  return top;
}

Result<std::string_view> Machine::bytes(uint64_t n) {
  if (n > in_.remaining()) {
    return bad(fmt::format("a text of {} bytes, but {} are left", n, in_.remaining()));
  }
  const std::string_view out(reinterpret_cast<const char*>(bytes_.data() + in_.offset()), n);
  in_.skip(n);
  return out;
}

Result<std::string_view> Machine::line() {
  const std::string_view rest(reinterpret_cast<const char*>(bytes_.data() + in_.offset()),
                              in_.remaining());
  const size_t end = rest.find('\n');
  if (end == rest.npos) return bad("a line that does not end");
  in_.skip(end + 1);
  return rest.substr(0, end);
}

Result<std::vector<Ref>> Machine::pop_mark() {
  if (marks_.empty()) return bad("no mark on the stack");
  const auto begin = stack_.begin() + static_cast<ptrdiff_t>(marks_.back());
  std::vector<Ref> items(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return items;
}

Result<void> Machine::protocol(int) {
  SLUICE_TRY(const auto version, in_.number<uint8_t>("the protocol"));
  if (version == 2) return {};
  return fail(ENOTSUP,
              fmt::format("{}: pickle at offset {}: protocol {}, expected 2", path_, at_, version));
}

Result<void> Machine::constant(int argument) {
  push(argument == kNoneValue ? make(Kind::kNone) : make(Kind::kBool, argument == kTrueValue));
  return {};
}

Result<void> Machine::empty(int argument) {
  push(make(static_cast<Kind>(argument)));
  return {};
}

Result<void> Machine::mark(int) {
  marks_.push_back(stack_.size());
  return {};
}

Result<void> Machine::integer(int argument) {
  int64_t value = 0;
  if (argument == 1) {
    SLUICE_TRY(value, in_.number<uint8_t>("an integer"));
  } else if (argument == 2) {
    SLUICE_TRY(value, in_.number<uint16_t>("an integer"));
  } else {
    SLUICE_TRY(value, in_.number<int32_t>("an integer"));
  }
  push(make(Kind::kInteger, value));
  return {};
}

// Two's complement, little-endian, at most 8 bytes of it.
Result<void> Machine::long_integer(int) {
  SLUICE_TRY(const auto n, in_.number<uint8_t>("the length of an integer"));
  if (n > sizeof(int64_t)) return bad(fmt::format("an integer of {} bytes, expected 0 to 8", n));
  SLUICE_TRY(const std::string_view digits, bytes(n));
  int64_t value = n && (digits.back() & 0x80) ? -1 : 0;
  std::memcpy(&value, digits.data(), n);
  push(make(Kind::kInteger, value));
  return {};
}

Result<void> Machine::real(int) {
  SLUICE_TRY(const std::string_view ignored, bytes(sizeof(double)));
  (void)ignored;
  push(make(Kind::kReal));
  return {};
}

Result<void> Machine::text(int) {
  SLUICE_TRY(const auto n, in_.number<uint32_t>("the length of a text"));
  SLUICE_TRY(const std::string_view text, bytes(n));
  const Ref ref = make(Kind::kText);
  values_[ref].text = text;
  push(ref);
  return {};
}

Result<void> Machine::tuple(int argument) {
  std::vector<Ref> items;
  if (argument < 0) {
    SLUICE_TRY(items, pop_mark());
  } else {
    items.resize(static_cast<size_t>(argument));
    for (size_t i = items.size(); i-- > 0;) {
      SLUICE_TRY(items[i], pop());
    }
  }
  const Ref ref = make(Kind::kTuple);
  values_[ref].items = std::move(items);
  push(ref);
  return {};
}

Result<void> Machine::put(int argument) {
  uint32_t key = 0;
  if (argument == 1) {
    SLUICE_TRY(key, in_.number<uint8_t>("a memo key"));
  } else {
    SLUICE_TRY(key, in_.number<uint32_t>("a memo key"));
  }
  if (stack_.empty()) return bad("nothing to remember");
  memo_[key] = stack_.back();
  return {};
}

Result<void> Machine::get(int argument) {
  uint32_t key = 0;
  if (argument == 1) {
    SLUICE_TRY(key, in_.number<uint8_t>("a memo key"));
  } else {
    SLUICE_TRY(key, in_.number<uint32_t>("a memo key"));
  }
  const auto it = memo_.find(key);
  if (it == memo_.end()) return bad(fmt::format("nothing is remembered under {}", key));
  push(it->second);
  return {};
}

Result<void> Machine::collect(int argument) {
  const bool dict = argument == 's' || argument == 'u';
  std::vector<Ref> items;
  if (argument == 'u' || argument == 'e') {
    SLUICE_TRY(items, pop_mark());
  } else {
    items.resize(dict ? 2 : 1);
    for (size_t i = items.size(); i-- > 0;) {
      SLUICE_TRY(items[i], pop());
    }
  }
  const size_t floor = marks_.empty() ? 0 : marks_.back();
  const Kind wanted = dict ? Kind::kDict : Kind::kList;
  if (stack_.size() <= floor || values_[stack_.back()].kind != wanted) {
    return bad(dict ? "items are set of what is no dict" : "appended to what is no list");
  }
  if (dict && items.size() % 2 != 0) return bad("a key without a value");
  Value& value = values_[stack_.back()];
  value.items.insert(value.items.end(), items.begin(), items.end());
  return {};
}

Result<void> Machine::global(int) {
  SLUICE_TRY(const std::string_view module, line());
  SLUICE_TRY(const std::string_view name, line());
  if (module == "collections" && name == "OrderedDict") {
    push(make(Kind::kGlobal, kOrderedDict));
    return {};
  }
  if (module == "torch._utils" && name == "_rebuild_tensor_v2") {
    push(make(Kind::kGlobal, kRebuildTensor));
    return {};
  }
  const auto types = source_types();
  for (size_t i = 0; i < types.size(); ++i) {
    if (module != "torch" || !types[i].storage || name != types[i].storage) continue;
    push(make(Kind::kGlobal, kFirstStorage + static_cast<int64_t>(i)));
    return {};
  }
  return fail(ENOTSUP,
              fmt::format("{}: pickle at offset {}: global {}.{}, expected "
                          "collections.OrderedDict, torch._utils._rebuild_tensor_v2 or a storage "
                          "of torch",
                          path_, at_, gguf::printable(module), gguf::printable(name)));
}

// ("storage", type, key, location, elements)
Result<void> Machine::persistent(int) {
  SLUICE_TRY(const Ref id, pop());
  const Value& v = values_[id];
  const auto is = [&](size_t i, Kind kind) { return values_[v.items[i]].kind == kind; };
  if (v.kind != Kind::kTuple || v.items.size() != 5 || !is(0, Kind::kText) ||
      values_[v.items[0]].text != "storage" || !is(1, Kind::kGlobal) ||
      values_[v.items[1]].number < kFirstStorage || !is(2, Kind::kText) || !is(4, Kind::kInteger) ||
      values_[v.items[4]].number < 0) {
    return bad("a persistent id that is no storage of torch");
  }
  std::vector<Ref> items = v.items;
  const Ref ref = make(Kind::kStorage);
  values_[ref].items = std::move(items);
  push(ref);
  return {};
}

bool Machine::naturals(Ref tuple, std::vector<uint64_t>& ret) const {
  const Value& v = values_[tuple];
  if (v.kind != Kind::kTuple || v.items.size() > kMaxSourceRank) return false;
  for (const Ref item : v.items) {
    if (values_[item].kind != Kind::kInteger || values_[item].number < 0) return false;
    ret.push_back(static_cast<uint64_t>(values_[item].number));
  }
  return true;
}

// (storage, offset, size, stride, requires_grad, hooks[, metadata])
Result<Ref> Machine::rebuild_tensor(const std::vector<Ref>& arguments) {
  PickledTensor out;
  const auto wrong = [&] { return bad("a tensor that is made of other things than a storage"); };
  if (arguments.size() < 6 || values_[arguments[0]].kind != Kind::kStorage ||
      values_[arguments[1]].kind != Kind::kInteger || values_[arguments[1]].number < 0 ||
      !naturals(arguments[2], out.shape) || !naturals(arguments[3], out.strides) ||
      out.shape.size() != out.strides.size()) {
    return wrong();
  }
  const std::vector<Ref>& storage = values_[arguments[0]].items;
  out.type = &source_types()[static_cast<size_t>(values_[storage[1]].number - kFirstStorage)];
  out.storage = values_[storage[2]].text;
  out.n_storage = static_cast<uint64_t>(values_[storage[4]].number);
  out.offset = static_cast<uint64_t>(values_[arguments[1]].number);
  tensors_.push_back(std::move(out));
  return make(Kind::kTensor, static_cast<int64_t>(tensors_.size() - 1));
}

Result<void> Machine::reduce(int) {
  SLUICE_TRY(const Ref arguments, pop());
  SLUICE_TRY(const Ref callee, pop());
  if (values_[callee].kind != Kind::kGlobal || values_[arguments].kind != Kind::kTuple) {
    return bad("a call of what is no function");
  }
  const int64_t function = values_[callee].number;
  if (function == kRebuildTensor) {
    SLUICE_TRY(const Ref tensor, rebuild_tensor(values_[arguments].items));
    push(tensor);
    return {};
  }
  if (function != kOrderedDict || !values_[arguments].items.empty()) {
    return bad("a call of other things than OrderedDict() and _rebuild_tensor_v2(...)");
  }
  push(make(Kind::kDict));
  return {};
}

// Attributes of the dict (its _metadata), which say nothing of the tensors.
Result<void> Machine::build(int) {
  SLUICE_TRY(const Ref state, pop());
  const size_t floor = marks_.empty() ? 0 : marks_.back();
  if (values_[state].kind != Kind::kDict || stack_.size() <= floor ||
      values_[stack_.back()].kind != Kind::kDict) {
    return bad("BUILD of other things than an OrderedDict");
  }
  return {};
}

Result<std::vector<PickledTensor>> Machine::finish() {
  if (stack_.size() != 1 || !marks_.empty() || values_[stack_[0]].kind != Kind::kDict) {
    return bad("the pickle is no dict, expected a state dict");
  }
  const std::vector<Ref>& items = values_[stack_[0]].items;
  std::vector<PickledTensor> out;
  for (size_t i = 0; i < items.size(); i += 2) {
    const Value& key = values_[items[i]];
    const Value& value = values_[items[i + 1]];
    if (key.kind != Kind::kText || value.kind != Kind::kTensor) {
      return bad(fmt::format(
          "item {} of the dict{} is no tensor with a name", i / 2,
          key.kind == Kind::kText ? fmt::format(" ('{}')", gguf::printable(key.text)) : ""));
    }
    out.push_back(tensors_[static_cast<size_t>(value.number)]);
    out.back().name = key.text;
  }
  return out;
}

Result<std::vector<PickledTensor>> Machine::run() {
  if (bytes_.size() > UINT32_MAX) return bad("it has 4 GiB or more");
  for (;;) {
    at_ = in_.offset();
    SLUICE_TRY(const auto code, in_.number<uint8_t>("an opcode"));
    if (code == '.') return finish();
    const Opcode* opcode = find(code);
    if (!opcode) {
      return fail(ENOTSUP, fmt::format("{}: pickle at offset {}: opcode 0x{:02x}, which no state "
                                       "dict of tensors needs",
                                       path_, at_, code));
    }
    SLUICE_CHECK((this->*opcode->run)(opcode->argument));
  }
}

}  // namespace

Result<std::vector<PickledTensor>> read_state_dict(std::span<const std::byte> bytes,
                                                   const std::string& path) {
  return Machine(bytes, path).run();
}

}  // namespace sluice::hf
