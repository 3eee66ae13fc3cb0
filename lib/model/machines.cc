// SPDX-License-Identifier: Apache-2.0
#include "model/machines.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace sluice {
namespace {

// What to call the tensors that are multiplied, by the end of their names.
struct TensorClass {
  const char* part;
  const char* name;
};
constexpr TensorClass kClasses[] = {{".attn_", "attention"},
                                    {".ffn_", "ffn"},
                                    {"output.weight", "output"},
                                    {"token_embd", "output"}};

std::vector<KernelChoice> kernel_choices(const GgufFile& file, const Kernels& kernels) {
  std::vector<KernelChoice> out;
  const bool tied = !file.find_tensor("output.weight");
  for (const TensorClass& c : kClasses) {
    if (c.part == std::string_view("token_embd") && !tied) continue;
    for (const GgufTensor& t : file.tensors()) {
      if (t.rank < 2 || t.name.find(c.part) == std::string::npos) continue;
      if (c.part == std::string_view("output.weight") && t.name != c.part) continue;
      const MatmulKernel* kernel = find_matmul(kernels, t.type);
      const KernelChoice choice{c.name, t.type_name, kernels.isa, kernel ? kernel->name : "none"};
      const auto same = [&](const KernelChoice& o) {
        return o.tensors == choice.tensors && o.format == choice.format;
      };
      if (std::none_of(out.begin(), out.end(), same)) out.push_back(choice);
    }
  }
  return out;
}

// The matrices that fast arithmetic is for.
std::vector<const GgufTensor*> matrices_of_layers(const GgufFile& file) {
  std::vector<const GgufTensor*> out;
  for (const GgufTensor& t : file.tensors()) {
    const bool in_layer =
        t.name.find(".attn_") != std::string::npos || t.name.find(".ffn_") != std::string::npos;
    if (t.rank >= 2 && in_layer) out.push_back(&t);
  }
  return out;
}

std::vector<KernelChoice> fast_choices(const GgufFile& file, const Kernels& kernels) {
  std::vector<KernelChoice> out;
  for (const GgufTensor* t : matrices_of_layers(file)) {
    const MatmulKernel* kernel = find_fast(kernels, t->type);
    const KernelChoice choice{"prompts", "fast", kernels.isa, kernel ? kernel->name : "none"};
    const auto same = [&](const KernelChoice& o) { return o.kernel == choice.kernel; };
    if (std::none_of(out.begin(), out.end(), same)) out.push_back(choice);
  }
  return out;
}

// Whether a board can do fast arithmetic with all of the model's formats.
Result<void> expect_fast(const GgufFile& file, const BoardInfo& about) {
  for (const GgufTensor* t : matrices_of_layers(file)) {
    const Format* format = find_format(t->type);
    const bool blocks = format && format->block_size > 1;
    const uint64_t need = blocks ? SLUICE_SDI_CAP_FAST : SLUICE_SDI_CAP_FAST_FLOATS;
    if ((about.capabilities & need) != 0) continue;
    return fail(ENOTSUP, fmt::format("{}: a board without fast arithmetic for weights of {}",
                                     about.path.empty() ? about.name : about.path, t->type_name));
  }
  return {};
}

using Stages = std::vector<std::unique_ptr<Stage>>;

// The version of the Device Interface from which on caches may be other than F16.
constexpr uint32_t kManyCaches = 0x10002;

// The board to use, or null for the CPU.
Result<std::shared_ptr<Device>> open_board(const EngineOptions& options) {
  if (options.board) return options.board;
  const std::string& name = options.device;
  if (name == "cpu" || options.device_layers == 0) return nullptr;
  if (name == "emu") {
    EmulatorOptions emulator = options.emulator;
    emulator.n_threads = options.n_threads;
    emulator.isa = options.isa;
    SLUICE_TRY(Device device, Device::emulate(emulator));
    return std::make_shared<Device>(std::move(device));
  }
  if (name.starts_with("/")) {
    SLUICE_TRY(Device device, Device::open(name));
    SLUICE_TRY(const BoardInfo board, device.info());
    if (board.kind != BoardKind::kSdi) {
      return fail(ENOTSUP, fmt::format("{}: a plain board, which has no Device Interface", name));
    }
    return std::make_shared<Device>(std::move(device));
  }
  if (name != "auto") {
    return fail(
        EINVAL,
        fmt::format("unknown device \"{}\": expected auto, cpu, emu or /dev/sluiceN", name));
  }
  SLUICE_TRY(const auto boards, Device::list());
  for (const BoardInfo& board : boards) {
    if (board.kind != BoardKind::kSdi || board.n_queues_free == 0) continue;
    if (auto device = Device::open(board.path)) return std::make_shared<Device>(std::move(*device));
  }
  return nullptr;
}

uint64_t total(const std::vector<MemoryNeed>& needs) {
  uint64_t sum = 0;
  for (const MemoryNeed& n : needs) sum += n.bytes;
  return sum;
}

std::string table(const std::vector<MemoryNeed>& needs) {
  std::string out;
  for (const MemoryNeed& n : needs) {
    out += fmt::format("{}{} {:.1f} MiB", out.empty() ? "" : ", ", n.what,
                       static_cast<double>(n.bytes) / (1 << 20));
  }
  return out;
}

// The board's stage with the most layers that there is room for, of those wanted; null: not one.
// What fits by the sum of its parts may still not fit a memory that is in pieces.
Result<std::unique_ptr<Stage>> fit_board_stage(const LoadedModel& model,
                                               const std::shared_ptr<Device>& board,
                                               BoardStageOptions stage, uint32_t wanted,
                                               EngineInfo& info) {
  SLUICE_TRY(const BoardInfo about, board->info());
  if (stage.kv_format->id != SLUICE_SDI_TYPE_F16 && about.sdi_version < kManyCaches) {
    return fail(ENOTSUP,
                fmt::format("{}: a board of Device Interface {}.{}, which knows KV caches of F16 "
                            "alone: {} takes one of 1.2",
                            about.path.empty() ? about.name : about.path, about.sdi_version >> 16,
                            about.sdi_version & 0xffff, stage.kv_format->name));
  }
  if (stage.fast) SLUICE_CHECK(expect_fast(model.file(), about));
  info.device_memory_free = about.memory_free;
  for (uint32_t n = wanted; n > 0; --n) {
    stage.first_layer = stage.end_layer - n;
    SLUICE_TRY(info.device_memory, board_memory(model, about, stage));
    if (total(info.device_memory) > about.memory_free) continue;
    auto made = make_board_stage(model, board, stage);
    if (!made && made.error().code == ENOMEM) continue;
    if (made) {
      info.device = about.path.empty() ? about.name : about.path;
      info.device_layers = n;
    }
    return made;
  }
  return nullptr;
}

}  // namespace

Result<Stages> make_stages(const LoadedModel& model, const EngineOptions& options, uint32_t n_slots,
                           const Format& kv_format, EngineInfo& info) {
  const ModelInfo& m = model.info();
  SLUICE_TRY(const Kernels* kernels, choose_kernels(options.isa));
  SLUICE_TRY(const auto board, open_board(options));
  if (board && options.observer) {
    return fail(EINVAL, fmt::format("{}: a board shows nobody what it multiplies: expected the "
                                    "device cpu",
                                    options.device));
  }
  BoardStageOptions stage;
  stage.end_layer = m.n_layers;
  stage.max_tokens = options.max_batch_tokens;
  stage.max_sequences = options.max_sequences;
  stage.n_slots = n_slots;
  stage.kv_format = &kv_format;
  stage.fast = options.arithmetic == Arithmetic::kFast;
  stage.huge_pages = options.huge_pages;
  stage.observer = options.observer;
  stage.timeout = options.device_timeout;
  stage.progress = options.progress;

  info.device = "cpu";
  info.isa = kernels->isa;
  info.n_threads = options.n_threads;
  info.n_layers = m.n_layers;
  info.kernels = kernel_choices(model.file(), *kernels);
  if (stage.fast) {
    const auto fast = fast_choices(model.file(), *kernels);
    info.kernels.insert(info.kernels.end(), fast.begin(), fast.end());
  }
  std::unique_ptr<Stage> on_board;
  if (board) {
    const uint32_t wanted =
        options.device_layers < 0
            ? m.n_layers
            : std::min(static_cast<uint32_t>(options.device_layers), m.n_layers);
    SLUICE_TRY(on_board, fit_board_stage(model, board, stage, wanted, info));
    if (!on_board && options.device != "auto" && wanted > 0) {
      return fail(ENOMEM,
                  fmt::format("{}: not one layer of {} fits: {:.1f} MiB are free, it takes {}",
                              options.device, m.name,
                              static_cast<double>(info.device_memory_free) / (1 << 20),
                              table(info.device_memory)));
    }
  }
  Stages stages;
  const uint32_t on_cpu = m.n_layers - info.device_layers;
  if (on_cpu > 0) {
    StageOptions cpu = stage;
    cpu.end_layer = on_cpu;
    SLUICE_TRY(auto made, make_cpu_stage(model, cpu, *kernels, options.n_threads));
    stages.push_back(std::move(made));
  }
  if (on_board) stages.push_back(std::move(on_board));
  return stages;
}

}  // namespace sluice
