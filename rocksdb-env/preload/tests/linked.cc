// Calls every function of daxcow_rocksdb.h on a database in the pool that the first argument names; the second leads
// through no pool.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "daxcow_rocksdb.h"
#include "rocksdb/convenience.h"
#include "rocksdb/db.h"
#include "rocksdb/file_system.h"

#define CHECK(condition)                                            \
  if (!(condition)) {                                               \
    std::fprintf(stderr, "line %d: %s\n", __LINE__, #condition);    \
    std::exit(1);                                                   \
  }

using rocksdb::DB;

// The text of an error, "" for none.
std::string Taken(char* error) {
  const std::string text = error == nullptr ? "" : error;
  std::free(error);
  return text;
}

std::unique_ptr<DB> Open(const std::string& path, bool read_only = false) {
  rocksdb::Options options;
  options.create_if_missing = true;
  DB* db = nullptr;
  rocksdb::Status status =
      read_only ? DB::OpenForReadOnly(options, path, &db) : DB::Open(options, path, &db);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    std::exit(1);
  }
  return std::unique_ptr<DB>(db);
}

std::string Get(DB& db) {
  std::string value;
  return db.Get(rocksdb::ReadOptions(), "key", &value).ok() ? value : "";
}

int main(int, char** arguments) {
  const std::string pool = arguments[1], outside = arguments[2], path = pool + "/db";
  std::unique_ptr<DB> db = Open(path);
  CHECK(db->Put(rocksdb::WriteOptions(), "key", "old").ok());

  char* error = nullptr;
  daxcow_rocksdb_snapshot(path.c_str(), "monday", &error);
  CHECK(Taken(error) == "");
  CHECK(db->Put(rocksdb::WriteOptions(), "key", "new").ok());
  const std::string kept = pool + "/.snapshots/monday/db";
  CHECK(Get(*Open(kept, true)) == "old");

  error = nullptr;
  daxcow_rocksdb_clone(kept.c_str(), (pool + "/clone").c_str(), &error);
  CHECK(Taken(error) == "");
  std::unique_ptr<DB> clone = Open(pool + "/clone");
  CHECK(Get(*clone) == "old");
  CHECK(clone->Put(rocksdb::WriteOptions(), "key", "own").ok());
  CHECK(Get(*db) == "new");

  // While it is open, it is not rolled back.
  error = nullptr;
  daxcow_rocksdb_rollback(path.c_str(), "monday", &error);
  CHECK(Taken(error) != "");
  CHECK(Get(*db) == "new");
  db.reset();
  error = nullptr;
  daxcow_rocksdb_rollback(path.c_str(), "monday", &error);
  CHECK(Taken(error) == "");
  CHECK(Get(*Open(path)) == "old");

  // What cannot be done says why, and where nobody listens it is dropped.
  error = nullptr;
  daxcow_rocksdb_snapshot(path.c_str(), "monday", &error);
  CHECK(Taken(error).find("monday") != std::string::npos);
  error = nullptr;
  daxcow_rocksdb_snapshot(outside.c_str(), "s", &error);
  CHECK(Taken(error).find("no pool") != std::string::npos);
  error = nullptr;
  daxcow_rocksdb_clone(path.c_str(), outside.c_str(), &error);
  CHECK(Taken(error).find("no pool") != std::string::npos);
  error = nullptr;
  daxcow_rocksdb_drop_snapshot(path.c_str(), "tuesday", &error);
  CHECK(Taken(error).find("tuesday") != std::string::npos);
  daxcow_rocksdb_drop_snapshot(path.c_str(), "tuesday", nullptr);

  error = nullptr;
  daxcow_rocksdb_drop_snapshot(path.c_str(), "monday", &error);
  CHECK(Taken(error) == "");
  std::shared_ptr<rocksdb::FileSystem> fs;
  CHECK(rocksdb::FileSystem::CreateFromString(rocksdb::ConfigOptions(), "daxcow://", &fs).ok());
  CHECK(fs->FileExists(kept, rocksdb::IOOptions(), nullptr).IsNotFound());
  CHECK(fs->FileExists(path + "/CURRENT", rocksdb::IOOptions(), nullptr).ok());
  std::puts("ok");
}
