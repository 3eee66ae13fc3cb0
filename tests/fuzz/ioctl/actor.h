// SPDX-License-Identifier: Apache-2.0
// A program that does at random what programs can do with boards: every ioctl, mappings, rings,
// dma-bufs, fork; right as often as wrong. tests/vm's storm has many of them come and go; the
// fuzzer has them try for long. Nothing here judges: the kernel's log does, and whoever watches
// that no process hangs.
#ifndef SLUICE_TESTS_FUZZ_IOCTL_ACTOR_H
#define SLUICE_TESTS_FUZZ_IOCTL_ACTOR_H

#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace fuzz {

struct ActorOptions {
  uint64_t seed = 1;
  std::vector<std::string> boards;  // device files
  unsigned hostile = 30;            // percent of arguments that are spoilt
  unsigned fail = 0;  // percent of calls in which an allocation fails, if the kernel can
  bool resets = true;
};

class Actor {
 public:
  explicit Actor(const ActorOptions& options);
  Actor(const Actor&) = delete;
  ~Actor();

  void act();
  uint64_t n_calls() const { return n_calls_; }
  uint64_t n_accepted() const { return n_accepted_; }

 private:
  friend struct Ioctl;
  struct Board {  // an open file, and what it has given us
    int fd;
    std::vector<uint32_t> handles, queues, kernel_queues;
    std::vector<uint64_t> cookies;
  };
  struct Mapped {
    uint8_t* at;
    size_t length;
  };

  uint64_t any() { return random_(); }
  uint64_t below(uint64_t n) { return n ? random_() % n : 0; }
  bool chance(unsigned percent) { return below(100) < percent; }
  template <typename T>
  T one_of(const std::vector<T>& list, T otherwise) {
    return list.empty() ? otherwise : list[below(list.size())];
  }
  uint64_t interesting();
  uint32_t handle();
  Board* board();

  void open_board();
  void close_board();
  void call();
  void spoil(std::vector<uint8_t>& arg);
  void harvest(unsigned long request, const uint8_t* arg);
  void map();
  void touch();
  void change_mapping();
  void ring();
  void copy_by_kernel();
  void uring();
  void wait_a_little();
  void use_dmabuf();
  void have_a_child();
  void read_about();
  void arm_failure(bool on);

  ActorOptions options_;
  std::mt19937_64 random_;
  std::vector<Board> boards_;
  Board* current_ = nullptr;
  std::vector<Mapped> mapped_;
  std::vector<int> dmabufs_, fences_;
  int eventfd_;
  uint8_t* arena_;               // two pages and one that is not there
  std::vector<uint8_t> buffer_;  // what arguments point to
  int failure_fd_ = -1;
  io_uring ring_ = {};
  bool has_ring_ = false;
  uint64_t n_calls_ = 0, n_accepted_ = 0;
};

}  // namespace fuzz

#endif  // SLUICE_TESTS_FUZZ_IOCTL_ACTOR_H
