// SPDX-License-Identifier: Apache-2.0
#include "tests/interpreter/blocks.h"

#include <linux/types.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <iterator>

#include "sluice_sdi.h"

namespace interpreter {
namespace {

constexpr Type kTypes[] = {
    {SLUICE_SDI_TYPE_F32, 1, 4, 4, Use::kFloatWeights},
    {SLUICE_SDI_TYPE_F16, 1, 2, 1, Use::kFloatWeights},
    {SLUICE_SDI_TYPE_BF16, 1, 2, 1, Use::kFloatWeights},
    {SLUICE_SDI_TYPE_Q4_0, 32, 18, 1, Use::kWeights32},
    {SLUICE_SDI_TYPE_Q4_1, 32, 20, 1, Use::kWeights32},
    {SLUICE_SDI_TYPE_Q5_0, 32, 22, 1, Use::kWeights32},
    {SLUICE_SDI_TYPE_Q5_1, 32, 24, 1, Use::kWeights32},
    {SLUICE_SDI_TYPE_Q8_0, 32, 34, 1, Use::kWeights32},
    {SLUICE_SDI_TYPE_Q2_K, 256, 84, 1, Use::kWeights256},
    {SLUICE_SDI_TYPE_Q3_K, 256, 110, 1, Use::kWeights256},
    {SLUICE_SDI_TYPE_Q4_K, 256, 144, 1, Use::kWeights256},
    {SLUICE_SDI_TYPE_Q5_K, 256, 176, 1, Use::kWeights256},
    {SLUICE_SDI_TYPE_Q6_K, 256, 210, 1, Use::kWeights256},
    {SLUICE_SDI_TYPE_A8, 32, 36, 4, Use::kActivations},
    {SLUICE_SDI_TYPE_A8K, 256, 260, 4, Use::kActivations},
    {SLUICE_SDI_TYPE_I64, 1, 8, 8, Use::kIncrements},
};

int nibble(uint8_t byte, bool high) { return high ? byte >> 4 : byte & 15; }
int bits(uint8_t byte, uint32_t from, uint32_t n) { return byte >> from & ((1 << n) - 1); }

// Blocks of 32 values with codes of 4 and 5 bits; the codes less `offset`.
void unpack_32(const uint8_t* p, Block::Mins mins, bool five, int offset, Block* b) {
  b->n = 32;
  b->mins = mins;
  b->d = from_f16(get<uint16_t>(p));
  p += 2;
  if (mins == Block::kAdded) {
    b->m = from_f16(get<uint16_t>(p));
    p += 2;
  }
  const uint32_t high = five ? get<uint32_t>(p) : 0;
  p += five ? 4 : 0;
  for (uint32_t i = 0; i < 32; ++i) {
    const int q = nibble(p[i % 16], i >= 16) + static_cast<int>(high >> i & 1) * 16;
    b->q[i] = q - offset;
  }
  b->scale[0] = b->min[0] = 1;
}

void unpack_q8_0(const uint8_t* p, Block* b) {
  b->n = 32;
  b->d = from_f16(get<uint16_t>(p));
  for (uint32_t i = 0; i < 32; ++i) b->q[i] = static_cast<int8_t>(p[2 + i]);
  b->scale[0] = b->min[0] = 1;
}

// The two low bits of value i, as Q2_K and Q3_K have them.
int low_bits(const uint8_t* qs, uint32_t i) {
  return bits(qs[i / 128 * 32 + i % 32], i / 32 % 4 * 2, 2);
}

void unpack_q2_k(const uint8_t* p, Block* b) {
  b->group = 16;
  b->mins = Block::kSubtracted;
  for (uint32_t j = 0; j < 16; ++j) {
    b->scale[j] = nibble(p[j], false);
    b->min[j] = nibble(p[j], true);
  }
  for (uint32_t i = 0; i < 256; ++i) b->q[i] = low_bits(p + 16, i);
  b->d = from_f16(get<uint16_t>(p + 80));
  b->m = from_f16(get<uint16_t>(p + 82));
}

void unpack_q3_k(const uint8_t* p, Block* b) {
  const uint8_t *hmask = p, *qs = p + 32, *scales = p + 96;
  b->group = 16;
  for (uint32_t j = 0; j < 16; ++j) {
    const int low = nibble(scales[j % 8], j >= 8), top = bits(scales[8 + j % 4], j / 4 * 2, 2);
    b->scale[j] = low + top * 16 - 32;
  }
  for (uint32_t i = 0; i < 256; ++i) {
    b->q[i] = low_bits(qs, i) + bits(hmask[i % 32], i / 32, 1) * 4 - 4;
  }
  b->d = from_f16(get<uint16_t>(p + 108));
}

// Q4_K, and Q5_K with its fifth bits.
void unpack_q4_k(const uint8_t* p, bool five, Block* b) {
  const uint8_t *scales = p + 4, *qh = p + 16, *qs = p + (five ? 48 : 16);
  b->mins = Block::kSubtracted;
  b->d = from_f16(get<uint16_t>(p));
  b->m = from_f16(get<uint16_t>(p + 2));
  for (uint32_t j = 0; j < 8; ++j) {
    if (j < 4) {
      b->scale[j] = bits(scales[j], 0, 6);
      b->min[j] = bits(scales[4 + j], 0, 6);
    } else {
      b->scale[j] = bits(scales[4 + j], 0, 4) + 16 * bits(scales[j - 4], 6, 2);
      b->min[j] = bits(scales[4 + j], 4, 4) + 16 * bits(scales[j], 6, 2);
    }
  }
  for (uint32_t i = 0; i < 256; ++i) {
    const int fifth = five ? bits(qh[i % 32], i / 32, 1) : 0;
    b->q[i] = nibble(qs[i / 64 * 32 + i % 32], i / 32 % 2 != 0) + fifth * 16;
  }
}

void unpack_q6_k(const uint8_t* p, Block* b) {
  const uint8_t *ql = p, *qh = p + 128;
  b->group = 16;
  for (uint32_t j = 0; j < 16; ++j) b->scale[j] = static_cast<int8_t>(p[192 + j]);
  for (uint32_t i = 0; i < 256; ++i) {
    const int low = nibble(ql[i / 128 * 64 + i % 64], i / 64 % 2 != 0);
    b->q[i] = low + bits(qh[i / 128 * 32 + i % 32], i / 32 % 4 * 2, 2) * 16 - 32;
  }
  b->d = from_f16(get<uint16_t>(p + 208));
}

}  // namespace

const Type* find_type(uint16_t number) {
  for (const Type& type : kTypes) {
    if (type.number == number) return &type;
  }
  return nullptr;
}

float from_f16(uint16_t bits) {
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  float value;
  if (exponent == 31) {
    value = mantissa ? std::nanf("") : HUGE_VALF;
  } else if (exponent == 0) {
    value = std::ldexp(static_cast<float>(mantissa), -24);
  } else {
    value = std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
  }
  return bits & 0x8000 ? -value : value;
}

uint16_t to_f16(float value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const float x = std::fabs(value);
  if (std::isnan(x)) return sign | 0x7e00;
  if (x >= 65520) return sign | 0x7c00;  // halfway from the largest number to 2^16, and above
  int exponent = -14;                    // of the binade, that of the subnormals at least
  while (exponent < 15 && x >= std::ldexp(1.0f, exponent + 1)) ++exponent;
  // In units of the last place: below 2^11 and exact but for the last rounding.
  const float units = std::nearbyint(std::ldexp(x, 10 - exponent));
  // A carry runs into the exponent, and the leading one of a normal number is its lowest bit.
  return static_cast<uint16_t>(sign + ((exponent + 14) << 10) + static_cast<int>(units));
}

uint16_t to_bf16(float value) {
  if (std::isnan(value)) return 0x7fc0;
  const uint32_t word = std::bit_cast<uint32_t>(value), kept = word >> 16, lost = word & 0xffff;
  const bool up = lost > 0x8000 || (lost == 0x8000 && kept % 2 == 1);
  return static_cast<uint16_t>(kept + (up ? 1 : 0));
}

void write_q8_0(const float* x, uint8_t* ret_block) {
  float amax = 0;
  for (int i = 0; i < 32; ++i) {
    if (std::fabs(x[i]) > amax) amax = std::fabs(x[i]);
  }
  const float d = amax / 127.0f, inverse = d == 0.0f ? 0.0f : 1.0f / d;
  put(ret_block, to_f16(d));
  for (int i = 0; i < 32; ++i) {
    const float y = x[i] * inverse;
    const int code = std::fabs(y) < 127.5f ? static_cast<int>(std::round(y)) : 0;
    ret_block[2 + i] = static_cast<uint8_t>(code);
  }
}

void unpack(const Type& type, const uint8_t* p, Block* ret_block) {
  Block& b = *ret_block;
  b.n = type.block;
  b.group = 32;
  b.mins = Block::kNone;
  b.m = 0;
  switch (type.number) {
    case SLUICE_SDI_TYPE_Q4_0:
      return unpack_32(p, Block::kNone, false, 8, &b);
    case SLUICE_SDI_TYPE_Q4_1:
      return unpack_32(p, Block::kAdded, false, 0, &b);
    case SLUICE_SDI_TYPE_Q5_0:
      return unpack_32(p, Block::kNone, true, 16, &b);
    case SLUICE_SDI_TYPE_Q5_1:
      return unpack_32(p, Block::kAdded, true, 0, &b);
    case SLUICE_SDI_TYPE_Q8_0:
      return unpack_q8_0(p, &b);
    case SLUICE_SDI_TYPE_Q2_K:
      return unpack_q2_k(p, &b);
    case SLUICE_SDI_TYPE_Q3_K:
      return unpack_q3_k(p, &b);
    case SLUICE_SDI_TYPE_Q4_K:
      return unpack_q4_k(p, false, &b);
    case SLUICE_SDI_TYPE_Q5_K:
      return unpack_q4_k(p, true, &b);
    default:
      return unpack_q6_k(p, &b);
  }
}

float decode(const Block& b, uint32_t i) {
  const float s = static_cast<float>(b.scale[i / b.group]), q = static_cast<float>(b.q[i]);
  const float value = (b.d * s) * q;
  if (b.mins == Block::kAdded) return value + b.m;
  if (b.mins == Block::kSubtracted) {
    return value - b.m * static_cast<float>(b.min[i / b.group]);
  }
  return value;
}

float take_up(const Block& w, const uint8_t* x, float sum) {
  const float scale = get<float>(x);
  const auto* codes = reinterpret_cast<const int8_t*>(x + 4);
  int64_t product = 0, mins = 0;
  for (uint32_t i = 0; i < w.n; ++i) {
    product += int64_t{w.scale[i / w.group]} * w.q[i] * codes[i];
    if (w.mins != Block::kNone) mins += int64_t{w.min[i / w.group]} * codes[i];
  }
  sum = std::fma(w.d * scale, static_cast<float>(product), sum);
  if (w.mins == Block::kAdded) sum = std::fma(w.m * scale, static_cast<float>(mins), sum);
  if (w.mins == Block::kSubtracted) sum = std::fma(-(w.m * scale), static_cast<float>(mins), sum);
  return sum;
}

void decode_row(const Type& type, const uint8_t* row, uint32_t n, float* ret_values) {
  Block block;
  for (uint32_t i = 0; i < n; ++i) {
    if (type.number == SLUICE_SDI_TYPE_F32) {
      ret_values[i] = get<float>(row + size_t{i} * 4);
    } else if (type.number == SLUICE_SDI_TYPE_F16) {
      ret_values[i] = from_f16(get<uint16_t>(row + size_t{i} * 2));
    } else if (type.number == SLUICE_SDI_TYPE_BF16) {
      ret_values[i] = std::bit_cast<float>(uint32_t{get<uint16_t>(row + size_t{i} * 2)} << 16);
    } else {
      if (i % type.block == 0) unpack(type, row + size_t{i / type.block} * type.bytes, &block);
      ret_values[i] = decode(block, i % type.block);
    }
  }
}

}  // namespace interpreter
