// A checkpoint on the reference backend, for tests that ask what the library says; the towers are compiled in reference.cpp, once.
#pragma once
#include <clipx/run/any_model.hpp>
#include <string>
#include <vector>

namespace reference {

clipx::any_model in_double(const std::string& folder);
clipx::any_model in_float(const std::string& folder);

/// L2-normalized embeddings (N, D) by pretrained itself, in double.
std::vector<double> images(const std::string& folder, const std::vector<std::string>& files);
std::vector<double> texts(const std::string& folder, const std::vector<std::string>& texts);

/// Probabilities of the labels for an image, with default_templates().
std::vector<double> probabilities(const std::string& folder, const std::string& image, const std::vector<std::string>& labels);

}  // namespace reference
