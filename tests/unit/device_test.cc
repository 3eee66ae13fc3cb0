// SPDX-License-Identifier: Apache-2.0
// Boards without a board: what opening other files says, the bounds of mappings over plain memory,
// and sluicectl's numbers, board descriptions, targets and output. The driver itself is tested in
// tests/vm.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <sluice/device.hpp>

#include "device/access.h"
#include "device/transport.h"
#include "stub_transport.h"
#include "support.h"
#include "tools/sluicectl/board_file.h"
#include "tools/sluicectl/board_io.h"
#include "tools/sluicectl/number.h"
#include "tools/sluicectl/print.h"

using namespace sluice;
using sluice::test::is_error;
using sluice::test::same;
using sluice::test::TempDir;
using sluice::test::write_file;
using sluicectl::kUsage;
using sluicectl::parse_board;
using sluicectl::parse_number;

TestSuite(device, .timeout = 60);
TestSuite(mapping, .timeout = 60);
TestSuite(number, .timeout = 60);
TestSuite(board_file, .timeout = 60);
TestSuite(sluicectl_output, .timeout = 60);

namespace {

constexpr size_t kPage = 4096;

// A board of one window in memory; a mapping of it ends at an inaccessible page.
class MemoryTransport final : public test::StubTransport {
 public:
  explicit MemoryTransport(size_t size) : size_(size) {}
  Result<BoardInfo> info() override {
    BoardInfo board;
    board.name = "memory";
    board.n_windows = 2;
    return board;
  }
  Result<WindowInfo> window(uint32_t index) override {
    if (index >= 2) return fail(ENXIO, "no such window");
    return WindowInfo{index, WindowKind::kRegisters, true, true, index, size_};
  }
  Result<uint64_t> read_register(uint32_t, uint64_t offset, unsigned) override { return offset; }
  Result<Range> map(uint32_t, uint64_t, uint64_t, MemoryType, bool read_only) override {
    const size_t pages = (size_ + kPage - 1) / kPage * kPage;
    void* at =
        mmap(nullptr, pages + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(static_cast<char*>(at) + pages, kPage, PROT_NONE);
    if (read_only) mprotect(at, pages, PROT_READ);
    return Range{at, size_, "memory: window 0"};
  }

 private:
  size_t size_;
};

Device memory_board(size_t size) { return make_device(std::make_shared<MemoryTransport>(size)); }

constexpr char kBoard[] = R"(
[board]
name = "test"
vendor = 0x1234

[[register]]
name = "CTRL"
offset = 0x10
field = [
    { name = "GO", bits = 0, enum = { 0 = "stop", 0x1 = "run" } },
    { name = "MODE", bits = "7:4" },
]

[[register]]
name = "WIDE"
window = 1
offset = 8
width = 64
access = "ro"
field = [{ name = "ALL", bits = "63:0" }]
)";

// Is `text` refused with a message that has all of these words?
bool refuses(const std::string& text, std::initializer_list<std::string_view> words) {
  return is_error(parse_board(text, "b.toml"), EBADMSG, words);
}

std::string one_register(const std::string& rest) {
  return "[[register]]\nname = \"R\"\n" + rest + "\n";
}

}  // namespace

Test(device, open_refuses_what_is_no_board) {
  const TempDir dir;
  write_file(dir.file("plain"), "x");
  cr_assert(mkfifo(dir.file("fifo").c_str(), 0600) == 0);
  cr_assert(is_error(Device::open(dir.file("none")), ENOENT, {"/none", "No such file"}));
  cr_assert(is_error(Device::open(dir.file("plain")), ENOTTY, {"/plain", "not a Sluice device"}));
  cr_assert(is_error(Device::open(dir.file("fifo")), ENOTTY, {"/fifo"}), "and does not block");
  cr_assert(is_error(Device::open(dir.file("")), ENOTTY, {"not a Sluice device"}));
  for (const char* path : {"/dev/null", "/dev/zero", "/dev/full"}) {
    cr_assert(is_error(Device::open(path), ENOTTY, {path, "not a Sluice device"}));
    cr_assert(is_error(Device::open(path, true), ENOTTY, {path}));
  }
  cr_assert(is_error(Device::open(""), ENOENT, {}));
}

Test(device, windows_are_listed_in_order) {
  const Device board = memory_board(kPage);
  const auto windows = board.windows();
  cr_assert(windows.has_value());
  cr_assert(same(windows->size(), 2));
  cr_assert(same((*windows)[1].index, 1));
}

Test(device, access_rules) {
  cr_assert(check_access("w", 16, 12, 32).has_value());
  cr_assert(check_access("w", 16, 8, 64).has_value());
  cr_assert(check_access("w", 15, 14, 8).has_value());
  for (const unsigned width : {0u, 1u, 4u, 9u, 24u, 65u, 128u, ~0u}) {
    cr_assert(is_error(check_access("w", 16, 0, width), EINVAL, {"8, 16, 32 or 64"}));
  }
  cr_assert(is_error(check_access("w", 16, 6, 32), EINVAL, {"w: offset 0x6", "multiple of 4"}));
  cr_assert(is_error(check_access("w", 16, 16, 8), ERANGE, {"0x10"}));
  cr_assert(is_error(check_access("w", 14, 12, 32), ERANGE, {"0xc", "0xe"}), "straddles the end");
  cr_assert(is_error(check_access("w", 16, ~uint64_t{0} - 7, 64), ERANGE, {}), "no wrap");
  cr_assert(is_error(check_access("w", 0, 0, 8), ERANGE, {}));
  cr_assert(check_value("w", 0, 0xff, 8).has_value());
  cr_assert(is_error(check_value("w", 0, 0x100, 8), EINVAL, {"0x100", "8 bits"}));
  cr_assert(check_value("w", 0, ~uint64_t{0}, 64).has_value());
}

Test(mapping, reads_and_writes_every_width) {
  Device board = memory_board(kPage);
  auto mapping = board.map(0);
  cr_assert(mapping.has_value());
  constexpr uint64_t kPattern = 0x8877665544332211;
  cr_assert(mapping->write(kPage - 8, kPattern, 64).has_value());
  for (const unsigned width : {8u, 16u, 32u, 64u}) {
    const uint64_t mask = ~uint64_t{0} >> (64 - width);
    cr_assert(same(*mapping->read(kPage - 8, width), kPattern & mask));
    cr_assert(mapping->write(0, 0, 64).has_value());
    cr_assert(mapping->write(0, mask, width).has_value());
    cr_assert(same(*mapping->read(0, 64), mask), "only that many bits are written");
  }
  cr_assert(same(*mapping->read(kPage - 1, 8), 0x88));
}

Test(mapping, keeps_to_its_bounds) {
  Device board = memory_board(256);
  auto mapping = board.map(0);
  cr_assert(same(mapping->size(), 256));
  cr_assert(mapping->read(252).has_value());
  for (const uint64_t offset : {uint64_t{256}, uint64_t{4096}, ~uint64_t{3}}) {
    cr_assert(
        is_error(mapping->read(offset), ERANGE, {"mapping of memory: window 0", "past the end"}));
    cr_assert(is_error(mapping->write(offset, 0), ERANGE, {"past the end"}));
  }
  cr_assert(is_error(mapping->read(2), EINVAL, {}));
  cr_assert(is_error(mapping->write(0, 0, 12), EINVAL, {}));
  cr_assert(is_error(mapping->write(0, 0x10000, 16), EINVAL, {"0x10000"}));
}

Test(mapping, read_only_is_an_error_and_no_signal) {
  Device board = memory_board(kPage);
  auto mapping = board.map(0, 0, 0, MemoryType::kUncached, true);
  cr_assert(same(*mapping->read(0), 0));
  cr_assert(is_error(mapping->write(0, 1), EACCES, {"read-only"}));
}

Test(mapping, moves_and_unmaps) {
  Device board = memory_board(kPage);
  auto first = board.map(0);
  cr_assert(first->write(0, 42).has_value());
  Mapping second = std::move(*first);
  cr_assert(first->data() == nullptr);
  cr_assert(is_error(first->read(0), ERANGE, {}), "a moved-from mapping is empty");
  cr_assert(same(*second.read(0), 42));
  Mapping empty;
  cr_assert(is_error(empty.write(0, 1), ERANGE, {}));
  void* address = const_cast<void*>(second.data());
  { const Mapping last = std::move(second); }
  unsigned char resident = 0;
  cr_assert(mincore(address, kPage, &resident) == -1 && errno == ENOMEM, "still mapped");
}

Test(number, decimal_hexadecimal_octal) {
  const std::pair<const char*, uint64_t> good[] = {{"0", 0},
                                                   {"10", 10},
                                                   {"0x10", 16},
                                                   {"0XfF", 255},
                                                   {"010", 8},
                                                   {"00", 0},
                                                   {"0777", 511},
                                                   {"18446744073709551615", ~uint64_t{0}},
                                                   {"0xffffffffffffffff", ~uint64_t{0}},
                                                   {"01777777777777777777777", ~uint64_t{0}}};
  for (const auto& [text, value] : good) {
    const auto got = parse_number(text);
    cr_assert(got.has_value(), "%s", text);
    cr_assert(same(*got, value), "%s", text);
  }
}

Test(number, nothing_else) {
  for (const char* text : {"", " ", "0x", "x10", "1 ", " 1", "-1", "+1", "08", "1a", "0b1", "1.0",
                           "0x1g", "0x-1", "1e3", "0o7", "١"}) {
    cr_assert(is_error(parse_number(text), kUsage, {"is not a number"}), "'%s'", text);
  }
  cr_assert(is_error(parse_number(std::string("1\0", 2)), kUsage, {}));
  for (const char* text : {"18446744073709551616", "0x10000000000000000", "99999999999999999999"}) {
    cr_assert(is_error(parse_number(text), kUsage, {text, "64 bits"}), "%s", text);
  }
}

Test(board_file, names_registers_and_fields) {
  const auto board = parse_board(kBoard, "b.toml");
  cr_assert(board.has_value());
  cr_assert(board->vendor == 0x1234 && !board->device);
  cr_assert(same(board->registers.size(), 2));
  const auto* ctrl = board->find("CTRL");
  cr_assert(ctrl != nullptr);
  cr_assert(same(ctrl->offset, 0x10));
  cr_assert(same(ctrl->width, 32));
  cr_assert(ctrl->access == sluicectl::Access::kReadWrite);
  const auto* mode = ctrl->field("MODE");
  cr_assert(mode != nullptr);
  cr_assert(same(mode->get(0xa5), 0xa));
  cr_assert(same(mode->put(0xff0f, 0x3), 0xff3f));
  cr_assert(same(*ctrl->field("GO")->name_of(1), "run"));
  cr_assert(ctrl->field("GO")->name_of(2) == nullptr);
  const auto* all = board->find("WIDE")->field("ALL");
  cr_assert(same(all->mask(), ~uint64_t{0}));
  cr_assert(same(all->put(1, 5), 5));
  cr_assert(board->find("NONE") == nullptr);
}

Test(board_file, the_example_is_good) {
  const auto board = sluicectl::load_board("docs/boards/edu.toml");
  cr_assert(board.has_value(), "%s", board ? "" : board.error().message.c_str());
  cr_assert(board->find("STATUS")->field("IRQ") != nullptr);
}

Test(board_file, errors_name_the_place) {
  cr_assert(refuses("", {"b.toml", "no [[register]]"}));
  cr_assert(refuses("x = = 1", {"b.toml", "line 1"}));
  cr_assert(refuses("registers = 1", {"unknown key 'registers'"}));
  cr_assert(refuses("register = 1", {"expected [[...]]"}));
  cr_assert(refuses("board = 1", {"[board]"}));
  cr_assert(refuses("[board]\nvendor = 70000", {"vendor", "65535"}));
  cr_assert(refuses("[[register]]\noffset = 0", {"name ''"}));
  cr_assert(refuses("[[register]]\nname = \"1R\"\noffset = 0", {"'1R'"}));
  cr_assert(refuses("[[register]]\nname = \"A.B\"\noffset = 0", {"'A.B'"}));
  cr_assert(refuses(one_register(""), {"register R", "offset is missing"}));
  cr_assert(refuses(one_register("offset = -4"), {"offset", "expected a number"}));
  cr_assert(refuses(one_register("offset = \"0\""), {"offset", "expected a number"}));
  cr_assert(refuses(one_register("offset = 2"), {"multiple of 4"}));
  cr_assert(refuses(one_register("offset = 0\nwidth = 24"), {"8, 16, 32 or 64"}));
  cr_assert(refuses(one_register("offset = 0\naccess = \"rx\""), {"access 'rx'"}));
  cr_assert(refuses(one_register("offset = 0\nacess = \"ro\""), {"line 4", "'acess'"}));
  const std::string twice = one_register("offset = 0") + one_register("offset = 4");
  cr_assert(refuses(twice, {"two registers named R"}));
}

Test(board_file, fields_are_checked) {
  const auto field = [](const std::string& text) {
    return one_register("offset = 0\nfield = [" + text + "]");
  };
  cr_assert(refuses(field("1"), {"expected [[...]]"}));
  cr_assert(refuses(field("{ bits = 0 }"), {"name ''"}));
  cr_assert(refuses(field("{ name = \"F\" }"), {"field F", "bits"}));
  for (const char* bits :
       {"32", "-1", "\"32:0\"", "\"0:4\"", "\"4:\"", "\"a\"", "\"1:2:3\"", "1.5"}) {
    cr_assert(refuses(field(fmt::format("{{ name = \"F\", bits = {} }}", bits)), {"bits"}), "%s",
              bits);
  }
  cr_assert(
      refuses(field("{ name = \"F\", bits = 0 }, { name = \"F\", bits = 1 }"), {"two fields"}));
  cr_assert(refuses(field("{ name = \"F\", bits = \"3:0\" }, { name = \"G\", bits = 3 }"),
                    {"field G", "overlaps field F"}));
  cr_assert(refuses(field("{ name = \"F\", bits = 0, enum = 1 }"), {"enum"}));
  cr_assert(refuses(field("{ name = \"F\", bits = 0, enum = { 2 = \"x\" } }"), {"enum 2", "0x1"}));
  cr_assert(refuses(field("{ name = \"F\", bits = 0, enum = { 1 = \"1\" } }"), {"enum 1"}));
}

Test(board_file, unreadable_files) {
  const TempDir dir;
  cr_assert(is_error(sluicectl::load_board(dir.file("none")), ENOENT, {"/none"}));
  cr_assert(is_error(sluicectl::load_board(dir.file("")), EIO, {"cannot be read"}));
}

Test(sluicectl_output, values) {
  const auto board = parse_board(kBoard, "b.toml");
  const auto& ctrl = *board->find("CTRL");
  cr_assert(same(sluicectl::value_text({}, 0xed), "0x000000ed\n"));
  const sluicectl::Target whole{&ctrl, nullptr, 0, 0x10, 32};
  cr_assert(same(sluicectl::value_text(whole, 0xa1),
                 "CTRL = 0x000000a1\n  MODE [7:4] = 0xa\n  GO     [0] = 0x1 run\n"));
  const sluicectl::Target part{&ctrl, ctrl.field("GO"), 0, 0x10, 32};
  cr_assert(same(sluicectl::value_text(part, 0xa1), "0x1 run\n"));
  const auto json = sluicectl::value_json(whole, 0xa1);
  cr_assert(same(json["fields"]["MODE"]["value"].get<int>(), 10));
  cr_assert(json["fields"]["MODE"]["name"].is_null());
}

Test(sluicectl_output, dumps_keep_their_columns) {
  cr_assert(same(sluicectl::dump_text(0, 32, {1, 2, 3, 4, 5}),
                 "0x00000000  00000001 00000002 00000003 00000004\n0x00000010  00000005\n"));
  cr_assert(same(sluicectl::dump_text(8, 32, {1}), "0x00000000                    00000001\n"));
  cr_assert(same(sluicectl::dump_text(0x1e, 8, {0xa, 0xb}),
                 "0x00000010 " + std::string(14 * 3, ' ') + " 0a 0b\n"));
}
