// The C ABI of daxcow that the FileSystem stands on: what the crate daxcow-rocksdb-abi exports.
//
// A function answers null, or an error that the caller frees.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

struct daxcow_error;
struct daxcow_place;
struct daxcow_file;
struct daxcow_map;
struct daxcow_buffer;
struct daxcow_lock;

struct daxcow_text {
  const char* data;
  size_t len;
};

struct daxcow_stat {
  uint64_t inode;
  uint64_t created;   // nanoseconds since 1970
  uint64_t modified;  // nanoseconds since 1970
  uint64_t size;
  uint64_t links;
  bool is_directory;
};

enum : uint32_t {
  DAXCOW_READ = 1,
  DAXCOW_WRITE = 2,
  DAXCOW_CREATE = 4,
  DAXCOW_TRUNCATE = 8,
};

typedef void (*daxcow_on_entry)(void* context, daxcow_text name, const daxcow_stat* stat);

int daxcow_error_code(const daxcow_error* error);
const char* daxcow_error_message(const daxcow_error* error);
void daxcow_error_free(daxcow_error* error);

// Keeps the pools open that paths lead into, until told otherwise.
void daxcow_pools_keep(bool keep);

daxcow_error* daxcow_place_find(daxcow_text path, daxcow_place** place);
void daxcow_place_free(daxcow_place* place);
bool daxcow_place_same_pool(const daxcow_place* one, const daxcow_place* other);
bool daxcow_place_is_paged(const daxcow_place* place);
daxcow_error* daxcow_place_stat(const daxcow_place* place, daxcow_stat* stat);
daxcow_error* daxcow_place_list(const daxcow_place* place, daxcow_on_entry on_entry, void* context);
daxcow_error* daxcow_place_remove_file(const daxcow_place* place);
daxcow_error* daxcow_place_create_directory(const daxcow_place* place);
daxcow_error* daxcow_place_remove_directory(const daxcow_place* place);
daxcow_error* daxcow_place_rename(const daxcow_place* from, const daxcow_place* to);
daxcow_error* daxcow_place_link(const daxcow_place* existing, const daxcow_place* added);
daxcow_error* daxcow_place_free_bytes(const daxcow_place* place, uint64_t* bytes);
daxcow_error* daxcow_place_sync(const daxcow_place* place);

daxcow_error* daxcow_file_open(const daxcow_place* place, uint32_t flags, daxcow_file** file);
void daxcow_file_close(daxcow_file* file);
daxcow_error* daxcow_file_read(const daxcow_file* file, uint64_t offset, char* into, size_t len, size_t* done);
daxcow_error* daxcow_file_read_settled(const daxcow_file* file, uint64_t offset, char* into, size_t len, size_t* done);
daxcow_error* daxcow_file_append(const daxcow_file* file, const char* data, size_t len);
daxcow_error* daxcow_file_append_atomically(const daxcow_file* file, const char* data, size_t len);
daxcow_error* daxcow_file_write(const daxcow_file* file, uint64_t offset, const char* data, size_t len);
daxcow_error* daxcow_file_allocate(const daxcow_file* file, uint64_t offset, uint64_t len);
daxcow_error* daxcow_file_set_size(const daxcow_file* file, uint64_t size);
daxcow_error* daxcow_file_sync(const daxcow_file* file);
daxcow_error* daxcow_file_size(const daxcow_file* file, uint64_t* size);
daxcow_error* daxcow_file_stat(const daxcow_file* file, daxcow_stat* stat);

daxcow_error* daxcow_map_open(const daxcow_file* file, daxcow_map** map);
void daxcow_map_close(daxcow_map* map);
uint64_t daxcow_map_size(const daxcow_map* map);
daxcow_error* daxcow_map_find(const daxcow_map* map, uint64_t offset, size_t len, const char** data);

daxcow_error* daxcow_buffer_open(const daxcow_file* file, daxcow_buffer** buffer, char** base, size_t* len);
void daxcow_buffer_close(daxcow_buffer* buffer);

daxcow_error* daxcow_lock_take(const daxcow_place* place, daxcow_lock** lock);
void daxcow_lock_release(daxcow_lock* lock);

}  // extern "C"
