// SPDX-License-Identifier: Apache-2.0
#include "guest_objects.h"

#include <glob.h>
#include <unistd.h>

#include <chrono>
#include <sstream>

#include "guest.h"

namespace guest {
namespace {

using Clock = std::chrono::steady_clock;

const std::string kCaches = "/sys/kernel/slab/";

Objects counted_by_the_driver() {
  Objects found;
  std::istringstream lines(read_file("/sys/kernel/debug/sluice/objects"));
  std::string name;
  for (uint64_t n; lines >> name >> n;) found[name] = n;
  check(found.size() > 5 && found.count("sluice_file") != 0, "the driver counts no objects");
  return found;
}

// The guests' kernels keep the driver's caches apart (slub_debug), or there would be no such
// folder.
uint64_t counted_by_the_kernel(const std::string& name) {
  const std::string folder = kCaches + name;
  // A kernel that keeps what is freed for a while, to catch late users, lets go of it here.
  error_is(write_file(folder + "/shrink", "1"), 0, folder + "/shrink");
  return std::stoull(read_file(folder + "/objects"));
}

// As words, those that there are.
std::string words_of(const Objects& objects) {
  std::string text;
  for (const auto& [name, n] : objects) {
    if (n != 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", n, name);
  }
  return text.empty() ? "nothing" : text;
}

// What is wrong about it, empty for nothing.
std::string differences(const Objects& objects) {
  Objects kernels;
  for (const auto& [name, n] : objects) kernels[name] = counted_by_the_kernel(name);
  if (kernels == objects) return "";
  return fmt::format("the driver has {}, its caches {}", words_of(objects), words_of(kernels));
}

uint64_t bound_boards() {
  glob_t found = {};
  ::glob("/sys/class/misc/sluice[0-9]*", 0, nullptr, &found);
  const uint64_t n = found.gl_pathc;
  ::globfree(&found);
  return n;
}

// Until `wrong` finds nothing wrong any more.
template <typename Wrong>
Objects settled(Wrong wrong) {
  for (const auto start = Clock::now();; ::usleep(50000)) {
    Objects objects = counted_by_the_driver();
    const std::string why = wrong(objects);
    if (why.empty()) return objects;
    if (Clock::now() - start > std::chrono::seconds(time_limit()) / 2) throw Failure(why);
  }
}

}  // namespace

Objects live_objects() { return settled(differences); }

void nothing_but_boards_is_left() {
  settled([](const Objects& objects) {
    for (const auto& [name, n] : objects) {
      if (n != (name == "sluice_board" ? bound_boards() : 0)) return "left: " + words_of(objects);
    }
    return differences(objects);
  });
}

}  // namespace guest
