// SPDX-License-Identifier: Apache-2.0
// Interrupts of boards with queues, as a device tree gives them: one line that two boards share, and an edge for each
// vector. The boards raise them by the inputs of the machine's interrupt controller (tests/arm64/run).
#include <errno.h>
#include <sluice.h>
#include <sluice_sdi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

#define LINE_A_NAME "54000000.npu"
#define LINE_B_NAME "54400000.npu"
#define EDGES_NAME "54800000.npu"
#define EDGES_QUEUES 3

// A board with a queue that copies a page within device memory.
struct worker {
  int fd;
  unsigned queue;
  char node[64];
};

static struct worker make_worker(int fd) {
  struct worker w = {.fd = fd};
  char link[32], path[64] = "";
  snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  if (readlink(link, path, sizeof(path) - 1) < 0) fail("%s: %s", link, strerror(errno));
  snprintf(w.node, sizeof(w.node), "%s", path + strlen("/dev/"));
  w.queue = make_queue(fd);
  const unsigned memory = allocate(fd, SLUICE_ALLOC_DEVICE, 2 * PAGE);
  if (!why[0]) grant(fd, w.queue, 0, memory, 2 * PAGE);
  return w;
}

static void submit_work(const struct worker* w) {
  submit_copy(w->fd, w->queue, SLUICE_SDI_ADDR(0, 0), SLUICE_SDI_ADDR(0, PAGE), PAGE);
}

// Interrupts that the kernel has counted, of all processors, in the line of that action.
static unsigned long interrupts_of(const char* action) {
  static const char kBetween[] = " ,\n";
  unsigned long sum = 0;
  char line[256];
  int found = 0;
  FILE* file = fopen("/proc/interrupts", "r");
  while (file && fgets(line, sizeof(line), file)) {
    const size_t length = strlen(action);
    const char* at = strstr(line, action);
    while (at && (!strchr(kBetween, at[-1]) || !strchr(kBetween, at[length]))) {
      at = strstr(at + 1, action);
    }
    if (!at) continue;
    char* next = strchr(line, ':') + 1;
    for (char* end = next; *end == ' ' || end == next; next = end) {
      sum += strtoul(next, &end, 10);
      if (end == next) break;
    }
    found++;
  }
  if (file) fclose(file);
  same((unsigned long)found, 1, action);
  return sum;
}

// The same, once nothing more comes: the last ones may still be on their way.
static unsigned long settled_interrupts(const char* action) {
  unsigned long last = interrupts_of(action);
  for (int i = 0; i < 40; i++) {
    usleep(30000);
    const unsigned long next = interrupts_of(action);
    if (next == last) break;
    last = next;
  }
  return last;
}

static int by_size(const void* a, const void* b) {
  const long x = *(const long*)a, y = *(const long*)b;
  return (x > y) - (x < y);
}

static long now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

// Entry after entry, each waited for by poll(), which does nothing but sleep. The driver looks after queues every 50 ms
// whether it is interrupted or not: a wait that begins when such a look has ended the one before lasts until the next.
static void waits_end_by_interrupts(const struct worker* w, const char* action) {
  enum { kWaits = 41, kMostUs = 25000 };
  long took[kWaits];
  const unsigned long before = interrupts_of(action), seen = irq(w->fd, 0);
  for (int i = 0; i < kWaits && !why[0]; i++) {
    const long start = now_us();
    submit_work(w);
    same((unsigned long)has_news(w->fd, 5000), 1, "news of a completion");
    same(collect(w->fd, w->queue), SLUICE_SDI_OK, "status of the completion");
    took[i] = now_us() - start;
  }
  if (why[0]) return;
  qsort(took, kWaits, sizeof(took[0]), by_size);
  if (took[kWaits / 2] > kMostUs) fail("half of the waits took longer than %ld us", took[kWaits / 2]);
  // One interrupt may tell of two entries, if the first was found before it came.
  const unsigned long counted = settled_interrupts(action) - before, told = irq(w->fd, 0) - seen;
  if (counted < kWaits / 2) fail("%s: %lu interrupts for %d waits", action, counted, kWaits);
  if (told < kWaits / 2) fail("%s: the board counts %lu for %d waits", action, told, kWaits);
}

// Neither board takes the other's interrupts for its own.
void a_line_is_shared_by_boards_with_queues(void) {
  const int fds[2] = {open_board(LINE_A_NAME), open_board(LINE_B_NAME)};
  if (why[0]) return;
  const struct worker workers[2] = {make_worker(fds[0]), make_worker(fds[1])};
  for (int i = 0; i < 2 && !why[0]; i++) {
    same(info_of(fds[i]).state, SLUICE_STATE_BUS_MASTER | SLUICE_STATE_IRQ, "state: a line");
    const unsigned long idle = irq(fds[1 - i], 0);
    waits_end_by_interrupts(&workers[i], workers[i].node);
    same(irq(fds[1 - i], 0), idle, "interrupts of the board that is idle");
  }
  same(interrupts_of(workers[0].node), interrupts_of(workers[1].node), "interrupts of one line");
  close(fds[0]);
  close(fds[1]);
}

// Each is up when the other lets go.
void boards_raise_a_line_at_the_same_time(void) {
  enum { kRounds = 40 };
  const int fds[2] = {open_board(LINE_A_NAME), open_board(LINE_B_NAME)};
  if (why[0]) return;
  const struct worker workers[2] = {make_worker(fds[0]), make_worker(fds[1])};
  const unsigned long before[2] = {irq(fds[0], 0), irq(fds[1], 0)};
  for (int round = 0; round < kRounds && !why[0]; round++) {
    for (int i = 0; i < 2; i++) submit_work(&workers[i]);
    for (int i = 0; i < 2; i++) {
      same(collect(fds[i], workers[i].queue), SLUICE_SDI_OK, "status of the completion");
    }
  }
  for (int i = 0; i < 2; i++) {
    const unsigned long told = irq(fds[i], 0) - before[i];
    if (told < kRounds / 2) fail("%s: %lu interrupts in %d rounds", workers[i].node, told, kRounds);
    close(fds[i]);
  }
}

// The queues' vectors are found by the names that the device tree gives them, in an order of its own.
void each_vector_is_an_edge_of_its_own(void) {
  const int fd = open_board(EDGES_NAME);
  if (fd < 0) return;
  same(info_of(fd).state, SLUICE_STATE_BUS_MASTER | SLUICE_STATE_IRQ | SLUICE_STATE_VECTORS,
       "state: vectors");
  struct worker workers[EDGES_QUEUES];
  char actions[EDGES_QUEUES + 1][80];
  for (int i = 0; i < EDGES_QUEUES; i++) workers[i] = make_worker(fd);
  for (int i = 0; i <= EDGES_QUEUES; i++) {
    snprintf(actions[i], sizeof(actions[i]), "%s-v%d", workers[0].node, i);
  }
  for (int i = 0; i < EDGES_QUEUES && !why[0]; i++) {
    unsigned long before[EDGES_QUEUES + 1];
    for (int v = 0; v <= EDGES_QUEUES; v++) before[v] = interrupts_of(actions[v]);
    waits_end_by_interrupts(&workers[i], actions[1 + i]);
    for (int v = 0; v <= EDGES_QUEUES; v++) {
      if (v != 1 + i) same(interrupts_of(actions[v]), before[v], "interrupts of another vector");
    }
  }
  // A fault has a vector of its own, beside that of the queue.
  const unsigned long faults = interrupts_of(actions[0]);
  submit_copy(fd, workers[0].queue, SLUICE_SDI_ADDR(3, 0), SLUICE_SDI_ADDR(0, 0), PAGE);
  same(collect(fd, workers[0].queue), SLUICE_SDI_E_SEGMENT, "status of a bad COPY");
  for (int i = 0; i < 200 && interrupts_of(actions[0]) == faults; i++) usleep(5000);
  same(interrupts_of(actions[0]), faults + 1, "interrupts of the vector for faults");
  close(fd);
}

static void work_once_more(const char* name, const char* suffix) {
  const int fd = open_board(name);
  if (fd < 0) return;
  const struct worker w = make_worker(fd);
  char action[80];
  snprintf(action, sizeof(action), "%s%s", w.node, suffix);
  waits_end_by_interrupts(&w, action);
  close(fd);
}

void interrupts_survive_resets_and_unbinding(void) {
  static const struct {
    const char *name, *suffix;
  } boards[] = {{LINE_A_NAME, ""}, {EDGES_NAME, "-v1"}};
  for (int i = 0; i < 2; i++) {
    reset_board(boards[i].name);
    work_once_more(boards[i].name, boards[i].suffix);
    write_file("/sys/bus/platform/drivers/sluice/unbind", boards[i].name);
    // Its neighbour on the line is still heard.
    work_once_more(LINE_B_NAME, "");
    write_file("/sys/bus/platform/drivers/sluice/bind", boards[i].name);
    work_once_more(boards[i].name, boards[i].suffix);
  }
}
