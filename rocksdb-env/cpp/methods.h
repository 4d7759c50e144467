// What the methods of the FileSystem share.
#pragma once

#include <cerrno>
#include <cstring>
#include <string>

#include "handles.h"

// Ends a method for a path that goes through no pool, or through one that cannot be used.
#define DAXCOW_IN_POOL(place, below) \
  if ((place).outside()) {           \
    return below;                    \
  }                                  \
  if (!(place).ok()) {               \
    return (place).status();         \
  }

namespace daxcow {

inline rocksdb::IOStatus Open(const Place& place, const std::string& name, uint32_t flags, const char* doing,
                              FilePtr* file) {
  daxcow_file* opened = nullptr;
  rocksdb::IOStatus status = Done(daxcow_file_open(place.get(), flags, &opened), doing, name);
  file->reset(opened);
  return status;
}

inline rocksdb::IOStatus Stat(const Place& place, const std::string& name, const char* doing, daxcow_stat* stat) {
  return Done(daxcow_place_stat(place.get(), stat), doing, name);
}

inline rocksdb::IOStatus CrossesPools(const char* doing, const std::string& from, const std::string& to) {
  return StatusOf(EXDEV, doing, from + " to " + to, std::strerror(EXDEV));
}

}  // namespace daxcow
