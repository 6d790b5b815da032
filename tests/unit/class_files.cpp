// Class and template files as JSON lists, and templates in CLIP_benchmark's form.
#include <clipx/zero_shot/prompts.hpp>

#include "catch.hpp"
#include "temporary.hpp"

namespace test_class_files {

using namespace clipx;
using list = std::vector<std::string>;

TEST_CASE("templates: {} and {c}") {
  CHECK(fill_template("a {c} of {}, {c}", "cat") == "a cat of cat, cat");
  CHECK(fill_template("{c}", "{c}{}") == "{c}{}");
  CHECK_THAT(message([] { fill_template("a {d}", "cat"); }), Contains("\"{}\" or \"{c}\""));
}

TEST_CASE("class files: lines and JSON lists are the same classes") {
  const temporary_folder dir;
  const auto file = dir / "f";
  const auto written = [&](const std::string& text) {
    write_file(file, text);
    return file;
  };
  const list want{"cat", "red fox"}, templates{"a {c}."};
  for (auto* text : {"cat\nred fox\n", "[\"cat\", \"red fox\"]", "\xef\xbb\xbf [\n  \"cat\",\n  \" red fox \"\n]\n"}) {
    CHECK(read_classes(written(text)) == want);
    const auto set = read_prompts(written(text), templates);
    CHECK(set.classes == want);
    CHECK(set.prompts == std::vector<list>{{"a cat."}, {"a red fox."}});
  }
  // lines of which the first begins with a bracket
  CHECK(read_classes(written("[cat] of\nfox\n")) == list{"[cat] of", "fox"});
  const auto refused = [&](const std::string& text) { return message([&] { read_prompts(written(text), templates); }); };
  const auto names = [&](const std::string& text) { return message([&] { read_classes(written(text)); }); };
  for (auto& said : {refused("[[\"cat\", \"kitty\"], [\"fox\"]]"), names("[[\"cat\"]]")})
    CHECK_THAT(said, Contains("a JSON list of classes") && Contains("member 0 of its list is a list"));
  CHECK_THAT(refused("[\"cat\", 7]"), Contains("member 1 of its list is not a string: 7"));
  CHECK_THAT(refused("[\"cat\", ]"), Contains("not valid JSON"));
  CHECK_THAT(refused("[]"), Contains("at least one class"));
  CHECK_THAT(names("[]"), Contains("expected one class per line"));
  CHECK_THAT(names("{\"cat\": [\"a cat\"]}"), Contains("texts of each class's own"));
  CHECK_THAT(names("cat\ta cat\n"), Contains("texts of each class's own"));
}

TEST_CASE("template files: lines and JSON lists are the same templates") {
  const temporary_folder dir;
  const auto file = dir / "t";
  const auto read = [&](const std::string& text) {
    write_file(file, text);
    return read_templates(file);
  };
  const list want{"a {c}.", "{} of"};
  CHECK(read("a {c}.\n{} of\n") == want);
  CHECK(read("[\"a {c}.\", \"{} of\"]") == want);
  CHECK(read("{} of\na {c}.\n") == list{"{} of", "a {c}."});  // a line that begins with a brace is no JSON
  const auto refused = [&](const std::string& text) { return message([&] { read(text); }); };
  CHECK_THAT(refused("[\"a cat\"]"), Contains("{} or {c}") && Contains("a cat"));
  CHECK_THAT(refused("[]"), Contains("a JSON list of templates"));
  CHECK_THAT(refused("{ \"imagenet1k\": [\"a {c}\"]}"), Contains("a JSON list of templates, got a JSON object"));
  CHECK_THAT(refused("[{\"a\": 1}]"), Contains("member 0"));
}

}  // namespace test_class_files
