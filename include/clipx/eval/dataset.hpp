// The images that an evaluation is about, with their labels or captions: from WebDataset shards, or from a folder.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "../data/images.hpp"

namespace clipx {

/// What stands beside the images is read and kept when the data set is opened; the images themselves are read when they are asked
/// for, one at a time.
class image_dataset {
 public:
  /// Labelled images. `path` is a pattern of shards (expand_braces): a sample's label is its .cls member, else "cls" in its .json;
  /// samples without an image are left out. Or it is a folder with a subfolder of images for each class. Errors: no images; an
  /// image without a label, or with one that is no class; a label that is no number; a .json that is none; those of the readers.
  static image_dataset labelled(const std::string& path, std::span<const std::string> classes);

  /// Images with captions, one or several each: "captions" in a shard's .json, else its .txt; in a folder the lines of the .txt
  /// beside the image. Errors: no images, no captions, and those of the readers.
  static image_dataset captioned(const std::string& path);

  dim size() const { return static_cast<dim>(labels_.size()); }  // number of images
  /// The class of each image; -1 of captioned ones that have none.
  const std::vector<dim>& labels() const { return labels_; }
  /// All captions, in the order of their images; and the image of each.
  const std::vector<std::string>& captions() const { return captions_; }
  const std::vector<dim>& image_of() const { return image_of_; }  // the image of each caption

  /// Calls `next` with each image, in the order of labels(). Error: a shard has other samples than when it was opened.
  void for_each_image(function_ref<void(image_source)> next) const;

 private:
  image_dataset(const std::string& path, std::span<const std::string> classes, bool captioned);
  void read_shards(const std::string& pattern, bool captioned);
  void read_folder(const std::string& folder, std::span<const std::string> classes, bool captioned);

  bool in_shards_;
  std::vector<std::string> files_;  // shards, or images
  std::vector<dim> labels_, image_of_;
  std::vector<std::string> captions_;
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "dataset-inl.hpp"
#endif
