// What the pickle of a PyTorch archive may hold: plain values, storages and tensors, and the few names that make them.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tensor_file.hpp"

namespace clipx::detail {

/// What a value of a pickle is.
enum class pickled : std::uint8_t {
  none,
  boolean,
  integer,   // in number
  real,      // not kept
  text,      // in text
  bytes,     // in text
  list,      // items[at], as the next two
  tuple,     //
  dict,      // keys and values in turn
  object,    // of a class of TorchScript: items[at] is its name, then its attributes' dict
  storage,   // storages[at]
  tensor,    // tensors[at]
  function,  // which of the known ones, in number; text: a class of TorchScript
  type,      // of a storage; a dtype, in number
  other,     // a torch.dtype, torch.device: never of use here
  mark       // where the items of a list, tuple or dict begin
};

/// The name of a kind in messages.
inline std::string_view name_of(pickled kind) {
  constexpr std::array<std::string_view, 16> names{"None",   "a bool",  "an int",    "a float",  "a str",     "bytes",
                                                   "a list", "a tuple", "a dict",    "a module", "a storage", "a tensor",
                                                   "a name", "a type",  "an object", "a mark"};
  return names[static_cast<std::size_t>(kind)];
}

struct pickle_value {
  pickled kind = pickled::none;
  std::uint32_t at = 0;
  std::int64_t number = 0;
  std::string_view text{};  // in the pickle, or in the reader
};

/// A member of the archive that holds the values of tensors.
struct pickle_storage {
  std::string_view key;  // its name in the folder of data
  dtype type = dtype::other;
  std::uint64_t count = 0;  // of values
};
/// A view of a storage, as written: nothing of it is checked.
struct pickle_tensor {
  std::uint32_t storage = 0;
  std::int64_t offset = 0;  // in values, as the strides
  std::vector<dim> shape, strides;
};

/// The functions that make tensors and dictionaries, and what becomes of their arguments here.
enum class pickle_function : std::int64_t { dict, tensor, parameter, tuple, other, first, script_class };

struct known_function {
  std::string_view name;
  pickle_function is;
};
inline constexpr std::array<known_function, 12> known_functions{
    {{"collections.OrderedDict", pickle_function::dict},
     {"torch._utils._rebuild_tensor_v2", pickle_function::tensor},
     {"torch._utils._rebuild_tensor", pickle_function::tensor},
     {"torch._utils._rebuild_parameter", pickle_function::parameter},
     {"torch._utils._rebuild_parameter_with_state", pickle_function::parameter},
     {"torch.Size", pickle_function::tuple},
     {"torch.device", pickle_function::other},
     {"torch.jit._pickle.build_intlist", pickle_function::first},
     {"torch.jit._pickle.build_doublelist", pickle_function::first},
     {"torch.jit._pickle.build_boollist", pickle_function::first},
     {"torch.jit._pickle.build_tensorlist", pickle_function::first},
     {"torch.jit._pickle.restore_type_tag", pickle_function::first}}};

struct torch_type {
  std::string_view storage, name;
  dtype type;
};
inline constexpr std::array<torch_type, 12> torch_types{{{"FloatStorage", "float32", dtype::f32},
                                                         {"HalfStorage", "float16", dtype::f16},
                                                         {"BFloat16Storage", "bfloat16", dtype::bf16},
                                                         {"DoubleStorage", "float64", dtype::f64},
                                                         {"LongStorage", "int64", dtype::i64},
                                                         {"IntStorage", "int32", dtype::i32},
                                                         {"ShortStorage", "int16", dtype::i16},
                                                         {"CharStorage", "int8", dtype::i8},
                                                         {"ByteStorage", "uint8", dtype::u8},
                                                         {"BoolStorage", "bool", dtype::boolean},
                                                         {"ComplexFloatStorage", "complex64", dtype::c64},
                                                         {"ComplexDoubleStorage", "complex128", dtype::other}}};

}  // namespace clipx::detail
