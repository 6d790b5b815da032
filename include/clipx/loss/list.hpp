// The losses that clipx knows. Readers of checkpoints try them in this order; the first that claims a file is used.
#pragma once
#include "../core/type_list.hpp"
#include "contrastive.hpp"
#include "ngrams.hpp"
#include "sigmoid.hpp"

namespace clipx {

/// The policies.
using losses = type_list<ngrams, sigmoid, contrastive>;

/// The same at run time.
inline std::span<const loss_policy* const> known_losses() {
  static const auto list = []<class... L>(type_list<L...>) {
    return std::vector<const loss_policy*>{&loss_policy::of<L>()...};
  }(losses{});
  return list;
}

/// The loss of a configuration; the contrastive loss if it names none.
inline const loss_policy& loss_of(const clip_config& c) { return c.loss ? c.loss.policy() : loss_policy::of<contrastive>(); }

/// Calls f(std::type_identity<Loss>()) with the loss of the list that the configuration names; f must return the same type for all
/// of them. Errors: it is not in the list.
template <class List = losses, class F>
decltype(auto) visit_loss(const clip_config& config, F&& f) {
  return visit_chosen(List{}, config.loss, std::forward<F>(f));
}

}  // namespace clipx
