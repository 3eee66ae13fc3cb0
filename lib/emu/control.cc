// SPDX-License-Identifier: Apache-2.0
// What the driver asks of the board as a whole: reset, queues, segment tables; and what befalls it.
#include <algorithm>
#include <cstring>

#include "emu/outcome.h"

namespace sluice::emu {
namespace {

constexpr uint32_t kActionMask = 0xff;
constexpr uint32_t kFaultVector = 0;
constexpr uint32_t kRingAlignment = 64;
constexpr uint32_t kMostCoalesceUs = 1'000'000;

}  // namespace

// Identification, and the reset values of the control page.
void Board::describe() {
  sluice_sdi_control& c = registers_.control();
  const uint32_t request = load(c.request), n_resets = n_resets_;
  std::memset(static_cast<void*>(&c), 0, offsetof(sluice_sdi_control, request));
  std::memset(reinterpret_cast<std::byte*>(&c) + offsetof(sluice_sdi_control, argument), 0,
              sizeof(c) - offsetof(sluice_sdi_control, argument));
  c.version = SLUICE_SDI_VERSION;
  c.capabilities = SLUICE_SDI_CAP_EXACT | SLUICE_SDI_CAP_FAST | SLUICE_SDI_CAP_FAST_FLOATS |
                   SLUICE_SDI_CAP_CLOCK | SLUICE_SDI_CAP_COUNTERS | SLUICE_SDI_CAP_HOST |
                   SLUICE_SDI_CAP_PAGED | (surface_.silent ? 0 : SLUICE_SDI_CAP_NOTIFY);
  c.memory_size = surface_.memory_size;
  c.memory_offset = surface_.memory_offset;
  c.n_queues = options_.n_queues;
  c.n_segments = kMaxSegments;
  c.max_entries = kMaxEntries;
  c.n_vectors = surface_.n_vectors;
  c.max_commands = kMaxCommands;
  c.max_tensors = kMaxTensors;
  c.max_step_bytes = kMaxStepBytes;
  c.max_lists = kMaxLists;
  c.notify = notify_word_;
  const size_t length = std::min(options_.name.size(), sizeof(c.name) - 1);
  std::memcpy(c.name, options_.name.data(), length);
  c.irq_mask = ~uint64_t{0};
  c.n_resets = n_resets;
  acknowledged_ = request;
  store(c.magic, SLUICE_SDI_MAGIC);
}

void Board::reset() {
  sluice_sdi_control& c = registers_.control();
  store(c.status, 0u);
  for (BoardQueue& queue : queues_) {
    unload_all(queue);
    queue = BoardQueue(queue.index);
    std::memset(static_cast<void*>(&registers_.doorbell(queue.index)), 0, SLUICE_SDI_PAGE_SIZE);
    // Whoever submits to a queue that is not there any more is to ask the driver.
    store(registers_.doorbell(queue.index).idle, 1u);
  }
  std::memset(static_cast<void*>(&registers_.queue(0)), 0, SLUICE_SDI_PAGE_SIZE);
  host_.forget_memory();
  n_faults_ = 0;
  irq_events_ = 0;
  condition_ = Condition::kWorking;
  fatal_ = paused_ = false;
  describe();
  timing_.reset();
  clock_.reset();
  store(c.result, SLUICE_SDI_RESULT_OK);
  store(c.status, SLUICE_SDI_STATUS_READY);
  store(c.acknowledge, acknowledged_);
}

// A queue at work (`running`) is asked to stop, and the request is carried out when it has.
bool Board::serve_control(const BoardQueue* running) {
  sluice_sdi_control& c = registers_.control();
  const uint32_t request = load(c.request);
  if (request == acknowledged_ || condition_ == Condition::kRemoved) return false;
  if (condition_ == Condition::kAllOnes && request == ~0u) return false;
  const uint32_t action = request & kActionMask;
  if ((!works() || fatal_) && action != SLUICE_SDI_ACTION_RESET) return false;
  const uint64_t argument = load(c.argument[0]);
  if (running != nullptr) {
    const bool own = argument == running->index && action <= SLUICE_SDI_ACTION_SEGMENTS;
    if (action == SLUICE_SDI_ACTION_RESET || (own && action == SLUICE_SDI_ACTION_QUEUE_DISABLE)) {
      cancelled_ = true;
      return false;
    }
    if (own || action == SLUICE_SDI_ACTION_PAUSE) return false;
  }
  if (action == SLUICE_SDI_ACTION_RESET) {
    n_resets_++;
    reset();
    return true;
  }
  store(c.result, act(action, argument));
  acknowledged_ = request;
  store(c.acknowledge, request);
  return true;
}

uint32_t Board::act(uint32_t action, uint64_t argument) {
  if (action == SLUICE_SDI_ACTION_CLEAR_FAULTS) {
    sluice_sdi_control& c = registers_.control();
    n_faults_ = 0;
    std::memset(static_cast<void*>(&c.first_fault), 0, sizeof(c.first_fault));
    store(c.n_faults, 0u);
    return SLUICE_SDI_RESULT_OK;
  }
  if (action == SLUICE_SDI_ACTION_PAUSE || action == SLUICE_SDI_ACTION_RESUME) {
    paused_ = action == SLUICE_SDI_ACTION_PAUSE;
    return SLUICE_SDI_RESULT_OK;
  }
  struct Action {
    uint32_t number;
    uint32_t (Board::*carry_out)(uint32_t q);
  };
  static constexpr Action kActions[] = {
      {SLUICE_SDI_ACTION_QUEUE_ENABLE, &Board::enable},
      {SLUICE_SDI_ACTION_QUEUE_DISABLE, &Board::disable},
      {SLUICE_SDI_ACTION_SEGMENTS, &Board::change_segments},
  };
  for (const Action& a : kActions) {
    if (a.number != action) continue;
    if (argument >= queues_.size()) return SLUICE_SDI_RESULT_INVALID;
    return (this->*a.carry_out)(static_cast<uint32_t>(argument));
  }
  return SLUICE_SDI_RESULT_UNKNOWN;
}

uint32_t Board::enable(uint32_t q) {
  BoardQueue& queue = queues_[q];
  if (queue.enabled) return SLUICE_SDI_RESULT_STATE;
  sluice_sdi_queue setup;
  std::memcpy(&setup, &registers_.queue(q), sizeof(setup));
  if (setup.n_entries < 2 || setup.n_entries > kMaxEntries ||
      (setup.n_entries & (setup.n_entries - 1)) != 0 || setup.n_segments > kMaxSegments ||
      setup.n_segments == 0 || setup.coalesce_us > kMostCoalesceUs ||
      setup.vector >= surface_.n_vectors || setup.sq_base % kRingAlignment != 0 ||
      setup.cq_base % kRingAlignment != 0 || setup.segments % kRingAlignment != 0) {
    return SLUICE_SDI_RESULT_INVALID;
  }
  const std::byte* sq =
      host_.dma(setup.sq_base, uint64_t{setup.n_entries} * sizeof(sluice_sdi_entry));
  std::byte* cq =
      host_.dma(setup.cq_base, uint64_t{setup.n_entries} * sizeof(sluice_sdi_completion));
  if (sq == nullptr || cq == nullptr) return SLUICE_SDI_RESULT_DMA;
  queue = BoardQueue(q);
  queue.setup = setup;
  if (const uint32_t result = read_segments(queue)) return result;
  queue.sq = reinterpret_cast<const sluice_sdi_entry*>(sq);
  queue.cq = reinterpret_cast<sluice_sdi_completion*>(cq);
  queue.enabled = true;
  store(registers_.doorbell(q).idle, 0u);
  return SLUICE_SDI_RESULT_OK;
}

uint32_t Board::disable(uint32_t q) {
  BoardQueue& queue = queues_[q];
  if (!queue.enabled) return SLUICE_SDI_RESULT_STATE;
  unload_all(queue);
  queue = BoardQueue(q);
  store(registers_.doorbell(q).idle, 1u);
  return SLUICE_SDI_RESULT_OK;
}

uint32_t Board::change_segments(uint32_t q) {
  return queues_[q].enabled ? read_segments(queues_[q]) : SLUICE_SDI_RESULT_STATE;
}

// Lists that name a segment which has changed are gone.
uint32_t Board::read_segments(BoardQueue& queue) {
  std::vector<uint32_t> changed;
  const uint32_t result =
      queue.segments.read(host_, queue.setup.segments, queue.setup.n_segments, &changed);
  if (result != SLUICE_SDI_RESULT_OK) return result;
  for (auto it = queue.lists.begin(); it != queue.lists.end();) {
    const bool stale = std::any_of(changed.begin(), changed.end(),
                                   [&](uint32_t s) { return it->second.contains(s); });
    if (stale) executor_.unload(it->first);
    it = stale ? queue.lists.erase(it) : std::next(it);
  }
  return SLUICE_SDI_RESULT_OK;
}

// Faults that befall the board as a whole.
void Board::strike_board(bool chance) {
  struct Blow {
    FaultKind kind;
    Condition condition;
  };
  static constexpr Blow kBlows[] = {{FaultKind::kHang, Condition::kHung},
                                    {FaultKind::kAllOnes, Condition::kAllOnes},
                                    {FaultKind::kRemoval, Condition::kRemoved}};
  if (condition_ == Condition::kRemoved) return;
  for (const Blow& blow : kBlows) {
    if (injector_.strike(blow.kind, n_entries_, chance)) go(blow.condition);
  }
}

void Board::go(Condition condition) {
  condition_ = condition;
  if (condition == Condition::kHung) return;
  std::memset(registers_.data(), 0xff, Registers::bytes(options_.n_queues));
  if (condition == Condition::kRemoved) host_.removed();
}

void Board::raise(uint32_t vector) {
  sluice_sdi_control& c = registers_.control();
  // What the interrupt tells of is seen before the mask is looked at: who unmasks, then looks,
  // misses nothing.
  full_fence();
  if (vector < 64 && (load(c.irq_mask) >> vector & 1) != 0) return;
  store(c.irq_events, ++irq_events_);
  timing_.interrupt();
  if (!surface_.line) return host_.interrupt(vector);
  // Told though it may be up already: who shares it may have let it go, or nobody was there.
  line_ = true;
  host_.set_line(true);
}

// The line is up while the driver has not seen the latest event and lets itself be interrupted. A
// board that is hung lets go: it would not notice that it is seen.
void Board::hold_line() {
  if (!surface_.line) return;
  const sluice_sdi_control& c = registers_.control();
  const bool up = works() && irq_events_ != load(c.irq_seen) && (load(c.irq_mask) & 1) == 0;
  if (up == line_) return;
  line_ = up;
  host_.set_line(up);
}

void Board::record(const BoardQueue& queue, uint32_t id, const Outcome& outcome) {
  sluice_sdi_control& c = registers_.control();
  if (n_faults_ == 0) {
    c.first_fault.queue = queue.index;
    c.first_fault.id = id;
    c.first_fault.index = outcome.index;
    c.first_fault.address = outcome.address;
    c.first_fault.length = outcome.length;
    store(c.first_fault.status, uint32_t{outcome.status});
  }
  store(c.n_faults, ++n_faults_);
  if (outcome.status == SLUICE_SDI_E_DATA) {
    fatal_ = true;
    store(c.status, SLUICE_SDI_STATUS_READY | SLUICE_SDI_STATUS_FATAL);
  }
  raise(kFaultVector);
}

// Between two pieces of a command, or of a COPY: false stops it.
bool Board::keep_going(const BoardQueue& running, unsigned thread) {
  if (thread != 0) return true;
  serve_control(&running);
  hold_line();
  if (stop_ || power_cycle_) cancelled_ = true;
  if (!cancelled_) clock_.serve(std::chrono::steady_clock::now());
  return !cancelled_ && works();
}

}  // namespace sluice::emu
