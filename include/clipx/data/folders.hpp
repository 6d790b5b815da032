// What a folder of data holds: images, or shards.
#pragma once
#include <string>
#include <vector>

#include "left_out.hpp"

namespace clipx {

/// The images (files with the endings of image_formats(), in any case) of a folder and those below it, sorted by path. Links to
/// files are followed, links to folders are not. `skipped` gets the rest: images of other formats, links to folders or to nothing,
/// folders that cannot be listed, and other files; not hidden files and not the .txt and .json beside an image. It may be that no
/// image is left. Error: no folder there.
std::vector<std::string> list_images(const std::string& folder, left_out& skipped);
/// The same, where every folder must be readable and there must be images.
std::vector<std::string> list_images(const std::string& folder);

/// The shards of a folder: with an nshards.txt, as CLIP_benchmark writes it, so many of 0.tar, 1.tar, .. (or .tar.gz); else its
/// .tar, .tar.gz and .tgz files by name. None where it is no folder of shards. `skipped` gets images beside shards, and
/// folders beside them in which there are images or shards. Errors: a folder that cannot be listed, an nshards.txt without a
/// number.
std::vector<std::string> list_shards(const std::string& folder, left_out& skipped);

/// Whether a path ends as a shard's does: .tar, .tar.gz, .tgz.
bool is_shard_name(const std::string& path);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "folders-inl.hpp"
#endif
