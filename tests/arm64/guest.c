// SPDX-License-Identifier: Apache-2.0
// The tests of the arm64 guest: QEMU's edu on the PCI bus; a PL061 GPIO block, a plain board of the
// platform bus; and boards with the Device Interface there, which sluice-emu serves: one that is polled, two on one
// interrupt line, one with an edge for each vector. In C, static, with the driver's header alone: no library of this
// architecture is needed. Prints `ok NAME` or `not ok NAME: why` for each; `--list` names them.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sluice.h>
#include <sluice_sdi.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"

#define EDU_NAME "0000:00:01.0"
#define EDU_ID 0x010000ed
#define EDU_LIVENESS 0x04
#define GPIO_NAME "9030000.pl061"
#define SDI_NAME "50000000.npu"
#define SDI_MEMORY (63ul << 20)  // tests/arm64/run gives it 64 MiB, of which one is registers

// The PL061. A store to its data register changes only the pins that bits 9 to 2 of the address name.
#define GPIO_DATA(pins) ((pins) << 2)
#define GPIO_DIRECTION 0x400
#define GPIO_SENSE 0x404  // 1: level
#define GPIO_EVENT 0x40c  // 1: high
#define GPIO_MASK 0x410
#define GPIO_STATUS 0x418
#define GPIO_CLEAR 0x41c
#define GPIO_PERIPHERAL_ID 0xfe0
#define LED 0x01  // the pin of the light
#define BUTTON 0x80

char why[256];

void fail(const char* format, ...) {
  va_list list;
  if (why[0]) return;
  va_start(list, format);
  vsnprintf(why, sizeof(why), format, list);
  va_end(list);
}

void same(unsigned long got, unsigned long wanted, const char* what) {
  if (got != wanted) fail("%s: got %#lx, expected %#lx", what, got, wanted);
}

int call(int fd, unsigned long request, void* arg) {
  return ioctl(fd, request, arg) == 0 ? 0 : errno;
}

struct sluice_info info_of(int fd) {
  struct sluice_info info = {.size = sizeof(info)};
  same((unsigned long)call(fd, SLUICE_IOC_INFO, &info), 0, "INFO");
  return info;
}

int open_board(const char* name) {
  for (int i = 0; i < 8; i++) {
    char path[32];
    snprintf(path, sizeof(path), "/dev/sluice%d", i);
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) continue;
    if (strcmp(info_of(fd).name, name) == 0) return fd;
    close(fd);
  }
  fail("no board %s", name);
  return -1;
}

static unsigned long reg_read(int fd, unsigned offset, unsigned width) {
  struct sluice_reg reg = {.size = sizeof(reg), .offset = offset, .width = width};
  same((unsigned long)call(fd, SLUICE_IOC_REG_READ, &reg), 0, "REG_READ");
  return reg.value;
}

static void reg_write(int fd, unsigned offset, unsigned long value) {
  struct sluice_reg reg = {.size = sizeof(reg), .offset = offset, .width = 32, .value = value};
  same((unsigned long)call(fd, SLUICE_IOC_REG_WRITE, &reg), 0, "REG_WRITE");
}

static volatile uint32_t* map_page(int fd, unsigned type) {
  struct sluice_map map = {.size = sizeof(map), .length = PAGE, .type = type};
  same((unsigned long)call(fd, SLUICE_IOC_MAP, &map), 0, "MAP");
  void* at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)map.cookie);
  if (at != MAP_FAILED) return at;
  fail("mmap: %s", strerror(errno));
  return NULL;
}

void write_file(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) fail("%s: %s", path, strerror(errno));
  if (fd >= 0) close(fd);
}

static void an_edu_function_is_a_plain_board(void) {
  write_file("/sys/bus/pci/devices/" EDU_NAME "/driver_override", "sluice");
  write_file("/sys/bus/pci/drivers_probe", EDU_NAME);
  const int fd = open_board(EDU_NAME);
  if (fd < 0) return;
  volatile uint32_t* at = map_page(fd, SLUICE_MAP_UNCACHED);
  if (!at) return;
  same(info_of(fd).bus, SLUICE_BUS_PCI, "bus");
  same(reg_read(fd, 0, 32), EDU_ID, "identification by ioctl");
  same(at[0], EDU_ID, "identification by mapping");
  at[EDU_LIVENESS / 4] = 0x12345678;
  same(reg_read(fd, EDU_LIVENESS, 32), 0xedcba987, "what the mapping wrote");
  reg_write(fd, EDU_LIVENESS, 1);
  same(at[EDU_LIVENESS / 4], 0xfffffffe, "what the ioctl wrote");
}

static void a_device_tree_makes_plain_boards(void) {
  static const unsigned char id[8] = {0x61, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1};
  const int fd = open_board(GPIO_NAME);
  if (fd < 0) return;
  const struct sluice_info info = info_of(fd);
  same(info.bus, SLUICE_BUS_PLATFORM, "bus");
  same(info.kind, SLUICE_BOARD_PLAIN, "kind");
  same(info.n_windows, 1, "windows");
  same(info.state, SLUICE_STATE_IRQ, "state");
  volatile uint32_t* at = map_page(fd, SLUICE_MAP_UNCACHED);
  if (!at) return;
  for (unsigned i = 0; i < 8; i++) {
    same(reg_read(fd, GPIO_PERIPHERAL_ID + 4 * i, 32), id[i], "identification by ioctl");
    same(reg_read(fd, GPIO_PERIPHERAL_ID + 4 * i, 8), id[i], "one byte of it");
    same(at[GPIO_PERIPHERAL_ID / 4 + i], id[i], "identification by mapping");
  }
}

static void a_pin_is_switched_by_mapping_and_by_ioctl(void) {
  const int fd = open_board(GPIO_NAME);
  volatile uint32_t* at = fd < 0 ? NULL : map_page(fd, SLUICE_MAP_UNCACHED);
  if (!at) return;
  at[GPIO_DIRECTION / 4] = LED;
  for (int i = 0; i < 3; i++) {
    at[GPIO_DATA(LED) / 4] = LED;
    same(reg_read(fd, GPIO_DATA(LED), 32), LED, "the light is on");
    reg_write(fd, GPIO_DATA(LED), 0);
    same(at[GPIO_DATA(LED) / 4], 0, "the light is off");
    // A store that names other pins does not reach this one.
    at[GPIO_DATA(0x02) / 4] = 0xff;
    same(reg_read(fd, GPIO_DATA(LED), 32), 0, "the light is still off");
  }
}

unsigned long irq(int fd, unsigned flags) {
  struct sluice_irq arg = {.size = sizeof(arg), .flags = flags};
  same((unsigned long)call(fd, SLUICE_IOC_IRQ, &arg), 0, "IRQ");
  return arg.count;
}

int has_news(int fd, int ms) {
  struct pollfd one = {.fd = fd, .events = POLLIN};
  return poll(&one, 1, ms);
}

// A level: the button's pin raises while it is as the event register says.
static void a_line_is_masked_until_it_is_asked_for_again(void) {
  const int fd = open_board(GPIO_NAME);
  if (fd < 0) return;
  const unsigned long before = irq(fd, SLUICE_IRQ_ENABLE);
  same((unsigned long)has_news(fd, 50), 0, "news of a quiet board");
  const unsigned long level = reg_read(fd, GPIO_DATA(BUTTON), 32) & BUTTON;
  reg_write(fd, GPIO_SENSE, BUTTON);
  reg_write(fd, GPIO_EVENT, level);
  reg_write(fd, GPIO_MASK, BUTTON);
  same((unsigned long)has_news(fd, 2000), 1, "news of an interrupt");
  same(reg_read(fd, GPIO_STATUS, 32), BUTTON, "status");
  // The line is up all the time, and yet there is one interrupt for each time that it is enabled.
  same(irq(fd, 0), before + 1, "interrupts");
  same((unsigned long)has_news(fd, 100), 0, "news of a masked line");
  same(irq(fd, SLUICE_IRQ_ENABLE), before + 1, "interrupts");
  same((unsigned long)has_news(fd, 2000), 1, "news of a line that was up");
  same(irq(fd, 0), before + 2, "interrupts");
  // Served: the board lets go, and enabling brings nothing.
  reg_write(fd, GPIO_EVENT, level ^ BUTTON);
  reg_write(fd, GPIO_CLEAR, BUTTON);
  irq(fd, SLUICE_IRQ_ENABLE);
  same((unsigned long)has_news(fd, 100), 0, "news of a board that was served");
  reg_write(fd, GPIO_EVENT, level);
  same((unsigned long)has_news(fd, 2000), 1, "news of the next");
  same(irq(fd, 0), before + 3, "interrupts");
  reg_write(fd, GPIO_MASK, 0);
  reg_write(fd, GPIO_SENSE, 0);
}

// What this machine cannot do is said, and nothing else is done instead.
static void memory_that_cannot_be_had_is_refused(void) {
  const int fd = open_board(GPIO_NAME);
  if (fd < 0) return;
  struct sluice_alloc alloc = {.size = sizeof(alloc), .kind = SLUICE_ALLOC_COHERENT, .length = PAGE};
  same((unsigned long)call(fd, SLUICE_IOC_ALLOC, &alloc), EPERM, "ALLOC of a plain board");
  struct sluice_map map = {.size = sizeof(map), .length = PAGE, .type = SLUICE_MAP_WRITE_COMBINED};
  same((unsigned long)call(fd, SLUICE_IOC_MAP, &map), EOPNOTSUPP, "registers, write-combined");
  map.type = SLUICE_MAP_CACHED;
  same((unsigned long)call(fd, SLUICE_IOC_MAP, &map), EOPNOTSUPP, "registers, cached");
}

static sigjmp_buf on_fault;

static void remember_fault(int number) { siglongjmp(on_fault, number); }

static int signal_of_read(volatile uint32_t* at) {
  const struct sigaction action = {.sa_handler = remember_fault};
  sigaction(SIGBUS, &action, NULL);
  sigaction(SIGSEGV, &action, NULL);
  const int number = sigsetjmp(on_fault, 1);
  if (number == 0) (void)*at;
  signal(SIGBUS, SIG_DFL);
  signal(SIGSEGV, SIG_DFL);
  return number;
}

static void unbinding_takes_mappings_back(const char* bus, const char* name) {
  char path[96];
  const int fd = open_board(name);
  volatile uint32_t* at = fd < 0 ? NULL : map_page(fd, SLUICE_MAP_UNCACHED);
  if (!at) return;
  same((unsigned long)signal_of_read(at), 0, "signal while it is bound");
  snprintf(path, sizeof(path), "/sys/bus/%s/drivers/sluice/unbind", bus);
  write_file(path, name);
  same((unsigned long)signal_of_read(at), SIGBUS, "signal");
  struct sluice_info info = {.size = sizeof(info)};
  same((unsigned long)call(fd, SLUICE_IOC_INFO, &info), ENODEV, "INFO");
  same((unsigned long)has_news(fd, 0), 1, "poll");
  snprintf(path, sizeof(path), "/sys/bus/%s/drivers/sluice/bind", bus);
  write_file(path, name);
  const int again = open_board(name);
  if (again < 0) return;
  at = map_page(again, SLUICE_MAP_UNCACHED);
  if (at) same((unsigned long)signal_of_read(at), 0, "signal of a new mapping");
}

static void a_device_tree_makes_boards_with_the_interface(void) {
  const int fd = open_board(SDI_NAME);
  if (fd < 0) return;
  const struct sluice_info info = info_of(fd);
  same(info.bus, SLUICE_BUS_PLATFORM, "bus");
  same(info.kind, SLUICE_BOARD_SDI, "kind");
  same(info.state, SLUICE_STATE_BUS_MASTER, "state: no interrupts");
  same(info.memory_size, SDI_MEMORY, "device memory");
  same(info.n_queues, info.n_queues_free, "free queues");
  same(reg_read(fd, 0, 32), SLUICE_SDI_MAGIC, "magic");
}

unsigned allocate(int fd, unsigned kind, unsigned long length) {
  struct sluice_alloc alloc = {.size = sizeof(alloc), .kind = kind, .length = length};
  same((unsigned long)call(fd, SLUICE_IOC_ALLOC, &alloc), 0, "ALLOC");
  return alloc.handle;
}

void grant(int fd, unsigned queue, unsigned segment, unsigned handle, unsigned long length) {
  struct sluice_grant arg = {.size = sizeof(arg),
                             .flags = SLUICE_GRANT_READ | SLUICE_GRANT_WRITE,
                             .queue = queue,
                             .segment = segment,
                             .handle = handle,
                             .length = length};
  same((unsigned long)call(fd, SLUICE_IOC_GRANT, &arg), 0, "GRANT");
}

unsigned make_queue(int fd) {
  struct sluice_queue queue = {
      .size = sizeof(queue), .flags = SLUICE_QUEUE_KERNEL, .n_entries = 16, .n_segments = 4};
  same((unsigned long)call(fd, SLUICE_IOC_QUEUE, &queue), 0, "QUEUE");
  return queue.handle;
}

void submit_copy(int fd, unsigned queue, unsigned long src, unsigned long dst,
                        unsigned long length) {
  struct sluice_sdi_entry entry = {.opcode = SLUICE_SDI_ENTRY_COPY, .id = 7};
  entry.copy.src = src;
  entry.copy.dst = dst;
  entry.copy.length = length;
  struct sluice_submit submit = {
      .size = sizeof(submit), .queue = queue, .count = 1, .entries = (uintptr_t)&entry};
  same((unsigned long)call(fd, SLUICE_IOC_SUBMIT, &submit), 0, "SUBMIT");
}

unsigned collect(int fd, unsigned queue) {
  struct sluice_sdi_completion done = {.status = 0xffff};
  struct sluice_wait wait = {.size = sizeof(wait),
                             .queue = queue,
                             .count = 1,
                             .timeout_ns = 10000000000ull,
                             .completions = (uintptr_t)&done};
  same((unsigned long)call(fd, SLUICE_IOC_WAIT, &wait), 0, "WAIT");
  same(done.id, 7, "id of the completion");
  return done.status;
}

// One COPY, carried out.
static void copy(int fd, unsigned queue, unsigned long src, unsigned long dst, unsigned long length) {
  submit_copy(fd, queue, src, dst, length);
  same(collect(fd, queue), SLUICE_SDI_OK, "status of the completion");
}

static uint8_t* map_object(int fd, unsigned handle, unsigned long length) {
  struct sluice_map map = {.size = sizeof(map),
                           .flags = SLUICE_MAP_OBJECT,
                           .window = handle,
                           .type = SLUICE_MAP_NATIVE,
                           .length = length};
  same((unsigned long)call(fd, SLUICE_IOC_MAP, &map), 0, "MAP of an object");
  void* at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)map.cookie);
  if (at != MAP_FAILED) return at;
  fail("mmap of an object: %s", strerror(errno));
  return NULL;
}

// Host to device and back by the board's DMA; and what the CPU sees of device memory.
static void board_copies(const char* name) {
  enum { kBytes = 3 * PAGE };
  const int fd = open_board(name);
  if (fd < 0) return;
  const unsigned queue = make_queue(fd);
  const unsigned host = allocate(fd, SLUICE_ALLOC_COHERENT, 2 * kBytes);
  const unsigned pages = allocate(fd, SLUICE_ALLOC_PAGES, kBytes);
  const unsigned device = allocate(fd, SLUICE_ALLOC_DEVICE, kBytes);
  if (why[0]) return;
  grant(fd, queue, 0, host, 2 * kBytes);
  grant(fd, queue, 1, device, kBytes);
  grant(fd, queue, 2, pages, kBytes);
  uint8_t* in_host = map_object(fd, host, 2 * kBytes);
  uint8_t* in_pages = map_object(fd, pages, kBytes);
  volatile uint8_t* in_device = map_object(fd, device, kBytes);
  if (why[0]) return;
  for (int i = 0; i < kBytes; i++) in_host[i] = (uint8_t)(i * 7 + i / PAGE);
  copy(fd, queue, SLUICE_SDI_ADDR(0, 0), SLUICE_SDI_ADDR(1, 0), kBytes);
  for (int i = 0; i < kBytes; i++) same(in_device[i], in_host[i], "what the CPU sees in the device");
  copy(fd, queue, SLUICE_SDI_ADDR(1, 0), SLUICE_SDI_ADDR(0, kBytes), kBytes);
  copy(fd, queue, SLUICE_SDI_ADDR(1, 0), SLUICE_SDI_ADDR(2, 0), kBytes);
  same((unsigned long)memcmp(in_host, in_host + kBytes, kBytes), 0, "what came back");
  same((unsigned long)memcmp(in_host, in_pages, kBytes), 0, "what came back to pages");
  close(fd);
}

static void a_board_of_the_platform_bus_copies(void) { board_copies(SDI_NAME); }

void reset_board(const char* name) {
  const int fd = open_board(name);
  if (fd < 0) return;
  const unsigned queue = make_queue(fd);
  struct sluice_reset reset = {.size = sizeof(reset)};
  same((unsigned long)call(fd, SLUICE_IOC_RESET, &reset), 0, "RESET");
  struct sluice_sdi_completion done;
  struct sluice_wait wait = {.size = sizeof(wait),
                             .queue = queue,
                             .count = 1,
                             .completions = (uintptr_t)&done};
  same((unsigned long)call(fd, SLUICE_IOC_WAIT, &wait), ECONNRESET, "WAIT of a queue from before");
  close(fd);
}

static void a_board_of_the_platform_bus_is_reset(void) {
  reset_board(SDI_NAME);
  a_board_of_the_platform_bus_copies();
}

// Types that only x86 can give to RAM.
static void memory_types_of_ram_are_refused(void) {
  static const unsigned kinds[] = {SLUICE_ALLOC_UNCACHED, SLUICE_ALLOC_WRITE_COMBINED};
  const int fd = open_board(SDI_NAME);
  if (fd < 0) return;
  for (int i = 0; i < 2; i++) {
    struct sluice_alloc alloc = {.size = sizeof(alloc), .kind = kinds[i], .length = PAGE};
    same((unsigned long)call(fd, SLUICE_IOC_ALLOC, &alloc), EOPNOTSUPP, "ALLOC");
  }
}

static void unbinding_takes_mappings_back_pci(void) {
  unbinding_takes_mappings_back("pci", EDU_NAME);
}

static void unbinding_takes_mappings_back_platform(void) {
  unbinding_takes_mappings_back("platform", GPIO_NAME);
}

static void a_board_with_the_interface_comes_back(void) {
  write_file("/sys/bus/platform/drivers/sluice/unbind", SDI_NAME);
  write_file("/sys/bus/platform/drivers/sluice/bind", SDI_NAME);
  a_board_of_the_platform_bus_copies();
}

static const struct {
  const char* name;
  void (*body)(void);
} tests[] = {
#define TEST(name) {#name, name}
    TEST(an_edu_function_is_a_plain_board),
    TEST(a_device_tree_makes_plain_boards),
    TEST(a_pin_is_switched_by_mapping_and_by_ioctl),
    TEST(a_line_is_masked_until_it_is_asked_for_again),
    TEST(memory_that_cannot_be_had_is_refused),
    TEST(a_device_tree_makes_boards_with_the_interface),
    TEST(a_board_of_the_platform_bus_copies),
    TEST(a_board_of_the_platform_bus_is_reset),
    TEST(a_line_is_shared_by_boards_with_queues),
    TEST(boards_raise_a_line_at_the_same_time),
    TEST(each_vector_is_an_edge_of_its_own),
    TEST(interrupts_survive_resets_and_unbinding),
    TEST(memory_types_of_ram_are_refused),
    TEST(unbinding_takes_mappings_back_pci),
    TEST(unbinding_takes_mappings_back_platform),
    TEST(a_board_with_the_interface_comes_back),
};

int main(int argc, char** argv) {
  const int list = argc == 2 && strcmp(argv[1], "--list") == 0;
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
    if (list) {
      puts(tests[i].name);
      continue;
    }
    why[0] = 0;
    tests[i].body();
    if (why[0]) printf("not ok %s: %s\n", tests[i].name, why);
    else printf("ok %s\n", tests[i].name);
  }
  return 0;
}
