// The archives of torch.save and torch.jit.save (PyTorch 1.6 and later): a zip archive of a pickle and of the storages that its
// tensors are views of. Nothing in them is executed (docs/clip.md section 7.4).
#pragma once
#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../core/error.hpp"
#include "pickle-inl.hpp"
#include "tensor_file.hpp"
#include "zip-inl.hpp"

namespace clipx::detail {

/// Whether the first bytes are those of a file that PyTorch saves, of whatever version.
inline bool is_of_torch(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with("PK\3\4") || text.starts_with("PK\5\6")) return true;
  if (text.size() > 262 && text.substr(257, 5) == "ustar") return true;
  if (text.size() < 8 || text[0] != '\x80' || text[1] < 2 || text[1] > 5) return false;
  std::uint64_t header = 0;  // what these bytes would mean in a safetensors file
  std::memcpy(&header, text.data(), sizeof header);
  return header > text.size();
}

/// What is in an archive of TorchScript of a class: the names that its state_dict() has.
struct script_class {
  bool module = false;
  std::set<std::string, std::less<>> own;  // parameters and buffers
};

/// The sources of TorchScript's classes, as far as they say which attributes are parameters and buffers; others, such as an
/// attention mask, are not in a model's state_dict(). Each source is read once.
class script_code {
 public:
  explicit script_code(const zip_archive& archive) : archive_(archive) {}
  /// Null: its source is not in the archive.
  const script_class* find(std::string_view name) {
    const auto dot = name.rfind('.');
    std::string path = cat(archive_.root(), "/code/", name.substr(0, dot), ".py");
    std::replace(path.begin() + static_cast<std::ptrdiff_t>(archive_.root().size()), path.end() - 3, '.', '/');
    if (read_.insert(path).second) {
      const auto* member = archive_.find(path);
      constexpr std::size_t most = std::size_t(1) << 20, most_of_all = std::size_t(16) << 20;
      if (member && (total_ += member->size) <= most_of_all) read(archive_.text(*member, most), name.substr(0, dot));
    }
    const auto at = classes_.find(name);
    return at == classes_.end() ? nullptr : &at->second;
  }

 private:
  /// Of `class Name(Module):` the lines `  __parameters__ = ["weight", ]` and `  __buffers__ = [..]`.
  void read(const std::string& source, std::string_view module) {
    script_class* now = nullptr;
    for (std::size_t at = 0; at < source.size();) {
      const auto end = std::min(source.find('\n', at), source.size());
      const std::string_view line(source.data() + at, end - at);
      at = end + 1;
      if (line.starts_with("class ")) {
        const auto name = line.substr(6, line.find_first_of("(:", 6) - 6);
        now = &classes_[cat(module, ".", name)];
        now->module = line.find("(Module)") != std::string_view::npos;
      } else if (now && (line.starts_with("  __parameters__ = [") || line.starts_with("  __buffers__ = ["))) {
        for (auto open = line.find('"'); open != std::string_view::npos;) {
          const auto close = line.find('"', open + 1);
          if (close == std::string_view::npos) break;
          now->own.emplace(line.substr(open + 1, close - open - 1));
          open = line.find('"', close + 1);
        }
      }
    }
  }

  const zip_archive& archive_;
  std::set<std::string> read_;
  std::uint64_t total_ = 0;
  std::map<std::string, script_class, std::less<>> classes_;
};

/// One archive, open.
class torch_archive {
 public:
  torch_archive(const file_content& file, const std::string& name, std::vector<std::unique_ptr<std::byte[]>>& copies)
      : file_(file), name_(name), copies_(copies), zip_(file.bytes, name), pickle_(text_of_pickle(), name), code_(zip_) {
    const auto& root = pickle_.root();
    if (root.kind == pickled::object) {
      format = tensor_format::torchscript;
      add_module(root, "", 0);
    } else if (root.kind == pickled::dict) {
      const auto* inner = find(root, "state_dict");  // as open_clip's load_state_dict() has it
      add_state(inner ? *inner : root, inner ? "[\"state_dict\"]" : "");
    } else {
      fail(error_kind::unsupported, cat(name_, ": expected a dict of tensors or a TorchScript model, got ", name_of(root.kind)));
    }
    file_.file.expect_whole();
  }
  /// The tensors, in order of their names. Errors: one that is not within its storage.
  std::vector<tensor_info> tensors() {
    std::vector<tensor_info> out;
    for (auto& [name, value] : found_) out.push_back(view(name, pickle_.tensor(value)));
    if (!copies_.empty()) file_.file.expect_whole();
    return out;
  }
  tensor_format format = tensor_format::torch;

 private:
  static constexpr std::size_t most_pickle = std::size_t(16) << 20, most_tensors = 1'000'000, most_names = std::size_t(64) << 20;

  [[noreturn]] void unsupported(const std::string& what, where at = where::here()) const {
    fail(error_kind::unsupported, cat(name_, ": ", what), at);
  }
  [[noreturn]] void damaged(const std::string& what, where at = where::here()) const {
    fail(error_kind::damaged, cat(name_, ": ", what), at);
  }

  std::string_view text_of_pickle() const {
    const auto* pickle = zip_.find(cat(zip_.root(), "/data.pkl"));
    if (!pickle)
      unsupported("a zip archive without data.pkl: expected one that torch.save or torch.jit.save of PyTorch 1.6 or later wrote");
    if (const auto* order = zip_.find(cat(zip_.root(), "/byteorder")))
      if (const auto text = zip_.text(*order, 64); text != "little")
        unsupported(cat("its byteorder is ", text, ", expected little: load it in Python and save it on another machine"));
    const auto bytes = zip_.stored(*pickle);
    if (bytes.size() > most_pickle) unsupported(cat("its data.pkl has ", bytes.size(), " bytes, expected at most ", most_pickle));
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  /// The last value of a key, as in Python; null: there is none.
  const pickle_value* find(const pickle_value& dict, std::string_view key) const {
    const auto& items = pickle_.items(dict);
    for (std::size_t i = items.size(); i >= 2; i -= 2)
      if (items[i - 2].kind == pickled::text && items[i - 2].text == key) return &items[i - 1];
    return nullptr;
  }

  void add(std::string name, const pickle_value& tensor) {
    names_ += name.size();
    if (found_.size() >= most_tensors || names_ > most_names)
      unsupported(cat("holds more than ", most_tensors, " tensors, or names of more than ", most_names, " bytes"));
    found_.insert_or_assign(std::move(name), tensor);
  }

  /// A state_dict: nothing but tensors. `where` stands in messages.
  void add_state(const pickle_value& state, const std::string& where) {
    if (state.kind != pickled::dict)
      unsupported(cat("its checkpoint", where, " is ", name_of(state.kind), ", expected a dict of tensors"));
    const auto& items = pickle_.items(state);
    for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
      const auto &key = items[i], &value = items[i + 1];
      if (key.kind != pickled::text)
        unsupported(cat("its checkpoint", where, " has ", name_of(key.kind), " as a key, expected a dict of tensors"));
      if (value.kind == pickled::tensor) {
        add(std::string(key.text), value);
        continue;
      }
      unsupported(cat("checkpoint", where, "[\"", key.text.substr(0, 200), "\"] is ", name_of(value.kind), ", expected a tensor",
                      value.kind == pickled::dict
                          ? "; where it is the model's state_dict, load the file in Python and save that part alone"
                          : ""));
    }
  }

  /// A module of TorchScript and those in it, by dotted names.
  void add_module(const pickle_value& module, const std::string& prefix, int depth) {
    if (depth > 64) damaged("its modules are nested more than 64 deep");
    const auto& object = pickle_.items(module);
    if (object.size() < 2 || object[1].kind != pickled::dict) return;  // one that has a state of its own: no module
    const auto* known = code_.find(object[0].text);
    if (known && !known->module) return;
    const auto& items = pickle_.items(object[1]);
    visited_ += 1 + items.size() / 2;  // again, where two modules have the same one
    if (visited_ > most_tensors) unsupported(cat("holds more than ", most_tensors, " modules and attributes"));
    for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
      const auto &key = items[i], &value = items[i + 1];
      if (key.kind != pickled::text) damaged(cat("a module has ", name_of(key.kind), " as a name"));
      if (value.kind == pickled::tensor) {
        if (!known || known->own.contains(key.text)) add(cat(prefix, key.text), value);
      } else if (value.kind == pickled::object) {
        add_module(value, cat(prefix, key.text, "."), depth + 1);
      }
    }
  }

  /// Number of values. Error: more than the storage has.
  dim count_of(const std::string& name, const pickle_tensor& t, std::uint64_t most) const {
    const bool none = std::find(t.shape.begin(), t.shape.end(), 0) != t.shape.end();
    if (none) most = std::numeric_limits<std::int32_t>::max();  // its other sizes take no values, but must not overflow
    dim count = 1;
    for (dim d : t.shape) {
      if (d == 0) continue;
      if (static_cast<std::uint64_t>(d) > most / static_cast<std::uint64_t>(count))
        damaged(cat("tensor \"", name, "\": its sizes exceed the ", most, " values of its storage"));
      count *= d;
    }
    return none ? 0 : count;
  }

  /// Error: a value would be outside of the storage.
  void check_strides(const std::string& name, const pickle_tensor& t, std::uint64_t most) const {
    std::uint64_t last = static_cast<std::uint64_t>(t.offset);
    for (std::size_t i = 0; i < t.shape.size() && last < most; ++i) {
      const auto steps = static_cast<std::uint64_t>(t.shape[i]) - 1, stride = static_cast<std::uint64_t>(t.strides[i]);
      last = steps > 0 && stride > (most - last) / steps ? most : last + steps * stride;
    }
    if (last >= most)
      damaged(cat("tensor \"", name, "\": its offset and strides reach beyond the ", most, " values of its storage"));
  }

  std::span<std::byte> data_of(const pickle_storage& s) const {
    for (auto* folder : {"/data/", "/tensors/"}) {
      const auto* member = zip_.find(cat(zip_.root(), folder, s.key));
      if (!member) continue;
      const auto bytes = zip_.stored(*member);
      if (s.count > bytes.size() / static_cast<std::uint64_t>(size_of(s.type)))
        damaged(cat(member->name, ": expected ", s.count, " values of ", name_of(s.type), ", got ", bytes.size(), " bytes"));
      return bytes;
    }
    damaged(cat("its pickle has a tensor in data/", s.key.substr(0, 100), ", which is not in the archive"));
  }

  tensor_info view(const std::string& name, const pickle_tensor& t) {
    const auto& storage = pickle_.storage(t.storage);
    tensor_info out{name, storage.type, t.shape, nullptr, 0};
    if (storage.type == dtype::other) unsupported(cat("tensor \"", name, "\" is complex128, which is not supported as a weight"));
    const auto data = data_of(storage);
    const auto size = static_cast<std::size_t>(size_of(storage.type));
    const auto count = count_of(name, t, storage.count);
    out.data = data.data();
    if (count == 0) return out;
    check_strides(name, t, storage.count);
    out.bytes = static_cast<std::size_t>(count) * size;
    constexpr std::uint64_t most_sharing = 16;  // of tied weights; more would be no model, but make one large out of nothing
    if ((total_ += out.bytes) / most_sharing > file_.bytes.size())
      unsupported(cat("its tensors share their values: together they are more than ", most_sharing, " times the file"));
    out.data += static_cast<std::size_t>(t.offset) * size;
    if (!is_contiguous(t)) out.data = copy(out, t, size);
    return out;
  }

  static bool is_contiguous(const pickle_tensor& t) {
    dim expected = 1;
    for (auto i = t.shape.size(); i-- > 0; expected *= t.shape[i])
      if (t.shape[i] != 1 && t.strides[i] != expected) return false;
    return true;
  }

  /// The values in the order of the sizes; they are transposed, or in channels_last, or a part of something.
  std::byte* copy(const tensor_info& like, const pickle_tensor& t, std::size_t size) {
    if ((copied_ += like.bytes) > file_.bytes.size())
      unsupported("its tensors are expanded: their copies exceed the file; save tensor.contiguous()");
    copies_.push_back(std::make_unique<std::byte[]>(like.bytes));
    auto* to = copies_.back().get();
    std::vector<dim> at(t.shape.size());
    dim from = 0;
    for (std::size_t done = 0; done < like.bytes; done += size) {
      std::memcpy(to + done, like.data + static_cast<std::size_t>(from) * size, size);
      for (auto i = at.size(); i-- > 0;) {
        from += t.strides[i];
        if (++at[i] < t.shape[i]) break;
        from -= t.strides[i] * t.shape[i];
        at[i] = 0;
      }
    }
    return to;
  }

  const file_content& file_;
  std::string name_;
  std::vector<std::unique_ptr<std::byte[]>>& copies_;
  zip_archive zip_;
  pickle_reader pickle_;
  script_code code_;
  std::size_t names_ = 0, visited_ = 0, copied_ = 0;
  std::uint64_t total_ = 0;
  std::map<std::string, pickle_value> found_;
};

/// Error: a file of PyTorch before 1.6, or a pickle of something else.
inline void expect_torch_archive(std::span<const std::byte> bytes, const std::string& name) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with("PK")) return;
  constexpr std::string_view magic("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 12);
  const bool old = text.substr(2, magic.size()) == magic || text[0] != '\x80';
  fail(error_kind::unsupported,
       cat(name, ": a ",
           old ? "PyTorch file of the form before PyTorch 1.6, which is not read. Where you trust it, load it in Python and save "
                 "it again: "
                 "torch.save(torch.load(FILE, map_location=\"cpu\"), NEW_FILE)"
               : "Python pickle, but not one of PyTorch: expected an archive of torch.save or torch.jit.save, or safetensors"));
}

}  // namespace clipx::detail

namespace clipx {

CLIPX_INLINE void tensor_file::add_torch(const file_content& file, const std::string& name) {
  detail::expect_torch_archive(file.bytes, name);
  detail::torch_archive archive(file, name, copies_);
  auto tensors = archive.tensors();
  format_ = archive.format;
  std::move(tensors.begin(), tensors.end(), std::back_inserter(tensors_));
}

}  // namespace clipx
