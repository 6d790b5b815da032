// clipx-bench: times a tower, the tokenizer, matching, preprocessing, all of them together, training's data, single ops, the loss
// and steps of training, beside the machine's ceilings.
#include <clipx/core/error.hpp>
#include <cstdio>
#include <exception>
#include <iostream>

#include "bench.hpp"

namespace bench {

void timing::add(cli::command& verb) {
  verb.add_option("--runs", runs)->check(cli::positive_number());
  verb.add_option("--warmup", warmup);
  verb.add_flag("--serve", serve,
                "prints a JSON line when it is ready; then each line on standard input, a number of calls, is answered by one");
  verb.add_flag("--json", json_output);
}

void timing::report(const json& facts, const std::function<void()>& work, const std::function<void(json&)>& add) const {
  const auto line = [&](int warm, int calls) {
    auto all = result(time_runs(warm, calls, work));
    all.update(facts);
    add(all);
    return all;
  };
  if (!serve) return print(line(warmup, runs), json_output);
  print(facts, true);
  for (int calls; std::fflush(stdout), std::cin >> calls;) {
    clipx::expect(calls > 0, "--serve: expected a number of calls above 0");
    print(line(0, calls), true);
  }
}

void add_peak(cli::command& app, std::function<void()>& run) {
  auto* verb = app.add_subcommand("peak", "The machine's ceilings.");
  auto threads = std::make_shared<int>(2);
  auto as_json = std::make_shared<bool>(false);
  verb->add_option("--threads", *threads);
  verb->add_flag("--json", *as_json);
  verb->callback([=, &run] {
    run = [=] {
      const auto c = measure_ceilings(*threads);
      print({{"cpu", clipx::cpu_name()},
             {"flags", clipx::cpu_flags()},
             {"threads", *threads},
             {"f32_gflops", c.f32_gflops},
             {"bf16_gflops", c.bf16_gflops},
             {"bf16_unit", c.bf16_unit},
             {"read_gbs", measure_reading(*threads)}},
            *as_json);
    };
  });
}

void print(const json& facts, bool as_json) {
  if (as_json) {
    std::printf("%s\n", facts.dump().c_str());
    return;
  }
  for (auto& [key, value] : facts.items())
    if (!value.is_array())
      std::printf("%-12s %s\n", key.c_str(), value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str());
}

}  // namespace bench

int main(int argc, char** argv) {
  cli::command_line app{"Times clipx. Every command prints one JSON line with --json."};
  app.require_subcommand(1);
  std::function<void()> run;
  for (auto* add : {bench::add_peak, bench::add_encode, bench::add_tokenize, bench::add_match, bench::add_preprocess,
                    bench::add_loader, bench::add_ends, bench::add_ops, bench::add_loss, bench::add_train})
    add(app, run);
  if (const auto code = app.parse(argc, argv)) return *code;
  try {
    run();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "clipx-bench: %s\n", e.what());
    return 1;
  }
  return 0;
}
