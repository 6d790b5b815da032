// The loader over tables and folders of files.
#include <filesystem>

#include "loader.hpp"

namespace test_loader_files {

TEST_CASE("loader: tables") {
  const temporary_folder dir;
  std::filesystem::create_directory(dir / "img");
  for (int i = 0; i < 6; ++i) write_file(dir / cat("img/", i, ".ppm"), ppm(i));
  write_file(dir / "t.csv",
             "\xef\xbb\xbfid,title,filepath\r\n1,\"a \"\"quoted\"\" cat, black\",img/0.ppm\r\n\r\n2,\"two\nlines\",img/1.ppm\n3,a "
             "12\" pizza,\"img/2.ppm\"\n"
             "4,none,img/none.ppm\n5,short row\n6,,img/3.ppm\n7,absolute," +
                 (dir / "img/4.ppm"));
  auto c = small({dir / "t.csv"}, 1);
  c.shuffle = 0;
  {
    loader l(c);
    const auto all = all_of(l);
    CHECK(all.refused == "");
    REQUIRE(all.lines.size() == 5);
    CHECK(all.lines[0].starts_with("img/0.ppm=a \"quoted\" cat, black "));
    CHECK(all.lines[1].starts_with("img/1.ppm=two\nlines "));
    CHECK(all.lines[2].starts_with("img/2.ppm=a 12\" pizza "));
    CHECK(all.lines[3].starts_with((dir / "img/4.ppm") + "=absolute "));
    const auto why = l.report().skipped.first;
    REQUIRE(why.size() == 3);
    CHECK_THAT(why[0], Contains("none.ppm: cannot be opened"));
    CHECK_THAT(why[1], Contains("row 6: expected the path of an image"));
    CHECK_THAT(why[2], Contains("img/3.ppm: expected a caption"));
  }
  c.shuffle = 2;  // rows are permuted whole, however small the buffer
  c.epochs = 30;
  std::set<std::string> firsts;
  const auto lines = all_of(c).lines;
  for (std::size_t i = 0; i < lines.size(); i += 5) firsts.insert(lines[i]);
  CHECK(firsts.size() >= 4);

  write_file(dir / "t.tsv", "filepath\ttitle\nimg/0.ppm\ta, b\nimg/1.ppm\tc\n");
  c = small({dir / "t.tsv"}, 1);
  c.shuffle = 0;
  CHECK(all_of(c).lines[0].starts_with("img/0.ppm=a, b "));
  write_file(dir / "semi.csv", "where;what\nimg/5.ppm;five");
  c.data = {dir / "semi.csv"};
  c.separator = ';';
  c.image_column = "where";
  c.caption_column = "what";
  CHECK(all_of(c).lines[0].starts_with("img/5.ppm=five "));

  const auto refused = [&](const std::string& text) {
    write_file(dir / "x.csv", text);
    return message([&] { loader l(small({dir / "x.csv"})); });
  };
  CHECK_THAT(refused(""), Contains("x.csv: expected a table, got an empty file"));
  CHECK_THAT(refused("a,title\n"), Contains("expected a column \"filepath\", got \"a\", \"title\" (separated by \",\")") &&
                                       Contains("loader_config::image_column") && Contains("loader_config::separator"));
  // open_clip's tables are separated by tabs, whatever they are called
  CHECK_THAT(refused("filepath\ttitle\n1\t2\n"), Contains("loader_config::separator \"\\t\""));
  CHECK_THAT(refused("filepath;title\n1;2\n"), Contains("loader_config::separator \";\""));
  CHECK_THAT(refused("filepath,title\n\"1,2\n"), Contains("row 2: expected a closing quote"));
  write_file(dir / "x.csv", "filepath,title\nimg/1.ppm,two\n\"3,4\n5,6");
  c = small({dir / "x.csv"}, 1);
  loader l(c);
  CHECK(all_of(l).keys == list{"img/1.ppm"});
  CHECK(l.report().skipped.unreadable == 1);
  CHECK_THAT(l.report().skipped.first.at(0), Contains("x.csv: row 3: expected a closing quote") && Contains("rest of the table"));
  CHECK(refused("filepath,title\n") == "no error");
}

TEST_CASE("loader: folders of images with texts") {
  const temporary_folder dir;
  std::filesystem::create_directory(dir / "b.d");
  write_file(dir / "1.ppm", ppm(1));
  write_file(dir / "1.txt", "one\n");
  write_file(dir / "b.d/2.x.ppm", ppm(2));
  write_file(dir / "b.d/2.x.txt", "two");
  write_file(dir / "3.ppm", ppm(3));
  write_file(dir / "1.json", R"({"alt": ["eins"]})");
  auto c = small({dir.path.string()}, 1);
  c.shuffle = 0;
  loader l(c);
  const auto all = all_of(l);
  REQUIRE(all.lines.size() == 3);
  CHECK(all.lines[0].starts_with("1.ppm=one "));
  CHECK(all.lines[1].starts_with("b.d/2.x.ppm=two "));
  REQUIRE(l.report().skipped.first.size() == 1);
  CHECK_THAT(l.report().skipped.first[0], Contains("3.txt: cannot be opened"));
  c.caption_field = "alt";
  CHECK(all_of(c).keys == list{"1.ppm"});
  write_shards(dir, 4, 4);  // a folder with shards is a folder of shards
  c.caption_field = "";
  CHECK(all_of(c).keys == list{"0000", "0001", "0002", "0003"});
  c.data = {dir / "s-0.tar", dir / "b.d"};  // several kinds at once
  CHECK(all_of(c).keys == list{"0000", "0001", "0002", "0003", "2.x.ppm"});
}

}  // namespace test_loader_files
