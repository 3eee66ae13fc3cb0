// SPDX-License-Identifier: Apache-2.0
// The daemon's parts that need no network: settings, JSON from strangers, the request table, the
// batching policy, the watchdog, and the scheduler over a tiny model.
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include <sluice/quantize.hpp>

#include "daemon/api.h"
#include "daemon/batch.h"
#include "daemon/completion_request.h"
#include "daemon/json_reader.h"
#include "daemon/notify.h"
#include "daemon/scheduler.h"
#include "daemon/settings.h"
#include "support.h"

using namespace sluice;
using namespace sluice::daemon;
using sluice::test::same;

TestSuite(daemon, .timeout = 120);

namespace {

const char* no_environment(const char*) { return nullptr; }

Result<ParsedArguments> parse(std::vector<const char*> args,
                              const std::function<const char*(const char*)>& env = no_environment) {
  args.insert(args.begin(), "sluiced");
  return read_settings(static_cast<int>(args.size()), args.data(), env);
}

bool says(const std::string& message, std::string_view part) {
  return message.find(part) != message.npos;
}

}  // namespace

// --- settings

Test(daemon, every_setting_comes_from_flag_environment_and_file) {
  for (const Setting& setting : settings_table()) {
    const bool is_number = std::holds_alternative<uint64_t Settings::*>(setting.member);
    std::string value = is_number ? std::to_string(setting.max) : "x";
    if (setting.choices != nullptr) {
      const std::string_view choices = setting.choices;
      value = choices.substr(0, choices.find('|'));
    }
    if (std::string_view(setting.name) == "config") continue;
    // Larger than this needs a larger max_batch_tokens beside it.
    if (std::string_view(setting.name) == "max_sequences") value = "512";

    const auto is_set = [&](const Settings& settings) {
      if (is_number) {
        return std::to_string(settings.*std::get<uint64_t Settings::*>(setting.member)) == value;
      }
      return settings.*std::get<std::string Settings::*>(setting.member) == value;
    };
    std::string flag = "--" + std::string(setting.name);
    for (char& c : flag) c = c == '_' ? '-' : c;
    const auto by_flag = parse({flag.c_str(), value.c_str()});
    cr_assert(by_flag && is_set(by_flag->settings), "%s", flag.c_str());

    std::string variable = "SLUICED_" + std::string(setting.name);
    for (char& c : variable) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    const auto by_environment =
        parse({}, [&](const char* name) { return name == variable ? value.c_str() : nullptr; });
    cr_assert(by_environment && is_set(by_environment->settings), "%s", variable.c_str());

    char path[] = "/tmp/sluiced-test-XXXXXX";
    cr_assert(mkstemp(path) >= 0);
    std::ofstream(path) << setting.name << " = " << (is_number ? value : '"' + value + '"') << "\n";
    const auto by_file = parse({"--config", path});
    std::remove(path);
    cr_assert(by_file && is_set(by_file->settings), "%s in the file", setting.name);
  }
}

Test(daemon, later_sources_of_settings_win) {
  char path[] = "/tmp/sluiced-test-XXXXXX";
  cr_assert(mkstemp(path) >= 0);
  std::ofstream(path) << "port = 1\nmax_queue = 1\nhost = \"file\"\n";
  const auto parsed = parse({"--port", "3", "--config", path}, [](const char* name) -> const char* {
    const std::string_view wanted = name;
    return wanted == "SLUICED_PORT" || wanted == "SLUICED_MAX_QUEUE" ? "2" : nullptr;
  });
  std::remove(path);
  cr_assert(parsed.has_value());
  cr_expect(same(parsed->settings.port, 3));
  cr_expect(same(parsed->settings.max_queue, 2));
  cr_expect(parsed->settings.host == "file");
}

Test(daemon, numbers_out_of_range_are_refused_by_name) {
  for (const Setting& setting : settings_table()) {
    if (!std::holds_alternative<uint64_t Settings::*>(setting.member)) continue;
    for (const std::string& bad : {std::to_string(setting.max + 1), std::string("-1"),
                                   std::string("1x"), std::string(" 1"), std::string()}) {
      Settings settings;
      const auto set = set_setting(settings, setting, bad, "here");
      cr_assert(!set.has_value(), "%s = %s", setting.name, bad.c_str());
      cr_expect(same(set.error().code, EINVAL));
      cr_expect(says(set.error().message, "here: "));
    }
  }
}

// --- JSON

Test(daemon, json_errors_have_a_position) {
  const struct {
    const char* text;
    const char* says;
  } cases[] = {
      {"", "line 1, column 1 (byte 0)"},
      {"{\"a\":\n 1,\n }", "line 3, column 2 (byte 11)"},
      {"[1, 2", "line 1, column 6"},
      {"[1e999]", "number overflow"},
      {"{} x", "column 4"},
      {"\"\xff\"", "malformed JSON at line 1, column 2"},
      {"[\"\\ud800\"]", "malformed"},
      {"[01]", "column 3"},
      {"nulL", "column 4"},
      {"'a'", "column 1"},
  };
  for (const auto& c : cases) {
    const auto parsed = read_json(c.text);
    cr_assert(!parsed.has_value(), "%s", c.text);
    cr_expect(says(parsed.error(), c.says), "%s: %s", c.text, parsed.error().c_str());
  }
  const auto zero = read_json(std::string_view("[\0]", 3));
  cr_expect(!zero.has_value());
}

Test(daemon, json_builds_the_document) {
  const char text[] = R"({"a": [1, -2, 2.5, true, null, {"b": []}], "c": "\u00e9\n", "a2": {}})";
  const auto parsed = read_json(text);
  cr_assert(parsed.has_value());
  cr_expect(*parsed == nlohmann::json::parse(text));
  const auto twice = read_json(R"({"a": [1], "a": 2})");
  cr_assert(twice.has_value());
  cr_expect(same((*twice)["a"].get<int>(), 2));
}

Test(daemon, json_nesting_is_bounded) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  cr_expect(read_json(nested(kMaxJsonDepth)).has_value());
  cr_expect(!(read_json(nested(kMaxJsonDepth + 1)).has_value()));
  cr_expect(!(read_json(std::string(1 << 20, '[')).has_value()));
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  cr_expect(says(read_json(objects).error(), "nested deeper than 32"));
}

Test(daemon, json_output_replaces_what_is_no_text) {
  cr_expect(write_json({{"a", "x\xff"}}) == "{\"a\":\"x\xef\xbf\xbd\"}");
  cr_expect(
      to_json(invalid_request("m\n", "p")) ==
      R"({"error":{"message":"m\n","type":"invalid_request_error","param":"p","code":null}})");
}

// --- the request table

Test(daemon, a_request_has_openai_s_defaults) {
  const auto request = read_completion_request(R"({"prompt": "Hi"})");
  cr_assert(request.has_value());
  cr_expect(std::get<std::string>(request->prompts.at(0)) == "Hi");
  cr_expect(!request->max_tokens.has_value());
  cr_expect(same(request->temperature, 1.0f));
  cr_expect(same(request->top_p, 1.0f));
  cr_expect(same(request->n, 1));
  cr_expect(!(request->stream));
}

Test(daemon, a_request_takes_every_field) {
  const auto request = read_completion_request(
      R"({"model": "m", "prompt": [[1, 2], [3]], "max_tokens": 7, "temperature": 0.5, "top_p": 0.25,
          "n": 3, "stop": ["a", "b"], "seed": -2, "stream": true,
          "stream_options": {"include_usage": true}, "echo": true, "top_k": 9, "min_p": 0.125,
          "repeat_penalty": 1.5, "repeat_last_n": 8, "ignore_eos": true, "unknown": {"x": [1]}})");
  cr_assert(request.has_value(), "%s", request ? "" : request.error().message.c_str());
  cr_expect(request->model == "m");
  cr_expect(same(request->prompts.size(), 2));
  cr_expect(std::get<std::vector<int32_t>>(request->prompts[0]) == (std::vector<int32_t>{1, 2}));
  cr_expect(same(request->max_tokens.value(), 7));
  cr_expect(same(request->temperature, 0.5f));
  cr_expect(same(request->top_p, 0.25f));
  cr_expect(same(request->n, 3));
  cr_expect(request->stop == (std::vector<std::string>{"a", "b"}));
  cr_expect(same(request->seed.value(), uint64_t(-2)));
  cr_expect(request->stream && request->include_usage && request->echo && request->ignore_eos);
  cr_expect(same(request->top_k, 9));
  cr_expect(same(request->min_p, 0.125f));
  cr_expect(same(request->repeat_penalty, 1.5f));
  cr_expect(same(request->repeat_last_n, 8));
}

Test(daemon, no_field_takes_just_anything) {
  // Whatever the field: an array of nested arrays fits none of them.
  for (const FieldHelp& field : completion_fields()) {
    const std::string body = R"({"prompt": "a", ")" + field.name + R"(": [[[1]]]})";
    const auto request = read_completion_request(body);
    cr_assert(!request.has_value(), "%s", field.name.c_str());
    cr_expect(same(request.error().status, 400));
    cr_expect(request.error().param.starts_with(field.name), "%s", field.name.c_str());
    cr_expect(says(request.error().message, "'" + request.error().param + "'"));
  }
}

Test(daemon, the_documentation_names_every_field) {
  std::ifstream file("docs/serving.md");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  cr_assert(!(text.empty()), "run from the top of the tree");
  for (const FieldHelp& field : completion_fields()) {
    cr_expect(says(text, "`" + field.name + "`"), "%s", field.name.c_str());
  }
  for (const Setting& setting : settings_table()) {
    cr_expect(says(text, "`" + std::string(setting.name) + "`"), "%s", setting.name);
  }
}

// --- small things of the API

Test(daemon, percent_decoding) {
  std::string decoded;
  cr_expect(decode_percent("a%20b%2Fc%c3%A9", &decoded));
  cr_expect(decoded == "a b/c\xc3\xa9");
  for (const char* bad : {"%", "%2", "%zz", "a%-1b", "% 1", "%+1"}) {
    cr_expect(!(decode_percent(bad, &decoded)), "%s", bad);
  }
  cr_expect(model_id_from_name("Tales 7M") == "tales-7m");
  cr_expect(model_id_from_name("A/b_c.1\xc3\xa9") == "a-b_c.1--");
  cr_expect(model_id_from_name("") == "model");
}

// --- batching

Test(daemon, a_step_takes_sequences_that_generate_first) {
  const std::vector<SequenceProgress> running = {{0, 100}, {50, 1}, {0, 30}, {7, 1}};
  const auto grants = plan_step(running, {.tokens = 64, .sequences = 8});
  cr_assert(same(grants.size(), 3));
  cr_expect(same(grants[0].index, 1));
  cr_expect(same(grants[1].index, 3));
  cr_expect(same(grants[2].index, 0));
  cr_expect(same(grants[2].n_tokens, 62));
}

Test(daemon, a_step_keeps_within_its_budget) {
  for (uint32_t tokens = 1; tokens < 40; ++tokens) {
    for (uint32_t sequences = 1; sequences < 6; ++sequences) {
      const std::vector<SequenceProgress> running = {{9, 1}, {0, 17}, {3, 1}, {16, 5}, {0, 1}};
      const auto grants = plan_step(running, {tokens, sequences});
      uint64_t total = 0;
      for (const Grant& grant : grants) {
        cr_expect(grant.n_tokens >= 1);
        cr_expect(uint64_t(grant.n_tokens) <= running[grant.index].pending);
        total += grant.n_tokens;
      }
      cr_expect(!(grants.empty()));
      cr_expect(total <= uint64_t(tokens));
      cr_expect(grants.size() <= size_t(sequences));
    }
  }
}

Test(daemon, a_sequence_starts_only_where_it_can_stay) {
  cr_expect(may_start(1000, {}, 0));  // alone: whatever happens, waiting does not help
  const std::vector<SequenceProgress> running = {{32, 1}, {30, 1}};
  // 40 tokens are 3 blocks, one more to grow, and the first running one is about to take one.
  cr_expect(may_start(40, running, 5 * 16));
  cr_expect(!(may_start(40, running, 5 * 16 - 1)));
}

// --- the watchdog

Test(daemon, the_watchdog_wants_signs_from_every_part) {
  int pings = 0;
  Watchdog watchdog(std::chrono::milliseconds(6), [&] { ++pings; });
  const auto period = std::chrono::milliseconds(3);
  for (int i = 0; i < 5; ++i) {
    watchdog.beat(Watchdog::kNetwork);
    std::this_thread::sleep_for(period);
  }
  cr_expect(same(pings, 0));
  watchdog.beat(Watchdog::kEngine);
  cr_expect(same(pings, 1));
  watchdog.beat(Watchdog::kEngine);
  cr_expect(same(pings, 1));
  for (int i = 0; i < 4; ++i) {
    std::this_thread::sleep_for(period);
    watchdog.beat(Watchdog::kEngine);
    watchdog.beat(Watchdog::kNetwork);
  }
  cr_expect(pings >= 3);
  Watchdog off(std::chrono::microseconds(0), [&] { pings = -1; });
  off.beat(Watchdog::kEngine);
  off.beat(Watchdog::kNetwork);
  cr_expect(pings >= 0);
}

// --- the scheduler

namespace {

// Collects the events of requests; the sink may be called on any thread.
struct Collector {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<uint32_t, std::string> texts;
  std::map<uint32_t, Finish> finished;

  JobSink sink() {
    return [this](JobEvent event) {
      const std::lock_guard lock(mutex);
      texts[event.index] += event.text;
      if (event.finish) finished[event.index] = *event.finish;
      changed.notify_all();
    };
  }
  bool wait_for(size_t n_finished) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(100),
                            [&] { return finished.size() >= n_finished; });
  }
};

std::shared_ptr<const Model> tiny_model() {
  const sluice::test::TempDir dir;
  cr_assert(synthesize("tiny", "F16", dir.file("tiny.gguf")).has_value());
  auto model = Model::load(dir.file("tiny.gguf"));
  cr_assert(model.has_value());
  return *model;
}

Job job_of(const Model& model, const char* prompt, uint32_t max_tokens) {
  Job job;
  job.prompt = model.tokenizer()->encode(prompt, true);
  job.max_tokens = max_tokens;
  job.sampling.seed = 3;
  job.ignore_eos = true;
  return job;
}

}  // namespace

Test(daemon, the_scheduler_gives_each_job_its_own_text) {
  const auto model = tiny_model();
  EngineOptions options;
  options.max_batch_tokens = 32;
  options.max_sequences = 4;
  options.kv_tokens = 128;  // too little for all to come to their end together
  Watchdog watchdog{std::chrono::microseconds(0)};
  const char* prompts[] = {"Once", "The old king", "A wolf", "Snow fell", "In the forest", "He"};

  std::map<uint32_t, std::string> alone;
  for (const bool together : {false, true}) {
    auto engine = Engine::create(model, options);
    cr_assert(engine.has_value());
    Scheduler scheduler(std::move(*engine), 16, watchdog);
    Collector all;
    std::vector<Job> jobs;
    for (uint32_t i = 0; i < std::size(prompts); ++i) {
      Job job = job_of(*model, prompts[i], 40);
      job.stream = i % 2 == 0;
      if (together) {
        jobs.push_back(std::move(job));
        continue;
      }
      Collector one;
      cr_assert(scheduler.submit({std::move(job)}, one.sink()).has_value());
      cr_assert(one.wait_for(1));
      alone[i] = one.texts[0];
    }
    if (!together) continue;
    cr_assert(scheduler.submit(std::move(jobs), all.sink()).has_value());
    cr_assert(all.wait_for(std::size(prompts)));
    cr_expect(all.texts == alone);
    cr_expect(scheduler.stats().preempted > uint64_t(0));
  }
}

Test(daemon, the_scheduler_refuses_what_its_queue_cannot_hold) {
  const auto model = tiny_model();
  auto engine = Engine::create(model);
  cr_assert(engine.has_value());
  Watchdog watchdog{std::chrono::microseconds(0)};
  Scheduler scheduler(std::move(*engine), 2, watchdog);
  Collector collector;
  std::vector<Job> three(3, job_of(*model, "a", 1));
  const auto refused = scheduler.submit(three, collector.sink());
  cr_assert(!refused.has_value());
  cr_expect(same(refused.error().code, EAGAIN));
  three.pop_back();
  cr_assert(scheduler.submit(three, collector.sink()).has_value());
  cr_expect(collector.wait_for(2));
  // Nothing to generate is done at once.
  Collector nothing;
  cr_assert(scheduler.submit({job_of(*model, "a", 0)}, nothing.sink()).has_value());
  cr_expect(nothing.wait_for(1));
  cr_expect(nothing.finished[0] == Finish::kLength);
}

Test(daemon, a_cancelled_request_ends_and_others_go_on) {
  const auto model = tiny_model();
  auto engine = Engine::create(model);
  cr_assert(engine.has_value());
  Watchdog watchdog{std::chrono::microseconds(0)};
  Scheduler scheduler(std::move(*engine), 8, watchdog);
  Collector cancelled, kept;
  const auto request =
      scheduler.submit(std::vector<Job>(2, job_of(*model, "a", 500)), cancelled.sink());
  cr_assert(request.has_value());
  cr_assert(scheduler.submit({job_of(*model, "b", 20)}, kept.sink()).has_value());
  scheduler.cancel(*request);
  scheduler.cancel(12345);
  cr_expect(kept.wait_for(1));
  cr_expect(cancelled.finished.empty());
  for (int i = 0; i < 500 && scheduler.stats().running > 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  cr_expect(same(scheduler.stats().running, 0));
}
