// SPDX-License-Identifier: Apache-2.0
// A command takes as long as its arithmetic or its memory, whichever is longer; each burst of
// memory waits for the wait states.
#include "emu/timing.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

namespace sluice::emu {
namespace {

constexpr uint64_t kEntryCycles = 64;    // to fetch an entry and to complete it
constexpr uint64_t kCommandCycles = 32;  // to fetch a command of a list
constexpr uint64_t kBurstBytes = 4096;

uint32_t rows_used(const Tensor& t, const Step& step) {
  switch (t.desc.rows) {
    case SLUICE_SDI_ROWS_TOKENS:
      return step.n_tokens();
    case SLUICE_SDI_ROWS_OUTPUTS:
      return step.n_outputs();
    default:
      return t.rows();
  }
}

uint64_t bytes_of(const Tensor& t, uint64_t rows) {
  if (t.desc.rank < 2) return t.extent;
  return std::min(t.extent, rows * t.row_stride());
}

uint64_t elements_per_row(const Tensor& t) {
  uint64_t n = 1;
  for (int i = 0; i + 1 < t.desc.rank; ++i) n *= t.desc.shape[i];
  return t.desc.rank < 2 ? t.desc.shape[0] : n;
}

// Entries of the cache that the step's tokens attend to, through a window if there is one: by each
// token, and by each run of tokens of one sequence, which share what they read.
struct Attended {
  uint64_t by_token = 0, by_run = 0;
};

Attended attended(const Step& step, uint32_t window) {
  Attended a;
  uint64_t longest = 0;
  for (uint32_t i = 0; i < step.n_tokens(); ++i) {
    const uint64_t all = uint64_t{step.context()[i]} + 1;
    const uint64_t entries = window == 0 ? all : std::min<uint64_t>(all, window);
    a.by_token += entries;
    longest = std::max(longest, entries);
    if (i + 1 == step.n_tokens() || step.sequence()[i + 1] != step.sequence()[i]) {
      a.by_run += longest;
      longest = 0;
    }
  }
  return a;
}

// Rows of operand `i` (0: dst, 1 ..: sources) that a command reads or writes.
uint64_t operand_rows(const Operands& o, const Step& step, int i) {
  const Tensor& t = i == 0 ? *o.dst : *o.src[i - 1];
  if (t.desc.rows != SLUICE_SDI_ROWS_FIXED) return rows_used(t, step);
  const uint16_t op = o.command->op;
  if (op == SLUICE_SDI_OP_EMBED || op == SLUICE_SDI_OP_KV_WRITE) return step.n_tokens();
  if (op == SLUICE_SDI_OP_ATTENTION) return attended(step, o.imm(2)).by_run;
  return t.rows();
}

uint64_t macs_of(const Operands& o, const Step& step) {
  const uint64_t n = rows_used(*o.dst, step);
  switch (o.command->op) {
    case SLUICE_SDI_OP_MATMUL:
      return n * o.src[0]->desc.shape[0] * o.src[0]->desc.shape[1];
    case SLUICE_SDI_OP_ATTENTION:
      return 2 * attended(step, o.imm(2)).by_token * elements_per_row(*o.dst);
    case SLUICE_SDI_OP_EMBED:
    case SLUICE_SDI_OP_SELECT:
    case SLUICE_SDI_OP_KV_WRITE:
      return 0;
    default:
      return n * elements_per_row(*o.dst);
  }
}

}  // namespace

Work work_of(const LoadedCommand& command, const Step& step, const QueueSegments& segments) {
  const Operands& o = command.operands;
  Work work;
  work.macs = macs_of(o, step);
  for (int i = 0; i <= 5; ++i) {
    const Tensor* t = i == 0 ? o.dst : o.src[i - 1];
    if (!t) continue;
    const uint64_t bytes = bytes_of(*t, operand_rows(o, step, i));
    const bool host = segments.is_host(t->desc.address);
    if (i == 0) (host ? work.host_written : work.written) += bytes;
    if (i > 0 || (o.command->flags & SLUICE_SDI_FLAG_ADD)) {
      (host ? work.host_read : work.read) += bytes;
    }
  }
  return work;
}

Timing::Timing(sluice_sdi_counters& counters, uint32_t macs_per_cycle, uint64_t memory_bandwidth)
    : counters_(counters),
      macs_per_cycle_(macs_per_cycle),
      bandwidth_(static_cast<double>(memory_bandwidth)) {}

namespace {

// Every counter is 64 bits, and so is what is reserved between them.
constexpr size_t kCounters = sizeof(sluice_sdi_counters) / sizeof(uint64_t);
using CounterArray = std::array<uint64_t, kCounters>;

sluice_sdi_counters sum(const sluice_sdi_counters& before, const sluice_sdi_counters& now) {
  auto out = std::bit_cast<CounterArray>(before);
  const auto* words = reinterpret_cast<const uint64_t*>(&now);
  for (size_t i = 0; i < kCounters; ++i) out[i] += load(words[i]);
  return std::bit_cast<sluice_sdi_counters>(out);
}

}  // namespace

void Timing::reset() {
  const std::lock_guard lock(mutex_);
  before_ = sum(before_, counters_);
  std::memset(static_cast<void*>(&counters_), 0, sizeof(counters_));
  ns_fraction_ = 0;
}

void Timing::power_on() {
  const std::lock_guard lock(mutex_);
  before_ = {};
}

sluice_sdi_counters Timing::total() const {
  const std::lock_guard lock(mutex_);
  return sum(before_, counters_);
}

uint64_t Timing::spend(const Work& work, uint64_t overhead, uint32_t hz, uint32_t wait_states) {
  const double bytes = static_cast<double>(work.bytes());
  const double compute = std::ceil(static_cast<double>(work.macs) / macs_per_cycle_);
  const double bursts = std::ceil(bytes / kBurstBytes);
  const double memory = std::ceil(bytes * hz / bandwidth_ + bursts * wait_states);
  const auto cycles = static_cast<uint64_t>(std::max(compute, memory)) + overhead;
  add(counters_.cycles, cycles);
  if (memory > compute) add(counters_.stall_cycles, static_cast<uint64_t>(memory - compute));
  add(counters_.macs, work.macs);
  add(counters_.bytes_read, work.read);
  add(counters_.bytes_written, work.written);
  add(counters_.host_bytes_read, work.host_read);
  add(counters_.host_bytes_written, work.host_written);
  if (hz != 0) {
    ns_fraction_ += static_cast<double>(cycles) * 1e9 / hz;
    const auto whole = static_cast<uint64_t>(ns_fraction_);
    add(counters_.nanoseconds, whole);
    ns_fraction_ -= static_cast<double>(whole);
  }
  return cycles;
}

void Timing::entry(const Work& work, uint32_t hz, uint32_t wait_states) {
  spend(work, kEntryCycles, hz, wait_states);
  add(counters_.entries, 1);
}

void Timing::run(const LoadedList& list, const Step& step, const QueueSegments& segments,
                 uint32_t hz, uint32_t wait_states) {
  for (const LoadedCommand& command : list.work) {
    if (command.code == &kPackCode) continue;  // the CPU's own business
    const uint64_t cycles =
        spend(work_of(command, step, segments), kCommandCycles, hz, wait_states);
    auto& op = counters_.op[command.operands.command->op % SLUICE_SDI_COUNTER_OPS];
    add(op.count, 1);
    add(op.cycles, cycles);
    add(counters_.commands, 1);
  }
  add(counters_.runs, 1);
}

}  // namespace sluice::emu
