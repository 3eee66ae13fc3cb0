// SPDX-License-Identifier: Apache-2.0
// Device memory for other devices: a dynamic importer of our own (tests/vm/partner) maps it,
// reaches it by its bus addresses, and learns of its end.
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "guest_dmabuf.h"
#include "partner/importer.h"

namespace {

using namespace guest;

constexpr uint64_t kBytes = 1 << 20;

class Importer {
 public:
  Importer() : fd_("/dev/sluice-importer", O_RDWR) {}
  int attach(int dmabuf, uint32_t flags) const {
    importer_attach arg = {dmabuf, flags};
    return call(fd_.get(), IMPORTER_IOC_ATTACH, &arg);
  }
  int map(uint32_t* n = nullptr) const {
    uint32_t entries = 0;
    const int error = call(fd_.get(), IMPORTER_IOC_MAP, &entries);
    if (n) *n = entries;
    return error;
  }
  int plain(unsigned long request) const { return call(fd_.get(), request, nullptr); }
  importer_entry entry(uint32_t index) const {
    importer_entry arg = {index, 0, 0, 0};
    error_is(call(fd_.get(), IMPORTER_IOC_ENTRY, &arg), 0, "ENTRY");
    return arg;
  }
  uint32_t read(uint64_t offset) const {
    importer_word arg = {offset, 0, 0};
    error_is(call(fd_.get(), IMPORTER_IOC_WORD, &arg), 0, "WORD");
    return arg.value;
  }
  void write(uint64_t offset, uint32_t value) const {
    importer_word arg = {offset, value, 1};
    error_is(call(fd_.get(), IMPORTER_IOC_WORD, &arg), 0, "WORD");
  }
  uint32_t moved() const {
    uint32_t n = 0;
    error_is(call(fd_.get(), IMPORTER_IOC_MOVED, &n), 0, "MOVED");
    return n;
  }

 private:
  Fd fd_;
};

struct Bar {
  uint64_t first, last;
};

// The BAR that holds the board's device memory, as sysfs has it.
Bar memory_bar() {
  const std::string text = read_file(std::string("/sys/bus/pci/devices/") + kBoard + "/resource");
  const char* at = text.c_str();
  for (int line = 0; line < 2; line++) at = std::strchr(at, '\n') + 1;
  char* end = nullptr;
  const uint64_t first = std::strtoull(at, &end, 16);
  return {first, std::strtoull(end, nullptr, 16)};
}

int reset_by_force(int fd) {
  auto arg = argument<struct sluice_reset>();
  arg.flags = SLUICE_RESET_FORCE;
  return call(fd, SLUICE_IOC_RESET, &arg);
}

SDI_TEST(peers_reach_device_memory) {
  const Fd fd(node_of(kBoard), O_RDWR);
  const uint32_t memory = allocate(fd.get(), SLUICE_ALLOC_DEVICE, kBytes);
  const Fd dmabuf = exported(fd.get(), memory);
  const Importer importer;
  error_is(importer.attach(dmabuf.get(), IMPORTER_DYNAMIC | IMPORTER_PEER), 0, "attach");
  uint32_t n = 0;
  error_is(importer.map(&n), 0, "map");
  check(n >= 1, "no entries");
  const Bar bar = memory_bar();
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < n; i++) {
    const auto entry = importer.entry(i);
    // The importer has told the kernel nothing else, so that its entries end at 64 KiB.
    check(entry.length > 0 && entry.length <= 64 * 1024, "an entry longer than the device takes");
    check(entry.address >= bar.first && entry.address + entry.length - 1 <= bar.last,
          fmt::format("{:#x} + {:#x} is outside the BAR at {:#x}", entry.address, entry.length,
                      bar.first));
    bytes += entry.length;
  }
  same(bytes, kBytes, "bytes of all entries");
  // The same memory: what the program stores the peer loads, and the other way round.
  auto* words = reinterpret_cast<volatile uint32_t*>(
      const_cast<uint8_t*>(map_object(fd.get(), memory, kBytes, SLUICE_MAP_NATIVE)));
  for (const uint64_t at : {uint64_t{0}, uint64_t{0x7ff4}, kBytes - 4}) {
    words[at / 4] = static_cast<uint32_t>(0xabc00000 + at);
    same(importer.read(at), 0xabc00000 + at, "what the peer reads");
    importer.write(at, static_cast<uint32_t>(~at));
    same(words[at / 4], static_cast<uint32_t>(~at), "what the peer wrote");
  }
}

SDI_TEST(device_memory_needs_a_peer) {
  const Fd fd(node_of(kBoard), O_RDWR);
  const Fd device = exported(fd.get(), allocate(fd.get(), SLUICE_ALLOC_DEVICE, kPage));
  const Fd host = exported(fd.get(), allocate(fd.get(), SLUICE_ALLOC_PAGES, kPage));
  for (const uint32_t flags : {0u, IMPORTER_DYNAMIC}) {
    const Importer importer, of_host;
    error_is(importer.attach(device.get(), flags), EOPNOTSUPP,
             "device memory without peer-to-peer");
    error_is(of_host.attach(host.get(), flags), 0, "host memory");
    error_is(of_host.map(), 0, "map of host memory");
  }
}

SDI_TEST(a_reset_respects_and_tells_peers) {
  const Fd fd(node_of(kBoard), O_RDWR);
  const uint32_t memory = allocate(fd.get(), SLUICE_ALLOC_DEVICE, kBytes);
  const Fd dmabuf = exported(fd.get(), memory);
  const Importer importer;
  error_is(importer.attach(dmabuf.get(), IMPORTER_DYNAMIC | IMPORTER_PEER), 0, "attach");
  // Attached, and nothing more: a reset goes through, and the importer hears of it.
  error_is(reset(fd.get()), 0, "RESET while attached");
  same(importer.moved(), 1, "calls of move_notify");
  error_is(importer.plain(IMPORTER_IOC_PIN), 0, "pin");
  error_is(importer.map(), 0, "map");
  error_is(reset(fd.get()), EBUSY, "RESET while mapped");
  same(importer.moved(), 1, "a reset that was refused");
  error_is(reset_by_force(fd.get()), 0, "RESET by force");
  same(importer.moved(), 2, "calls of move_notify");
  error_is(importer.plain(IMPORTER_IOC_UNMAP), 0, "unmap");
  error_is(importer.plain(IMPORTER_IOC_UNPIN), 0, "unpin");
  error_is(reset(fd.get()), 0, "RESET after it was let go");
  error_is(importer.map(), 0, "map again");
  importer.write(0, 0x5eed);
  same(importer.read(0), 0x5eed, "memory after the resets");
}

SDI_TEST(peers_hear_of_the_end_of_a_board) {
  const Importer importer, mapped;
  {
    const Fd fd(node_of(kBoard), O_RDWR);
    const Fd dmabuf = exported(fd.get(), allocate(fd.get(), SLUICE_ALLOC_DEVICE, kBytes));
    error_is(importer.attach(dmabuf.get(), IMPORTER_DYNAMIC | IMPORTER_PEER), 0, "attach");
    error_is(mapped.attach(dmabuf.get(), IMPORTER_DYNAMIC | IMPORTER_PEER), 0, "attach");
    error_is(mapped.map(), 0, "map");
  }
  const Unbound gone(kBoard);
  same(importer.moved(), 1, "calls of move_notify");
  same(mapped.moved(), 1, "calls of move_notify of one that has it mapped");
  error_is(importer.map(), ENODEV, "map");
  error_is(mapped.plain(IMPORTER_IOC_UNMAP), 0, "unmap");
  error_is(mapped.map(), ENODEV, "map again");
}

}  // namespace
