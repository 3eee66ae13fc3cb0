// SPDX-License-Identifier: Apache-2.0
// sluice-emu: the emulated board of a QEMU guest, as a PCI device or as a piece of its memory.
// Serves guests until it is told to end, and says what the board has done and how long silicon of
// the given figures would have taken.
#include <pthread.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <sluice/emulator.hpp>
#include <thread>

#include "status.h"
#include "tools/common/cli.h"
#include "units.h"

namespace {

using sluice::EmulatorOptions;
using sluice::Result;
using sluice::cli::complain;
using sluice::cli::kFailed;
using sluice::cli::kOk;
using sluice::cli::kUsage;

constexpr char kProgram[] = "sluice-emu";

struct Arguments {
  std::string socket, guest_memory;
  std::string memory = "256M", mac_per_cycle, bandwidth, clock;
  std::vector<std::string> faults;
  EmulatorOptions options;
  sluice::GuestInterrupts interrupts;
  uint64_t address = 0, base = 0;
  bool json = false, status = false;
};

// A check for CLI11 around a parser.
std::string is_amount(const std::string& text) {
  const auto value = sluice_emu::parse_amount(text);
  return value ? "" : value.error().message;
}

std::string is_fault(const std::string& text) {
  const auto value = sluice::parse_fault(text);
  return value ? "" : value.error().message;
}

void add_options(CLI::App& app, Arguments& a) {
  app.set_version_flag("--version", SLUICE_VERSION);
  auto* place = app.add_option_group("place")->require_option(1);
  place->add_option("--ivshmem", a.socket, "Unix socket for QEMU's ivshmem-doorbell")
      ->type_name("SOCKET");
  auto* within = place->add_option("--within", a.address,
                                   "Instead: physical address of a board in the guest's memory, "
                                   "without notify");
  app.add_option("--memory-base", a.base,
                 "Physical address of the first byte of the guest's memory")
      ->needs(within);
  auto* qtest = app.add_option("--qtest", a.interrupts.socket,
                               "Unix socket of QEMU's -qtest, by which such a board interrupts; "
                               "without it the driver polls")
                    ->needs(within)
                    ->type_name("SOCKET");
  app.add_option("--controller", a.interrupts.controller,
                 "Path of the interrupt controller in QEMU (info qom-tree)")
      ->needs(qtest)
      ->type_name("PATH");
  app.add_option("--input", a.interrupts.inputs,
                 "Input of the controller for vector 0, 1, ...: given once for each")
      ->needs(qtest);
  app.add_flag("--level", a.interrupts.level,
               "One input for all, up until the driver has seen why, and no edges")
      ->needs(qtest);
  app.add_option("--guest-memory", a.guest_memory, "File that backs the guest's memory")
      ->required()
      ->type_name("FILE");
  app.add_option("--memory", a.memory, "Size of the BAR, a power of two; 1 MiB of it is registers")
      ->check(is_amount)
      ->capture_default_str();
  app.add_option("--threads", a.options.n_threads, "Threads that run lists; 0: all processors");
  app.add_option("--queues", a.options.n_queues, "Queues; the guest's device needs one vector more")
      ->check(CLI::Range(1, 63))
      ->capture_default_str();
  app.add_option("--isa", a.options.isa, "Instruction set that lists are run with");
  app.add_option("--mac-per-cycle", a.mac_per_cycle, "Multiply-accumulates a cycle of the board")
      ->check(is_amount);
  app.add_option("--mem-bandwidth", a.bandwidth, "Bytes a second of its memory")->check(is_amount);
  app.add_option("--clock", a.clock, "Hz of its clock that the driver sets, at most 216M")
      ->check(is_amount);
  app.add_option("--fault", a.faults, "Something that goes wrong: hang@100, lost-irq:0.01, ...")
      ->check(is_fault);
  app.add_option("--seed", a.options.seed, "Of faults by chance")->capture_default_str();
  app.add_flag("--status", a.status, "Print counters and modelled time on SIGUSR1 and at the end");
  app.add_flag("--json", a.json, "The same as JSON");
}

// The numbers that add_options() took as text. They have been checked.
bool finish_options(Arguments& a) {
  const auto amount = [](const std::string& text, auto& out) {
    if (text.empty()) return true;
    const uint64_t value = *sluice_emu::parse_amount(text, 1000);
    out = static_cast<std::remove_reference_t<decltype(out)>>(value);
    return std::cmp_equal(out, value);
  };
  a.options.memory_size = *sluice_emu::parse_amount(a.memory, 1024);
  for (const std::string& fault : a.faults) a.options.faults.push_back(*sluice::parse_fault(fault));
  return amount(a.mac_per_cycle, a.options.macs_per_cycle) &&
         amount(a.bandwidth, a.options.memory_bandwidth) && amount(a.clock, a.options.rated_hz);
}

void print_status(const sluice::GuestBoard& board, const Arguments& a) {
  if (!a.status && !a.json) return;
  const auto status = board.status();
  sluice::cli::write_out(a.json ? sluice_emu::status_json(status)
                                : sluice_emu::status_text(status));
}

int serve(const Arguments& a) {
  // Every thread that the board starts inherits this: signals are waited for, in one place.
  sigset_t signals;
  sigemptyset(&signals);
  for (const int s : {SIGINT, SIGTERM, SIGUSR1}) sigaddset(&signals, s);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  auto board = a.socket.empty() ? sluice::GuestBoard::create_within(a.options, a.guest_memory,
                                                                    a.base, a.address, a.interrupts)
                                : sluice::GuestBoard::create(a.options, a.socket, a.guest_memory);
  if (!board) {
    complain(kProgram, board.error().message);
    return kFailed;
  }
  std::thread listener([&] {
    for (int signal = 0; sigwait(&signals, &signal) == 0 && signal == SIGUSR1;) {
      print_status(*board, a);
    }
    board->stop();
  });
  const auto served = board->serve();
  if (!served) {
    complain(kProgram, served.error().message);
    pthread_kill(listener.native_handle(), SIGTERM);
  }
  listener.join();
  print_status(*board, a);
  return served ? kOk : kFailed;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("The emulated Sluice board as a PCI device of a QEMU guest.", kProgram);
  Arguments arguments;
  add_options(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kOk : kUsage;
  }
  if (!finish_options(arguments)) {
    complain(kProgram, "--mac-per-cycle, --clock: expected a number below 2^32");
    return kUsage;
  }
  return serve(arguments);
}
