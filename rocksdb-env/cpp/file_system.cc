// Opening files, directories, logs and locks; what is done by name is in names.cc.
#include "file_system.h"

#include <cerrno>
#include <cstring>

#include "directory.h"
#include "handles.h"
#include "logger.h"
#include "methods.h"
#include "readers.h"
#include "writers.h"

namespace daxcow {

namespace {

// FSSupportedOps::kFSBuffer and FSSupportedOps::kFSPrefetch, which older versions of RocksDB do not name.
constexpr int kBufferOperation = 1;
constexpr int kPrefetchOperation = 3;
// What the names of such files begin with.
const std::string kManifest = "MANIFEST-";

// A file that is appended to from its end, which is at `size`.
rocksdb::FSWritableFile* AppendedTo(const Place& place, const std::string& name, FilePtr file, uint64_t size,
                                    const FileOptions& options) {
  const bool is_manifest = name.compare(name.rfind('/') + 1, kManifest.size(), kManifest) == 0;
  if (is_manifest && daxcow_place_is_paged(place.get())) {
    return new PoolManifestFile(name, std::move(file), size, options);
  }
  return new PoolWritableFile(name, std::move(file), PoolWritableFile::Start::kAtEnd, size, options);
}

// The SyncFile of a RocksDB that has one; no other calls ours.
template <typename FileSystem, typename... Rest>
auto SyncBelow(FileSystem* below, const std::string& name, const Rest&... rest)
    -> decltype(below->SyncFile(name, rest...)) {
  return below->SyncFile(name, rest...);
}
template <typename... Ignored>
IOStatus SyncBelow(void*, const std::string& name, const Ignored&...) {
  return IOStatus::NotSupported("SyncFile", name);
}

}  // namespace

IOStatus PoolFileSystem::NewSequentialFile(const std::string& name, const FileOptions& options,
                                           std::unique_ptr<rocksdb::FSSequentialFile>* result,
                                           IODebugContext* dbg) {
  result->reset();
  Place place(name);
  DAXCOW_IN_POOL(place, target()->NewSequentialFile(name, options, result, dbg));
  FilePtr file;
  IOStatus status = Open(place, name, DAXCOW_READ, "While opening a file for sequentially reading", &file);
  if (status.ok()) {
    result->reset(new PoolSequentialFile(name, std::move(file)));
  }
  return status;
}

IOStatus PoolFileSystem::NewRandomAccessFile(const std::string& name, const FileOptions& options,
                                             std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                                             IODebugContext* dbg) {
  result->reset();
  Place place(name);
  DAXCOW_IN_POOL(place, WithBuffers(target()->NewRandomAccessFile(name, options, result, dbg), result));
  FilePtr file;
  IOStatus status = Open(place, name, DAXCOW_READ, "While opening a file for random read", &file);
  if (!status.ok()) {
    return status;
  }
  if (!options.use_mmap_reads) {
    result->reset(new PoolRandomAccessFile(name, std::move(file)));
    return status;
  }
  daxcow_map* map = nullptr;
  status = Done(daxcow_map_open(file.get(), &map), "While mapping file", name);
  if (status.ok()) {
    result->reset(new PoolMappedFile(name, std::move(file), MapPtr(map)));
  }
  return status;
}

IOStatus PoolFileSystem::NewWritableFile(const std::string& name, const FileOptions& options,
                                         std::unique_ptr<rocksdb::FSWritableFile>* result, IODebugContext* dbg) {
  result->reset();
  Place place(name);
  DAXCOW_IN_POOL(place, target()->NewWritableFile(name, options, result, dbg));
  FilePtr file;
  IOStatus status = Open(place, name, DAXCOW_WRITE | DAXCOW_CREATE | DAXCOW_TRUNCATE,
                         "While opening a file for appending", &file);
  if (status.ok()) {
    result->reset(AppendedTo(place, name, std::move(file), 0, options));
  }
  return status;
}

IOStatus PoolFileSystem::ReopenWritableFile(const std::string& name, const FileOptions& options,
                                            std::unique_ptr<rocksdb::FSWritableFile>* result,
                                            IODebugContext* dbg) {
  result->reset();
  Place place(name);
  DAXCOW_IN_POOL(place, target()->ReopenWritableFile(name, options, result, dbg));
  FilePtr file;
  IOStatus status = Open(place, name, DAXCOW_WRITE | DAXCOW_CREATE, "While reopening a file for appending", &file);
  uint64_t size = 0;
  if (status.ok()) {
    status = Done(daxcow_file_size(file.get(), &size), "While asking for the size of file", name);
  }
  if (status.ok()) {
    result->reset(AppendedTo(place, name, std::move(file), size, options));
  }
  return status;
}

IOStatus PoolFileSystem::ReuseWritableFile(const std::string& name, const std::string& old_name,
                                           const FileOptions& options,
                                           std::unique_ptr<rocksdb::FSWritableFile>* result,
                                           IODebugContext* dbg) {
  result->reset();
  Place place(name);
  Place old(old_name);
  const char* doing = "While renaming file to reuse it";
  if (place.outside() && old.outside()) {
    return target()->ReuseWritableFile(name, old_name, options, result, dbg);
  }
  DAXCOW_IN_POOL(place, CrossesPools(doing, old_name, name));
  DAXCOW_IN_POOL(old, CrossesPools(doing, old_name, name));
  FilePtr file;
  IOStatus status = Open(old, old_name, DAXCOW_WRITE, "While reopening a file for writing", &file);
  if (status.ok()) {
    status = RenameFile(old_name, name, IOOptions(), dbg);
  }
  if (status.ok()) {
    result->reset(new PoolWritableFile(name, std::move(file), PoolWritableFile::Start::kOverwriting, 0, options));
  }
  return status;
}

IOStatus PoolFileSystem::NewRandomRWFile(const std::string& name, const FileOptions& options,
                                         std::unique_ptr<rocksdb::FSRandomRWFile>* result, IODebugContext* dbg) {
  result->reset();
  Place place(name);
  DAXCOW_IN_POOL(place, target()->NewRandomRWFile(name, options, result, dbg));
  FilePtr file;
  IOStatus status = Open(place, name, DAXCOW_READ | DAXCOW_WRITE, "While opening a file for random read/write", &file);
  if (status.ok()) {
    result->reset(new PoolRandomRWFile(name, std::move(file)));
  }
  return status;
}

IOStatus PoolFileSystem::NewMemoryMappedFileBuffer(const std::string& name,
                                                   std::unique_ptr<rocksdb::MemoryMappedFileBuffer>* result) {
  result->reset();
  Place place(name);
  DAXCOW_IN_POOL(place, target()->NewMemoryMappedFileBuffer(name, result));
  const char* doing = "While opening a file for a buffer";
  FilePtr file;
  IOStatus status = Open(place, name, DAXCOW_READ | DAXCOW_WRITE, doing, &file);
  daxcow_buffer* buffer = nullptr;
  char* base = nullptr;
  size_t length = 0;
  if (status.ok()) {
    status = Done(daxcow_buffer_open(file.get(), &buffer, &base, &length), doing, name);
  }
  if (status.ok()) {
    result->reset(new PoolFileBuffer(std::move(file), BufferPtr(buffer), base, length));
  }
  return status;
}

IOStatus PoolFileSystem::NewDirectory(const std::string& name, const IOOptions& options,
                                      std::unique_ptr<rocksdb::FSDirectory>* result, IODebugContext* dbg) {
  result->reset();
  Place place(name);
  DAXCOW_IN_POOL(place, target()->NewDirectory(name, options, result, dbg));
  const char* doing = "While opening directory";
  daxcow_stat stat;
  IOStatus status = Stat(place, name, doing, &stat);
  if (status.ok() && !stat.is_directory) {
    return StatusOf(ENOTDIR, doing, name, std::strerror(ENOTDIR));
  }
  if (status.ok()) {
    result->reset(new PoolDirectory(name, std::move(place), stat));
  }
  return status;
}

IOStatus PoolFileSystem::NewLogger(const std::string& name, const IOOptions& options,
                                   std::shared_ptr<rocksdb::Logger>* result, IODebugContext* dbg) {
  Place place(name);
  DAXCOW_IN_POOL(place, target()->NewLogger(name, options, result, dbg));
  FilePtr file;
  IOStatus status = Open(place, name, DAXCOW_WRITE | DAXCOW_CREATE | DAXCOW_TRUNCATE, "While opening a log", &file);
  if (status.ok()) {
    *result = std::make_shared<PoolLogger>(std::move(file));
  }
  return status;
}

IOStatus PoolFileSystem::LockFile(const std::string& name, const IOOptions& options, rocksdb::FileLock** lock,
                                  IODebugContext* dbg) {
  *lock = nullptr;
  Place place(name);
  DAXCOW_IN_POOL(place, target()->LockFile(name, options, lock, dbg));
  const char* doing = "While locking file";
  daxcow_lock* taken = nullptr;
  IOStatus status = Done(daxcow_lock_take(place.get(), &taken), doing, name);
  if (!status.ok()) {
    return status;
  }
  if (taken == nullptr) {
    return StatusOf(EAGAIN, doing, name, std::strerror(EAGAIN));
  }
  *lock = new PoolFileLock(LockPtr(taken));
  return status;
}

IOStatus PoolFileSystem::UnlockFile(rocksdb::FileLock* lock, const IOOptions& options, IODebugContext* dbg) {
  if (auto* ours = dynamic_cast<PoolFileLock*>(lock)) {
    delete ours;
    return IOStatus::OK();
  }
  return target()->UnlockFile(lock, options, dbg);
}

IOStatus PoolFileSystem::GetFreeSpace(const std::string& name, const IOOptions& options, uint64_t* bytes,
                                      IODebugContext* dbg) {
  Place place(name);
  DAXCOW_IN_POOL(place, target()->GetFreeSpace(name, options, bytes, dbg));
  return Done(daxcow_place_free_bytes(place.get(), bytes), "While asking for the free space of", name);
}

IOStatus PoolFileSystem::IsDirectory(const std::string& name, const IOOptions& options, bool* is_directory,
                                     IODebugContext* dbg) {
  Place place(name);
  DAXCOW_IN_POOL(place, target()->IsDirectory(name, options, is_directory, dbg));
  daxcow_stat stat{};
  IOStatus status = Stat(place, name, "While looking for directory", &stat);
  *is_directory = stat.is_directory;
  return status;
}

void PoolFileSystem::SupportedOps(int64_t& operations) {
  // Reads are loads, so that there is nothing to do in the background. Prefetch says that it was done: RocksDB needs no
  // buffer of its own. Who brings no buffer reads in place.
  operations = int64_t{1} << kBufferOperation | int64_t{1} << kPrefetchOperation;
}

IOStatus PoolFileSystem::SyncFile(const std::string& name, const FileOptions& file_options,
                                  const IOOptions& options, bool use_fsync, IODebugContext* dbg) {
  Place place(name);
  DAXCOW_IN_POOL(place, SyncBelow(target(), name, file_options, options, use_fsync, dbg));
  FilePtr file;
  IOStatus status = Open(place, name, DAXCOW_READ, "While opening a file to sync it", &file);
  return status.ok() ? Done(daxcow_file_sync(file.get()), "While syncing file", name) : status;
}

std::shared_ptr<rocksdb::FileSystem> FileSystemOver(const std::shared_ptr<rocksdb::FileSystem>& below) {
  // Never destroyed: threads of RocksDB may outlive the static objects.
  static auto* const instance =
      new std::shared_ptr<rocksdb::FileSystem>(std::make_shared<PoolFileSystem>(below));
  return *instance;
}

}  // namespace daxcow
