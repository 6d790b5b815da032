#pragma once
#include <algorithm>
#include <cstring>
#include <exception>
#include <filesystem>
#include <queue>
#include <thread>

#include "../core/random.hpp"
#include "../core/threads.hpp"
#include "../io/file.hpp"
#include "../io/lock.hpp"
#include "bpe_train.hpp"
#include "gunzip.hpp"
#include "vocabulary.hpp"
#include "word_counts-inl.hpp"

namespace clipx {
namespace detail {

inline constexpr std::size_t longest_symbol = 256;  // bytes

/// All distinct words as one list of symbols, and of every pair of neighbors how often it occurs and where.
///
/// All occurrences of a pair arise in the step that makes its newer symbol, in text order; later steps only remove some. So the
/// queue may be lazy: its first entry is put back if its count has fallen in the meantime. No string is made from two different
/// pairs: where a string has become one symbol, all earlier merges took place inside it,
/// and therefore in the same way everywhere.
class bpe_learner {
 public:
  bpe_learner(const word_counts& words, std::uint64_t min_frequency) : least_(min_frequency) {
    const std::size_t n = words.bytes();
    expect(n < none, [&] { return cat("tokenizer: expected distinct words of less than 4 GiB in all, got ", n, " bytes"); });
    symbol_.reserve(n);
    next_.reserve(n);
    previous_.reserve(n);
    word_.reserve(n);
    times_.reserve(words.size());
    lengths_.assign(512, 1);
    words.for_each([&](std::string_view word, std::uint64_t times) {
      const auto id = static_cast<std::uint32_t>(times_.size());
      times_.push_back(times);
      for (std::size_t i = 0; i < word.size(); ++i) {
        const auto at = static_cast<std::uint32_t>(symbol_.size());
        const bool last = i + 1 == word.size();
        symbol_.push_back(static_cast<unsigned char>(word[i]) + (last ? 256 : 0));
        previous_.push_back(i == 0 ? none : at - 1);
        next_.push_back(last ? none : at + 1);
        word_.push_back(id);
        if (i > 0) occurs(at - 1, symbol_[at - 1], symbol_[at], times);
      }
    });
    offer_from(0);
  }

  struct merge {
    std::int32_t left, right;
  };
  const std::vector<merge>& merges() const { return merges_; }

  /// Merges the first pair of the order; returns false if no pair is frequent enough.
  bool step() {
    while (!queue_.empty()) {
      const candidate top = queue_.top();
      queue_.pop();
      const auto times = pairs_[top.pair].times;
      if (times == top.times) {
        merge_all(top.pair);
        return true;
      }
      if (times >= least_) queue_.push({times, top.left, top.right, top.pair});
      else pairs_[top.pair].places = place_list();
    }
    return false;
  }

  /// Current number of symbols in all words.
  std::uint64_t tokens() const {
    std::uint64_t n = 0;
    for (std::size_t i = 0; i < symbol_.size(); ++i) n += symbol_[i] >= 0 ? times_[word_[i]] : 0;
    return n;
  }

 private:
  static constexpr std::uint32_t none = 0xFFFFFFFFU;
  using place_list = std::vector<std::uint32_t>;

  struct pair {
    std::int32_t left, right;
    std::uint64_t times;
    place_list places;  // of the left symbol, ascending; includes places where the pair no longer exists
  };
  struct candidate {
    std::uint64_t times;
    std::int32_t left, right;
    std::uint32_t pair;
    bool operator<(const candidate& o) const {
      return times != o.times ? times < o.times : left != o.left ? left > o.left : right > o.right;
    }
  };
  struct slot {
    std::uint64_t key = 0;
    std::uint32_t pair = none;
  };

  slot& slot_of(std::int32_t left, std::int32_t right) {
    const auto key = std::uint64_t(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
    std::size_t i = draws::mix(key) & (index_.size() - 1);
    while (index_[i].pair != none && index_[i].key != key) i = (i + 1) & (index_.size() - 1);
    index_[i].key = key;
    return index_[i];
  }
  void occurs(std::uint32_t place, std::int32_t left, std::int32_t right, std::uint64_t times) {
    slot* s = &slot_of(left, right);
    if (s->pair == none) {
      if (2 * (pairs_.size() + 1) > index_.size()) {
        index_.assign(index_.size() * 2, {});
        for (std::size_t i = 0; i < pairs_.size(); ++i)
          slot_of(pairs_[i].left, pairs_[i].right).pair = static_cast<std::uint32_t>(i);
        s = &slot_of(left, right);
      }
      s->pair = static_cast<std::uint32_t>(pairs_.size());
      pairs_.push_back({left, right, 0, {}});
    }
    pairs_[s->pair].times += times;
    pairs_[s->pair].places.push_back(place);
  }
  void breaks(std::int32_t left, std::int32_t right, std::uint64_t times) { pairs_[slot_of(left, right).pair].times -= times; }

  /// Puts the pairs from index `first` on into the queue. Pairs that can never be merged drop their places.
  void offer_from(std::size_t first) {
    for (std::size_t i = first; i < pairs_.size(); ++i) {
      auto& p = pairs_[i];
      const auto length = lengths_[static_cast<std::size_t>(p.left)] + lengths_[static_cast<std::size_t>(p.right)];
      if (p.times >= least_ && length <= longest_symbol) queue_.push({p.times, p.left, p.right, static_cast<std::uint32_t>(i)});
      else p.places = place_list();
    }
  }

  void merge_all(std::uint32_t merged) {
    const auto [left, right] = std::pair(pairs_[merged].left, pairs_[merged].right);
    const auto places = std::move(pairs_[merged].places);
    const auto made = static_cast<std::int32_t>(lengths_.size());
    merges_.push_back({left, right});
    lengths_.push_back(lengths_[static_cast<std::size_t>(left)] + lengths_[static_cast<std::size_t>(right)]);
    const std::size_t first = pairs_.size();
    for (const auto p : places) {
      const auto q = next_[p];
      if (symbol_[p] != left || q == none || symbol_[q] != right) continue;
      const auto before = previous_[p], after = next_[q];
      const auto times = times_[word_[p]];
      if (before != none) breaks(symbol_[before], left, times);
      if (after != none) breaks(right, symbol_[after], times);
      symbol_[p] = made;
      symbol_[q] = -1;
      next_[p] = after;
      if (before != none) occurs(before, symbol_[before], made, times);
      if (after != none) {
        previous_[after] = p;
        occurs(p, made, symbol_[after], times);
      }
    }
    pairs_[merged].times = 0;
    offer_from(first);
  }

  std::uint64_t least_;
  std::vector<std::int32_t> symbol_;  // at each place; -1 where it has become part of the symbol before
  place_list next_, previous_, word_;
  std::vector<std::uint64_t> times_;  // of each word
  std::vector<std::size_t> lengths_;  // of each symbol, in bytes
  std::vector<pair> pairs_;           // all pairs that ever existed
  std::vector<slot> index_ = std::vector<slot>(4096);
  std::priority_queue<candidate> queue_;
  std::vector<merge> merges_;
};

/// The counts of one thread.
struct word_counter {
  word_counts counts;
  std::uint64_t captions = 0, words = 0, bytes = 0;
  std::vector<std::int32_t> ids;
  std::string word;

  /// `v` has no merges: an id is a byte, and an id of 256 or more ends its word.
  void add(const vocabulary& v, std::string_view caption) {
    ids.clear();
    encode_text(v, caption, ids, ids.max_size());
    word.clear();
    for (const auto id : ids) {
      if (id >= 512) continue;  // start or end, spelled out in the text
      word += static_cast<char>(static_cast<unsigned char>(id & 0xFF));
      if (id < 256) continue;
      counts.add(word, 1);
      ++words;
      bytes += word.size();
      word.clear();
    }
    ++captions;
  }
  void take(word_counter& o) {
    o.counts.for_each([&](std::string_view w, std::uint64_t times) { counts.add(w, times); });
    captions += o.captions;
    words += o.words;
    bytes += o.bytes;
    o = {};
  }
};

}  // namespace detail

struct bpe_trainer::state {
  bpe_options options;
  detail::vocabulary_ptr bytes;
  std::vector<detail::word_counter> counters;  // one per thread
};

CLIPX_INLINE bpe_trainer::bpe_trainer(const bpe_options& o) {
  constexpr dim most = static_cast<dim>(detail::most_merges) + 514;
  expect(o.vocab_size >= 515, [&] {
    return cat("tokenizer: vocabulary of ", o.vocab_size, ": expected 515 at least (512 bytes, start, end and a merge)");
  });
  expect(o.vocab_size <= most, [&] {
    return cat("tokenizer: vocabulary of ", o.vocab_size, ": expected ", most, " at most, as many as CLIP's readers take");
  });
  expect(o.min_frequency >= 1, "tokenizer: expected a frequency of 1 at least, got 0");
  expect(o.threads >= 1 && o.threads <= 256, [&] { return cat("tokenizer: expected 1 to 256 threads, got ", o.threads); });
  auto text = o.text;
  text.cache_words = 0;
  state_ = std::make_unique<state>(state{o, detail::make_vocabulary({}, "bytes", text), {}});
  state_->counters.resize(static_cast<std::size_t>(o.threads));
}
CLIPX_INLINE bpe_trainer::~bpe_trainer() = default;
CLIPX_INLINE bpe_trainer::bpe_trainer(bpe_trainer&&) noexcept = default;
CLIPX_INLINE bpe_trainer& bpe_trainer::operator=(bpe_trainer&&) noexcept = default;

CLIPX_INLINE void bpe_trainer::add(std::string_view caption) { state_->counters[0].add(*state_->bytes, caption); }

CLIPX_INLINE void bpe_trainer::add(std::span<const std::string> captions) {
  auto& counters = state_->counters;
  std::vector<std::exception_ptr> failed(counters.size());
  const auto work = [&](std::size_t k) {
    try {
      for (std::size_t i = k; i < captions.size(); i += counters.size()) counters[k].add(*state_->bytes, captions[i]);
    } catch (...) { failed[k] = std::current_exception(); }
  };
  detail::in_threads(std::min(counters.size(), captions.size()), work);
  for (auto& f : failed)
    if (f) std::rethrow_exception(f);
}

CLIPX_INLINE learned_bpe bpe_trainer::learn(observer& watch) {
  auto& all = state_->counters[0];
  for (std::size_t k = 1; k < state_->counters.size(); ++k) all.take(state_->counters[k]);
  expect(all.captions > 0, "tokenizer: expected captions to learn from, got none");
  expect(all.words > 0,
         [&] { return cat("tokenizer: expected words to learn from, got ", all.captions, " captions without any"); });
  const auto least = state_->options.min_frequency;
  const auto wanted = static_cast<std::size_t>(state_->options.vocab_size) - 514;
  detail::bpe_learner learner(all.counts, least);
  report(watch, "merges", 0, wanted);
  while (learner.merges().size() < wanted && learner.step()) report(watch, "merges", learner.merges().size(), wanted);
  const std::size_t n = learner.merges().size();
  expect(n > 0, [&] {
    return cat("tokenizer: expected a pair of adjacent bytes that occurs ", least, " times, got none in ", all.words, " words");
  });
  learned_bpe out;
  out.vocab_size = static_cast<dim>(n) + 514;
  out.missing = static_cast<dim>(wanted - n);
  out.captions = all.captions;
  out.words = all.words;
  out.distinct_words = all.counts.size();
  out.bytes = all.bytes;
  out.tokens = learner.tokens();
  std::vector<std::string> names(state_->bytes->symbols.begin(), state_->bytes->symbols.begin() + 512);
  out.merges = "#version: 0.2\n";
  for (const auto& m : learner.merges()) {
    const auto& left = names[static_cast<std::size_t>(m.left)];
    const auto& right = names[static_cast<std::size_t>(m.right)];
    out.merges += cat(left, " ", right, "\n");
    names.push_back(left + right);
  }
  return out;
}

CLIPX_INLINE void write_tokenizer(const std::string& folder, const learned_bpe& learned) {
  namespace fs = std::filesystem;
  std::error_code none;
  const folder_lock alone(folder);
  const auto in = [&](const std::string& name) { return (fs::path(folder) / name).string(); };
  for (auto* other : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"})
    expect(!fs::exists(in(other), none), [&] {
      return cat(folder, ": holds a ", other, ", which readers take before or with vocab.json: expected another folder");
    });
  const auto made = learned.tokenizer();
  const auto lines =
      std::string_view(learned.merges).substr(0, learned.merges.size() - 1);  // open_clip counts an empty line as a merge
  write_file(in(cat("bpe_", learned.vocab_size, ".txt.gz")), detail::gzip(lines));
  write_file(in("merges.txt"), learned.merges);
  write_file(in("vocab.json"), made.vocab_text());
}

}  // namespace clipx
