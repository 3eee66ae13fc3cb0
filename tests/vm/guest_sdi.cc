// SPDX-License-Identifier: Apache-2.0
#include "guest_sdi.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <cstring>

namespace guest {

struct sluice_info info_of(int fd) {
  auto arg = argument<struct sluice_info>();
  error_is(call(fd, SLUICE_IOC_INFO, &arg), 0, "INFO");
  return arg;
}

uint32_t allocate(int fd, uint32_t kind, uint64_t length) {
  auto arg = argument<struct sluice_alloc>();
  arg.kind = kind;
  arg.length = length;
  error_is(call(fd, SLUICE_IOC_ALLOC, &arg), 0, fmt::format("ALLOC of kind {}", kind));
  return arg.handle;
}

struct sluice_queue make_queue(int fd, uint32_t flags, uint32_t n_entries, uint32_t n_segments) {
  auto arg = argument<struct sluice_queue>();
  arg.flags = flags;
  arg.n_entries = n_entries;
  arg.n_segments = n_segments;
  error_is(call(fd, SLUICE_IOC_QUEUE, &arg), 0, "QUEUE");
  return arg;
}

void free_object(int fd, uint32_t handle) {
  auto arg = argument<struct sluice_free>();
  arg.handle = handle;
  error_is(call(fd, SLUICE_IOC_FREE, &arg), 0, "FREE");
}

int grant(int fd, uint32_t queue, uint32_t segment, uint32_t handle, uint64_t offset,
          uint64_t length, uint32_t flags) {
  auto arg = argument<struct sluice_grant>();
  arg.flags = flags;
  arg.queue = queue;
  arg.segment = segment;
  arg.handle = handle;
  arg.offset = offset;
  arg.length = length;
  return call(fd, SLUICE_IOC_GRANT, &arg);
}

int submit(int fd, uint32_t queue, const std::vector<sluice_sdi_entry>& entries,
           uint32_t* accepted) {
  auto arg = argument<struct sluice_submit>();
  arg.queue = queue;
  arg.count = static_cast<uint32_t>(entries.size());
  arg.entries = reinterpret_cast<uint64_t>(entries.data());
  const int error = call(fd, SLUICE_IOC_SUBMIT, &arg);
  if (error == 0 && accepted) *accepted = arg.count;
  if (error == 0 && !accepted) same(arg.count, entries.size(), "entries accepted");
  return error;
}

int wait(int fd, uint32_t queue, std::vector<sluice_sdi_completion>* completions,
         std::chrono::milliseconds timeout) {
  auto arg = argument<struct sluice_wait>();
  std::vector<sluice_sdi_completion> room(completions ? 64 : 0);
  arg.queue = queue;
  arg.timeout_ns = static_cast<uint64_t>(std::chrono::nanoseconds(timeout).count());
  arg.count = static_cast<uint32_t>(room.size());
  arg.completions = completions ? reinterpret_cast<uint64_t>(room.data()) : 0;
  const int error = call(fd, SLUICE_IOC_WAIT, &arg);
  if (error == 0 && completions) {
    completions->insert(completions->end(), room.begin(), room.begin() + arg.count);
  }
  return error;
}

int reset(int fd) {
  auto arg = argument<struct sluice_reset>();
  return call(fd, SLUICE_IOC_RESET, &arg);
}

volatile uint8_t* map_object(int fd, uint32_t handle, uint64_t length, uint32_t type,
                             uint64_t offset, int prot) {
  auto arg = argument<struct sluice_map>();
  arg.flags = SLUICE_MAP_OBJECT;
  arg.window = handle;
  arg.type = type;
  arg.offset = offset;
  arg.length = length;
  error_is(call(fd, SLUICE_IOC_MAP, &arg), 0, "MAP of an object");
  void* at = ::mmap(nullptr, length, prot, MAP_SHARED, fd, static_cast<off_t>(arg.cookie));
  if (at == MAP_FAILED) throw Failure(std::string("mmap of an object: ") + std::strerror(errno));
  return static_cast<volatile uint8_t*>(at);
}

sluice_sdi_entry nop(uint32_t id) {
  sluice_sdi_entry entry = {};
  entry.opcode = SLUICE_SDI_ENTRY_NOP;
  entry.id = id;
  return entry;
}

sluice_sdi_entry copy(uint32_t id, uint64_t src, uint64_t dst, uint64_t length) {
  sluice_sdi_entry entry = {};
  entry.opcode = SLUICE_SDI_ENTRY_COPY;
  entry.id = id;
  entry.copy.src = src;
  entry.copy.dst = dst;
  entry.copy.length = length;
  return entry;
}

std::vector<sluice_sdi_completion> run(int fd, uint32_t queue,
                                       const std::vector<sluice_sdi_entry>& entries) {
  std::vector<sluice_sdi_completion> done;
  error_is(submit(fd, queue, entries), 0, "SUBMIT");
  while (done.size() < entries.size()) error_is(wait(fd, queue, &done), 0, "WAIT");
  same(done.size(), entries.size(), "completions");
  return done;
}

void kill_emulator(const std::string& name) {
  const Fd console("/dev/ttyS1", O_WRONLY);
  const std::string text = "host: kill " + name + "\n";
  check(::write(console.get(), text.data(), text.size()) > 0, "cannot ask the host");
  ::usleep(500000);
}

void set_parameter(const char* name, const std::string& value) {
  error_is(write_file(std::string("/sys/module/sluice/parameters/") + name, value), 0, name);
}

}  // namespace guest
