// Definitions of loader.hpp.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "../core/error.hpp"
#include "../image/decode.hpp"
#include "../image/preprocess.hpp"
#include "loader.hpp"
#include "pairs-inl.hpp"

namespace clipx {
namespace detail {

/// Limit of the shuffle buffer; draws::below takes at most 2^32.
inline constexpr std::size_t max_shuffle = 100'000'000;

inline double seconds_now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// A sample in progress: read in order, decoded in any order, put into a batch in order.
struct pair_slot {
  enum state { empty, busy, good, bad, epoch_end } now = empty;
  raw_pair raw;
  std::uint64_t epoch = 0, place = 0;
  std::vector<std::uint8_t> pixels;  // (n n, 3)
  std::string key, caption, problem;
  error_kind kind = error_kind::damaged;  // of the problem
  bool unreadable = false;                // why it is none: it is damaged, and not because a file or a caption is not there
  std::vector<std::int32_t> ids;          // of the caption
};

/// What a thread keeps from one image to the next.
struct pair_worker {
  image img;
  resize_scratch scratch;
  std::vector<std::string> captions;
  std::vector<std::byte> text_bytes, image_bytes;                       // of a shard's sample
  double read = 0, caption = 0, tokenize = 0, decode = 0, augment = 0;  // seconds spent on this sample
};

/// What a call for the caption gives. Where there is no such file or field, the image is one without a caption.
template <class Call>
auto unless_absent(pair_slot& s, Call&& call) {
  try {
    return call();
  } catch (const error& e) {
    s.unreadable = e.kind() != error_kind::not_found;
    throw;
  }
}

/// A slot's sample to pixels and a caption. Errors: whatever makes it a bad one.
inline void prepare_pair(const loader_config& c, pair_slot& s, pair_worker& w) {
  const raw_pair& raw = s.raw;
  s.unreadable = raw.problem.empty() || raw.unreadable;
  if (!raw.problem.empty()) fail(raw.kind, cat(raw.name(), ": ", raw.problem));
  const std::string name = raw.name();
  const draws draw(c.seed, s.epoch, s.place, 'a');
  double at = seconds_now();
  const auto lap = [&](double& sum) {
    const double then = std::exchange(at, seconds_now());
    sum += at - then;
  };
  std::string_view text = raw.caption;
  const auto text_file = unless_absent(s, [&] { return raw.text_path.empty() ? mapped_file() : mapped_file::open(raw.text_path); });
  if (raw.image_path.empty() || !raw.text_path.empty()) {
    const std::span<const std::byte> bytes = raw.text_path.empty() ? raw.shard->read(raw.text, w.text_bytes) : text_file.bytes();
    text = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  w.captions.clear();
  if (raw.json) unless_absent(s, [&] { json_captions(text, name, c.caption_field, w.captions); });
  else if (const auto one = caption_of(text); !one.empty()) w.captions.emplace_back(one);
  s.unreadable = !w.captions.empty();
  expect(s.unreadable, error_kind::damaged, [&] { return cat(name, ": ", no_caption); });
  s.key = raw.key;
  s.caption = std::move(w.captions[c.draw_captions ? draw.below(64, w.captions.size()) : 0]);
  lap(w.caption);
  s.ids.clear();
  if (c.text) c.text->append(s.caption, s.ids);
  lap(w.tokenize);
  const auto image_file = raw.image_path.empty() ? mapped_file() : mapped_file::open(raw.image_path);
  const std::span<const std::byte> img =
      raw.image_path.empty() ? raw.shard->read(raw.img, w.image_bytes) : std::span<const std::byte>(image_file.bytes());
  lap(w.read);
  w.img = decode_image(img, name, std::move(w.img), c.preprocess.decode);
  image_file.expect_whole();
  lap(w.decode);
  if (c.augment) {
    if (w.img.mode != pixel_mode::rgb) w.img = to_rgb(w.img);
    const auto plan = plan_augment(*c.augment, w.img.width, w.img.height, draw);
    augment(w.img, plan, c.preprocess.size, c.preprocess.interpolation, s.pixels.data(), w.scratch, c.loops);
  } else {
    try {
      const image out = to_pixels(w.img, c.preprocess, c.loops);
      std::copy(out.data.begin(), out.data.end(), s.pixels.begin());
    } catch (const error& e) { throw e.in(name); }
  }
  lap(w.augment);
}

/// The threads, starting from a position. Two tasks are done in order and by one thread at a time, whichever is free: reading
/// the next sample, and putting the oldest one into its batch.
class pair_pipeline {
 public:
  pair_pipeline(const loader_config& c, const pair_sources& sources, const loader_position& from, loader_report& report)
      : config_(c), sources_(sources), report_(report), taking_at_(from), batch_(from.batch), whole_epoch_(from.place == 0) {
    taken_all_ = c.epochs != 0 && from.epoch >= c.epochs;
    const auto threads = c.threads > 0 ? static_cast<std::size_t>(c.threads) : std::max(1u, std::thread::hardware_concurrency());
    slots_.resize(16 * threads);
    for (auto& s : slots_) s.pixels.resize(image_bytes());
    free_.resize(static_cast<std::size_t>(c.prefetch) + 1);
    try {
      for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
    } catch (const std::exception& e) {  // no more threads can be started: fewer do
      expect(!threads_.empty(), error_kind::io, [&] { return cat("loader: the system grants no thread: ", e.what()); });
    }
  }
  ~pair_pipeline() { stop(); }
  pair_pipeline(const pair_pipeline&) = delete;

  /// Sets `out` to the next batch, or returns false at the end of an epoch; `position` is the state after it.
  bool next(pair_batch& out, loader_position& position, observer& watch) {
    std::unique_lock lock(mutex_);
    const auto due = [&] { return !ready_.empty() || failure_ || (taken_all_ && put_ == taken_); };
    while (!to_consumer_.wait_for(lock, std::chrono::milliseconds(100), due)) {
      lock.unlock();
      expect(!watch.cancelled(), error_kind::cancelled, "loader: cancelled while waiting for a batch");
      lock.lock();
    }
    if (ready_.empty()) {
      if (failure_) std::rethrow_exception(failure_);
      return false;
    }
    auto [batch, skipped, kind, samples] = std::move(ready_.front());
    ready_.pop_front();
    report_.skipped.add(skipped);
    position = batch.next;
    if (batch.captions.empty()) {
      report_.epoch_samples = samples;
      return false;
    }
    report_.batches += 1;
    report_.pairs += batch.captions.size();
    std::swap(out, batch);
    free_.push_back(std::move(batch));
    to_workers_.notify_one();
    return true;
  }
  loader_report report() const {
    const std::lock_guard lock(mutex_);
    return report_;
  }

 private:
  /// A batch that waits for the consumer, with the samples skipped before it; one without captions marks the end of an epoch.
  struct ready {
    pair_batch batch;
    left_out skipped;
    error_kind kind = error_kind::invalid_argument;  // of the first problem
    std::uint64_t samples = 0;                       // of an epoch that has ended
  };

  std::size_t image_bytes() const { return static_cast<std::size_t>(3 * config_.preprocess.size.area()); }
  pair_slot& slot(std::uint64_t number) { return slots_[number % slots_.size()]; }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    to_workers_.notify_all();
    for (auto& t : threads_) t.join();
    threads_.clear();
  }

  bool can_take() const { return !taking_ && !taken_all_ && taken_ - put_ < slots_.size(); }
  bool can_put() {
    if (putting_ || put_ == taken_ || slot(put_).now == pair_slot::busy) return false;
    return slot(put_).now != pair_slot::good || filled_ > 0 || !free_.empty();
  }

  void work() {
    pair_worker mine;
    std::unique_lock lock(mutex_);
    try {
      for (;;) {
        to_workers_.wait(lock, [&] { return stopping_ || can_put() || can_take(); });
        if (stopping_) return;
        if (can_put()) put(lock);
        else take(lock, mine);
      }
    } catch (...) {
      if (!lock) lock.lock();
      if (!failure_) failure_ = std::current_exception();
      stopping_ = true;
      to_workers_.notify_all();
      to_consumer_.notify_all();
    }
  }

  /// Reads the next sample and decodes it.
  void take(std::unique_lock<std::mutex>& lock, pair_worker& mine) {
    auto& s = slot(taken_);
    taking_ = true;
    lock.unlock();
    mine.read = mine.caption = mine.tokenize = mine.decode = mine.augment = 0;
    const double start = seconds_now();
    if (!stream_) open_stream();
    const bool there = stream_->next(s.raw);
    const auto beside = stream_->beside();
    s.epoch = taking_at_.epoch;
    s.place = taking_at_.place++;
    if (!there) {
      stream_.reset();
      taking_at_ = {s.epoch + 1, 0, 0};
    }
    mine.read = seconds_now() - start;
    lock.lock();
    report_.skipped.add(beside);
    if (config_.strict) beside.expect_none();
    s.now = there ? pair_slot::busy : pair_slot::epoch_end;
    taken_all_ = config_.epochs != 0 && taking_at_.epoch >= config_.epochs;
    ++taken_;
    taking_ = false;
    to_workers_.notify_one();  // to read the next sample
    if (!there) return;
    lock.unlock();
    s.problem.clear();
    try {
      prepare_pair(config_, s, mine);
    } catch (const error& e) {
      s.problem = e.what();
      s.kind = e.kind();
    }
    s.raw = {};  // with the last sample of a shard, this also closes it
    lock.lock();
    s.now = s.problem.empty() ? pair_slot::good : pair_slot::bad;
    report_.read_seconds += mine.read;
    report_.caption_seconds += mine.caption;
    report_.tokenize_seconds += mine.tokenize;
    report_.decode_seconds += mine.decode;
    report_.augment_seconds += mine.augment;
  }
  void open_stream() {
    stream_.emplace(sources_, taking_at_.epoch);
    raw_pair skipped;
    for (std::uint64_t i = 0; i < taking_at_.place && !stopping_; ++i)
      expect(stream_->next(skipped), error_kind::mismatch, [&] {
        return cat("loader: expected to go on after ", taking_at_.place, " samples of epoch ", taking_at_.epoch, ", it has ", i);
      });
  }

  /// Puts the oldest sample into its batch, or drops it.
  void put(std::unique_lock<std::mutex>& lock) {
    auto& s = slot(put_);
    if (s.now == pair_slot::good) {
      if (filled_ == 0) {
        filling_.batch = std::move(free_.back());
        free_.pop_back();
      }
      putting_ = true;
      lock.unlock();
      auto& b = filling_.batch;
      const auto rows = static_cast<std::size_t>(config_.batch);
      b.pixels.resize(rows * image_bytes());
      b.captions.resize(rows);
      b.keys.resize(rows);
      std::copy(s.pixels.begin(), s.pixels.end(), b.pixels.begin() + static_cast<std::ptrdiff_t>(filled_ * image_bytes()));
      b.captions[filled_] = s.caption;
      b.keys[filled_] = s.key;
      if (filled_ == 0) b.texts.clear();
      if (config_.text) b.texts.append(s.ids, config_.text_side);
      b.next = {s.epoch, s.place + 1, batch_ + 1};
      lock.lock();
      putting_ = false;
      if (++filled_ == rows) batch_done();
    } else if (s.now == pair_slot::bad) {
      expect(!config_.strict, s.kind, s.problem);
      if (filling_.skipped.count == 0) filling_.kind = s.kind;
      filling_.skipped.add_problem(s.problem, s.unreadable);
    } else {
      epoch_done(s.epoch, s.place);
    }
    s.now = pair_slot::empty;
    ++put_;
    to_workers_.notify_one();
  }
  void batch_done() {
    ++batch_;
    ready_.push_back(std::exchange(filling_, {}));
    filled_ = 0;
    to_consumer_.notify_one();
  }
  void epoch_done(std::uint64_t epoch, std::uint64_t samples) {
    const auto usable = batch_ * static_cast<std::uint64_t>(config_.batch) + filled_;
    if (filled_ > 0 && config_.keep_last) {
      auto& b = filling_.batch;
      b.pixels.resize(filled_ * image_bytes());
      b.captions.resize(filled_);
      b.keys.resize(filled_);
      batch_done();
    } else if (filled_ > 0) {
      free_.push_back(std::exchange(filling_.batch, {}));
      filled_ = 0;
    }
    if (whole_epoch_ && batch_ == 0) {
      std::string why = cat("loader: expected ", config_.keep_last ? dim{1} : config_.batch,
                            " or more samples that can be used, got ", usable, " and ", filling_.skipped.count, " others");
      for (auto& p : filling_.skipped.first) why += cat("\n  ", p);
      fail(filling_.kind, why);
    }
    filling_.batch.next = {epoch + 1, 0, 0};
    filling_.batch.captions.clear();
    filling_.samples = samples;
    batch_ = 0;
    whole_epoch_ = true;
    ready_.push_back(std::exchange(filling_, {}));
    to_consumer_.notify_one();
  }

  const loader_config& config_;
  const pair_sources& sources_;
  mutable std::mutex mutex_;  // of everything below, except what only the reading or the filling thread uses
  std::condition_variable to_workers_, to_consumer_;
  std::vector<std::thread> threads_;
  loader_report& report_;
  std::exception_ptr failure_;
  std::atomic<bool> stopping_{false};

  std::vector<pair_slot> slots_;  // sample i of the run is in slot i mod size
  std::uint64_t taken_ = 0, put_ = 0;
  bool taking_ = false, putting_ = false, taken_all_ = false;

  std::optional<pair_stream> stream_;  // used by the thread that reads
  loader_position taking_at_;

  ready filling_;  // used by the thread that fills batches
  std::size_t filled_ = 0;
  std::uint64_t batch_;      // index in the epoch
  bool whole_epoch_;         // read from its beginning
  std::deque<ready> ready_;  // batches for the consumer
  std::vector<pair_batch> free_;
};

}  // namespace detail

struct loader::state {
  loader_config config;
  detail::pair_sources sources;
  loader_position position;
  loader_report report;
  double waited = 0, began = 0;  // time at which the first batch was requested
  std::unique_ptr<detail::pair_pipeline> pipeline;

  explicit state(loader_config c) : config(std::move(c)), sources(config) { report.skipped = sources.skipped(); }
};

CLIPX_INLINE loader::loader(loader_config c) {
  expect(c.batch > 0 && c.prefetch > 0 && c.preprocess.size.shorter() > 0 && c.threads >= 0, [&] {
    return cat("loader: expected batch, prefetch and size above 0, and threads of 0 or more; got ", c.batch, ", ", c.prefetch, ", ",
               text_of(c.preprocess.size), ", ", c.threads);
  });
  expect(c.shuffle <= detail::max_shuffle,
         [&] { return cat("loader: shuffle: expected at most ", detail::max_shuffle, ", got ", c.shuffle); });
  constexpr dim most_bytes = dim{1} << 40;  // of the batches that are prepared
  constexpr dim most_threads = 4096, most_prefetch = 1024;
  expect(c.threads <= most_threads && c.prefetch <= most_prefetch && c.preprocess.size.longer() <= longest_side, [&] {
    return cat("loader: expected at most ", most_threads, " threads, a prefetch of ", most_prefetch, " and a size of ",
               longest_side, ", got ", c.threads, ", ", c.prefetch, " and ", text_of(c.preprocess.size));
  });
  const dim most = most_bytes / (3 * c.preprocess.size.area() * (c.prefetch + 1));
  expect(c.batch <= most, [&] {
    return cat("loader: batch: expected at most ", most, " images of ", text_of(c.preprocess.size), " pixels, of which ",
               c.prefetch + 1, " batches are 1 TiB, got ", c.batch);
  });
  expect(!c.held_out || c.hold_out > 1, "loader: held_out: expected hold_out of 2 or more, of which one sample is held out");
  if (c.augment) check_augmentation(*c.augment);
  state_ = std::make_unique<state>(std::move(c));
}
CLIPX_INLINE loader::~loader() = default;
CLIPX_INLINE loader::loader(loader&&) noexcept = default;
CLIPX_INLINE loader& loader::operator=(loader&&) noexcept = default;

CLIPX_INLINE bool loader::next(pair_batch& batch, observer& watch) {
  auto& s = *state_;
  const double asked = detail::seconds_now();
  if (s.began == 0) s.began = asked;
  if (!s.pipeline) s.pipeline = std::make_unique<detail::pair_pipeline>(s.config, s.sources, s.position, s.report);
  const bool there = s.pipeline->next(batch, s.position, watch);
  s.waited += detail::seconds_now() - asked;
  return there;
}
CLIPX_INLINE void loader::seek(const loader_position& position) {
  state_->pipeline.reset();
  state_->position = position;
}
CLIPX_INLINE const loader_position& loader::position() const { return state_->position; }
CLIPX_INLINE const loader_config& loader::config() const { return state_->config; }
CLIPX_INLINE loader_report loader::report() const {
  auto out = state_->pipeline ? state_->pipeline->report() : state_->report;
  out.waited = state_->waited;
  if (state_->began != 0) out.seconds = detail::seconds_now() - state_->began;
  return out;
}

CLIPX_INLINE pair_count count_pairs(const loader_config& config, left_out& skipped, observer& watch) {
  loader_config c = config;
  c.shuffle = 0;
  const detail::pair_sources sources(c);
  skipped.add(sources.skipped());
  detail::pair_stream stream(sources, 0);
  pair_count n;
  for (detail::raw_pair p; stream.next(p);) {
    if (n.samples++ % 256 == 0) clipx::report(watch, "samples", n.samples - 1, 0);
    if (p.problem.empty()) ++n.pairs;
    else skipped.add_problem(cat(p.name(), ": ", p.problem), p.unreadable);
  }
  skipped.add(stream.beside());
  return n;
}
CLIPX_INLINE std::uint64_t count_pairs(const loader_config& config) {
  left_out skipped;
  return count_pairs(config, skipped).pairs;
}

CLIPX_INLINE bool has_pair(const loader_config& config) {
  loader_config c = config;
  c.shuffle = 0;
  const detail::pair_sources sources(c);
  detail::pair_stream stream(sources, 0);
  detail::raw_pair p;
  while (stream.next(p))
    if (p.problem.empty()) return true;
  return false;
}

}  // namespace clipx
