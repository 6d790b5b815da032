// Archives as torch.save and torch.jit.save write them, made by hand: pickles of protocol 2 in a zip archive.
#pragma once
#include <algorithm>
#include <clipx/io/tensor_file.hpp>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "temporary.hpp"

namespace torch_archive {

using clipx::cat;
using clipx::dim;

template <class N>
std::string raw(N n) {
  std::string out(sizeof n, '\0');
  std::memcpy(out.data(), &n, sizeof n);
  return out;
}

// Pickled values.
inline std::string text(const std::string& s) { return "X" + raw(static_cast<std::uint32_t>(s.size())) + s; }
inline std::string number(std::int64_t n) { return "\x8a\x08" + raw(n); }
inline std::string global(const std::string& module, const std::string& name) { return cat("c", module, "\n", name, "\n"); }
inline std::string tuple(const std::string& items) { return "(" + items + "t"; }
inline std::string sizes(const std::vector<dim>& all) {
  std::string out;
  for (dim d : all) out += number(d);
  return tuple(out);
}
using pairs = std::vector<std::pair<std::string, std::string>>;
inline std::string dict(const pairs& items) {
  std::string out = "}(";
  for (auto& [key, value] : items) out += text(key) + value;
  return out + "u";
}
inline std::string storage(const std::string& key, const std::string& type, std::int64_t count) {
  return tuple(text("storage") + global("torch", type + "Storage") + text(key) + text("cpu") + number(count)) + "Q";
}
inline std::string tensor(const std::string& stored, std::int64_t offset, const std::vector<dim>& shape,
                          const std::vector<dim>& strides) {
  return global("torch._utils", "_rebuild_tensor_v2") +
         tuple(stored + number(offset) + sizes(shape) + sizes(strides) + "\x89" + global("collections", "OrderedDict") + ")R") +
         "R";
}
/// A module of TorchScript.
inline std::string object(const std::string& type, const pairs& attributes) {
  return global("__torch__", type) + ")\x81" + dict(attributes) + "b";
}

/// A zip archive of stored members.
inline std::string zip(const pairs& members) {
  std::string out, directory;
  for (auto& [name, body] : members) {
    const auto size = static_cast<std::uint32_t>(body.size());
    const auto common = raw(std::uint16_t{20}) + std::string(8, '\0') + raw(std::uint32_t{0}) + raw(size) + raw(size) +
                        raw(static_cast<std::uint16_t>(name.size()));
    directory +=
        "PK\1\2" + raw(std::uint16_t{20}) + common + std::string(12, '\0') + raw(static_cast<std::uint32_t>(out.size())) + name;
    out += "PK\3\4" + common + raw(std::uint16_t{0}) + name + body;
  }
  const auto count = raw(static_cast<std::uint16_t>(members.size()));
  return out + directory + "PK\5\6" + std::string(4, '\0') + count + count + raw(static_cast<std::uint32_t>(directory.size())) +
         raw(static_cast<std::uint32_t>(out.size())) + std::string(2, '\0');
}

/// An archive of one pickle, and of storages by their names.
inline std::string archive(const std::string& pickled, const pairs& storages = {}, const pairs& more = {}) {
  pairs members{{"x/data.pkl", "\x80\x02" + pickled + "."}};
  for (auto& [key, data] : storages) members.emplace_back("x/data/" + key, data);
  for (auto& other : more) members.push_back(other);
  return zip(members);
}

/// The archive, open in memory.
inline clipx::tensor_file open(const std::string& bytes) {
  const auto owner = std::make_shared<const std::string>(bytes);
  return clipx::tensor_file::open(clipx::file_set::memory({{"x.pt", std::as_bytes(std::span(*owner)), owner}}), "x.pt");
}

/// All tensors of a file as another one holds them: a state_dict, or modules of TorchScript.
inline std::string copy(const clipx::tensor_file& from, bool scripted, const pairs& more = {}) {
  pairs storages;
  struct module {
    pairs tensors;
    std::vector<std::string> names;  // of the parts
    std::vector<module> parts;
    std::string pickled() const {
      auto attributes = tensors;
      for (std::size_t i = 0; i < parts.size(); ++i) attributes.emplace_back(names[i], parts[i].pickled());
      attributes.emplace_back("training", "\x89");
      return object("Model", attributes);
    }
  } root;
  for (auto& t : from.tensors()) {
    const auto key = cat(storages.size());
    storages.emplace_back(key, std::string(reinterpret_cast<const char*>(t.data), t.bytes));
    std::vector<dim> strides(t.shape.size(), 1);
    for (auto i = strides.size(); i-- > 1;) strides[i - 1] = strides[i] * t.shape[i];
    const auto value = tensor(storage(key, t.type == clipx::dtype::f16 ? "Half" : "Float", t.count()), 0, t.shape, strides);
    auto* at = &root;
    std::string name = t.name;
    for (auto dot = name.find('.'); scripted && dot != std::string::npos; dot = name.find('.')) {
      const auto part =
          static_cast<std::size_t>(std::find(at->names.begin(), at->names.end(), name.substr(0, dot)) - at->names.begin());
      if (part == at->names.size()) {
        at->names.push_back(name.substr(0, dot));
        at->parts.emplace_back();
      }
      at = &at->parts[part];
      name = name.substr(dot + 1);
    }
    at->tensors.emplace_back(name, value);
  }
  for (auto& other : more) root.tensors.push_back(other);
  return archive(scripted ? root.pickled() : dict(root.tensors), storages);
}

}  // namespace torch_archive
