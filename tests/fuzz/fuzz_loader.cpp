// Pairs through the loader. The first byte: bits 0 and 1 the source (a table, a shard, a folder, a folder of shards), bit 2 a JSON
// field as the caption, bit 3 shuffled, bit 4 the last batch is kept, bit 5 a part is held out, bit 6 augmented, bit 7 other names
// of the columns. Then the file; of a folder: files, each a name, a zero byte, two bytes that say how long it is, and its bytes.
// What comes out has the sizes that were asked for, is the same again, and goes on from the middle as if it had not stopped.
#include <clipx/core/error.hpp>
#include <clipx/data/loader.hpp>
#include <cstdint>

#include "folder.hpp"

namespace {
namespace fs = std::filesystem;
using namespace clipx;

/// Plain names, so that nothing is read or written elsewhere.
bool is_plain(std::string_view name) {
  return !name.empty() && name.size() < 64 && name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.") == name.npos &&
         name[0] != '.';
}
void put_files(const std::string& folder, std::string_view rest) {
  for (int n = 0; n < 8; ++n) {
    const auto end = rest.find('\0');
    if (end == rest.npos || end + 3 > rest.size() || !is_plain(rest.substr(0, end))) return;
    const auto name = rest.substr(0, end);
    const auto size =
        static_cast<std::size_t>(static_cast<unsigned char>(rest[end + 1]) + 256 * static_cast<unsigned char>(rest[end + 2]));
    rest.remove_prefix(end + 3);
    put(folder + "/" + std::string(name), rest.substr(0, size));
    rest.remove_prefix(std::min(size, rest.size()));
  }
}

/// The keys and captions of the batches from a position on; `between` gets the position after the first.
std::string run(const loader_config& c, const loader_position& from, loader_position* between = nullptr) {
  loader l(c);
  l.seek(from);
  pair_batch b;
  std::string out;
  std::uint64_t pairs = 0;
  for (std::uint64_t epoch = from.epoch; epoch < c.epochs;) {
    if (!l.next(b)) {
      ++epoch;
      out += "--\n";
      continue;
    }
    const auto n = b.captions.size();
    if (n == 0 || n > static_cast<std::size_t>(c.batch) || (!c.keep_last && n < static_cast<std::size_t>(c.batch))) std::abort();
    if (b.keys.size() != n || b.pixels.size() != n * 3 * 4 * 4 || b.texts.count() != static_cast<dim>(n)) std::abort();
    for (std::size_t i = 0; i < n; ++i) {
      if (b.captions[i].empty()) std::abort();
      out += b.keys[i] + "=" + b.captions[i] + "\n";
    }
    if (between && pairs == 0) {
      *between = b.next;
      out.clear();  // what is before it
    }
    pairs += n;
  }
  if (l.report().pairs != pairs) std::abort();
  return out;
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz_folder dir;
  static const auto folder = dir / "d", table = dir / "t.csv", shard = dir / "s.tar";
  static const auto words =
      tokenizer::from_merges_bytes("#version: 0.2\nt h\nth e</w>\nc a\nca t</w>\n", tokenizer_options::openai());
  if (size == 0) return 0;
  const int how = *data;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  loader_config c;
  if ((how & 3) == 0) {
    if (text.find('/') != text.npos) return 0;  // paths of other files
    static const bool once = (put(dir / "a.ppm", "P6 2 2 255\nabcdefghijkl"), true);
    (void)once;
    put(table, text);
    c.data = {table};
  } else if ((how & 3) == 1) {
    put(shard, text);
    c.data = {shard};
  } else {
    fs::remove_all(folder);
    fs::create_directory(folder);
    if ((how & 3) == 2) put_files(folder, text);
    else put(folder + "/1.tar", text);
    c.data = {folder};
  }
  if (how & 4) c.caption_field = "caption";
  c.shuffle = how & 8 ? 3 : 0;
  c.keep_last = (how & 16) != 0;
  c.hold_out = how & 32 ? 2 : 0;
  if (!(how & 64)) c.augment.reset();
  if (how & 128) {
    c.image_column = "a";
    c.caption_column = "b";
  }
  c.text = words;
  c.text_side = {77, words.vocab_size(), 8, 1, 1, 8, text_pool::argmax, static_cast<std::int32_t>(words.vocab_size() - 1)};
  c.batch = 2;
  c.epochs = 2;
  c.threads = 1;
  c.preprocess.size = 4;
  try {
    count_pairs(c);
    loader_position between{};
    const auto rest = run(c, {}, &between);
    if (between.batch != 0 && run(c, between) != rest) std::abort();
  } catch (const error&) {}
  return 0;
}
