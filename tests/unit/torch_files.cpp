// PyTorch's archives: what torch.save and torch.jit.save wrote (tests/golden/torch_files.py), and what a hostile file may say.
#include <clipx/checkpoint/checkpoint.hpp>
#include <clipx/io/safetensors.hpp>
#include <cstring>
#include <map>
#include <set>

#include "catch.hpp"
#include "temporary.hpp"
#include "tiny_model.hpp"
#include "torch_archive.hpp"

namespace test_torch_files {

using namespace clipx;
using namespace torch_archive;
namespace fs = std::filesystem;

namespace {
const std::string golden = std::string(CLIPX_SOURCE_DIR) + "/tests/golden/";

std::string refusal(const std::string& bytes) {
  return message([&] { torch_archive::open(bytes); });
}
error_kind kind_of(const std::string& bytes) {
  try {
    torch_archive::open(bytes);
  } catch (const error& e) { return e.kind(); }
  return error_kind::cancelled;
}
std::string bytes_of(const tensor_info& t) { return {reinterpret_cast<const char*>(t.data), t.bytes}; }

const std::string six = storage("0", "Float", 6), data(24, '\1');
std::string one(const std::string& value, const std::string& stored = data) {
  return archive(dict({{"a", value}}), {{"0", stored}});
}
}  // namespace

TEST_CASE("torch: each file has the tensors that PyTorch reads in it") {
  const auto want = safetensors::open(golden + "torch.safetensors");
  std::map<std::string, std::set<std::string>> files;
  for (auto& t : want.tensors()) {
    const auto slash = t.name.find('/');
    files[t.name.substr(0, slash)].insert(t.name.substr(slash + 1));
  }
  REQUIRE(files.size() == 11);
  for (auto& [name, tensors] : files) {
    INFO(name);
    const auto file = tensor_file::open(golden + "torch/" + name);
    std::set<std::string> found;
    for (auto& t : file.tensors()) {
      INFO(t.name);
      found.insert(t.name);
      const auto* w = want.find(cat(name, "/", t.name));
      REQUIRE(w != nullptr);
      CHECK(t.type == w->type);
      CHECK(t.shape == w->shape);
      CHECK(bytes_of(t) == bytes_of(*w));
    }
    CHECK(found == tensors);
    const bool scripted = name == "script.pt" || name == "trace.pt";
    CHECK(file.format() == (scripted ? tensor_format::torchscript : tensor_format::torch));
  }
}

TEST_CASE("torch: what is refused, by name") {
  const std::vector<std::pair<std::string, std::string>> refused{{"system", "names posix.system"},
                                                                 {"eval", "names builtins.eval"},
                                                                 {"nested", "names builtins.getattr"},
                                                                 {"argument", "names builtins.exec"},
                                                                 {"module", "torch.nn.modules.linear.Linear"},
                                                                 {"numpy", "multiarray._reconstruct"},
                                                                 {"subclass", "_rebuild_from_type_v2"},
                                                                 {"legacy", "before PyTorch 1.6"},
                                                                 {"pickle", "a Python pickle, but not one of PyTorch"},
                                                                 {"inside", "checkpoint[\"model\"] is a dict"},
                                                                 {"number", "checkpoint[\"epoch\"] is an int"},
                                                                 {"list", "got a list"},
                                                                 {"deflated", "data.pkl is compressed"},
                                                                 {"big", "byteorder is big"}};
  for (auto& [name, part] : refused) {
    const auto path = golden + "torch/bad_" + name + ".pt";
    CHECK_THAT(message([&] { tensor_file::open(path); }), Contains(path + ": ") && Contains(part));
    CHECK(kind_of(contents(path)) == error_kind::unsupported);
  }
  CHECK_THAT(message([] { safetensors::open(golden + "torch/types.pt"); }), Contains("a PyTorch file (.pt, .pth, .bin)"));
  std::string tar(512, '\0');
  tar.replace(257, 5, "ustar");
  CHECK_THAT(refusal(tar), Contains("before PyTorch 1.6"));
  CHECK_THAT(refusal(archive(global("os", "system") + tuple(text("x")) + "R")), Contains("x.pt: its pickle names os.system"));
  CHECK_THAT(refusal(archive(text("builtins") + text("eval") + "\x93")), Contains("names builtins.eval"));  // STACK_GLOBAL
  CHECK_THAT(refusal(archive(tuple(text("a")) + "i")), Contains("the opcode 105 at byte"));
}

TEST_CASE("torch: a view is of the archive's own bytes, tied or not") {
  const auto value = tensor(six, 0, {2, 3}, {3, 1});
  const auto bytes = archive(
      dict({{"a", value}, {"b", value}, {"c", tensor(six, 2, {4}, {1})}, {"d", tensor(six, 0, {3, 2}, {1, 3})}}), {{"0", data}});
  const auto file = torch_archive::open(bytes);
  const auto *a = file.find("a"), *b = file.find("b"), *c = file.find("c"), *d = file.find("d");
  REQUIRE((a && b && c && d));
  CHECK(a->data == b->data);
  CHECK(c->data == a->data + 8);
  CHECK((d->data < a->data || d->data >= a->data + 24));  // in another order: a copy
  CHECK(file.metadata().empty());
}

TEST_CASE("torch: a repeated key is the last one, as in Python") {
  const auto file =
      torch_archive::open(archive(dict({{"a", tensor(six, 0, {1}, {1})}, {"a", tensor(six, 0, {2}, {1})}}), {{"0", data}}));
  CHECK(file.find("a")->shape == std::vector<dim>{2});
}

TEST_CASE("torch: tensors outside of their storage") {
  const dim huge = dim{1} << 62;
  CHECK_THAT(refusal(one(tensor(six, 0, {7}, {1}))), Contains("x.pt: tensor \"a\": its sizes exceed the 6 values"));
  CHECK_THAT(refusal(one(tensor(six, 0, {huge, huge}, {1, 1}))), Contains("its sizes exceed"));
  CHECK_THAT(refusal(one(tensor(six, 1, {2, 3}, {3, 1}))), Contains("reach beyond the 6 values"));
  CHECK_THAT(refusal(one(tensor(six, huge, {1}, {1}))), Contains("reach beyond"));
  CHECK_THAT(refusal(one(tensor(six, 0, {2}, {huge}))), Contains("reach beyond"));
  CHECK_THAT(refusal(one(tensor(six, 0, {2, 2}, {3, 3}))), Contains("reach beyond"));
  CHECK_THAT(refusal(one(tensor(six, -1, {1}, {1}))), Contains("do not fit together"));
  CHECK_THAT(refusal(one(tensor(six, 0, {1}, {-1}))), Contains("not whole numbers"));
  CHECK_THAT(refusal(one(tensor(six, 0, {1, 1}, {1}))), Contains("do not fit together"));
  CHECK_THAT(refusal(one(tensor(six, 0, std::vector<dim>(65, 1), std::vector<dim>(65, 1)))), Contains("has 65 dimensions"));
  CHECK_THAT(refusal(one(tensor(six, 0, {6}, {1}), data.substr(1))), Contains("x/data/0: expected 6 values of F32, got 23 bytes"));
  CHECK_THAT(refusal(one(tensor(storage("1", "Float", 6), 0, {6}, {1}))), Contains("data/1, which is not in the archive"));
  CHECK_THAT(refusal(one(tensor(storage("0", "Float", huge), 0, {6}, {1}))), Contains("expected 4611686018427387904 values"));
  CHECK_THAT(refusal(one(tensor(storage("0", "QInt8", 6), 0, {6}, {1}))), Contains("names torch.QInt8Storage"));
  CHECK(torch_archive::open(one(tensor(six, 6, {0, 5}, {5, 1}))).find("a")->count() == 0);
  CHECK(torch_archive::open(one(tensor(storage("0", "Float", 0), 0, {5, 0}, {1, 1}), "")).find("a")->shape ==
        std::vector<dim>{5, 0});
  CHECK_THAT(refusal(one(tensor(six, 0, {huge, huge, 0}, {1, 1, 1}))), Contains("its sizes exceed"));
  CHECK(torch_archive::open(one(tensor(six, 5, {1, 1}, {huge, huge}))).find("a")->bytes ==
        4);  // a stride of one value is never taken
}

TEST_CASE("torch: tensors that share values do not make a file large") {
  pairs tied, expanded;
  const auto stored = storage("0", "Float", 1000);
  for (int i = 0; i < 200; ++i) tied.emplace_back(cat(i), tensor(stored, 0, {1000}, {1}));
  for (int i = 0; i < 6; ++i) expanded.emplace_back(cat(i), tensor(stored, 0, {1000}, {0}));
  CHECK_THAT(refusal(archive(dict(tied), {{"0", std::string(4000, '\0')}})), Contains("more than 16 times the file"));
  CHECK_THAT(refusal(archive(dict(expanded), {{"0", std::string(4000, '\0')}})), Contains("their copies exceed the file"));
}

TEST_CASE("torch: damaged pickles") {
  const std::vector<std::pair<std::string, std::string>> damaged{
      {"", "a value is missing"},
      {"0", "a value is missing"},
      {"NN", "it leaves 2 values"},
      {"t", "a mark is missing"},
      {"(0", "a value is missing"},
      {"h\x01", "no value has the number 1"},
      {"X" + raw(std::uint32_t{100}) + "abc", "it is cut off"},
      {"\x8d" + raw(~std::uint64_t{0}), "it is cut off"},
      {"ccollections", "it is cut off"},
      {"}(Nu", "a key without a value"},
      {"Ns", "a value is missing"},
      {")NR", "expected a tuple, got None"},
      {"N)R", "expected a name, got None"},
      {"NNb", "attributes are given to None"},
      {global("torch._utils", "_rebuild_tensor_v2") + ")R", "expected a tensor's storage"},
      {global("torch._utils", "_rebuild_parameter") + ")R", "expected a tensor as the argument, got none"},
      {"NQ", "expected a tuple, got None"},
      {")Q", "expected a storage's type, name and size"}};
  for (auto& [pickled, part] : damaged) {
    INFO(part);
    const auto what = refusal(archive(pickled));
    if (pickled.empty()) CHECK_THAT(what, Contains("it leaves 0 values"));
    else CHECK_THAT(what, Contains("x.pt: damaged pickle, before byte") && Contains(part));
    CHECK(kind_of(archive(pickled)) == error_kind::damaged);
  }
  const auto whole = archive(dict({{"a", tensor(six, 0, {6}, {1})}}), {{"0", data}});
  for (std::size_t n = 0; n < whole.size(); ++n) CHECK(refusal(whole.substr(0, n)) != "no error");  // cut off anywhere
  for (std::size_t n = 0; n < whole.size(); ++n) {
    auto changed = whole;
    changed[n] = static_cast<char>(changed[n] ^ 0x41);
    refusal(changed);  // anything but a crash
  }
}

TEST_CASE("torch: what is nested or repeated without end") {
  std::string deep, wide = object("Leaf", {{"w", tensor(six, 0, {1}, {1})}}) + "r" + raw(std::uint32_t{0}) + "0";
  for (int i = 0; i < 70; ++i) deep += global("__torch__", "M") + ")\x81}" + text("m");
  deep += "N";
  for (int i = 0; i < 70; ++i) deep += "sb";
  CHECK_THAT(refusal(archive(deep)), Contains("nested more than 64 deep"));
  for (std::uint32_t i = 0; i < 40; ++i) {  // each module has the last one twice
    const auto last = "j" + raw(i);
    wide += object("M", {{"a", last}, {"b", last}}) + "r" + raw(i + 1) + "0";
  }
  wide += "j" + raw(std::uint32_t{40});
  CHECK_THAT(refusal(archive(wide, {{"0", data}})), Contains("holds more than 1000000"));
  CHECK_THAT(refusal(archive(std::string(5'000'000, '('))), Contains("more than 4000000 values"));
  // a module that is its own part
  const auto self = global("__torch__", "M") + ")\x81q\x01}(" + text("m") + "h\x01ub";
  CHECK_THAT(refusal(archive(self)), Contains("nested more than 64 deep"));
}

TEST_CASE("torch: of TorchScript's attributes, the parameters and buffers") {
  const auto w = tensor(six, 0, {1}, {1});
  const auto tensors_of = [&](const std::string& code) {
    std::string out;
    const auto file =
        torch_archive::open(archive(object("a.M", {{"w", w}, {"mask", w}}), {{"0", data}}, {{"x/code/__torch__/a.py", code}}));
    for (auto& t : file.tensors()) out += t.name + " ";
    return out;
  };
  CHECK(tensors_of("class M(Module):\n  __parameters__ = [\"w\", ]\n  __buffers__ = []\n  mask : Tensor\n") == "w ");
  CHECK(tensors_of("class M(Module):\n  __buffers__ = [\"mask\", \"v\"]\nclass N(Module):\n  __parameters__ = [\"w\"]\n") ==
        "mask ");
  CHECK(tensors_of("class M:\n  w : Tensor\n").empty());  // no module
  CHECK(tensors_of("class N(Module):\n") == "mask w ");   // not its source
  CHECK(tensors_of("class M(Module):\n  __parameters__ = [\"w") == "");
}

TEST_CASE("torch: damaged zip archives") {
  const auto whole = one(tensor(six, 0, {6}, {1}));
  const auto changed = [&](std::size_t from_end, const std::string& to) {
    auto out = whole;
    return out.replace(out.size() - from_end, to.size(), to);
  };
  REQUIRE(refusal(whole) == "no error");
  CHECK_THAT(refusal(changed(22, "xx")), Contains("x.pt: damaged zip archive: no directory at its end"));
  CHECK_THAT(refusal(changed(6, raw(std::uint32_t{3}))), Contains("its directory is not where it should be"));
  CHECK_THAT(refusal(changed(6, raw(~std::uint32_t{0}))), Contains("it ends at byte"));
  CHECK_THAT(refusal(changed(12, raw(std::uint16_t{60000}))), Contains("for 60000 members"));
  const auto entry = whole.find("PK\1\2");
  const auto in_entry = [&](std::size_t at, const std::string& to) {
    auto out = whole;
    return refusal(out.replace(entry + at, to.size(), to));
  };
  CHECK_THAT(in_entry(42, raw(std::uint32_t{1})), Contains("not where the directory says"));
  CHECK_THAT(in_entry(20, raw(std::uint32_t{1} << 20)), Contains("are stored in"));
  CHECK_THAT(in_entry(20, raw(std::uint64_t{1} << 52 | 1 << 20)), Contains("stored in") || Contains("reaches beyond"));
  CHECK_THAT(in_entry(8, raw(std::uint16_t{1})), Contains("is encrypted"));
  CHECK_THAT(refusal(zip({{"x/a", ""}, {"x/a", ""}})), Contains("two members are named \"x/a\""));
  CHECK_THAT(refusal(zip({{"x/a", ""}})), Contains("a zip archive without data.pkl"));
  CHECK_THAT(refusal(zip({})), Contains("a zip archive without data.pkl"));
}

TEST_CASE("torch: OpenAI's archive says all of a model but its tokenizer") {
  const temporary_folder dir;
  tiny::write_weights(dir / "a.safetensors", tiny::vit().model);
  const auto from = tensor_file::open(dir / "a.safetensors");
  const auto size = tensor(storage("0", "Float", 1), 0, {}, {});
  pairs sizes;
  for (auto* name : {"input_resolution", "context_length", "vocab_size"}) sizes.emplace_back(name, size);
  write_file(dir / "ViT.pt", copy(from, true, sizes));
  const auto open = checkpoint::open(dir / "ViT.pt");
  CHECK(open.config().act == activation::quick_gelu);
  CHECK(open.config().vision.as<vit_config>().heads == 1);  // of 64, as in build_model
  CHECK(open.config().name == "ViT");
  CHECK(open.warnings().empty());
  CHECK(tiny::read(open) == tiny::weights(tiny::vit().model));
  const auto other = checkpoint::open(dir / "ViT.pt", {"", "gelu", 32, -1});
  CHECK(other.config().act == activation::gelu);
  CHECK(other.config().vision.as<vit_config>().heads == 2);
  // another's says no more than a .safetensors file
  write_file(dir / "other.pt", copy(from, true));
  CHECK_THAT(message([&] { checkpoint::open(dir / "other.pt"); }), Contains("checkpoint_options::activation"));
  CHECK(tiny::read(checkpoint::open(dir / "other.pt", {"", "gelu", 32, -1})) == tiny::weights(tiny::vit().model));
}

TEST_CASE("torch: the weights of a folder") {
  const temporary_folder dir;
  const auto folder = dir / "m", weights = folder + "/open_clip_model.safetensors";
  tiny::write_folder(folder);
  const auto want = tiny::weights(tiny::vit().model);
  const auto archive = copy(tensor_file::open(weights), false);
  const auto refused = [&] { return message([&] { checkpoint::open(folder); }); };
  fs::rename(weights, dir / "kept");
  CHECK_THAT(refused(), Contains("no weights: expected one of open_clip_model.safetensors") && !Contains("alone"));
  for (auto* name : {"open_clip_pytorch_model.bin", "pytorch_model.bin", "model.pth", "epoch_3.pt"}) {
    INFO(name);
    write_file(folder + "/" + name, archive);
    CHECK(tiny::read(checkpoint::open(folder)) == want);
    fs::remove(folder + "/" + name);
  }
  write_file(folder + "/a.pt", archive), write_file(folder + "/b.pth", archive);
  CHECK_THAT(refused(), Contains("of these, one alone would be read: a.pt, b.pth"));
  write_file(folder + "/pytorch_model.bin", "no weights");
  CHECK_THAT(refused(), Contains("pytorch_model.bin: "));
  fs::rename(dir / "kept", weights);  // is preferred
  CHECK(tiny::read(checkpoint::open(folder)) == want);
}

TEST_CASE("torch: shards and their index") {
  const temporary_folder dir;
  write_file(dir / "1.bin", archive(dict({{"a", tensor(six, 0, {2}, {1})}}), {{"0", data}}));
  write_file(dir / "2.bin", archive(dict({{"b", tensor(six, 0, {3, 2}, {1, 3})}}), {{"0", data}}));
  write_file(dir / "i.json", R"({"weight_map":{"a":"1.bin","b":"2.bin"}})");
  const auto file = tensor_file::open(dir / "i.json");
  CHECK(file.tensors().size() == 2);
  CHECK(file.paths().size() == 2);
  write_file(dir / "2.bin", archive(dict({{"a", tensor(six, 0, {2}, {1})}}), {{"0", data}}));
  CHECK_THAT(message([&] { tensor_file::open(dir / "i.json"); }), Contains("\"a\" is in two shards"));
}

}  // namespace test_torch_files
