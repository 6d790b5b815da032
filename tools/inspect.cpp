// clipx inspect: what a checkpoint is; clipx convert: the same weights in the other layout or precision.
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "common.hpp"

namespace cli {
namespace {

struct options {
  model_options model;
  std::string layout = "open_clip", dtype = "f32", out;
};

int inspect(const options& o) {
  const auto source = o.model.open();
  const auto facts = json::parse(source.summary());
  if (o.model.json_output) {
    std::printf("%s\n", facts.dump(-1, ' ', false, json::error_handler_t::replace).c_str());
    return 0;
  }
  for (auto& [key, value] : facts.items())
    std::printf("%-16s %s\n", key.c_str(), printable(value.is_string() ? value.get<std::string>() : value.dump()).c_str());
  return 0;
}

/// A text of which the written folder's library makes other ids than that of the source: the layouts clean texts differently, and
/// not every cleaning has a place in both. None: no such text was found.
std::optional<std::string> text_that_differs(const clipx::checkpoint& source, const clipx::checkpoint& written) {
  for (const char* text : {"a photo of a cat", "A Photo of a Cat", "a cat, a dog & \"others\"!", "two  spaces",
                           "Stra\xc3\x9f"
                           "e"})
    if (source.text()(text) != written.text()(text)) return text;
  return std::nullopt;
}

int convert(const options& o) {
  terminal watch;
  const auto source = o.model.open();
  source.write(o.out, o.layout == "hf" ? clipx::layout::hf : clipx::layout::open_clip, o.dtype, watch);
  const auto& d = source.config().dropout;
  if (o.layout == "hf" && d != clipx::image_dropout())
    complain(
        "warning: Hugging Face's layout has no place for patch_dropout, timm_drop and timm_drop_path: they are not in config.json");
  const auto written = clipx::checkpoint::open(o.out);
  if (written.config().text.pool == clipx::text_pool::none) return 0;
  if (const auto text = text_that_differs(source, written))
    complain(clipx::cat("warning: ", o.out, ": texts such as ", *text, " get other token ids there than in ", o.model.path,
                        ": the two layouts clean texts differently before the tokenizer"));
  return 0;
}
}  // namespace

void add_inspect(command& app, action& run) {
  auto* verb = app.add_subcommand("inspect", "Shows a checkpoint's architecture, sizes, preprocessing and precision.");
  auto o = std::make_shared<options>();
  auto given = std::make_shared<std::string>();
  verb->add_option("path", *given, "the same as --model")->type_name("PATH");
  o->model.add_json(*verb);
  o->model.add_model(*verb);
  verb->footer("Example: clipx inspect path/to/model --json");
  verb->callback([=, &run] {
    if (!given->empty() && !o->model.path.empty()) throw excludes_error("path", "--model");
    if (!given->empty()) o->model.path = *given;
    run = [=] { return inspect(*o); };
  });
}

void add_convert(command& app, action& run) {
  auto* verb = app.add_subcommand("convert", "Writes a checkpoint in open_clip's or Hugging Face's layout.");
  auto o = std::make_shared<options>();
  const auto add = [&](const char* name, std::string& value, const char* help, std::vector<std::string> choices) {
    verb->add_option(name, value, help)->capture_default_str()->check(is_member(choices))->type_name("NAME");
  };
  verb->add_option("--out", o->out, "output folder, created if missing")->required()->type_name("DIR");
  add("--layout", o->layout, "open_clip or hf", {"open_clip", "hf"});
  add("--dtype", o->dtype, "f32, f16 or bf16", {"f32", "f16", "bf16"});
  o->model.add_model(*verb);
  verb->footer(
      "open_clip loads the folder as local-dir:DIR, transformers with CLIPModel.from_pretrained.\n"
      "Example: clipx convert --model path/to/model --layout hf --dtype f16 --out copy");
  verb->callback([=, &run] { run = [=] { return convert(*o); }; });
}

}  // namespace cli
