// Definitions of duplicate_step.hpp.
#pragma once
#include <charconv>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "../core/error.hpp"
#include "../io/fields-inl.hpp"
#include "curation-inl.hpp"
#include "duplicate_step.hpp"
#include "duplicates-inl.hpp"
#include "shared_model-inl.hpp"

namespace clipx {
namespace detail {

inline std::string describe(const duplicate_rules& r) {
  return cat("bytes ", r.bytes ? 1 : 0, ", pixels ", r.pixels ? 1 : 0, ", distance ", r.distance < 0 ? -1 : r.distance);
}

/// "BYTES PIXELS PERCEPTUAL\n" in hexadecimal digits, or "! reason\n" for an image that does not decode.
inline void append_hashes(std::string& out, const image_hashes& h) {
  out += cat(h.bytes.hex(), " ", h.pixels.hex(), " ", hash128{0, h.perceptual}.hex().substr(16), "\n");
}
inline void append_failure(std::string& out, std::string why) {
  for (char& c : why)
    if (c == '\n') c = ' ';
  out += cat("! ", why, "\n");
}

/// Reads the lines of append_hashes one by one.
class hash_lines {
 public:
  hash_lines(std::span<const std::byte> file, const std::string& name) : text_(chars_of(file)), name_(name) {}
  /// Returns false at the end. `why` is empty if there are hashes.
  bool next(image_hashes& hashes, std::string& why) {
    if (text_.empty()) return false;
    const auto line = text_.substr(0, text_.find('\n'));
    text_.remove_prefix(std::min(line.size() + 1, text_.size()));
    why.clear();
    if (line.starts_with("! ")) why = line.substr(2);
    else {
      expect(line.size() == 82, error_kind::damaged, [&] { return cat(name_, ": expected a line of hashes, got \"", line, "\""); });
      hashes = {{number(line, 0), number(line, 16)}, {number(line, 33), number(line, 49)}, number(line, 66)};
    }
    return true;
  }

 private:
  std::uint64_t number(std::string_view line, std::size_t at) const {
    std::uint64_t out = 0;
    const auto end = std::from_chars(line.data() + at, line.data() + at + 16, out, 16);
    expect(end.ptr == line.data() + at + 16, error_kind::damaged,
           [&] { return cat(name_, ": expected hexadecimal digits, got \"", line, "\""); });
    return out;
  }
  std::string_view text_;
  const std::string& name_;
};

/// The next line of a file that has one for each sample not yet dropped.
inline void next_hashes(hash_lines& lines, const std::string& name, image_hashes& hashes, std::string& why) {
  expect(lines.next(hashes, why), error_kind::damaged,
         [&] { return cat(name, ": expected a line for each sample, got fewer; remove it"); });
}

/// The hashes of a shard's samples that have not been dropped.
CLIPX_INLINE std::string hash_shard(const curation& here, std::size_t shard, const duplicate_rules& rules) {
  std::string lines;
  here.walk(shard, [&](const captioned_sample& s, decision&& d) {
    if (!d.kept()) return;
    try {
      append_hashes(lines, hash_image(rules, *s.members->image(), std::string(s.key)));
    } catch (const error& e) { append_failure(lines, e.what()); }
  });
  return lines;
}

inline std::string facts_of(const duplicate_rules& rules, const image_hashes& h) {
  field_writer facts;
  if (rules.bytes) facts.put("bytes", h.bytes.hex());
  if (rules.pixels) facts.put("pixels", h.pixels.hex());
  if (rules.distance >= 0) facts.put("perceptual", hash128{0, h.perceptual}.hex().substr(16));
  return facts.get().object.dump();
}

inline verdict why_dropped(const duplicate& d, const std::string& whose) {
  return {d.how, d.distance > 0 ? cat("of ", whose, ", ", d.distance, " bits apart") : cat("of ", whose)};
}

/// The samples of each shard that are duplicates of earlier samples, by index among those not yet dropped.
CLIPX_INLINE std::vector<std::unordered_map<std::size_t, verdict>> find_duplicates(const curation& here, const stage& hashed,
                                                                                   const duplicate_rules& rules) {
  duplicate_finder finder(rules, here.total().kept);
  std::vector<std::string> names;  // of the images kept
  std::vector<std::unordered_map<std::size_t, verdict>> out(here.shards().size());
  for (std::size_t shard = 0; shard < out.size(); ++shard) {
    const auto file = hashed.result(shard);
    hash_lines lines(file.bytes(), file.path());
    image_hashes hashes;
    std::string why;
    std::size_t place = 0;
    here.walk(shard, [&](decision&& d) {
      if (!d.kept()) return;
      next_hashes(lines, file.path(), hashes, why);
      const auto at = place++;
      if (!why.empty()) return;
      if (const auto found = finder.find(hashes)) {
        out[shard].emplace(at, why_dropped(*found, names[found->number]));
        return;
      }
      finder.add(hashes);
      names.push_back(cat(here.shards()[shard].path, ": ", d.key));
    });
  }
  return out;
}

}  // namespace detail

CLIPX_INLINE void drop_duplicates(curation& here, const std::string& step, const duplicate_rules& rules) {
  const auto options = detail::describe(rules);
  const auto hashed = here.prepare(step + "-hashes", options, [&](std::size_t shard, file_writer put) {
    detail::put_record(put, detail::hash_shard(here, shard, rules));
  });
  if (!hashed) return;
  const auto found = detail::find_duplicates(here, *hashed, rules);
  here.run(step, cat(options, " ", here.hash_of_all()), [&](std::size_t shard, std::vector<decision>& all) {
    const auto file = hashed->result(shard);
    detail::hash_lines lines(file.bytes(), file.path());
    image_hashes hashes;
    std::string why;
    std::size_t place = 0;
    here.walk(shard, [&](decision&& before) {
      all.push_back(std::move(before));
      auto& d = all.back();
      if (!d.kept()) return;
      detail::next_hashes(lines, file.path(), hashes, why);
      const auto duplicate_of = found[shard].find(place++);
      if (why.empty()) add_facts(d, step, detail::facts_of(rules, hashes));
      if (!why.empty()) d.why = {"image", why, dropped_as::unreadable};
      else if (duplicate_of != found[shard].end()) d.why = duplicate_of->second;
      if (!d.why.keep()) d.step = step;
    });
  });
}

namespace detail {

/// The images of evaluation shards.
struct evaluation_images {
  std::vector<std::string> names;
  duplicate_finder finder;
  std::vector<float> embeddings;  // (N, D), if a cosine is needed
  left_out skipped;
};

/// For one evaluation shard: what it leaves out; lines of hashes, each followed by the sample's key; with a model, embeddings.
/// Errors: what cannot be read, since what it shows could not be removed.
CLIPX_INLINE std::string hash_evaluation_shard(const caption_part& part, const decontaminate_config& config, shared_model* model) {
  std::string lines;
  std::vector<std::uint8_t> rgb;
  std::string values;
  const auto encode = [&] {
    const auto rows = model->encode_pixels(rgb);
    values.append(reinterpret_cast<const char*>(rows.data()), rows.size() * sizeof(float));
    rgb.clear();
  };
  left_out skipped;
  for_each_sample(part.path, skipped, [&](const sample& s) {
    const auto file = s.image();
    const auto name = cat(part.path, ": ", s.key);
    if (!file) return skipped.add(name, "expected an image (jpg, png, jpeg or webp), got none");
    append_hashes(lines, hash_image(config.rules, *file, name));
    lines += s.key + "\n";
    if (!config.cosine) return;
    model->append_pixels(*file, name, rgb);
    if (rgb.size() >= model->batch_size() * model->pixel_bytes()) encode();
  });
  if (!rgb.empty()) encode();
  expect(skipped.unreadable == 0, error_kind::damaged, [&] { return skipped.text(); });
  std::string record;
  record_writer to(record);
  to.left_out(skipped);
  to.text(lines);
  to.text(values);
  return record;
}

CLIPX_INLINE void read_evaluation_shard(const mapped_file& file, const std::string& path, evaluation_images& to) {
  record_reader from(record_of(file), file.path());
  to.skipped.add(from.left_out());
  auto lines = from.text();
  while (!lines.empty()) {
    hash_lines one(std::as_bytes(std::span(lines)), file.path());
    image_hashes hashes;
    std::string why;
    one.next(hashes, why);
    lines.remove_prefix(lines.find('\n') + 1);
    to.finder.add(hashes);
    to.names.push_back(cat(path, ": ", lines.substr(0, lines.find('\n'))));
    lines.remove_prefix(lines.find('\n') + 1);
  }
  const auto values = from.text();
  const std::size_t at = to.embeddings.size(), count = values.size() / sizeof(float);
  if (count == 0) return;  // no rule needs the embeddings
  to.embeddings.resize(at + count);
  std::memcpy(to.embeddings.data() + at, values.data(), count * sizeof(float));
}

/// The samples of a shard that wait for the cosines of their images with those of the evaluation sets.
class compared_batch {
 public:
  compared_batch(const std::string& step, double cosine, shared_model& model, const device_rows& kept,
                 const std::vector<std::string>& names)
      : step_(step), cosine_(cosine), model_(model), kept_(kept), names_(names) {}
  void add(std::size_t place, std::span<const std::byte> file, const std::string& name) {
    model_.append_pixels(file, name, rgb_);
    places_.push_back(place);
  }
  bool full() const { return places_.size() >= model_.batch_size(); }
  void decide(std::vector<decision>& all) {
    const auto nearest = model_.nearest(rgb_, kept_);
    for (std::size_t i = 0; i < places_.size(); ++i) {
      auto& d = all[places_[i]];
      field_writer facts;
      facts.put("cosine", nearest[i].cosine);
      facts.put("nearest", names_[nearest[i].row]);
      add_facts(d, step_, facts.get().object.dump());
      if (nearest[i].cosine < cosine_) continue;
      d.step = step_;
      d.why = {"cosine", cat("of ", names_[nearest[i].row], ", cosine ", nearest[i].cosine)};
    }
    rgb_.clear();
    places_.clear();
  }

 private:
  const std::string& step_;
  double cosine_;
  shared_model& model_;
  const device_rows& kept_;
  const std::vector<std::string>& names_;
  std::vector<std::uint8_t> rgb_;
  std::vector<std::size_t> places_;
};

/// Why a sample is dropped before its cosine is computed. Errors: the image does not decode.
inline verdict judge_contamination(const captioned_sample& s, const duplicate_rules& rules, const evaluation_images& theirs) {
  const auto found = theirs.finder.find(hash_image(rules, *s.members->image(), std::string(s.key)));
  return found ? why_dropped(*found, theirs.names[found->number]) : verdict{};
}

}  // namespace detail

CLIPX_INLINE void decontaminate(curation& here, const std::string& step, const decontaminate_config& config, shared_model* model) {
  expect(!config.cosine || model, [&] { return cat(step, ": a cosine needs a model, got none"); });
  expect(!config.cosine || (*config.cosine >= -1 && *config.cosine <= 1),
         [&] { return cat(step, ": expected a cosine from -1 to 1, got ", *config.cosine); });
  left_out skipped;
  const auto parts = list_caption_parts(config.against, skipped);
  std::vector<stage_item> items;
  std::string facts;
  for (const auto& part : parts) {
    expect(part.problem.empty(), error_kind::damaged, [&] { return cat(step, ": ", part.problem); });
    expect(!part.lines, [&] { return cat(part.path, ": expected a shard (.tar) or a folder of shards"); });
    items.push_back({part.facts});
    facts += part.facts + "\n";
  }
  const auto model_facts = config.cosine ? cat(" ", model->facts()) : std::string();
  const auto options = cat("2 ", detail::describe(config.rules), model_facts);
  const auto hashed = here.prepare(step + "-against", options, std::move(items), [&](std::size_t i, file_writer put) {
    detail::put_record(put, detail::hash_evaluation_shard(parts[i], config, model));
  });
  if (!hashed) return;
  detail::evaluation_images theirs{{}, duplicate_finder(config.rules, 1 << 16), {}, std::move(skipped)};
  for (std::size_t i = 0; i < parts.size(); ++i) detail::read_evaluation_shard(hashed->result(i), parts[i].path, theirs);
  here.leave_out(theirs.skipped);
  expect(!theirs.names.empty(), error_kind::not_found,
         [&] { return cat(step, ": expected evaluation shards with images, got none in ", config.against[0]); });
  std::optional<device_rows> kept;
  if (config.cosine) kept.emplace(model->keep(theirs.embeddings));
  const auto decide = [&](std::size_t shard, std::vector<decision>& all) {
    std::optional<detail::compared_batch> batch;
    if (kept) batch.emplace(step, *config.cosine, *model, *kept, theirs.names);
    here.walk(shard, [&](const captioned_sample& s, decision&& before) {
      all.push_back(std::move(before));
      auto& d = all.back();
      if (!d.kept()) return;
      try {
        d.why = detail::judge_contamination(s, config.rules, theirs);
        if (d.why.keep() && batch) batch->add(all.size() - 1, *s.members->image(), d.key);
      } catch (const error& e) { d.why = {"image", e.what(), dropped_as::unreadable}; }
      if (!d.why.keep()) d.step = step;
      if (batch && batch->full()) batch->decide(all);
    });
    if (batch) batch->decide(all);
  };
  here.run(step, cat(options, " ", config.cosine.value_or(2), " ", detail::fingerprint("against", facts)), decide);
}

}  // namespace clipx
