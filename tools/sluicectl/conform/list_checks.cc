// SPDX-License-Identifier: Apache-2.0
// Command lists and step buffers: what a board takes, what it refuses, and that it says where.
#include <fmt/format.h>

#include <cstring>
#include <functional>

#include "tools/sluicectl/conform/checks.h"

namespace sluicectl::conform {
namespace {

using sluice::Access;
using sluice::Completion;

constexpr uint64_t kListAt = 0;
constexpr uint64_t kStepAt = 64 * 1024;
constexpr uint64_t kDataAt = 128 * 1024;
constexpr uint32_t kDim = 8, kVocab = 4, kMaxTokens = 4;

template <typename T>
std::span<const std::byte> bytes_of(const std::vector<T>& v) {
  return std::as_bytes(std::span(v));
}

struct List {
  std::vector<sluice_sdi_tensor> tensors;
  std::vector<sluice_sdi_command> commands;
};

sluice_sdi_tensor tensor(uint16_t type, uint16_t rows, uint32_t d0, uint32_t d1, uint64_t row_bytes,
                         uint64_t address) {
  sluice_sdi_tensor t{};
  t.type = type;
  t.rows = rows;
  t.rank = 2;
  t.shape[0] = d0;
  t.shape[1] = d1;
  t.shape[2] = t.shape[3] = 1;
  t.stride[0] = row_bytes;
  t.address = address;
  return t;
}

sluice_sdi_command command(uint16_t op, uint32_t dst, std::initializer_list<uint32_t> src) {
  sluice_sdi_command c{};
  c.op = op;
  c.dst = dst;
  std::fill(std::begin(c.src), std::end(c.src), SLUICE_SDI_NONE);
  std::copy(src.begin(), src.end(), std::begin(c.src));
  return c;
}

// Rows of a table [8, 4] at the step's tokens, and of those the outputs.
List small_list() {
  List l;
  l.tensors.push_back(tensor(SLUICE_SDI_TYPE_F32, SLUICE_SDI_ROWS_FIXED, kDim, kVocab, kDim * 4,
                             SLUICE_SDI_ADDR(kHost, kDataAt)));
  l.tensors.push_back(tensor(SLUICE_SDI_TYPE_F32, SLUICE_SDI_ROWS_TOKENS, kDim, kMaxTokens,
                             kDim * 4, SLUICE_SDI_ADDR(kDevice, 0)));
  l.tensors.push_back(tensor(SLUICE_SDI_TYPE_F32, SLUICE_SDI_ROWS_OUTPUTS, kDim, kMaxTokens,
                             kDim * 4, SLUICE_SDI_ADDR(kHost, kDataAt + 4096)));
  l.commands.push_back(command(SLUICE_SDI_OP_EMBED, 1, {0}));
  l.commands.push_back(command(SLUICE_SDI_OP_SELECT, 2, {1}));
  return l;
}

Result<Completion> submit_list(Rig& rig, const List& l, uint16_t status) {
  SLUICE_CHECK(rig.put(kListAt, bytes_of(l.tensors)));
  SLUICE_CHECK(rig.put(kListAt + l.tensors.size() * 64, bytes_of(l.commands)));
  return rig.expect(load(SLUICE_SDI_ADDR(kHost, kListAt), static_cast<uint32_t>(l.tensors.size()),
                         static_cast<uint32_t>(l.commands.size())),
                    status);
}

struct StepBuffer {
  sluice_sdi_step header{};
  std::vector<uint32_t> token, position, context, skip, sequence, slot, output, blocks;

  std::vector<uint32_t> words() const {
    std::vector<uint32_t> out(8);
    std::memcpy(out.data(), &header, sizeof(header));
    for (const auto* v : {&token, &position, &context, &skip, &sequence, &slot, &output, &blocks}) {
      out.insert(out.end(), v->begin(), v->end());
    }
    return out;
  }
};

StepBuffer small_step() {
  StepBuffer s;
  s.header.n_tokens = 3;
  s.header.n_outputs = 2;
  s.header.n_sequences = 1;
  s.header.n_blocks = 1;
  s.token = {3, 0, 2};
  s.position = s.context = {0, 1, 2};
  s.skip = s.sequence = {0, 0, 0};
  s.slot = {0xffffffff, 0xffffffff, 0xffffffff};
  s.output = {2, 0};
  s.blocks = {0};
  return s;
}

Result<void> run_step(Rig& rig, uint32_t handle, const StepBuffer& s, uint16_t status) {
  const auto words = s.words();
  SLUICE_CHECK(rig.put(kStepAt, bytes_of(words)));
  SLUICE_CHECK(rig.expect(
      run(handle, SLUICE_SDI_ADDR(kHost, kStepAt), static_cast<uint32_t>(words.size() * 4)),
      status));
  return {};
}

Result<void> loads_and_runs(Rig& rig) {
  const auto table = pattern(size_t{kVocab} * kDim * 4, 3);
  SLUICE_CHECK(rig.put(kDataAt, table));
  SLUICE_TRY(const Completion c, submit_list(rig, small_list(), SLUICE_SDI_OK));
  if (c.result == 0) return found("a handle of 0");
  for (int i = 0; i < 3; ++i) SLUICE_CHECK(run_step(rig, c.result, small_step(), SLUICE_SDI_OK));
  SLUICE_TRY(const auto out, rig.get(kDataAt + 4096, 2 * kDim * 4));
  const auto row = [&](size_t token) {
    return std::span(table).subspan(token * kDim * 4, kDim * 4);
  };
  if (std::memcmp(out.data(), row(2).data(), kDim * 4) != 0 ||
      std::memcmp(out.data() + kDim * 4, row(3).data(), kDim * 4) != 0) {
    return found("the outputs of embed and select are not the table's rows");
  }
  SLUICE_CHECK(rig.expect(unload(c.result), SLUICE_SDI_OK));
  SLUICE_CHECK(rig.expect(unload(c.result), SLUICE_SDI_E_HANDLE));
  SLUICE_CHECK(run_step(rig, c.result, small_step(), SLUICE_SDI_E_HANDLE));
  return {};
}

Result<void> lists_are_copied(Rig& rig) {
  SLUICE_TRY(const Completion c, submit_list(rig, small_list(), SLUICE_SDI_OK));
  SLUICE_CHECK(rig.put(kListAt, std::vector<std::byte>(4096, std::byte{0xff})));
  SLUICE_CHECK(run_step(rig, c.result, small_step(), SLUICE_SDI_OK));
  return {};
}

// One thing wrong in an otherwise good list, and the index that the completion must name.
struct BadList {
  const char* what;
  std::function<void(List&)> spoil;
  uint32_t index;
  uint16_t status = SLUICE_SDI_E_LIST;
};

const std::vector<BadList>& bad_lists() {
  static const std::vector<BadList> all = {
      {"an unknown type", [](List& l) { l.tensors[0].type = 0x4444; }, 0},
      {"an unknown kind of rows", [](List& l) { l.tensors[1].rows = 3; }, 1},
      {"rank 0", [](List& l) { l.tensors[2].rank = 0; }, 2},
      {"rank 5", [](List& l) { l.tensors[2].rank = 5; }, 2},
      {"a shape of 0", [](List& l) { l.tensors[0].shape[0] = 0; }, 0},
      {"a shape behind the rank", [](List& l) { l.tensors[0].shape[2] = 2; }, 0},
      {"strides that overlap", [](List& l) { l.tensors[0].stride[0] = kDim * 4 - 4; }, 0},
      {"a reserved word", [](List& l) { l.tensors[1].reserved = 1; }, 1},
      {"half a block", [](List& l) { l.tensors[0].type = SLUICE_SDI_TYPE_Q8_0; }, 0},
      {"an extent of 2^64",
       [](List& l) {
         l.tensors[0].shape[1] = 0xffffffff;
         l.tensors[0].stride[0] = uint64_t{1} << 33;
       },
       0, 0},
      {"a tensor past its segment",
       [](List& l) { l.tensors[0].address = SLUICE_SDI_ADDR(kHost, kHostBytes - 64); }, 0,
       SLUICE_SDI_E_SEGMENT},
      {"a tensor in an empty segment",
       [](List& l) { l.tensors[1].address = SLUICE_SDI_ADDR(kEmpty, 0); }, 1, SLUICE_SDI_E_SEGMENT},
      {"a tensor in no segment", [](List& l) { l.tensors[1].address = SLUICE_SDI_ADDR(0xfffe, 0); },
       1, SLUICE_SDI_E_SEGMENT},
      {"an unaligned f32", [](List& l) { l.tensors[1].address += 2; }, 3},
      {"operation 0", [](List& l) { l.commands[0].op = 0; }, 3},
      {"an unknown operation", [](List& l) { l.commands[1].op = SLUICE_SDI_N_OPS; }, 4},
      {"an unknown flag", [](List& l) { l.commands[0].flags = 0x8000; }, 3},
      {"a flag of another operation", [](List& l) { l.commands[0].flags = 1; }, 3},
      {"a reserved word of a command", [](List& l) { l.commands[1].reserved = 1; }, 4},
      {"an immediate that is not used", [](List& l) { l.commands[1].imm[0] = 1; }, 4},
      {"a scale below 0", [](List& l) { l.commands[0].imm[0] = 0xbf800000; }, 3},
      {"a destination that is no tensor", [](List& l) { l.commands[0].dst = 3; }, 3},
      {"no destination", [](List& l) { l.commands[0].dst = SLUICE_SDI_NONE; }, 3},
      {"a source that is no tensor", [](List& l) { l.commands[1].src[0] = 7; }, 4},
      {"a source too many", [](List& l) { l.commands[1].src[1] = 0; }, 4},
      {"no source", [](List& l) { l.commands[1].src[0] = SLUICE_SDI_NONE; }, 4},
      {"a destination that is read-only",
       [](List& l) { l.tensors[1].address = SLUICE_SDI_ADDR(kReadOnly, kDataAt + 8192); }, 3,
       SLUICE_SDI_E_SEGMENT},
      {"a source that is write-only",
       [](List& l) { l.tensors[0].address = SLUICE_SDI_ADDR(kWriteOnly, kDataAt); }, 3,
       SLUICE_SDI_E_SEGMENT},
      {"a destination over its source",
       [](List& l) { l.tensors[2].address = l.tensors[1].address + 4; }, 4},
      {"a shape that does not fit", [](List& l) { l.tensors[1].shape[0] = kDim - 1; }, 3},
      {"rows that do not fit", [](List& l) { l.tensors[2].rows = SLUICE_SDI_ROWS_TOKENS; }, 4},
  };
  return all;
}

Result<void> bad_lists_are_refused(Rig& rig) {
  for (const BadList& bad : bad_lists()) {
    List l = small_list();
    bad.spoil(l);
    SLUICE_CHECK(rig.put(kListAt, bytes_of(l.tensors)));
    SLUICE_CHECK(rig.put(kListAt + l.tensors.size() * 64, bytes_of(l.commands)));
    SLUICE_TRY(const Completion c, rig.submit(load(SLUICE_SDI_ADDR(kHost, kListAt),
                                                   static_cast<uint32_t>(l.tensors.size()),
                                                   static_cast<uint32_t>(l.commands.size()))));
    // Two rules of the text may be broken at once by an extent of 2^64: either will do.
    const bool good_status = bad.status == 0
                                 ? c.status == SLUICE_SDI_E_LIST || c.status == SLUICE_SDI_E_SEGMENT
                                 : c.status == bad.status;
    if (!good_status) {
      return found(
          fmt::format("{}: status \"{}\"", bad.what, sluice::completion_status_name(c.status)));
    }
    if (c.result != bad.index) {
      return found(fmt::format("{}: result {}, expected {}", bad.what, c.result, bad.index));
    }
  }
  return {};
}

Result<void> limits(Rig& rig) {
  SLUICE_TRY(const sluice_sdi_control c, rig.control());
  const uint64_t at = SLUICE_SDI_ADDR(kHost, kListAt);
  SLUICE_CHECK(rig.expect(load(at, 1, 0), SLUICE_SDI_E_LIST));
  SLUICE_CHECK(rig.expect(load(at, c.max_tensors + 1, 1), SLUICE_SDI_E_LIMIT));
  SLUICE_CHECK(rig.expect(load(at, 1, c.max_commands + 1), SLUICE_SDI_E_LIMIT));
  SLUICE_CHECK(rig.expect(load(at, 0xffffffff, 0xffffffff), SLUICE_SDI_E_LIMIT));
  SLUICE_CHECK(
      rig.expect(load(SLUICE_SDI_ADDR(kHost, kHostBytes - 64), 1, 1), SLUICE_SDI_E_SEGMENT));
  SLUICE_TRY(const Completion l, submit_list(rig, small_list(), SLUICE_SDI_OK));
  SLUICE_CHECK(rig.expect(run(l.result, SLUICE_SDI_ADDR(kHost, kStepAt), c.max_step_bytes + 4),
                          SLUICE_SDI_E_LIMIT));
  SLUICE_CHECK(rig.expect(run(l.result, SLUICE_SDI_ADDR(kEmpty, 0), 64), SLUICE_SDI_E_SEGMENT));
  SLUICE_CHECK(
      rig.expect(run(l.result, SLUICE_SDI_ADDR(kHost, kHostBytes - 32), 64), SLUICE_SDI_E_SEGMENT));
  if (c.max_lists > 4096) return {};
  for (uint32_t i = 1; i < c.max_lists; ++i) {
    SLUICE_CHECK(submit_list(rig, small_list(), SLUICE_SDI_OK));
  }
  SLUICE_CHECK(submit_list(rig, small_list(), SLUICE_SDI_E_LIMIT));
  SLUICE_CHECK(rig.expect(unload(l.result), SLUICE_SDI_OK));
  SLUICE_CHECK(submit_list(rig, small_list(), SLUICE_SDI_OK));
  return {};
}

struct BadStep {
  const char* what;
  std::function<void(StepBuffer&)> spoil;
};

const std::vector<BadStep>& bad_steps() {
  static const std::vector<BadStep> all = {
      {"no tokens", [](StepBuffer& s) { s.header.n_tokens = 0; }},
      {"too many tokens",
       [](StepBuffer& s) {
         s.header.n_tokens = kMaxTokens + 1;
         for (auto* v : {&s.token, &s.position, &s.context, &s.skip, &s.sequence, &s.slot}) {
           v->resize(kMaxTokens + 1, 0);
         }
       }},
      {"too many outputs",
       [](StepBuffer& s) {
         s.header.n_outputs = kMaxTokens + 1;
         s.output.resize(kMaxTokens + 1, 0);
       }},
      {"a reserved word", [](StepBuffer& s) { s.header.reserved[2] = 1; }},
      {"a buffer that is too short", [](StepBuffer& s) { s.blocks.clear(); }},
      {"2^32 tokens", [](StepBuffer& s) { s.header.n_tokens = 0xffffffff; }},
      {"2^64 blocks", [](StepBuffer& s) { s.header.n_sequences = s.header.n_blocks = 0xffffffff; }},
      {"a token past the vocabulary", [](StepBuffer& s) { s.token[1] = kVocab; }},
      {"a token of 2^32 - 1", [](StepBuffer& s) { s.token[2] = 0xffffffff; }},
      {"a sequence past the table", [](StepBuffer& s) { s.sequence[0] = 1; }},
      {"a slot below -1", [](StepBuffer& s) { s.slot[0] = 0xfffffffe; }},
      {"an output past the tokens", [](StepBuffer& s) { s.output[0] = 3; }},
  };
  return all;
}

Result<void> bad_steps_are_refused(Rig& rig) {
  SLUICE_TRY(const Completion c, submit_list(rig, small_list(), SLUICE_SDI_OK));
  for (const BadStep& bad : bad_steps()) {
    StepBuffer s = small_step();
    bad.spoil(s);
    const auto words = s.words();
    SLUICE_CHECK(rig.put(kStepAt, bytes_of(words)));
    SLUICE_TRY(const Completion got, rig.submit(run(c.result, SLUICE_SDI_ADDR(kHost, kStepAt),
                                                    static_cast<uint32_t>(words.size() * 4))));
    if (got.status != SLUICE_SDI_E_STEP) {
      return found(
          fmt::format("{}: status \"{}\"", bad.what, sluice::completion_status_name(got.status)));
    }
  }
  // Shorter than its header, and longer than it need be.
  SLUICE_CHECK(rig.expect(run(c.result, SLUICE_SDI_ADDR(kHost, kStepAt), 28), SLUICE_SDI_E_STEP));
  StepBuffer s = small_step();
  s.blocks.resize(100, 0xffffffff);
  s.blocks[0] = 0;
  SLUICE_CHECK(run_step(rig, c.result, s, SLUICE_SDI_OK));
  return {};
}

Result<void> changed_segments_drop_lists(Rig& rig) {
  List l = small_list();
  SLUICE_CHECK(rig.queue().grant(kSpare, rig.host(), Access::kRead));
  l.tensors[0].address = SLUICE_SDI_ADDR(kSpare, kDataAt);
  SLUICE_TRY(const Completion spare, submit_list(rig, l, SLUICE_SDI_OK));
  SLUICE_TRY(const Completion other, submit_list(rig, small_list(), SLUICE_SDI_OK));
  SLUICE_CHECK(run_step(rig, spare.result, small_step(), SLUICE_SDI_OK));
  SLUICE_CHECK(rig.queue().revoke(kSpare));
  SLUICE_CHECK(run_step(rig, spare.result, small_step(), SLUICE_SDI_E_HANDLE));
  SLUICE_CHECK(run_step(rig, other.result, small_step(), SLUICE_SDI_OK));
  return {};
}

Result<void> handles_belong_to_queues(Rig& rig) {
  SLUICE_TRY(Rig other, Rig::make(rig.device()));
  SLUICE_TRY(const Completion c, submit_list(rig, small_list(), SLUICE_SDI_OK));
  SLUICE_CHECK(run_step(other, c.result, small_step(), SLUICE_SDI_E_HANDLE));
  SLUICE_CHECK(other.expect(unload(c.result), SLUICE_SDI_E_HANDLE));
  SLUICE_CHECK(run_step(rig, c.result, small_step(), SLUICE_SDI_OK));
  return {};
}

constexpr Check kChecks[] = {
    {"lists: loaded, run, unloaded", loads_and_runs, SLUICE_SDI_CAP_HOST},
    {"lists: what was loaded is a copy", lists_are_copied, SLUICE_SDI_CAP_HOST},
    {"lists: every broken rule, and where", bad_lists_are_refused, SLUICE_SDI_CAP_HOST},
    {"lists: limits", limits, SLUICE_SDI_CAP_HOST},
    {"lists: a changed segment drops those that name it", changed_segments_drop_lists,
     SLUICE_SDI_CAP_HOST},
    {"lists: each queue has its own", handles_belong_to_queues, SLUICE_SDI_CAP_HOST},
    {"steps: every broken rule", bad_steps_are_refused, SLUICE_SDI_CAP_HOST},
};

}  // namespace

std::span<const Check> list_checks() { return kChecks; }

}  // namespace sluicectl::conform
