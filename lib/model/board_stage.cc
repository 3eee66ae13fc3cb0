// SPDX-License-Identifier: Apache-2.0
// The stage that a board computes. Weights, activations and KV cache are in device memory; the step
// buffer, incoming activations and logits are in host memory that the board reaches. A step is one
// doorbell: a COPY of what comes in, if anything does, and a RUN of a list that was loaded once.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <sluice/queue.hpp>

#include "core/aligned.h"
#include "model/stage.h"
#include "model/weight_plan.h"
#include "stream/device_writer.h"

namespace sluice {
namespace {

// Segments of the queue beyond the model's own.
enum : uint16_t { kSegmentIo = kNumSegments, kSegmentStaging, kNumBoardSegments };

constexpr uint64_t kPage = 4096;

uint64_t round_up(uint64_t n, uint64_t unit) { return (n + unit - 1) / unit * unit; }

// Sizes of steps that there are lists for, ascending. A step is padded to the next one, so they lie
// closer than powers of two where a token more is dear.
std::vector<uint32_t> bucket_sizes(uint32_t max_tokens) {
  std::vector<uint32_t> sizes;
  for (uint32_t n = 1; n < max_tokens; n += n < 8 ? n : n < 128 ? std::min(n, 16u) : 64u) {
    sizes.push_back(n);
  }
  sizes.push_back(max_tokens);
  return sizes;
}

std::vector<Transfer> transfers_of(const WeightPlan& weights, const GgufFile& file) {
  std::vector<Transfer> out;
  for (const GgufTensor* t : weights.order()) {
    out.push_back({t->n_bytes, weights.offset(*t),
                   [&file, t](uint64_t offset, auto to) { return file.read(*t, offset, to); }});
  }
  return out;
}

Result<Program> compile(const LoadedModel& model, const StageOptions& options, uint32_t n_tokens,
                        WeightPlan& weights, bool fast = false) {
  CompileOptions o;
  o.max_tokens = n_tokens;
  o.max_outputs = n_tokens;
  o.n_slots = options.n_slots;
  o.kv_format = options.kv_format;
  o.first_layer = options.first_layer;
  o.end_layer = options.end_layer;
  o.fast = fast;
  o.place = [&](const GgufTensor& t) { return weights.place(t); };
  return model.architecture().compile(o);
}

// Bytes of the largest step buffer: every sequence may own every block.
uint64_t most_step_bytes(const StageOptions& o, const BoardInfo& board) {
  const uint64_t blocks = uint64_t{o.max_sequences} * (o.n_slots / SLUICE_SDI_BLOCK_TOKENS);
  const uint64_t bytes = sizeof(StepHeader) + 4 * (7 * uint64_t{o.max_tokens} + blocks);
  return std::min<uint64_t>(bytes, board.max_step_bytes);
}

class BoardStage final : public Stage {
 public:
  BoardStage(const LoadedModel& model, std::shared_ptr<Device> device,
             const BoardStageOptions& options)
      : model_(model), device_(std::move(device)), options_(options) {}
  Result<void> set_up();

  Result<void> run(const StepInputs& step, std::span<const float> x, bool fast) override;
  std::span<const float> x() const override { return {}; }
  std::span<const float> logits() const override {
    return {reinterpret_cast<const float*>(logits_.data()), n_outputs_ * model_.info().n_vocab};
  }
  Result<void> recover() override;

 private:
  struct Bucket {
    uint32_t n_tokens;
    uint32_t handle;
    uint64_t x_offset;
  };
  struct Part {  // memory that the board has, as a segment
    Memory memory;
    Mapping mapping;
  };

  Result<void> allocate(const Program& program, uint64_t list_bytes);
  Result<void> add_staging();
  Result<void> load_weights();
  Result<void> load_lists(bool fast);
  Result<void> load_list(uint32_t n_tokens, bool fast);
  Result<Part> add(MemoryKind kind, uint64_t bytes, uint16_t segment, Access access, bool map);
  const Bucket& bucket_for(size_t n_tokens, bool fast) const;
  Result<void> finish(uint32_t n_entries);

  const LoadedModel& model_;
  std::shared_ptr<Device> device_;
  BoardStageOptions options_;
  WeightPlan weights_;
  std::optional<Queue> queue_;
  Part parts_[kNumBoardSegments];                     // by segment
  uint64_t step_bytes_ = 0, x_at_ = 0, list_at_ = 0;  // layout of the io segment
  std::vector<Bucket> buckets_[2];                    // exact, fast; ascending
  PageBuffer logits_;
  size_t n_outputs_ = 0;
  StepInputs padded_;
  std::vector<uint32_t> words_;
};

Result<BoardStage::Part> BoardStage::add(MemoryKind kind, uint64_t bytes, uint16_t segment,
                                         Access access, bool map) {
  Part part;
  SLUICE_TRY(part.memory, device_->allocate(kind, std::max<uint64_t>(bytes, 1)));
  SLUICE_CHECK(queue_->grant(segment, part.memory, access));
  if (map) {
    SLUICE_TRY(part.mapping, part.memory.map());
  }
  return part;
}

Result<void> BoardStage::allocate(const Program& program, uint64_t list_bytes) {
  SLUICE_TRY(const BoardInfo board, device_->info());
  const bool reaches_host = (board.capabilities & SLUICE_SDI_CAP_HOST) != 0;
  const MemoryKind shared = reaches_host ? MemoryKind::kCoherent : MemoryKind::kDevice;
  step_bytes_ = most_step_bytes(options_, board);
  x_at_ = round_up(step_bytes_, kPage);
  list_at_ = round_up(x_at_ + uint64_t{4} * model_.info().dim * options_.max_tokens, kPage);

  const auto& constants = model_.architecture().constants();
  SLUICE_TRY(parts_[kSegmentWeights],
             add(MemoryKind::kDevice, weights_.size(), kSegmentWeights, Access::kReadWrite, false));
  SLUICE_TRY(parts_[kSegmentConstants], add(MemoryKind::kDevice, constants.size(),
                                            kSegmentConstants, Access::kReadWrite, false));
  SLUICE_TRY(parts_[kSegmentScratch], add(MemoryKind::kDevice, program.scratch_bytes,
                                          kSegmentScratch, Access::kReadWrite, false));
  SLUICE_TRY(parts_[kSegmentKv],
             add(MemoryKind::kDevice, program.kv_bytes, kSegmentKv, Access::kReadWrite, false));
  SLUICE_TRY(parts_[kSegmentLogits],
             add(shared, program.logits_bytes, kSegmentLogits, Access::kReadWrite, true));
  SLUICE_TRY(parts_[kSegmentIo],
             add(shared, list_at_ + list_bytes, kSegmentIo, Access::kRead, true));
  SLUICE_TRY(logits_, PageBuffer::allocate(program.logits_bytes));
  if (reaches_host) SLUICE_CHECK(add_staging());
  return {};
}

// Pages, where there are such: a file is read into them without another copy.
Result<void> BoardStage::add_staging() {
  constexpr uint64_t kBytes = DeviceWriter::kBufferBytes;
  auto pages = add(MemoryKind::kPages, kBytes, kSegmentStaging, Access::kRead, true);
  if (pages) {
    parts_[kSegmentStaging] = std::move(*pages);
    return {};
  }
  SLUICE_TRY(parts_[kSegmentStaging],
             add(MemoryKind::kCoherent, kBytes, kSegmentStaging, Access::kRead, true));
  return {};
}

Result<void> BoardStage::load_weights() {
  const auto transfers = transfers_of(weights_, model_.file());
  const auto& constants = model_.architecture().constants();
  const uint64_t total = weights_.size() + constants.size();
  DeviceWriter writer;
  writer.device = device_.get();
  writer.queue = &*queue_;
  writer.destination = &parts_[kSegmentWeights].memory;
  writer.segment = kSegmentWeights;
  writer.buffer = &parts_[kSegmentStaging].mapping;
  writer.staging = kSegmentStaging;
  writer.timeout = options_.timeout;
  writer.progress = [&](uint64_t done) {
    return !options_.progress || options_.progress(done, total);
  };
  SLUICE_TRY(const BoardInfo board, device_->info());
  const StreamBy by =
      (board.capabilities & SLUICE_SDI_CAP_HOST) ? StreamBy::kCopy : StreamBy::kMapping;
  SLUICE_CHECK(writer.write(transfers, by));
  const Transfer rest = Transfer::of({constants.data(), constants.size()}, 0);
  writer.destination = &parts_[kSegmentConstants].memory;
  writer.segment = kSegmentConstants;
  writer.progress = {};
  SLUICE_CHECK(writer.write({&rest, 1}, by));
  // From here on nothing writes to them.
  for (const uint16_t segment : {kSegmentWeights, kSegmentConstants}) {
    SLUICE_CHECK(queue_->grant(segment, parts_[segment].memory, Access::kRead));
  }
  if (options_.progress) options_.progress(total, total);
  options_.progress = {};  // recoveries are silent
  return {};
}

Result<void> BoardStage::load_list(uint32_t n_tokens, bool fast) {
  SLUICE_TRY(const Program program, compile(model_, options_, n_tokens, weights_, fast));
  const CommandList& list = program.list;
  const auto tensors = std::as_bytes(std::span(list.tensors));
  const auto commands = std::as_bytes(std::span(list.commands));
  const Mapping& io = parts_[kSegmentIo].mapping;
  SLUICE_CHECK(io.copy_in(list_at_, tensors));
  SLUICE_CHECK(io.copy_in(list_at_ + tensors.size(), commands));
  QueueEntry entry{};
  entry.opcode = SLUICE_SDI_ENTRY_LOAD;
  entry.load.address = SLUICE_SDI_ADDR(kSegmentIo, list_at_);
  entry.load.n_tensors = static_cast<uint32_t>(list.tensors.size());
  entry.load.n_commands = static_cast<uint32_t>(list.commands.size());
  SLUICE_CHECK(queue_->submit({&entry, 1}));
  Completion c{};
  SLUICE_CHECK(queue_->wait({&c, 1}, options_.timeout));
  if (c.status == SLUICE_SDI_E_LIMIT && !buckets_[fast].empty())
    return {};  // do with those there are
  if (c.status != SLUICE_SDI_OK) {
    return fail(
        EIO, fmt::format("{}: the board refuses a list for {} tokens: {} ({})", model_.info().path,
                         n_tokens, completion_status_name(c.status), c.result));
  }
  buckets_[fast].push_back({n_tokens, c.result, program.x_offset});
  return {};
}

Result<void> BoardStage::load_lists(bool fast) {
  // The largest first: with it every step can run, should the board take no more lists.
  std::vector<uint32_t> sizes = bucket_sizes(options_.max_tokens);
  std::rotate(sizes.begin(), sizes.end() - 1, sizes.end());
  for (const uint32_t n : sizes) SLUICE_CHECK(load_list(n, fast));
  std::sort(buckets_[fast].begin(), buckets_[fast].end(),
            [](const Bucket& a, const Bucket& b) { return a.n_tokens < b.n_tokens; });
  return {};
}

Result<void> BoardStage::set_up() {
  weights_ = {};
  SLUICE_TRY(const Program largest, compile(model_, options_, options_.max_tokens, weights_));
  const uint64_t list_bytes = largest.list.tensors.size() * sizeof(TensorDesc) +
                              largest.list.commands.size() * sizeof(Command);
  QueueOptions queue;
  queue.n_segments = kNumBoardSegments;
  queue.n_entries = 16;
  SLUICE_TRY(queue_, Queue::create(*device_, queue));
  SLUICE_CHECK(allocate(largest, list_bytes));
  SLUICE_CHECK(load_weights());
  if (options_.fast) SLUICE_CHECK(load_lists(true));
  return load_lists(false);
}

const BoardStage::Bucket& BoardStage::bucket_for(size_t n_tokens, bool fast) const {
  const std::vector<Bucket>& buckets = buckets_[fast];
  return *std::lower_bound(buckets.begin(), buckets.end(), n_tokens,
                           [](const Bucket& b, size_t n) { return b.n_tokens < n; });
}

// A step of as many tokens as the bucket has; those added write nothing and nobody asks for them.
void pad(StepInputs& step, uint32_t n_tokens) {
  for (auto* v : {&step.token, &step.position, &step.context, &step.skip, &step.sequence}) {
    v->resize(n_tokens, 0);
  }
  step.slot.resize(n_tokens, SLUICE_SDI_NO_SLOT);
}

Result<void> BoardStage::finish(uint32_t n_entries) {
  Completion completions[2];
  for (uint32_t done = 0; done < n_entries;) {
    SLUICE_TRY(const uint32_t n, queue_->wait(completions, options_.timeout));
    for (uint32_t i = 0; i < n; ++i) {
      if (completions[i].status == SLUICE_SDI_OK) continue;
      return fail(
          EIO, fmt::format("the board failed a step: {} ({})",
                           completion_status_name(completions[i].status), completions[i].result));
    }
    done += n;
  }
  return {};
}

Result<void> BoardStage::run(const StepInputs& step, std::span<const float> x, bool fast) {
  const Bucket& bucket = bucket_for(step.token.size(), fast);
  padded_ = step;
  pad(padded_, bucket.n_tokens);
  padded_.write(words_);
  const auto bytes = std::as_bytes(std::span(words_));
  if (bytes.size() > step_bytes_) {
    return fail(E2BIG, fmt::format("a step buffer of {} bytes, the board takes {}", bytes.size(),
                                   step_bytes_));
  }
  const Mapping& io = parts_[kSegmentIo].mapping;
  SLUICE_CHECK(io.copy_in(0, bytes));
  QueueEntry entries[2] = {};
  uint32_t n = 0;
  if (!x.empty()) {
    SLUICE_CHECK(io.copy_in(x_at_, std::as_bytes(x)));
    entries[n].opcode = SLUICE_SDI_ENTRY_COPY;
    entries[n].copy = {SLUICE_SDI_ADDR(kSegmentIo, x_at_),
                       SLUICE_SDI_ADDR(kSegmentScratch, bucket.x_offset), x.size_bytes()};
    ++n;
  }
  entries[n].opcode = SLUICE_SDI_ENTRY_RUN;
  entries[n].run = {bucket.handle, static_cast<uint32_t>(bytes.size()),
                    SLUICE_SDI_ADDR(kSegmentIo, 0)};
  ++n;
  SLUICE_CHECK(queue_->submit({entries, n}));
  SLUICE_CHECK(finish(n));
  n_outputs_ = step.output.size();
  const size_t logits_bytes = n_outputs_ * model_.info().n_vocab * sizeof(float);
  // A copy: the mapping may be taken back at any time, and then touching it is fatal.
  return parts_[kSegmentLogits].mapping.copy_out(0, {logits_.data(), logits_bytes});
}

Result<void> BoardStage::recover() {
  n_outputs_ = 0;
  for (auto& buckets : buckets_) buckets.clear();
  SLUICE_CHECK(device_->reset(true));
  queue_.reset();
  for (Part& part : parts_) part = {};
  return set_up();
}

}  // namespace

Result<std::unique_ptr<Stage>> make_board_stage(const LoadedModel& model,
                                                std::shared_ptr<Device> device,
                                                const BoardStageOptions& options) {
  auto stage = std::make_unique<BoardStage>(model, std::move(device), options);
  SLUICE_CHECK(stage->set_up());
  return Result<std::unique_ptr<Stage>>(std::move(stage));
}

Result<std::vector<MemoryNeed>> board_memory(const LoadedModel& model, const BoardInfo& board,
                                             const StageOptions& options) {
  WeightPlan weights;
  SLUICE_TRY(const Program program, compile(model, options, options.max_tokens, weights));
  std::vector<MemoryNeed> needs = {
      {"weights", round_up(weights.size(), kPage)},
      {"constants", round_up(model.architecture().constants().size(), kPage)},
      {"KV cache", round_up(program.kv_bytes, kPage)},
      {"activations", round_up(program.scratch_bytes, kPage)}};
  if ((board.capabilities & SLUICE_SDI_CAP_HOST) == 0) {
    const uint64_t io = most_step_bytes(options, board) +
                        uint64_t{4} * model.info().dim * options.max_tokens +
                        sizeof(TensorDesc) * program.list.tensors.size() +
                        sizeof(Command) * program.list.commands.size();
    needs.push_back({"steps and lists", round_up(io, kPage) + 2 * kPage});
    needs.push_back({"logits", round_up(program.logits_bytes, kPage)});
  }
  return needs;
}

}  // namespace sluice
