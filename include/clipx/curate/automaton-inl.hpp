#pragma once
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bit>
#include <new>
#include <optional>
#include <utility>

#include "../core/error.hpp"
#include "automaton.hpp"

namespace clipx {
namespace detail {

/// A state's word: base << 33 | far << 32 | output << 9 | used << 8 | label.
namespace state_word {
inline constexpr std::uint64_t used = 256, far = std::uint64_t(1) << 32;  // far: its failure link does not lead to the root
inline constexpr std::uint32_t most_outputs = (1u << 23) - 1;
constexpr std::uint32_t base(std::uint64_t word) { return static_cast<std::uint32_t>(word >> 33); }
constexpr std::uint32_t output(std::uint64_t word) { return static_cast<std::uint32_t>(word) >> 9; }  // 0: none
constexpr bool is_child(std::uint64_t word, std::uint8_t c) { return (word & 511) == (used | c); }
}  // namespace state_word

/// Patterns sorted by bytes, concatenated.
class sorted_patterns {
 public:
  explicit sorted_patterns(std::span<const std::string> patterns) {
    struct item {
      std::uint64_t head;  // the first eight bytes as a number with the same order
      std::uint32_t id;
    };
    std::vector<item> items;
    items.reserve(patterns.size());
    std::size_t total = 0;
    for (auto& p : patterns) {
      std::uint64_t head = 0;
      for (std::size_t i = 0; i < 8; ++i) head = head << 8 | (i < p.size() ? static_cast<unsigned char>(p[i]) : 0u);
      items.push_back({head, static_cast<std::uint32_t>(items.size())});
      total += p.size();
    }
    std::sort(items.begin(), items.end(), [&](const item& a, const item& b) {
      if (a.head != b.head) return a.head < b.head;
      const int order = patterns[a.id].compare(patterns[b.id]);
      return order != 0 ? order < 0 : a.id < b.id;
    });
    bytes_.reserve(total);
    from_.reserve(items.size() + 1);
    ids_.reserve(items.size());
    for (auto& one : items) {
      from_.push_back(bytes_.size());
      ids_.push_back(one.id);
      bytes_ += patterns[one.id];
    }
    from_.push_back(bytes_.size());
  }
  std::uint32_t size() const { return static_cast<std::uint32_t>(ids_.size()); }
  std::uint32_t id(std::size_t i) const { return ids_[i]; }
  std::size_t length(std::size_t i) const { return from_[i + 1] - from_[i]; }
  std::uint8_t byte(std::size_t i, std::size_t depth) const { return static_cast<std::uint8_t>(bytes_[from_[i] + depth]); }

 private:
  std::string bytes_;
  std::vector<std::size_t> from_;
  std::vector<std::uint32_t> ids_;
};

/// The trie under construction: nodes in order of depth, the children of a node adjacent and sorted by label.
struct pattern_trie {
  struct node {
    std::uint32_t first_child = 0, low = 0, high = 0;  // patterns [low, high) of the sorted ones begin with it
    std::uint32_t ends = 0;                            // how many of them, the first ones, end at it
    std::uint16_t children = 0;
    std::uint8_t label = 0;
  };
  sorted_patterns patterns;
  std::vector<node> nodes;
  std::vector<std::size_t> level_from;  // the first node of each depth

  explicit pattern_trie(std::span<const std::string> given) : patterns(given) {
    nodes.push_back({0, 0, patterns.size(), 0, 0, 0});
    for (std::size_t from = 0, depth = 0; from < nodes.size(); ++depth) {
      level_from.push_back(from);
      const std::size_t to = nodes.size();
      for (std::size_t n = from; n < to; ++n) add_children(n, depth);
      expect(nodes.size() < std::size_t(1) << 31, [&] { return cat("automaton: expected at most 2^31 states, got more"); });
      from = to;
    }
  }

 private:
  void add_children(std::size_t n, std::size_t depth) {
    const auto [low, high] = std::pair(nodes[n].low, nodes[n].high);
    auto at = low;
    while (at < high && patterns.length(at) == depth) ++at;
    nodes[n].ends = at - low;
    nodes[n].first_child = static_cast<std::uint32_t>(nodes.size());
    while (at < high) {
      const auto c = patterns.byte(at, depth);
      const auto first = at;
      while (at < high && patterns.byte(at, depth) == c) ++at;
      nodes.push_back({0, first, at, 0, 0, c});
      ++nodes[n].children;
    }
  }
};

/// Free places of the double array in blocks of 256. A block in which many searches have failed is closed.
class place_finder {
 public:
  std::size_t places() const { return 256 * blocks_.size(); }

  /// Finds and reserves a base, near `near`, whose places for all of these labels are free.
  std::uint32_t take(std::span<const pattern_trie::node> children, std::uint32_t near) {
    if (!blocks_.empty())
      if (const auto base = fit(near >> 8, children, near & 255)) return *base;
    for (std::size_t i = 0; i < open_.size();) {
      const auto number = open_[i];
      if (number != near >> 8)
        if (const auto base = fit(number, children, 0)) return *base;
      if (blocks_[number].free_count == 0) open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(i));
      else ++i;
    }
    if (open_.size() == most_open) open_.erase(open_.begin());
    const auto number = static_cast<std::uint32_t>(blocks_.size());
    blocks_.emplace_back();
    open_.push_back(number);
    return *fit(number, children, 0);
  }

 private:
  static constexpr std::size_t most_open = 32;
  using bits = std::array<std::uint64_t, 4>;
  struct block {
    bits free{~0ull, ~0ull, ~0ull, ~0ull}, base_free = free;
    std::uint32_t free_count = 256;
  };
  static void drop(bits& b, std::uint32_t i) { b[i >> 6] &= ~(std::uint64_t(1) << (i & 63)); }
  /// Bit i ^ c of b as bit i.
  static bits xored(const bits& b, std::uint8_t c) {
    constexpr std::array<std::uint64_t, 6> low{0x5555555555555555u, 0x3333333333333333u, 0x0f0f0f0f0f0f0f0fu,
                                               0x00ff00ff00ff00ffu, 0x0000ffff0000ffffu, 0x00000000ffffffffu};
    bits out;
    for (unsigned w = 0; w < 4; ++w) out[w] = b[w ^ c >> 6];
    for (unsigned k = 0; k < 6; ++k)
      if (c >> k & 1)
        for (auto& word : out) word = (word & low[k]) << (1u << k) | (word >> (1u << k) & low[k]);
    return out;
  }
  /// The first set bit at `from` or later, wrapping around; nothing if there is none.
  static std::optional<std::uint32_t> first_from(const bits& b, std::uint32_t from) {
    for (std::uint32_t k = 0; k <= 4; ++k) {
      const std::uint32_t w = ((from >> 6) + k) & 3;
      auto word = b[w];
      if (k == 0) word &= ~0ull << (from & 63);
      if (word != 0) return w << 6 | static_cast<std::uint32_t>(std::countr_zero(word));
    }
    return {};
  }

  std::optional<std::uint32_t> fit(std::uint32_t number, std::span<const pattern_trie::node> children, std::uint32_t near) {
    auto& b = blocks_[number];
    if (b.free_count < children.size()) return {};
    bits bases = b.base_free;
    for (auto& c : children) {
      const bits free = xored(b.free, c.label);
      std::uint64_t any = 0;
      for (std::size_t w = 0; w < 4; ++w) any |= bases[w] &= free[w];
      if (any == 0) return {};
    }
    const std::uint32_t base = *first_from(xored(bases, children[0].label), near) ^ children[0].label;
    drop(b.base_free, base);
    for (auto& c : children) drop(b.free, base ^ c.label);
    b.free_count -= static_cast<std::uint32_t>(children.size());
    return number << 8 | base;
  }

  std::vector<block> blocks_;
  std::vector<std::uint32_t> open_;
};

/// Memory in large pages, if the system has them: a text visits states all over it.
template <class T>
class paged_array {
 public:
  paged_array() = default;
  explicit paged_array(std::size_t n) : size_(n) {
    if (n == 0) return;
    void* p = ::mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    ::madvise(p, bytes(), MADV_HUGEPAGE);
    data_ = static_cast<T*>(p);
  }
  paged_array(const paged_array&) = delete;
  paged_array& operator=(const paged_array&) = delete;
  ~paged_array() {
    if (data_) ::munmap(data_, bytes());
  }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return (size_ * sizeof(T) + (2 << 20) - 1) / (2 << 20) * (2 << 20); }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }
  const T* data() const { return data_; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

/// The place of each trie node in the double array, and the base of its children.
struct trie_places {
  std::vector<std::uint32_t> place, base;
  std::size_t size = 0;

  explicit trie_places(const pattern_trie& trie) : place(trie.nodes.size()), base(trie.nodes.size()) {
    constexpr std::size_t shallow = 3;  // number of depths that are laid out in order of depth
    const auto& levels = trie.level_from;
    const std::size_t deep = shallow < levels.size() ? levels[shallow] : trie.nodes.size();
    place_finder finder;
    for (std::size_t n = 0; n < deep; ++n) set_children(trie, finder, static_cast<std::uint32_t>(n));
    const std::size_t deeper = shallow + 1 < levels.size() ? levels[shallow + 1] : trie.nodes.size();
    std::vector<std::uint32_t> stack;
    for (std::size_t n = deep; n < deeper; ++n) {
      stack.push_back(static_cast<std::uint32_t>(n));
      while (!stack.empty()) {
        const auto now = stack.back();
        stack.pop_back();
        set_children(trie, finder, now);
        for (std::uint32_t c = trie.nodes[now].children; c-- > 0;) stack.push_back(trie.nodes[now].first_child + c);
      }
    }
    size = std::max<std::size_t>(finder.places(), 256);  // the transitions of the root, even if there are none
  }

 private:
  void set_children(const pattern_trie& trie, place_finder& finder, std::uint32_t n) {
    const auto& node = trie.nodes[n];
    if (node.children == 0) return;
    const auto children = std::span(trie.nodes).subspan(node.first_child, node.children);
    base[n] = finder.take(children, place[n]);
    for (std::uint32_t c = 0; c < node.children; ++c) place[node.first_child + c] = base[n] ^ children[c].label;
  }
};

/// Transitions between states.
struct state_walker {
  const std::uint64_t* words;
  const std::uint32_t* failures;
  const std::uint64_t* root;        // for each byte, the root's successor; the root itself if there is none
  const std::uint32_t* root_place;  // and its place

  /// The transition from the state `word` at `place` by byte c: returns the next state's word and updates `place`.
  std::uint64_t step(std::uint64_t word, std::uint32_t& place, std::uint8_t c) const {
    for (;;) {
      const std::uint32_t next = state_word::base(word) ^ c;
      const std::uint64_t found = words[next];
      if (state_word::is_child(found, c)) {
        place = next;
        return found;
      }
      if (!(word & state_word::far)) {
        place = root_place[c];
        return root[c];
      }
      place = failures[place];
      word = words[place];
    }
  }
};

}  // namespace detail

struct automaton::tables {
  struct output {
    std::uint32_t id, next;
  };
  detail::paged_array<std::uint64_t> words;
  detail::paged_array<std::uint32_t> failures;
  std::vector<output> outputs;  // from index 1; next: 0 at the end
  std::array<std::uint64_t, 256> root;
  std::array<std::uint32_t, 256> root_place;
  std::uint64_t root_word = 0;

  tables(const detail::pattern_trie& trie, const detail::trie_places& places)
      : words(places.size), failures(places.size), outputs(1, output{0, 0}) {
    using namespace detail::state_word;
    root_word = static_cast<std::uint64_t>(places.base[0]) << 33;
    root.fill(root_word);
    root_place.fill(0);
    outputs.reserve(trie.patterns.size() + 1);
    std::vector<std::uint32_t> parents(trie.nodes.size());
    for (std::uint32_t n = 0; n < trie.nodes.size(); ++n) {
      const auto& node = trie.nodes[n];
      for (std::uint32_t c = 0; c < node.children; ++c) parents[node.first_child + c] = n;
      if (n > 0) set_state(trie, places, n, parents[n]);
    }
  }

  /// Called in trie order: all states of smaller depth, and so the target of the failure link, have been set.
  void set_state(const detail::pattern_trie& trie, const detail::trie_places& places, std::uint32_t n, std::uint32_t parent) {
    using namespace detail::state_word;
    const auto& node = trie.nodes[n];
    std::uint64_t failure_word = root_word;
    std::uint32_t failure = 0;  // its place, not used if it is the root
    if (parent != 0) {
      const auto at = places.place[parent];
      if (words[at] & far) {
        failure = failures[at];
        const detail::state_walker walk{words.data(), failures.data(), root.data(), root_place.data()};
        failure_word = walk.step(words[failure], failure, node.label);
      } else {
        failure_word = root[node.label];
        failure = root_place[node.label];
      }
    }
    const bool to_root = failure_word == root_word;
    std::uint32_t first = output_of(failure_word);
    for (auto end = node.ends; end-- > 0;) {
      outputs.push_back({trie.patterns.id(node.low + end), first});
      first = static_cast<std::uint32_t>(outputs.size() - 1);
    }
    const auto at = places.place[n];
    std::uint64_t word = used | node.label | static_cast<std::uint64_t>(first) << 9;
    if (node.children > 0) {
      word |= static_cast<std::uint64_t>(places.base[n]) << 33 | (to_root ? 0 : far);
      failures[at] = failure;
    } else {  // transitions are those of its failure link
      word |= failure_word >> 32 << 32;
      failures[at] = to_root ? 0 : failures[failure];
    }
    words[at] = word;
    if (parent != 0) return;
    root[node.label] = word;
    root_place[node.label] = at;
  }
  static std::uint32_t output_of(std::uint64_t word) { return detail::state_word::output(word); }
};

CLIPX_INLINE automaton::automaton(std::span<const std::string> patterns) {
  expect(patterns.size() <= detail::state_word::most_outputs,
         [&] { return cat("automaton: expected at most ", detail::state_word::most_outputs, " patterns, got ", patterns.size()); });
  for (std::size_t i = 0; i < patterns.size(); ++i)
    expect(!patterns[i].empty(), [&] { return cat("automaton: pattern ", i, " is empty"); });
  const detail::pattern_trie trie(patterns);
  const detail::trie_places places(trie);
  tables_ = std::make_unique<tables>(trie, places);
}
CLIPX_INLINE automaton::~automaton() = default;
CLIPX_INLINE automaton::automaton(automaton&&) noexcept = default;
CLIPX_INLINE automaton& automaton::operator=(automaton&&) noexcept = default;

CLIPX_INLINE void automaton::match(std::string_view text, std::vector<std::uint32_t>& ids) const {
  const tables& t = *tables_;
  const detail::state_walker walk{t.words.data(), t.failures.data(), t.root.data(), t.root_place.data()};
  ids.clear();
  std::uint64_t word = t.root_word;
  std::uint32_t place = 0;
  for (const char ch : text) {
    word = walk.step(word, place, static_cast<std::uint8_t>(ch));
    for (auto o = detail::state_word::output(word); o != 0; o = t.outputs[o].next) ids.push_back(t.outputs[o].id);
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
}

CLIPX_INLINE std::size_t automaton::states() const { return tables_->words.size(); }
CLIPX_INLINE std::size_t automaton::bytes() const {
  return tables_->words.size() * (sizeof(std::uint64_t) + sizeof(std::uint32_t)) + tables_->outputs.size() * sizeof(tables::output);
}

}  // namespace clipx
