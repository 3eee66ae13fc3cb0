// SPDX-License-Identifier: Apache-2.0
// What the tests of the arm64 guest share: guest.c has it, and the list of the tests.
#ifndef SLUICE_TESTS_ARM64_GUEST_H
#define SLUICE_TESTS_ARM64_GUEST_H

#define PAGE 4096

// Why the test that runs has failed: what was found first, empty if nothing was.
extern char why[256];
void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));
void same(unsigned long got, unsigned long wanted, const char* what);

// 0 or an errno value.
int call(int fd, unsigned long request, void* arg);
// The board of that bus name, open; -1 with a reason if there is none.
int open_board(const char* name);
struct sluice_info info_of(int fd);
void write_file(const char* path, const char* text);
// SLUICE_IOC_IRQ: interrupts so far.
unsigned long irq(int fd, unsigned flags);
// poll(): 1 if there is something to be read within so many milliseconds.
int has_news(int fd, int ms);

// Objects of a board with the Device Interface: handles.
unsigned allocate(int fd, unsigned kind, unsigned long length);
void grant(int fd, unsigned queue, unsigned segment, unsigned handle, unsigned long length);
unsigned make_queue(int fd);
void submit_copy(int fd, unsigned queue, unsigned long src, unsigned long dst,
                 unsigned long length);
// The status of the next completion.
unsigned collect(int fd, unsigned queue);
// By ioctl, with a queue that ends of it.
void reset_board(const char* name);

// guest_irq.c
void a_line_is_shared_by_boards_with_queues(void);
void boards_raise_a_line_at_the_same_time(void);
void each_vector_is_an_edge_of_its_own(void);
void interrupts_survive_resets_and_unbinding(void);

#endif  // SLUICE_TESTS_ARM64_GUEST_H
