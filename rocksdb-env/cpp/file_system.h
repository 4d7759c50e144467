// The FileSystem: paths that go through a pool lead into it, all others to the FileSystem below.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rocksdb/file_system.h"

namespace daxcow {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

class PoolFileSystem : public rocksdb::FileSystemWrapper {
 public:
  explicit PoolFileSystem(const std::shared_ptr<rocksdb::FileSystem>& below) : FileSystemWrapper(below) {}

  static const char* kClassName() { return "DaxcowFileSystem"; }
  static const char* kNickName() { return "daxcow"; }
  const char* Name() const override { return kClassName(); }
  const char* NickName() const override { return kNickName(); }

  IOStatus NewSequentialFile(const std::string& name, const FileOptions& options,
                             std::unique_ptr<rocksdb::FSSequentialFile>* result, IODebugContext* dbg) override;
  IOStatus NewRandomAccessFile(const std::string& name, const FileOptions& options,
                               std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                               IODebugContext* dbg) override;
  IOStatus NewWritableFile(const std::string& name, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* result, IODebugContext* dbg) override;
  IOStatus ReopenWritableFile(const std::string& name, const FileOptions& options,
                              std::unique_ptr<rocksdb::FSWritableFile>* result, IODebugContext* dbg) override;
  IOStatus ReuseWritableFile(const std::string& name, const std::string& old_name, const FileOptions& options,
                             std::unique_ptr<rocksdb::FSWritableFile>* result, IODebugContext* dbg) override;
  IOStatus NewRandomRWFile(const std::string& name, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSRandomRWFile>* result, IODebugContext* dbg) override;
  IOStatus NewMemoryMappedFileBuffer(const std::string& name,
                                     std::unique_ptr<rocksdb::MemoryMappedFileBuffer>* result) override;
  IOStatus NewDirectory(const std::string& name, const IOOptions& options,
                        std::unique_ptr<rocksdb::FSDirectory>* result, IODebugContext* dbg) override;
  IOStatus NewLogger(const std::string& name, const IOOptions& options,
                     std::shared_ptr<rocksdb::Logger>* result, IODebugContext* dbg) override;

  IOStatus FileExists(const std::string& name, const IOOptions& options, IODebugContext* dbg) override;
  IOStatus GetChildren(const std::string& name, const IOOptions& options, std::vector<std::string>* result,
                       IODebugContext* dbg) override;
  IOStatus GetChildrenFileAttributes(const std::string& name, const IOOptions& options,
                                     std::vector<rocksdb::FileAttributes>* result, IODebugContext* dbg) override;
  IOStatus DeleteFile(const std::string& name, const IOOptions& options, IODebugContext* dbg) override;
  IOStatus Truncate(const std::string& name, size_t size, const IOOptions& options, IODebugContext* dbg) override;
  IOStatus CreateDir(const std::string& name, const IOOptions& options, IODebugContext* dbg) override;
  IOStatus CreateDirIfMissing(const std::string& name, const IOOptions& options, IODebugContext* dbg) override;
  IOStatus DeleteDir(const std::string& name, const IOOptions& options, IODebugContext* dbg) override;
  IOStatus GetFileSize(const std::string& name, const IOOptions& options, uint64_t* size,
                       IODebugContext* dbg) override;
  IOStatus GetFileModificationTime(const std::string& name, const IOOptions& options, uint64_t* seconds,
                                   IODebugContext* dbg) override;
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                      IODebugContext* dbg) override;
  IOStatus LinkFile(const std::string& existing, const std::string& added, const IOOptions& options,
                    IODebugContext* dbg) override;
  IOStatus NumFileLinks(const std::string& name, const IOOptions& options, uint64_t* count,
                        IODebugContext* dbg) override;
  IOStatus AreFilesSame(const std::string& one, const std::string& other, const IOOptions& options, bool* same,
                        IODebugContext* dbg) override;
  IOStatus LockFile(const std::string& name, const IOOptions& options, rocksdb::FileLock** lock,
                    IODebugContext* dbg) override;
  IOStatus UnlockFile(rocksdb::FileLock* lock, const IOOptions& options, IODebugContext* dbg) override;
  IOStatus GetFreeSpace(const std::string& name, const IOOptions& options, uint64_t* bytes,
                        IODebugContext* dbg) override;
  IOStatus IsDirectory(const std::string& name, const IOOptions& options, bool* is_directory,
                       IODebugContext* dbg) override;

  // Overrides what RocksDB has since 8.4.
  void SupportedOps(int64_t& operations);
  // Overrides what RocksDB has since 11.5.
  IOStatus SyncFile(const std::string& name, const FileOptions& file_options, const IOOptions& options,
                    bool use_fsync, IODebugContext* dbg);
};

// The one instance over the default FileSystem; it lives as long as the process.
std::shared_ptr<rocksdb::FileSystem> FileSystemOver(const std::shared_ptr<rocksdb::FileSystem>& below);

}  // namespace daxcow
