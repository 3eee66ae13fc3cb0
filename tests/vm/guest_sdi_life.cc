// SPDX-License-Identifier: Apache-2.0
// The end of queues and boards with the Device Interface: resets, hangs, crashes, unbinding, an
// emulator that is killed; and the fallbacks from vectors.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <optional>
#include <thread>

#include "guest_dmabuf.h"
#include "guest_fence.h"
#include "guest_objects.h"
#include "guest_uring.h"

namespace {

using namespace guest;
using namespace std::chrono_literals;

Fd open_sdi(const char* name = kBoard, int flags = O_RDWR) { return Fd(node_of(name), flags); }

// Everything that a board gave out has come back.
void check_nothing_is_held(const char* name) {
  const auto info = info_of(open_sdi(name).get());
  same(info.n_queues_free, info.n_queues, "free queues");
  same(info.memory_free, info.memory_size, "free memory");
}

void check_works(int fd) {
  const auto queue = make_queue(fd, SLUICE_QUEUE_KERNEL);
  same(run(fd, queue.handle, {nop(0x77)})[0].id, 0x77, "id");
  free_object(fd, queue.handle);
}

SDI_TEST(objects_go_with_their_files) {
  nothing_but_boards_is_left();
  {
    const Fd fd = open_sdi();
    const uint32_t memory = allocate(fd.get(), SLUICE_ALLOC_DEVICE, kPage);
    const uint32_t pages = allocate(fd.get(), SLUICE_ALLOC_PAGES, kPage);
    volatile uint8_t* at = map_object(fd.get(), pages, kPage);
    const Objects before = live_objects();
    const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL);
    error_is(grant(fd.get(), queue.handle, 0, memory, 0, kPage), 0, "GRANT");
    const Fd fence = make_fence(fd.get(), queue.handle);
    const Fd dmabuf = exported(fd.get(), pages);
    Objects objects = live_objects();
    for (const char* kind :
         {"sluice_file", "sluice_range", "sluice_mapping", "sluice_piece", "sluice_hwq",
          "sluice_grip", "sluice_queue_fence", "sluice_exported"}) {
      same(objects[kind], 1, kind);
    }
    // A queue has rings and tables of its own.
    check(before.at("sluice_mem") == 2 && objects["sluice_mem"] > 2, "memory is not counted");
    ::munmap(const_cast<uint8_t*>(at), kPage);
  }
  nothing_but_boards_is_left();
}

SDI_TEST(all_objects_went_with_their_files) { nothing_but_boards_is_left(); }

SDI_TEST(a_reset_ends_queues_and_mappings) {
  const Fd fd = open_sdi();
  const uint32_t resets = info_of(fd.get()).n_resets;
  const uint32_t memory = allocate(fd.get(), SLUICE_ALLOC_DEVICE, kPage);
  const uint32_t pages = allocate(fd.get(), SLUICE_ALLOC_PAGES, kPage);
  const uint32_t coherent = allocate(fd.get(), SLUICE_ALLOC_COHERENT, kPage);
  const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL);
  const auto user = make_queue(fd.get());
  error_is(grant(fd.get(), queue.handle, 0, memory, 0, kPage), 0, "GRANT");
  std::vector<volatile uint8_t*> mapped;
  for (const uint32_t handle : {memory, pages, coherent}) {
    mapped.push_back(map_object(fd.get(), handle, kPage));
    *mapped.back() = 0x11;
  }
  void* doorbell =
      ::mmap(nullptr, kPage, 3, MAP_SHARED, fd.get(), static_cast<off_t>(user.doorbell_cookie));
  check(doorbell != MAP_FAILED, "mmap of the doorbell");
  mapped.push_back(static_cast<volatile uint8_t*>(doorbell));

  error_is(reset(fd.get()), 0, "RESET");
  same(info_of(fd.get()).n_resets, resets + 1, "resets");
  for (volatile uint8_t* at : mapped) {
    same(static_cast<uint64_t>(
             signal_of_read(reinterpret_cast<volatile uint32_t*>(const_cast<uint8_t*>(at)))),
         SIGBUS, "signal of a mapping");
  }
  std::vector<sluice_sdi_completion> done;
  error_is(submit(fd.get(), queue.handle, {nop(1)}), ECONNRESET, "SUBMIT");
  error_is(wait(fd.get(), queue.handle, &done), ECONNRESET, "WAIT");
  error_is(wait(fd.get(), user.handle, nullptr), ECONNRESET, "WAIT, user rings");
  error_is(grant(fd.get(), queue.handle, 1, memory, 0, kPage), ECONNRESET, "GRANT");
  // Objects are still there, what is in host memory with them.
  same(*map_object(fd.get(), coherent, kPage), 0x11, "coherent memory");
  same(*map_object(fd.get(), pages, kPage), 0x11, "pages");
  map_object(fd.get(), memory, kPage);
  for (const uint32_t handle : {queue.handle, user.handle, memory, pages, coherent}) {
    free_object(fd.get(), handle);
  }
  check_works(fd.get());
}

SDI_TEST(a_reset_by_sysfs_is_the_same) {
  const std::string path = std::string("/sys/bus/pci/devices/") + kBoard + "/reset";
  if (!exists(path)) return;  // no reset method for this function
  const Fd fd = open_sdi();
  const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL);
  error_is(write_file(path, "1"), 0, "reset");
  error_is(submit(fd.get(), queue.handle, {nop(1)}), ECONNRESET, "SUBMIT");
  check_works(fd.get());
}

// Of what was submitted each entry comes back once: done, or aborted.
void check_each_once(const std::vector<sluice_sdi_completion>& done, uint32_t first, uint32_t n) {
  std::map<uint32_t, uint32_t> status;
  for (const auto& one : done) {
    check(status.emplace(one.id, one.status).second, fmt::format("entry {} twice", one.id));
    check(one.status == SLUICE_SDI_OK || one.status == SLUICE_SDI_E_ABORTED, "status");
  }
  same(status.size(), n, "entries that came back");
  for (uint32_t i = 0; i < n; i++) check(status.count(first + i) == 1, "an entry is missing");
}

SDI_TEST(a_hang_ends_in_a_reset_and_aborted_entries) {
  const Fd fd = open_sdi(kHanging);
  const uint32_t resets = info_of(fd.get()).n_resets;
  set_parameter("timeout_ms", "300");
  const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL);
  const auto user = make_queue(fd.get());
  std::vector<sluice_sdi_entry> entries;
  for (uint32_t i = 0; i < 8; i++) entries.push_back(nop(100 + i));
  error_is(submit(fd.get(), queue.handle, entries), 0, "SUBMIT");
  // Somebody sleeps in another queue of the board meanwhile.
  int other = -1;
  std::thread sleeper([&] { other = wait(fd.get(), user.handle, nullptr, 15s); });
  std::vector<sluice_sdi_completion> done;
  int error = 0;
  while (done.size() < entries.size() && !error) error = wait(fd.get(), queue.handle, &done, 15s);
  sleeper.join();
  set_parameter("timeout_ms", "30000");
  error_is(error, 0, "WAIT");
  check_each_once(done, 100, 8);
  check(done.back().status == SLUICE_SDI_E_ABORTED, "the board did not hang");
  error_is(wait(fd.get(), queue.handle, &done), ECONNRESET, "WAIT for more");
  error_is(other, ECONNRESET, "the sleeper");
  same(info_of(fd.get()).n_resets, resets + 1, "resets");
  free_object(fd.get(), queue.handle);
  free_object(fd.get(), user.handle);
  check_works(fd.get());
}

SDI_TEST(a_killed_program_leaves_nothing) {
  for (int round = 0; round < 8; round++) {
    int ready[2];
    check(::pipe(ready) == 0, "pipe");
    const pid_t pid = ::fork();
    if (pid == 0) {
      const Fd fd = open_sdi();
      const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL, 64);
      const auto user = make_queue(fd.get());
      const uint32_t memory = allocate(fd.get(), SLUICE_ALLOC_DEVICE, 1 << 20);
      const uint32_t host = allocate(
          fd.get(), round % 2 ? SLUICE_ALLOC_COHERENT : SLUICE_ALLOC_WRITE_COMBINED, 1 << 20);
      map_object(fd.get(), memory, 1 << 20);
      map_object(fd.get(), host, 1 << 20);
      grant(fd.get(), queue.handle, 0, memory, 0, 1 << 20);
      grant(fd.get(), queue.handle, 1, host, 0, 1 << 20);
      grant(fd.get(), user.handle, 1, host, 0, 1 << 20);
      [[maybe_unused]] const ssize_t n = ::write(ready[1], "x", 1);
      for (;;) {
        const std::vector<sluice_sdi_entry> entries(
            32, copy(1, SLUICE_SDI_ADDR(1, 0), SLUICE_SDI_ADDR(0, 0), 1 << 20));
        uint32_t accepted = 0;
        submit(fd.get(), queue.handle, entries, &accepted);
        std::vector<sluice_sdi_completion> done;
        if (round % 4 < 2) wait(fd.get(), queue.handle, &done, 1s);
      }
    }
    char byte = 0;
    check(::read(ready[0], &byte, 1) == 1, "the child did not begin");
    ::close(ready[0]);
    ::close(ready[1]);
    ::usleep(static_cast<useconds_t>(round * 3000));
    ::kill(pid, SIGKILL);
    int status = 0;
    ::waitpid(pid, &status, 0);
    check_nothing_is_held(kBoard);
  }
  check_works(open_sdi().get());
}

SDI_TEST(unbinding_ends_everything) {
  const Fd fd = open_sdi();
  const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL);
  std::vector<volatile uint32_t*> mapped;
  for (const uint32_t kind : {SLUICE_ALLOC_DEVICE, SLUICE_ALLOC_COHERENT, SLUICE_ALLOC_UNCACHED,
                              SLUICE_ALLOC_WRITE_COMBINED, SLUICE_ALLOC_PAGES}) {
    const uint32_t handle = allocate(fd.get(), kind, 3 << 20);
    error_is(grant(fd.get(), queue.handle, kind, handle, 0, 3 << 20), 0, "GRANT");
    mapped.push_back(reinterpret_cast<volatile uint32_t*>(
        const_cast<uint8_t*>(map_object(fd.get(), handle, 3 << 20))));
  }
  int code = 0;
  std::thread sleeper([&] {
    std::vector<sluice_sdi_completion> done;
    code = wait(fd.get(), queue.handle, &done, 15s);
  });
  ::usleep(100000);
  unbind_board(kBoard);
  sleeper.join();
  error_is(code, ENODEV, "the sleeper");
  for (volatile uint32_t* at : mapped) {
    same(static_cast<uint64_t>(signal_of_read(at)), SIGBUS, "signal of a mapping");
  }
  error_is(submit(fd.get(), queue.handle, {nop(1)}), ENODEV, "SUBMIT");
  error_is(reset(fd.get()), ENODEV, "RESET");
  pollfd one = {fd.get(), POLLIN, 0};
  same(static_cast<uint64_t>(::poll(&one, 1, 0)), 1, "poll");
  same(static_cast<uint64_t>(one.revents), POLLERR | POLLHUP, "poll events");
  same(pci_command(kBoard) & 0x4, 0, "bus master bit");
  bind_board(kBoard);
  error_is(submit(fd.get(), queue.handle, {nop(1)}), ENODEV, "SUBMIT by the old file");
  check_nothing_is_held(kBoard);
  check_works(open_sdi().get());
}

SDI_TEST(resets_and_unbinding_under_load) {
  std::vector<pid_t> pids;
  const std::string path = node_of(kBoard);
  for (int i = 0; i < 4; i++) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::alarm(time_limit());
      for (;;) {
        const int raw = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
        if (raw < 0) continue;
        const Fd fd(raw);
        try {
          const auto queue = make_queue(raw, i % 2 ? SLUICE_QUEUE_KERNEL : 0);
          const uint32_t memory =
              allocate(raw, i % 3 ? SLUICE_ALLOC_DEVICE : SLUICE_ALLOC_PAGES, 64 * kPage);
          signal_of_read(reinterpret_cast<volatile uint32_t*>(
              const_cast<uint8_t*>(map_object(raw, memory, 64 * kPage))));
          grant(raw, queue.handle, 0, memory, 0, 64 * kPage);
          if (i % 2) run(raw, queue.handle, {nop(1), nop(2), nop(3)});
          if (i == 3) free_object(raw, memory);
        } catch (const std::exception&) {
          // Anything may fail now; what counts is what the kernel makes of it.
        }
      }
    }
    pids.push_back(pid);
  }
  {
    for (int i = 0; i < 20; i++) {
      ::usleep(30000);
      if (i % 4 == 3) {
        unbind_board(kBoard);
        bind_board(kBoard);
      } else {
        error_is(reset(open_sdi().get()), 0, "RESET");
      }
    }
  }
  for (const pid_t pid : pids) {
    ::kill(pid, SIGKILL);
    int status = 0;
    ::waitpid(pid, &status, 0);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "a program died otherwise");
  }
  check_nothing_is_held(kBoard);
  check_works(open_sdi().get());
}

// Last but two: this board does not come back.
SDI_TEST(a_board_that_stops_answering_ends_in_errors) {
  const Fd fd = open_sdi(kMortal);
  check_works(fd.get());
  const uint32_t memory = allocate(fd.get(), SLUICE_ALLOC_DEVICE, kPage);
  const uint32_t host = allocate(fd.get(), SLUICE_ALLOC_COHERENT, 1 << 20);
  const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL);
  error_is(grant(fd.get(), queue.handle, 0, host, 0, 1 << 20), 0, "GRANT");
  volatile uint8_t* at = map_object(fd.get(), memory, kPage);
  kill_emulator("mortal");
  set_parameter("timeout_ms", "300");
  error_is(submit(fd.get(), queue.handle, {nop(5), nop(6)}), 0, "SUBMIT");
  std::vector<sluice_sdi_completion> done;
  const int error = wait(fd.get(), queue.handle, &done, 15s);
  set_parameter("timeout_ms", "30000");
  error_is(error, 0, "WAIT");
  check_each_once(done, 5, 2);
  same(done[0].status, SLUICE_SDI_E_ABORTED, "status");
  error_is(wait(fd.get(), queue.handle, &done), ECONNRESET, "WAIT");
  same(static_cast<uint64_t>(
           signal_of_read(reinterpret_cast<volatile uint32_t*>(const_cast<uint8_t*>(at)))),
       SIGBUS, "signal of the mapping");
  const auto info = info_of(fd.get());
  check(info.state & SLUICE_STATE_BROKEN, "the board is not said to be broken");
  check(!(info.state & SLUICE_STATE_BUS_MASTER), "it is still a bus master");
  auto arg = argument<struct sluice_alloc>();
  arg.kind = SLUICE_ALLOC_DEVICE;
  arg.length = kPage;
  error_is(call(fd.get(), SLUICE_IOC_ALLOC, &arg), EIO, "ALLOC");
  for (const uint32_t handle : {queue.handle, memory, host}) free_object(fd.get(), handle);
  ::munmap(const_cast<uint8_t*>(at), kPage);
  check_nothing_is_held(kMortal);
}

SDI_TEST(a_dead_board_can_be_unbound) {
  unbind_board(kMortal);
  error_is(write_file(std::string("/sys/bus/pci/drivers/sluice/bind"), kMortal), ETIMEDOUT, "bind");
  // Out of the way: each attempt takes as long as a reset may take.
  error_is(
      write_file(std::string("/sys/bus/pci/devices/") + kMortal + "/driver_override", "nobody"), 0,
      "driver_override");
}

// Loaded anew with other interrupts; what is asked for is what is tried first.
SDI_TEST(without_vectors_everything_works) {
  for (const char* mode : {"irq_mode=poll", "irq_mode=intx", "irq_mode=msix"}) {
    error_is(unload_module(), 0, "rmmod");
    error_is(load_module(mode), 0, "insmod");
    const bool vectors = std::strcmp(mode, "irq_mode=msix") == 0;
    {
      const Fd fd = open_sdi();
      const uint32_t state = info_of(fd.get()).state;
      same((state & SLUICE_STATE_VECTORS) != 0, vectors, mode);
      if (std::strcmp(mode, "irq_mode=poll") == 0) same(state & SLUICE_STATE_IRQ, 0, mode);
      const auto queue = make_queue(fd.get(), SLUICE_QUEUE_KERNEL);
      for (uint32_t i = 0; i < 20; i++) same(run(fd.get(), queue.handle, {nop(i)})[0].id, i, mode);
      pollfd one = {fd.get(), POLLIN, 0};
      error_is(submit(fd.get(), queue.handle, {nop(1)}), 0, "SUBMIT");
      same(static_cast<uint64_t>(::poll(&one, 1, 5000)), 1, std::string("poll, ") + mode);
      Uring ring;
      for (int i = 0; i < 5; i++) error_is(-ring.run(fd.get(), queue.handle, nop(1)).res, 0, mode);
      ends_with(make_fence(fd.get(), queue.handle).get(), 1, mode);
    }
    sluice::Device device = must(sluice::Device::open(node_of(kBoard)));
    sluice::Queue queue = must(sluice::Queue::create(device, {.n_entries = 4, .n_segments = 1}));
    for (uint32_t i = 0; i < 20; i++) must(queue.execute(nop(i), 5s), mode);
  }
  // Another word is refused, board by board.
  error_is(unload_module(), 0, "rmmod");
  error_is(load_module("irq_mode=smoke"), 0, "insmod");
  check(must(sluice::Device::list()).empty(), "a board was bound with irq_mode=smoke");
  error_is(unload_module(), 0, "rmmod");
  error_is(load_module(""), 0, "insmod");
}

// The module's parameters are refused before it is looked at; a kernel that checks signatures
// refuses this module altogether.
SDI_TEST(a_locked_kernel_keeps_programs_away) {
  error_is(unload_module(), 0, "rmmod");
  error_is(load_module("raw_phys=1"), 0, "insmod");
  auto fd = std::make_optional(open_sdi());
  auto phys = argument<struct sluice_phys>();
  phys.width = 32;
  phys.address = std::stoull(read_file(std::string("/sys/bus/pci/devices/") + kBoard + "/resource"),
                             nullptr, 16);
  check(phys.address != 0, "the board has no BAR 0");
  auto mask = reg(0, offsetof(struct sluice_sdi_control, irq_mask), 64, 0);
  error_is(call(fd->get(), SLUICE_IOC_PHYS, &phys), 0, "PHYS");
  error_is(call(fd->get(), SLUICE_IOC_REG_WRITE, &mask), 0, "REG_WRITE");
  check(::mount("securityfs", "/sys/kernel/security", "securityfs", 0, nullptr) == 0, "securityfs");
  error_is(write_file("/sys/kernel/security/lockdown", "integrity"), 0, "lockdown");
  error_is(call(fd->get(), SLUICE_IOC_PHYS, &phys), EPERM, "PHYS");
  error_is(call(fd->get(), SLUICE_IOC_REG_WRITE, &mask), EPERM, "REG_WRITE");
  // What needs no such rights goes on.
  check_works(fd->get());
  fd.reset();
  error_is(unload_module(), 0, "rmmod");
  error_is(load_module("plain=0xfee00000:4096"), EPERM, "insmod with plain=");
}

}  // namespace
