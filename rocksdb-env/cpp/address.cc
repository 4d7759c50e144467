#include "address.h"

#include <string>

#include "file_system.h"
#include "handles.h"
#include "rocksdb/env.h"
#include "rocksdb/utilities/object_registry.h"

namespace daxcow {

namespace {

using rocksdb::ObjectLibrary;

const std::string kScheme = "daxcow";
const std::string kAddress = "daxcow://";

std::shared_ptr<rocksdb::FileSystem> (*below_addressed)() = nullptr;

// All that begins as if it were meant for us: what no factory takes makes db_bench crash.
ObjectLibrary::PatternEntry Pattern() { return ObjectLibrary::PatternEntry(kScheme, true).AddSeparator(":", false); }

// Whether the address is daxcow:// alone, or goes on with a path through a pool that can be opened.
bool IsUsable(const std::string& address, std::string* problem) {
  if (address.compare(0, kAddress.size(), kAddress) != 0) {
    *problem = "expected " + kAddress + " or " + kAddress + "PATH_OF_A_POOL, found";
    return false;
  }
  const std::string path = address.substr(kAddress.size());
  if (path.empty()) {
    return true;
  }
  Place place(path);
  if (place.outside()) {
    *problem = path + " leads through no pool";
  } else if (!place.ok()) {
    *problem = place.status().ToString();
  }
  return place.ok();
}

rocksdb::FileSystem* NewFileSystem(const std::string& address, std::unique_ptr<rocksdb::FileSystem>* guard,
                                   std::string* problem) {
  if (IsUsable(address, problem)) {
    guard->reset(new PoolFileSystem(below_addressed()));
  }
  return guard->get();
}

rocksdb::Env* NewEnv(const std::string& address, std::unique_ptr<rocksdb::Env>* guard, std::string* problem) {
  if (IsUsable(address, problem)) {
    *guard = rocksdb::NewCompositeEnv(FileSystemOver(below_addressed()));
  }
  return guard->get();
}

}  // namespace

void RegisterAddress(std::shared_ptr<rocksdb::FileSystem> (*below)()) {
  below_addressed = below;
  std::shared_ptr<ObjectLibrary> library = ObjectLibrary::Default();
  library->AddFactory<rocksdb::FileSystem>(Pattern(), NewFileSystem);
  library->AddFactory<rocksdb::Env>(Pattern(), NewEnv);
}

}  // namespace daxcow
