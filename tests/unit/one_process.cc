// SPDX-License-Identifier: Apache-2.0
// Runs Criterion's tests by fork alone, for valgrind: Criterion starts a new process for every
// test, which costs valgrind a second each. Defines what test code calls of Criterion, so that it
// is used instead, and writes a TAP report as Criterion does.
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <criterion/parameterized.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csetjmp>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

// The linker's names for the sections that Test() and TestSuite() fill.
extern "C" {
extern criterion_test* __start_cr_tst[];
extern criterion_test* __stop_cr_tst[];
extern criterion_suite* __start_cr_sts[];
extern criterion_suite* __stop_cr_sts[];
}

namespace {

constexpr int kFailed = 1, kSkipped = 77;
constexpr unsigned kMostSeconds = 120;  // for one test

// State of the one test that this process runs.
const criterion_test* current;
void* parameter;
bool failed;
std::jmp_buf leave;

const criterion_suite* find_suite(const char* name) {
  for (criterion_suite** s = __start_cr_sts; s < __stop_cr_sts; ++s) {
    if (*s && !std::strcmp((*s)->name, name)) return *s;
  }
  return nullptr;
}

void say(const char* file, size_t line, const char* message) {
  std::fprintf(stderr, "%s::%s: %s:%zu: %s\n", current->category, current->name, file, line,
               message ? message : "");
}

[[noreturn]] void run_one(const criterion_test* test) {
  current = test;
  test->test();
  std::exit(failed ? kFailed : 0);  // static destructors and valgrind's search for leaks
}

struct Case {
  const criterion_test* test;
  void* parameter;
};

struct Report {
  FILE* tap;
  bool good = true;

  void add(const criterion_test* test, const char* result, const char* note = "") {
    std::fprintf(tap, "%s - %s::%s  %s\n", result, test->category, test->name, note);
    good = good && std::string_view(result) == "ok";
  }
};

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (criterion_test** t = __start_cr_tst; t < __stop_cr_tst; ++t) {
    const criterion_test* test = *t;
    if (!test) continue;
    if (test->data->kind_ != CR_TEST_PARAMETERIZED) {
      cases.push_back({test, nullptr});
      continue;
    }
    const criterion_test_params params = test->data->param_();
    for (size_t i = 0; i < params.length; ++i) {
      cases.push_back({test, static_cast<char*>(params.params) + i * params.size});
    }
  }
  return cases;
}

using Clock = std::chrono::steady_clock;

struct Running {
  const criterion_test* test;
  Clock::time_point start;
};

void finish_one(std::map<pid_t, Running>& running, Report& report) {
  int status = 0;
  const pid_t pid = wait(&status);
  const auto it = running.find(pid);
  if (it == running.end()) return;
  const auto [test, start] = it->second;
  const std::chrono::duration<double> took = Clock::now() - start;
  char seconds[32];
  std::snprintf(seconds, sizeof(seconds), "(%.2fs)", took.count());
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
    report.add(test, "ok", seconds);
  } else if (WIFEXITED(status) && WEXITSTATUS(status) == kSkipped) {
    report.add(test, "ok", "# SKIP it says why above");
  } else {
    report.add(test, "not ok", seconds);
  }
  running.erase(it);
}

void start_one(const Case& one, std::map<pid_t, Running>& running, Report& report) {
  // A fatal signal would be an error to valgrind.
  if (one.test->data->signal || one.test->data->exit_code || one.test->data->disabled) {
    report.add(one.test, "ok", "# SKIP it is to end by a signal or status, or is disabled");
    return;
  }
  std::fflush(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    alarm(kMostSeconds);
    parameter = one.parameter;
    run_one(one.test);
  }
  if (pid < 0) {
    report.add(one.test, "not ok");
  } else {
    running[pid] = {one.test, Clock::now()};
  }
}

}  // namespace

extern "C" {

void criterion_internal_test_setup() {
  const criterion_suite* suite = find_suite(current->category);
  if (suite && suite->data && suite->data->init) suite->data->init();
  if (current->data->init) current->data->init();
}

void criterion_internal_test_main(void (*body)()) {
  if (setjmp(leave)) return;
  if (parameter) {
    reinterpret_cast<void (*)(void*)>(body)(parameter);
  } else {
    body();
  }
}

void criterion_internal_test_teardown() {
  if (current->data->fini) current->data->fini();
  const criterion_suite* suite = find_suite(current->category);
  if (suite && suite->data && suite->data->fini) suite->data->fini();
}

void criterion_send_assert(criterion_assert_stats* stats) {
  if (stats->passed) return;
  failed = true;
  say(stats->file, stats->line, stats->message);
}

void cri_asserts_passed_incr() {}

void cri_assert_node_send(const char* file, size_t line, cri_assert_node* tree) {
  if (tree->pass) return;
  failed = true;
  say(file, line, tree->message ? tree->message : tree->repr);
}

void criterion_abort_test() { std::longjmp(leave, 1); }
void criterion_continue_test() {}

void criterion_skip_test(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::fprintf(stderr, "%s::%s: skipped: ", current->category, current->name);
  std::vfprintf(stderr, format, arguments);
  std::fputc('\n', stderr);
  va_end(arguments);
  std::exit(kSkipped);
}

void criterion_test_die(const char* format, ...) {
  char message[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(message, sizeof(message), format, arguments);
  va_end(arguments);
  say(current->data->file_, current->data->line_, message);
  std::_Exit(kFailed);
}

void cr_log(criterion_severity, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  std::fputc('\n', stderr);
  va_end(arguments);
}
}

int main(int argc, char** argv) {
  FILE* tap = stdout;
  for (int i = 1; i < argc; ++i) {
    if (!std::strncmp(argv[i], "--tap=", 6)) tap = std::fopen(argv[i] + 6, "w");
  }
  if (!tap) {
    std::perror("one-process: --tap");
    return 2;
  }
  Report report{tap};
  const std::vector<Case> cases = all_cases();
  std::map<pid_t, Running> running;
  const size_t most = static_cast<size_t>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  for (const Case& one : cases) {
    if (running.size() >= most) finish_one(running, report);
    start_one(one, running, report);
  }
  while (!running.empty()) finish_one(running, report);
  std::fclose(tap);
  return report.good ? 0 : 1;
}
