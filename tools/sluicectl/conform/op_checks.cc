// SPDX-License-Identifier: Apache-2.0
// Every operation on shapes that are not round, in host memory, against the interpreter that was
// written from the text of the interface alone: to the bit, and nothing else may change.
#include <fmt/format.h>

#include "tests/interpreter/cases.h"
#include "tools/sluicectl/conform/checks.h"

namespace sluicectl::conform {
namespace {

constexpr uint64_t kListAt = 0;
constexpr uint64_t kStepAt = 64 * 1024;
constexpr uint64_t kDataAt = 128 * 1024;
constexpr uint32_t kSeeds = 12;      // of each operation and type of weights
constexpr uint32_t kListSeeds = 60;  // of lists of several commands

template <typename T>
std::span<const std::byte> bytes_of(const std::vector<T>& v) {
  return std::as_bytes(std::span(v));
}

// The memory as the interpreter leaves it.
Result<std::vector<uint8_t>> interpret(const interpreter::Case& c) {
  std::vector<uint8_t> memory = c.memory;
  // The segment begins with the list and the step: only addresses count there, not contents.
  memory.insert(memory.begin(), kDataAt, 0);
  const interpreter::Segment segment{memory.data(), memory.size(), true, true};
  uint32_t index = 0;
  const uint32_t status =
      interpreter::run(c.list(), {&segment, 1}, std::as_bytes(std::span(c.step)), &index);
  if (status != SLUICE_SDI_OK) {
    return found(fmt::format("the check itself is wrong: status {} at {}", status, index));
  }
  memory.erase(memory.begin(), memory.begin() + static_cast<ptrdiff_t>(kDataAt));
  return memory;
}

Result<std::vector<uint8_t>> run_on_board(Rig& rig, const interpreter::Case& c) {
  SLUICE_CHECK(rig.put(kListAt, bytes_of(c.tensors)));
  SLUICE_CHECK(rig.put(kListAt + c.tensors.size() * 64, bytes_of(c.commands)));
  SLUICE_CHECK(rig.put(kStepAt, bytes_of(c.step)));
  SLUICE_CHECK(rig.put(kDataAt, bytes_of(c.memory)));
  SLUICE_TRY(
      const sluice::Completion loaded,
      rig.expect(load(SLUICE_SDI_ADDR(kHost, kListAt), static_cast<uint32_t>(c.tensors.size()),
                      static_cast<uint32_t>(c.commands.size())),
                 SLUICE_SDI_OK));
  SLUICE_CHECK(rig.expect(
      run(loaded.result, SLUICE_SDI_ADDR(kHost, kStepAt), static_cast<uint32_t>(c.step.size() * 4)),
      SLUICE_SDI_OK));
  SLUICE_CHECK(rig.expect(unload(loaded.result), SLUICE_SDI_OK));
  SLUICE_TRY(const auto bytes, rig.get(kDataAt, c.memory.size()));
  const auto* from = reinterpret_cast<const uint8_t*>(bytes.data());
  return std::vector<uint8_t>(from, from + bytes.size());
}

Result<void> compare(Rig& rig, const interpreter::Case& c, const std::string& what) {
  if (c.memory.size() > kHostBytes - kDataAt)
    return found(what + ": the check itself is too large");
  SLUICE_TRY(const auto expected, interpret(c));
  auto got = run_on_board(rig, c);
  if (!got) return found(what + ": " + got.error().message);
  const std::string difference = interpreter::difference(*got, expected);
  return difference.empty() ? Result<void>() : found(what + ": " + difference);
}

// One operation; those with weights or caches with each type that these may have.
template <uint16_t kOp>
Result<void> operation(Rig& rig) {
  SLUICE_TRY(const sluice_sdi_control control, rig.control());
  for (const uint16_t type : interpreter::types_for(kOp)) {
    for (uint32_t seed = 0; seed < kSeeds; ++seed) {
      const auto c = interpreter::one_command(kOp, type, SLUICE_SDI_ADDR(kHost, kDataAt), seed,
                                              control.capabilities);
      SLUICE_CHECK(compare(rig, c, fmt::format("type {}, seed {}", type, seed)));
    }
  }
  return {};
}

Result<void> lists_of_several(Rig& rig) {
  SLUICE_TRY(const sluice_sdi_control control, rig.control());
  for (uint32_t seed = 0; seed < kListSeeds; ++seed) {
    const auto c =
        interpreter::many_commands(6, SLUICE_SDI_ADDR(kHost, kDataAt), seed, control.capabilities);
    SLUICE_CHECK(compare(rig, c, fmt::format("seed {}", seed)));
  }
  return {};
}

constexpr uint64_t kNeeds = SLUICE_SDI_CAP_HOST;
constexpr Check kChecks[] = {
    {"embed", operation<SLUICE_SDI_OP_EMBED>, kNeeds},
    {"rms_norm", operation<SLUICE_SDI_OP_RMS_NORM>, kNeeds},
    {"quantize", operation<SLUICE_SDI_OP_QUANTIZE>, kNeeds},
    {"matmul", operation<SLUICE_SDI_OP_MATMUL>, kNeeds},
    {"rope_table", operation<SLUICE_SDI_OP_ROPE_TABLE>, kNeeds},
    {"rope", operation<SLUICE_SDI_OP_ROPE>, kNeeds},
    {"kv_write", operation<SLUICE_SDI_OP_KV_WRITE>, kNeeds},
    {"attention", operation<SLUICE_SDI_OP_ATTENTION>, kNeeds},
    {"glu", operation<SLUICE_SDI_OP_GLU>, kNeeds},
    {"select", operation<SLUICE_SDI_OP_SELECT>, kNeeds},
    {"add", operation<SLUICE_SDI_OP_ADD>, kNeeds},
    {"softcap", operation<SLUICE_SDI_OP_SOFTCAP>, kNeeds},
    {"each on what the ones before it left", lists_of_several, kNeeds},
};

}  // namespace

std::span<const Check> op_checks() { return kChecks; }

}  // namespace sluicectl::conform
