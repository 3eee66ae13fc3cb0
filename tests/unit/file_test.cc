// SPDX-License-Identifier: Apache-2.0
// Descriptors, mappings, and files that appear whole or not at all.
#include "core/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "support.h"

using namespace sluice;
using sluice::test::is_error;
using sluice::test::read_file;
using sluice::test::TempDir;
using sluice::test::write_file;

TestSuite(file, .timeout = 60);

namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace

Test(file, errors_name_the_path_and_keep_the_code) {
  const TempDir dir;
  cr_assert(is_error(open_file(dir.file("none"), O_RDONLY), ENOENT, {"/none", "No such file"}));
  cr_assert(is_error(map_file(dir.file("")), EISDIR, {"folder"}));
  cr_assert(is_error(map_file("/dev/null"), EINVAL, {"/dev/null", "not a regular file"}));
  const std::string fifo = dir.file("fifo");
  cr_assert(mkfifo(fifo.c_str(), 0600) == 0);
  cr_assert(is_error(map_file(fifo), EINVAL, {"not a regular file"}), "and does not block");
}

Test(file, maps_the_whole_file) {
  const TempDir dir;
  write_file(dir.file("a"), "seven..");
  auto map = map_file(dir.file("a"));
  cr_assert(map.has_value());
  cr_assert(same(map->size(), 7));
  cr_assert(std::memcmp(map->data(), "seven..", 7) == 0);
  const MemoryMap moved = std::move(*map);
  cr_assert(map->data() == nullptr && moved.size() == 7);
  write_file(dir.file("empty"), "");
  cr_assert(same(map_file(dir.file("empty"))->size(), 0));
}

Test(file, descriptors_move) {
  auto fd = open_file("/dev/null", O_RDWR);
  cr_assert(fd.has_value());
  const int number = fd->get();
  Fd moved = std::move(*fd);
  cr_assert(!*fd && moved.get() == number);
  moved = Fd();
  cr_assert(fcntl(number, F_GETFD) == -1, "closed when it was replaced");
}

Test(file, atomic_file_appears_when_committed) {
  const TempDir dir;
  const std::string path = dir.file("out");
  {
    auto out = AtomicFile::create(path);
    cr_assert(out.has_value());
    cr_assert(out->write(bytes_of("half")).has_value());
    cr_assert(!std::filesystem::exists(path));
  }
  cr_assert(same(dir.n_files(), 0), "nothing is left of one that was not committed");
  write_file(path, "old");
  auto out = AtomicFile::create(path);
  cr_assert(out->write(bytes_of("new one")).has_value());
  cr_assert(same(read_file(path), std::string("old")));
  AtomicFile moved = std::move(*out);
  cr_assert(moved.commit().has_value());
  cr_assert(same(read_file(path), std::string("new one")));
  cr_assert(same(dir.n_files(), 1));
}

Test(file, atomic_file_replaces_no_device) {
  cr_assert(is_error(AtomicFile::create("/dev/null"), EINVAL, {"/dev/null"}));
  cr_assert(is_error(AtomicFile::create("/nonexistent/x"), ENOENT, {"/nonexistent/x"}));
}

Test(file, a_full_disk_is_an_error) {
  auto full = open_file("/dev/full", O_WRONLY);
  if (!full) cr_skip_test("no /dev/full");
  cr_assert(is_error(write_all(*full, bytes_of("x"), "/dev/full"), ENOSPC, {"/dev/full", "write"}));
}
