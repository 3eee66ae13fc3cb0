// SPDX-License-Identifier: Apache-2.0
// Guarded touches of memory that is taken back: a file that shrinks under its mapping raises the
// same SIGBUS as a board that goes.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <thread>

#include "device/guard.h"
#include "support.h"

using sluice::guarded;

TestSuite(guard, .timeout = 60);

namespace {

constexpr size_t kPage = 4096;

// Two pages of which the second is gone.
volatile char* half_a_mapping() {
  const int fd = ::memfd_create("guard", MFD_CLOEXEC);
  cr_assert(fd >= 0 && ::ftruncate(fd, 2 * kPage) == 0);
  void* data = ::mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  cr_assert(data != MAP_FAILED);
  cr_assert(::ftruncate(fd, kPage) == 0);
  ::close(fd);
  return static_cast<volatile char*>(data);
}

}  // namespace

Test(guard, says_whether_the_memory_was_there) {
  volatile char* data = half_a_mapping();
  for (int i = 0; i < 1000; ++i) {
    cr_expect(guarded([data] { data[10] = 1; }));
    cr_expect(!guarded([data] { data[kPage] = 1; }));
  }
  char c = 0;
  cr_expect(guarded([data, &c] { c = data[10]; }));
  cr_expect(c == 1);
}

Test(guard, guards_may_be_nested) {
  volatile char* data = half_a_mapping();
  bool inner = true;
  const bool outer = guarded([data, &inner] {
    inner = guarded([data] { data[kPage] = 1; });
    data[0] = 1;
  });
  cr_expect(outer && !inner);
  cr_expect(!guarded([data] {
    (void)guarded([data] { data[0] = 1; });
    data[kPage] = 1;
  }));
}

Test(guard, each_thread_has_its_own) {
  volatile char* data = half_a_mapping();
  std::atomic<int> wrong{0};
  std::thread threads[4];
  for (std::thread& t : threads) {
    t = std::thread([data, &wrong] {
      for (int i = 0; i < 2000; ++i) {
        if (!guarded([data] { data[0] = 1; })) ++wrong;
        if (guarded([data] { data[kPage + 100] = 1; })) ++wrong;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  cr_expect(sluice::test::same(wrong.load(), 0));
}

// What nobody guards is still the end.
Test(guard, an_unguarded_touch_is_fatal, .signal = SIGBUS) {
  ::signal(SIGBUS, SIG_DFL);  // a sanitizer has a handler of its own
  volatile char* data = half_a_mapping();
  cr_expect(!guarded([data] { data[kPage] = 1; }));
  data[kPage] = 1;
}

static volatile sig_atomic_t handled = 0;
static volatile char* refill = nullptr;

// A program's own handler, there before ours, still gets what is not ours.
Test(guard, another_handler_is_called) {
  volatile char* data = half_a_mapping();
  refill = data;
  struct sigaction action = {};
  action.sa_handler = [](int) {
    handled = handled + 1;
    ::mmap(const_cast<char*>(refill) + kPage, kPage, PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  };
  cr_assert(::sigaction(SIGBUS, &action, nullptr) == 0);
  cr_expect(!guarded([data] { data[kPage] = 1; }));
  cr_expect(handled == 0);
  data[kPage] = 7;
  cr_expect(handled == 1 && data[kPage] == 7);
}
