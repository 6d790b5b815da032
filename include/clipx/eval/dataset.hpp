// The images of an evaluation, with their labels or captions: from WebDataset shards, or from a folder.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "../data/images.hpp"

namespace clipx {

/// Labels and captions are read and kept when the data set is opened; the images themselves are read on request, one at a time.
class image_dataset {
 public:
  /// Labeled images. `path` is a pattern of shards (expand_braces): a sample's label is its .cls member, else "cls" in its .json;
  /// samples without an image are left out. Or it is a folder with one subfolder of images per class. Errors: no images; an image
  /// without a label, or with one that is not a class; a label that is not a number; an invalid .json; those of the readers.
  static image_dataset labelled(const std::string& path, std::span<const std::string> classes);

  /// Images with one or more captions each: "captions" in the .json of a shard's sample, else its .txt; in a folder, the lines of
  /// the .txt beside the image. Errors: no images, no captions, and those of the readers.
  static image_dataset captioned(const std::string& path);

  dim size() const { return static_cast<dim>(labels_.size()); }  // number of images
  /// The class of each image; -1 for captioned images without one.
  const std::vector<dim>& labels() const { return labels_; }
  /// All captions, in the order of their images; and the index of each caption's image.
  const std::vector<std::string>& captions() const { return captions_; }
  const std::vector<dim>& image_of() const { return image_of_; }  // the image of each caption

  /// Calls `next` with each image, in the order of labels(). Errors: a shard has changed since it was opened.
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
