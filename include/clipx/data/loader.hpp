// Training pairs: from shards, tables or folders to batches of pixels and captions, in an order determined by a seed. Threads
// decode ahead; their number affects no byte of any batch.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../core/observer.hpp"
#include "../core/packed_texts.hpp"
#include "../core/resampler.hpp"
#include "../image/augment.hpp"
#include "../image/preprocess.hpp"
#include "../text/bpe.hpp"
#include "left_out.hpp"

namespace clipx {

/// The data of a loader and what becomes of it.
struct loader_config {
  /// Each entry is a pattern (expand_braces) of paths: a tar shard; a .csv or .tsv table; a folder of shards (list_shards), or else
  /// of images, with the caption in a .txt of the same name. A .txt is one caption, in a shard too, as for open_clip: its lines are
  /// not captions of their own, as they are for retrieval (image_dataset).
  std::vector<std::string> data{};
  /// The caption is this field of the JSON beside the image, a text or a list of texts; "": it is in the .txt.
  std::string caption_field{};
  /// A sample that cannot be used is an error.
  bool strict = false;
  /// Of several captions, one is drawn in each epoch; false: the first is used.
  bool draw_captions = true;
  /// Tokenizes captions on the decoding threads and packs them for a text tower with this configuration, into
  /// pair_batch::texts. If not set, batches have captions only.
  std::optional<tokenizer> text{};
  text_config text_side{};  // of that text tower
  /// Tables, with open_clip's names for their columns. Fields may be quoted (RFC 4180);
  /// paths are relative to the table's folder.
  std::string image_column = "filepath", caption_column = "title";
  char separator = '\0';  // '\0': a comma in .csv, a tab in .tsv

  dim batch = 256;           // pairs of a batch
  bool keep_last = false;    // an epoch's last, incomplete batch
  std::uint64_t epochs = 0;  // 0: no limit
  std::uint64_t seed = 0;    // of everything random
  /// Shards (rows, files) come in an order drawn for each epoch; the buffer holds this many samples of that stream, and the
  /// next sample is drawn from it. 0: everything in its original order.
  std::size_t shuffle = 5000;
  /// One in this many samples, chosen by a hash of its key alone, is held out: only the others are used. With held_out, only
  /// the held-out ones are used. 0: none.
  std::uint64_t hold_out = 0;
  bool held_out = false;  // which part is used

  /// Images are converted to RGB and augmented to preprocess.size, with its filter. Without augmentation, all of preprocess
  /// applies, as in evaluation.
  std::optional<augmentation> augment = augmentation{};
  preprocess_config preprocess{};       // as above
  resampler loops = plain_resampler();  // for resizing

  int threads = 0;   // 0: one for each processor
  dim prefetch = 2;  // number of batches prepared ahead
};

/// The state of a loader: from there it continues exactly as if it had never stopped.
struct loader_position {
  std::uint64_t epoch = 0;  // from 0
  std::uint64_t place = 0;  // number of samples read in the epoch's order, including unusable ones
  std::uint64_t batch = 0;  // number of batches of the epoch that next() has returned
  bool operator==(const loader_position&) const = default;
};

/// N images with their captions.
struct pair_batch {
  std::vector<std::uint8_t> pixels;   // (N, n n 3), 8-bit RGB
  std::vector<std::string> captions;  // N
  packed_texts texts;                 // N, as a trainer's step takes them; empty if loader_config::text is not set
  std::vector<std::string> keys;      // N: key of a shard's sample, or path of the image as in the table or the folder
  loader_position next;               // where to continue after this batch
};

/// Totals since the loader was made. Seconds of work are summed over threads.
struct loader_report {
  std::uint64_t batches = 0, pairs = 0;  // returned by next()
  std::uint64_t epoch_samples = 0;       // of the last epoch that next() ended: all of it, including unusable ones
  left_out skipped;  // samples without an image or a caption, damaged ones, rests of damaged shards, in each epoch again
  double seconds = 0, waited = 0;  // since the first batch was requested; time spent in next()
  double read_seconds = 0, caption_seconds = 0, tokenize_seconds = 0, decode_seconds = 0, augment_seconds = 0;  // work of each kind
  /// Fraction of the time that was spent in next().
  double share_waited() const { return seconds > 0 ? waited / seconds : 0; }
};

/// Batches, epoch after epoch. A sample that cannot be used is skipped, and the next one takes its place in the batch.
///
/// Everything random about a sample (augment_plan, which caption) depends on the seed, the epoch and the sample's index in the
/// epoch's order. One thread at a time reads samples in order (headers, file names), all threads read
/// their bytes and decode, and one at a time puts finished samples into batches, in order. A loader must be used by one thread.
class loader {
 public:
  /// A path that is not there and a folder without images are left out and counted in report(). Errors: no data, no path that can
  /// be read, a table without its columns, sizes below 1, a bad augmentation.
  explicit loader(loader_config config);
  ~loader();
  loader(loader&&) noexcept;
  loader& operator=(loader&&) noexcept;

  /// The next batch; pass the same `batch` each time, since its memory is reused. False at the end of an epoch: the following
  /// call begins the next epoch, if there is one. Errors: an epoch without a usable sample, with too few for a batch, or
  /// shorter than the position given to seek(); any error in a thread that is not a damaged sample.
  /// While it waits, the observer is asked ten times a second whether it is cancelled; the same batch may then be asked for again.
  bool next(pair_batch& batch, observer& watch = no_observer());

  /// Continues from there with the next call. Samples before it are read but not decoded.
  void seek(const loader_position& position);
  /// The position after the last batch, or end of epoch, that next() returned.
  const loader_position& position() const;

  loader_report report() const;         // may be called between batches
  const loader_config& config() const;  // as given

 private:
  struct state;
  std::unique_ptr<state> state_;
};

/// What an epoch holds, as far as headers tell.
struct pair_count {
  std::uint64_t pairs = 0;    // samples that have an image and a caption's file or field
  std::uint64_t samples = 0;  // all of them
};
/// Counts them: reads the headers of every shard, decodes nothing. `skipped` gets what is known to be left out. The observer's
/// stage is "samples".
pair_count count_pairs(const loader_config& config, left_out& skipped, observer& watch = no_observer());
std::uint64_t count_pairs(const loader_config& config);  // the pairs alone
/// Whether there is one: reads until it is found.
bool has_pair(const loader_config& config);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "loader-inl.hpp"
#endif
