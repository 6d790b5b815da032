// clipx: classify, embed, tokenize, preprocess, inspect, convert, eval, train, tokenizer, ngrams, curate, bench. Exit codes: 0
// done, 1 bad input, 2 bad usage.
#include <clipx/curate/language.hpp>
#include <clipx/io/file.hpp>
#include <cstdio>
#include <exception>
#include <iostream>

#include "common.hpp"
#include "flags.hpp"
#include "open_clip_flags.hpp"

namespace {
/// An answer that did not arrive (a full disk, a closed pipe) is no success.
int delivered(int code) {
  std::cout.flush();
  if (std::fflush(stdout) == 0 && !std::ferror(stdout) && std::cout) return code;
  std::fprintf(stderr, "clipx: cannot write to standard output\n");
  return 1;
}
/// A file that became shorter while it was read may be why something else went wrong.
void tell_torn_files() {
  try {
    clipx::expect_mapped_files_whole();
  } catch (const clipx::error& e) { cli::complain(e.what()); }
}
}  // namespace

int main(int argc, char** argv) {
  cli::command_line app{"CLIP without Python: images and texts in one embedding space.", "clipx"};
  app.footer(
      "Examples:\n"
      "  clipx classify photo.jpg --labels \"a cat,a dog,a red car\"\n"
      "  clipx embed --images images/ --out images.npy\n"
      "  clipx inspect path/to/model\n"
      "See clipx VERB --help for more. Exit codes: 0 success, 1 bad input, 2 bad usage, 130 stopped by a signal.");
  app.failure_message([](const std::string& verb, const std::string& wrong) {
    return verb + ": " + cli::with_flags(cli::answer_open_clip_flags(verb, wrong)) + "\nSee " + verb + " --help.\n";
  });
  app.require_subcommand(0, 1);
  bool version = false, verbose = false;
  app.add_flag("--version", version, "print the version; with -v also backends and decoders");
  app.add_flag("-v,--verbose", verbose, "with --version: backends, instruction sets, decoders");
  cli::action run;
  for (auto* add : {cli::add_classify, cli::add_embed, cli::add_tokenize, cli::add_preprocess, cli::add_inspect, cli::add_convert,
                    cli::add_eval, cli::add_train, cli::add_tokenizer, cli::add_ngrams, cli::add_curate, cli::add_bench})
    add(app, run);
  if (const auto code = app.parse(argc, argv)) return *code == 0 ? delivered(0) : *code;
  try {
    if (version) {
      std::printf("clipx %s\n", CLIPX_VERSION);
      if (verbose) {
        for (auto& line : cli::describe_backends()) std::printf("%s\n", line.c_str());
        for (auto& f : clipx::image_formats())
          std::printf("%s\n",
                      clipx::cat(f.name, ": ",
                                 f.decoder.empty() ? clipx::cat("not decoded; build with ", f.package) : std::string(f.decoder))
                          .c_str());
        std::printf("languages: %s\n", std::string(clipx::language_detector()).c_str());
      }
      return delivered(0);
    }
    clipx::guard_mapped_files();
    if (run) {
      const int code = run();
      clipx::expect_mapped_files_whole();
      return delivered(code);
    }
    std::fputs(app.help().c_str(), stderr);
    return 2;
  } catch (const clipx::error& e) {
    cli::complain(e.what());
    tell_torn_files();
    return e.kind() == clipx::error_kind::cancelled ? 130 : 1;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "clipx: out of memory; a smaller --batch-size takes less\n");
  } catch (const std::exception& e) { cli::complain(e.what()); }
  return 1;
}
