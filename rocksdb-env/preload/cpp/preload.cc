// Takes the place of FileSystem::Default(), and registers `daxcow://` when the library is loaded.
#include <dlfcn.h>

#include <memory>

#include "abi.h"
#include "address.h"
#include "file_system.h"

namespace {

using Default = std::shared_ptr<rocksdb::FileSystem> (*)();

// The default FileSystem of the RocksDB that the program uses: the next library in its search order has it.
std::shared_ptr<rocksdb::FileSystem> RealDefault() {
  static const auto real = reinterpret_cast<Default>(dlsym(RTLD_NEXT, "_ZN7rocksdb10FileSystem7DefaultEv"));
  return real();
}

// Made when the library is loaded, before the program and its RocksDB have anything, and gone after all of theirs.
struct PoolsKept {
  PoolsKept() { daxcow_pools_keep(true); }
  ~PoolsKept() { daxcow_pools_keep(false); }
};
const PoolsKept kept;

const bool registered = (daxcow::RegisterAddress(RealDefault), true);

}  // namespace

// Where the exported FileSystem::Default() leads; returns as that does.
extern "C" std::shared_ptr<rocksdb::FileSystem> daxcow_preload_default() {
  (void)registered;
  return daxcow::FileSystemOver(RealDefault());
}
