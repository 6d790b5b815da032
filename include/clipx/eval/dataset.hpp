// The images of an evaluation, with their labels or captions: from WebDataset shards, or from a folder.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "../data/images.hpp"
#include "../data/left_out.hpp"

namespace clipx {

/// What stands beside the images is read and kept when the data set is opened; the images themselves are read when they are asked
/// for, one at a time. An image that cannot be part of the measure, a shard that is damaged and a folder that cannot be listed are
/// left out and counted: skipped().
class image_dataset {
 public:
  /// Labeled images. `path` is a pattern of shards (expand_braces) or a folder of shards: in CLIP_benchmark's layout, DIR or
  /// DIR/test with an nshards.txt, or any folder with .tar, .tar.gz or .tgz files. A sample's label is its .cls member, else "cls"
  /// in its .json. Or it is a folder with a subfolder of images for each class. Left out: images without a label, with a label that
  /// is no number, in no class's subfolder, of a format that is not read. Errors: no images; a label that is no class.
  static image_dataset labeled(const std::string& path, std::span<const std::string> classes);

  /// Images with captions, one or several each, from shards or a folder of images, in both by the same rule: "captions" in the
  /// .json beside the image, else the lines of its .txt, without space at their ends and empty ones. Left out: images without a
  /// caption or with a .json that is none. Error: no images.
  static image_dataset captioned(const std::string& path);

  dim size() const { return static_cast<dim>(labels_.size()); }  // number of images
  /// The class of each image; -1 for captioned images without one.
  const std::vector<dim>& labels() const { return labels_; }
  /// All captions, in the order of their images; and the index of each caption's image.
  const std::vector<std::string>& captions() const { return captions_; }
  const std::vector<dim>& image_of() const { return image_of_; }  // the image of each caption
  /// What is no part of it.
  const left_out& skipped() const { return skipped_; }

  /// Calls `next` with each image, in the order of labels(). Errors: a shard has changed since it was opened.
  void for_each_image(function_ref<void(image_source)> next) const;

 private:
  struct shard {
    std::string path;
    std::vector<bool> taken;  // of its samples
    bool whole = true;
  };

  image_dataset(const std::string& path, std::span<const std::string> classes, bool captioned);
  void read_shards(std::span<const std::string> paths, dim classes);  // 0: captioned
  void read_classes(const std::string& folder, std::span<const std::string> classes);
  void read_captioned(const std::string& folder);
  void leave_out_of_no_class(const std::string& folder, std::span<const std::string> classes);

  std::vector<shard> shards_;
  std::vector<std::string> files_;  // of a folder: the images
  std::vector<dim> labels_, image_of_;
  std::vector<std::string> captions_;
  left_out skipped_;
};

/// The classnames.txt of a data set in CLIP_benchmark's layout: in the folder `path`, or, where `path` is the folder of the shards
/// (which has an nshards.txt) or a pattern of shards there, in the one above. Empty where there is none.
std::string find_classnames(const std::string& path);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "dataset-inl.hpp"
#endif
