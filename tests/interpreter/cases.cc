// SPDX-License-Identifier: Apache-2.0
#include "tests/interpreter/cases.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <random>

#include "tests/interpreter/blocks.h"

namespace interpreter {
namespace {

constexpr uint16_t kWeightTypes[] = {
    SLUICE_SDI_TYPE_F32,  SLUICE_SDI_TYPE_F16,  SLUICE_SDI_TYPE_BF16, SLUICE_SDI_TYPE_Q4_0,
    SLUICE_SDI_TYPE_Q4_1, SLUICE_SDI_TYPE_Q5_0, SLUICE_SDI_TYPE_Q5_1, SLUICE_SDI_TYPE_Q8_0,
    SLUICE_SDI_TYPE_Q2_K, SLUICE_SDI_TYPE_Q3_K, SLUICE_SDI_TYPE_Q4_K, SLUICE_SDI_TYPE_Q5_K,
    SLUICE_SDI_TYPE_Q6_K};

constexpr uint16_t kCacheTypes[] = {SLUICE_SDI_TYPE_F16, SLUICE_SDI_TYPE_BF16,
                                    SLUICE_SDI_TYPE_Q8_0};

// Where blocks have their f16 factors; `m` 0: there is none. Random bits there would be infinite.
struct Factors {
  uint16_t type;
  uint32_t d, m;
};
constexpr Factors kFactors[] = {
    {SLUICE_SDI_TYPE_Q4_0, 0, 0},   {SLUICE_SDI_TYPE_Q4_1, 0, 2}, {SLUICE_SDI_TYPE_Q5_0, 0, 0},
    {SLUICE_SDI_TYPE_Q5_1, 0, 2},   {SLUICE_SDI_TYPE_Q8_0, 0, 0}, {SLUICE_SDI_TYPE_Q2_K, 80, 82},
    {SLUICE_SDI_TYPE_Q3_K, 108, 0}, {SLUICE_SDI_TYPE_Q4_K, 0, 2}, {SLUICE_SDI_TYPE_Q5_K, 0, 2},
    {SLUICE_SDI_TYPE_Q6_K, 208, 0},
};

// What f32 tensors are filled with.
enum class Values { kPlain, kWide, kStrange };

class Generator {
 public:
  Generator(uint64_t address, uint32_t seed, uint64_t capabilities)
      : address_(address), rng_(seed), capabilities_(capabilities) {
    n_tokens_ = pick(1, 11);
    n_outputs_ = pick(0, 5);
    n_slots_ = SLUICE_SDI_BLOCK_TOKENS * pick(2, 6);
    any_factors_ = pick(0, 7) == 0;
    gap();
  }

  void add(uint16_t op, uint16_t type);
  Case take();
  uint32_t pick(uint32_t least, uint32_t most) {
    return least + static_cast<uint32_t>(rng_() % (uint64_t{most} - least + 1));
  }
  uint16_t any_type(uint16_t op) {
    const auto types = types_for(op);
    return types[pick(0, static_cast<uint32_t>(types.size()) - 1)];
  }

 private:
  using Shape = std::initializer_list<uint32_t>;

  // The rows of a command's tensors: their kind and the last dimension.
  struct Rows {
    uint16_t kind;
    uint32_t most;
  };

  bool coin() { return pick(0, 1) == 0; }
  void gap();
  uint32_t width() { return coin() ? pick(1, 70) : pick(1, 300); }
  Rows tokens() { return {SLUICE_SDI_ROWS_TOKENS, n_tokens_ + pick(0, 3)}; }
  Rows any_rows();
  uint32_t tensor(uint16_t type, uint16_t rows, Shape shape, Values values = Values::kPlain);
  void fill(const sluice_sdi_tensor& t, uint8_t* at, Values values);
  void make_strange(uint8_t* row, uint32_t n);
  void fill_row(const Type& type, uint8_t* row, uint32_t n, Values values);
  float value(Values values);
  uint16_t half();
  // Of a block of weights: in one case of eight anything, infinite and no number among it.
  uint16_t factor() { return any_factors_ ? static_cast<uint16_t>(rng_()) : half(); }
  uint32_t f32(uint32_t width, Rows rows, Values values = Values::kPlain) {
    return tensor(SLUICE_SDI_TYPE_F32, rows.kind, {width, rows.most}, values);
  }
  uint32_t source(uint32_t width, Rows rows);
  // An immediate that is an f32 above 0; in one case of three none, where that may be.
  uint32_t positive(bool or_none = true);
  void command(uint16_t op, uint32_t dst, Shape src, Shape imm = {}, uint16_t flags = 0);
  void matmul(uint16_t type);
  void rms_norm();
  void rope();
  void kv_write(uint16_t type);
  void attention(uint16_t type);
  void elements(uint16_t op);
  void write_step();

  uint64_t address_;
  std::mt19937 rng_;
  Case case_;
  uint32_t n_tokens_, n_outputs_, n_slots_, n_vocab_ = 1000;
  bool any_factors_;
  uint64_t capabilities_;
};

void Generator::gap() {
  do {
    for (uint32_t i = 0; i < 8; ++i) case_.memory.push_back(static_cast<uint8_t>(rng_()));
  } while (pick(0, 3) == 0);
}

Generator::Rows Generator::any_rows() {
  const uint32_t kind = pick(0, 3);
  if (kind == 0) return {SLUICE_SDI_ROWS_FIXED, pick(1, 9)};
  if (kind == 1) return {SLUICE_SDI_ROWS_OUTPUTS, n_outputs_ + pick(1, 3)};
  return tokens();
}

float Generator::value(Values values) {
  const float plain = static_cast<float>(static_cast<int32_t>(rng_())) * 0x1p-30f;
  const uint32_t what = pick(0, 19);
  if (what == 0) return coin() ? 0.0f : -0.0f;
  if (what == 1) return plain * 0x1p-130f;
  if (values == Values::kPlain || what > 8) return plain;
  if (values == Values::kStrange && what == 8) return coin() ? std::nanf("") : -std::nanf("");
  if (what == 7 && coin()) {
    // About the smallest number that FAST takes.
    return std::bit_cast<float>(std::bit_cast<uint32_t>(0x1p-40f) - 2 + pick(0, 4));
  }
  if (what == 8 && coin()) {
    // A tie between two numbers of bf16, or nearly one.
    const auto kept = static_cast<uint32_t>(rng_() % 0x7f7f) << 16;
    const uint32_t lost = 0x7fff + pick(0, 2), sign = coin() ? 0 : 0x80000000;
    return std::bit_cast<float>(sign | kept | lost);
  }
  if (what == 8) {
    // A tie between two numbers of f16, the last one of them beyond its largest.
    const auto below = static_cast<uint16_t>(coin() ? 0x7bff : rng_() % 0x7bff);
    const float above = below == 0x7bff ? 65536.0f : from_f16(static_cast<uint16_t>(below + 1));
    const float tie = (from_f16(below) + above) / 2;
    return coin() ? tie : -std::nextafter(tie, 0.0f);
  }
  return plain * std::ldexp(1.0f, static_cast<int>(pick(0, 40)) - 24);
}

// Finite, up to 2.
uint16_t Generator::half() { return static_cast<uint16_t>((rng_() & 0x83ff) | pick(0, 15) << 10); }

void Generator::fill_row(const Type& type, uint8_t* row, uint32_t n, Values values) {
  const uint32_t n_blocks = n / type.block;
  for (uint32_t b = 0; b < n_blocks; ++b) {
    uint8_t* block = row + size_t{b} * type.bytes;
    if (type.number == SLUICE_SDI_TYPE_F32) {
      put(block, value(values));
    } else if (type.number == SLUICE_SDI_TYPE_F16) {
      // Now and then no number: neither the largest of anything nor a reason to stop.
      put(block, pick(0, 300) == 0 ? uint16_t{0x7e00} : half());
    } else if (type.number == SLUICE_SDI_TYPE_BF16) {
      put(block, static_cast<uint16_t>(std::bit_cast<uint32_t>(value(values)) >> 16));
    } else {
      for (uint32_t i = 0; i < type.bytes; ++i) block[i] = static_cast<uint8_t>(rng_());
    }
    if (type.use == Use::kActivations) {
      put(block, pick(0, 9) == 0 ? 0.0f : std::fabs(value(Values::kPlain)) * 0x1p-6f);
      for (uint32_t i = 4; i < type.bytes; ++i) block[i] = block[i] == 0x80 ? 0x81 : block[i];
    }
    for (const Factors& f : kFactors) {
      if (f.type != type.number) continue;
      put(block + f.d, factor());
      if (f.m != 0) put(block + f.m, factor());
    }
  }
}

// Values at the edges of QUANTIZE: all but zero, ties, and either side of 2^-100.
void Generator::make_strange(uint8_t* row, uint32_t n) {
  const uint32_t style = pick(0, 3);
  const float edge = coin() ? 0x1p-100f : std::nextafter(0x1p-100f, 0.0f);
  for (uint32_t i = 0; i < n; ++i) {
    uint8_t* x = row + size_t{i} * 4;
    const float old = get<float>(x);
    if (std::isnan(old)) continue;
    if (style == 1 && i < 256) put(x, old * 0x1p-125f);
    if (style == 2) put(x, i % 32 == 0 ? 127.0f : static_cast<float>(pick(0, 508)) * 0.5f - 127.0f);
    if (style == 3) put(x, std::copysign(edge, old));
  }
}

void Generator::fill(const sluice_sdi_tensor& t, uint8_t* at, Values values) {
  for (uint32_t i = 0; i < t.shape[2]; ++i) {
    for (uint32_t j = 0; j < t.shape[1]; ++j) {
      uint8_t* row = at + i * t.stride[1] + j * t.stride[0];
      fill_row(*find_type(t.type), row, t.shape[0], values);
      if (values == Values::kStrange) make_strange(row, t.shape[0]);
    }
  }
}

uint32_t Generator::tensor(uint16_t type, uint16_t rows, Shape shape, Values values) {
  const Type& info = *find_type(type);
  // What a cache asks for: of these types nothing else is of rank 3.
  const bool of_halves = type == SLUICE_SDI_TYPE_F16 || type == SLUICE_SDI_TYPE_BF16;
  const uint32_t unit = of_halves && shape.size() == 3 ? 2 : info.alignment;
  sluice_sdi_tensor t{};
  t.type = type;
  t.rows = rows;
  t.rank = static_cast<uint16_t>(shape.size());
  std::fill(std::begin(t.shape), std::end(t.shape), 1);
  std::copy(shape.begin(), shape.end(), t.shape);
  uint64_t inside = uint64_t{t.shape[0]} / info.block * info.bytes;
  for (uint16_t d = 1; d < t.rank; ++d) {
    t.stride[d - 1] = inside + (coin() ? 0 : uint64_t{unit} * pick(1, 9));
    inside = t.stride[d - 1] * t.shape[d];
  }
  // The places behind the rank hold anything that a stride may be.
  for (uint16_t d = t.rank; d < 4; ++d) t.stride[d - 1] = inside;
  uint64_t at = case_.memory.size();
  if (unit < 8 && coin()) at += uint64_t{unit} * pick(0, 7);
  case_.memory.resize(at + inside);
  t.address = address_ + at;
  fill(t, case_.memory.data() + at, values);
  while (case_.memory.size() % 8 != 0) case_.memory.push_back(static_cast<uint8_t>(rng_()));
  gap();
  case_.tensors.push_back(t);
  return static_cast<uint32_t>(case_.tensors.size() - 1);
}

// A tensor f32 [width, rows] to read: one that is there already, if one fits.
uint32_t Generator::source(uint32_t width, Rows rows) {
  for (size_t i = case_.tensors.size(); i-- > 0 && coin();) {
    const sluice_sdi_tensor& t = case_.tensors[i];
    if (t.type == SLUICE_SDI_TYPE_F32 && t.rank == 2 && t.rows == rows.kind &&
        t.shape[0] == width && t.shape[1] == rows.most) {
      return static_cast<uint32_t>(i);
    }
  }
  return f32(width, rows);
}

uint32_t Generator::positive(bool or_none) {
  if (or_none && pick(0, 2) == 0) return 0;
  return std::bit_cast<uint32_t>(static_cast<float>(pick(1, 1u << 20)) * 0x1p-15f);
}

void Generator::command(uint16_t op, uint32_t dst, Shape src, Shape imm, uint16_t flags) {
  sluice_sdi_command c{};
  c.op = op;
  c.flags = flags;
  c.dst = dst;
  std::fill(std::begin(c.src), std::end(c.src), SLUICE_SDI_NONE);
  std::copy(src.begin(), src.end(), c.src);
  std::copy(imm.begin(), imm.end(), c.imm);
  case_.commands.push_back(c);
}

void Generator::matmul(uint16_t type) {
  const Type& info = *find_type(type);
  const Rows rows = any_rows();
  const bool of_floats = info.use == Use::kFloatWeights;
  const uint64_t needed = of_floats ? SLUICE_SDI_CAP_FAST_FLOATS : SLUICE_SDI_CAP_FAST;
  const bool fast = (capabilities_ & needed) != 0 && coin();
  const Values values = of_floats && fast ? Values::kWide : Values::kPlain;
  const uint32_t k = of_floats                   ? width()
                     : fast || info.block == 256 ? 256 * pick(1, 3)
                                                 : info.block * pick(1, 7);
  const uint32_t m = pick(1, 45);
  uint32_t x;
  if (of_floats) {
    x = coin() ? source(k, rows) : f32(k, rows, values);
  } else {
    x = tensor(info.use == Use::kWeights32 && !fast ? SLUICE_SDI_TYPE_A8 : SLUICE_SDI_TYPE_A8K,
               rows.kind, {k, rows.most});
    if (case_.commands.size() % 2 == 1) command(SLUICE_SDI_OP_QUANTIZE, x, {source(k, rows)});
  }
  const uint32_t w = tensor(type, SLUICE_SDI_ROWS_FIXED, {k, m}, values);
  const uint32_t y = f32(m, rows);
  const int flags = (coin() ? SLUICE_SDI_FLAG_ADD : 0) | (fast ? SLUICE_SDI_FLAG_FAST : 0);
  command(SLUICE_SDI_OP_MATMUL, y, {w, x}, {}, static_cast<uint16_t>(flags));
}

void Generator::rms_norm() {
  const uint32_t dim = width();
  const Rows rows = any_rows();
  const uint32_t weight = tensor(SLUICE_SDI_TYPE_F32, SLUICE_SDI_ROWS_FIXED, {dim});
  const uint32_t n_heads = pick(1, 4);
  const bool of_heads = coin();
  const auto operand = [&] {
    return of_heads ? tensor(SLUICE_SDI_TYPE_F32, rows.kind, {dim, n_heads, rows.most})
                    : source(dim, rows);
  };
  const uint32_t x = operand();
  uint32_t y = x;
  if (coin()) {
    y = of_heads ? operand() : f32(dim, rows);
  }
  command(SLUICE_SDI_OP_RMS_NORM, y, {x, weight}, {std::bit_cast<uint32_t>(1e-5f)});
}

// GLU, ADD or SOFTCAP.
void Generator::elements(uint16_t op) {
  const uint32_t dim = width();
  const Rows rows = any_rows();
  const uint32_t a = source(dim, rows);
  if (op == SLUICE_SDI_OP_SOFTCAP) {
    command(op, coin() ? a : f32(dim, rows), {a}, {positive(false)});
    return;
  }
  const bool bias = op == SLUICE_SDI_OP_ADD && coin();
  const uint32_t b = bias              ? tensor(SLUICE_SDI_TYPE_F32, SLUICE_SDI_ROWS_FIXED, {dim})
                     : pick(0, 5) == 0 ? a
                                       : f32(dim, rows, Values::kWide);
  const uint32_t where = pick(0, 2);
  const uint32_t y = where == 0 ? a : where == 1 && !bias ? b : f32(dim, rows);
  command(op, y, {a, b}, {op == SLUICE_SDI_OP_GLU ? pick(0, 1) : 0});
}

void Generator::rope() {
  const Rows rows = tokens();
  const uint32_t dim = pick(2, 80), n_heads = pick(1, 5);
  const uint32_t x = tensor(SLUICE_SDI_TYPE_F32, rows.kind, {dim, n_heads, rows.most});
  const uint32_t y = coin() ? x : tensor(SLUICE_SDI_TYPE_F32, rows.kind, {dim, n_heads, rows.most});
  command(SLUICE_SDI_OP_ROPE, y, {x, source(pick(1, dim / 2) * 2, rows)}, {pick(0, 1)});
}

void Generator::kv_write(uint16_t type) {
  const uint32_t dim = type == SLUICE_SDI_TYPE_Q8_0 ? 32 * pick(1, 9) : width();
  // Of a block's codes halves are the edges, of 16 bits what lies between two numbers.
  const Values values = type == SLUICE_SDI_TYPE_Q8_0 ? Values::kStrange : Values::kWide;
  const uint32_t x = f32(dim, tokens(), values);
  // Of rank 3 at first, which asks for a cache's alignment.
  const uint32_t cache = tensor(type, SLUICE_SDI_ROWS_FIXED, {dim, n_slots_, 1});
  case_.tensors[cache].rank = 2;
  command(SLUICE_SDI_OP_KV_WRITE, cache, {x});
}

void Generator::attention(uint16_t type) {
  const Rows rows = tokens();
  // In one case of four keys and values differ in type.
  const uint16_t value_type = pick(0, 3) == 0 ? any_type(SLUICE_SDI_OP_ATTENTION) : type;
  const bool blocks = type == SLUICE_SDI_TYPE_Q8_0 || value_type == SLUICE_SDI_TYPE_Q8_0;
  const uint32_t dim = blocks ? 32 * pick(1, 4) : coin() ? pick(1, 70) : pick(1, 8) * 16;
  const uint32_t n_kv_heads = pick(1, 3);
  const uint32_t n_heads = n_kv_heads * pick(1, 5);
  const auto heads = [&] {
    return tensor(SLUICE_SDI_TYPE_F32, rows.kind, {dim, n_heads, rows.most});
  };
  const auto cache = [&](uint16_t of) {
    return tensor(of, SLUICE_SDI_ROWS_FIXED, {dim, n_kv_heads, n_slots_});
  };
  const uint32_t q = heads(), sink = coin() ? q : heads();
  const uint32_t k = cache(type), v = pick(0, 4) == 0 ? k : cache(value_type), out = heads();
  const sluice_sdi_tensor keys = case_.tensors[k];
  if (case_.commands.size() % 2 == 1 &&
      keys.stride[0] == uint64_t{dim} / find_type(type)->block * find_type(type)->bytes) {
    // The same cache as rows of all heads, written before it is looked at.
    sluice_sdi_tensor flat = keys;
    flat.rank = 2;
    flat.shape[0] = dim * n_kv_heads;
    flat.shape[1] = n_slots_;
    flat.shape[2] = 1;
    flat.stride[0] = keys.stride[1];
    case_.tensors.push_back(flat);
    const auto index = static_cast<uint32_t>(case_.tensors.size() - 1);
    command(SLUICE_SDI_OP_KV_WRITE, index, {f32(flat.shape[0], rows)});
  }
  const float scale = 1.0f / std::sqrt(static_cast<float>(dim)) * static_cast<float>(pick(1, 4));
  const uint32_t window = coin() ? 0 : coin() ? pick(1, 40) : pick(1, 100);
  command(SLUICE_SDI_OP_ATTENTION, out, {q, sink, k, v},
          {std::bit_cast<uint32_t>(scale), positive(), window});
}

void Generator::add(uint16_t op, uint16_t type) {
  const Rows rows = op == SLUICE_SDI_OP_QUANTIZE ? any_rows() : tokens();
  const uint32_t dim = width();
  if (op == SLUICE_SDI_OP_EMBED) {
    const uint32_t block = find_type(type)->block;
    const uint32_t whole = block == 1 ? dim : block * pick(1, 3), n_vocab = pick(1, 20);
    n_vocab_ = std::min(n_vocab_, n_vocab);
    const uint32_t table = tensor(type, SLUICE_SDI_ROWS_FIXED, {whole, n_vocab});
    command(op, f32(whole, rows), {table}, {positive()});
  } else if (op == SLUICE_SDI_OP_RMS_NORM) {
    rms_norm();
  } else if (op == SLUICE_SDI_OP_QUANTIZE) {
    const bool large = coin();
    const uint32_t whole = large ? 256 * pick(1, 3) : 32 * pick(1, 9);
    const uint32_t x = f32(whole, rows, Values::kStrange);
    const uint16_t to = large && coin() ? SLUICE_SDI_TYPE_A8K : SLUICE_SDI_TYPE_A8;
    command(op, tensor(to, rows.kind, {whole, rows.most}), {x});
  } else if (op == SLUICE_SDI_OP_MATMUL) {
    matmul(type);
  } else if (op == SLUICE_SDI_OP_ROPE_TABLE) {
    const uint32_t n = pick(1, 40);
    const uint32_t increments = tensor(SLUICE_SDI_TYPE_I64, SLUICE_SDI_ROWS_FIXED, {n});
    command(op, f32(2 * n, rows), {increments}, {pick(0, 1), positive()});
  } else if (op == SLUICE_SDI_OP_ROPE) {
    rope();
  } else if (op == SLUICE_SDI_OP_KV_WRITE) {
    kv_write(type);
  } else if (op == SLUICE_SDI_OP_ATTENTION) {
    attention(type);
  } else if (op == SLUICE_SDI_OP_GLU || op == SLUICE_SDI_OP_ADD || op == SLUICE_SDI_OP_SOFTCAP) {
    elements(op);
  } else {
    const Rows outputs{SLUICE_SDI_ROWS_OUTPUTS, n_outputs_ + pick(1, 3)};
    command(SLUICE_SDI_OP_SELECT, f32(dim, outputs), {source(dim, rows)});
  }
}

// Tokens of several sequences in any order; half of the long ones have lost blocks behind the
// first.
void Generator::write_step() {
  const uint32_t n_sequences = pick(1, 4), n_blocks = pick(1, 7);
  std::vector<uint32_t>& words = case_.step;
  words = {n_tokens_, n_outputs_, n_sequences, n_blocks, 0, 0, 0, 0};
  const auto each = [&](auto next) {
    for (uint32_t t = 0; t < n_tokens_; ++t) words.push_back(next(t));
  };
  each([&](uint32_t) { return pick(0, n_vocab_ - 1); });
  each([&](uint32_t) { return static_cast<uint32_t>(rng_()); });
  std::vector<uint32_t> context, skip;
  for (uint32_t t = 0; t < n_tokens_; ++t) {
    const uint32_t last = pick(0, n_blocks - 1), lost = last > 0 && coin() ? pick(0, last - 1) : 0;
    context.push_back((last - lost) * SLUICE_SDI_BLOCK_TOKENS + pick(0, 15));
    skip.push_back(last - lost == 0 ? static_cast<uint32_t>(rng_()) : lost);
  }
  each([&](uint32_t t) { return context[t]; });
  each([&](uint32_t t) { return skip[t]; });
  const bool in_order = coin();
  each([&](uint32_t t) {
    return in_order ? t * n_sequences / n_tokens_ : pick(0, n_sequences - 1);
  });
  std::vector<uint32_t> slots(n_slots_);
  for (uint32_t i = 0; i < n_slots_; ++i) slots[i] = i;
  std::shuffle(slots.begin(), slots.end(), rng_);
  each([&](uint32_t t) { return pick(0, 5) == 0 ? 0xffffffff : slots[t]; });
  for (uint32_t i = 0; i < n_outputs_; ++i) words.push_back(pick(0, n_tokens_ - 1));
  for (uint32_t i = 0; i < n_sequences * n_blocks; ++i) {
    words.push_back(pick(0, n_slots_ / SLUICE_SDI_BLOCK_TOKENS - 1));
  }
  if (coin()) words.push_back(0xffffffff);  // what the header does not ask for
}

Case Generator::take() {
  write_step();
  return std::move(case_);
}

bool both_nan(uint32_t a, uint32_t b) {
  const auto nan16 = [](uint32_t x) { return (x & 0x7fff) > 0x7c00; };
  const auto same16 = [&](uint32_t x, uint32_t y) {
    return (x & 0xffff) == (y & 0xffff) || (nan16(x) && nan16(y));
  };
  return (std::isnan(std::bit_cast<float>(a)) && std::isnan(std::bit_cast<float>(b))) ||
         (same16(a, b) && same16(a >> 16, b >> 16));
}

}  // namespace

Case one_command(uint16_t op, uint16_t type, uint64_t address, uint32_t seed,
                 uint64_t capabilities) {
  Generator g(address, seed, capabilities);
  g.add(op, type);
  return g.take();
}

Case many_commands(uint32_t n, uint64_t address, uint32_t seed, uint64_t capabilities) {
  Generator g(address, seed, capabilities);
  for (uint32_t i = 0; i < n; ++i) {
    const auto op = static_cast<uint16_t>(g.pick(1, SLUICE_SDI_N_OPS - 1));
    g.add(op, g.any_type(op));
  }
  return g.take();
}

std::span<const uint16_t> types_for(uint16_t op) {
  if (op == SLUICE_SDI_OP_EMBED || op == SLUICE_SDI_OP_MATMUL) return kWeightTypes;
  if (op == SLUICE_SDI_OP_KV_WRITE || op == SLUICE_SDI_OP_ATTENTION) return kCacheTypes;
  return std::span(kWeightTypes).first(1);
}

std::string difference(std::span<const uint8_t> got, std::span<const uint8_t> expected) {
  if (got.size() != expected.size()) return "the lengths differ";
  for (size_t i = 0; i < got.size(); i += 4) {
    uint32_t a = 0, b = 0;
    const size_t n = std::min<size_t>(4, got.size() - i);
    std::memcpy(&a, got.data() + i, n);
    std::memcpy(&b, expected.data() + i, n);
    if (a == b || both_nan(a, b)) continue;
    char text[128];
    std::snprintf(text, sizeof(text), "the word at byte %zu is 0x%08x (%g), expected 0x%08x (%g)",
                  i, a, static_cast<double>(std::bit_cast<float>(a)), b,
                  static_cast<double>(std::bit_cast<float>(b)));
    return text;
  }
  return "";
}

}  // namespace interpreter
