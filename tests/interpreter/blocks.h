// SPDX-License-Identifier: Apache-2.0
// Element types of the interpreter: sizes, conversions, and the blocks of docs/quantization.md.
#ifndef SLUICE_TESTS_INTERPRETER_BLOCKS_H
#define SLUICE_TESTS_INTERPRETER_BLOCKS_H

#include <cstdint>
#include <cstring>

namespace interpreter {

// What a type may be used for.
enum class Use { kFloatWeights, kWeights32, kWeights256, kActivations, kIncrements };

struct Type {
  uint16_t number;
  uint32_t block;      // values
  uint32_t bytes;      // of a block
  uint32_t alignment;  // in bytes; of F16 and BF16 what a cache asks for is 2
  Use use;
};

// NULL: no such type.
const Type* find_type(uint16_t number);

// A value of type T at any address.
template <typename T>
T get(const uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

template <typename T>
void put(uint8_t* at, T value) {
  std::memcpy(at, &value, sizeof(value));
}

float from_f16(uint16_t bits);
uint16_t to_f16(float value);  // nearest, ties to even
uint16_t to_bf16(float value);
// A block of Q8_0 as KV_WRITE makes it of 32 numbers.
void write_q8_0(const float* x, uint8_t* ret_block);

// A quantized block: value i is d * scale[i / group] * q[i], with what mins say added or taken off.
struct Block {
  enum Mins { kNone, kAdded, kSubtracted };
  uint32_t n = 0, group = 32;
  Mins mins = kNone;
  float d = 0, m = 0;
  int q[256];  // less the format's offset
  int scale[16], min[16];
};

// Of a type with use kWeights32 or kWeights256.
void unpack(const Type& type, const uint8_t* bytes, Block* ret_block);

// Value i of the block, rounded after each operation.
float decode(const Block& block, uint32_t i);

// The sum of MATMUL after it has taken up a block of weights and one of activations (A8 or A8K).
float take_up(const Block& weights, const uint8_t* activations, float sum);

// n values of a row of any weight type, decoded.
void decode_row(const Type& type, const uint8_t* row, uint32_t n, float* ret_values);

}  // namespace interpreter

#endif  // SLUICE_TESTS_INTERPRETER_BLOCKS_H
