// Directories and locks that are held.
#pragma once

#include <cstring>
#include <string>

#include "handles.h"
#include "rocksdb/env.h"
#include "rocksdb/file_system.h"

namespace daxcow {

// Names are durable when the call that changed them returns; Fsync is for what page media still hold back of contents.
class PoolDirectory : public rocksdb::FSDirectory {
 public:
  PoolDirectory(std::string name, Place place, const daxcow_stat& stat)
      : name_(std::move(name)), place_(std::move(place)), stat_(stat) {}

  rocksdb::IOStatus Fsync(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override {
    return Done(daxcow_place_sync(place_.get()), "While syncing directory", name_);
  }
  rocksdb::IOStatus Close(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override {
    return rocksdb::IOStatus::OK();
  }
  size_t GetUniqueId(char* id, size_t max_size) const override {
    if (max_size < sizeof stat_.inode + sizeof stat_.created) {
      return 0;
    }
    std::memcpy(id, &stat_.inode, sizeof stat_.inode);
    std::memcpy(id + sizeof stat_.inode, &stat_.created, sizeof stat_.created);
    return sizeof stat_.inode + sizeof stat_.created;
  }

 private:
  const std::string name_;
  const Place place_;
  const daxcow_stat stat_;
};

class PoolFileLock : public rocksdb::FileLock {
 public:
  explicit PoolFileLock(LockPtr lock) : lock_(std::move(lock)) {}

 private:
  const LockPtr lock_;
};

}  // namespace daxcow
