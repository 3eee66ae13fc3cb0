// SPDX-License-Identifier: Apache-2.0
#include "amx_emulator.h"

#if defined(__x86_64__)

#include <ucontext.h>

#include <bit>
#include <cmath>
#include <cstring>

namespace sluice::test {
namespace {

struct Tile {
  uint8_t rows = 0;
  uint16_t row_bytes = 0;
  uint8_t bytes[16][64] = {};
};
thread_local Tile tiles[8];
thread_local uint64_t done;
thread_local uint64_t flushed;

// General registers in the order of their numbers in instructions.
constexpr int kRegisters[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                REG_R12, REG_R13, REG_R14, REG_R15};

// A VEX instruction of three prefix bytes: C4, ~R ~X ~B map, W ~vvvv L pp.
struct Instruction {
  const uint8_t* code;
  greg_t* registers;
  unsigned map, prefix, opcode, reg, rm, mod, third;
  unsigned length = 5;
  uint64_t index = 0;       // SIB: index register, 0 if none
  uint8_t* base = nullptr;  // SIB or ModRM: base and displacement

  Instruction(const uint8_t* at, greg_t* r) : code(at), registers(r) {
    map = code[1] & 31;
    third = ~code[2] >> 3 & 15;
    prefix = code[2] & 3;  // none, 66, F3, F2
    opcode = code[3];
    mod = code[4] >> 6;
    reg = code[4] >> 3 & 7;
    rm = code[4] & 7;
    if (mod != 3) read_address();
  }
  bool is(unsigned wanted_opcode, unsigned wanted_prefix, bool memory) const {
    return code[0] == 0xc4 && map == 2 && opcode == wanted_opcode && prefix == wanted_prefix &&
           (mod != 3) == memory;
  }

 private:
  uint64_t value(unsigned number) const {
    return static_cast<uint64_t>(registers[kRegisters[number]]);
  }
  void read_address() {
    const unsigned extend_index = (code[1] & 0x40) ? 0 : 8, extend_base = (code[1] & 0x20) ? 0 : 8;
    unsigned base_number = rm;
    if (rm == 4) {  // a SIB byte follows
      const uint8_t sib = code[length++];
      base_number = sib & 7;
      const unsigned index_number = (sib >> 3 & 7) + extend_index;
      if (index_number != 4) index = value(index_number) << (sib >> 6);
    }
    int32_t displacement = 0;
    const bool no_base = base_number == 5 && mod == 0;
    if (mod == 1) displacement = static_cast<int8_t>(code[length++]);
    if (mod == 2 || no_base) {
      std::memcpy(&displacement, code + length, 4);
      length += 4;
    }
    uint64_t start = no_base ? 0 : value(base_number + extend_base);
    if (no_base && rm == 5) start = reinterpret_cast<uint64_t>(code) + length;  // of RIP
    base = reinterpret_cast<uint8_t*>(start + static_cast<uint64_t>(int64_t{displacement}));
  }
};

void load_config(const uint8_t* config) {
  for (int t = 0; t < 8; ++t) {
    tiles[t] = Tile();
    tiles[t].rows = config[48 + t];
    std::memcpy(&tiles[t].row_bytes, config + 16 + 2 * t, 2);
  }
}

// Signed or unsigned bytes of rows times those of columns, four at a time.
void multiply(Tile& sums, const Tile& a, const Tile& b, bool a_signed, bool b_signed) {
  const auto byte = [](uint8_t v, bool is_signed) {
    return is_signed ? static_cast<int8_t>(v) : v;
  };
  for (int m = 0; m < sums.rows; ++m) {
    for (int k = 0; k < a.row_bytes / 4; ++k) {
      for (int n = 0; n < sums.row_bytes / 4; ++n) {
        int32_t sum;
        std::memcpy(&sum, sums.bytes[m] + 4 * n, 4);
        for (int i = 0; i < 4; ++i) {
          sum += byte(a.bytes[m][4 * k + i], a_signed) * byte(b.bytes[k][4 * n + i], b_signed);
        }
        std::memcpy(sums.bytes[m] + 4 * n, &sum, 4);
      }
    }
  }
}

// What is subnormal is 0, before an operation and after it.
float flush(float value) {
  if (std::fpclassify(value) != FP_SUBNORMAL) return value;
  ++flushed;
  return std::copysign(0.0f, value);
}

float bf16_at(const Tile& tile, int row, int i) {
  uint16_t upper;
  std::memcpy(&upper, tile.bytes[row] + 2 * i, 2);
  return flush(std::bit_cast<float>(static_cast<uint32_t>(upper) << 16));
}

// Pairs of bf16 of rows times those of columns: first and second numbers are added up apart.
void multiply_bf16(Tile& sums, const Tile& a, const Tile& b) {
  for (int m = 0; m < sums.rows; ++m) {
    for (int n = 0; n < sums.row_bytes / 4; ++n) {
      float apart[2] = {0, 0};
      for (int k = 0; k < a.row_bytes / 4; ++k) {
        for (int i = 0; i < 2; ++i) {
          apart[i] = flush(std::fma(bf16_at(a, m, 2 * k + i), bf16_at(b, k, 2 * n + i), apart[i]));
        }
      }
      float sum;
      std::memcpy(&sum, sums.bytes[m] + 4 * n, 4);
      sum = flush(flush(sum) + flush(apart[0] + apart[1]));
      std::memcpy(sums.bytes[m] + 4 * n, &sum, 4);
    }
  }
}

bool carry_out(const Instruction& i) {
  enum : unsigned { kNone, k66, kF3, kF2 };
  Tile& tile = tiles[i.reg];
  if (i.is(0x49, kNone, true) && i.reg == 0) {
    load_config(i.base);
  } else if (i.is(0x49, kNone, false) && i.reg == 0 && i.rm == 0) {
    for (Tile& t : tiles) t = Tile();
  } else if (i.is(0x49, kF2, false)) {
    std::memset(tile.bytes, 0, sizeof(tile.bytes));
  } else if (i.is(0x4b, kF2, true)) {
    std::memset(tile.bytes, 0, sizeof(tile.bytes));
    for (int r = 0; r < tile.rows; ++r) {
      std::memcpy(tile.bytes[r], i.base + static_cast<uint64_t>(r) * i.index, tile.row_bytes);
    }
  } else if (i.is(0x4b, kF3, true)) {
    for (int r = 0; r < tile.rows; ++r) {
      std::memcpy(i.base + static_cast<uint64_t>(r) * i.index, tile.bytes[r], tile.row_bytes);
    }
  } else if (i.code[0] == 0xc4 && i.map == 2 && i.opcode == 0x5e && i.mod == 3 && i.third < 8) {
    const bool a_signed = i.prefix == kF2 || i.prefix == kF3;
    const bool b_signed = i.prefix == kF2 || i.prefix == k66;
    multiply(tile, tiles[i.rm], tiles[i.third], a_signed, b_signed);
  } else if (i.is(0x5c, kF3, false) && i.third < 8) {
    multiply_bf16(tile, tiles[i.rm], tiles[i.third]);
  } else {
    return false;
  }
  return true;
}

void handle(int signal, siginfo_t*, void* context) {
  greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const Instruction i(reinterpret_cast<const uint8_t*>(registers[REG_RIP]), registers);
  if (!carry_out(i)) {
    std::signal(signal, SIG_DFL);  // what else is illegal is fatal
    return;
  }
  ++done;
  registers[REG_RIP] += i.length;
}

}  // namespace

AmxEmulator::AmxEmulator() {
  struct sigaction action = {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGILL, &action, &before_);
}
AmxEmulator::~AmxEmulator() { sigaction(SIGILL, &before_, nullptr); }
uint64_t AmxEmulator::n_done() { return done; }
uint64_t AmxEmulator::n_flushed() { return flushed; }

}  // namespace sluice::test

#endif
