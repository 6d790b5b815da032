// Definitions of semantic_step.hpp.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <utility>

#include "../core/error.hpp"
#include "curation-inl.hpp"
#include "semantic-inl.hpp"
#include "semantic_step.hpp"
#include "shared_model-inl.hpp"

namespace clipx {
namespace detail {

inline constexpr std::uint32_t no_cell = std::numeric_limits<std::uint32_t>::max();  // for an image that does not decode
inline constexpr std::uint64_t rows_per_cell = 256;                                  // used to learn the centroids

template <class T>
std::span<const T> values_of(const mapped_file& file) {
  return {reinterpret_cast<const T*>(file.bytes().data()), file.bytes().size() / sizeof(T)};
}
template <class T>
void put_values(const file_writer& put, const std::vector<T>& values) {
  put(std::as_bytes(std::span(values)));
}

/// Images by number: those not yet dropped, counted over all shards.
struct numbered_shards {
  std::vector<std::uint64_t> begin{0};
  explicit numbered_shards(const curation& here) {
    for (std::size_t i = 0; i < here.shards().size(); ++i) begin.push_back(begin.back() + here.summary(i).kept);
  }
  std::uint64_t size() const { return begin.back(); }
  std::size_t shard_of(std::uint64_t number) const {
    return static_cast<std::size_t>(std::upper_bound(begin.begin(), begin.end(), number) - begin.begin()) - 1;
  }
};

/// Embeddings of a shard's images that have not been dropped; NaN if one does not decode.
CLIPX_INLINE std::vector<float> embed_shard(const curation& here, std::size_t shard, shared_model& model) {
  std::vector<float> out;
  std::vector<std::uint8_t> rgb;
  std::vector<bool> good;  // of the images since the last batch
  const auto cols = static_cast<std::size_t>(model.cols());
  const auto encode = [&] {
    const auto rows = model.encode_pixels(rgb);
    auto at = rows.begin();
    for (const bool there : good) {
      if (!there) out.insert(out.end(), cols, std::numeric_limits<float>::quiet_NaN());
      else {
        out.insert(out.end(), at, at + static_cast<std::ptrdiff_t>(cols));
        at += static_cast<std::ptrdiff_t>(cols);
      }
    }
    rgb.clear();
    good.clear();
  };
  here.walk(shard, [&](const captioned_sample& s, decision&& d) {
    if (!d.kept()) return;
    try {
      model.append_pixels(*s.members->image(), d.key, rgb);
      good.push_back(true);
    } catch (const error&) { good.push_back(false); }  // the decision reports it
    if (rgb.size() >= model.batch_size() * model.pixel_bytes()) encode();
  });
  encode();
  return out;
}

/// The rows from which the centroids are learned.
CLIPX_INLINE std::vector<float> training_rows(const stage& embedded, const numbered_shards& shards, dim cols, dim cells,
                                              std::uint64_t seed) {
  const double share = static_cast<double>(rows_per_cell) * static_cast<double>(cells) / static_cast<double>(shards.size());
  const draws draw(seed, 'r');
  std::vector<float> out;
  for (std::size_t shard = 0; shard < embedded.size(); ++shard) {
    const auto file = embedded.result(shard);
    const auto values = values_of<float>(file);
    const auto rows = values.size() / static_cast<std::size_t>(cols);
    for (std::size_t i = 0; i < rows; ++i) {
      const float* row = values.data() + i * static_cast<std::size_t>(cols);
      if (!std::isnan(row[0]) && draw.chance(shards.begin[shard] + i, share)) out.insert(out.end(), row, row + cols);
    }
  }
  return out;
}

/// Groups of whole cells that fit into memory together; at least one cell each.
CLIPX_INLINE std::vector<std::pair<std::uint32_t, std::uint32_t>> cell_groups(const stage& assigned, dim cells,
                                                                              std::uint64_t most) {
  std::vector<std::uint64_t> sizes(static_cast<std::size_t>(cells));
  for (std::size_t shard = 0; shard < assigned.size(); ++shard) {
    const auto file = assigned.result(shard);
    for (const auto& c : values_of<cell_of_row>(file))
      if (c.cell != no_cell) ++sizes[c.cell];
  }
  std::vector<std::pair<std::uint32_t, std::uint32_t>> out;
  std::uint64_t rows = 0;
  for (std::uint32_t c = 0; c < sizes.size(); ++c) {
    if (out.empty() || rows + sizes[c] > most) {
      out.emplace_back(c, c);
      rows = 0;
    }
    out.back().second = c + 1;
    rows += sizes[c];
  }
  return out;
}

struct dropped_image {
  std::uint64_t number, of;
  double cosine;  // of a float; double avoids padding bytes on disk
};

/// The duplicates in cells [first, second).
CLIPX_INLINE std::vector<dropped_image> match_cells(const stage& embedded, const stage& assigned, const numbered_shards& shards,
                                                    std::pair<std::uint32_t, std::uint32_t> cells, dim cols,
                                                    const semantic_rule& rule) {
  struct cell {
    std::vector<std::uint64_t> numbers;
    std::vector<float> rows, cosines;
  };
  std::vector<cell> all(cells.second - cells.first);
  for (std::size_t shard = 0; shard < assigned.size(); ++shard) {
    const auto file = assigned.result(shard), rows = embedded.result(shard);
    const auto cell_of = values_of<cell_of_row>(file);
    for (std::size_t i = 0; i < cell_of.size(); ++i) {
      if (cell_of[i].cell < cells.first || cell_of[i].cell >= cells.second) continue;
      auto& to = all[cell_of[i].cell - cells.first];
      const float* row = values_of<float>(rows).data() + i * static_cast<std::size_t>(cols);
      to.numbers.push_back(shards.begin[shard] + i);
      to.rows.insert(to.rows.end(), row, row + cols);
      to.cosines.push_back(cell_of[i].cosine);
    }
  }
  std::vector<dropped_image> out;
  for (const auto& c : all) {
    const auto matches = semantic_duplicates({c.rows.data(), static_cast<dim>(c.numbers.size()), cols}, c.cosines, rule);
    for (std::size_t i = 0; i < matches.size(); ++i)
      if (matches[i].row != semantic_match::none)
        out.push_back({c.numbers[i], c.numbers[matches[i].row], static_cast<double>(matches[i].cosine)});
  }
  return out;
}

/// "shard: key" of the images that others are duplicates of.
CLIPX_INLINE std::map<std::uint64_t, std::string> name_images(const curation& here, const numbered_shards& shards,
                                                              const std::vector<dropped_image>& dropped) {
  std::map<std::uint64_t, std::string> names;
  for (const auto& d : dropped) names[d.of];
  auto at = names.begin();
  while (at != names.end()) {
    const auto shard = shards.shard_of(at->first);
    auto number = shards.begin[shard];
    here.walk(shard, [&](decision&& d) {
      if (!d.kept()) return;
      if (at != names.end() && at->first == number) (at++)->second = cat(here.shards()[shard].path, ": ", d.key);
      ++number;
    });
  }
  return names;
}

/// The centroids, (cells, D); empty if no image decodes.
CLIPX_INLINE std::vector<float> learn_centroids(const stage& embedded, const numbered_shards& shards, dim cols, dim cells,
                                                const semantic_config& config, int threads) {
  const auto rows = training_rows(embedded, shards, cols, cells, config.seed);
  const auto count = static_cast<dim>(rows.size()) / cols;
  if (count == 0) return {};
  return spherical_kmeans({rows.data(), count, cols}, {std::min(cells, count), config.iterations, config.seed, threads});
}

/// The cell of each row of a shard.
CLIPX_INLINE std::vector<cell_of_row> assign_shard(const mapped_file& embedded, mat<const float> centroids) {
  const auto values = values_of<float>(embedded);
  const auto count = static_cast<dim>(values.size()) / centroids.cols;
  std::vector<cell_of_row> cells(static_cast<std::size_t>(count), {no_cell, 0});
  if (centroids.rows > 0) cells = assign_cells({values.data(), count, centroids.cols}, centroids, 1);
  for (std::size_t i = 0; i < cells.size(); ++i)
    if (std::isnan(values[i * static_cast<std::size_t>(centroids.cols)])) cells[i] = {no_cell, 0};
  return cells;
}

inline std::string describe(const semantic_rule& r) {
  return cat("cosine ", r.cosine, ", farthest ", r.keep_farthest ? 1 : 0, ", chains ", r.chains ? 1 : 0);
}

/// What the semantic step has on disk before it decides.
struct semantic_work {
  std::unique_ptr<stage> embedded, assigned;
  std::vector<dropped_image> dropped;  // sorted by number
  bool whole = false;
};

/// Matches groups of cells of embeddings; the last part of match_images.
CLIPX_INLINE void match_groups(curation& here, const std::string& step, const std::string& options, const semantic_config& config,
                               const numbered_shards& shards, dim cells, dim cols, semantic_work& work) {
  const auto groups = cell_groups(*work.assigned, cells, config.memory / sizeof(float) / static_cast<std::uint64_t>(cols));
  std::vector<stage_item> items;
  items.reserve(groups.size());
  for (const auto& g : groups) items.push_back({cat(g.first, " ", g.second)});
  const auto matched = here.prepare(step + "-matches", options, std::move(items), [&](std::size_t i, file_writer put) {
    put_values(put, match_cells(*work.embedded, *work.assigned, shards, groups[i], cols, config.rule));
  });
  if (!matched) return;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const auto part = matched->result(i);
    const auto more = values_of<dropped_image>(part);
    work.dropped.insert(work.dropped.end(), more.begin(), more.end());
  }
  std::sort(work.dropped.begin(), work.dropped.end(), [](auto& a, auto& b) { return a.number < b.number; });
  work.whole = true;
}

CLIPX_INLINE semantic_work match_images(curation& here, const std::string& step, const semantic_config& config, shared_model& model,
                                        const numbered_shards& shards) {
  semantic_work out;
  const dim cols = model.cols();
  out.embedded = here.prepare(step + "-embeddings", model.facts(),
                              [&](std::size_t shard, file_writer put) { put_values(put, embed_shard(here, shard, model)); });
  if (!out.embedded) return out;
  const auto root = static_cast<dim>(std::min(std::sqrt(static_cast<double>(shards.size())), 5e4));
  const dim cells = std::max<dim>(1, config.cells > 0 ? config.cells : root);
  const auto options = cat(model.facts(), " ", here.hash_of_all(), " cells ", cells, " ", config.iterations, " ", config.seed);
  const auto learned = here.prepare(step + "-centroids", options, {{""}}, [&](std::size_t, file_writer put) {
    put_values(put, learn_centroids(*out.embedded, shards, cols, cells, config, here.config().threads));
  });
  if (!learned) return out;
  const auto file = learned->result(0);
  const auto values = values_of<float>(file);
  const mat<const float> centroids(values.data(), static_cast<dim>(values.size()) / cols, cols);
  out.assigned = here.prepare(step + "-cells", options, [&](std::size_t shard, file_writer put) {
    put_values(put, assign_shard(out.embedded->result(shard), centroids));
  });
  if (out.assigned) match_groups(here, step, cat(options, " ", describe(config.rule)), config, shards, centroids.rows, cols, out);
  return out;
}

}  // namespace detail

CLIPX_INLINE void drop_semantic_duplicates(curation& here, const std::string& step, const semantic_config& config,
                                           shared_model& model) {
  if (!here.whole()) return;
  detail::expect_cosine(step, config.rule.cosine);
  expect(config.cells >= 0 && config.cells <= dim{1} << 24 && config.iterations >= 0 && config.memory > 0, [&] {
    return cat(step, ": expected 0 to ", dim{1} << 24, " cells, 0 iterations or more and 1 byte of memory or more, got ",
               config.cells, ", ", config.iterations, " and ", config.memory);
  });
  const detail::numbered_shards shards(here);
  const auto work = detail::match_images(here, step, config, model, shards);
  if (!work.whole) return;
  const auto names = detail::name_images(here, shards, work.dropped);
  const auto options = cat(model.facts(), " ", here.hash_of_all(), " ", config.cells, " ", config.iterations, " ", config.seed, " ",
                           detail::describe(config.rule));
  here.run(step, options, [&](std::size_t shard, std::vector<decision>& all) {
    const auto file = work.assigned->result(shard);
    const auto cells = detail::values_of<cell_of_row>(file);
    auto number = shards.begin[shard];
    auto next = std::lower_bound(work.dropped.begin(), work.dropped.end(), number, [](auto& d, auto n) { return d.number < n; });
    here.walk(shard, [&](decision&& before) {
      all.push_back(std::move(before));
      auto& d = all.back();
      if (!d.kept()) return;
      const auto& cell = cells[static_cast<std::size_t>(number - shards.begin[shard])];
      if (cell.cell == detail::no_cell) {
        d.step = step;
        d.why = {"image", "does not decode", dropped_as::unreadable};
      } else {
        add_facts(d, step, cat("{\"cell\":", cell.cell, ",\"cosine\":", cell.cosine, "}"));
      }
      if (next != work.dropped.end() && next->number == number) {
        d.step = step;
        d.why = {"semantic", cat("of ", names.at(next->of), ", cosine ", static_cast<float>(next->cosine))};
        ++next;
      }
      ++number;
    });
  });
}

}  // namespace clipx
