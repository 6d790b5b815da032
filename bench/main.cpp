// clipx-bench: times a tower, the tokenizer, preprocessing, all of them together, training's data and single ops, beside the
// machine's ceilings.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "bench.hpp"

int main(int argc, char** argv) {
  CLI::App app{"Times clipx. Every command prints one JSON line with --json."};
  app.require_subcommand(1);
  std::function<void()> run;
  for (auto* add : {bench::add_peak, bench::add_encode, bench::add_tokenize, bench::add_preprocess, bench::add_loader,
                    bench::add_ends, bench::add_ops})
    add(app, run);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) { return app.exit(e) == 0 ? 0 : 2; }
  try {
    run();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "clipx-bench: %s\n", e.what());
    return 1;
  }
  return 0;
}
