// SPDX-License-Identifier: Apache-2.0
// The board that a guest sees: the test is the guest, over the ivshmem protocol, with a file for
// its memory.
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "core/file.h"
#include "emu/unix_socket.h"
#include "emu/words.h"
#include "emu_support.h"

using namespace sluice;
using namespace sluice::test;

TestSuite(emu_guest, .timeout = 60);

namespace {

constexpr uint64_t kBar = 4 << 20, kGuestBytes = 1 << 20;

// A guest: what QEMU and a driver do.
struct Guest {
  Fd socket, bar_file, doorbell;
  std::vector<Fd> vectors;
  MemoryMap bar, memory;
  std::optional<emu::Registers> r;
  uint32_t generation = 0;

  Guest(const std::string& path, const std::string& memory_file) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    socket = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    cr_assert(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    cr_assert(same(receive(nullptr), 0));  // version
    const int64_t id = receive(nullptr);
    cr_assert(same(receive(&bar_file), -1));
    for (;;) {
      pollfd poll_fd = {socket.get(), POLLIN, 0};
      if (::poll(&poll_fd, 1, vectors.size() == 8 && doorbell ? 50 : 5000) != 1) break;
      Fd fd;
      if (receive(&fd) == id) {
        vectors.push_back(std::move(fd));
      } else {
        doorbell = std::move(fd);
      }
    }
    cr_assert(same(vectors.size(), 8u) && static_cast<bool>(doorbell));
    bar = must(MemoryMap::map(bar_file, 0, kBar, PROT_READ | PROT_WRITE, MAP_SHARED, "bar"));
    r.emplace(static_cast<std::byte*>(bar.data()));
    const Fd file = must(open_file(memory_file, O_RDWR));
    memory =
        must(MemoryMap::map(file, 0, kGuestBytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_file));
  }
  int64_t receive(Fd* ret_fd) {
    int64_t number = 0;
    iovec part = {&number, sizeof(number)};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cr_assert(same(::recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC), 8));
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    cr_assert(same(header != nullptr, ret_fd != nullptr));
    if (header) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header), sizeof(fd));
      *ret_fd = Fd(fd);
    }
    return number;
  }
  std::byte* at(uint64_t address) { return static_cast<std::byte*>(memory.data()) + address; }
  void notify() {
    const uint64_t one = 1;
    cr_assert(same(::write(doorbell.get(), &one, sizeof(one)), 8));
  }
  uint32_t request(uint32_t action, uint64_t argument = 0) {
    const uint32_t word = SLUICE_SDI_REQUEST(++generation, action);
    emu::store(r->control().argument[0], argument);
    emu::store(r->control().request, word);
    notify();
    for (int i = 0; i < 5000 && emu::load(r->control().acknowledge) != word; ++i) {
      std::this_thread::sleep_for(1ms);
    }
    cr_assert(same(emu::load(r->control().acknowledge), word));
    return emu::load(r->control().result);
  }
};

struct Server {
  TempDir dir;
  std::string socket = dir.file("ivshmem"), memory = dir.file("ram");
  std::optional<GuestBoard> board;
  std::thread thread;
  explicit Server(const std::vector<Fault>& faults = {}) {
    write_file(memory, std::string(kGuestBytes, '\0'));
    EmulatorOptions options;
    options.memory_size = kBar;
    options.n_threads = 1;
    options.faults = faults;
    board = must(GuestBoard::create(options, socket, memory));
    thread = std::thread([this] { static_cast<void>(board->serve()); });
  }
  ~Server() {
    board->stop();
    thread.join();
  }
};

}  // namespace

Test(emu_guest, a_guest_copies_between_pages_of_its_own) {
  Server server;
  Guest guest(server.socket, server.memory);
  sluice_sdi_control& c = guest.r->control();
  cr_assert(same(c.magic, SLUICE_SDI_MAGIC) && same(c.memory_size, kBar - (1 << 20)));
  cr_expect(same(c.memory_offset, 1u << 20) && same(c.n_vectors, 8u) && c.notify != 0);
  cr_assert(same(guest.request(SLUICE_SDI_ACTION_RESET), SLUICE_SDI_RESULT_OK));

  // Rings at 0 and 4096, table at 8192, list of pages at 12288, pages 64, 32, 33, 16.
  const uint64_t pages[] = {64 * 4096, 32 * 4096, 33 * 4096, 16 * 4096};
  std::memcpy(guest.at(12288), pages, sizeof(pages));
  auto* table = reinterpret_cast<sluice_sdi_segment*>(guest.at(8192));
  const uint32_t rw = SLUICE_SDI_SEGMENT_READ | SLUICE_SDI_SEGMENT_WRITE;
  table[0] = {0, c.memory_size, rw, 0, 0};
  table[1] = {12288, 4 * 4096 - 10, rw | SLUICE_SDI_SEGMENT_HOST | SLUICE_SDI_SEGMENT_PAGED, 12, 0};
  sluice_sdi_queue& q = guest.r->queue(2);
  q.sq_base = 0;
  q.cq_base = 4096;
  q.segments = 8192;
  q.n_segments = 2;
  q.n_entries = 16;
  q.vector = 3;
  cr_assert(same(guest.request(SLUICE_SDI_ACTION_QUEUE_ENABLE, 2), SLUICE_SDI_RESULT_OK));
  emu::store(c.irq_mask, 0u);

  for (size_t i = 0; i < 4 * 4096; ++i) {
    guest.at(pages[i / 4096])[i % 4096] = static_cast<std::byte>(i / 4096 * 50 + i % 37);
  }
  auto* sq = reinterpret_cast<QueueEntry*>(guest.at(0));
  sq[0] = copy_entry(SLUICE_SDI_ADDR(1, 5), 100, 4 * 4096 - 15, 11);
  sq[1] = copy_entry(SLUICE_SDI_ADDR(1, 5), 100, 4 * 4096 - 14, 12);
  emu::store(guest.r->doorbell(2).sq_tail, 2u);
  emu::full_fence();
  if (emu::load(guest.r->doorbell(2).idle)) guest.notify();
  const auto* cq = reinterpret_cast<const Completion*>(guest.at(4096));
  pollfd irq = {guest.vectors[3].get(), POLLIN, 0};
  while (emu::load(cq[1].phase) != 1) {
    cr_assert(same(::poll(&irq, 1, 5000), 1), "no interrupt");
    uint64_t count;
    [[maybe_unused]] const ssize_t n = ::read(irq.fd, &count, sizeof(count));
  }
  cr_expect(same(cq[0].id, 11u) && same(cq[0].status, SLUICE_SDI_OK));
  cr_expect(same(cq[1].id, 12u) && same(cq[1].status, SLUICE_SDI_E_SEGMENT));
  const std::byte* device = static_cast<std::byte*>(guest.bar.data()) + (1 << 20) + 100;
  for (size_t i = 5; i < 4 * 4096 - 10; ++i) {
    cr_assert(device[i - 5] == guest.at(pages[i / 4096])[i % 4096], "byte %zu", i);
  }
  const EmulatorStatus status = server.board->status();
  cr_expect(status.guest_connected && same(status.entries, 2u) && same(status.n_faults, 1u));
  // A reset sets the board's counters to 0, and what is said of the whole session stays.
  cr_expect(same(guest.request(SLUICE_SDI_ACTION_RESET, 0), SLUICE_SDI_RESULT_OK));
  cr_expect(same(emu::load(guest.r->counters().entries), 0u));
  cr_expect(same(server.board->status().entries, 2u));
}

Test(emu_guest, what_lies_outside_the_guest_is_out_of_reach) {
  Server server;
  Guest guest(server.socket, server.memory);
  sluice_sdi_queue& q = guest.r->queue(0);
  q.n_segments = 1;
  q.n_entries = 16;
  q.segments = 8192;
  for (const uint64_t base : {kGuestBytes - 64, kGuestBytes, ~uint64_t{63}}) {
    q.sq_base = base;
    q.cq_base = 4096;
    cr_expect(same(guest.request(SLUICE_SDI_ACTION_QUEUE_ENABLE, 0), SLUICE_SDI_RESULT_DMA));
  }
  q.sq_base = 0;
  auto* entry = reinterpret_cast<sluice_sdi_segment*>(guest.at(8192));
  *entry = {12288, 8192,
            SLUICE_SDI_SEGMENT_READ | SLUICE_SDI_SEGMENT_HOST | SLUICE_SDI_SEGMENT_PAGED, 12, 0};
  for (const uint64_t page : {kGuestBytes, ~uint64_t{4095}, uint64_t{100}}) {
    const uint64_t pages[] = {0, page};
    std::memcpy(guest.at(12288), pages, sizeof(pages));
    cr_expect(same(guest.request(SLUICE_SDI_ACTION_QUEUE_ENABLE, 0), SLUICE_SDI_RESULT_DMA));
  }
}

Test(emu_guest, the_next_guest_finds_a_fresh_board) {
  Server server;
  {
    Guest first(server.socket, server.memory);
    cr_expect(same(first.request(SLUICE_SDI_ACTION_RESET), SLUICE_SDI_RESULT_OK));
    static_cast<std::byte*>(first.bar.data())[1 << 20] = std::byte{0x77};
    // A second one at the same time is turned away.
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, server.socket.data(), server.socket.size());
    const Fd second(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    cr_assert(::connect(second.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    char byte;
    cr_expect(same(::recv(second.get(), &byte, 1, 0), 0));
    cr_expect(same(emu::load(first.r->control().n_resets), 1u));
  }
  Guest next(server.socket, server.memory);
  cr_expect(same(emu::load(next.r->control().n_resets), 0u));
  cr_expect(same(emu::load(next.r->control().acknowledge), 0u));
  cr_expect(static_cast<std::byte*>(next.bar.data())[1 << 20] == std::byte{0});
  cr_expect(same(next.request(SLUICE_SDI_ACTION_RESET), SLUICE_SDI_RESULT_OK));
}

namespace {

// What QEMU's -qtest is to a board: the other end of a socket.
struct Machine {
  Fd listening, board;

  explicit Machine(const std::string& path) : listening(emu::unix_socket()) {
    const sockaddr_un address = must(emu::unix_address(path));
    cr_assert(::bind(listening.get(), emu::generic_address(address), sizeof(address)) == 0);
    cr_assert(::listen(listening.get(), 1) == 0);
  }
  // Two lines: those of an edge.
  std::string hear() {
    if (!board) board = Fd(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
    std::string text;
    for (char c; std::count(text.begin(), text.end(), '\n') < 2;) {
      cr_assert(same(::recv(board.get(), &c, 1, 0), 1), "the board has hung up");
      text += c;
    }
    cr_assert(same(::send(board.get(), "OK\nOK\n", 6, 0), 6));
    return text;
  }
};

}  // namespace

Test(emu_guest, a_board_within_interrupts_by_inputs) {
  constexpr uint64_t kAt = 4 << 20, kRam = 8 << 20;
  const TempDir dir;
  const std::string ram = dir.file("ram"), socket = dir.file("qtest");
  write_file(ram, std::string(kRam, '\0'));
  EmulatorOptions options;
  options.memory_size = kBar;
  options.n_threads = options.n_queues = 1;
  GuestInterrupts interrupts = {socket, "/machine/gic", {7, 9}, false};
  Machine machine(socket);
  GuestBoard board = must(GuestBoard::create_within(options, ram, 0, kAt, interrupts));
  const Fd file = must(open_file(ram, O_RDWR));
  const MemoryMap map =
      must(MemoryMap::map(file, 0, kRam, PROT_READ | PROT_WRITE, MAP_SHARED, ram));
  auto* bytes = static_cast<std::byte*>(map.data());
  emu::Registers r(bytes + kAt);
  cr_assert(same(r.control().n_vectors, 2u));
  sluice_sdi_queue& q = r.queue(0);
  q.sq_base = 0;
  q.cq_base = 4096;
  q.segments = 8192;
  q.n_segments = 1;
  q.n_entries = 16;
  q.vector = 1;
  emu::store(r.control().request, SLUICE_SDI_REQUEST(1, SLUICE_SDI_ACTION_QUEUE_ENABLE));
  for (int i = 0; i < 5000 && emu::load(r.control().acknowledge) == 0; ++i) {
    std::this_thread::sleep_for(1ms);
  }
  cr_assert(same(emu::load(r.control().result), SLUICE_SDI_RESULT_OK));
  emu::store(r.control().irq_mask, 0u);
  auto* sq = reinterpret_cast<QueueEntry*>(bytes);
  const auto submit = [&](uint32_t n) {
    sq[n] = nop_entry(n);
    emu::store(r.doorbell(0).sq_tail, n + 1);
  };
  const char kEdge[] =
      "set_irq_in /machine/gic unnamed-gpio-in 9 1\nset_irq_in /machine/gic unnamed-gpio-in 9 0\n";
  for (uint32_t n = 0; n < 4; ++n) {
    submit(n);
    cr_expect(same(machine.hear(), kEdge));
    if (n == 1) machine.board.reset();  // the guest goes, and another comes
  }

  const auto refused = [&](const GuestInterrupts& bad, const char* word) {
    return is_error(GuestBoard::create_within(options, ram, 0, kAt, bad), EINVAL, {word});
  };
  cr_expect(refused({socket, "/gic", {}, false}, "1 to 2"));
  cr_expect(refused({socket, "/gic", {1, 2, 3}, false}, "1 to 2"));
  cr_expect(refused({socket, "/gic", {1, 2}, true}, "1 to 1"));
  cr_expect(refused({socket, "", {1}, false}, "path"));
  cr_expect(refused({socket, "/gic 5 1\nquit", {1}, false}, "spaces"));
  cr_expect(refused({std::string(200, 'x'), "/gic", {1}, false}, "path"));
}

// A piece of the guest's memory, with nothing to ring and nothing that rings.
Test(emu_guest, a_board_lies_within_its_guests_memory) {
  constexpr uint64_t kBase = 0x40000000, kAt = 8 << 20, kRam = 16 << 20;
  const TempDir dir;
  const std::string ram = dir.file("ram");
  write_file(ram, std::string(kRam, '\xff'));
  EmulatorOptions options;
  options.memory_size = kBar;
  options.n_threads = 1;
  GuestBoard board = must(GuestBoard::create_within(options, ram, kBase, kBase + kAt));
  std::thread server([&] { static_cast<void>(board.serve()); });
  const Fd file = must(open_file(ram, O_RDWR));
  const MemoryMap map =
      must(MemoryMap::map(file, 0, kRam, PROT_READ | PROT_WRITE, MAP_SHARED, ram));
  auto* bytes = static_cast<std::byte*>(map.data());
  emu::Registers r(bytes + kAt);
  cr_expect(same(r.control().magic, SLUICE_SDI_MAGIC));
  cr_expect(same(r.control().capabilities & SLUICE_SDI_CAP_NOTIFY, 0u));
  cr_expect(same(r.control().n_vectors, 1u) && same(r.control().memory_offset, 1u << 20));
  const uint32_t word = SLUICE_SDI_REQUEST(1, SLUICE_SDI_ACTION_RESET);
  emu::store(r.control().request, word);
  for (int i = 0; i < 5000 && emu::load(r.control().acknowledge) != word; ++i) {
    std::this_thread::sleep_for(1ms);
  }
  cr_expect(same(emu::load(r.control().acknowledge), word), "it does not look by itself");
  cr_expect(same(emu::load(r.control().result), SLUICE_SDI_RESULT_OK));
  cr_expect(bytes[kAt + (1 << 20)] == std::byte{0}, "its memory is not empty");
  cr_expect(bytes[kAt - 1] == std::byte{0xff} && bytes[kAt + kBar] == std::byte{0xff},
            "memory of the guest has changed");
  board.stop();
  server.join();

  cr_expect(is_error(GuestBoard::create_within(options, ram, kBase, kAt), EINVAL, {"0x40000000"}));
  for (const uint64_t at : {kRam - kBar / 2, kRam, ~uint64_t{0} - kBase, kAt + 4096}) {
    cr_expect(is_error(GuestBoard::create_within(options, ram, kBase, kBase + at), EINVAL,
                       {"16777216 bytes", "multiple"}));
  }
  cr_expect(is_error(GuestBoard::create_within(options, "no-such", 0, 0), ENOENT, {"no-such"}));
}

Test(emu_guest, options_are_checked) {
  const TempDir dir;
  EmulatorOptions options;
  options.memory_size = 3 << 20;
  cr_expect(is_error(GuestBoard::create(options, dir.file("s"), "ram"), EINVAL, {"power of two"}));
  options.memory_size = 1 << 20;
  cr_expect(is_error(GuestBoard::create(options, dir.file("s"), "ram"), EINVAL, {"power of two"}));
  options.memory_size = 4 << 20;
  cr_expect(is_error(GuestBoard::create(options, std::string(200, 'x'), "ram"), EINVAL, {"path"}));
  options.n_queues = 0;
  cr_expect(is_error(GuestBoard::create(options, dir.file("s"), "ram"), EINVAL, {"queues"}));
  options.n_queues = 7;
  const auto first = GuestBoard::create(options, dir.file("t"), "ram");
  cr_expect(first.has_value(), "%s", why(first));
  cr_expect(is_error(GuestBoard::create(options, dir.file("t"), "ram"), EADDRINUSE, {"serves"}));
}
