// The Env for programs that link RocksDB themselves and use its C API, as the rocksdb crate does.
#pragma once

struct rocksdb_env_t;

extern "C" {

// An Env over the FileSystem, to be destroyed by rocksdb_env_destroy; null where this RocksDB keeps a rocksdb_env_t in a way
// that is not known here.
rocksdb_env_t* daxcow_rocksdb_env();

}  // extern "C"
