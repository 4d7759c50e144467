// `daxcow://`, the address by which RocksDB's options and tools name the FileSystem.
#pragma once

#include <memory>

#include "rocksdb/file_system.h"

namespace daxcow {

// Makes `daxcow://` name the FileSystem, and an Env over it. The address may go on with the path of a pool: then it fails
// where that cannot be opened. `below` gives the FileSystem for all other paths.
void RegisterAddress(std::shared_ptr<rocksdb::FileSystem> (*below)());

}  // namespace daxcow
