// The methods of the FileSystem that work on names.
#include <cerrno>

#include "file_system.h"
#include "methods.h"

namespace daxcow {

namespace {

constexpr uint64_t kNanosecondsPerSecond = 1000000000;

// What the posix FileSystem takes for a path that leads nowhere.
bool LeadsNowhere(int code) {
  return code == ENOENT || code == ENOTDIR || code == EACCES || code == ENAMETOOLONG;
}

}  // namespace

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

}  // namespace daxcow
