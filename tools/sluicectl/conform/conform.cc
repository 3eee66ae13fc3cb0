// SPDX-License-Identifier: Apache-2.0
#include "tools/sluicectl/conform/conform.h"

#include <fmt/format.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "tools/common/cli.h"
#include "tools/sluicectl/conform/checks.h"

namespace sluicectl::conform {
namespace {

using Json = nlohmann::ordered_json;

struct Outcome {
  const char* verdict;
  std::string reason;
};

Outcome run_check(sluice::Device& device, uint64_t capabilities, const Check& check) {
  if (check.capability & ~capabilities) return {"left out", "the board lacks the capability"};
  auto rig = Rig::make(device);
  const Result<void> done = rig ? check.run(*rig) : tl::unexpected(rig.error());
  return done ? Outcome{"pass", ""} : Outcome{"FAIL", done.error().message};
}

}  // namespace

Result<Report> run_all(sluice::Device& device, bool json, std::string* ret_output) {
  SLUICE_TRY(const sluice::BoardInfo board, device.info());
  if (board.kind != sluice::BoardKind::kSdi) {
    return sluice::fail(ENOTSUP, board.name + ": a plain board, which has no Device Interface");
  }
  SLUICE_CHECK(device.reset());
  const Part parts[] = {{"control", control_checks()},
                        {"queues", queue_checks()},
                        {"lists", list_checks()},
                        {"operations", op_checks()}};
  Report report;
  Json results = Json::array();
  for (const Part& part : parts) {
    for (const Check& check : part.checks) {
      const Outcome outcome = run_check(device, board.capabilities, check);
      const std::string_view verdict = outcome.verdict;
      (verdict == "pass"   ? report.n_passed
       : verdict == "FAIL" ? report.n_failed
                           : report.n_left_out)++;
      if (json) {
        results.push_back({{"part", part.name},
                           {"check", check.name},
                           {"verdict", outcome.verdict},
                           {"reason", outcome.reason}});
      } else if (!sluice::cli::write_out(
                     fmt::format("{:<8} {:<8} {}{}{}\n", outcome.verdict, part.name, check.name,
                                 outcome.reason.empty() ? "" : ": ", outcome.reason))) {
        return sluice::fail(EPIPE, "standard output is closed");
      }
    }
  }
  if (json) {
    *ret_output = Json{{"board", board.name},
                       {"passed", report.n_passed},
                       {"failed", report.n_failed},
                       {"left_out", report.n_left_out},
                       {"checks", results}}
                      .dump(2) +
                  "\n";
  } else {
    *ret_output = fmt::format("{} passed, {} failed, {} left out\n", report.n_passed,
                              report.n_failed, report.n_left_out);
  }
  return report;
}

}  // namespace sluicectl::conform
