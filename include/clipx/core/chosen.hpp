// chosen<Policy>: a policy chosen at run time, with its configuration, as a value.
#pragma once
#include <memory>
#include <string_view>
#include <utility>

#include "error.hpp"
#include "type_list.hpp"

namespace clipx {

/// Holds a configuration of any type C that names its policy: C::policy is the policy's type, and Policy::template
/// of<C::policy>() returns the object that represents it at run time, with name() and kind(). Copies share the configuration,
/// which is immutable.
template <class Policy>
class chosen {
 public:
  chosen() = default;
  /// Chooses C's policy with this configuration. Implicit, so that `c.vision = vit_config{...}` works.
  template <class C>
  requires requires { typename C::policy; }
  chosen(C config)  // implicit: c.vision = vit_config{...}
      : policy_(&Policy::template of<typename C::policy>()),
        config_(std::make_shared<const C>(std::move(config))),
        equal_([](const void* a, const void* b) { return *static_cast<const C*>(a) == *static_cast<const C*>(b); }) {}

  /// Whether anything was chosen.
  explicit operator bool() const { return policy_ != nullptr; }
  /// Errors: nothing was chosen.
  const Policy& policy() const {
    expect(policy_ != nullptr, [] { return cat("the configuration names no ", Policy::kind); });
    return *policy_;
  }
  /// Whether the choice is the policy with this configuration type.
  template <class C>
  bool is() const {
    return policy_ && policy_->name() == C::name;
  }
  /// The configuration. Errors: another policy was chosen.
  template <class C>
  const C& as(where at = where::here()) const {
    expect(
        is<C>(), error_kind::mismatch,
        [&] { return cat(Policy::kind, ": expected ", C::name, ", the configuration describes ", policy().name()); }, at);
    return *static_cast<const C*>(config_.get());
  }
  /// Whether policy and configuration are equal, or nothing was chosen in either.
  friend bool operator==(const chosen& a, const chosen& b) {
    if (!a.policy_ || !b.policy_) return a.policy_ == b.policy_;
    return a.policy_->name() == b.policy_->name() && a.equal_(a.config_.get(), b.config_.get());
  }

 private:
  const Policy* policy_ = nullptr;
  std::shared_ptr<const void> config_;
  bool (*equal_)(const void*, const void*) = nullptr;
};

/// Calls f(std::type_identity<P>()) with the chosen type P of the list; f must return the same type for all of them. Errors:
/// the choice is not in the list.
template <class Policy, class First, class... Rest, class F>
decltype(auto) visit_chosen(type_list<First, Rest...>, const chosen<Policy>& choice, F&& f) {
  if constexpr (sizeof...(Rest) > 0) {
    if (!choice.template is<typename First::config>()) return visit_chosen(type_list<Rest...>{}, choice, f);
  } else {
    expect(choice.template is<typename First::config>(), error_kind::unsupported,
           [&] { return cat(choice.policy().name(), " is not in the list of types for this ", Policy::kind); });
  }
  return f(std::type_identity<First>{});
}

}  // namespace clipx
