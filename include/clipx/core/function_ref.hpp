// function_ref: a callable parameter that is called before the callee returns.
// Including <functional> would cost every user 0.1 s.
#pragma once
#include <type_traits>

namespace clipx {

template <class Signature>
class function_ref;

/// Refers to any callable without owning it: it must not outlive the callable.
template <class R, class... A>
class function_ref<R(A...)> {
 public:
  /// Refers to `f`, which must live as long as this is called.
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, function_ref> && std::is_invocable_r_v<R, F&, A...>) function_ref(F&& f)
      : object_(const_cast<void*>(static_cast<const void*>(&f))), call_([](void* object, A... a) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(static_cast<A&&>(a)...);
        }) {}
  R operator()(A... a) const { return call_(object_, static_cast<A&&>(a)...); }  // calls it

 private:
  void* object_;
  R (*call_)(void*, A...);
};

}  // namespace clipx
