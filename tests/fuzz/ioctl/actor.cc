// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/ioctl/actor.h"

#include <fcntl.h>
#include <linux/dma-buf.h>
#include <poll.h>
#include <sluice.h>
#include <sluice_sdi.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace fuzz {
namespace {

constexpr uint64_t kPage = 4096;
constexpr size_t kMostBoards = 5, kMostMapped = 12, kMostDescriptors = 8;

sigjmp_buf g_after_fault;
volatile sig_atomic_t g_faults_expected = 0;

void on_fault(int signal) {
  if (g_faults_expected) siglongjmp(g_after_fault, 1);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}
void on_alarm(int) {}

// Runs `access`, which may fault.
template <typename F>
void guarded(F access) {
  if (sigsetjmp(g_after_fault, 1) == 0) {
    g_faults_expected = 1;
    access();
  }
  g_faults_expected = 0;
}

// No call waits for longer: a signal comes.
void interrupt_long_calls() {
  struct sigaction action = {};
  action.sa_handler = on_alarm;
  ::sigaction(SIGALRM, &action, nullptr);
  const itimerval every = {{0, 50000}, {0, 50000}};
  ::setitimer(ITIMER_REAL, &every, nullptr);
}

}  // namespace

// One ioctl: how to fill in an argument that has a chance of being accepted.
struct Ioctl {
  unsigned long request;
  size_t size;
  unsigned weight;
  void (*fill)(Actor& a, void* arg);

  template <typename T, void (*kFill)(Actor&, T&)>
  static constexpr Ioctl row(unsigned long request, unsigned weight) {
    return {request, sizeof(T), weight,
            [](Actor& a, void* arg) { kFill(a, *static_cast<T*>(arg)); }};
  }

  static uint32_t queue(Actor& a, bool of_the_kernel) {
    Actor::Board* b = a.current_;
    return of_the_kernel ? a.one_of(b->kernel_queues, 1u) : a.one_of(b->queues, 1u);
  }
  static uint64_t pages(Actor& a, uint64_t most) { return (1 + a.below(most)) * kPage; }

  template <typename T>
  static void place(Actor& a, T& arg) {
    constexpr uint32_t kWidths[] = {8, 16, 32, 64};
    arg.window = static_cast<uint32_t>(a.below(3));
    arg.width = kWidths[a.below(4)];
    arg.offset = a.below(0x200) / 8 * 8;
  }
  static void info(Actor&, sluice_info&) {}
  static void window(Actor& a, sluice_window& arg) {
    arg.index = static_cast<uint32_t>(a.below(7));
  }
  static void reg(Actor& a, sluice_reg& arg) {
    place(a, arg);
    arg.value = a.below(256);
  }
  static void update(Actor& a, sluice_reg_update& arg) {
    place(a, arg);
    arg.mask = a.below(256);
    arg.value = a.any() & arg.mask;
  }
  static void poll(Actor& a, sluice_reg_poll& arg) {
    place(a, arg);
    arg.mask = a.below(256);
    arg.value = a.any() & arg.mask;
    arg.timeout_ns = a.below(2'000'000);
  }
  static void batch(Actor& a, sluice_reg_batch& arg) {
    auto* ops = reinterpret_cast<sluice_reg_op*>(a.buffer_.data());
    arg.count = static_cast<uint32_t>(1 + a.below(16));
    for (uint32_t i = 0; i < arg.count; ++i) {
      ops[i] = {};
      ops[i].op = static_cast<uint32_t>(a.below(4));
      place(a, ops[i]);
      ops[i].mask = a.below(16);
      ops[i].timeout_ns = a.below(100'000);
    }
    arg.ops = reinterpret_cast<uint64_t>(ops);
  }
  static void map(Actor& a, sluice_map& arg) {
    arg.type = a.chance(60) ? SLUICE_MAP_NATIVE : static_cast<uint32_t>(a.below(4));
    if (a.chance(70)) {
      arg.flags = SLUICE_MAP_OBJECT;
      arg.window = a.handle();
    } else {
      arg.window = static_cast<uint32_t>(a.below(3));
    }
    arg.offset = a.chance(60) ? 0 : a.below(16) * kPage;
    arg.length = pages(a, 16);
  }
  static void irq(Actor& a, sluice_irq& arg) { arg.flags = a.chance(50) ? SLUICE_IRQ_ENABLE : 0; }
  static void mappings(Actor& a, sluice_mappings& arg) {
    arg.flags = a.chance(20) ? SLUICE_MAPPINGS_ALL : 0;
    arg.count = static_cast<uint32_t>(a.below(32));
    arg.entries = reinterpret_cast<uint64_t>(a.buffer_.data());
  }
  static void alloc(Actor& a, sluice_alloc& arg) {
    arg.kind = static_cast<uint32_t>(a.below(5));
    arg.length = a.chance(90) ? pages(a, 64) : pages(a, 512);
  }
  static void free(Actor& a, sluice_free& arg) {
    arg.handle = a.chance(25) ? queue(a, a.chance(50)) : a.handle();
  }
  static void queue_new(Actor& a, sluice_queue& arg) {
    arg.flags = a.chance(50) ? SLUICE_QUEUE_KERNEL : 0;
    arg.n_entries = 2u << a.below(6);
    arg.n_segments = static_cast<uint32_t>(1 + a.below(8));
    arg.coalesce_count = static_cast<uint32_t>(a.below(4));
    arg.coalesce_us = static_cast<uint32_t>(a.below(500));
    if (a.chance(50)) {
      arg.flags |= SLUICE_QUEUE_EVENTFD;
      arg.eventfd = a.eventfd_;
    }
  }
  static void grant(Actor& a, sluice_grant& arg) {
    arg.queue = queue(a, a.chance(50));
    arg.segment = static_cast<uint32_t>(a.below(8));
    arg.flags = static_cast<uint32_t>(a.below(4));
    if (arg.flags == 0) return;
    arg.handle = a.handle();
    arg.offset = a.chance(70) ? 0 : a.below(8) * kPage;
    arg.length = pages(a, 16);
  }
  static void notify(Actor& a, sluice_notify& arg) { arg.queue = queue(a, a.chance(50)); }
  static sluice_sdi_entry entry(Actor& a) {
    sluice_sdi_entry e = {};
    e.opcode = static_cast<uint16_t>(a.below(6));
    e.id = static_cast<uint32_t>(a.any());
    if (e.opcode == SLUICE_SDI_ENTRY_COPY) {
      e.copy.src = SLUICE_SDI_ADDR(a.below(8), a.below(8 * kPage));
      e.copy.dst = SLUICE_SDI_ADDR(a.below(8), a.below(8 * kPage));
      e.copy.length = a.below(8 * kPage);
    } else if (e.opcode == SLUICE_SDI_ENTRY_LOAD || e.opcode == SLUICE_SDI_ENTRY_RUN) {
      for (auto& word : e.words) word = a.below(64);
    }
    return e;
  }
  static void submit(Actor& a, sluice_submit& arg) {
    auto* entries = reinterpret_cast<sluice_sdi_entry*>(a.buffer_.data());
    arg.queue = queue(a, true);
    arg.count = static_cast<uint32_t>(1 + a.below(16));
    for (uint32_t i = 0; i < arg.count; ++i) entries[i] = entry(a);
    arg.entries = reinterpret_cast<uint64_t>(entries);
  }
  static void wait(Actor& a, sluice_wait& arg) {
    const bool of_the_kernel = a.chance(70);
    arg.queue = queue(a, of_the_kernel);
    arg.flags = a.chance(20) ? SLUICE_WAIT_NOTIFY : 0;
    arg.timeout_ns = a.below(3'000'000);
    if (of_the_kernel) {
      arg.count = static_cast<uint32_t>(1 + a.below(16));
      arg.completions = reinterpret_cast<uint64_t>(a.buffer_.data());
    }
  }
  static void reset(Actor& a, sluice_reset& arg) {
    arg.flags = a.chance(50) ? SLUICE_RESET_FORCE : 0;
  }
  static void clock(Actor& a, sluice_clock& arg) {
    constexpr uint32_t kHz[] = {168'000'000, 84'000'000, 100'000'000, 216'000'000};
    arg.flags = static_cast<uint32_t>(a.below(4));
    arg.system_hz = kHz[a.below(4)];
  }
  static void timer(Actor& a, sluice_timer& arg) {
    arg.timer = static_cast<uint32_t>(a.below(5));
    arg.hz = static_cast<uint32_t>(a.below(2'000'000));
  }
  static void export_(Actor& a, sluice_export& arg) {
    arg.flags = O_CLOEXEC | (a.chance(70) ? O_RDWR : 0);
    arg.handle = a.handle();
  }
  static void import(Actor& a, sluice_import& arg) { arg.fd = a.one_of(a.dmabufs_, -1); }
  static void fence(Actor& a, sluice_fence& arg) { arg.queue = queue(a, a.chance(50)); }
  static void phys(Actor& a, sluice_phys& arg) {
    arg.width = 32;
    arg.address = a.below(1 << 30) * 4;
  }
};

namespace {

const Ioctl kIoctls[] = {
    Ioctl::row<sluice_info, Ioctl::info>(SLUICE_IOC_INFO, 2),
    Ioctl::row<sluice_window, Ioctl::window>(SLUICE_IOC_WINDOW, 1),
    Ioctl::row<sluice_reg, Ioctl::reg>(SLUICE_IOC_REG_READ, 3),
    Ioctl::row<sluice_reg, Ioctl::reg>(SLUICE_IOC_REG_WRITE, 2),
    Ioctl::row<sluice_reg_update, Ioctl::update>(SLUICE_IOC_REG_UPDATE, 2),
    Ioctl::row<sluice_reg_poll, Ioctl::poll>(SLUICE_IOC_REG_POLL, 2),
    Ioctl::row<sluice_reg_batch, Ioctl::batch>(SLUICE_IOC_REG_BATCH, 2),
    Ioctl::row<sluice_map, Ioctl::map>(SLUICE_IOC_MAP, 12),
    Ioctl::row<sluice_irq, Ioctl::irq>(SLUICE_IOC_IRQ, 1),
    Ioctl::row<sluice_mappings, Ioctl::mappings>(SLUICE_IOC_MAPPINGS, 2),
    Ioctl::row<sluice_alloc, Ioctl::alloc>(SLUICE_IOC_ALLOC, 14),
    Ioctl::row<sluice_free, Ioctl::free>(SLUICE_IOC_FREE, 8),
    Ioctl::row<sluice_queue, Ioctl::queue_new>(SLUICE_IOC_QUEUE, 6),
    Ioctl::row<sluice_grant, Ioctl::grant>(SLUICE_IOC_GRANT, 12),
    Ioctl::row<sluice_notify, Ioctl::notify>(SLUICE_IOC_NOTIFY, 2),
    Ioctl::row<sluice_submit, Ioctl::submit>(SLUICE_IOC_SUBMIT, 12),
    Ioctl::row<sluice_wait, Ioctl::wait>(SLUICE_IOC_WAIT, 8),
    Ioctl::row<sluice_clock, Ioctl::clock>(SLUICE_IOC_CLOCK, 1),
    Ioctl::row<sluice_timer, Ioctl::timer>(SLUICE_IOC_TIMER, 1),
    Ioctl::row<sluice_export, Ioctl::export_>(SLUICE_IOC_EXPORT, 5),
    Ioctl::row<sluice_import, Ioctl::import>(SLUICE_IOC_IMPORT, 4),
    Ioctl::row<sluice_fence, Ioctl::fence>(SLUICE_IOC_FENCE, 4),
    Ioctl::row<sluice_phys, Ioctl::phys>(SLUICE_IOC_PHYS, 1),
    Ioctl::row<sluice_reset, Ioctl::reset>(SLUICE_IOC_RESET, 1),
};

const Ioctl& pick(uint64_t random) {
  uint64_t total = 0;
  for (const Ioctl& one : kIoctls) total += one.weight;
  uint64_t at = random % total;
  for (const Ioctl& one : kIoctls) {
    if (at < one.weight) return one;
    at -= one.weight;
  }
  return kIoctls[0];
}

}  // namespace

Actor::Actor(const ActorOptions& options) : options_(options), random_(options.seed) {
  struct sigaction action = {};
  action.sa_handler = on_fault;
  action.sa_flags = SA_NODEFER;
  ::sigaction(SIGBUS, &action, nullptr);
  ::sigaction(SIGSEGV, &action, nullptr);
  interrupt_long_calls();
  eventfd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  arena_ = static_cast<uint8_t*>(
      ::mmap(nullptr, 3 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (arena_ == MAP_FAILED) std::abort();
  ::mprotect(arena_ + 2 * kPage, kPage, PROT_NONE);
  buffer_.resize(1 << 16);
  boards_.reserve(kMostBoards);
  // Some end with commands in flight.
  has_ring_ = ::io_uring_queue_init(32, &ring_, IORING_SETUP_SQE128) == 0;
  if (options_.fail) failure_fd_ = ::open("/proc/thread-self/fail-nth", O_WRONLY | O_CLOEXEC);
}

Actor::~Actor() {
  for (const Mapped& m : mapped_) ::munmap(m.at, m.length);
  for (const Board& b : boards_) ::close(b.fd);
  for (const int fd : dmabufs_) ::close(fd);
  for (const int fd : fences_) ::close(fd);
  ::close(eventfd_);
  ::close(failure_fd_);
  if (has_ring_) ::io_uring_queue_exit(&ring_);
  ::munmap(arena_, 3 * kPage);
}

// The n-th allocation from now on fails.
void Actor::arm_failure(bool on) {
  if (failure_fd_ < 0) return;
  char text[16];
  const int n = std::snprintf(text, sizeof(text), "%d", on ? static_cast<int>(1 + below(24)) : 0);
  [[maybe_unused]] const ssize_t written = ::write(failure_fd_, text, static_cast<size_t>(n));
}

uint64_t Actor::interesting() {
  constexpr uint64_t kValues[] = {0,     1,         2,          7,          8,          0xfff,
                                  kPage, kPage + 1, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
                                  ~0ull, ~0ull - 1, 1ull << 63, ~0ull << 12};
  return chance(80) ? kValues[below(std::size(kValues))] : any();
}

Actor::Board* Actor::board() { return boards_.empty() ? nullptr : &boards_[below(boards_.size())]; }

uint32_t Actor::handle() { return one_of(current_->handles, 1u + static_cast<uint32_t>(below(8))); }

void Actor::open_board() {
  if (boards_.size() >= kMostBoards || options_.boards.empty()) return;
  const std::string& path = options_.boards[below(options_.boards.size())];
  const int flags = (chance(85) ? O_RDWR : O_RDONLY) | O_CLOEXEC | (chance(20) ? O_NONBLOCK : 0);
  const int fd = ::open(path.c_str(), flags);
  if (fd >= 0) boards_.push_back({fd, {}, {}, {}, {}});
}

void Actor::close_board() {
  if (boards_.empty() || !chance(30)) return;
  const size_t at = below(boards_.size());
  ::close(boards_[at].fd);
  boards_.erase(boards_.begin() + static_cast<ptrdiff_t>(at));
}

void Actor::spoil(std::vector<uint8_t>& arg) {
  for (uint64_t n = 1 + below(3); n > 0; --n) {
    const uint64_t value = interesting();
    if (chance(15)) {  // the size
      const auto size = static_cast<uint32_t>(chance(50) ? arg.size() + below(64) - 32 : value);
      std::memcpy(arg.data(), &size, sizeof(size));
    } else if (arg.size() >= 16) {
      const size_t width = chance(50) ? 4 : 8;
      const size_t at = 4 + below((arg.size() - 4 - width) / 4 + 1) * 4;
      std::memcpy(arg.data() + at, &value, width);
    }
  }
}

// What an accepted call has given us.
void Actor::harvest(unsigned long request, const uint8_t* arg) {
  const auto as = [&]<typename T>(T value) {
    std::memcpy(&value, arg, sizeof(value));
    return value;
  };
  switch (request) {
    case SLUICE_IOC_ALLOC:
      current_->handles.push_back(as(sluice_alloc{}).handle);
      break;
    case SLUICE_IOC_IMPORT:
      current_->handles.push_back(as(sluice_import{}).handle);
      break;
    case SLUICE_IOC_MAP:
      current_->cookies.push_back(as(sluice_map{}).cookie);
      break;
    case SLUICE_IOC_QUEUE: {
      const auto made = as(sluice_queue{});
      (made.flags & SLUICE_QUEUE_KERNEL ? current_->kernel_queues : current_->queues)
          .push_back(made.handle);
      for (const uint64_t cookie : {made.sq_cookie, made.cq_cookie, made.doorbell_cookie}) {
        if (cookie) current_->cookies.push_back(cookie);
      }
      break;
    }
    case SLUICE_IOC_EXPORT:
      dmabufs_.push_back(as(sluice_export{}).fd);
      break;
    case SLUICE_IOC_FENCE:
      fences_.push_back(as(sluice_fence{}).fd);
      break;
    default:
      break;
  }
  for (auto* list : {&dmabufs_, &fences_}) {
    while (list->size() > kMostDescriptors) {
      ::close(list->front());
      list->erase(list->begin());
    }
  }
  for (auto* list : {&current_->handles, &current_->queues, &current_->kernel_queues}) {
    if (list->size() > 32) list->erase(list->begin());
  }
  if (current_->cookies.size() > 64) current_->cookies.erase(current_->cookies.begin());
}

void Actor::call() {
  current_ = board();
  if (!current_) return open_board();
  const Ioctl& one = pick(any());
  if (one.request == SLUICE_IOC_RESET && !(options_.resets && chance(20))) return;
  std::vector<uint8_t> arg(one.size);
  one.fill(*this, arg.data());
  const auto size = static_cast<uint32_t>(one.size);
  std::memcpy(arg.data(), &size, sizeof(size));
  const bool hostile = chance(options_.hostile);
  if (hostile) spoil(arg);
  // At the end of what is mapped: one byte more is a fault.
  uint8_t* at = arena_ + 2 * kPage - arg.size();
  std::memcpy(at, arg.data(), arg.size());
  if (hostile && chance(10)) at += below(arg.size());
  if (hostile && chance(3)) at = reinterpret_cast<uint8_t*>(interesting());
  const bool failing = chance(options_.fail);
  if (failing) arm_failure(true);
  const int result = ::ioctl(current_->fd, one.request, at);
  if (failing) arm_failure(false);
  ++n_calls_;
  if (result != 0) return;
  ++n_accepted_;
  if (at == arena_ + 2 * kPage - arg.size()) harvest(one.request, at);
}

void Actor::map() {
  Board* b = board();
  if (!b || mapped_.size() >= kMostMapped) return;
  const uint64_t cookie = chance(90) ? one_of(b->cookies, interesting()) : interesting();
  const size_t length = (1 + below(chance(80) ? 4 : 64)) * kPage;
  const int prot = chance(80) ? PROT_READ | PROT_WRITE : static_cast<int>(below(8));
  const int flags = chance(95) ? MAP_SHARED : MAP_PRIVATE;
  const bool failing = chance(options_.fail);
  if (failing) arm_failure(true);
  void* at = ::mmap(nullptr, length, prot, flags, b->fd, static_cast<off_t>(cookie));
  if (failing) arm_failure(false);
  if (at != MAP_FAILED) mapped_.push_back({static_cast<uint8_t*>(at), length});
}

void Actor::touch() {
  if (mapped_.empty()) return;
  const Mapped m = mapped_[below(mapped_.size())];
  for (int i = 0; i < 8; ++i) {
    auto* at = reinterpret_cast<volatile uint32_t*>(m.at + below(m.length / 4) * 4);
    const auto value = static_cast<uint32_t>(interesting());
    const bool writes = chance(50);
    guarded([&] {
      if (writes) {
        *at = value;
      } else {
        [[maybe_unused]] const uint32_t seen = *at;
      }
    });
  }
}

void Actor::change_mapping() {
  if (mapped_.empty()) return;
  const size_t index = below(mapped_.size());
  Mapped& m = mapped_[index];
  switch (below(6)) {
    case 0: {  // elsewhere
      void* at = ::mremap(m.at, m.length, m.length, MREMAP_MAYMOVE);
      if (at != MAP_FAILED) m.at = static_cast<uint8_t*>(at);
      break;
    }
    case 1:
      ::mremap(m.at, m.length, m.length + kPage, 0);
      break;
    case 2:
      ::mprotect(m.at, m.length, static_cast<int>(below(4)));
      break;
    case 3:
      ::madvise(m.at, m.length, chance(50) ? MADV_DONTFORK : MADV_DONTNEED);
      break;
    case 4:  // a part: refused, or of no consequence for what we think is ours
      ::munmap(m.at + m.length - kPage, kPage);
      break;
    default:
      ::munmap(m.at, m.length);
      mapped_.erase(mapped_.begin() + static_cast<ptrdiff_t>(index));
  }
}

// Entries into something that may be a ring, and a tail into something that may be a doorbell.
void Actor::ring() {
  if (mapped_.size() < 2) return;
  const Mapped entries = mapped_[below(mapped_.size())], door = mapped_[below(mapped_.size())];
  const sluice_sdi_entry e = Ioctl::entry(*this);
  const uint64_t slot = below(std::min<size_t>(entries.length, kPage) / sizeof(e));
  const auto tail = static_cast<uint32_t>(chance(80) ? below(64) : interesting());
  guarded([&] {
    std::memcpy(entries.at + slot * sizeof(e), &e, sizeof(e));
    *reinterpret_cast<volatile uint32_t*>(door.at) = tail;
  });
}

void Actor::copy_by_kernel() {
  Board* b = board();
  if (!b) return;
  const auto at = static_cast<off_t>(one_of(b->cookies, interesting()) + below(3 * kPage));
  const size_t n = below(buffer_.size());
  if (chance(50)) {
    [[maybe_unused]] const ssize_t got = ::pread(b->fd, buffer_.data(), n, at);
  } else {
    [[maybe_unused]] const ssize_t put = ::pwrite(b->fd, buffer_.data(), n, at);
  }
}

// Commands, alone or linked, and what has come of those before.
void Actor::uring() {
  current_ = board();
  if (!current_ || !has_ring_) return;
  for (uint64_t n = 1 + below(8); n > 0; --n) {
    io_uring_sqe* sqe = ::io_uring_get_sqe(&ring_);
    if (!sqe) break;
    std::memset(sqe, 0, 2 * sizeof(*sqe));
    sluice_uring_cmd command = {};
    command.queue = Ioctl::queue(*this, chance(90));
    const sluice_sdi_entry e = Ioctl::entry(*this);
    std::memcpy(command.entry, &e, sizeof(e));
    sqe->opcode = IORING_OP_URING_CMD;
    sqe->fd = current_->fd;
    sqe->cmd_op = chance(97) ? SLUICE_URING_SUBMIT : static_cast<uint32_t>(interesting());
    sqe->flags = chance(20) ? IOSQE_IO_LINK : chance(10) ? IOSQE_ASYNC : 0;
    std::vector<uint8_t> bytes(sizeof(command));
    std::memcpy(bytes.data(), &command, sizeof(command));
    if (chance(options_.hostile / 4)) spoil(bytes);
    std::memcpy(sqe->cmd, bytes.data(), bytes.size());
  }
  const bool failing = chance(options_.fail);
  if (failing) arm_failure(true);
  ::io_uring_submit(&ring_);
  if (failing) arm_failure(false);
  io_uring_cqe* done;
  while (::io_uring_peek_cqe(&ring_, &done) == 0) ::io_uring_cqe_seen(&ring_, done);
}

void Actor::wait_a_little() {
  std::vector<pollfd> fds;
  for (const Board& b : boards_) fds.push_back({b.fd, POLLIN, 0});
  for (const int fd : fences_) fds.push_back({fd, POLLIN, 0});
  for (const int fd : dmabufs_) fds.push_back({fd, POLLIN | POLLOUT, 0});
  fds.push_back({eventfd_, POLLIN, 0});
  ::poll(fds.data(), fds.size(), static_cast<int>(below(3)));
}

void Actor::use_dmabuf() {
  if (dmabufs_.empty()) return;
  const int fd = dmabufs_[below(dmabufs_.size())];
  if (chance(40) && mapped_.size() < kMostMapped) {
    const size_t length = (1 + below(8)) * kPage;
    void* at = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                      static_cast<off_t>(below(4) * kPage));
    if (at != MAP_FAILED) mapped_.push_back({static_cast<uint8_t*>(at), length});
    return;
  }
  dma_buf_sync sync = {below(8)};
  ::ioctl(fd, DMA_BUF_IOCTL_SYNC, &sync);
  ::lseek(fd, static_cast<off_t>(below(2) * interesting()), chance(50) ? SEEK_END : SEEK_SET);
}

// It inherits mappings and files, uses them, and goes; or is ended.
void Actor::have_a_child() {
  if (!chance(25)) return;
  const uint64_t seed = any();
  const pid_t pid = ::fork();
  if (pid == 0) {
    random_.seed(seed);
    for (int i = 0; i < 4; ++i) {
      touch();
      wait_a_little();
    }
    ::_exit(0);
  }
  if (pid < 0) return;
  if (chance(50)) ::kill(pid, SIGKILL);
  int status;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
}

void Actor::read_about() {
  static const char* const kPaths[] = {
      "/sys/class/misc/sluice0/state",           "/sys/class/misc/sluice0/system_hz",
      "/sys/class/misc/sluice1/memory_free",     "/sys/kernel/debug/sluice/sluice0/mappings",
      "/sys/kernel/debug/sluice/sluice0/queues", "/sys/kernel/debug/sluice/sluice0/segments"};
  const int fd = ::open(kPaths[below(std::size(kPaths))], O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  [[maybe_unused]] const ssize_t n = ::read(fd, buffer_.data(), buffer_.size());
  ::close(fd);
}

void Actor::act() {
  struct Choice {
    unsigned weight;
    void (Actor::*what)();
  };
  static constexpr Choice kChoices[] = {
      {60, &Actor::call},      {5, &Actor::open_board},     {2, &Actor::close_board},
      {12, &Actor::map},       {12, &Actor::touch},         {5, &Actor::change_mapping},
      {8, &Actor::ring},       {4, &Actor::copy_by_kernel}, {4, &Actor::wait_a_little},
      {4, &Actor::use_dmabuf}, {8, &Actor::uring},          {2, &Actor::have_a_child},
      {2, &Actor::read_about},
  };
  unsigned total = 0;
  for (const Choice& one : kChoices) total += one.weight;
  uint64_t at = below(total);
  for (const Choice& one : kChoices) {
    if (at < one.weight) return (this->*one.what)();
    at -= one.weight;
  }
}

}  // namespace fuzz
