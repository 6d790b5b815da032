// open_clip's training flags that `clipx train` does not have: what it calls them, or that it has no such thing.
#pragma once
#include <string>
#include <vector>

namespace cli {

/// The message of bad usage with an answer to each of open_clip's flags that it names; as it is for other verbs than train.
std::string answer_open_clip_flags(const std::string& verb, const std::string& wrong);

/// What is wrong with open_clip's --dataset-type for these sources; empty: nothing is.
std::string dataset_type_usage(const std::string& type, const std::vector<std::string>& sources);

}  // namespace cli
