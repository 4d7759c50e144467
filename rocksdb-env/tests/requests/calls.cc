// Files opened for random reads, and MultiRead with and without buffers of the caller's, for the test `requests`.
#include "file_system.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "rocksdb/file_system.h"

namespace {

using rocksdb::FSRandomAccessFile;
using rocksdb::FSReadRequest;

// RocksDB before 8.4 does not ask what a FileSystem supports.
template <class FileSystem>
auto Supported(FileSystem* fs, int64_t* operations, int) -> decltype(fs->SupportedOps(*operations)) {
  fs->SupportedOps(*operations);
}
void Supported(void*, int64_t* operations, ...) { *operations = 0; }

// Whether a request without a buffer has a place for what keeps its answer alive.
template <class Request>
auto Owns(const Request* request, int) -> decltype(request->fs_scratch != nullptr) {
  return request->fs_scratch != nullptr;
}
bool Owns(const void*, ...) { return false; }

// One by one, as MultiRead by coroutines does it; says whether this RocksDB has it.
template <class File>
auto Submit(File* file, FSReadRequest* request, size_t* answered, int)
    -> decltype(file->SubmitReadAsync(*request, rocksdb::IOOptions(), nullptr, nullptr)) {
  file->SubmitReadAsync(*request, rocksdb::IOOptions(), [answered](FSReadRequest&) { ++*answered; }, nullptr);
  return true;
}
bool Submit(void*, FSReadRequest*, size_t*, ...) { return false; }

std::shared_ptr<rocksdb::FileSystem> FileSystem() {
  return daxcow::FileSystemOver(rocksdb::FileSystem::Default());
}

}  // namespace

extern "C" {

struct daxcow_request {
  uint64_t offset;
  size_t len;
  char* scratch;
  int code;  // of the status
  bool owned;
  const char* data;
  size_t size;
};

int64_t daxcow_test_supported() {
  int64_t operations = 0;
  Supported(FileSystem().get(), &operations, 0);
  return operations;
}

bool daxcow_test_submits(FSRandomAccessFile* file) {
  char byte = 0;
  FSReadRequest request;
  request.offset = 0;
  request.len = 1;
  request.scratch = &byte;
  size_t answered = 0;
  const bool submits = Submit(file, &request, &answered, 0);
  request.status.PermitUncheckedError();
  return submits;
}

FSRandomAccessFile* daxcow_test_open(const char* path, bool in_place) {
  rocksdb::FileOptions options;
  options.use_mmap_reads = in_place;
  std::unique_ptr<FSRandomAccessFile> file;
  FileSystem()->NewRandomAccessFile(path, options, &file, nullptr).PermitUncheckedError();
  return file.release();
}

void daxcow_test_close(FSRandomAccessFile* file) { delete file; }

// Answers what owns the answers; null where the call itself failed. By MultiRead, or each submitted.
std::vector<FSReadRequest>* daxcow_test_multi_read(FSRandomAccessFile* file, bool submitted, daxcow_request* asked,
                                                   size_t count) {
  auto requests = std::make_unique<std::vector<FSReadRequest>>(count);
  for (size_t i = 0; i < count; ++i) {
    FSReadRequest& request = (*requests)[i];
    request.offset = asked[i].offset;
    request.len = asked[i].len;
    request.scratch = asked[i].scratch;
  }
  size_t answered = 0;
  if (submitted) {
    for (FSReadRequest& request : *requests) {
      Submit(file, &request, &answered, 0);
    }
  } else if (file->MultiRead(requests->data(), count, rocksdb::IOOptions(), nullptr).ok()) {
    answered = count;
  }
  if (answered != count) {
    return nullptr;
  }
  for (size_t i = 0; i < count; ++i) {
    const FSReadRequest& request = (*requests)[i];
    asked[i].code = request.status.code();
    asked[i].scratch = request.scratch;
    asked[i].owned = Owns(&request, 0);
    asked[i].data = request.result.data();
    asked[i].size = request.result.size();
  }
  return requests.release();
}

void daxcow_test_give_back(std::vector<FSReadRequest>* answers) { delete answers; }

}  // extern "C"
