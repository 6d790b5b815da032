// clipx eval: zero-shot classification and retrieval on WebDataset shards or a folder, reported in CLIP_benchmark's shape.
#include <clipx/zero_shot/classifier.hpp>
#include <clipx/zero_shot/retrieval.hpp>
#include <cstdio>
#include <filesystem>
#include <map>

#include "common.hpp"

namespace cli {
namespace {
namespace fs = std::filesystem;

struct options {
  model_options model;
  std::string data, classes, templates;
};

/// Pictures with what is known of them.
struct data_set {
  std::vector<picture> pictures;
  std::vector<clipx::dim> labels;                  // -1: none
  std::vector<std::vector<std::string>> captions;  // of each picture
};

/// The label of a sample: its .cls member, else "cls" in its JSON member.
clipx::dim label_of(const clipx::sample& s, const json& meta, const std::string& shard) {
  if (auto cls = s.find("cls")) {
    const auto text = clipx::trimmed(std::string(reinterpret_cast<const char*>(cls->data()), cls->size()));
    clipx::dim label = -1;
    const auto end = std::from_chars(text.data(), text.data() + text.size(), label);
    clipx::expect(end.ec == std::errc{} && end.ptr == text.data() + text.size(), [&] {
      return clipx::cat(shard, ": sample ", s.key, ": expected a whole number in .cls, got \"", text.substr(0, 40), "\"");
    });
    return label;
  }
  if (meta.is_object() && meta.contains("cls") && meta["cls"].is_number_integer()) return meta["cls"].get<clipx::dim>();
  return -1;
}

data_set read_shards(const std::string& pattern) {
  data_set out;
  for (auto& shard : clipx::expand_braces(pattern))
    clipx::for_each_sample(shard, [&](const clipx::sample& s) {
      const auto image = s.image();
      if (!image) return;
      json meta;
      if (auto bytes = s.find("json")) {
        meta = json::parse(reinterpret_cast<const char*>(bytes->data()),
                           reinterpret_cast<const char*>(bytes->data()) + bytes->size(), nullptr, false);
        clipx::expect(!meta.is_discarded(),
                      [&] { return clipx::cat(shard, ": sample ", s.key, ": its .json member is not JSON"); });
      }
      const std::vector<std::byte> bytes(image->begin(), image->end());
      out.pictures.push_back({shard + ":" + s.key, [bytes] { return bytes; }});
      out.labels.push_back(label_of(s, meta, shard));
      auto& captions = out.captions.emplace_back();
      if (meta.is_object() && meta.contains("captions") && meta["captions"].is_array()) {
        for (auto& c : meta["captions"])
          if (c.is_string()) captions.push_back(c.get<std::string>());
      } else if (auto text = s.find("txt")) {
        captions.push_back(clipx::trimmed(std::string(reinterpret_cast<const char*>(text->data()), text->size())));
      }
    });
  return out;
}

/// A folder: each subfolder named like a class holds its pictures; a picture's captions are the lines of the .txt beside it.
data_set read_folder(const std::string& folder, const std::vector<std::string>& classes) {
  data_set out;
  const auto add = [&](const std::string& path, clipx::dim label) {
    out.pictures.push_back(open_pictures({path}).front());
    out.labels.push_back(label);
    const auto text = fs::path(path).replace_extension(".txt");
    out.captions.push_back(fs::exists(text) ? clipx::read_lines(text.string()) : std::vector<std::string>{});
  };
  if (classes.empty())
    for (auto& path : clipx::list_images(folder)) add(path, -1);
  for (std::size_t c = 0; c < classes.size(); ++c)
    if (const auto sub = fs::path(folder) / classes[c]; fs::is_directory(sub))
      for (auto& path : clipx::list_images(sub.string())) add(path, static_cast<clipx::dim>(c));
  return out;
}

data_set read_data(const std::string& path, const std::vector<std::string>& classes) {
  auto data = fs::is_directory(path) ? read_folder(path, classes) : read_shards(path);
  clipx::expect(!data.pictures.empty(), [&] {
    const bool by_class = fs::is_directory(path) && !classes.empty();
    return clipx::cat(path, ": expected pictures", by_class ? " in subfolders named like the classes" : "", ", found none");
  });
  return data;
}

/// All pictures embedded; one that cannot be decoded is an error: a metric over fewer pictures is another metric.
clipx::embeddings<double> embed_all(engine& e, const data_set& data, std::size_t batch_size, int threads) {
  clipx::embeddings<double> out;
  progress bar("pictures", data.pictures.size());
  for_each_batch(
      data.pictures, e.source().pixels(), batch_size, threads,
      [&](std::span<const std::size_t> indices, std::span<const std::uint8_t> rgb) {
        const auto part = e.images(rgb);
        out.cols = part.cols;
        out.values.insert(out.values.end(), part.values.begin(), part.values.end());
        bar.advance(indices.size());
      },
      [&](std::size_t i, const std::string& message) { clipx::fail(clipx::cat(data.pictures[i].name, ": ", message)); });
  return out;
}

void print(const options& o, const engine& e, const char* task, const json& metrics, const json& more) {
  fs::path data = fs::path(o.data).lexically_normal();
  if (!data.has_filename()) data = data.parent_path();  // a folder with a slash at its end
  const auto name = fs::is_directory(data) ? data.filename().string() : data.parent_path().filename().string();
  if (o.model.json_output) {
    json line{{"dataset", name.empty() ? o.data : name}, {"model", e.source().config().name}, {"task", task}, {"metrics", metrics}};
    line.update(more);
    std::printf("%s\n", line.dump(-1, ' ', false, json::error_handler_t::replace).c_str());
    return;
  }
  for (auto* part : {&more, &metrics})
    for (auto& [key, value] : part->items()) {
      if (value.is_number_float()) std::printf("%-26s %.4f\n", key.c_str(), value.get<double>());
      else std::printf("%-26s %s\n", key.c_str(), value.dump(-1, ' ', false, json::error_handler_t::replace).c_str());
    }
}

int zero_shot(const options& o) {
  const auto engine = o.model.load();
  std::vector<std::string> tied;
  const auto m = zero_shot_on(*engine, o.data, o.classes, o.templates, o.model.batch_size, o.model.device.threads, &tied);
  const json ties(tied);
  print(o, *engine, "zeroshot_classification",
        {{"acc1", m.acc1}, {"acc5", m.acc5}, {"mean_per_class_recall", m.mean_per_class_recall}},
        {{"pictures", m.pictures}, {"correct1", m.right_at_1}, {"correct5", m.right_at_5}, {"margin_below_1e-5", ties}});
  return 0;
}

int retrieval(const options& o) {
  const auto data = read_data(o.data, {});
  std::vector<std::string> texts;
  std::vector<clipx::dim> image_of;
  for (std::size_t i = 0; i < data.captions.size(); ++i)
    for (auto& c : data.captions[i]) texts.push_back(c), image_of.push_back(static_cast<clipx::dim>(i));
  clipx::expect(!texts.empty(),
                [&] { return clipx::cat(o.data, ": expected captions (\"captions\" in .json, or .txt), found none"); });
  const auto engine = o.model.load();
  const auto images = embed_all(*engine, data, o.model.batch_size, o.model.device.threads);
  const auto cosines = engine->cosines(embed_texts(*engine, texts), images);
  const auto m = clipx::evaluate_retrieval<double>(cosines, image_of, images.rows());
  json metrics;
  for (std::size_t i = 0; i < m.k.size(); ++i) metrics[clipx::cat("image_retrieval_recall@", m.k[i])] = m.image_recall[i];
  for (std::size_t i = 0; i < m.k.size(); ++i) metrics[clipx::cat("text_retrieval_recall@", m.k[i])] = m.text_recall[i];
  print(o, *engine, "zeroshot_retrieval", metrics, {{"pictures", images.rows()}, {"captions", texts.size()}});
  return 0;
}
}  // namespace

clipx::zero_shot_metrics zero_shot_on(engine& e, const std::string& path, const std::string& classes, const std::string& templates,
                                      std::size_t batch_size, int threads, std::vector<std::string>* ties) {
  const auto set = clipx::read_prompts(classes, choose_templates(templates, e.source()));
  const auto data = read_data(path, set.classes);
  for (std::size_t i = 0; i < data.labels.size(); ++i)
    clipx::expect(data.labels[i] >= 0, [&] {
      return clipx::cat(data.pictures[i].name, ": expected a label (.cls member, or \"cls\" in .json), got none");
    });
  const auto rows = clipx::make_classifier(set, [&](std::span<const std::string> texts) { return embed_texts(e, texts); });
  const auto cosines = e.cosines(embed_all(e, data, batch_size, threads), rows.weights);
  const auto m = clipx::evaluate_zero_shot<double>(cosines, data.labels, static_cast<clipx::dim>(set.classes.size()));
  if (ties)
    for (auto i : m.ties) ties->push_back(data.pictures[static_cast<std::size_t>(i)].name);
  return m;
}

void add_eval(CLI::App& app, action& run) {
  auto* verb = app.add_subcommand("eval", "Measures a model on labelled or captioned pictures.");
  verb->require_subcommand(1);
  auto o = std::make_shared<options>();
  const auto add = [&](const char* name, const char* help, const char* data, int (*what)(const options&)) {
    auto* task = verb->add_subcommand(name, help);
    task->add_option("--data", o->data, data)->required()->type_name("PATH");
    task->callback([o, what, &run] {
      o->model.check_engine();
      run = [o, what] { return what(*o); };
    });
    return task;
  };
  auto* task = add("zeroshot", "Right pictures at 1 and at 5, and the mean per class.",
                   "WebDataset shards (name-{0000..0008}.tar) with a label in .cls, or \"cls\" in .json; or a folder with a "
                   "subfolder of pictures for each class",
                   zero_shot);
  task->add_option("--classes", o->classes, "a class a line, line n is label n, from 0; or JSON or tab-separated prompts")
      ->required()
      ->type_name("FILE");
  task->add_option("--templates", o->templates,
                   "prompt templates with {} for the class, a line each (default: the model's own, else built in)")
      ->type_name("FILE");
  task->footer("Example: clipx eval zeroshot --data test.tar --classes classes.txt --templates templates.txt");
  auto* other = add("retrieval", "R@1, R@5, R@10: pictures found by their captions, captions by their pictures.",
                    "WebDataset shards (name-{0000..0008}.tar) with \"captions\" in .json, or .txt; or a folder of pictures with "
                    "a .txt beside each, a caption a line",
                    retrieval);
  other->footer("Example: clipx eval retrieval --data test.tar");
  for (auto* t : {task, other}) o->model.add_json(*t), o->model.add_model(*t), o->model.add_engine(*t);
}

}  // namespace cli
