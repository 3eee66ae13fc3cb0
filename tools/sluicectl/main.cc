// SPDX-License-Identifier: Apache-2.0
// sluicectl: the board tool. Parses the command line, runs one command, prints, and turns errors
// into exit statuses: 0 success, 1 the operation failed, 2 wrong usage.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstring>
#include <functional>

#include "bench.h"
#include "commands.h"
#include "control.h"
#include "number.h"
#include "phys.h"
#include "tools/common/cli.h"
#include "watch.h"

namespace {

using sluice::Result;
using sluicectl::Options;

using sluice::cli::kFailed;

constexpr char kProgram[] = "sluicectl";

// Everything that the command line can say, as text; numbers are parsed by one function.
struct Arguments {
  Options options;
  std::string window, width, target, value, offset, length, timeout, frequency, timer, times, mask;
  double interval = 1;  // seconds
  bool force = false, yes = false;
  std::function<Result<std::string>()> command;
  std::string skipped;
};

std::optional<uint64_t> number(const std::string& text) {
  if (text.empty()) return std::nullopt;
  return sluicectl::parse_number(text).value();  // validated by is_number()
}

std::string is_number(const std::string& text) {
  const auto value = sluicectl::parse_number(text);
  return value ? "" : value.error().message;
}

// Names are looked up later, in the board description.
std::string is_name_or_number(const std::string& text) {
  return sluicectl::looks_like_number(text) ? is_number(text) : "";
}

std::string is_width(const std::string& text) {
  const auto value = sluicectl::parse_number(text);
  if (value && (*value == 8 || *value == 16 || *value == 32 || *value == 64)) return "";
  return "'" + text + "': expected 8, 16, 32 or 64";
}

std::string is_window(const std::string& text) {
  const auto value = sluicectl::parse_number(text);
  if (!value) return value.error().message;
  return *value <= UINT32_MAX ? "" : "'" + text + "' is too large";
}

CLI::Option* number_option(CLI::App* app, const std::string& name, std::string* out,
                           const std::string& help,
                           std::string (*check)(const std::string&) = is_number) {
  return app->add_option(name, *out, help)->check(CLI::Validator(check, ""));
}

void add_common(CLI::App& app, Arguments& args) {
  app.add_option(
         "-d,--device", args.options.device,
         "Board: /dev/sluiceN, N, a bus name such as 0000:00:04.0, or emu, a board within this "
         "process (default: the only one)")
      ->type_name("DEV");
  app.add_option("--board", args.options.board_file,
                 "Board description (TOML) that names registers")
      ->type_name("FILE");
  number_option(&app, "--window", &args.window,
                "Window of an offset (default: the first one of registers)", is_window)
      ->type_name("N");
  number_option(&app, "--width", &args.width, "Width of a register in bits: 8, 16, 32 or 64",
                is_width)
      ->type_name("BITS")
      ->default_str("32");
  app.add_flag("--mmap", args.options.mmap, "Access registers through a mapping, not system calls");
  app.add_flag("--json", args.options.json, "Print JSON");
}

CLI::App* add_read(CLI::App* parent, const char* name, Arguments& args) {
  CLI::App* app = parent->add_subcommand(name, "Read a register");
  app->add_option("TARGET", args.target,
                  "Offset in bytes, or REGISTER or REGISTER.FIELD of --board")
      ->check(CLI::Validator(is_name_or_number, ""))
      ->required();
  app->callback(
      [&] { args.command = [&] { return sluicectl::reg_read(args.options, args.target); }; });
  return app;
}

CLI::App* add_write(CLI::App* parent, const char* name, Arguments& args) {
  CLI::App* app = parent->add_subcommand(name, "Write a register");
  app->add_option("TARGET", args.target,
                  "Offset in bytes, or REGISTER or REGISTER.FIELD of --board; a field is written "
                  "by reading the register first")
      ->check(CLI::Validator(is_name_or_number, ""))
      ->required();
  app->add_option("VALUE", args.value, "A number or, for a field, one of its names")
      ->check(CLI::Validator(is_name_or_number, ""))
      ->required();
  number_option(app, "--mask", &args.mask, "Change these bits alone, with no access in between");
  app->callback([&] {
    args.command = [&] {
      return sluicectl::reg_write(args.options, args.target, args.value, number(args.mask));
    };
  });
  return app;
}

void add_poll(CLI::App* parent, Arguments& args) {
  CLI::App* app =
      parent->add_subcommand("poll", "Read until a register, or a field of one, has a value");
  app->add_option("TARGET", args.target,
                  "Offset in bytes, or REGISTER or REGISTER.FIELD of --board")
      ->check(CLI::Validator(is_name_or_number, ""))
      ->required();
  app->add_option("VALUE", args.value, "A number or, for a field, one of its names")
      ->check(CLI::Validator(is_name_or_number, ""))
      ->required();
  number_option(app, "--timeout", &args.timeout, "Give up after that long, at most 60000")
      ->type_name("MS")
      ->default_str("1000");
  app->callback([&] {
    args.command = [&] {
      return sluicectl::reg_poll(args.options, args.target, args.value,
                                 number(args.timeout).value_or(1000));
    };
  });
}

void add_registers(CLI::App& app, Arguments& args) {
  CLI::App* reg = app.add_subcommand("reg", "Read, write or dump registers");
  reg->require_subcommand(1);
  add_read(reg, "read", args);
  add_write(reg, "write", args);
  add_poll(reg, args);
  CLI::App* dump = reg->add_subcommand(
      "dump",
      "Read a range of registers, or with --board all that can be read. Reading has side effects "
      "on some boards.");
  number_option(dump, "OFFSET", &args.offset, "Where to begin (default: 0)");
  number_option(dump, "LENGTH", &args.length, "Bytes (default: 256, or to the window's end)");
  dump->callback([&] {
    args.command = [&] {
      return sluicectl::reg_dump(args.options, number(args.offset), number(args.length));
    };
  });
  add_read(&app, "r", args)->description("Short for reg read");
  add_write(&app, "w", args)->description("Short for reg write");
}

void add_map(CLI::App& app, Arguments& args) {
  CLI::App* map = app.add_subcommand(
      "map", "Map a range of a window uncached and print it, read through the mapping");
  number_option(map, "OFFSET", &args.offset, "Where to begin (default: 0)");
  number_option(map, "LENGTH", &args.length, "Bytes (default: 256, or to the window's end)");
  map->callback([&] {
    args.command = [&] {
      return sluicectl::map_dump(args.options, number(args.offset).value_or(0),
                                 number(args.length));
    };
  });
}

void add_irq(CLI::App& app, Arguments& args) {
  CLI::App* irq = app.add_subcommand("irq", "Interrupts");
  irq->require_subcommand(1);
  CLI::App* wait = irq->add_subcommand(
      "wait", "Let the next interrupt through, wait for it, print how many there have been");
  number_option(wait, "--timeout", &args.timeout, "Give up after that long (default: never)")
      ->type_name("MS");
  wait->callback([&] {
    args.command = [&] { return sluicectl::irq_wait(args.options, number(args.timeout)); };
  });
}

void add_yes(CLI::App* app, Arguments& args) {
  app->add_flag("-y,--yes", args.yes, "Go above the rated frequency without asking");
}

void add_clocks(CLI::App& app, Arguments& args) {
  CLI::App* clk = app.add_subcommand("clk", "Clocks of a board");
  clk->require_subcommand(1);
  clk->add_subcommand("show", "Show the clocks, the dividers and the limits")->callback([&] {
    args.command = [&] { return sluicectl::clock_show(args.options); };
  });
  const auto changes = [&](CLI::App* command) {
    add_yes(command, args);
    command->callback([&] {
      args.command = [&] { return sluicectl::clock_set(args.options, args.frequency, args.yes); };
    });
  };
  CLI::App* set = clk->add_subcommand("set", "Change the system clock; timers keep their own");
  set->add_option("FREQ", args.frequency,
                  "168MHz, 168M, 168000000, default (the rated one) or boost (the highest)")
      ->required();
  changes(set);
  for (const char* name : {"default", "boost"}) {
    CLI::App* one = clk->add_subcommand(name, fmt::format("Short for clk set {}", name));
    one->preparse_callback([&args, name](size_t) { args.frequency = name; });
    changes(one);
  }
  CLI::App* timer = app.add_subcommand("timer", "Set what a timer counts with; prints what came");
  number_option(timer, "TIMER", &args.timer, "Number of the timer", is_window)->required();
  timer->add_option("FREQ", args.frequency, "Such as 1MHz")->required();
  timer->callback([&] {
    args.command = [&] {
      return sluicectl::timer_set(args.options, static_cast<uint32_t>(*number(args.timer)),
                                  args.frequency);
    };
  });
}

void add_phys(CLI::App& app, Arguments& args) {
  CLI::App* phys = app.add_subcommand(
      "phys",
      "Any device register of the machine by its physical address; for root, with the module's "
      "raw_phys=1");
  phys->require_subcommand(1);
  const auto command = [&](const char* name, const char* help, bool write) {
    CLI::App* one = phys->add_subcommand(name, help);
    number_option(one, "ADDR", &args.target, "Physical address")->required();
    if (write) number_option(one, "VALUE", &args.value, "What to write")->required();
    one->callback([&] {
      args.command = [&] {
        return sluicectl::phys(args.options, *number(args.target), number(args.value));
      };
    });
  };
  command("r", "Read a register", false);
  command("w", "Write a register", true);
}

void add_life(CLI::App& app, Arguments& args) {
  CLI::App* reset = app.add_subcommand(
      "reset", "Reset a board: its memory loses its contents, queues die, mappings go");
  reset->add_flag("--force", args.force, "Though device memory is exported and pinned");
  reset->callback(
      [&] { args.command = [&] { return sluicectl::reset_board(args.options, args.force); }; });
  CLI::App* top = app.add_subcommand("top", "Show what boards do, every second (all, or -d)");
  number_option(top, "-n", &args.times, "Stop after so many tables")->type_name("TIMES");
  top->add_option("--interval", args.interval, "Seconds between tables")
      ->check(CLI::Range(0.1, 3600.0))
      ->type_name("SECONDS")
      ->capture_default_str();
  top->callback([&] {
    args.command = [&] {
      return sluicectl::top(args.options, number(args.times),
                            std::chrono::milliseconds(static_cast<int64_t>(args.interval * 1000)));
    };
  });
  app.add_subcommand("who", "Show which processes use the boards (all, or -d); for root")
      ->callback([&] { args.command = [&] { return sluicectl::who(args.options); }; });
}

void add_bench(CLI::App& app, Arguments& args) {
  CLI::App* bench = app.add_subcommand(
      "bench",
      "Measure what each way to the board costs: a register by mapping and by system calls, data "
      "to "
      "device memory by pwrite, mapping and DMA. Reads a register thousands of times");
  number_option(bench, "OFFSET", &args.offset, "Of the register (default: 0)");
  bench->callback(
      [&] { args.command = [&] { return sluicectl::bench(args.options, number(args.offset)); }; });
}

void add_commands(CLI::App& app, Arguments& args) {
  app.add_subcommand("list", "List the boards of this machine")->callback([&] {
    args.command = [&] { return sluicectl::list(args.options, &args.skipped); };
  });
  app.add_subcommand("info", "Show a board and its windows")->callback([&] {
    args.command = [&] { return sluicectl::info(args.options); };
  });
  app.add_subcommand("conform", "Check a board against the Device Interface; resets it")
      ->callback([&] { args.command = [&] { return sluicectl::check_board(args.options); }; });
  add_bench(app, args);
  add_registers(app, args);
  add_map(app, args);
  add_irq(app, args);
  add_clocks(app, args);
  add_phys(app, args);
  add_life(app, args);
}

// Every command takes the options of the program; its help should say so.
void add_footers(CLI::App* app) {
  for (CLI::App* command : app->get_subcommands({})) {
    command->footer("The options of `sluicectl --help` may stand here, too.");
    add_footers(command);
  }
}

// What the parser complains of; of an unknown command it only says that a known one is missing.
std::string complaint(const CLI::App& app, const CLI::ParseError& error) {
  const std::vector<std::string> rest = app.remaining(true);
  const bool no_command = std::string(error.what()).rfind("A subcommand", 0) == 0;
  return no_command && !rest.empty() ? "no command '" + rest.front() + "'" : error.what();
}

// A mapping whose board goes away is taken back by the driver; the next touch ends up here.
void on_sigbus(int) {
  static const char kMessage[] = "sluicectl: the board went away, or was reset, while mapped\n";
  [[maybe_unused]] const ssize_t n = ::write(STDERR_FILENO, kMessage, sizeof(kMessage) - 1);
  ::_exit(kFailed);
}

int report(const sluice::Error& error) {
  sluice::cli::complain(kProgram, error.message);
  return error.code == sluicectl::kUsage ? sluice::cli::kUsage : kFailed;
}

int finish(Arguments& args) {
  const Result<std::string> output = args.command();
  if (!output) return report(output.error());
  if (!sluice::cli::write_out(*output)) {
    return report({errno, std::string("standard output: ") + std::strerror(errno)});
  }
  // One line per board that could not be opened.
  for (size_t at = 0; at < args.skipped.size();) {
    const size_t end = args.skipped.find('\n', at);
    sluice::cli::complain(kProgram, std::string_view(args.skipped).substr(at, end - at));
    at = end + 1;
  }
  return args.skipped.empty() ? 0 : kFailed;
}

int run(int argc, char** argv) {
  Arguments args;
  CLI::App app(
      "sluicectl: look at boards, read, write and map their registers, reset them and\n"
      "change their clocks.\n"
      "Numbers are decimal, 0x hexadecimal or 0 octal.",
      "sluicectl");
  app.set_version_flag("--version", "sluicectl " SLUICE_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  add_common(app, args);
  add_commands(app, args);
  add_footers(&app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    sluice::cli::complain(kProgram, complaint(app, error));
    sluice::cli::complain(kProgram, "see sluicectl --help");
    return sluice::cli::kUsage;
  }
  if (const auto window = number(args.window)) {
    args.options.window = static_cast<uint32_t>(*window);
  }
  if (const auto width = number(args.width)) args.options.width = static_cast<unsigned>(*width);
  return finish(args);
}

}  // namespace

int main(int argc, char** argv) {
  struct sigaction action = {};
  action.sa_handler = on_sigbus;
  ::sigaction(SIGBUS, &action, nullptr);
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    return report({ENOMEM, error.what()});
  }
}
