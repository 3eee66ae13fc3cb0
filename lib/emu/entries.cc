// SPDX-License-Identifier: Apache-2.0
// Submission entries: each is copied, checked, carried out and completed.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "emu/outcome.h"

namespace sluice::emu {
namespace {

constexpr uint32_t kEntriesPerTurn = 32;  // before other queues have theirs
constexpr uint64_t kCopyPiece = uint64_t{1} << 20;

// The segments that a list names.
std::set<uint32_t> segments_of(const CommandList& list) {
  std::set<uint32_t> segments;
  for (const TensorDesc& t : list.tensors) {
    segments.insert(static_cast<uint32_t>(t.address >> SLUICE_SDI_OFFSET_BITS));
  }
  return segments;
}

}  // namespace

Board::Outcome Board::nop(BoardQueue&, const sluice_sdi_entry&) { return {}; }

Board::Outcome Board::copy(BoardQueue& queue, const sluice_sdi_entry& entry) {
  const auto& c = entry.copy;
  if (c.length == 0) return {.status = SLUICE_SDI_E_FIELD};
  const std::byte* src = queue.segments.find(c.src, c.length, SLUICE_SDI_SEGMENT_READ);
  if (src == nullptr) return Outcome::refused(c.src, c.length);
  std::byte* dst = queue.segments.find(c.dst, c.length, SLUICE_SDI_SEGMENT_WRITE);
  if (dst == nullptr) return Outcome::refused(c.dst, c.length);
  if (src < dst + c.length && dst < src + c.length) return {.status = SLUICE_SDI_E_FIELD};
  for (uint64_t done = 0; done < c.length;) {
    const uint64_t n = std::min<uint64_t>(kCopyPiece, c.length - done);
    std::memcpy(dst + done, src + done, n);
    done += n;
    if (done < c.length && !keep_going(queue, 0)) return {.status = SLUICE_SDI_E_ABORTED};
  }
  const bool from_host = queue.segments.is_host(c.src);
  (from_host ? copied_.host_read : copied_.read) += c.length;
  (queue.segments.is_host(c.dst) ? copied_.host_written : copied_.written) += c.length;
  if (!from_host && clock_.memory_too_fast()) {
    flip_bit(dst, c.length);
    return {.status = SLUICE_SDI_E_DATA};
  }
  return {};
}

Board::Outcome Board::load_list(BoardQueue& queue, const sluice_sdi_entry& entry) {
  const auto& l = entry.load;
  if (l.n_tensors > kMaxTensors || l.n_commands > kMaxCommands || queue.lists.size() >= kMaxLists) {
    return {.status = SLUICE_SDI_E_LIMIT};
  }
  const uint64_t tensor_bytes = l.n_tensors * sizeof(TensorDesc);
  const uint64_t command_bytes = l.n_commands * sizeof(Command);
  const std::byte* source =
      queue.segments.find(l.address, tensor_bytes + command_bytes, SLUICE_SDI_SEGMENT_READ);
  if (source == nullptr) return Outcome::refused(l.address, tensor_bytes + command_bytes);
  if (!queue.segments.is_host(l.address) && clock_.memory_too_fast()) {
    return {.status = SLUICE_SDI_E_DATA};
  }
  CommandList list;  // a copy, as for a step

  list.tensors.resize(l.n_tensors);
  list.commands.resize(l.n_commands);
  if (tensor_bytes) std::memcpy(list.tensors.data(), source, tensor_bytes);
  if (command_bytes) std::memcpy(list.commands.data(), source + tensor_bytes, command_bytes);
  ListRefusal refused;
  const auto handle = executor_.load(list, queue.segments.table(), &refused);
  if (!handle && handle.error().code == ENOMEM) return {.status = SLUICE_SDI_E_LIMIT};
  if (!handle) {
    return {
        .status = static_cast<uint16_t>(refused.length ? SLUICE_SDI_E_SEGMENT : SLUICE_SDI_E_LIST),
        .result = refused.index,
        .index = refused.index,
        .address = refused.address,
        .length = refused.length};
  }
  queue.lists.emplace(*handle, segments_of(list));
  return {.result = *handle};
}

Board::Outcome Board::run_list(BoardQueue& queue, const sluice_sdi_entry& entry) {
  const auto& r = entry.run;
  if (!queue.lists.contains(r.handle)) return {.status = SLUICE_SDI_E_HANDLE};
  if (r.step_bytes > kMaxStepBytes) return {.status = SLUICE_SDI_E_LIMIT};
  const std::byte* source = queue.segments.find(r.step, r.step_bytes, SLUICE_SDI_SEGMENT_READ);
  if (source == nullptr) return Outcome::refused(r.step, r.step_bytes);
  // Checked is what was copied: the owner may still be writing there.
  step_words_.resize(r.step_bytes / sizeof(uint32_t));
  std::memcpy(step_words_.data(), source, step_words_.size() * sizeof(uint32_t));
  const auto done = executor_.run(r.handle, step_words_,
                                  [&](unsigned thread) { return keep_going(queue, thread); });
  if (!done && done.error().code == ECANCELED) return {.status = SLUICE_SDI_E_ABORTED};
  if (!done) return {.status = SLUICE_SDI_E_STEP};
  const LoadedList& list = *executor_.find(r.handle);
  timing_.run(list, executor_.step(), queue.segments, clock_.system_hz(), clock_.wait_states());
  if (clock_.memory_too_fast() && !list.commands.empty()) {
    const Command& last = list.commands[injector_.draw(list.commands.size())];
    flip_bit(list.tensors[last.dst].data, list.tensors[last.dst].extent);
    return {.status = SLUICE_SDI_E_DATA};
  }
  return {};
}

Board::Outcome Board::unload_list(BoardQueue& queue, const sluice_sdi_entry& entry) {
  if (entry.run.step_bytes != 0) return {.status = SLUICE_SDI_E_FIELD};
  if (queue.lists.erase(entry.run.handle) == 0) return {.status = SLUICE_SDI_E_HANDLE};
  executor_.unload(entry.run.handle);
  return {};
}

void Board::unload_all(BoardQueue& queue) {
  for (const auto& [handle, segments] : queue.lists) executor_.unload(handle);
  queue.lists.clear();
}

Board::Outcome Board::execute(BoardQueue& queue, const sluice_sdi_entry& entry) {
  struct Handler {
    Outcome (Board::*carry_out)(BoardQueue&, const sluice_sdi_entry&);
    uint32_t n_words;  // of entry.words that it uses
  };
  // In the order of SLUICE_SDI_ENTRY_*. Entries of a queue are carried out one after the other, so
  // a FENCE has nothing to wait for.
  static constexpr Handler kHandlers[] = {{&Board::nop, 0},         {&Board::copy, 3},
                                          {&Board::load_list, 2},   {&Board::run_list, 2},
                                          {&Board::unload_list, 1}, {&Board::nop, 0}};
  if (entry.opcode >= std::size(kHandlers)) return {.status = SLUICE_SDI_E_OPCODE};
  const Handler& handler = kHandlers[entry.opcode];
  uint64_t unused = entry.flags;
  for (size_t i = handler.n_words; i < std::size(entry.words); ++i) unused |= entry.words[i];
  if (unused != 0) return {.status = SLUICE_SDI_E_FIELD};
  return (this->*handler.carry_out)(queue, entry);
}

void Board::flip_bit(std::byte* data, uint64_t size) {
  if (size != 0) data[injector_.draw(size)] ^= std::byte{1} << injector_.draw(8);
}

// A bit of what this queue has on the board.
void Board::corrupt_device_memory(const BoardQueue& queue) {
  const SegmentTable& table = queue.segments.table();
  std::vector<const Segment*> on_board;
  for (uint64_t i = 0; i < table.size(); ++i) {
    if (table[i].length && !queue.segments.is_host(i << SLUICE_SDI_OFFSET_BITS)) {
      on_board.push_back(&table[i]);
    }
  }
  if (on_board.empty()) return;
  const Segment& s = *on_board[injector_.draw(on_board.size())];
  flip_bit(s.base, s.length);
}

void Board::put(BoardQueue& queue, const sluice_sdi_completion& completion) {
  sluice_sdi_completion& slot = queue.cq[queue.cq_tail & (queue.setup.n_entries - 1)];
  uint64_t halves[2];
  std::memcpy(halves, &completion, sizeof(halves));
  auto* words = reinterpret_cast<uint64_t*>(&slot);
  __atomic_store_n(&words[0], halves[0], __ATOMIC_RELAXED);
  __atomic_store_n(&words[1], halves[1], __ATOMIC_RELEASE);  // with the phase
  queue.cq_tail++;
  if (std::exchange(queue.lose_interrupt, false)) return;
  if (queue.setup.coalesce_count <= 1 || queue.setup.coalesce_us == 0) {
    raise(queue.setup.vector);
    return;
  }
  if (queue.n_unsignalled++ == 0) queue.unsignalled_since = std::chrono::steady_clock::now();
  if (queue.n_unsignalled >= queue.setup.coalesce_count) {
    queue.n_unsignalled = 0;
    raise(queue.setup.vector);
  }
}

void Board::flush_interrupt(BoardQueue& queue, Time now) {
  if (now < queue.unsignalled_since + std::chrono::microseconds(queue.setup.coalesce_us)) return;
  queue.n_unsignalled = 0;
  raise(queue.setup.vector);
}

void Board::complete(BoardQueue& queue, uint32_t id, const Outcome& outcome) {
  sluice_sdi_completion completion = {};
  completion.id = id;
  completion.result = outcome.result;
  completion.sq_head = queue.sq_head;
  completion.status = outcome.status;
  completion.phase = (queue.cq_tail / queue.setup.n_entries & 1) == 0 ? 1 : 0;
  if (outcome.status != SLUICE_SDI_OK) record(queue, id, outcome);
  if (!injector_.spent()) {
    if (injector_.strike(FaultKind::kLostInterrupt, n_entries_, true)) queue.lose_interrupt = true;
    if (const auto late = injector_.strike(FaultKind::kLate, n_entries_, true)) {
      queue.held = completion;
      queue.held_until =
          std::chrono::steady_clock::now() + std::chrono::milliseconds(late->delay_ms);
    }
  }
  n_entries_++;
  if (!queue.held) put(queue, completion);
}

bool Board::serve_queue(BoardQueue& queue) {
  if (queue.held) {
    if (std::chrono::steady_clock::now() < queue.held_until) return false;
    put(queue, *queue.held);
    queue.held.reset();
    return true;
  }
  const sluice_sdi_doorbell& doorbell = registers_.doorbell(queue.index);
  const uint32_t waiting = load(doorbell.sq_tail) - queue.sq_head;
  if (waiting == 0 || queue.halted) return false;
  if (waiting > queue.setup.n_entries) {
    queue.halted = true;
    record(queue, 0, {.status = SLUICE_SDI_E_RING});
    return true;
  }
  // No room, also if the owner says that it has consumed what is not there yet.
  const uint32_t unconsumed = queue.cq_tail - load(doorbell.cq_head);
  if (unconsumed >= queue.setup.n_entries) return false;
  const uint32_t n = std::min({waiting, queue.setup.n_entries - unconsumed, kEntriesPerTurn});
  for (uint32_t i = 0; i < n && !queue.held; ++i) {
    if (!serve_entry(queue)) break;
  }
  return true;
}

// False: other queues and the driver have their turn first.
bool Board::serve_entry(BoardQueue& queue) {
  sluice_sdi_entry entry;
  std::memcpy(&entry, &queue.sq[queue.sq_head & (queue.setup.n_entries - 1)], sizeof(entry));
  Outcome outcome;
  if (!injector_.spent()) {
    strike_board(true);
    if (!works()) return false;
    if (injector_.strike(FaultKind::kCorruption, n_entries_, true)) {
      corrupt_device_memory(queue);
      outcome.status = SLUICE_SDI_E_DATA;
    }
  }
  if (fatal_) outcome.status = SLUICE_SDI_E_DATA;
  queue.sq_head++;
  copied_ = {};
  cancelled_ = false;
  const uint64_t switches = clock_.n_switches();
  if (outcome.status == SLUICE_SDI_OK) outcome = execute(queue, entry);
  // Cut short by something that takes the queue, or the board, away: nobody waits for this.
  if (cancelled_ || !works()) return false;
  if (clock_.n_switches() != switches) outcome.status = SLUICE_SDI_E_DATA;
  timing_.entry(copied_, clock_.system_hz(), clock_.wait_states());
  complete(queue, entry.id, outcome);
  return entry.opcode != SLUICE_SDI_ENTRY_RUN && entry.opcode != SLUICE_SDI_ENTRY_COPY;
}

}  // namespace sluice::emu
