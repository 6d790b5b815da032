// Training pairs: from shards, tables or folders to batches of pixels and captions, in an order that a seed decides. Threads decode
// ahead; how many there are changes no byte of any batch.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../core/packed_texts.hpp"
#include "../core/resampler.hpp"
#include "../image/augment.hpp"
#include "../image/preprocess.hpp"
#include "../text/bpe.hpp"
#include "left_out.hpp"

namespace clipx {

struct loader_config {
  /// Each entry is a pattern (expand_braces) of paths: a tar shard; a .csv or .tsv table; a folder of shards (list_shards), or else
  /// of images, with the caption in a .txt of the same name. A .txt is one caption, in a shard too, as for open_clip: its lines are
  /// not captions of their own, as they are for retrieval (image_dataset).
  std::vector<std::string> data;
  /// The caption is this field of the JSON beside the image, a text or a list of them; "": it is the .txt.
  std::string caption_field;
  /// A sample that cannot be used is an error.
  bool strict = false;
  /// Of several captions one is drawn in each epoch; false: the first is taken.
  bool draw_captions = true;
  /// Captions are tokenized with it by the threads that decode, and packed for a text tower of this configuration:
  /// pair_batch::texts. Without it there are captions only.
  std::optional<tokenizer> text;
  text_config text_side;
  /// Tables, as open_clip names their columns. Fields may be quoted (RFC 4180); paths begin at the table's folder.
  std::string image_column = "filepath", caption_column = "title";
  char separator = '\0';  // '\0': a comma in .csv, a tab in .tsv

  dim batch = 256;
  bool keep_last = false;    // an epoch's last, incomplete batch
  std::uint64_t epochs = 0;  // 0: no end
  std::uint64_t seed = 0;
  /// Shards (rows, files) come in an order drawn for each epoch; of that stream so many samples wait, and one of them is drawn each
  /// time. 0: everything in its own order.
  std::size_t shuffle = 5000;
  /// One sample in so many, by a hash of its key alone, is held out: only the others come. With held_out only those come. 0: none.
  std::uint64_t hold_out = 0;
  bool held_out = false;

  /// Images are made RGB and then augmented to preprocess.size, with its filter. Without augmentation all of preprocess holds, as
  /// in evaluation.
  std::optional<augmentation> augment = augmentation{};
  preprocess_config preprocess;
  resampler loops = plain_resampler();

  int threads = 0;   // 0: as many as the machine has
  dim prefetch = 2;  // batches that are ready before they are asked for
};

/// Where a loader stands: it goes on from there exactly as if it had never stopped.
struct loader_position {
  std::uint64_t epoch = 0;
  std::uint64_t place = 0;  // samples of the epoch's order that have been taken, unusable ones counted
  std::uint64_t batch = 0;  // batches of the epoch that have been given out
  bool operator==(const loader_position&) const = default;
};

struct pair_batch {
  std::vector<std::uint8_t> pixels;   // (N, n n 3), 8-bit RGB
  std::vector<std::string> captions;  // N
  packed_texts texts;                 // N, as a trainer's step takes them; empty where loader_config::text is not set
  std::vector<std::string> keys;      // N: of a shard's sample, or the image's path as the table or the folder has it
  loader_position next;               // where to go on after this batch
};

/// Since the loader was made. Seconds of work are summed over threads.
struct loader_report {
  std::uint64_t batches = 0, pairs = 0;
  left_out skipped;  // samples without an image or a caption, damaged ones, rests of damaged shards, in each epoch again
  double seconds = 0, waited = 0;  // since the first batch was asked for, and in next()
  double read_seconds = 0, caption_seconds = 0, tokenize_seconds = 0, decode_seconds = 0, augment_seconds = 0;
  double share_waited() const { return seconds > 0 ? waited / seconds : 0; }
};

/// Batches, epoch after epoch. A sample that cannot be used is left out, and its batch is filled with the one after it.
///
/// All that is drawn for a sample (augment_plan, which caption) depends on the seed, the epoch and its place in the epoch's order.
/// One thread at a time reads samples in order (headers, file names; bytes stay in the mapped file), all of them decode, one at a
/// time puts what is done into batches, in order. A loader is used by one thread.
class loader {
 public:
  /// A path that is not there and a folder without images are left out and counted in report(). Errors: no data, no path that can
  /// be read, a table without its columns, sizes below 1, a bad augmentation.
  explicit loader(loader_config config);
  ~loader();
  loader(loader&&) noexcept;
  loader& operator=(loader&&) noexcept;

  /// The next batch, whose memory is used again: give the same `batch` each time. False where an epoch ends: the call after that
  /// begins the next epoch, if there is one. Errors: an epoch without a sample that can be used, or too few for a batch, or without
  /// the place that seek named; whatever a thread met that is not a damaged sample.
  bool next(pair_batch& batch);

  /// Goes on from there with the next call. Samples before it are read but not decoded.
  void seek(const loader_position& position);
  /// After the last batch, or the epoch's end, that was given out.
  const loader_position& position() const;

  loader_report report() const;
  const loader_config& config() const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

/// Samples of an epoch that have an image and a caption's file or field beside them: reads every shard's headers, decodes nothing.
/// `skipped` gets what is known to be left out.
std::uint64_t count_pairs(const loader_config& config, left_out& skipped);
std::uint64_t count_pairs(const loader_config& config);
/// Whether there is one: reads until it is found.
bool has_pair(const loader_config& config);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "loader-inl.hpp"
#endif
