// Each error has the kind that docs/errors.md promises, whatever is put before its message on the way.
#include <clipx/clipx.hpp>
#include <clipx/core/observer.hpp>
#include <clipx/curate/pipeline.hpp>
#include <clipx/data/loader.hpp>
#include <clipx/data/shards.hpp>
#include <clipx/eigen.hpp>
#include <clipx/eval/dataset.hpp>
#include <clipx/io/lock.hpp>
#include <clipx/run/any_model.hpp>
#include <clipx/text/gunzip.hpp>
#include <functional>
#include <optional>

#include "../../tools/flags.hpp"
#include "catch.hpp"
#include "tar.hpp"
#include "temporary.hpp"
#include "tiny_model.hpp"
#ifdef CLIPX_HAS_CPU
#include <clipx/cpu.hpp>
#endif

namespace test_errors {

using namespace clipx;

namespace {
using kind = error_kind;
using list = std::vector<std::string>;

/// The error of a call.
std::optional<error> thrown(const std::function<void()>& call) {
  try {
    call();
  } catch (const error& e) { return e; }
  return {};
}

struct failure {
  const char* what;
  std::function<void()> call;
};
/// Every call fails, by an error of this kind.
void all_are(kind want, std::initializer_list<failure> failures) {
  REQUIRE(failures.size() >= 2);
  for (auto& f : failures) {
    INFO(f.what);
    const auto e = thrown(f.call);
    REQUIRE(e.has_value());
    INFO(e->what());
    CHECK(static_cast<int>(e->kind()) == static_cast<int>(want));
  }
}

/// Files, some of them broken, that the calls below read.
struct workplace {
  temporary_folder dir;
  std::string file(const std::string& name, std::string_view bytes) const {
    std::filesystem::create_directories(std::filesystem::path(dir / name).parent_path());
    write_file(dir / name, bytes);
    return dir / name;
  }
  /// An open_clip config whose parts end with these fields.
  std::string config(const std::string& vision, const std::string& top = "") const {
    return cat(R"({"embed_dim": 64, "vision_cfg": {"layers": 2, "width": 64, "patch_size": 32)", vision, R"(}, "text_cfg": {})",
               top, "}");
  }
  std::string safetensors_of(const std::string& header, std::size_t data = 0) const {
    std::string bytes(8, '\0');
    bytes[0] = static_cast<char>(header.size());
    return bytes + header + std::string(data, '\0');
  }
  std::string npy(const std::string& type, const std::string& order) const {
    std::string header = cat("{'descr': '", type, "', 'fortran_order': ", order, ", 'shape': (1,), }");
    return cat(std::string_view("\x93NUMPY\x01\x00", 8), static_cast<char>(header.size()), '\0', header, "0000");
  }
};

loader loader_of(const std::string& data, dim batch = 1) {
  loader_config c;
  c.data = {data};
  c.batch = batch;
  c.threads = 1;
  return loader(std::move(c));
}
checkpoint open_with(const std::string& folder, const std::string& tokenizer, dim head_width, std::int32_t eos_id) {
  return checkpoint::open(folder, {tokenizer, "", head_width, eos_id});
}
bool decode(const std::string& bytes) {
  decode_image(std::as_bytes(std::span(bytes)), "x");
  return true;
}
const std::string gzip_start = "\x1f\x8b";

/// What strings of the sources below a folder hold.
std::string strings_of(const std::string& folder) {
  std::string out;
  for (auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file() || entry.path().filename() == "flags.hpp") continue;  // the table itself
    const auto text = contents(entry.path().string());
    for (std::size_t from = 0; from < text.size();) {
      const auto end = std::min(text.find('\n', from), text.size());
      const auto line = text.substr(from, end - from);
      from = end + 1;
      if (line.find_first_not_of(' ') == line.find("//")) continue;
      for (std::size_t open = line.find('"'); open != std::string::npos;) {
        auto close = open + 1;
        while (close < line.size() && line[close] != '"') close += line[close] == '\\' ? 2 : 1;
        if (close >= line.size()) break;
        out += line.substr(open + 1, close - open - 1) + "\n";
        open = line.find('"', close + 1);
      }
    }
  }
  return out;
}
}  // namespace

TEST_CASE("errors: what is not there", "[errors]") {
  const workplace w;
  const auto text = w.file("text", "no folder");
  const auto index = w.file("model.safetensors.index.json", R"({"weight_map": {"a": "none.safetensors"}})");
  std::filesystem::create_directories(w.dir.path / "empty");
  all_are(kind::not_found,  //
          {{"a file", [&] { mapped_file::open(w.dir / "none"); }},
           {"a file below a file", [&] { read_image(text + "/x.png"); }},
           {"a text file", [&] { read_lines(w.dir / "none"); }},
           {"the folder of a new file", [&] { write_file(w.dir / "none/x", "x"); }},
           {"the folder of a result", [&] { expect_writable(w.dir / "none/x"); }},
           {"a shard of tensors", [&] { safetensors::open(index); }},
           {"a model", [&] { checkpoint::open(w.dir / "none"); }},
           {"a model's files", [&] { checkpoint::open(w.dir / "empty"); }},
           {"a preset", [&] { presets::find("ViT-Z-1"); }},
           {"a tokenizer's files", [&] { tokenizer::from_folder(w.dir / "empty", {}); }},
           {"images of a folder",
            [&] {
              left_out skipped;
              image_paths(list{w.dir / "empty"}, skipped);
            }},
           {"a folder of images", [&] { list_images(w.dir / "none"); }},
           {"training data", [&] { loader_of(w.dir / "none.tar"); }},
           {"a pipeline", [&] { read_pipeline(w.dir / "none.json"); }}});
}

TEST_CASE("errors: what the system refuses", "[errors]") {
  const workplace w;
  std::filesystem::create_directories(w.dir.path / "folder");
  const auto folder = w.dir / "folder";
  all_are(kind::io, {{"a folder for a file", [&] { mapped_file::open(folder); }},
                     {"a folder for a text file", [&] { read_lines(folder); }},
                     {"a folder for a vocabulary", [&] { tokenizer::from_merges(folder, {}); }},
                     {"a folder for a result", [&] { expect_writable(folder); }},
                     {"a device for a file", [&] { mapped_file::open("/dev/null"); }},
                     {"a full disk", [&] { write_file("/dev/full", "x"); }}});
}

TEST_CASE("errors: damaged files", "[errors]") {
  const workplace w;
  const auto tar = member("a.jpg", "x").substr(0, 300);
  const auto gz = w.file("s.tar", gzip_start + std::string(600, '\0'));
  const auto table = w.file("t.csv", "filepath,title\n\"a.png,b\n");
  const auto cut = safetensors::open(w.file("whole.safetensors", w.safetensors_of("{}"))).tensors().size();
  CHECK(cut == 0);
  all_are(kind::damaged, {{"PNG", [] { decode("\x89PNG\r\n\x1a\n"); }},
                          {"JPEG", [] { decode("\xff\xd8\xff\xe0"); }},
                          {"BMP", [] { decode(std::string("BM") + std::string(12, '\0') + "\x28"); }},
                          {"PNM", [] { decode("P6 2 2 255\nx"); }},
                          {"an empty image", [] { decode(""); }},
                          {"tar", [&] { for_each_sample(std::as_bytes(std::span(tar)), "x", [](const sample&) {}); }},
                          {"a gzip file for a tar file", [&] { for_each_sample(gz, [](const sample&) {}); }},
                          {"safetensors", [&] { safetensors::open(w.file("a.safetensors", "abc")); }},
                          {"a tensor", [&] { safetensors::open(w.file("b.safetensors", w.safetensors_of(R"({"a": 1})"))); }},
                          {"npy", [&] { read_npy(w.file("x.npy", "no array")); }},
                          {"gzip", [] { detail::gunzip(gzip_start + "\x08", "x"); }},
                          {"a table", [&] { loader_of(table); }},
                          {"merges", [] { tokenizer::from_merges_bytes("header\na b c\n", {}); }},
                          {"tokenizer.json", [] { tokenizer::from_json_bytes("{", {}); }},
                          {"n-grams", [] { ngram_dictionary::from_bytes("0\tword\n", "x"); }},
                          {"JSON", [&] { read_open_clip_config("{", "x"); }},
                          {"a key twice", [&] { read_open_clip_config(w.config("", R"(, "embed_dim": 1)"), "x"); }},
                          {"a field's type", [&] { read_open_clip_config(w.config(R"(, "image_size": "large")"), "x"); }},
                          {"templates", [&] { read_templates(w.file("templates", "no braces\n")); }},
                          {"a pipeline", [] { parse_pipeline("{}", "x"); }}});
}

TEST_CASE("errors: valid files that are not handled", "[errors]") {
  const workplace w;
  const auto number = [&](const char* type) { return w.npy(type, "False"); };
  read_npy(w.file("good.npy", number("<f4")));
  all_are(
      kind::unsupported,
      {{"no image format", [] { decode("a text"); }},
       {"more pixels than allowed", [] { decode("P6 30000 30000 255\n"); }},
       {"big-endian npy", [&] { read_npy(w.file("b.npy", number(">f4"))); }},
       {"npy in Fortran's order", [&] { read_npy(w.file("f.npy", w.npy("<f4", "True"))); }},
       {"a dtype",
        [&] {
          const auto header = R"({"a":{"dtype":"F9","shape":[2],"data_offsets":[0,1]}})";
          safetensors::open(w.file("f4.safetensors", w.safetensors_of(header, 1)));
        }},
       {"a PyTorch archive", [&] { safetensors::open(w.file("m.safetensors", std::string("PK\3\4") + std::string(20, '\0'))); }},
       {"another tokenizer", [] { tokenizer::from_json_bytes(R"({"model": {"type": "Odd", "vocab": []}})", {}); }},
       {"an option of the configuration", [&] { read_open_clip_config(w.config(R"(, "attentional_pool": true)"), "x"); }},
       {"a field of another version", [&] { read_open_clip_config(w.config(R"(, "new": 1)"), "x"); }},
       {"another model", [] { read_hf_config(R"({"model_type": "blip"})", "", "x"); }},
       {"JSON that is too deep", [] { read_open_clip_config(std::string(30, '['), "x"); }}});
}

TEST_CASE("errors: things that do not fit together", "[errors]") {
  const workplace w;
  const auto model = w.dir / "model";
  tiny::write_folder(model, tiny::vit(), [](std::vector<tiny::tensor>& all) {
    for (auto& t : all)
      if (t.name == "text_projection") t.shape.push_back(1);
  });
  tiny::write_folder(w.dir / "good");
  const auto other = w.file("other/bpe.txt", "#version\na b\n");
  const auto table = w.file("t.csv", "image,text\na.png,b\n");
  const auto shard = w.file("s.tar", member("a.ppm", "x") + member("a.png", "x") + member("a.cls", "0") + end_of_tar);
  all_are(kind::mismatch, {{"tensors and configuration", [&] { checkpoint::open(model); }},
                           {"tokenizer and model", [&] { open_with(w.dir / "good", other, 0, 3).text(); }},
                           {"an option and the model", [&] { open_with(w.dir / "good", "", 7, -1); }},
                           {"sizes of a configuration",
                            [] {
                              auto c = tiny::vit();
                              c.pixels.size = 48;
                              check_config(c);
                            }},
                           {"architecture and configuration", [] { (void)tiny::vit().model.vision.as<modified_resnet_config>(); }},
                           {"rows of two models",
                            [] {
                              any_rows some{std::vector<float>{1, 2}, 2};
                              some.append({std::vector<float>{1, 2, 3}, 3});
                            }},
                           {"a table and its columns", [&] { loader_of(table); }},
                           {"a shard that has changed", [&] {
                              const auto data = image_dataset::labeled(shard, list{"one"});
                              write_file(shard, member("b.txt", "x") + end_of_tar);
                              data.for_each_image([](image_source) {});
                            }}});
}

TEST_CASE("errors: values that a call does not take", "[errors]") {
  const workplace w;
  all_are(kind::invalid_argument, {{"shape and values",
                                    [&] {
                                      write_npy(w.dir / "x.npy", std::vector<float>(3), {2, 2});
                                    }},
                                   {"no classes", [] { make_prompts({}, list{"{}"}); }},
                                   {"an empty path of a file", [] { mapped_file::open(""); }},
                                   {"an empty path of a folder", [] { folder_lock mine(""); }},
                                   {"an empty path of a model", [] { checkpoint::open(""); }},
                                   {"a template without braces", [] { fill_template("a cat", "dog"); }},
                                   {"a size",
                                    [] {
                                      resize(make_image(pixel_mode::rgb, 2, 2), 0, 1, filter::bicubic, {0, 0, 1, 1});
                                    }},
                                   {"a batch", [&] { loader_of(w.dir / "x", 0); }},
                                   {"a text that is too long",
                                    [] {
                                      auto c = tokenizer_options::open_clip();
                                      c.context_length = 3;
                                      c.truncate = false;
                                      tokenizer::from_merges_bytes("header\na b\n", c)("a a a a");
                                    }},
                                   {"an answer that is missing", [&] {
                                      tiny::write_weights(w.dir / "bare.safetensors", tiny::vit().model);
                                      checkpoint::open(w.dir / "bare.safetensors");
                                    }}});
}

#ifndef CLIPX_TESTS_ASAN  // which ends the program where an allocation is that large
TEST_CASE("errors: the memory of devices", "[errors]") {
  const dim too_many = dim{1} << 56;
  eigen<double> reference;
  std::initializer_list<failure> failures = {
      {"eigen, weights", [&] { reference.alloc<double>(too_many); }},
      {"eigen, an arena", [&] { step<eigen<double>>(reference).make(dim{1} << 28, dim{1} << 28); }},
#ifdef CLIPX_HAS_CPU
      {"cpu, an arena",
       [&] {
         cpu<float> device;
         step<cpu<float>>(device).make(dim{1} << 28, dim{1} << 28);
       }},
#endif
  };
  all_are(kind::out_of_memory, failures);
}
#endif

TEST_CASE("errors: an observer that cancels", "[errors]") {
  struct impatient final : observer {
    std::size_t left = 0;
    bool cancelled() override { return left-- == 0; }
  } now, later;
  later.left = 2;
  all_are(kind::cancelled, {{"at once", [&] { report(now, "images", 0, 5); }}, {"after two", [&] {
                                                                                  for (std::size_t i = 0; i < 5; ++i)
                                                                                    report(later, "images", i, 0);
                                                                                }}});
  CHECK_THAT(message([] {
               impatient again;
               report(again, "images", 3, 5);
             }),
             Contains("3 of 5 images"));
}

TEST_CASE("errors: names before a message change neither kind nor place", "[errors]") {
  const error plain(kind::damaged, "cut short");
  const auto named = plain.in("file").in("folder");
  CHECK(std::string(named.what()) == "folder: file: cut short");
  CHECK(named.kind() == kind::damaged);
  CHECK(named.at().line == plain.at().line);
  CHECK(error("no kind").kind() == kind::invalid_argument);

  const workplace w;
  // An image that decodes, with a side that is longer than resizing takes.
  const auto wide = w.file("wide.pgm", cat("P5 ", (1 << 20) + 1, " 1 255\n", std::string((1 << 20) + 1, 'x')));
  w.file("bad.png", "\x89PNG\r\n\x1a\n");
  const auto file = mapped_file::open(wide);
  const auto read = thrown([&] { read_pixels(file.bytes(), "wide", {}); });
  REQUIRE(read.has_value());
  CHECK(read->kind() == kind::unsupported);
  CHECK_THAT(read->what(), Contains("wide: resize"));

  std::vector<kind> kinds;
  for_each_image_batch(
      list{wide, w.dir / "bad.png", w.dir / "none.png", w.dir.path.string()}, image_batch_config{}, [](const image_batch&) {},
      [&](std::size_t, const std::string&, const error& e) { kinds.push_back(e.kind()); });
  CHECK(kinds == std::vector<kind>{kind::unsupported, kind::damaged, kind::not_found, kind::io});
}

TEST_CASE("errors: of several issues, the first decides", "[errors]") {
  issue_list issues(kind::unsupported);
  issues.raise("none");
  issues.add(kind::mismatch, "one");
  issues.add("two");
  issues.add(kind::damaged, "three");
  const auto e = thrown([&] { issues.raise("file", 2); });
  REQUIRE(e.has_value());
  CHECK(e->kind() == kind::mismatch);
  CHECK(std::string(e->what()) == "file:\n  one\n  two\n  ... and more");

  const workplace w;
  CHECK(message([&] { read_open_clip_config(w.config(R"(, "image_size": "large", "new": 1)"), "x"); }) ==
        "x:\n  vision_cfg: image_size: expected a whole number from 1 to 16384, got \"large\"\n  vision_cfg: new: 1 is not known");
  // A file that a pipeline names has its own kind.
  const auto pipeline = thrown([&] {
    parse_pipeline(cat(R"({"data": "a.tar", "out": "o", "steps": [{"step": "filter", "offensive": ")", w.dir / "none", R"("}]})"),
                   "p.json");
  });
  REQUIRE(pipeline.has_value());
  CHECK(pipeline->kind() == kind::not_found);
  CHECK_THAT(pipeline->what(), Contains("p.json: step 1: \"offensive\": ") && Contains("cannot be opened"));
  // An epoch of which no sample can be used has the kind of the first.
  const auto shard = w.file("gz.tar", gzip_start + std::string(600, '\0'));
  const auto epoch = thrown([&] {
    pair_batch batch;
    loader_of(shard).next(batch);
  });
  REQUIRE(epoch.has_value());
  CHECK(epoch->kind() == kind::damaged);
  CHECK_THAT(epoch->what(), Contains("gz.tar") && Contains("not a readable gzip file"));
}

TEST_CASE("errors: the program's table of flags names what the library says and what the program takes", "[errors]") {
  const auto said = strings_of(CLIPX_SOURCE_DIR "/include"), taken = strings_of(CLIPX_SOURCE_DIR "/tools");
  CHECK(said.find("expected a whole number") != std::string::npos);
  for (auto& [option, flag] : cli::flags) {
    INFO(option);
    // Where one reader serves several structs, the name is put together from its parts.
    const auto colons = option.find("::");
    const auto of = cat("\n", option.substr(0, colons), "\n"), member = std::string(option.substr(colons + 2));
    const bool composed = said.find(of) != std::string::npos &&
                          (said.find("\n" + member + "\n") != std::string::npos || said.find("\n::" + member) != std::string::npos);
    CHECK((said.find(option) != std::string::npos || composed));
    const auto name = std::string(flag.substr(0, flag.find(' ')));
    INFO(name);
    CHECK((taken.find("\n" + name + "\n") != std::string::npos || taken.find("," + name + "\n") != std::string::npos));
  }
}

}  // namespace test_errors
