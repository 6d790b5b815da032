// What readers of data leave out is counted and named; folders, shards and loaders alike.
#include <clipx/data/captions.hpp>
#include <clipx/data/folders.hpp>
#include <clipx/data/shards.hpp>
#include <clipx/image/decode.hpp>
#include <clipx/text/gunzip.hpp>
#include <filesystem>

#include "loader.hpp"

namespace test_left_out {

namespace fs = std::filesystem;

namespace {
/// Whether one of the messages begins with this name and contains this reason.
bool tells(const left_out& skipped, const std::string& name, const std::string& why) {
  for (auto& message : skipped.first)
    if (message.starts_with(name + ": ") && message.find(why) != std::string::npos) return true;
  return false;
}
}  // namespace

TEST_CASE("left out: counts, and the first that differ") {
  left_out a;
  CHECK(a.none());
  CHECK(message([&] { a.expect_none(); }) == "no error");
  a.add("x.webp", "no format");
  a.add("y", "12 images", 12);
  a.add_unreadable("z.png: damaged");
  a.add_other_file("README", "not an image");
  CHECK(a.count == 14);
  CHECK(a.unreadable == 1);
  CHECK(a.other_files == 1);
  CHECK(a.text() ==
        "left out 14, 1 of them unreadable, and 1 other files\n  x.webp: no format\n  y: 12 images\n  z.png: damaged\n"
        "  README: not an image\n  ..");
  CHECK_THAT(message([&] { a.expect_none(); }), Contains("left out 14"));
  left_out b = a;
  b.add(a);
  CHECK(b.count == 28);
  CHECK(b.first == a.first);  // the same again, as in a second epoch
  for (int i = 0; i < 20; ++i) b.add(cat(i), "more");
  CHECK(b.first.size() == left_out::most_named);
}

TEST_CASE("a folder of images: what is not taken is told") {
  const temporary_folder dir;
  fs::create_directories(dir.path / "f/below/deeper");
  fs::create_directory(dir.path / "elsewhere");
  for (auto* name :
       {"f/a.ppm", "f/below/b.PNG", "f/below/deeper/c.jpg", "f/.hidden.gif", "f/d.webp", "f/e.HEIC", "f/g.tif", "elsewhere/e.png"})
    write_file(dir / name, ppm(1));
  for (auto* name : {"f/x.jp2", "f/below/y.PSD", "f/a.txt", "f/a.json", "f/.DS_Store", "f/notes.md", "f/alone.txt"})
    write_file(dir / name, "x");
  fs::create_directory_symlink(dir.path / "elsewhere", dir.path / "f/linked");
  fs::create_symlink(dir.path / "elsewhere/e.png", dir.path / "f/link.png");
  fs::create_symlink(dir.path / "nowhere.png", dir.path / "f/broken.png");
  left_out skipped;
  CHECK(list_images(dir / "f", skipped) == list{dir / "f/.hidden.gif", dir / "f/a.ppm", dir / "f/below/b.PNG",
                                                dir / "f/below/deeper/c.jpg", dir / "f/d.webp", dir / "f/e.HEIC", dir / "f/g.tif",
                                                dir / "f/link.png"});
  CHECK(skipped.count == 4);
  CHECK(skipped.unreadable == 1);
  CHECK(skipped.other_files == 2);
  CHECK(tells(skipped, dir / "f/x.jp2", "of this format are not read"));
  CHECK(tells(skipped, dir / "f/below/y.PSD", "of this format are not read"));
  CHECK(tells(skipped, dir / "f/linked", "link to a folder"));
  CHECK(tells(skipped, dir / "f/broken.png", "a link to a file that is not there"));
  CHECK(tells(skipped, dir / "f/notes.md", "not an image"));
  CHECK(tells(skipped, dir / "f/alone.txt", "not an image"));
  CHECK_THAT(message([&] { list_images(dir / "f"); }), Contains("broken.png"));  // without a place for what is left out
  if (::geteuid() == 0) return;                                                  // who may read everything
  fs::permissions(dir.path / "f/below", fs::perms::none);
  left_out closed;
  CHECK(list_images(dir / "f", closed).size() == 6);
  CHECK(tells(closed, dir / "f/below", "cannot be listed"));
  fs::permissions(dir.path / "f/below", fs::perms::owner_all);
}

TEST_CASE("a folder of shards") {
  const temporary_folder dir;
  const auto shards = [&](left_out& skipped) { return list_shards(dir.path.string(), skipped); };
  left_out skipped;
  CHECK(shards(skipped).empty());
  write_shards(dir, 4, 2);
  write_file(dir / "t.TAR.GZ", "");
  write_file(dir / "u.tgz", "");
  write_file(dir / "a.png", ppm(1));
  write_file(dir / "notes.txt", "x");
  fs::create_directories(dir.path / "more/and");
  fs::create_directory(dir.path / "state");
  write_file(dir / "more/and/b.webp", "RIFF");
  write_file(dir / "state/0-x", "{}");
  CHECK(shards(skipped) == list{dir / "s-0.tar", dir / "s-1.tar", dir / "t.TAR.GZ", dir / "u.tgz"});
  CHECK(skipped.count == 2);
  CHECK(tells(skipped, dir / "a.png", "an image beside shards"));
  CHECK(tells(skipped, dir / "more", "a folder beside shards"));
  // CLIP_benchmark's layout
  write_file(dir / "nshards.txt", "3\n");
  write_file(dir / "1.tar.gz", "");
  left_out none;
  CHECK(shards(none) == list{dir / "0.tar", dir / "1.tar.gz", dir / "2.tar"});
  CHECK(none.none());
  for (auto* wrong : {"", "x", "-1", "0", "3 4", "99999999999999999999"}) {
    write_file(dir / "nshards.txt", wrong);
    CHECK_THAT(message([&] { shards(none); }), Contains("nshards.txt: expected a number of shards"));
  }
}

TEST_CASE("shards: links, files of no sample, damage, gzip") {
  const temporary_folder dir;
  const std::string tar = member("README", "x") + member(".hidden", "x") + member("__meta__", "x") + member("a.jpg", "1") +
                          member("a.txt", "2") + member("b.jpg", "", '1') + member("c.jpg", "", '2') + member("d.jpg", "3") +
                          end_of_tar;
  write_file(dir / "a.tar", tar);
  const auto keys = [&](const std::string& path, left_out& skipped) {
    list out;
    for_each_sample(path, skipped, [&](const sample& s) { out.push_back(s.key); });
    return out;
  };
  left_out skipped;
  CHECK(keys(dir / "a.tar", skipped) == list{"a", "d"});
  CHECK(skipped.count == 2);
  CHECK(skipped.other_files == 1);
  CHECK(tells(skipped, dir / "a.tar: b.jpg", "a link"));
  CHECK(tells(skipped, dir / "a.tar: c.jpg", "a link"));
  CHECK(tells(skipped, dir / "a.tar: README", "KEY.ending"));
  SECTION("a gzip file of several members is decompressed") {
    write_file(dir / "a.tar.gz", detail::gzip(tar.substr(0, 1000)) + detail::gzip(tar.substr(1000)));
    left_out packed;
    CHECK(keys(dir / "a.tar.gz", packed) == list{"a", "d"});
    CHECK(packed.count == 2);
    int seen = 0;
    for_each_sample(dir / "a.tar.gz", [&](const sample&) { ++seen; });
    CHECK(seen == 2);
    const auto whole = contents(dir / "a.tar.gz");
    write_file(dir / "a.tar.gz", whole.substr(0, whole.size() - 20));
    left_out cut;
    CHECK(keys(dir / "a.tar.gz", cut).empty());
    CHECK(cut.unreadable == 1);
    CHECK_THAT(cut.first.at(0), Contains("a.tar.gz: not a readable gzip file: truncated"));
    CHECK_THAT(message([&] { for_each_sample(dir / "a.tar.gz", [](const sample&) {}); }), Contains("truncated"));
  }
  SECTION("the rest of a damaged shard; a shard that is none") {
    auto bad = tar;
    bad[bad.size() - 1024 - 1024 + 10] = 'x';  // in the header of d.jpg
    write_file(dir / "bad.tar", bad);
    left_out damaged;
    CHECK(keys(dir / "bad.tar", damaged) == list{});  // a waits for what follows it
    CHECK(damaged.unreadable == 1);
    CHECK_THAT(message([&] { for_each_sample(dir / "bad.tar", [](const sample&) {}); }), Contains("checksum"));
    write_file(dir / "page.tar", "<!DOCTYPE html><html><body>Sign in to download</body></html>");
    left_out page;
    CHECK(keys(dir / "page.tar", page).empty());
    CHECK(tells(page, dir / "page.tar", "not a tar file"));
    left_out none;
    CHECK(keys(dir / "none.tar", none).empty());
    CHECK(tells(none, dir / "none.tar", "cannot be opened"));
  }
  SECTION("what the caller throws goes on to the caller") {
    left_out ours;
    CHECK(message([&] { for_each_sample(dir / "a.tar", ours, [](const sample&) { fail("mine"); }); }) == "mine");
    CHECK(ours.unreadable == 0);
  }
}

TEST_CASE("captions: what is left out of each kind of file, and what is an error") {
  const temporary_folder dir;
  const auto captions = [&](const std::string& name, const caption_config& c, left_out& skipped) {
    list out;
    for_each_caption(dir / name, c, skipped, [&](std::string_view caption) { out.emplace_back(caption); });
    return out;
  };
  write_file(dir / "a.tar", member("a.txt", "one\ntwo\n") + member("b.json", R"({"c": ["x", "y"]})") + member("d.json", "{") +
                                member("e.json", R"({"other": 1})") + end_of_tar);
  left_out a;
  CHECK(captions("a.tar", {}, a) == list{"one\ntwo"});  // a .txt of a shard is one caption
  CHECK(a.count == 3);
  CHECK(a.unreadable == 0);
  left_out b;
  CHECK(captions("a.tar", {.field = "c"}, b) == list{"x", "y"});
  CHECK(b.count == 3);
  CHECK(b.unreadable == 1);
  CHECK(tells(b, dir / "a.tar: d", "not valid JSON"));
  CHECK(tells(b, dir / "a.tar: e", "expected a field \"c\""));
  write_file(dir / "t.csv", "title\none\n\"two\n");
  left_out t;
  CHECK(captions("t.csv", {}, t) == list{"one"});
  CHECK(t.unreadable == 1);
  left_out none;
  CHECK(captions("none.txt", {}, none).empty());
  CHECK(tells(none, dir / "none.txt", "cannot be opened"));
  caption_config other;
  other.column = "text";
  CHECK_THAT(message([&] { captions("t.csv", other, none); }), Contains("caption_config::column"));
  left_out ours;
  write_file(dir / "l.txt", "one\n");
  for (auto* name : {"a.tar", "t.csv", "l.txt"})
    CHECK(message([&] { for_each_caption(dir / name, {}, ours, [](std::string_view) { fail(error_kind::damaged, "mine"); }); }) ==
          "mine");
}

TEST_CASE("loader: a source that is not there, links in shards, strict") {
  const temporary_folder dir;
  write_shards(dir, 8, 4);
  write_file(dir / "l.tar", image_sample("z", 1, "z") + member("link.jpg", "", '2') + end_of_tar);
  auto c = small({dir / "s-{0..2}.tar", dir / "l.tar", dir / "none.csv"});
  c.epochs = 2;
  loader l(c);
  CHECK(all_of(l).keys.size() == 16);
  const auto report = l.report();
  CHECK(report.skipped.count == 2 + 2);  // two sources, and the link in each epoch
  CHECK(report.skipped.unreadable == 2);
  CHECK(tells(report.skipped, dir / "s-2.tar", "found none"));
  CHECK(tells(report.skipped, dir / "none.csv", "found none"));
  CHECK(tells(report.skipped, dir / "l.tar: link.jpg", "a link"));
  left_out counted;
  CHECK(count_pairs(c, counted).pairs == 9);
  CHECK(counted.count == 3);
  CHECK(counted.unreadable == 2);
  c.strict = true;
  CHECK_THAT(message([&] { loader again(c); }), Contains("left out 2") && Contains("s-2.tar"));
  c.data = {dir / "l.tar"};
  c.batch = 1;
  CHECK_THAT(all_of(c).refused, Contains("link.jpg"));
  write_file(dir / "l.tar", image_sample("z", 1, "z") + member("y.jpg", "no image") + member("y.txt", "y") + end_of_tar);
  CHECK_THAT(all_of(c).refused, Contains("l.tar: y"));
  c.strict = false;
  CHECK(all_of(c).keys.size() == 2);
}

TEST_CASE("loader: packed shards give the same bytes") {
  const temporary_folder dir;
  write_shards(dir, 12, 4);
  const auto c = small({dir / "s-{0..2}.tar"});
  const auto want = all_of(c);
  REQUIRE(want.lines.size() == 4);
  fs::create_directory(dir.path / "p");
  for (int i = 0; i < 3; ++i) write_file(dir / cat("p/s-", i, ".tar.gz"), detail::gzip(contents(dir / cat("s-", i, ".tar"))));
  CHECK(all_of(small({dir / "p/s-{0..2}.tar.gz"})).lines == want.lines);
  CHECK(all_of(small({dir / "p"})).lines == want.lines);
}

TEST_CASE("a pointer of Git LFS is told from the file, by every reader") {
  const temporary_folder dir;
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", said = "git lfs pull";
  for (auto* name : {"x.png", "x.tar", "x.csv", "x.txt", "nshards.txt"}) write_file(dir / name, pointer);
  CHECK_THAT(message([&] { read_image(dir / "x.png"); }), Contains("x.png") && Contains(said));
  CHECK_THAT(message([&] { decode_image(std::as_bytes(std::span(pointer)), "in memory"); }),
             Contains("in memory") && Contains(said));
  CHECK_THAT(message([&] { for_each_sample(dir / "x.tar", [](const sample&) {}); }), Contains("x.tar") && Contains(said));
  CHECK_THAT(message([&] { for_each_sample(std::as_bytes(std::span(pointer)), "shard", [](const sample&) {}); }), Contains(said));
  CHECK_THAT(message([&] { loader l(small({dir / "x.csv"})); }), Contains("x.csv") && Contains(said));
  CHECK_THAT(message([&] { for_each_caption(dir / "x.txt", {}, [](std::string_view) {}); }), Contains("x.txt") && Contains(said));
  CHECK_THAT(message([&] { detail::read_file(dir / "x.txt"); }), Contains("x.txt") && Contains(said));
  left_out skipped;
  CHECK_THAT(message([&] { list_shards(dir.path.string(), skipped); }), Contains("nshards.txt") && Contains(said));
  write_file(dir / "x.txt", "version 2 of a caption\n");
  CHECK(message([&] { for_each_caption(dir / "x.txt", {}, [](std::string_view) {}); }) == "no error");
}

}  // namespace test_left_out
