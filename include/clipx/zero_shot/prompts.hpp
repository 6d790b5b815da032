// Prompts: templates with {} for the class name, class files, and prompts given per class (paper section 3.1.4).
#pragma once
#include <span>
#include <string>
#include <vector>

#include "../checkpoint/checkpoint.hpp"

namespace clipx {

/// Every class with all its texts.
struct prompt_set {
  std::vector<std::string> classes;               // names
  std::vector<std::vector<std::string>> prompts;  // prompts[c]: the texts of class c, at least one
};

/// Templates of clipx's own, for photos and drawings.
std::span<const std::string> default_templates();

/// The template with every "{}" replaced. Errors: a template without "{}".
std::string fill_template(const std::string& text, const std::string& name);

/// Every class in every template. Errors: no classes, no templates, an empty class name.
prompt_set make_prompts(std::span<const std::string> classes, std::span<const std::string> templates);

/// The line without whitespace at its ends.
std::string trimmed(std::string line);

/// The lines of a text file, trimmed, without empty lines and a byte order mark. "-" reads standard input.
std::vector<std::string> read_lines(const std::string& path);

/// Every line of a text file, without its line end; empty lines are kept, so that results correspond to lines. "-" reads standard
/// input. Errors: no lines.
std::vector<std::string> read_texts(const std::string& path);

/// Prompt templates, one per line. Errors: no templates, a line without {}.
std::vector<std::string> read_templates(const std::string& path);

/// The templates.txt in a checkpoint's folder: prompts like the captions that the model was trained on, one per line, with {} for
/// the class name. Empty if there is none. An addition of clipx to the layouts.
std::vector<std::string> model_templates(const checkpoint& model);

/// The templates of a file; if `file` is "", the model's own; if it has none, default_templates().
std::vector<std::string> choose_templates(const std::string& file, const checkpoint& model);

/// One class per line; or, if the file is a JSON object {"class": ["text", ...]} or has lines "class<TAB>text", the prompts of each
/// class, to which the templates do not apply.
prompt_set read_prompts(const std::string& path, std::span<const std::string> templates);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "prompts-inl.hpp"
#endif
