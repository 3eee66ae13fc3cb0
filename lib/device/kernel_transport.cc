// SPDX-License-Identifier: Apache-2.0
// The /dev/sluiceN transport, what every board has: information, registers, windows, interrupts.
// The driver is the judge of every argument; when it refuses one, explain() finds out why.
#include "device/kernel_transport.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "device/access.h"
#include "kernel/shared/abi_check.h"

namespace sluice {
namespace {

constexpr char kNoRight[] =
    "only root may do that: it could redirect the board or see other's data";

// The name of the group that `path` belongs to, or its number.
std::string group_of(const struct stat& status) {
  std::vector<char> buffer(16384);
  group entry{};
  group* found = nullptr;
  if (getgrgid_r(status.st_gid, &entry, buffer.data(), buffer.size(), &found) == 0 && found) {
    return found->gr_name;
  }
  return std::to_string(status.st_gid);
}

}  // namespace

std::string errno_text(int code) {
  char buffer[128];
  return strerror_r(code, buffer, sizeof(buffer));
}

KernelTransport::~KernelTransport() { ::close(fd_); }

tl::unexpected<Error> KernelTransport::failure(int code, const std::string& what) const {
  if (code == ENODEV) return fail(code, fmt::format("{}: the board is gone", path_));
  if (code == EBUSY) return fail(code, fmt::format("{}: the board is being reset", path_));
  if (code == EIO) {
    return fail(code, fmt::format("{}: the board did not come up after its last reset", path_));
  }
  if (code == ECONNRESET) {
    return fail(code, fmt::format("{}: the board was reset, and with it this queue", what));
  }
  return fail(code, fmt::format("{}: {}", what, errno_text(code)));
}

Result<BoardInfo> KernelTransport::info() {
  struct sluice_info arg = {};
  if (const int code = call(SLUICE_IOC_INFO, &arg)) return failure(code, path_);
  BoardInfo board;
  board.path = path_;
  board.name.assign(arg.name, strnlen(arg.name, sizeof(arg.name)));
  board.abi_version = arg.abi_version;
  board.kind = static_cast<BoardKind>(arg.kind);
  board.bus = static_cast<BusKind>(arg.bus);
  board.bus_master = (arg.state & SLUICE_STATE_BUS_MASTER) != 0;
  board.has_irq = (arg.state & SLUICE_STATE_IRQ) != 0;
  board.vendor = arg.vendor;
  board.device = arg.device;
  board.subsystem_vendor = arg.subsystem_vendor;
  board.subsystem_device = arg.subsystem_device;
  board.class_revision = arg.class_revision;
  board.irq_count = arg.irq_count;
  board.n_windows = arg.n_windows;
  board.n_resets = arg.n_resets;
  board.capabilities = arg.capabilities;
  board.memory_size = arg.memory_size;
  board.memory_free = arg.memory_free;
  board.memory_window = arg.memory_window;
  board.n_queues = arg.n_queues;
  board.n_queues_free = arg.n_queues_free;
  board.n_segments = arg.n_segments;
  board.max_entries = arg.max_entries;
  board.max_step_bytes = arg.max_step_bytes;
  board.sdi_version = arg.sdi_version;
  return board;
}

Result<WindowInfo> KernelTransport::window(uint32_t index) {
  struct sluice_window arg = {};
  arg.index = index;
  if (const int code = call(SLUICE_IOC_WINDOW, &arg)) {
    if (code != EINVAL) return failure(code, where(index));
    SLUICE_TRY(const BoardInfo board, info());
    return fail(ENXIO,
                fmt::format("{}: no such window: the board has {}", where(index), board.n_windows));
  }
  WindowInfo window;
  window.index = index;
  window.kind = static_cast<WindowKind>(arg.kind);
  window.can_map = (arg.caps & SLUICE_WINDOW_CAN_MAP) != 0;
  window.can_write = (arg.caps & SLUICE_WINDOW_CAN_WRITE) != 0;
  window.bar = arg.bar;
  window.length = arg.length;
  return window;
}

tl::unexpected<Error> KernelTransport::explain_access(int code, uint32_t index, uint64_t offset,
                                                      unsigned width,
                                                      std::optional<uint64_t> value) {
  const std::string at = where(index);
  if (code == EBADF && value) {
    return fail(EBADF, fmt::format("{}: opened read-only, cannot write", path_));
  }
  if (code == EPERM) return fail(code, fmt::format("{}: {}", at, kNoRight));
  if (code == EOPNOTSUPP) {
    return fail(code, fmt::format("{}: no {}-bit accesses there", at, width));
  }
  if (code != EINVAL && code != ERANGE) return failure(code, at);
  const Result<WindowInfo> info = window(index);
  if (!info) return tl::unexpected<Error>(info.error());
  if (auto access = check_access(at, info->length, offset, width); !access) {
    return tl::unexpected<Error>(std::move(access).error());
  }
  if (value) {
    if (auto fits = check_value(at, offset, *value, width); !fits) {
      return tl::unexpected<Error>(std::move(fits).error());
    }
  }
  return failure(code, at);
}

Result<uint64_t> KernelTransport::read_register(uint32_t window, uint64_t offset, unsigned width) {
  struct sluice_reg arg = {};
  arg.window = window;
  arg.width = width;
  arg.offset = offset;
  if (const int code = call(SLUICE_IOC_REG_READ, &arg)) {
    return explain_access(code, window, offset, width, std::nullopt);
  }
  return arg.value;
}

Result<void> KernelTransport::write_register(uint32_t window, uint64_t offset, uint64_t value,
                                             unsigned width) {
  struct sluice_reg arg = {};
  arg.window = window;
  arg.width = width;
  arg.offset = offset;
  arg.value = value;
  if (const int code = call(SLUICE_IOC_REG_WRITE, &arg)) {
    return explain_access(code, window, offset, width, value);
  }
  return {};
}

tl::unexpected<Error> KernelTransport::explain_mask(int code, uint32_t index, uint64_t offset,
                                                    uint64_t mask, uint64_t value, unsigned width) {
  if (code == EINVAL && (value & ~mask) != 0) {
    return fail(code, fmt::format("{}: offset {:#x}: value {:#x} has bits outside mask {:#x}",
                                  where(index), offset, value, mask));
  }
  return explain_access(code, index, offset, width, mask);
}

Result<uint64_t> KernelTransport::update_register(uint32_t window, uint64_t offset, uint64_t mask,
                                                  uint64_t value, unsigned width) {
  struct sluice_reg_update arg = {};
  arg.window = window;
  arg.width = width;
  arg.offset = offset;
  arg.mask = mask;
  arg.value = value;
  if (const int code = call(SLUICE_IOC_REG_UPDATE, &arg)) {
    return explain_mask(code, window, offset, mask, value, width);
  }
  return arg.old;
}

Result<uint64_t> KernelTransport::poll_register(uint32_t window, uint64_t offset, uint64_t mask,
                                                uint64_t value, std::chrono::nanoseconds timeout,
                                                unsigned width) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point end = Clock::now() + timeout;
  for (;;) {
    struct sluice_reg_poll arg = {};
    arg.window = window;
    arg.width = width;
    arg.offset = offset;
    arg.mask = mask;
    arg.value = value;
    const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(end - Clock::now());
    // The driver takes a minute at most, and signals end a call: it goes on where it was.
    constexpr int64_t kMost = 60'000'000'000;
    arg.timeout_ns = static_cast<uint64_t>(std::clamp<int64_t>(left.count(), 0, kMost));
    const int code = call_once(SLUICE_IOC_REG_POLL, &arg);
    if (code == 0) return arg.seen;
    if (code == EINTR || (code == ETIMEDOUT && left.count() > kMost)) continue;
    if (code == ETIMEDOUT) {
      return fail(code, fmt::format("{}: offset {:#x}: not {:#x} under mask {:#x} in time",
                                    where(window), offset, value, mask));
    }
    return explain_mask(code, window, offset, mask, value, width);
  }
}

tl::unexpected<Error> KernelTransport::explain_map(int code, uint32_t index, uint64_t offset,
                                                   uint64_t length) {
  const std::string at = where(index);
  if (code == EPERM) return fail(code, fmt::format("{}: {}", at, kNoRight));
  if (code == ENOSPC) return fail(code, fmt::format("{}: too many different mappings", path_));
  if (code != EINVAL && code != ERANGE && code != EOPNOTSUPP) return failure(code, at);
  const Result<WindowInfo> info = window(index);
  if (!info) return tl::unexpected<Error>(info.error());
  if (!info->can_map) {
    return fail(EOPNOTSUPP, fmt::format("{}: cannot be mapped ({})", at,
                                        info->kind == WindowKind::kPort
                                            ? "it is I/O ports"
                                            : "it shares its pages with something else"));
  }
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  if (offset % page != 0) {
    return fail(EINVAL, fmt::format("{}: offset {:#x}: expected a multiple of the page size {}", at,
                                    offset, page));
  }
  if (code == ERANGE) {
    return fail(ERANGE,
                fmt::format("{}: {:#x} bytes from offset {:#x} on are past the end at {:#x}", at,
                            length, offset, info->length));
  }
  return failure(code, at);
}

Result<Transport::Range> KernelTransport::map(uint32_t index, uint64_t offset, uint64_t length,
                                              MemoryType type, bool read_only) {
  if (!read_only && read_only_) {
    return fail(EACCES, fmt::format("{}: opened read-only, cannot be mapped for writing", path_));
  }
  if (length == 0) {
    SLUICE_TRY(const WindowInfo info, window(index));
    // An offset past the end asks for one byte there: the driver says what is wrong with that.
    length = offset < info.length ? info.length - offset : 1;
  }
  struct sluice_map arg = {};
  arg.window = index;
  arg.type = static_cast<uint32_t>(type);
  arg.offset = offset;
  arg.length = length;
  if (const int code = call(SLUICE_IOC_MAP, &arg)) return explain_map(code, index, offset, length);
  return map_cookie(arg.cookie, length, read_only, where(index));
}

Result<Transport::Range> KernelTransport::map_cookie(uint64_t cookie, uint64_t length,
                                                     bool read_only, const std::string& what) {
  void* data = ::mmap(nullptr, length, PROT_READ | (read_only ? 0 : PROT_WRITE), MAP_SHARED, fd_,
                      static_cast<off_t>(cookie));
  if (data != MAP_FAILED) return Range{data, length, what};
  const int code = errno;
  if (code == EACCES) return fail(code, fmt::format("{}: can only be mapped read-only", what));
  if (code == EBUSY && info()) {
    return fail(code, fmt::format("{}: somebody else has it mapped with more caching", what));
  }
  return failure(code, what + ": mmap");
}

Result<uint64_t> KernelTransport::arm_interrupt() {
  struct sluice_irq arg = {};
  arg.flags = SLUICE_IRQ_ENABLE;
  if (const int code = call(SLUICE_IOC_IRQ, &arg)) {
    if (code == ENXIO) {
      return fail(code, fmt::format("{}: the board has no interrupt line that can be used", path_));
    }
    return failure(code, path_);
  }
  return arg.count;
}

Result<std::optional<uint64_t>> KernelTransport::wait_interrupt(std::chrono::milliseconds timeout) {
  using Clock = std::chrono::steady_clock;
  using Ms = std::chrono::milliseconds;
  const Clock::time_point start = Clock::now();
  for (;;) {
    int wait = -1;
    if (timeout.count() >= 0) {
      const Ms spent = std::chrono::duration_cast<Ms>(Clock::now() - start);
      wait = static_cast<int>(std::clamp<int64_t>((timeout - spent).count(), 0, INT_MAX));
    }
    pollfd poll_fd = {fd_, POLLIN, 0};
    const int n = ::poll(&poll_fd, 1, wait);
    if (n < 0 && errno != EINTR) return failure(errno, path_ + ": poll");
    if (n > 0 && (poll_fd.revents & POLLIN) == 0) return failure(ENODEV, path_);
    if (n > 0) {
      // INFO and not IRQ: the latter would make this file forget what arm_interrupt() returned.
      SLUICE_TRY(const BoardInfo board, info());
      return board.irq_count;
    }
    if (n == 0 && std::chrono::duration_cast<Ms>(Clock::now() - start) >= timeout) {
      return std::nullopt;
    }
  }
}

Result<std::shared_ptr<Transport>> open_kernel_transport(const std::string& path, bool read_only) {
  struct stat status = {};
  if (::stat(path.c_str(), &status) != 0) {
    return fail(errno, fmt::format("{}: {}", path, errno_text(errno)));
  }
  // Opening a FIFO could block and opening a tape could rewind it: look first.
  if (!S_ISCHR(status.st_mode)) return fail(ENOTTY, path + ": not a Sluice device");
  const int fd = ::open(path.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) {
    const int code = errno;
    if (code != EACCES) return fail(code, fmt::format("{}: {}", path, errno_text(code)));
    return fail(code, fmt::format("{}: permission denied: only root and members of group {} may "
                                  "open it",
                                  path, group_of(status)));
  }
  auto transport = std::make_shared<KernelTransport>(path, fd, read_only);
  const Result<BoardInfo> info = transport->info();
  if (!info) {
    const int code = info.error().code;
    if (code == ENODEV || code == EBUSY) return tl::unexpected<Error>(info.error());
    return fail(ENOTTY, path + ": not a Sluice device");
  }
  if (info->abi_version != SLUICE_ABI_VERSION) {
    return fail(EPROTO, fmt::format("{}: the driver speaks ABI version {}, this library {}", path,
                                    info->abi_version, SLUICE_ABI_VERSION));
  }
  return transport;
}

}  // namespace sluice
