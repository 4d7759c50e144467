// Files that are written: appended to, written at random, and the buffer of a mapped file.
#pragma once

#include <string>

#include "handles.h"
#include "readers.h"
#include "rocksdb/file_system.h"

namespace daxcow {

// An Append is readable by everybody and survives the process when it returns, so Flush has nothing to do.
class PoolWritableFile : public rocksdb::FSWritableFile {
 public:
  enum class Start {
    kAtEnd,        // every byte goes behind what is there
    kOverwriting,  // a reused file keeps its old contents until they are overwritten
  };

  PoolWritableFile(std::string name, FilePtr file, Start start, uint64_t size,
                   const rocksdb::FileOptions& options)
      : FSWritableFile(options),
        name_(std::move(name)),
        file_(std::move(file)),
        size_(size),
        start_(start),
        reserved_(size) {}
  ~PoolWritableFile() override { Finish().PermitUncheckedError(); }

  using FSWritableFile::Append;
  using FSWritableFile::PositionedAppend;
  IOStatus Append(const Slice& data, const IOOptions&, IODebugContext*) override;
  IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions&, IODebugContext*) override;
  IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions& options,
                            const rocksdb::DataVerificationInfo&, IODebugContext* dbg) override {
    return PositionedAppend(data, offset, options, dbg);
  }
  IOStatus Truncate(uint64_t size, const IOOptions&, IODebugContext*) override;
  IOStatus Close(const IOOptions&, IODebugContext*) override { return Finish(); }
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Sync(const IOOptions&, IODebugContext*) override;
  bool IsSyncThreadSafe() const override { return true; }
  uint64_t GetFileSize(const IOOptions&, IODebugContext*) override { return size_; }
  size_t GetUniqueId(char* id, size_t max_size) const override {
    return file_ ? UniqueId(file_.get(), id, max_size) : 0;
  }
  IOStatus InvalidateCache(size_t, size_t) override { return IOStatus::OK(); }

  // Reserves ahead of the writes in runs that lie in one piece, and no more than that: a small pool is not filled with
  // reservations for files that never grow into them.
  void PrepareWrite(size_t offset, size_t len, const IOOptions&, IODebugContext*) override;
  void GetPreallocationStatus(size_t* block_size, size_t* last_allocated_block) override;
  IOStatus Allocate(uint64_t offset, uint64_t len, const IOOptions&, IODebugContext*) override;

 protected:
  IOStatus Closed() const;

  const std::string name_;
  FilePtr file_;
  uint64_t size_;

 private:
  IOStatus Finish();

  Start start_;
  // Up to where blocks were reserved, or were not to be had.
  uint64_t reserved_;
};

// A MANIFEST on a medium of pages. There the size of a file may survive a crash without the bytes that were appended and not
// synced; RocksDB takes that for the end of a WAL, but opens no database with such a MANIFEST. So what is appended is held back
// until it is flushed, and is there whole or not at all.
class PoolManifestFile : public PoolWritableFile {
 public:
  PoolManifestFile(std::string name, FilePtr file, uint64_t size, const rocksdb::FileOptions& options)
      : PoolWritableFile(std::move(name), std::move(file), Start::kAtEnd, size, options) {}
  ~PoolManifestFile() override { Write().PermitUncheckedError(); }

  using PoolWritableFile::Append;
  IOStatus Append(const Slice& data, const IOOptions&, IODebugContext*) override;
  IOStatus Truncate(uint64_t size, const IOOptions& options, IODebugContext* dbg) override;
  IOStatus Close(const IOOptions& options, IODebugContext* dbg) override;
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return Write(); }
  IOStatus Sync(const IOOptions& options, IODebugContext* dbg) override;
  void PrepareWrite(size_t, size_t, const IOOptions&, IODebugContext*) override {}

 private:
  IOStatus Write();

  std::string held_;
};

class PoolRandomRWFile : public rocksdb::FSRandomRWFile {
 public:
  PoolRandomRWFile(std::string name, FilePtr file) : name_(std::move(name)), file_(std::move(file)) {}

  IOStatus Write(uint64_t offset, const Slice& data, const IOOptions&, IODebugContext*) override;
  IOStatus Read(uint64_t offset, size_t n, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) const override;
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Sync(const IOOptions&, IODebugContext*) override;
  IOStatus Close(const IOOptions&, IODebugContext*) override;

 private:
  IOStatus Closed() const;

  const std::string name_;
  FilePtr file_;
};

// The whole file as memory that is shared with all who use it.
class PoolFileBuffer : public rocksdb::MemoryMappedFileBuffer {
 public:
  PoolFileBuffer(FilePtr file, BufferPtr buffer, char* base, size_t length)
      : MemoryMappedFileBuffer(base, length), file_(std::move(file)), buffer_(std::move(buffer)) {}

 private:
  const FilePtr file_;
  const BufferPtr buffer_;
};

}  // namespace daxcow
