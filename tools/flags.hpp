// The program's flags for the library's options. A message of the library names its own options (checkpoint_options::tokenizer);
// where it leaves the program, it names the flags that set them (--tokenizer).
#pragma once
#include <array>
#include <string>
#include <string_view>

namespace cli {

struct flag_of {
  std::string_view option, flag;
};
/// What messages of the library name, and how the program sets it.
inline constexpr std::array<flag_of, 25> flags{{{"checkpoint_options::tokenizer", "--tokenizer"},
                                                {"checkpoint_options::activation", "--activation"},
                                                {"checkpoint_options::head_width", "--head-width"},
                                                {"checkpoint_options::eos_id", "--eos-id"},
                                                {"checkpoint::write(type)", "--dtype"},
                                                {"checkpoint::write(folder)", "--out"},
                                                {"layout::open_clip", "--layout open_clip"},
                                                {"run_options::resume", "--resume"},
                                                {"run_options::folder", "--name"},
                                                {"run_options::held_out", "--val-data"},
                                                {"loader_config::data", "--train-data"},
                                                {"loader_config::hold_out", "--hold-out"},
                                                {"loader_config::image_column", "--csv-img-key"},
                                                {"loader_config::caption_column", "--csv-caption-key"},
                                                {"loader_config::separator", "--csv-separator"},
                                                {"caption_config::column", "--csv-caption-key"},
                                                {"caption_config::separator", "--csv-separator"},
                                                {"loader_config::epochs", "--epochs"},
                                                {"run_options::save_every", "--save-frequency"},
                                                {"decode_options::most_pixels", "--max-image-megapixels"},
                                                {"cosine_schedule::peak", "--lr"},
                                                {"optimizer_options::beta1", "--beta1"},
                                                {"optimizer_options::beta2", "--beta2"},
                                                {"optimizer_options::max_norm", "--grad-clip-norm"},
                                                {"trainer_options::patch_dropout", "--force-patch-dropout"}}};

/// The message with flags in place of the options' names.
std::string with_flags(std::string message);
/// The text with control characters as \xHH, since names of files, samples and labels may contain what a terminal obeys.
std::string printable(std::string_view text);
/// How every message leaves the program: "clipx: MESSAGE" on standard error, with flags, printable. Line breaks remain where an
/// indented line follows, as in a list of problems.
void complain(const std::string& message);

}  // namespace cli
