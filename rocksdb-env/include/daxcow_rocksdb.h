/* RocksDB databases in daxcow pools, for C and C++ programs that link libdaxcow_rocksdb.so.
 *
 * The library takes the place of rocksdb::FileSystem::Default(): a program that links it before librocksdb, or is started
 * with LD_PRELOAD=libdaxcow_rocksdb.so, opens databases in pools by their paths, `/dir/app.pool/db`, and needs nothing of
 * this header. A program that wants to name the FileSystem says `daxcow://`:
 *
 *     std::shared_ptr<rocksdb::FileSystem> fs;
 *     rocksdb::FileSystem::CreateFromString(rocksdb::ConfigOptions(), "daxcow://", &fs);
 *
 * Paths are host paths that lead through a pool. Where `error` is not null and a call fails, `*error` is set to a text that
 * is to be freed with free(); it must be null before.
 */
#ifndef DAXCOW_ROCKSDB_H
#define DAXCOW_ROCKSDB_H

#ifdef __cplusplus
extern "C" {
#endif

/* Keeps the database directory `path` as it is now, also while it is being written to. It opens read-only as
 * POOL/.snapshots/NAME/... and has every write that was acknowledged (with the WAL on). */
void daxcow_rocksdb_snapshot(const char* path, const char* name, char** error);

/* Forgets the snapshot `name` of the pool that `path` leads through. */
void daxcow_rocksdb_drop_snapshot(const char* path, const char* name, char** error);

/* Puts the snapshot `name` back. The database must not be open. */
void daxcow_rocksdb_rollback(const char* path, const char* name, char** error);

/* Makes `to` a writable copy of the directory `from`, a snapshot's or a live database's; all blocks are shared. */
void daxcow_rocksdb_clone(const char* from, const char* to, char** error);

#ifdef __cplusplus
}
#endif

#endif
