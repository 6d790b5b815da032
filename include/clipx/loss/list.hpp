// The losses that clipx knows: readers of checkpoints try them in this order, and the first that claims a file has it.
#pragma once
#include "../core/type_list.hpp"
#include "contrastive.hpp"
#include "ngrams.hpp"
#include "sigmoid.hpp"

namespace clipx {

/// The policies.
using losses = type_list<ngrams, sigmoid, contrastive>;

/// The same, at run time.
inline std::span<const loss_policy* const> known_losses() {
  static const auto list = []<class... L>(type_list<L...>) {
    return std::vector<const loss_policy*>{&loss_policy::of<L>()...};
  }(losses{});
  return list;
}

/// The loss of a configuration; the contrastive one where it names none.
inline const loss_policy& loss_of(const clip_config& c) { return c.loss ? c.loss.policy() : loss_policy::of<contrastive>(); }

/// Calls f(std::type_identity<Loss>()) with the loss in the list that the configuration names; f's result must be of one type.
/// Errors: it is none of the list's.
template <class List = losses, class F>
decltype(auto) visit_loss(const clip_config& config, F&& f) {
  return visit_chosen(List{}, config.loss, std::forward<F>(f));
}

}  // namespace clipx
