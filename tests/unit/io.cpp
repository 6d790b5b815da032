// Files, safetensors and .npy: what is written comes back, and every lie in a file is named.
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <clipx/core/bf16.hpp>
#include <clipx/core/error.hpp>
#include <clipx/io/file.hpp>
#include <clipx/io/npy.hpp>
#include <clipx/io/safetensors.hpp>
#include <cmath>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <limits>
#include <random>

#include "catch.hpp"
#include "temporary.hpp"

namespace test_io {

using namespace clipx;
namespace fs = std::filesystem;

namespace {

std::string archive(const std::string& header, std::size_t data) {
  const std::uint64_t n = header.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &n, 8);
  out += header;
  for (std::size_t i = 0; i < data; ++i) out += static_cast<char>(i);
  return out;
}
std::string entry(const std::string& name, const std::string& shape, std::size_t begin, std::size_t end,
                  const std::string& type = "F32") {
  return cat("\"", name, "\":{\"dtype\":\"", type, "\",\"shape\":", shape, ",\"data_offsets\":[", begin, ",", end, "]}");
}
safetensors parse(const std::string& bytes) {
  const char* name = "x.safetensors";
  return safetensors::open(file_set::memory({{name, std::as_bytes(std::span(bytes))}}), name);
}
std::string refusal(std::string bytes) {
  return message([&] { parse(bytes); });
}

std::vector<float> read_all(const tensor_info& t) {
  std::vector<float> out(static_cast<std::size_t>(t.count()));
  to_float(t.type, t.data, out);
  return out;
}

/// Values of each tensor, for write_safetensors.
auto from(std::vector<std::vector<double>> values) {
  return [values = std::move(values)](std::size_t i, std::span<double> to) {
    std::copy(values[i].begin(), values[i].end(), to.begin());
  };
}

}  // namespace

TEST_CASE("a mapped file") {
  const temporary_folder dir;
  write_file(dir / "a", "hello");
  write_file(dir / "empty", "");
  auto a = mapped_file::open(dir / "a");
  CHECK(a.bytes().size() == 5);
  CHECK(a.path() == dir / "a");
  a.bytes()[0] = std::byte{'j'};  // private: the file stays
  CHECK(contents(dir / "a") == "hello");
  mapped_file moved = std::move(a);
  CHECK(moved.bytes()[0] == std::byte{'j'});
  CHECK(mapped_file::open(dir / "empty").bytes().empty());
  CHECK_THAT(message([&] { mapped_file::open(dir / "none"); }), Contains(dir / "none") && Contains("cannot be opened"));
  CHECK_THAT(message([&] { mapped_file::open(dir.path.string()); }), Contains("got a directory"));
  REQUIRE(::mkfifo((dir / "pipe").c_str(), 0600) == 0);
  CHECK_THAT(message([&] { mapped_file::open(dir / "pipe"); }), Contains("expected a regular file"));
}

TEST_CASE("a spilled file has no name at any time") {
  const temporary_folder dir;
  if (const int fd = ::open(dir.path.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600); fd >= 0) ::close(fd);
  else return;  // a file system without files that have no name
  const int watch = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  REQUIRE(watch >= 0);
  REQUIRE(::inotify_add_watch(watch, dir.path.c_str(), IN_CREATE | IN_MOVED_TO) >= 0);
  const std::string text(100'000, 'x');
  {
    const auto file = mapped_file::spilled(dir / "a.part", std::as_bytes(std::span(text)));
    CHECK(std::memcmp(file.bytes().data(), text.data(), text.size()) == 0);
  }
  char events[4096];
  CHECK(::read(watch, events, sizeof events) == -1);  // no file was created
  CHECK(errno == EAGAIN);
  write_file(dir / "b", "x");
  CHECK(::read(watch, events, sizeof events) > 0);
  ::close(watch);
  CHECK_THAT(message([&] { mapped_file::spilled(dir / "none/a", {}); }), Contains("none/a: cannot be written"));
}

TEST_CASE("released pages come back from the file") {
  const temporary_folder dir;
  std::string text(1 << 20, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 31 >> 3);
  write_file(dir / "a", text);
  const auto file = mapped_file::open(dir / "a");
  const auto same = [&] { return std::memcmp(file.bytes().data(), text.data(), text.size()) == 0; };
  CHECK(same());
  file.release(file.bytes().data() + 100, 500'000);
  CHECK(same());
}

TEST_CASE("a file is written whole or not at all") {
  const temporary_folder dir;
  const std::string path = dir / "out";
  write_file(path, "first");
  CHECK(contents(path) == "first");
  write_file(path, "second, longer");
  CHECK(contents(path) == "second, longer");
  CHECK(dir.files() == 1);
  SECTION("a body that fails leaves the old file") {
    CHECK_THROWS_AS(write_file(path,
                               [](file_writer put) {
                                 put(std::as_bytes(std::span("half", 4)));
                                 throw std::runtime_error("stop");
                               }),
                    std::runtime_error);
    CHECK(contents(path) == "second, longer");
    CHECK(dir.files() == 1);
  }
  SECTION("a full disk") {
    struct rlimit old {};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &old) == 0);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    const struct rlimit small { 4096, old.rlim_max };
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
    const auto what = message([&] { write_file(path, std::string(10'000, 'x')); });
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &old) == 0);
    std::signal(SIGXFSZ, handler);
    CHECK_THAT(what, Contains(path) && Contains("cannot be written"));
    CHECK(contents(path) == "second, longer");
    CHECK(dir.files() == 1);
  }
  SECTION("no folder there, or one in the file's place") {
    CHECK_THAT(message([&] { write_file(dir / "no/out", "x"); }), Contains("cannot be written"));
    fs::create_directory(dir / "folder");
    CHECK_THAT(message([&] { write_file(dir / "folder", "x"); }), Contains("cannot be written"));
    CHECK(dir.files() == 2);
  }
  SECTION("a pipe stays a pipe, a link a link") {
    const std::string pipe = dir / "pipe", link = dir / "link";
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
    write_file(pipe, "through");
    char got[16];
    CHECK(::read(reader, got, sizeof got) == 7);
    ::close(reader);
    CHECK(fs::is_fifo(pipe));
    fs::create_symlink("out", link);
    write_file(link, "third");
    CHECK(fs::is_symlink(link));
    CHECK(contents(path) == "third");
    CHECK(dir.files() == 3);
  }
}

TEST_CASE("safetensors: what a file holds") {
  std::string bytes = archive("{\"__metadata__\":{\"format\":\"pt\"}," + entry("b", "[2,1]", 4, 12) + "," + entry("a", "[]", 0, 4) +
                                  "," + entry("none", "[0,3]", 12, 12, "I64") + "}  ",
                              12);
  const auto file = parse(bytes);
  REQUIRE(file.tensors().size() == 3);
  CHECK(file.tensors()[0].name == "a");
  CHECK(file.find("a")->count() == 1);
  CHECK(file.find("b")->shape == std::vector<dim>{2, 1});
  CHECK(file.find("b")->bytes == 8);
  CHECK(file.find("b")->data == file.find("a")->data + 4);
  CHECK(file.find("none")->count() == 0);
  CHECK(file.find("c") == nullptr);
  CHECK(file.metadata() == std::vector<std::pair<std::string, std::string>>{{"format", "pt"}});
  std::string empty = archive("{}", 0);
  CHECK(parse(empty).tensors().empty());
}

TEST_CASE("safetensors: every type by its name") {
  const std::vector<std::pair<std::string, dim>> types{
      {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},  {"I32", 4},     {"I16", 2},     {"I8", 1},
      {"U64", 8}, {"U32", 4}, {"U16", 2}, {"U8", 1},   {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"C64", 8}};
  for (auto& [name, size] : types) {
    const auto n = static_cast<std::size_t>(3 * size);
    std::string bytes = archive("{" + entry("a", "[3]", 0, n, name) + "}", n);
    const auto file = parse(bytes);
    CHECK(name_of(file.tensors()[0].type) == name);
    CHECK(size_of(file.tensors()[0].type) == size);
  }
  float one = 0;
  const std::byte zeros[8]{};
  CHECK_THAT(message([&] { to_float(dtype::i64, zeros, {&one, 1}); }), Contains("got I64"));
}

TEST_CASE("safetensors: the header") {
  CHECK_THAT(refusal("abc"), Contains("x.safetensors") && Contains("at least 8 bytes, got 3"));
  CHECK_THAT(refusal(""), Contains("got 0"));
  CHECK_THAT(refusal(std::string(8, '\0')), Contains("begins with"));
  CHECK_THAT(refusal(archive("{}", 0).substr(0, 9)),
             Contains("incomplete") && Contains("header's length is 2, the file has 9 bytes; fetch or copy it again"));
  CHECK_THAT(refusal(std::string(8, '\xff') + "{}"), Contains("header's length is 18446744073709551615"));
  CHECK_THAT(refusal(archive("[]", 0)), Contains("begins with"));
  CHECK_THAT(refusal("PK\3\4 and more"), Contains("a PyTorch file"));
  CHECK_THAT(refusal(archive("{\"a\":", 0)), Contains("not valid JSON"));
  CHECK_THAT(refusal(archive("{} x", 0)), Contains("not valid JSON"));
  CHECK_THAT(refusal(archive("{\"\xff\":1}", 0)), Contains("not valid JSON"));
  CHECK_THAT(refusal(archive("{\"a\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}", 0)),
             Contains("nested deeper than 4"));
  CHECK_THAT(refusal(archive("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4)),
             Contains("\"dtype\" appears twice"));
  CHECK_THAT(refusal(archive("{\"__metadata__\":{\"a\":1}}", 0)), Contains("__metadata__") && Contains("expected a string"));
  CHECK_THAT(refusal(archive("{\"__metadata__\":[]}", 0)), Contains("expected an object of strings"));
}

TEST_CASE("safetensors: the entries") {
  const auto one = [](const std::string& value, std::size_t data = 4) { return refusal(archive("{\"a\":" + value + "}", data)); };
  const auto shaped = [](const std::string& shape, std::size_t n, const char* type = "F32") {
    return refusal(archive("{" + entry("a", shape, 0, n, type) + "}", n));
  };
  CHECK_THAT(one("1"), Contains("tensor \"a\"") && Contains("expected dtype, shape and data_offsets"));
  CHECK_THAT(one("{\"dtype\":\"F32\",\"shape\":[1]}"), Contains("expected dtype"));
  CHECK_THAT(one("{\"dtype\":3,\"shape\":[1],\"data_offsets\":[0,4]}"), Contains("wrong form"));
  CHECK_THAT(one("{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}"), Contains("wrong form"));
  CHECK_THAT(one("{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}"), Contains("wrong form"));
  CHECK_THAT(one("{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4.0]}"), Contains("not whole numbers"));
  CHECK_THAT(one("{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}"), Contains("reach outside"));
  CHECK_THAT(shaped("[1]", 4, "F31"), Contains("unknown dtype F31"));
  CHECK_THAT(shaped("[1.0]", 4), Contains("not a whole number"));
  CHECK_THAT(shaped("[-1]", 4), Contains("not a whole number"));
  CHECK_THAT(shaped("[2]", 4), Contains("its shape takes 8 bytes, its data_offsets 4"));
  CHECK_THAT(shaped("[18446744073709551616]", 4), Contains("not a whole number"));
  CHECK_THAT(shaped("[18446744073709551615]", 4), Contains("overflow"));
  CHECK_THAT(shaped("[4294967296,4294967296]", 0), Contains("overflow"));
  CHECK_THAT(shaped("[4611686018427387904,2,0]", 0, "U8"), Contains("overflow"));
  CHECK_THAT(shaped("[0,4611686018427387904,2]", 0, "U8"), Contains("overflow"));
}

TEST_CASE("safetensors: the tensors tile the data") {
  const auto two = [](std::size_t b, std::size_t n) {
    return refusal(archive("{" + entry("a", "[2]", 0, 8) + "," + entry("b", "[1]", b, b + 4) + "}", n));
  };
  CHECK(two(8, 12) == "no error");
  CHECK_THAT(two(12, 16), Contains("\"b\": a hole before it"));
  CHECK_THAT(two(4, 8), Contains("\"b\": an overlap before it"));
  CHECK_THAT(two(8, 13), Contains("1 bytes after the last tensor"));
  CHECK_THAT(two(8, 11), Contains("[8, 12) reach outside the 11 bytes of data; the file is incomplete"));
  CHECK_THAT(refusal(archive("{}", 3)), Contains("3 bytes after"));
}

TEST_CASE("safetensors: what is written comes back") {
  const temporary_folder dir;
  const double tiny32 = std::numeric_limits<float>::denorm_min(), tiny64 = std::numeric_limits<double>::denorm_min();
  const double inf = std::numeric_limits<double>::infinity();
  std::vector<double> wide{0, -0.0, 1, -2.5, 65504, 0x1p-24, 3 * 0x1p-24, -0x1p-14, inf, -inf, 0x1p-126, -0x1p-133, tiny32, 0x1p99};
  std::vector<double> half{0, -0.0, 1, -2.5, 65504, 0x1p-24, 1023 * 0x1p-24, -0x1p-14, inf, 1 / 1024.0};
  std::vector<double> brain{0, -0.0, 1, -2.5, 0x1p-126, 0x1p-133, -127 * 0x1p-133, 0x1.fep127, -inf};
  std::vector<double> doubles{0, tiny64, -1e300, 1.0 / 3};
  const auto n = [](const std::vector<double>& v) { return static_cast<dim>(v.size()); };
  const std::string path = dir / "x.safetensors";
  write_safetensors(path,
                    {{"half", dtype::f16, {n(half)}},
                     {"wide", dtype::f32, {2, n(wide) / 2}},
                     {"brain", dtype::bf16, {n(brain), 1}},
                     {"a.none", dtype::f32, {0, 4}},
                     {"doubles", dtype::f64, {n(doubles)}},
                     {"scalar", dtype::f32, {}}},
                    from({half, wide, brain, {}, doubles, {3}}), {{"format", "pt"}, {"note", "x\"y"}});
  CHECK(dir.files() == 1);
  const auto file = safetensors::open(path);
  CHECK(file.tensors().size() == 6);
  CHECK(file.metadata().size() == 2);
  CHECK(file.find("wide")->shape == std::vector<dim>{2, n(wide) / 2});
  const auto same = [&](const char* name, const std::vector<double>& expected) {
    INFO(name);
    const auto got = read_all(*file.find(name));
    REQUIRE(got.size() == expected.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      CHECK(static_cast<double>(got[i]) == expected[i]);
      CHECK(std::signbit(got[i]) == std::signbit(expected[i]));
    }
  };
  same("wide", wide), same("half", half), same("brain", brain), same("scalar", {3}), same("a.none", {});
  double back = 0;
  std::memcpy(&back, file.find("doubles")->data + 8, 8);
  CHECK(back == tiny64);
  // as the reference writer: the data begins at a multiple of 8, wider types come first
  const auto text = contents(path);
  CHECK((text.size() - file.find("doubles")->bytes - file.find("wide")->bytes - file.find("half")->bytes -
         file.find("brain")->bytes - 4) %
            8 ==
        0);
  CHECK(file.find("doubles")->data < file.find("a.none")->data);
  CHECK(file.find("scalar")->data < file.find("wide")->data);
  CHECK(file.find("wide")->data < file.find("brain")->data);
  CHECK(file.find("brain")->data < file.find("half")->data);
  file.release(file.find("wide")->data, file.find("wide")->bytes);
  same("wide", wide);
}

TEST_CASE("safetensors: every f16 and bf16 value keeps its bits") {
  const temporary_folder dir;
  std::vector<double> f16(65536), b16(65536);
  for (std::uint32_t i = 0; i < 65536; ++i) {
    f16[i] = f16_to_float(static_cast<std::uint16_t>(i));
    b16[i] = std::bit_cast<float>(i << 16);
  }
  write_safetensors(dir / "x", {{"b", dtype::bf16, {65536}}, {"h", dtype::f16, {256, 256}}}, from({b16, f16}), {});
  const auto file = safetensors::open(dir / "x");
  CHECK(file.metadata().empty());
  std::size_t wrong = 0;
  for (const auto& [name, values] : {std::pair("h", &f16), std::pair("b", &b16)}) {
    const auto* t = file.find(name);
    for (std::uint32_t i = 0; i < 65536; ++i) {
      std::uint16_t bits = 0;
      std::memcpy(&bits, t->data + 2 * i, 2);
      wrong += std::isnan((*values)[i]) ? (bits & 0x7fff) <= 0x7c00 : bits != i;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("safetensors: what is not written") {
  const temporary_folder dir;
  const auto zero = [](std::size_t, std::span<double> to) { std::fill(to.begin(), to.end(), 0.0); };
  const std::string path = dir / "x";
  CHECK_THAT(message([&] { write_safetensors(path, {{"a", dtype::f32, {1}}, {"a", dtype::f16, {1}}}, zero); }), Contains("taken"));
  CHECK_THAT(message([&] { write_safetensors(path, {{"__metadata__", dtype::f32, {1}}}, zero); }), Contains("taken"));
  CHECK_THAT(message([&] { write_safetensors(path, {{"\xff", dtype::f32, {1}}}, zero); }), Contains("not UTF-8"));
  CHECK_THAT(message([&] { write_safetensors(path, {{"a", dtype::i64, {1}}}, zero); }), Contains("I64 is not written"));
  CHECK(dir.files() == 0);
  write_safetensors(path, {}, zero, {});
  CHECK(safetensors::open(path).tensors().empty());
}

TEST_CASE("safetensors: shards and their index") {
  const temporary_folder dir;
  const auto put = [&](const std::string& file, const std::vector<std::string>& names) {
    std::vector<tensor_to_write> all;
    for (auto& n : names) all.push_back({n, dtype::f32, {2}});
    write_safetensors(dir / file, all, [&](std::size_t i, std::span<double> to) {
      to[0] = names[i][0];
      to[1] = 1;
    });
  };
  put("1.safetensors", {"a", "c"}), put("2.safetensors", {"b"});
  const std::string index = dir / "model.safetensors.index.json";
  const auto refused = [&](const std::string& json) {
    write_file(index, json);
    return message([&] { safetensors::open(index); });
  };
  write_file(index, R"({"metadata":{"total_size":24},"weight_map":{"a":"1.safetensors","b":"2.safetensors","c":"1.safetensors"}})");
  const auto file = safetensors::open(index);
  REQUIRE(file.tensors().size() == 3);
  for (auto& t : file.tensors()) CHECK(read_all(t)[0] == static_cast<float>(t.name[0]));
  CHECK_THAT(refused(""), Contains("not valid JSON"));
  CHECK_THAT(refused("[]"), Contains("weight_map"));
  CHECK_THAT(refused(R"({"weight_map":{}})"), Contains("empty"));
  CHECK_THAT(refused(R"({"weight_map":{"a":1}})"), Contains("same folder"));
  CHECK_THAT(refused(R"({"weight_map":{"a":"../1.safetensors"}})"), Contains("same folder"));
  CHECK_THAT(refused(R"({"weight_map":{"a":"3.safetensors"}})"), Contains("3.safetensors") && Contains("cannot be opened"));
  CHECK_THAT(refused(R"({"weight_map":{"a":"1.safetensors","d":"1.safetensors"}})"), Contains("\"d\" is not in"));
  put("2.safetensors", {"b", "c"});
  CHECK_THAT(refused(R"({"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})"), Contains("\"c\" is in two shards"));
  CHECK_THAT(message([&] { safetensors::open(dir / "none"); }), Contains("cannot be opened"));
}

TEST_CASE("npy: what is written comes back") {
  const temporary_folder dir;
  for (const auto& shape : std::vector<std::vector<dim>>{{}, {3}, {2, 3}, {2, 1, 5}, {0, 7}, {1000, 64}}) {
    dim n = 1;
    for (dim d : shape) n *= d;
    std::vector<float> values(static_cast<std::size_t>(n));
    std::mt19937 random(1);
    for (auto& v : values) v = std::bit_cast<float>(static_cast<std::uint32_t>(random() & 0xbfffffffu));
    write_npy(dir / "x.npy", values, shape);
    const auto back = read_npy(dir / "x.npy");
    CHECK(back.shape == shape);
    CHECK(back.values == values);
    CHECK((contents(dir / "x.npy").size() - values.size() * 4) % 64 == 0);
  }
  const std::vector<float> three(3);
  CHECK_THAT(message([&] { write_npy(dir / "y.npy", three, {2, 2}); }), Contains("expected 4 values, got 3"));
  CHECK_FALSE(fs::exists(dir / "y.npy"));
}

TEST_CASE("npy: other types, versions and lies") {
  const auto bytes = [](const std::string& type, const std::string& shape, const std::string& data, int version = 1,
                        const char* order = "False") {
    const std::string header = "{'descr': '" + type + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }\n";
    std::string out = "\x93NUMPY";
    out += static_cast<char>(version);
    out += '\0';
    out += static_cast<char>(header.size());
    out += '\0';
    if (version > 1) out += std::string(2, '\0');
    return out + header + data;
  };
  const auto parsed = [](const std::string& b) { return parse_npy(std::as_bytes(std::span(b)), "x.npy"); };
  const auto refused = [&](const std::string& b) { return message([&] { parsed(b); }); };
  const std::string i8("\1\0\0\0\0\0\0\0\xfe\xff\xff\xff\xff\xff\xff\xff", 16);
  for (int version : {1, 2, 3}) CHECK(parsed(bytes("<i8", "(2,)", i8, version)).values == std::vector<float>{1, -2});
  CHECK(parsed(bytes("<i4", "(4,)", i8)).values == std::vector<float>{1, 0, -2, -1});
  CHECK(parsed(bytes("|u1", "(1, 2)", "\x80\x01")).values == std::vector<float>{128, 1});
  CHECK(parsed(bytes("<f8", "()", std::string("\0\0\0\0\0\0\xf0\x3f", 8))).values == std::vector<float>{1});
  const std::string good = bytes("<f4", "(2,)", std::string(8, '\0'));
  CHECK(refused(good) == "no error");
  for (std::size_t n = 0; n < good.size(); ++n) CHECK(refused(good.substr(0, n)) != "no error");
  CHECK_THAT(refused(good + "x"), Contains("expected 8 bytes of data, got 9"));
  CHECK_THAT(refused(bytes("<f4", "(2,)", "", 4)), Contains("version 4"));
  CHECK_THAT(refused(bytes("<f4", "(2,)", std::string(8, '\0'), 1, "True")), Contains("C order"));
  CHECK_THAT(refused(bytes("<c8", "(1,)", std::string(8, '\0'))), Contains("got '<c8'"));
  CHECK_THAT(refused(bytes(">f4", "(2,)", std::string(8, '\0'))), Contains("got '>f4'"));
  for (const char* shape : {"(3,)", "(-1,)", "(99999999999999999999,)", "(4294967296, 4294967296)", "(0, 4294967296, 4294967296)",
                            "(2.0,)", "2", "(2,"})
    CHECK(refused(bytes("<f4", shape, std::string(8, '\0'))) != "no error");
  CHECK_THAT(message([&] { read_npy("no/such.npy"); }), Contains("cannot be opened"));
}

TEST_CASE("a place that cannot be written is told before the work") {
  const temporary_folder dir;
  CHECK(message([&] { expect_writable(dir / "new"); }) == "no error");
  CHECK(dir.files() == 0);
  write_file(dir / "there", "x");
  CHECK(message([&] { expect_writable(dir / "there"); }) == "no error");
  CHECK_THAT(message([&] { expect_writable(dir / "no/x"); }), Contains("no/x") && Contains("missing or cannot be written"));
  CHECK_THAT(message([&] { expect_writable(dir.path.string()); }), Contains("got a folder"));
}

}  // namespace test_io
