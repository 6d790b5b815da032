// The loader: the same batches for any number of threads, exact resumption, damaged members.
#include "loader.hpp"

#include <clipx/data/shards.hpp>
#include <clipx/image/decode.hpp>
#include <map>
#include <set>
#include <thread>

namespace test_loader {

TEST_CASE("loader: any number of threads gives the same bytes") {
  const temporary_folder dir;
  write_shards(dir, 50, 7);
  auto c = small({dir / "s-{0..7}.tar"});
  c.epochs = 3;
  c.augment->scale_min = 0.3;
  c.augment->flip = c.augment->jitter = 0.5;
  c.augment->brightness = c.augment->hue = 0.3;
  c.threads = 1;
  const auto one = all_of(c);
  CHECK(one.refused == "");
  CHECK(one.lines.size() == 3 * (50 / 4 + 1));
  for (int threads : {2, 5, 40})  // more than shards
    for (dim prefetch : {1, 3}) {
      CAPTURE(threads, prefetch);
      c.threads = threads;
      c.prefetch = prefetch;
      CHECK(all_of(c).lines == one.lines);
    }
  c.seed = 6;
  CHECK(all_of(c).lines != one.lines);
}

TEST_CASE("loader: captions are tokenized and packed by its threads") {
  const temporary_folder dir;
  write_shards(dir, 50, 7);
  auto c = small({dir / "s-{0..7}.tar"});
  c.epochs = 2;
  c.keep_last = true;
  const auto text = tokenizer::from_merges_bytes("#version: 0.2\nc a\np t\ni o\n", tokenizer_options::openai());
  c.text_side.vocab_size = text.vocab_size();
  c.text_side.eos_id = text.eot();
  std::vector<packed_texts> first;
  for (int threads : {1, 2, 7}) {
    c.threads = threads;
    c.text = text;
    loader l(c);
    pair_batch b;
    std::vector<packed_texts> all;
    dim count = 0;
    for (int epoch = 0; epoch < 2;) {
      if (!l.next(b)) {
        ++epoch;
        continue;
      }
      std::vector<std::vector<std::int32_t>> rows;
      for (auto& caption : b.captions) rows.push_back(text(caption));
      CHECK(b.texts == packed_texts::pack(rows, c.text_side));
      count += b.texts.count();
      all.push_back(b.texts);
    }
    CHECK(count == 100);
    CHECK(l.report().tokenize_seconds > 0);
    if (first.empty()) first = all;
    CHECK(all == first);
    // Rows that another loader left in a batch do not stay.
    c.text.reset();
    loader without(c);
    REQUIRE(without.next(b));
    CHECK(b.texts.count() == 0);
    CHECK(b.captions.size() == 4);
  }
}

TEST_CASE("loader: an epoch has each sample once, in an order of its own") {
  const temporary_folder dir;
  write_shards(dir, 50, 7);
  auto c = small({dir.path.string()});
  c.keep_last = true;
  c.epochs = 2;
  loader l(c);
  CHECK(count_pairs(c) == 50);
  const auto all = all_of(l);
  REQUIRE(all.keys.size() == 100);
  const list first(all.keys.begin(), all.keys.begin() + 50), second(all.keys.begin() + 50, all.keys.end());
  CHECK(unique(first).size() == 50);
  CHECK(unique(second).size() == 50);
  CHECK(first != second);
  CHECK(std::find(all.lines.begin(), all.lines.end(), "--") - all.lines.begin() == 13);  // twelve batches of 4, one of 2
  CHECK(l.report().pairs == 100);
  CHECK(l.report().batches == 26);
  CHECK(l.report().skipped.count == 0);
  CHECK(l.report().seconds >= l.report().waited);
  pair_batch b;
  CHECK_FALSE(l.next(b));  // no third epoch

  // Without a shuffle everything comes as it stands; with one, no sample before it can.
  c.shuffle = 0;
  c.epochs = 1;
  auto sorted = first;
  std::sort(sorted.begin(), sorted.end());
  CHECK(all_of(c).keys == sorted);
  // A buffer of everything draws from everything: sample 0 comes late too.
  c.shuffle = 1000;
  c.epochs = 40;
  const auto many = all_of(c).keys;
  dim late = 0;
  for (std::size_t i = 0; i < many.size(); ++i) late += many[i] == "0000" && i % 50 >= 25;
  CHECK(std::abs(late - 20) <= 15);  // 4.7 standard deviations
}

TEST_CASE("loader: it goes on in the middle of an epoch as if never stopped") {
  const temporary_folder dir;
  write_shards(dir, 40, 9);
  std::string damaged;
  for (int i = 0; i < 20; ++i)
    damaged += i % 3 ? image_sample(cat("d", i), i, "damaged shard")
                     : member(cat("d", i, ".jpg"), "no picture") + member(cat("d", i, ".txt"), "x");
  write_file(dir / "s-5.tar", damaged + end_of_tar);
  auto c = small({dir.path.string()});
  c.epochs = 2;
  const auto whole = all_of(c);
  REQUIRE(whole.refused == "");
  for (std::size_t i = 0; i < whole.next.size(); i += 3) {
    loader l(c);
    l.seek(whole.next[i]);
    const auto rest = all_of(l).lines;
    CAPTURE(i, whole.next[i].place);
    std::size_t from = 0;  // after batch i
    for (std::size_t batches = 0; batches <= i; ++from) batches += whole.lines[from] != "--";
    CHECK(rest == list(whole.lines.begin() + static_cast<std::ptrdiff_t>(from), whole.lines.end()));
  }
  // Forwards and back with one loader, threads in the middle of their work.
  loader l(c);
  pair_batch b;
  REQUIRE(l.next(b));
  l.seek(whole.next[4]);
  REQUIRE(l.next(b));
  CHECK(b.next == whole.next[5]);
  l.seek({});
  CHECK(all_of(l).lines == whole.lines);
  l.seek({1, 0, 0});
  CHECK(all_of(l).lines.size() == whole.lines.size() / 2);
  l.seek({2, 0, 0});
  CHECK_FALSE(l.next(b));
  l.seek({0, 1000, 0});
  CHECK_THAT(message([&] { l.next(b); }), Contains("go on after 1000 samples of epoch 0, it has 60"));
}

TEST_CASE("loader: what cannot be used is counted, named and left out") {
  const temporary_folder dir;
  const std::string good = ppm(1);
  write_file(dir / "a.tar", image_sample("a0", 0, "zero") + member("a1.jpg", "not a picture") + member("a1.txt", "one") +
                                member("a2.jpg", good) + member("a3.jpg", good) + member("a3.txt", " \n") +
                                member("a4.txt", "four") + member("a5.webp", "RIFF....WEBP....") + member("a5.txt", "five") +
                                image_sample("a6", 6, " six \n") + member("a7.jpg", good.substr(0, 50)) +
                                member("a7.txt", "seven") + image_sample("a8", 8, "eight") + end_of_tar);
  std::string cut = image_sample("b0", 1, "b zero") + image_sample("b1", 2, "b one");
  write_file(dir / "b.tar", cut.substr(0, cut.size() - 512));
  write_file(dir / "empty.tar", "");
  write_file(dir / "nothing.tar", end_of_tar);
  auto c = small({dir.path.string()}, 2);
  c.shuffle = 0;
  list first;
  for (int threads : {1, 3, 8}) {
    c.threads = threads;
    loader l(c);
    const auto all = all_of(l);
    CHECK(all.refused == "");
    CHECK(all.keys == list{"a0", "a6", "a8", "b0"});
    CHECK(l.report().skipped.count == 8);
    CHECK(l.report().skipped.unreadable == 5);  // a2, a3 and a4 lack something
    const auto why = l.report().skipped.first;
    REQUIRE(why.size() == 8);
    CHECK_THAT(why[0], Contains("a.tar: a1: not an image"));
    CHECK_THAT(why[1], Contains("a.tar: a2: expected a caption (txt), got none"));
    CHECK_THAT(why[2], Contains("a.tar: a3: expected a caption, got an empty text"));
    CHECK_THAT(why[3], Contains("a.tar: a4: expected an image"));
    CHECK_THAT(why[4], Contains("a.tar: a5: ") && Contains("WebP"));
    CHECK_THAT(why[5], Contains("a.tar: a7"));
    CHECK_THAT(why[6], Contains("b.tar: byte") && Contains("rest of the shard"));
    CHECK_THAT(why[7], Contains("empty.tar") && Contains("expected a tar file, got an empty one"));
    if (first.empty()) first = all.lines;
    CHECK(all.lines == first);
  }
  CHECK(first[0].starts_with("a0=zero a6=six "));
  CHECK(count_pairs(c) == 8);  // not decoded: a1, a3, a5 and a7 count; a2, a4, b1 and the empty shard do not

  // Three samples in four damaged, many threads: holes are closed in order.
  std::string tar;
  for (int i = 0; i < 400; ++i)
    tar += i % 4 == 1 ? image_sample(cat("k", i), i, "good")
                      : member(cat("k", i, ".png"), "\x89PNG") + member(cat("k", i, ".txt"), "bad");
  write_file(dir / "holes.tar", tar + end_of_tar);
  c.data = {dir / "holes.tar"};
  c.batch = 7;
  c.shuffle = 50;
  c.threads = 1;
  const auto one = all_of(c);
  CHECK(one.lines.size() == 100 / 7 + 1);
  c.threads = 9;
  CHECK(all_of(c).lines == one.lines);
}

TEST_CASE("loader: data that gives no batch is an error, not an endless search") {
  const temporary_folder dir;
  const auto refusal = [&](loader_config c) {
    c.epochs = 0;
    for (int threads : {1, 6}) {
      c.threads = threads;
      CHECK(all_of(c).refused != "");
    }
    loader l(c);
    pair_batch b;
    const auto first = message([&] { l.next(b); });
    CHECK(message([&] { l.next(b); }) == first);  // and again
    return first;
  };
  write_file(dir / "nothing.tar", end_of_tar);
  CHECK_THAT(refusal(small({dir / "nothing.tar"})), Contains("expected 4 or more samples that can be used, got 0 and 0 others"));
  std::string tar;
  for (int i = 0; i < 30; ++i) tar += member(cat("k", i, ".jpg"), "x") + member(cat("k", i, ".txt"), "bad");
  write_file(dir / "bad.tar", tar + end_of_tar);
  CHECK_THAT(refusal(small({dir / "bad.tar"})), Contains("got 0 and 30 others") && Contains("bad.tar: k"));
  write_shards(dir, 3, 3);
  CHECK_THAT(refusal(small({dir / "s-0.tar"})), Contains("expected 4 or more") && Contains("got 3"));
  auto c = small({dir / "s-0.tar"});
  c.keep_last = true;
  CHECK(all_of(c).keys.size() == 3);
  c.hold_out = 1'000'000;
  c.held_out = true;
  CHECK_THAT(refusal(c), Contains("got 0"));

  const auto bad = [&](auto change) {
    auto config = small({dir / "s-0.tar"});
    change(config);
    return message([&] { loader l(config); });
  };
  CHECK(bad([](loader_config&) {}) == "no error");
  CHECK_THAT(bad([](loader_config& o) { o.data.clear(); }), Contains("expected data"));
  CHECK_THAT(bad([&](loader_config& o) { o.data = {dir / "none-{0..3}.tar"}; }), Contains("none-0.tar") && Contains("found none"));
  CHECK_THAT(bad([](loader_config& o) { o.batch = 0; }), Contains("batch"));
  CHECK_THAT(bad([](loader_config& o) { o.threads = -1; }), Contains("threads"));
  CHECK_THAT(bad([](loader_config& o) { o.augment->scale_min = 2; }), Contains("scale"));
  CHECK_THAT(bad([](loader_config& o) { o.held_out = true; }), Contains("hold_out"));
  CHECK_THAT(bad([](loader_config& o) { o.shuffle = std::size_t(1) << 40; }), Contains("shuffle"));
  std::filesystem::create_directory(dir / "bare");
  CHECK_THAT(bad([&](loader_config& o) { o.data = {dir / "bare"}; }), Contains("bare") && Contains("expected images"));
}

TEST_CASE("loader: what a thread throws comes to the caller; a loader dropped at any time ends") {
  const temporary_folder dir;
  write_shards(dir, 40, 9);
  auto c = small({dir.path.string()}, 1);
  c.epochs = 0;
  c.threads = 4;
  c.augment.reset();
  c.loops.horizontal = [](const std::uint8_t*, dim, dim, dim, const resample_taps&, std::uint8_t*) {
    throw std::logic_error("from the loops");
  };
  {
    loader l(c);
    pair_batch b;
    for (int i = 0; i < 2; ++i) CHECK_THROWS_WITH(l.next(b), "from the loops");
  }
  c.loops = plain_resampler();
  for (int i = 0; i < 200; ++i) {
    loader l(c);
    pair_batch b;
    for (int k = 0; k < i % 4; ++k) l.next(b);
    if (i % 7 == 0) std::this_thread::yield();
    loader moved = std::move(l);
    if (i % 3 == 0) moved.next(b);
  }
}

TEST_CASE("loader: captions in JSON, one drawn in each epoch") {
  const temporary_folder dir;
  const auto sample_of = [](const std::string& key, const std::string& json) {
    return member(key + ".png", ppm(3)) + member(key + ".json", json);
  };
  write_file(dir / "j.tar", sample_of("a", R"({"captions": ["one", " two ", "three", ""], "caption": "only", "n": 3})") +
                                sample_of("b", R"({"captions": []})") + sample_of("c", R"({"other": 1})") + sample_of("d", "{") +
                                sample_of("e", R"({"captions": [1]})") + sample_of("f", "[1]") + end_of_tar);
  auto c = small({dir / "j.tar"}, 1);
  c.shuffle = 0;
  c.epochs = 60;
  c.caption_field = "captions";
  loader l(c);
  std::map<std::string, int> seen;
  pair_batch b;
  for (int i = 0; i < 60; ++i) {
    REQUIRE(l.next(b));
    CHECK(b.keys[0] == "a");
    ++seen[b.captions[0]];
    REQUIRE_FALSE(l.next(b));
  }
  CHECK(seen.size() == 3);
  for (auto& text : {"one", "two", "three"}) CHECK(std::abs(seen[text] - 20) <= 16);  // 4.4 standard deviations
  const auto report = l.report();
  CHECK(report.skipped.count == 5 * 60);
  CHECK(report.skipped.unreadable == 2 * 60);  // of the others the caption is not there
  REQUIRE(report.skipped.first.size() == 5);
  CHECK_THAT(report.skipped.first[0], Contains("b: expected a caption"));
  CHECK_THAT(report.skipped.first[1], Contains("c: expected a field \"captions\""));
  CHECK_THAT(report.skipped.first[2], Contains("d: not valid JSON"));
  CHECK_THAT(report.skipped.first[3], Contains("e: \"captions\": expected a string or a list"));
  CHECK_THAT(report.skipped.first[4], Contains("f: expected a field"));
  c.draw_captions = false;
  c.epochs = 3;
  for (auto& line : all_of(c).lines) CHECK((line == "--" || line.starts_with("a=one ")));
  c.caption_field = "caption";
  c.draw_captions = true;
  CHECK(all_of(c).lines[0].starts_with("a=only "));
}

TEST_CASE("loader: a part is held out by key") {
  const temporary_folder dir;
  write_shards(dir, 200, 30);
  auto c = small({dir.path.string()}, 1);
  const auto everything = unique(all_of(c).keys);
  c.hold_out = 10;
  const auto rest = unique(all_of(c).keys);
  c.seed = 99;
  c.shuffle = 0;
  c.held_out = true;
  const auto held = unique(all_of(c).keys);
  CHECK(count_pairs(c) == held.size());
  CHECK(everything.size() == 200);
  CHECK((held.size() > 5 && held.size() < 40));
  CHECK(rest.size() + held.size() == 200);
  for (auto& k : held) CHECK(rest.count(k) == 0);
}

TEST_CASE("loader: without augmentation images are those of evaluation") {
  const temporary_folder dir;
  write_file(dir / "1.ppm", ppm(1, 30, 17));
  write_file(dir / "1.txt", "one");
  auto c = small({dir.path.string()}, 1);
  c.augment.reset();
  loader l(c);
  pair_batch b;
  REQUIRE(l.next(b));
  CHECK(b.pixels == to_pixels(read_image(dir / "1.ppm"), c.preprocess).data);
}

TEST_CASE("loader: the training pairs, if they are at hand") {
  const std::string folder = std::string(CLIPX_SOURCE_DIR) + "/../shared/data/pairs";
  if (!std::filesystem::exists(folder)) {
    WARN("skipped: no ../shared/data/pairs");
    return;
  }
  auto c = small({folder + "/train-{0000..0008}.tar"}, 256);
  c.preprocess.size = 32;
  c.shuffle = 2000;
  c.caption_field = "captions";
  c.keep_last = true;
  c.threads = 0;
  CHECK(count_pairs(c) == 16'261);
  loader l(c);
  const auto all = all_of(l);
  CHECK(all.refused == "");
  CHECK(unique(all.keys).size() == 16'261);
  CHECK(l.report().pairs == 16'261);
  CHECK(l.report().skipped.count == 0);
}

}  // namespace test_loader
