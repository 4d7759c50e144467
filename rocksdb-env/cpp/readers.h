// Files that are read: sequentially, at random, in place.
#pragma once

#include <functional>
#include <mutex>
#include <string>

#include "handles.h"
#include "rocksdb/file_system.h"

namespace daxcow {

using rocksdb::FSReadRequest;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

// An id that no other file of this or another environment has, of 27 bytes; 0 where it does not fit.
size_t UniqueId(const daxcow_file* file, char* id, size_t max_size);

// Has a file of the host, if it was opened, answer requests without a buffer (FSSupportedOps::kFSBuffer), where RocksDB makes
// such. Answers `opened`.
IOStatus WithBuffers(IOStatus opened, std::unique_ptr<rocksdb::FSRandomAccessFile>* file);

class PoolSequentialFile : public rocksdb::FSSequentialFile {
 public:
  PoolSequentialFile(std::string name, FilePtr file) : name_(std::move(name)), file_(std::move(file)) {}

  IOStatus Read(size_t n, const IOOptions&, Slice* result, char* scratch, IODebugContext*) override;
  IOStatus PositionedRead(uint64_t offset, size_t n, const IOOptions&, Slice* result, char* scratch,
                          IODebugContext*) override;
  IOStatus Skip(uint64_t n) override;
  IOStatus InvalidateCache(size_t, size_t) override { return IOStatus::OK(); }

 private:
  const std::string name_;
  const FilePtr file_;
  uint64_t position_ = 0;
};

// Reads copy, since RocksDB's FilePrefetchBuffer looks for the bytes in the buffer it gave, wherever the result points. Nothing
// is cached, so there is nothing to prefetch. Requests without a buffer (FSSupportedOps::kFSBuffer) are
// answered out of the pool: the file is pinned as it is at the first of them, until it is closed and RocksDB has given back
// what it was answered.
class PoolRandomAccessFile : public rocksdb::FSRandomAccessFile {
 public:
  PoolRandomAccessFile(std::string name, FilePtr file) : name_(std::move(name)), file_(std::move(file)) {}

  IOStatus Read(uint64_t offset, size_t n, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) const override;
  IOStatus MultiRead(FSReadRequest* requests, size_t count, const IOOptions&, IODebugContext*) override;
  IOStatus Prefetch(uint64_t, size_t, const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus InvalidateCache(size_t, size_t) override { return IOStatus::OK(); }
  size_t GetUniqueId(char* id, size_t max_size) const override {
    return UniqueId(file_.get(), id, max_size);
  }
  // Overrides what RocksDB has since 10.5.
  IOStatus GetFileSize(uint64_t* size);
  // Overrides what RocksDB has since 11.8: a request of a MultiRead by coroutines. It is answered at once.
  bool SubmitReadAsync(FSReadRequest& request, const IOOptions&, std::function<void(FSReadRequest&)> answered,
                       IODebugContext*);

 protected:
  IOStatus ReadInto(uint64_t offset, size_t n, char* into, Slice* result) const;

  const std::string name_;
  const FilePtr file_;

 private:
  void Answer(FSReadRequest* request, const IOOptions&, IODebugContext*);
  void ReadInPlace(FSReadRequest* request);

  std::once_flag pinned_;
  std::shared_ptr<daxcow_map> pin_;
};

// Reads point into the pool, for callers that declared mmap reads. The file stays as it was when it was opened, also when
// it is deleted. Where the bytes do not lie in one piece they are copied into `scratch`, or where there is none into memory
// that lives as long as this.
class PoolMappedFile : public PoolRandomAccessFile {
 public:
  PoolMappedFile(std::string name, FilePtr file, MapPtr map)
      : PoolRandomAccessFile(std::move(name), std::move(file)), map_(std::move(map)) {}

  IOStatus Read(uint64_t offset, size_t n, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) const override;

 private:
  const MapPtr map_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<char[]>> copies_;
};

}  // namespace daxcow
