// Definitions of names.hpp.
#pragma once
#include <algorithm>
#include <array>
#include <string_view>

#include "names.hpp"

namespace clipx {
namespace detail {

/// What wrappers put before the names of the model in them, and what to save instead.
struct wrapper {
  std::string_view prefix, what;
};
inline constexpr std::array<wrapper, 8> wrappers{
    {{"_orig_mod.", "a model compiled by torch.compile; save model._orig_mod.state_dict()"},
     {"base_model.model.", "a model with PEFT adapters; merge them and save model.merge_and_unload().state_dict()"},
     {"_forward_module.", "a model wrapped by Lightning Fabric; save model._forward_module.state_dict()"},
     {"_fsdp_wrapped_module.", "a model sharded by FSDP; save its full state dict"},
     {"state_dict.", "a training checkpoint, of which the model is a part; save checkpoint[\"state_dict\"]"},
     {"module.", "a model wrapped by DataParallel or DistributedDataParallel; save model.module.state_dict()"},
     {"model.", "a model that is the attribute `model` of another; save that.model.state_dict()"},
     {"", "a model that is a part of another; save the state_dict() of that part alone"}}};

/// A name of the layout where nothing stands before it; nothing: of neither.
inline std::optional<layout> layout_of_name(std::string_view name) {
  for (auto hf : {"vision_model.", "text_model.", "visual_projection.", "text_projection.weight"})
    if (name.starts_with(hf)) return layout::hf;
  for (auto own : {"visual.", "transformer.resblocks.", "text.transformer.", "token_embedding.", "text.token_embedding.",
                   "text.text_projection"})  // whose end alone would be Hugging Face's
    if (name.starts_with(own)) return layout::open_clip;
  return {};
}

/// Behind how many of the name's first letters a name of a layout begins.
inline std::optional<std::pair<std::size_t, layout>> find_layout(std::string_view name) {
  for (std::size_t at = 0; at != std::string_view::npos && at < name.size();) {
    if (const auto keys = layout_of_name(name.substr(at))) return {{at, *keys}};
    const auto dot = name.find('.', at);
    at = dot == std::string_view::npos ? dot : dot + 1;
  }
  return {};
}

/// What all names begin with, to the last dot.
inline std::string_view common_prefix(const std::vector<tensor_info>& tensors) {
  if (tensors.empty()) return {};
  std::string_view out = tensors.front().name;
  for (auto& t : tensors) {
    const auto end = std::mismatch(out.begin(), out.end(), t.name.begin(), t.name.end()).first;
    out = out.substr(0, static_cast<std::size_t>(end - out.begin()));
  }
  const auto dot = out.rfind('.');
  return out.substr(0, dot == std::string_view::npos ? 0 : dot + 1);
}

inline std::string_view what_wraps(std::string_view prefix) {
  return std::find_if(wrappers.begin(), wrappers.end(),
                      [&](const wrapper& w) {
                        return prefix.starts_with(w.prefix) || prefix.find(cat(".", w.prefix)) != std::string_view::npos;
                      })
      ->what;
}
}  // namespace detail

CLIPX_INLINE std::optional<layout> detail::layout_of_names(const tensor_file& file) {
  for (auto& t : file.tensors())
    if (const auto found = find_layout(t.name)) return found->second;
  return {};
}

CLIPX_INLINE std::string detail::prefix_of_names(const tensor_file& file, layout keys) {
  const auto& tensors = file.tensors();
  const auto refuse = [&](const std::string& what) { fail(error_kind::unsupported, cat(file.path(), ": ", what)); };
  for (auto& t : tensors) {
    if (t.name.find(".lora_A.") != std::string::npos)
      refuse(cat("\"", t.name, "\" is a LoRA adapter of PEFT; merge them and save model.merge_and_unload().state_dict()"));
    if (t.name.find("._orig_mod.") != std::string::npos && !t.name.starts_with("module._orig_mod."))
      refuse(cat("\"", t.name, "\": a part of the model was compiled by torch.compile; save the model that was not compiled"));
  }
  const auto own = [&](const tensor_info& t) {
    const auto found = find_layout(t.name);
    return found && found->second == keys;
  };
  const auto first = std::find_if(tensors.begin(), tensors.end(), own);
  if (first == tensors.end()) {
    const bool other = layout_of_names(file).has_value();
    if (other && keys == layout::open_clip)
      refuse("these are Hugging Face's names, which need config.json in the folder, not open_clip_config.json");
    if (other) refuse("these are open_clip's names, which need open_clip_config.json in the folder, not config.json");
    return "";  // of no layout: what is missing is said by name
  }
  auto before = first->name.substr(0, find_layout(first->name)->first);
  if (before.empty()) return "";
  if (keys == layout::hf && before == "clip.") return before;
  const bool all = common_prefix(tensors).starts_with(before);
  if (keys == layout::open_clip && before == "module." && all) return before;
  refuse(cat(all ? "every name begins" : "the model's names begin", " with \"", before, "\": ", what_wraps(before)));
  return "";
}

}  // namespace clipx
