// SPDX-License-Identifier: Apache-2.0
// Boards that are gone before the driver has been asked: pulled out of their slot while they are in
// use, or with registers that read as ones, as a bus does where nobody answers.
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "guest_objects.h"
#include "guest_sdi.h"

namespace {

using namespace guest;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

const std::string kDevices = "/sys/bus/pci/devices/";

// Cuts the power of the slot below that port, at which the machine takes out what is in there, and
// has it back before the kernel hears that something has happened.
void pull_out_of(const char* port) {
  const Fd config(kDevices + port + "/config", O_RDWR);
  uint8_t at = 0;
  check(::pread(config.get(), &at, 1, PCI_CAPABILITY_LIST) == 1, "configuration space");
  for (uint8_t head[2]; at != 0; at = head[1]) {
    check(::pread(config.get(), head, 2, at) == 2, "capability");
    if (head[0] == PCI_CAP_ID_EXP) break;
  }
  check(at != 0, "the port has no PCI Express capability");
  uint16_t control = 0;
  check(::pread(config.get(), &control, 2, at + PCI_EXP_SLTCTL) == 2, "slot control");
  const uint16_t off = (control | PCI_EXP_SLTCTL_PCC | PCI_EXP_SLTCTL_PIC) & ~PCI_EXP_SLTCTL_HPIE;
  for (const uint16_t value : {off, control}) {
    check(::pwrite(config.get(), &value, 2, at + PCI_EXP_SLTCTL) == 2, "slot control");
  }
}

// What a call may say while the kernel has not noticed, and how long it may take for it.
void check_calls_end(int fd, uint32_t queue) {
  const auto end = Clock::now() + std::chrono::seconds(time_limit()) / 2;
  for (int error = 0; error != ENODEV; ::usleep(1000)) {
    const auto start = Clock::now();
    check(start < end, "the driver does not notice");
    error = submit(fd, queue, {nop(1)});
    check(error == 0 || error == ENODEV || error == EAGAIN || error == ECONNRESET || error == EBUSY,
          fmt::format("SUBMIT: {}", error));
    check(Clock::now() - start < 8s, "a call takes too long");
  }
}

}  // namespace

SDI_TEST(ones_are_no_answer) {
  const Fd fd(node_of(kHanging), O_RDWR);
  kill_emulator("hanging");
  // Page 0 controls the board.
  for (uint64_t at = 0; at < kPage; at += 8) {
    auto ones = reg(0, at, 64, ~uint64_t{0});
    error_is(call(fd.get(), SLUICE_IOC_REG_WRITE, &ones), 0, "REG_WRITE");
  }
  // Not ETIMEDOUT: the driver does not wait for the answer of somebody who is not there.
  auto arg = argument<struct sluice_queue>();
  arg.flags = SLUICE_QUEUE_KERNEL;
  arg.n_entries = 16;
  arg.n_segments = 8;
  error_is(call(fd.get(), SLUICE_IOC_QUEUE, &arg), ENODEV, "QUEUE");
  // A reset is tried, as the function itself is there; it fails in time.
  error_is(reset(fd.get()), ETIMEDOUT, "RESET");
  check(info_of(fd.get()).state & SLUICE_STATE_BROKEN, "the board is not said to be broken");
  unbind_board(kHanging);
  // It is not taken again: an identification of ones is none.
  check(write_file("/sys/bus/pci/drivers/sluice/bind", kHanging) != 0, "it is taken for a board");
}

SDI_TEST(a_board_that_is_pulled_out_is_gone) {
  {
    const std::string path = node_of(kPulled);
    sluice::Device device = must(sluice::Device::open(path));
    const sluice::Memory piece = must(device.allocate(sluice::MemoryKind::kDevice, kPage));
    sluice::Mapping mapping = must(piece.map());
    must(mapping.write(0, 0x5a5a));
    const Fd fd(path, O_RDWR);
    const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL);
    const auto idle = make_queue(fd.get(), SLUICE_QUEUE_KERNEL);
    same(run(fd.get(), queue.handle, {nop(7)})[0].id, 7, "id");
    const uint32_t memory = allocate(fd.get(), SLUICE_ALLOC_DEVICE, kPage);
    const uint32_t pages = allocate(fd.get(), SLUICE_ALLOC_PAGES, kPage);
    error_is(grant(fd.get(), queue.handle, 0, memory, 0, kPage), 0, "GRANT");
    error_is(grant(fd.get(), idle.handle, 0, pages, 0, kPage), 0, "GRANT");
    auto* at = reinterpret_cast<volatile uint32_t*>(
        const_cast<uint8_t*>(map_object(fd.get(), memory, kPage)));
    int code = 0;
    std::thread sleeper([&] {
      std::vector<sluice_sdi_completion> done;
      code = wait(fd.get(), idle.handle, &done, 15s);
    });
    ::usleep(100000);
    std::string why;
    try {
      pull_out_of(kPulledPort);
      check_calls_end(fd.get(), queue.handle);
    } catch (const Failure& failure) {
      why = failure.what();
    }
    sleeper.join();
    check(why.empty(), why);
    error_is(code, ENODEV, "the sleeper");
    same(static_cast<uint64_t>(signal_of_read(at)), SIGBUS, "signal of the mapping");
    is_taken_back(mapping, path);
    must_fail(piece.map(), ENODEV, {path.c_str(), "gone"});
    must_fail(device.reset(), ENODEV, {path.c_str(), "gone"});
    error_is(reset(fd.get()), ENODEV, "RESET");
    pollfd one = {fd.get(), POLLIN, 0};
    same(static_cast<uint64_t>(::poll(&one, 1, 0)), 1, "poll");
    same(static_cast<uint64_t>(one.revents), POLLERR | POLLHUP, "poll events");
    // The driver lets go of it first.
    const auto end = Clock::now() + std::chrono::seconds(time_limit()) / 4;
    while (exists(kDevices + kPulled) && Clock::now() < end) ::usleep(10000);
    check(!exists(kDevices + kPulled), "the kernel still has it");
    ::munmap(const_cast<uint32_t*>(at), kPage);
  }
  nothing_but_boards_is_left();
}
