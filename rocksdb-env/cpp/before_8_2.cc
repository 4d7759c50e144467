// What the bindings of the rocksdb crate name and a RocksDB before 8.2 has not. Nothing can be destroyed that such a RocksDB
// cannot make.
extern "C" void rocksdb_write_buffer_manager_destroy(void*) {}
