// What owns the C ABI's values, and how its errors become statuses.
#pragma once

#include <memory>
#include <string>

#include "abi.h"
#include "rocksdb/io_status.h"

namespace daxcow {

struct Freed {
  void operator()(daxcow_error* error) const { daxcow_error_free(error); }
  void operator()(daxcow_place* place) const { daxcow_place_free(place); }
  void operator()(daxcow_file* file) const { daxcow_file_close(file); }
  void operator()(daxcow_map* map) const { daxcow_map_close(map); }
  void operator()(daxcow_buffer* buffer) const { daxcow_buffer_close(buffer); }
  void operator()(daxcow_lock* lock) const { daxcow_lock_release(lock); }
};

using Error = std::unique_ptr<daxcow_error, Freed>;
using PlacePtr = std::unique_ptr<daxcow_place, Freed>;
using FilePtr = std::unique_ptr<daxcow_file, Freed>;
using MapPtr = std::unique_ptr<daxcow_map, Freed>;
using BufferPtr = std::unique_ptr<daxcow_buffer, Freed>;
using LockPtr = std::unique_ptr<daxcow_lock, Freed>;

inline daxcow_text Text(const std::string& text) { return {text.data(), text.size()}; }

// The errno of an error, 0 for none.
inline int Code(const Error& error) { return error ? daxcow_error_code(error.get()) : 0; }

// The status for an errno, as the posix FileSystem has it: `doing` says what was done with `name`.
rocksdb::IOStatus StatusOf(int code, const std::string& doing, const std::string& name, const char* message);

// The status of a failure that there was.
rocksdb::IOStatus Failed(const Error& error, const std::string& doing, const std::string& name);

// The status of a call of the C ABI. Success costs a comparison.
inline rocksdb::IOStatus Done(daxcow_error* error, const char* doing, const std::string& name) {
  return error == nullptr ? rocksdb::IOStatus::OK() : Failed(Error(error), doing, name);
}

// Where a path leads: into a pool, or nowhere that is ours.
class Place {
 public:
  explicit Place(const std::string& path);

  // Whether the path goes through no pool: the default FileSystem has it.
  bool outside() const { return place_ == nullptr && status_.ok(); }
  // Whether the path goes through a pool that can be used; if not, status() says why.
  bool ok() const { return place_ != nullptr; }
  const rocksdb::IOStatus& status() const { return status_; }
  const daxcow_place* get() const { return place_.get(); }

 private:
  PlacePtr place_;
  rocksdb::IOStatus status_;
};

}  // namespace daxcow
