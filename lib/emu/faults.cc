// SPDX-License-Identifier: Apache-2.0
// Faults as text, and when they strike.
#include "emu/faults.h"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <string_view>

namespace sluice {
namespace {

struct KindName {
  const char* name;
  FaultKind kind;
};

constexpr KindName kKinds[] = {
    {"hang", FaultKind::kHang},          {"lost-irq", FaultKind::kLostInterrupt},
    {"all-ones", FaultKind::kAllOnes},   {"late", FaultKind::kLate},
    {"corrupt", FaultKind::kCorruption}, {"removal", FaultKind::kRemoval},
    {"no-lock", FaultKind::kNoLock},
};

template <typename T>
bool parse_whole(std::string_view text, T& ret) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ret);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

tl::unexpected<Error> bad_fault(const std::string& text, const std::string& what) {
  std::string kinds;
  for (const KindName& k : kKinds) kinds += (kinds.empty() ? "" : ", ") + std::string(k.name);
  return fail(EINVAL,
              fmt::format("fault \"{}\": {}; expected KIND[@ENTRIES|:PROBABILITY][,DELAYms] "
                          "with KIND one of {}",
                          text, what, kinds));
}

}  // namespace

Result<Fault> parse_fault(const std::string& text) {
  Fault fault;
  std::string_view rest = text;
  if (const size_t comma = rest.find(','); comma != rest.npos) {
    std::string_view delay = rest.substr(comma + 1);
    if (!delay.ends_with("ms") || !parse_whole(delay.substr(0, delay.size() - 2), fault.delay_ms)) {
      return bad_fault(text, "no delay");
    }
    rest = rest.substr(0, comma);
  }
  const size_t mark = rest.find_first_of("@:");
  const std::string_view name = rest.substr(0, mark);
  const KindName* found = nullptr;
  for (const KindName& k : kKinds) {
    if (name == k.name) found = &k;
  }
  if (!found) return bad_fault(text, "no such kind");
  fault.kind = found->kind;
  if (mark == rest.npos) return fault;
  const std::string_view number = rest.substr(mark + 1);
  if (rest[mark] == '@') {
    if (!parse_whole(number, fault.after)) return bad_fault(text, "no number of entries");
  } else if (!parse_whole(number, fault.probability) ||
             !(fault.probability > 0 && fault.probability <= 1)) {
    return bad_fault(text, "no probability above 0 and at most 1");
  }
  return fault;
}

namespace emu {

Injector::Injector(const std::vector<Fault>& faults, uint64_t seed)
    : left_(faults.size()), rng_(seed) {
  faults_.reserve(faults.size());
  for (const Fault& fault : faults) faults_.push_back({fault});
}

std::optional<Fault> Injector::strike(FaultKind kind, uint64_t n_entries, bool chance) {
  for (Armed& armed : faults_) {
    if (armed.done || armed.fault.kind != kind) continue;
    if (armed.fault.probability > 0) {
      if (!chance) continue;
      const double drawn = static_cast<double>(rng_() >> 11) * 0x1p-53;
      if (drawn < armed.fault.probability) return armed.fault;
    } else if (n_entries >= armed.fault.after) {
      armed.done = true;
      --left_;
      return armed.fault;
    }
  }
  return std::nullopt;
}

}  // namespace emu
}  // namespace sluice
