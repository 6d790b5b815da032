// The loader's threads, and training on several OpenMP threads, under ThreadSanitizer (cmake/threads.sh). LLVM's Archer tells it
// what OpenMP orders; without Archer a device has one thread.
#include <clipx/cpu.hpp>
#include <clipx/train/trainer.hpp>
#include <cstdlib>

#include "../unit/loader.hpp"
#include "../unit/tiny_model.hpp"

namespace {

/// A shard, a table and a folder of one data set.
list write_data(const temporary_folder& dir) {
  write_shards(dir, 16, 8);
  std::string table = "filepath\ttitle\n";
  std::filesystem::create_directory(dir.path / "folder");
  for (int i = 0; i < 8; ++i) {
    write_file(dir / cat("t", i, ".ppm"), ppm(100 + i));
    table += cat("t", i, ".ppm\trow ", i, "\n");
    write_file(dir / cat("folder/f", i, ".jpg"), ppm(200 + i));
    write_file(dir / cat("folder/f", i, ".txt"), cat("file ", i));
  }
  write_file(dir / "t.tsv", table);
  return {dir / "s-{0..1}.tar", dir / "t.tsv", dir / "folder"};
}

int openmp_threads() { return std::getenv("CLIPX_ARCHER") ? 2 : 1; }

}  // namespace

TEST_CASE("threads of a loader") {
  const temporary_folder dir;
  auto c = small(write_data(dir), 4);
  c.epochs = 2;
  c.text = tokenizer::from_merges_bytes(tiny::merges, tiny::vit().text);
  c.text_side = tiny::vit().model.text;
  c.threads = 1;
  const auto serial = all_of(c);
  REQUIRE(serial.lines.size() == 2 * (32 / 4 + 1));
  c.threads = 4;
  const auto parallel = all_of(c);
  CHECK(parallel.lines == serial.lines);
  CHECK(parallel.refused.empty());
  loader l(c);  // given up in mid-epoch, and taken up elsewhere
  pair_batch b;
  REQUIRE(l.next(b));
  l.report();
  l.seek(serial.next[3]);
  REQUIRE(l.next(b));
  CHECK(b.next == serial.next[4]);
}

TEST_CASE("threads of a device: training on what a loader's threads prepare") {
  cpu<float> device({.threads = openmp_threads()});
  const temporary_folder dir;
  auto model = tiny::vit();
  model.model.vision = vit_config{16, 8, 16, 2, 32, 1};
  model.model.text = {16, tiny::vocabulary, 16, 1, 1, 32, text_pool::argmax, tiny::vocabulary - 1};
  model.pixels.size = 16;
  trainer_options o;
  o.gradients.chunk = 4;
  trainer<vit, cpu<float>> t(device, model, o);
  auto c = small(write_data(dir), 8);
  c.text = tokenizer::from_merges_bytes(tiny::merges, model.text);
  c.text_side = model.model.text;
  c.preprocess.size = 16;
  c.threads = 3;
  loader l(c);
  pair_batch b;
  for (int i = 0; i < 3; ++i) {
    REQUIRE(l.next(b));
    t.step(b.pixels, b.texts);
    CHECK(std::isfinite(t.loss()));
  }
}
