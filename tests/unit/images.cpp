// Images in batches: paths, order, threads, failures, and that a batch is handed out before the next one is read.
#include <clipx/data/images.hpp>

#include "catch.hpp"
#include "temporary.hpp"

namespace test_images {

using namespace clipx;
using list = std::vector<std::string>;

namespace {

std::string ppm(int number) {
  std::string out = "P6 9 12 255\n";
  for (int i = 0; i < 9 * 12 * 3; ++i) out += static_cast<char>(number * 37 + i * (1 + number % 5));
  return out;
}
std::vector<std::byte> bytes_of(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

image_batch_config small(std::size_t batch_size = 3, int threads = 1) {
  image_batch_config c;
  c.batch_size = batch_size;
  c.threads = threads;
  c.preprocess.size = 4;
  return c;
}

/// What came of a stream, a line for each image and one for each batch.
struct record {
  list events;
  std::vector<std::uint8_t> rgb;
  auto consume() {
    return [this](const image_batch& b) {
      REQUIRE(b.names.size() == b.indices.size());
      REQUIRE(b.rgb.size() == b.names.size() * 4 * 4 * 3);
      std::string line = "batch";
      for (std::size_t i = 0; i < b.names.size(); ++i) line += cat(" ", b.indices[i], ":", b.names[i]);
      events.push_back(line);
      rgb.insert(rgb.end(), b.rgb.begin(), b.rgb.end());
    };
  }
  auto failed() {
    return [this](std::size_t index, const std::string& name, const error& why) {
      CHECK_THAT(why.what(), Contains(name));
      events.push_back(cat("failed ", index, ":", name));
    };
  }
};

}  // namespace

TEST_CASE("image paths: files, folders in order, standard input") {
  const temporary_folder dir;
  std::filesystem::create_directories(dir.path / "f/g");
  for (auto* name : {"f/b.ppm", "f/a.ppm", "f/g/c.PPM", "f/notes.txt"}) write_file(dir / name, ppm(1));
  left_out skipped;
  CHECK(image_paths(list{"x.png", dir / "f", "-"}, skipped) ==
        list{"x.png", dir / "f/a.ppm", dir / "f/b.ppm", dir / "f/g/c.PPM", "-"});
  CHECK_THAT(message([&] { image_paths(list{}, skipped); }), Contains("at least one image file"));
  std::filesystem::create_directories(dir.path / "empty");
  CHECK(skipped.count == 0);
  CHECK(skipped.other_files == 1);
  CHECK_THAT(message([&] { image_paths(list{dir / "empty"}, skipped); }), Contains("empty"));
  CHECK(image_paths(list{dir / "empty", "x.png"}, skipped) == list{"x.png"});
  CHECK(skipped.unreadable == 1);
}

TEST_CASE("image batches: the pixels of each image, whatever the batch size and the threads") {
  const temporary_folder dir;
  list files;
  std::vector<std::uint8_t> want;
  for (int i = 0; i < 7; ++i) {
    files.push_back(dir / cat(i, ".ppm"));
    write_file(files.back(), ppm(i));
    const auto text = ppm(i);
    const auto pixels = read_pixels(std::as_bytes(std::span(text)), "x", small().preprocess);
    want.insert(want.end(), pixels.begin(), pixels.end());
  }
  for (std::size_t batch_size : {1u, 3u, 7u, 100u})
    for (int threads : {1, 3, 0}) {
      INFO(batch_size << " images, " << threads << " threads");
      record r;
      for_each_image_batch(files, small(batch_size, threads), r.consume(), r.failed());
      CHECK(r.rgb == want);
      CHECK(r.events.size() == (7 + batch_size - 1) / batch_size);
    }
}

TEST_CASE("image batches: failures are told in order, before the batch that they are left out of") {
  const temporary_folder dir;
  write_file(dir / "a.ppm", ppm(1));
  write_file(dir / "bad.png", "no image");
  write_file(dir / "c.ppm", ppm(2));
  const list files{dir / "a.ppm",   dir / "bad.png", dir / "none.png", dir / "none.png",
                   dir / "bad.png", dir / "bad.png", dir / "c.ppm"};
  record r;
  for_each_image_batch(files, small(3, 2), r.consume(), r.failed());
  CHECK(r.events == list{cat("failed 1:", files[1]), cat("failed 2:", files[2]), cat("batch 0:", files[0]),   //
                         cat("failed 3:", files[3]), cat("failed 4:", files[4]), cat("failed 5:", files[5]),  // no batch of none
                         cat("batch 6:", files[6])});
}

TEST_CASE("image batches: a stream from memory is read one batch at a time") {
  record r;
  const auto stream = [&](function_ref<void(image_source)> next) {
    for (int i = 0; i < 5; ++i) {
      r.events.push_back(cat("read ", i));
      next({cat("image ", i), bytes_of(i == 3 ? "no image" : ppm(i))});
    }
  };
  for_each_image_batch(image_stream(stream), small(2), r.consume(), r.failed());
  CHECK(r.events == list{"read 0", "read 1", "batch 0:image 0 1:image 1", "read 2", "read 3", "failed 3:image 3", "batch 2:image 2",
                         "read 4", "batch 4:image 4"});
}

TEST_CASE("image batches: errors of the caller's functions go on; a batch has at least one image") {
  const temporary_folder dir;
  write_file(dir / "a.ppm", ppm(1));
  const list files{dir / "a.ppm", dir / "none"};
  const auto ignore = [](auto&&...) {};
  CHECK(message([&] {
          for_each_image_batch(
              files, small(1), [](const image_batch&) { fail("full"); }, ignore);
        }) == "full");
  CHECK(message([&] {
          for_each_image_batch(files, small(), ignore, [](std::size_t, const std::string&, const error&) { fail("strict"); });
        }) == "strict");
  CHECK_THAT(message([&] { for_each_image_batch(files, small(0), ignore, ignore); }), Contains("at least 1"));
}

}  // namespace test_images
