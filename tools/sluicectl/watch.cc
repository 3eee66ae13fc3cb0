// SPDX-License-Identifier: Apache-2.0
// Rates of the counters that boards keep, and the users of boards by /proc and debugfs.
#include "watch.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sluice_sdi.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <thread>

#include "number.h"
#include "print.h"
#include "tools/common/cli.h"

namespace sluicectl {

using sluice::fail;
using sluice::Result;
using Clock = std::chrono::steady_clock;

namespace {

constexpr uint32_t kRegisterWindow = 0;

// What one look at a board gives; without counters they are all zero.
struct Sample {
  sluice::BoardInfo info;
  std::string state = "live";
  uint32_t system_hz = 0;  // 0: no clock block
  bool counts = false;
  Clock::time_point at;
  uint64_t nanoseconds = 0, entries = 0, macs = 0, bytes_read = 0, bytes_written = 0;
};

std::string node_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string state_of(const sluice::BoardInfo& info) {
  std::ifstream file("/sys/class/misc/" + node_name(info.path) + "/state");
  std::string state;
  return std::getline(file, state) ? state : "live";
}

Result<Sample> look(const sluice::Device& device) {
  Sample sample;
  SLUICE_TRY(sample.info, device.info());
  sample.state = state_of(sample.info);
  if (sample.info.capabilities & SLUICE_SDI_CAP_CLOCK) {
    SLUICE_TRY(const auto clock, device.clock());
    sample.system_hz = clock.system_hz;
  }
  sample.counts = (sample.info.capabilities & SLUICE_SDI_CAP_COUNTERS) != 0;
  sample.at = Clock::now();
  if (!sample.counts) return sample;
  const struct {
    uint64_t* out;
    size_t offset;
  } words[] = {
      {&sample.nanoseconds, offsetof(sluice_sdi_counters, nanoseconds)},
      {&sample.entries, offsetof(sluice_sdi_counters, entries)},
      {&sample.macs, offsetof(sluice_sdi_counters, macs)},
      {&sample.bytes_read, offsetof(sluice_sdi_counters, bytes_read)},
      {&sample.bytes_written, offsetof(sluice_sdi_counters, bytes_written)},
  };
  for (const auto& word : words) {
    const uint64_t at = uint64_t{SLUICE_SDI_PAGE_COUNTERS} * SLUICE_SDI_PAGE_SIZE + word.offset;
    SLUICE_TRY(*word.out, device.read_register(kRegisterWindow, at, 64));
  }
  return sample;
}

// Counters begin anew at a reset: what they show then is what came since.
uint64_t moved(uint64_t before, uint64_t now) { return now >= before ? now - before : now; }

BoardRates rates(const Sample& before, const Sample& now) {
  BoardRates out;
  const double seconds = std::max(std::chrono::duration<double>(now.at - before.at).count(), 1e-6);
  const auto rate = [&](uint64_t Sample::*field) {
    return static_cast<double>(moved(before.*field, now.*field)) / seconds;
  };
  out.path = now.info.path;
  out.state = now.state;
  out.system_hz = now.system_hz;
  out.counts = now.counts;
  out.n_queues = now.info.n_queues;
  out.n_queues_used = now.info.n_queues - now.info.n_queues_free;
  out.memory_size = now.info.memory_size;
  out.memory_used = now.info.memory_size - now.info.memory_free;
  out.busy = std::min(rate(&Sample::nanoseconds) / 1e9, 1.0);
  out.entries = rate(&Sample::entries);
  out.macs = rate(&Sample::macs);
  out.bytes_read = rate(&Sample::bytes_read);
  out.bytes_written = rate(&Sample::bytes_written);
  return out;
}

Result<std::vector<Board>> boards_of(const Options& options) {
  std::vector<Board> boards;
  if (!options.device.empty()) {
    SLUICE_TRY(Board board, Board::open(options, true));
    boards.push_back(std::move(board));
    return boards;
  }
  SLUICE_TRY(const auto found, sluice::Device::list());
  for (const auto& info : found) {
    Options one = options;
    one.device = info.path;
    SLUICE_TRY(Board board, Board::open(one, true));
    boards.push_back(std::move(board));
  }
  if (boards.empty()) return fail(ENODEV, "no board that may be opened: see sluicectl list");
  return boards;
}

// A board in the middle of a reset is shown as that and not the end of the program.
Result<Sample> look_again(const sluice::Device& device, const Sample& before) {
  auto sample = look(device);
  if (sample || (sample.error().code != EBUSY && sample.error().code != EIO)) return sample;
  Sample old = before;
  old.at = Clock::now();
  old.state = sample.error().code == EBUSY ? "in reset" : "broken";
  return old;
}

// --- who -----------------------------------------------------------------------------------------

bool is_number(const char* name) {
  return *name != 0 && std::all_of(name, name + std::strlen(name),
                                   [](unsigned char c) { return std::isdigit(c) != 0; });
}

// How often each process has `path` open, by what /proc shows.
std::map<int, uint64_t> openers(const std::string& path) {
  std::map<int, uint64_t> found;
  DIR* proc = ::opendir("/proc");
  while (const dirent* entry = proc ? ::readdir(proc) : nullptr) {
    if (!is_number(entry->d_name)) continue;
    const std::string folder = fmt::format("/proc/{}/fd", entry->d_name);
    DIR* fds = ::opendir(folder.c_str());
    while (const dirent* fd = fds ? ::readdir(fds) : nullptr) {
      char target[256];
      const ssize_t n = ::readlink((folder + "/" + fd->d_name).c_str(), target, sizeof(target));
      if (n > 0 && std::string_view(target, static_cast<size_t>(n)) == path) {
        found[std::atoi(entry->d_name)]++;
      }
    }
    if (fds) ::closedir(fds);
  }
  if (proc) ::closedir(proc);
  return found;
}

// Lines of a debugfs file, counted by the number behind "pid ".
std::map<int, uint64_t> pids_in(const std::string& path) {
  std::map<int, uint64_t> found;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t at = line.find("pid ");
    if (at != line.npos) found[std::atoi(line.c_str() + at + 4)]++;
  }
  return found;
}

std::string command_of(int pid) {
  std::ifstream file(fmt::format("/proc/{}/comm", pid));
  std::string name;
  return std::getline(file, name) ? name : "?";
}

void add_users(const std::string& path, std::vector<BoardUser>* users) {
  const std::string folder = "/sys/kernel/debug/sluice/" + node_name(path);
  std::map<int, BoardUser> by_pid;
  for (const auto& [pid, n] : openers(path)) by_pid[pid].n_files = n;
  for (const auto& [pid, n] : pids_in(folder + "/queues")) by_pid[pid].n_queues = n;
  for (const auto& [pid, n] : pids_in(folder + "/mappings")) by_pid[pid].n_mappings = n;
  for (auto& [pid, user] : by_pid) {
    if (pid == ::getpid()) continue;
    user.path = path;
    user.pid = pid;
    user.command = command_of(pid);
    users->push_back(user);
  }
}

}  // namespace

Result<std::string> top(const Options& options, std::optional<uint64_t> n,
                        std::chrono::milliseconds interval) {
  SLUICE_TRY(auto boards, boards_of(options));
  std::vector<Sample> before;
  for (Board& board : boards) {
    SLUICE_TRY(Sample sample, look(board.device()));
    before.push_back(std::move(sample));
  }
  const bool clear = ::isatty(STDOUT_FILENO) && !options.json && n != uint64_t{1};
  for (uint64_t i = 1;; i++) {
    std::this_thread::sleep_for(interval);
    std::vector<BoardRates> rows;
    for (size_t b = 0; b < boards.size(); b++) {
      SLUICE_TRY(const Sample now, look_again(boards[b].device(), before[b]));
      rows.push_back(rates(before[b], now));
      before[b] = now;
    }
    const std::string text = options.json ? rates_json(rows).dump() + "\n"
                                          : (clear ? "\033[H\033[J" : "") + rates_text(rows);
    if (n && i >= *n) return text;
    if (!sluice::cli::write_out(text)) return std::string();  // nobody reads any more
  }
}

Result<std::string> who(const Options& options) {
  if (options.device == "emu") {
    return fail(ENOTSUP, "an emulated board is within this process: nobody else has it");
  }
  if (::geteuid() != 0) {
    return fail(EPERM, "only root may see which processes use a board: run this as root");
  }
  if (::access("/sys/kernel/debug/sluice", F_OK) != 0) {
    return fail(ENOENT,
                "/sys/kernel/debug/sluice is not there: is debugfs mounted there, and the module "
                "loaded?");
  }
  std::vector<std::string> paths;
  if (options.device.empty()) {
    SLUICE_TRY(const auto boards, sluice::Device::list());
    for (const auto& board : boards) paths.push_back(board.path);
  } else {
    SLUICE_TRY(Board board, Board::open(options, true));
    SLUICE_TRY(const auto info, board.device().info());
    paths.push_back(info.path);
  }
  std::vector<BoardUser> users;
  for (const std::string& path : paths) add_users(path, &users);
  return options.json ? json_line(users_json(users)) : users_text(users);
}

}  // namespace sluicectl
