// Prompts: templates with {} (or {c}, as CLIP_benchmark writes it) for the class name, class files, prompts of a class's own (paper
// section 3.1.4).
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

/// Errors: no classes; a class without a text; another number of lists of texts than of names.
void expect_prompts(const prompt_set& prompts);

/// Templates of clipx's own, for photos and drawings.
std::span<const std::string> default_templates();

/// The template with every "{}" and every "{c}" replaced. Error: a template with neither.
std::string fill_template(const std::string& text, const std::string& name);

/// Every class in every template. Errors: no classes, no templates, an empty class name; more than 2^24 texts, or than 1 GiB of
/// them.
prompt_set make_prompts(std::span<const std::string> classes, std::span<const std::string> templates);

/// The line without whitespace at its ends.
std::string trimmed(std::string line);

/// The lines of a text file, trimmed, without empty lines and a byte order mark. "-" reads standard input.
std::vector<std::string> read_lines(const std::string& path);

/// Every line of a text file, without its line end; empty lines are kept, so that results correspond to lines. "-" reads standard
/// input. Errors: no lines.
std::vector<std::string> read_texts(const std::string& path);

/// Prompt templates, one a line or as a JSON list of texts. Errors: none, one without {} or {c}, other JSON.
std::vector<std::string> read_templates(const std::string& path);

/// The templates.txt in a checkpoint's folder: prompts like the captions that the model was trained on, one per line, with {} for
/// the class name. Empty if there is none. An addition of clipx to the layouts.
std::vector<std::string> model_templates(const checkpoint& model);

/// The templates of a file; if `file` is "", the model's own; if it has none, default_templates().
std::vector<std::string> choose_templates(const std::string& file, const checkpoint& model);

/// Class names, one a line or as a JSON list of texts. Errors: none; texts of each class's own, as read_prompts takes them; a list
/// with members that are no texts.
std::vector<std::string> read_classes(const std::string& path);

/// The classes of read_classes() in every template; or, where the file is a JSON object {"class": ["text", ...]} or has lines
/// "class<TAB>text", prompts of each class's own, to which the templates do not apply.
prompt_set read_prompts(const std::string& path, std::span<const std::string> templates);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "prompts-inl.hpp"
#endif
