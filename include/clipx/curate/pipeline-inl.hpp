// Definitions of pipeline.hpp.
#pragma once
#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "../core/issues.hpp"
#include "../core/json-inl.hpp"
#include "balance_step-inl.hpp"
#include "duplicate_step-inl.hpp"
#include "filter_step-inl.hpp"
#include "output-inl.hpp"
#include "pipeline.hpp"
#include "report.hpp"
#include "semantic_step-inl.hpp"

namespace clipx {
namespace detail {

/// The options of one object of a pipeline, requested by name; end() refuses the others.
class pipeline_options {
 public:
  pipeline_options(const json& object, std::string where, issue_list& issues)
      : object_(object), where_(std::move(where)), issues_(issues) {
    if (!object.is_object()) issue(cat("expected an object, got ", short_text(object)));
  }

  bool has(const char* key) { return find(key) != nullptr; }
  const json* find(const char* key) {
    if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.push_back(key);
    if (!object_.is_object()) return nullptr;
    const auto at = object_.find(key);
    return at == object_.end() ? nullptr : &*at;
  }
  void text(const char* key, std::string& to) {
    take(
        key, "a string", [](const json& v) { return v.is_string(); }, [&](const json& v) { to = v.get<std::string>(); });
  }
  void flag(const char* key, bool& to) {
    take(
        key, "true or false", [](const json& v) { return v.is_boolean(); }, [&](const json& v) { to = v.get<bool>(); });
  }
  template <class Whole>
  void whole(const char* key, Whole& to, std::int64_t least, std::int64_t most = std::int64_t{1} << 53) {
    take(
        key, cat("a whole number from ", least, " to ", most),
        [&](const json& v) {
          return v.is_number_integer() && v.get<double>() >= static_cast<double>(least) &&
                 v.get<double>() <= static_cast<double>(most);
        },
        [&](const json& v) { to = v.get<Whole>(); });
  }
  void number(const char* key, double& to, double least, double most) {
    take(
        key, cat("a number from ", least, " to ", most),
        [&](const json& v) { return v.is_number() && v.get<double>() >= least && v.get<double>() <= most; },
        [&](const json& v) { to = v.get<double>(); });
  }
  /// A text or a list of texts.
  void texts(const char* key, std::vector<std::string>& to) {
    const auto all = [](const json& v) { return std::all_of(v.begin(), v.end(), [](auto& one) { return one.is_string(); }); };
    take(
        key, "a string or a list of strings",
        [&](const json& v) { return v.is_string() || (v.is_array() && !v.empty() && all(v)); },
        [&](const json& v) {
          to = v.is_string() ? std::vector<std::string>{v.get<std::string>()} : v.get<std::vector<std::string>>();
        });
  }
  /// The index of the option's value among these words.
  std::size_t choice(const char* key, std::initializer_list<const char*> words) {
    std::string list, got = *words.begin();
    for (auto* word : words) list += cat(list.empty() ? "" : " or ", "\"", word, "\"");
    const auto place = [&](const std::string& s) {
      return static_cast<std::size_t>(std::find(words.begin(), words.end(), s) - words.begin());
    };
    take(
        key, list, [&](const json& v) { return v.is_string() && place(v.get<std::string>()) < words.size(); },
        [&](const json& v) { got = v.get<std::string>(); });
    return place(got);
  }
  void require(const char* key) {
    if (!has(key)) issue(cat("expected \"", key, "\", it is missing"));
  }
  void issue(const std::string& what) { issues_.add(cat(where_, ": ", what)); }
  /// Of a file that the options name.
  void issue(const char* key, const error& e) { issues_.add(e.kind(), cat(where_, ": \"", key, "\": ", e.what())); }
  void end() {
    if (!object_.is_object()) return;
    std::string list;
    for (auto& key : known_) list += cat(list.empty() ? "" : ", ", key);
    for (auto& [key, value] : object_.items())
      if (std::find(known_.begin(), known_.end(), key) == known_.end()) issue(cat("\"", key, "\" is not known; expected: ", list));
  }

 private:
  static std::string short_text(const json& v) { return json_line(v).substr(0, 60); }
  template <class Good, class Take>
  void take(const char* key, const std::string& expected, Good&& good, Take&& to) {
    const auto* v = find(key);
    if (!v) return;
    if (good(*v)) to(*v);
    else issue(cat("\"", key, "\": expected ", expected, ", got ", v->dump().substr(0, 60)));
  }

  const json& object_;
  std::string where_;
  issue_list& issues_;
  std::vector<std::string> known_;
};

inline void read_rules(pipeline_options& o, duplicate_rules& rules) {
  o.flag("bytes", rules.bytes);
  o.flag("pixels", rules.pixels);
  o.whole("distance", rules.distance, -1, hamming_index::most_distance);
}

/// The options of a filter are an object, or true for the defaults.
template <class Rule, class Read>
void read_rule(pipeline_options& o, const std::string& where, const char* key, std::optional<Rule>& rule, issue_list& issues,
               Read&& read) {
  const auto* v = o.find(key);
  if (!v || *v == json(false)) return;
  rule.emplace();
  if (*v == json(true)) return;
  pipeline_options own(*v, cat(where, ": ", key), issues);
  read(own, *rule);
  own.end();
}

CLIPX_INLINE filter_config read_filter(pipeline_options& o, const std::string& where, issue_list& issues) {
  filter_config c;
  read_rule(o, where, "size", c.rules.size, issues, [](auto& own, auto& r) {
    own.whole("min_bytes", r.min_bytes, 0, 1 << 30);
    own.whole("min_characters", r.min_characters, 0, 1 << 30);
  });
  read_rule(o, where, "basic", c.rules.basic, issues, [](auto& own, auto& r) {
    own.whole("min_words", r.min_words, 0, 1 << 30);
    own.whole("min_characters", r.min_characters, 0, 1 << 30);
    own.whole("min_side", r.min_side, 0, 1 << 30);
    own.number("max_aspect", r.max_aspect, 1, 1e9);
  });
  read_rule(o, where, "language", c.rules.language, issues, [](auto& own, auto& r) {
    std::vector<std::string> languages;
    own.texts("languages", languages);
    if (!languages.empty()) r.languages = {languages.begin(), languages.end()};
    own.whole("min_percent", r.min_percent, 0, 100);
    own.flag("reliable", r.reliable);
  });
  std::string words;
  o.text("offensive", words);
  try {
    if (!words.empty()) c.rules.offensive = word_list::read(words);
  } catch (const error& e) { o.issue("offensive", e); }
  if (o.has("min_cosine")) o.number("min_cosine", c.min_cosine.emplace(0), -1, 1);
  o.flag("score", c.score);
  if (!c.rules.texts() && !c.scores()) o.issue("expected a rule (size, basic, language, offensive, min_cosine or score), got none");
  return c;
}

CLIPX_INLINE semantic_config read_semantic(pipeline_options& o) {
  semantic_config c;
  o.number("cosine", c.rule.cosine, -1, 1);
  c.rule.keep_farthest = o.choice("keep", {"farthest", "nearest"}) == 0;
  o.flag("chains", c.rule.chains);
  o.whole("cells", c.cells, 0, 1 << 24);
  o.whole("iterations", c.iterations, 0, 1000);
  o.whole("seed", c.seed, 0);
  o.whole("memory", c.memory, 1);
  return c;
}

CLIPX_INLINE decontaminate_config read_decontaminate(pipeline_options& o) {
  decontaminate_config c;
  o.require("against");
  o.texts("against", c.against);
  read_rules(o, c.rules);
  if (o.has("cosine")) o.number("cosine", c.cosine.emplace(0), -1, 1);
  return c;
}

/// The matcher of a step, for the list that its options name.
CLIPX_INLINE std::shared_ptr<const query_matcher> read_matcher(pipeline_options& o) {
  o.require("queries");
  std::string path;
  o.text("queries", path);
  const auto rule = o.choice("padding", {"spaces", "script"}) == 0 ? padding::spaces : padding::by_script;
  try {
    if (!path.empty()) return std::make_shared<const query_matcher>(read_queries(path), rule);
  } catch (const error& e) { o.issue("queries", e); }
  return nullptr;
}

CLIPX_INLINE balance_config read_balance(pipeline_options& o) {
  balance_config c;
  c.queries = read_matcher(o);
  o.whole("t", c.t, 1);
  o.whole("seed", c.seed, 0);
  if (o.has("tail_share")) o.number("tail_share", c.tail_share.emplace(0), 0, 1);
  if (o.has("t") && c.tail_share) o.issue("expected \"t\" or \"tail_share\", got both");
  return c;
}

CLIPX_INLINE void read_step(const json& value, const std::string& name, std::size_t number, curation_pipeline& to,
                            issue_list& issues) {
  const auto where = cat(name, ": step ", number);
  pipeline_options o(value, where, issues);
  o.require("step");
  std::string kind, own_name;
  o.text("step", kind);
  o.text("name", own_name);
  curation_step out;
  if (kind == "filter") out.work = read_filter(o, where, issues);
  else if (kind == "semantic") out.work = read_semantic(o);
  else if (kind == "decontaminate") out.work = read_decontaminate(o);
  else if (kind == "dedup") read_rules(o, out.work.emplace<duplicate_rules>());
  else if (kind == "match") out.work = match_config{read_matcher(o)};
  else if (kind == "balance") out.work = read_balance(o);
  else return o.issue(cat("\"step\": expected filter, dedup, semantic, decontaminate, match or balance, got \"", kind, "\""));
  o.end();
  const auto taken = [&](const std::string& s) {
    return s == "read" || s == "write" ||
           std::any_of(to.steps.begin(), to.steps.end(), [&](auto& before) { return before.name == s; });
  };
  out.name = own_name.empty() ? kind : own_name;
  for (int again = 2; own_name.empty() && taken(out.name); ++again) out.name = cat(kind, "-", again);
  const bool plain =
      out.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_") == std::string::npos && out.name.size() <= 64;
  if (!plain || taken(out.name))
    o.issue(cat("\"name\": expected another name than that of a step before, of a-z, 0-9, - and _, got \"", out.name, "\""));
  to.steps.push_back(std::move(out));
}

}  // namespace detail

CLIPX_INLINE bool curation_pipeline::needs_model() const {
  return std::any_of(steps.begin(), steps.end(), [](auto& step) {
    if (const auto* f = std::get_if<filter_config>(&step.work)) return f->scores();
    if (const auto* d = std::get_if<decontaminate_config>(&step.work)) return d->cosine.has_value();
    return std::holds_alternative<semantic_config>(step.work);
  });
}

CLIPX_INLINE curation_pipeline parse_pipeline(std::string_view text, const std::string& name) {
  const auto value = detail::parse_json(text, name, 16);
  issue_list issues(error_kind::damaged);
  curation_pipeline out;
  detail::pipeline_options o(value, name, issues);
  for (auto* key : {"data", "out", "steps"}) o.require(key);
  o.texts("data", out.curation.data);
  o.text("caption_field", out.curation.caption_field);
  o.text("out", out.curation.out);
  o.text("state", out.curation.state);
  o.whole("samples_per_shard", out.curation.samples_per_shard, 1);
  out.curation.number_keys = o.choice("keys", {"keep", "number"}) == 1;
  o.flag("strict", out.curation.strict);
  o.text("model", out.model);
  if (const auto* steps = o.find("steps")) {
    if (!steps->is_array() || steps->empty()) o.issue("\"steps\": expected a list of one step or more");
    else
      for (std::size_t i = 0; i < steps->size(); ++i) detail::read_step((*steps)[i], name, i + 1, out, issues);
  }
  o.end();
  issues.raise(name);
  return out;
}

CLIPX_INLINE curation_pipeline read_pipeline(const std::string& path) {
  const auto file = mapped_file::open(path);
  return parse_pipeline(detail::chars_of(file.bytes()), path);
}

CLIPX_INLINE std::optional<curation_result> run_pipeline(const curation_pipeline& pipeline, shared_model* model, observer& watch) {
  curation here(pipeline.curation, watch);
  for (const auto& step : pipeline.steps) {
    if (!here.whole()) return {};
    const auto work = [&](const auto& options) {
      using kind = std::decay_t<decltype(options)>;
      if constexpr (std::is_same_v<kind, filter_config>) filter_samples(here, step.name, options, model);
      else if constexpr (std::is_same_v<kind, duplicate_rules>) drop_duplicates(here, step.name, options);
      else if constexpr (std::is_same_v<kind, decontaminate_config>) decontaminate(here, step.name, options, model);
      else if constexpr (std::is_same_v<kind, match_config>) match_samples(here, step.name, options);
      else if constexpr (std::is_same_v<kind, balance_config>) balance_samples(here, step.name, options);
      else {
        expect(model != nullptr, [&] { return cat(step.name, ": embeddings need a model, got none"); });
        drop_semantic_duplicates(here, step.name, options, *model);
      }
    };
    std::visit(work, step.work);
  }
  auto output = write_curated(here);
  if (!output) return {};
  write_curation_report(here, *output, here.config().out + "/report.html");
  return curation_result{here.steps(), std::move(*output)};
}

}  // namespace clipx
