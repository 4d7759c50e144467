#include "file_system.h"

#include <cerrno>
#include <cstring>

#include "directory.h"
#include "handles.h"
#include "logger.h"
#include "readers.h"
#include "writers.h"

// Ends a method for a path that goes through no pool, or through one that cannot be used.
#define DAXCOW_IN_POOL(place, below) \
  if ((place).outside()) {           \
    return below;                    \
  }                                  \
  if (!(place).ok()) {               \
    return (place).status();         \
  }

namespace daxcow {

namespace {

constexpr uint64_t kNanosecondsPerSecond = 1000000000;
// FSSupportedOps::kFSPrefetch, which RocksDB names since 10.5.
constexpr int kPrefetchOperation = 3;
// What the names of such files begin with.
const std::string kManifest = "MANIFEST-";

IOStatus Open(const Place& place, const std::string& name, uint32_t flags, const char* doing, FilePtr* file) {
  daxcow_file* opened = nullptr;
  IOStatus status = Done(daxcow_file_open(place.get(), flags, &opened), doing, name);
  file->reset(opened);
  return status;
}

// A file that is appended to from its end, which is at `size`.
rocksdb::FSWritableFile* AppendedTo(const Place& place, const std::string& name, FilePtr file, uint64_t size,
                                    const FileOptions& options) {
  const bool is_manifest = name.compare(name.rfind('/') + 1, kManifest.size(), kManifest) == 0;
  if (is_manifest && daxcow_place_is_paged(place.get())) {
    return new PoolManifestFile(name, std::move(file), size, options);
  }
  return new PoolWritableFile(name, std::move(file), PoolWritableFile::Start::kAtEnd, size, options);
}

IOStatus Stat(const Place& place, const std::string& name, const char* doing, daxcow_stat* stat) {
  return Done(daxcow_place_stat(place.get(), stat), doing, name);
}

// What the posix FileSystem takes for a path that leads nowhere.
bool LeadsNowhere(int code) {
  return code == ENOENT || code == ENOTDIR || code == EACCES || code == ENAMETOOLONG;
}

IOStatus CrossesPools(const char* doing, const std::string& from, const std::string& to) {
  return StatusOf(EXDEV, doing, from + " to " + to, std::strerror(EXDEV));
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
  DAXCOW_IN_POOL(place, target()->NewRandomAccessFile(name, options, result, dbg));
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
  if (place.outside() != old.outside()) {
    return CrossesPools("While renaming file to reuse it", old_name, name);
  }
  DAXCOW_IN_POOL(place, target()->ReuseWritableFile(name, old_name, options, result, dbg));
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
  uint64_t size = 0;
  if (status.ok()) {
    status = Done(daxcow_file_size(file.get(), &size), doing, name);
  }
  if (!status.ok()) {
    return status;
  }
  std::unique_ptr<char[]> bytes(new char[size]);
  std::unique_ptr<char[]> before(new char[size]);
  size_t done = 0;
  status = Done(daxcow_file_read(file.get(), 0, bytes.get(), size, &done), doing, name);
  if (status.ok()) {
    std::memcpy(before.get(), bytes.get(), done);
    result->reset(new PoolFileBuffer(std::move(file), std::move(bytes), std::move(before), done));
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

IOStatus PoolFileSystem::FileExists(const std::string& name, const IOOptions& options, IODebugContext* dbg) {
  Place place(name);
  DAXCOW_IN_POOL(place, target()->FileExists(name, options, dbg));
  daxcow_stat stat;
  Error error(daxcow_place_stat(place.get(), &stat));
  if (!error) {
    return IOStatus::OK();
  }
  return LeadsNowhere(Code(error)) ? IOStatus::NotFound() : Failed(error, "While looking for file", name);
}

IOStatus PoolFileSystem::GetChildren(const std::string& name, const IOOptions& options,
                                     std::vector<std::string>* result, IODebugContext* dbg) {
  Place place(name);
  DAXCOW_IN_POOL(place, target()->GetChildren(name, options, result, dbg));
  std::vector<rocksdb::FileAttributes> children;
  IOStatus status = GetChildrenFileAttributes(name, options, &children, dbg);
  result->clear();
  for (rocksdb::FileAttributes& child : children) {
    result->push_back(std::move(child.name));
  }
  return status;
}

IOStatus PoolFileSystem::GetChildrenFileAttributes(const std::string& name, const IOOptions& options,
                                                   std::vector<rocksdb::FileAttributes>* result,
                                                   IODebugContext* dbg) {
  Place place(name);
  DAXCOW_IN_POOL(place, target()->GetChildrenFileAttributes(name, options, result, dbg));
  result->clear();
  const daxcow_on_entry add = [](void* context, daxcow_text entry, const daxcow_stat* stat) {
    rocksdb::FileAttributes attributes;
    attributes.name.assign(entry.data, entry.len);
    attributes.size_bytes = stat->size;
    static_cast<std::vector<rocksdb::FileAttributes>*>(context)->push_back(std::move(attributes));
  };
  Error error(daxcow_place_list(place.get(), add, result));
  if (!error) {
    return IOStatus::OK();
  }
  const char* doing = "While listing directory";
  return LeadsNowhere(Code(error)) ? IOStatus::NotFound(std::string(doing) + ": " + name, daxcow_error_message(error.get()))
                                   : Failed(error, doing, name);
}

IOStatus PoolFileSystem::DeleteFile(const std::string& name, const IOOptions& options, IODebugContext* dbg) {
  Place place(name);
  DAXCOW_IN_POOL(place, target()->DeleteFile(name, options, dbg));
  return Done(daxcow_place_remove_file(place.get()), "While deleting file", name);
}

IOStatus PoolFileSystem::Truncate(const std::string& name, size_t size, const IOOptions& options,
                                  IODebugContext* dbg) {
  Place place(name);
  DAXCOW_IN_POOL(place, target()->Truncate(name, size, options, dbg));
  FilePtr file;
  IOStatus status = Open(place, name, DAXCOW_WRITE, "While opening a file to truncate it", &file);
  return status.ok() ? Done(daxcow_file_set_size(file.get(), size), "While truncating file", name) : status;
}

IOStatus PoolFileSystem::CreateDir(const std::string& name, const IOOptions& options, IODebugContext* dbg) {
  Place place(name);
  DAXCOW_IN_POOL(place, target()->CreateDir(name, options, dbg));
  return Done(daxcow_place_create_directory(place.get()), "While making directory", name);
}

IOStatus PoolFileSystem::CreateDirIfMissing(const std::string& name, const IOOptions& options,
                                            IODebugContext* dbg) {
  Place place(name);
  DAXCOW_IN_POOL(place, target()->CreateDirIfMissing(name, options, dbg));
  const char* doing = "While making directory if it is missing";
  daxcow_stat stat;
  Error error(daxcow_place_stat(place.get(), &stat));
  if (Code(error) == ENOENT) {
    error.reset(daxcow_place_create_directory(place.get()));
    if (Code(error) == EEXIST) {  // Somebody else was faster.
      error.reset(daxcow_place_stat(place.get(), &stat));
    } else {
      stat.is_directory = true;
    }
  }
  if (error) {
    return Failed(error, doing, name);
  }
  return stat.is_directory ? IOStatus::OK() : IOStatus::IOError("`" + name + "' exists but is not a directory");
}

IOStatus PoolFileSystem::DeleteDir(const std::string& name, const IOOptions& options, IODebugContext* dbg) {
  Place place(name);
  DAXCOW_IN_POOL(place, target()->DeleteDir(name, options, dbg));
  return Done(daxcow_place_remove_directory(place.get()), "While deleting directory", name);
}

IOStatus PoolFileSystem::GetFileSize(const std::string& name, const IOOptions& options, uint64_t* size,
                                     IODebugContext* dbg) {
  Place place(name);
  DAXCOW_IN_POOL(place, target()->GetFileSize(name, options, size, dbg));
  daxcow_stat stat{};
  IOStatus status = Stat(place, name, "While asking for the size of file", &stat);
  *size = stat.size;
  return status;
}

IOStatus PoolFileSystem::GetFileModificationTime(const std::string& name, const IOOptions& options,
                                                 uint64_t* seconds, IODebugContext* dbg) {
  Place place(name);
  DAXCOW_IN_POOL(place, target()->GetFileModificationTime(name, options, seconds, dbg));
  daxcow_stat stat{};
  IOStatus status = Stat(place, name, "While asking for the modification time of file", &stat);
  *seconds = stat.modified / kNanosecondsPerSecond;
  return status;
}

IOStatus PoolFileSystem::RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                                    IODebugContext* dbg) {
  const char* doing = "While renaming file";
  Place source(from);
  Place place(to);
  if (source.outside() && place.outside()) {
    return target()->RenameFile(from, to, options, dbg);
  }
  DAXCOW_IN_POOL(source, CrossesPools(doing, from, to));
  DAXCOW_IN_POOL(place, CrossesPools(doing, from, to));
  if (!daxcow_place_same_pool(source.get(), place.get())) {
    return CrossesPools(doing, from, to);
  }
  return Done(daxcow_place_rename(source.get(), place.get()), doing, from + " to " + to);
}

IOStatus PoolFileSystem::LinkFile(const std::string& existing, const std::string& added, const IOOptions& options,
                                  IODebugContext* dbg) {
  const IOStatus crosses = IOStatus::NotSupported("No links between a pool and what is outside of it", existing + " to " + added);
  Place source(existing);
  Place place(added);
  if (source.outside() && place.outside()) {
    return target()->LinkFile(existing, added, options, dbg);
  }
  DAXCOW_IN_POOL(source, crosses);
  DAXCOW_IN_POOL(place, crosses);
  if (!daxcow_place_same_pool(source.get(), place.get())) {
    return crosses;
  }
  return Done(daxcow_place_link(source.get(), place.get()), "While linking file", existing + " to " + added);
}

IOStatus PoolFileSystem::NumFileLinks(const std::string& name, const IOOptions& options, uint64_t* count,
                                      IODebugContext* dbg) {
  Place place(name);
  DAXCOW_IN_POOL(place, target()->NumFileLinks(name, options, count, dbg));
  daxcow_stat stat{};
  IOStatus status = Stat(place, name, "While counting the links of file", &stat);
  *count = stat.links;
  return status;
}

IOStatus PoolFileSystem::AreFilesSame(const std::string& one, const std::string& other, const IOOptions& options,
                                      bool* same, IODebugContext* dbg) {
  *same = false;
  Place first(one);
  Place second(other);
  if (first.outside() && second.outside()) {
    return target()->AreFilesSame(one, other, options, same, dbg);
  }
  DAXCOW_IN_POOL(first, IOStatus::OK());
  DAXCOW_IN_POOL(second, IOStatus::OK());
  const char* doing = "While comparing files";
  daxcow_stat stats[2];
  IOStatus status = Stat(first, one, doing, &stats[0]);
  if (status.ok()) {
    status = Stat(second, other, doing, &stats[1]);
  }
  if (status.ok()) {
    *same = daxcow_place_same_pool(first.get(), second.get()) && stats[0].inode == stats[1].inode;
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
  // buffer of its own.
  operations = int64_t{1} << kPrefetchOperation;
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
