#include "readers.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace daxcow {

size_t UniqueId(const daxcow_file* file, char* id, size_t max_size) {
  // Longer than any varint, and begun as no varint of the posix FileSystem's ids is: a device number of 2^63 or more.
  constexpr size_t kSize = 27;
  daxcow_stat stat;
  if (max_size < kSize || Error(daxcow_file_stat(file, &stat))) {
    return 0;
  }
  std::memset(id, '\xff', kSize);
  std::memcpy(id + 10, &stat.inode, sizeof stat.inode);
  std::memcpy(id + 18, &stat.created, sizeof stat.created);
  return kSize;
}

IOStatus PoolSequentialFile::Read(size_t n, const IOOptions& options, Slice* result, char* scratch,
                                  IODebugContext* dbg) {
  IOStatus status = PositionedRead(position_, n, options, result, scratch, dbg);
  position_ += result->size();
  return status;
}

IOStatus PoolSequentialFile::PositionedRead(uint64_t offset, size_t n, const IOOptions&, Slice* result,
                                            char* scratch, IODebugContext*) {
  size_t done = 0;
  daxcow_error* error = daxcow_file_read(file_.get(), offset, scratch, n, &done);
  *result = Slice(scratch, done);
  return Done(error, "While reading file sequentially", name_);
}

IOStatus PoolSequentialFile::Skip(uint64_t n) {
  uint64_t size = 0;
  daxcow_error* error = daxcow_file_size(file_.get(), &size);
  if (error == nullptr && position_ < size) {
    position_ += std::min(n, size - position_);
  }
  return Done(error, "While skipping in file", name_);
}

IOStatus PoolRandomAccessFile::ReadInto(uint64_t offset, size_t n, char* into, Slice* result) const {
  size_t done = 0;
  daxcow_error* error = daxcow_file_read(file_.get(), offset, into, n, &done);
  *result = Slice(into, done);
  return Done(error, "While reading at an offset of file", name_);
}

IOStatus PoolRandomAccessFile::Read(uint64_t offset, size_t n, const IOOptions&, Slice* result, char* scratch,
                                    IODebugContext*) const {
  return ReadInto(offset, n, scratch, result);
}

IOStatus PoolRandomAccessFile::MultiRead(FSReadRequest* requests, size_t count, const IOOptions& options,
                                         IODebugContext* dbg) {
  for (FSReadRequest* request = requests; request != requests + count; ++request) {
    request->status = Read(request->offset, request->len, options, &request->result, request->scratch, dbg);
  }
  return IOStatus::OK();
}

IOStatus PoolRandomAccessFile::GetFileSize(uint64_t* size) {
  return Done(daxcow_file_size(file_.get(), size), "While asking for the size of file", name_);
}

IOStatus PoolMappedFile::Read(uint64_t offset, size_t n, const IOOptions&, Slice* result, char* scratch,
                              IODebugContext*) const {
  const uint64_t size = daxcow_map_size(map_.get());
  if (offset > size) {
    *result = Slice();
    return StatusOf(EINVAL, "While reading at " + std::to_string(offset) + " of a file of " + std::to_string(size), name_,
                    std::strerror(EINVAL));
  }
  n = static_cast<size_t>(std::min<uint64_t>(n, size - offset));
  const char* data = nullptr;
  if (daxcow_error* error = daxcow_map_find(map_.get(), offset, n, &data)) {
    *result = Slice();
    return Done(error, "While reading in place from file", name_);
  }
  if (data != nullptr) {
    *result = Slice(data, n);
    return IOStatus::OK();
  }
  if (scratch != nullptr) {
    return ReadInto(offset, n, scratch, result);
  }
  std::unique_ptr<char[]> copy(new char[n]);
  IOStatus status = ReadInto(offset, n, copy.get(), result);
  std::lock_guard<std::mutex> held(mutex_);
  copies_.push_back(std::move(copy));
  return status;
}

}  // namespace daxcow
